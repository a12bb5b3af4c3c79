//! What only the text of CREATE TABLE says: checks, generated columns, collations, deferred keys, the names of
//! constraints, comments.

use bumpalo::Bump;
use fallible_iterator::FallibleIterator;
use sqlite3_parser::ast::{
    Cmd, ColumnConstraint, ColumnDefinition, CreateTableBody, DeferSubclause, Expr, InitDeferredPred,
    Literal, NamedTableConstraint, Stmt, TableConstraint,
};
use sqlite3_parser::lexer::sql::Parser;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The parts of one CREATE TABLE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ddl {
    /// It was understood; otherwise the rest is empty.
    pub(crate) understood: bool,
    /// Names and expressions of checks.
    pub(crate) checks: Vec<(Option<String>, String)>,
    /// Generated columns: name, expression.
    pub(crate) generated: Vec<(String, String)>,
    /// Collations other than BINARY: column, collation.
    pub(crate) collations: Vec<(String, String)>,
    /// Each foreign key in the order of the text.
    pub(crate) references: Vec<ReferenceClause>,
    /// What the primary key is called.
    pub(crate) primary_key: Option<String>,
    /// Columns and names of UNIQUE constraints that have one.
    pub(crate) uniques: Vec<(Vec<String>, String)>,
    /// Comments: of a column, or of the table (no name).
    pub(crate) comments: Vec<(Option<String>, String)>,
}

/// What the text alone says of a foreign key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReferenceClause {
    pub(crate) name: Option<String>,
    pub(crate) deferred: bool,
}

/// Reads the statement; one that the parser does not understand gives nothing but `understood: false`.
pub(crate) fn parse_table(sql: &str) -> Ddl {
    let mut ddl = with_statement(sql, |statement| match statement {
        Stmt::CreateTable {
            body: CreateTableBody::ColumnsAndConstraints { columns, constraints, .. },
            ..
        } => {
            let mut ddl = Ddl { understood: true, ..Ddl::default() };
            columns.iter().for_each(|column| read_column(&mut ddl, column));
            constraints
                .iter()
                .copied()
                .flatten()
                .for_each(|constraint| read_constraint(&mut ddl, constraint));
            ddl
        }
        _ => Ddl::default(),
    })
    .unwrap_or_default();
    ddl.comments = read_comments(sql);
    ddl
}

/// Gives the first statement of `sql` to `look`; none when it does not parse. The parser is known to panic on some
/// broken literals.
pub(crate) fn with_statement<T>(sql: &str, look: impl FnOnce(&Stmt<'_>) -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(|| {
        let bump = Bump::new();
        let mut parser = Parser::new(&bump, sql.as_bytes());
        match parser.next() {
            Ok(Some(Cmd::Stmt(statement))) => Some(look(&statement)),
            _ => None,
        }
    }))
    .ok()
    .flatten()
}

/// A name without its quotes, of whichever kind SQLite takes.
pub(crate) fn bare_name(name: &str) -> String {
    let inner = |n: &str| n[1..n.len() - 1].to_string();
    match name.as_bytes() {
        [b'[', .., b']'] => inner(name),
        [q @ (b'"' | b'\'' | b'`'), .., last] if q == last && name.len() > 1 => {
            let quote = char::from(*q).to_string();
            inner(name).replace(&quote.repeat(2), &quote)
        }
        _ => name.to_string(),
    }
}

fn read_column(ddl: &mut Ddl, column: &ColumnDefinition<'_>) {
    let name = bare_name(column.col_name.0);
    for named in column.constraints {
        let own = named.name.as_ref().map(|n| bare_name(n.0));
        match &named.constraint {
            ColumnConstraint::PrimaryKey { .. } => ddl.primary_key = own,
            ColumnConstraint::Unique(_) => ddl.uniques.extend(own.map(|own| (vec![name.clone()], own))),
            ColumnConstraint::Check(expr) => ddl.checks.push((own, expression_text(expr))),
            ColumnConstraint::Collate { collation_name } => {
                ddl.collations.push((name.clone(), bare_name(collation_name.0).to_ascii_uppercase()));
            }
            ColumnConstraint::ForeignKey { defer_clause, .. } => {
                ddl.references
                    .push(ReferenceClause { name: own, deferred: is_deferred(defer_clause.as_ref()) });
            }
            // `REFERENCES p DEFERRABLE …` may come as a constraint of its own.
            ColumnConstraint::Defer(clause) => {
                if let Some(last) = ddl.references.last_mut() {
                    last.deferred = is_deferred(Some(clause));
                }
            }
            ColumnConstraint::Generated { expr, .. } => {
                ddl.generated.push((name.clone(), expression_text(expr)));
            }
            _ => {}
        }
    }
}

