//! What only the text of CREATE TABLE says: checks, generated columns, collations, deferred keys, comments.

use bumpalo::Bump;
use fallible_iterator::FallibleIterator;
use sqlite3_parser::ast::{
    Cmd, ColumnConstraint, ColumnDefinition, CreateTableBody, DeferSubclause, Expr, InitDeferredPred,
    NamedTableConstraint, Stmt, TableConstraint,
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
    /// Of each foreign key in the order of the text: whether it is deferred.
    pub(crate) deferred: Vec<bool>,
    /// Comments: of a column, or of the table (no name).
    pub(crate) comments: Vec<(Option<String>, String)>,
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
        match &named.constraint {
            ColumnConstraint::Check(expr) => {
                ddl.checks.push((named.name.as_ref().map(|n| bare(n.0)), text(expr)));
            }
            ColumnConstraint::Collate { collation_name } => {
                ddl.collations.push((name.clone(), bare(collation_name.0).to_ascii_uppercase()));
            }
            ColumnConstraint::ForeignKey { defer_clause, .. } => {
                ddl.deferred.push(deferred(defer_clause.as_ref()));
            }
            // `REFERENCES p DEFERRABLE …` may come as a constraint of its own.
            ColumnConstraint::Defer(clause) => {
                if let Some(last) = ddl.deferred.last_mut() {
                    *last = deferred(Some(clause));
                }
            }
            ColumnConstraint::Generated { expr, .. } => ddl.generated.push((name.clone(), text(expr))),
            _ => {}
        }
    }
}

fn of_table(ddl: &mut Ddl, named: &NamedTableConstraint<'_>) {
    match &named.constraint {
        TableConstraint::Check(expr, _) => {
            ddl.checks.push((named.name.as_ref().map(|n| bare(n.0)), text(expr)));
        }
        TableConstraint::ForeignKey { defer_clause, .. } => {
            ddl.deferred.push(deferred(defer_clause.as_ref()));
        }
        _ => {}
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
        assert_eq!(ddl.deferred, [true, false, false]);
        assert_eq!(ddl.comments[0], (None, "all of it".to_string()));
        assert_eq!(ddl.comments[1], (Some("a".to_string()), "its \"name\"".to_string()));
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
