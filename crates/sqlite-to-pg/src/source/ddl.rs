//! What only the text of CREATE TABLE says: checks, generated columns, collations, deferred keys, the names of
//! constraints, comments.

use bumpalo::Bump;
use fallible_iterator::FallibleIterator;
use sqlite3_parser::ast::{
    Cmd, ColumnConstraint, ColumnDefinition, CreateTableBody, DeferSubclause, Expr, InitDeferredPred,
    Literal, NamedTableConstraint, Stmt, TableConstraint,
};
use sqlite3_parser::lexer::sql::Parser;
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
    pub(crate) references: Vec<Reference>,
    /// What the primary key is called.
    pub(crate) primary_key: Option<String>,
    /// Columns and names of UNIQUE constraints that have one.
    pub(crate) uniques: Vec<(Vec<String>, String)>,
    /// Comments: of a column, or of the table (no name).
    pub(crate) comments: Vec<(Option<String>, String)>,
}

/// What the text alone says of a foreign key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) name: Option<String>,
    pub(crate) deferred: bool,
}

/// Reads the statement; one that the parser does not understand gives nothing but `understood: false`.
pub(crate) fn parse(sql: &str) -> Ddl {
    let mut ddl = with_statement(sql, |statement| match statement {
        Stmt::CreateTable {
            body: CreateTableBody::ColumnsAndConstraints { columns, constraints, .. },
            ..
        } => {
            let mut ddl = Ddl { understood: true, ..Ddl::default() };
            columns.iter().for_each(|column| of_column(&mut ddl, column));
            constraints.iter().copied().flatten().for_each(|constraint| of_table(&mut ddl, constraint));
            ddl
        }
        _ => Ddl::default(),
    })
    .unwrap_or_default();
    ddl.comments = comments(sql);
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
pub(crate) fn bare(name: &str) -> String {
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

fn of_column(ddl: &mut Ddl, column: &ColumnDefinition<'_>) {
    let name = bare(column.col_name.0);
    for named in column.constraints {
        let own = named.name.as_ref().map(|n| bare(n.0));
        match &named.constraint {
            ColumnConstraint::PrimaryKey { .. } => ddl.primary_key = own,
            ColumnConstraint::Unique(_) => ddl.uniques.extend(own.map(|own| (vec![name.clone()], own))),
            ColumnConstraint::Check(expr) => ddl.checks.push((own, text(expr))),
            ColumnConstraint::Collate { collation_name } => {
                ddl.collations.push((name.clone(), bare(collation_name.0).to_ascii_uppercase()));
            }
            ColumnConstraint::ForeignKey { defer_clause, .. } => {
                ddl.references.push(Reference { name: own, deferred: deferred(defer_clause.as_ref()) });
            }
            // `REFERENCES p DEFERRABLE …` may come as a constraint of its own.
            ColumnConstraint::Defer(clause) => {
                if let Some(last) = ddl.references.last_mut() {
                    last.deferred = deferred(Some(clause));
                }
            }
            ColumnConstraint::Generated { expr, .. } => ddl.generated.push((name.clone(), text(expr))),
            _ => {}
        }
    }
}

fn of_table(ddl: &mut Ddl, named: &NamedTableConstraint<'_>) {
    let own = named.name.as_ref().map(|n| bare(n.0));
    match &named.constraint {
        TableConstraint::PrimaryKey { .. } => ddl.primary_key = own,
        TableConstraint::Unique { columns, .. } => {
            let columns: Option<Vec<String>> = columns.iter().map(|c| column_of(&c.expr)).collect();
            ddl.uniques.extend(columns.zip(own));
        }
        TableConstraint::Check(expr, _) => ddl.checks.push((own, text(expr))),
        TableConstraint::ForeignKey { defer_clause, .. } => {
            ddl.references.push(Reference { name: own, deferred: deferred(defer_clause.as_ref()) });
        }
    }
}

/// The column that a part of a key is, whatever its collation.
fn column_of(expr: &Expr<'_>) -> Option<String> {
    match expr {
        Expr::Id(id) => Some(bare(id.0)),
        Expr::Name(name) => Some(bare(name.0)),
        Expr::Literal(Literal::String(name)) => Some(bare(name)),
        Expr::Collate(inner, _) => column_of(inner),
        _ => None,
    }
}

fn deferred(clause: Option<&DeferSubclause>) -> bool {
    clause.is_some_and(|c| c.deferrable && c.init_deferred == Some(InitDeferredPred::InitiallyDeferred))
}

/// The expression in SQLite's words again.
pub(crate) fn text(expr: &Expr<'_>) -> String {
    expr.to_string()
}

/// `--` comments: one that ends a column's line is the column's, one before the first column is the table's.
fn comments(sql: &str) -> Vec<(Option<String>, String)> {
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
    (end > 0).then(|| bare(&code[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_table() {
        let ddl = parse(
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
        let ddl = parse(
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
        let named = parse("create table t (a int, constraint pk primary key (a))").primary_key;
        assert_eq!(named.as_deref(), Some("pk"));
    }

    #[test]
    fn names_lose_their_quotes() {
        let cases =
            [("\"a\"\"b\"", "a\"b"), ("[a b]", "a b"), ("`x`", "x"), ("plain", "plain"), ("'s'", "s")];
        for (given, expected) in cases {
            assert_eq!(bare(given), expected);
        }
    }
}