fn read_constraint(ddl: &mut Ddl, named: &NamedTableConstraint<'_>) {
    let own = named.name.as_ref().map(|n| bare_name(n.0));
    match &named.constraint {
        TableConstraint::PrimaryKey { .. } => ddl.primary_key = own,
        TableConstraint::Unique { columns, .. } => {
            let columns: Option<Vec<String>> = columns.iter().map(|c| column_of(&c.expr)).collect();
            ddl.uniques.extend(columns.zip(own));
        }
        TableConstraint::Check(expr, _) => ddl.checks.push((own, expression_text(expr))),
        TableConstraint::ForeignKey { defer_clause, .. } => {
            ddl.references.push(ReferenceClause { name: own, deferred: is_deferred(defer_clause.as_ref()) });
        }
    }
}

/// The column that a part of a key is, whatever its collation.
fn column_of(expr: &Expr<'_>) -> Option<String> {
    match expr {
        Expr::Id(id) => Some(bare_name(id.0)),
        Expr::Name(name) => Some(bare_name(name.0)),
        Expr::Literal(Literal::String(name)) => Some(bare_name(name)),
        Expr::Collate(inner, _) => column_of(inner),
        _ => None,
    }
}

fn is_deferred(clause: Option<&DeferSubclause>) -> bool {
    clause.is_some_and(|c| c.deferrable && c.init_deferred == Some(InitDeferredPred::InitiallyDeferred))
}

/// The expression in SQLite's words again.
pub(crate) fn expression_text(expr: &Expr<'_>) -> String {
    expr.to_string()
}

/// `--` comments: one that ends a column's line is the column's, one before the first column is the table's.
fn read_comments(sql: &str) -> Vec<(Option<String>, String)> {
    let mut found = Vec::new();
    for line in sql.lines() {
        let Some((code, comment)) = comment_of(line) else { continue };
        let code = code.trim();
        let comment = comment.trim().to_string();
        if comment.is_empty() {
            continue;
        }
        let word = first_word(code);
        match word {
            Some(w) if w.eq_ignore_ascii_case("create") => found.push((None, comment)),
            Some(w) => found.push((Some(w), comment)),
            None => {}
        }
    }
    found
}

/// The line before and after `--`, unless that stands inside quotes.
fn comment_of(line: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    let bytes = line.as_bytes();
    for at in 0..bytes.len() {
        match (quote, bytes[at]) {
            (None, b @ (b'\'' | b'"' | b'`')) => quote = Some(b),
            (Some(q), b) if q == b => quote = None,
            (None, b'-') if bytes.get(at + 1) == Some(&b'-') => return Some((&line[..at], &line[at + 2..])),
            _ => {}
        }
    }
    None
}

fn first_word(code: &str) -> Option<String> {
    let code = code.trim_start_matches([',', ' ', '\t']);
    let end = match code.as_bytes().first()? {
        b'"' => code[1..].find('"')? + 2,
        b'`' => code[1..].find('`')? + 2,
        b'[' => code.find(']')? + 1,
        _ => code.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(code.len()),
    };
    (end > 0).then(|| bare_name(&code[..end]))
}

/// Which of `columns` an expression in SQLite's words names.
pub(crate) fn named_columns(text: &str, columns: &[String]) -> BTreeSet<String> {
    let words = names_in(text);
    columns.iter().filter(|c| words.iter().any(|w| w.eq_ignore_ascii_case(c))).cloned().collect()
}

/// The names in an expression: neither texts nor functions.
fn names_in(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        // SQLite takes the quotes of the standard, of MySQL and of SQL Server
        // (<https://sqlite.org/lang_keywords.html>).
        let quoted = matches!(c, '"' | '`' | '[' | '\'');
        let end =
            if quoted { closing_quote(rest, c) } else { rest.find(|c| !is_word(c)).unwrap_or(rest.len()) };
        let (word, after) = rest.split_at(end.max(c.len_utf8()).min(rest.len()));
        // A word before a parenthesis is a function; a column cannot stand there.
        let call = !quoted && after.trim_start().starts_with('(');
        if c != '\'' && !call && (quoted || is_word(c)) {
            words.push(bare_name(word));
        }
        rest = after;
    }
    words
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// Where a name or a text in quotes ends; a quote in it is doubled.
fn closing_quote(text: &str, open: char) -> usize {
    let close = if open == '[' { ']' } else { open };
    let mut at = open.len_utf8();
    while let Some(next) = text[at..].find(close) {
        at += next + 1;
        if open == '[' || !text[at..].starts_with(close) {
            return at;
        }
        at += 1;
    }
    text.len()
}

/// The expressions of CREATE INDEX, its WHERE with them, and whether it has one.
pub(crate) fn index_expressions(sql: &str) -> (String, bool) {
    with_statement(sql, |statement| match statement {
        Stmt::CreateIndex { columns, where_clause, .. } => {
            let mut texts: Vec<String> = columns.iter().map(|c| expression_text(&c.expr)).collect();
            texts.extend(where_clause.as_ref().map(expression_text));
            (texts.join(" , "), where_clause.is_some())
        }
        _ => (String::new(), false),
    })
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_table() {
        let ddl = parse_table(
            "create table t ( -- all of it\n a text collate nocase check (a <> ''), -- its \"name\"\n\
             b int generated always as (a || 'x') stored, c int references p deferrable initially deferred,\n\
             d references q (x), constraint pos check (c > 0 and d is not null),\n\
             foreign key (c, d) references r (e, f) on delete cascade)",
        );
        assert!(ddl.understood);
        assert_eq!(ddl.checks.len(), 2);
        assert_eq!(ddl.checks[1].0.as_deref(), Some("pos"));
        assert_eq!(ddl.collations, [("a".to_string(), "NOCASE".to_string())]);
        assert_eq!(ddl.generated.len(), 1);
        assert_eq!(ddl.references.iter().map(|r| r.deferred).collect::<Vec<_>>(), [true, false, false]);
        assert_eq!(ddl.comments[0], (None, "all of it".to_string()));
        assert_eq!(ddl.comments[1], (Some("a".to_string()), "its \"name\"".to_string()));
    }

    #[test]
    fn the_names_of_constraints() {
        let ddl = parse_table(
            "create table t (a int constraint \"the key\" primary key, b text constraint u1 unique constraint nn not null,\
             c int constraint f1 references p, d int references p, e int, constraint u2 unique (b collate nocase, [e]),\
             unique (c), constraint f3 foreign key (d, e) references q)",
        );
        assert_eq!(ddl.primary_key.as_deref(), Some("the key"));
        let of = |columns: &[&str], name: &str| {
            (columns.iter().map(ToString::to_string).collect(), name.to_string())
        };
        assert_eq!(ddl.uniques, [of(&["b"], "u1"), of(&["b", "e"], "u2")]);
        let names: Vec<_> = ddl.references.iter().map(|r| r.name.as_deref()).collect();
        assert_eq!(names, [Some("f1"), None, Some("f3")]);
        let named = parse_table("create table t (a int, constraint pk primary key (a))").primary_key;
        assert_eq!(named.as_deref(), Some("pk"));
    }

    #[test]
    fn names_lose_their_quotes() {
        let cases =
            [("\"a\"\"b\"", "a\"b"), ("[a b]", "a b"), ("`x`", "x"), ("plain", "plain"), ("'s'", "s")];
        for (given, expected) in cases {
            assert_eq!(bare_name(given), expected);
        }
    }

    #[test]
    fn the_columns_that_an_expression_names() {
        let columns: Vec<String> = ["a", "B b", "length", "x"].map(String::from).to_vec();
        let cases = [
            ("a > 0 and \"b b\" <> 'x'", vec!["a", "B b"]),
            ("length(a) < 5", vec!["a"]),
            ("[b b] is not null or t.x", vec!["B b", "x"]),
            ("'it''s a' = \"x\"", vec!["x"]),
            ("1", vec![]),
        ];
        for (text, expected) in cases {
            let expected: BTreeSet<String> = expected.into_iter().map(String::from).collect();
            assert_eq!(named_columns(text, &columns), expected, "{text}");
        }
    }
}
