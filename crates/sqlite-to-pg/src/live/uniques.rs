//! Which rows a write replaces (pure): INSERT OR REPLACE and UPDATE OR REPLACE remove the row that has the same
//! unique value without its delete trigger (<https://sqlite.org/lang_conflict.html>), so the write itself must name
//! it before.

use crate::source::catalog::{RawIndex, RawTable};
use crate::source::ddl::{bare_name, expression_text, with_statement};
use crate::source::quote_name;
use sqlite3_parser::ast::Stmt;

/// The rows of a table that have the value of `new` in one unique index: a condition in SQLite's SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReplacedRows {
    pub(crate) condition: String,
}

/// One condition for each unique index of `raw` that is not the key itself.
///
/// # Errors
/// The name of an index whose statement is not understood.
pub(super) fn replaced_rows(raw: &RawTable) -> Result<Vec<ReplacedRows>, String> {
    let columns: Vec<&str> = raw.columns.iter().map(|c| c.name.as_str()).collect();
    let uniques = raw.indexes.iter().filter(|i| i.unique && !is_key(i));
    uniques
        .map(|index| index_condition(index, &columns).ok_or_else(|| index.name.clone()))
        .map(|condition| condition.map(|condition| ReplacedRows { condition }))
        .collect()
}

/// The index of the primary key: a row that it replaces has the very key that is logged, where it compares bytes.
fn is_key(index: &RawIndex) -> bool {
    index.origin == "pk" && index.parts.iter().all(|(_, _, collation)| collation == "BINARY")
}

fn index_condition(index: &RawIndex, columns: &[&str]) -> Option<String> {
    let written = match &index.sql {
        Some(sql) => written_parts(sql)?,
        None => WrittenParts::default(),
    };
    let mut tests = Vec::new();
    for (at, (name, _, collation)) in index.parts.iter().enumerate() {
        let (own, new) = match name {
            Some(name) => (quote_name(name), format!("new.{}", quote_name(name))),
            None => {
                let text = written.expressions.get(at)?;
                (format!("({text})"), format!("({})", with_new_row(text, columns)?))
            }
        };
        // The index's own collation, which need not be the column's. `=`, for NULLs of a unique index are distinct.
        tests.push(format!("{own} = {new} collate {}", quote_name(collation)));
    }
    if let Some(predicate) = &written.predicate {
        tests.push(format!("({predicate})"));
        tests.push(format!("({})", with_new_row(predicate, columns)?));
    }
    Some(tests.join(" and "))
}

/// The expressions of CREATE INDEX, and its WHERE.
#[derive(Default)]
struct WrittenParts {
    expressions: Vec<String>,
    predicate: Option<String>,
}

/// From the statement: PRAGMA index_xinfo tells of an expression only that it is one.
fn written_parts(sql: &str) -> Option<WrittenParts> {
    with_statement(sql, |statement| match statement {
        Stmt::CreateIndex { columns, where_clause, .. } => Some(WrittenParts {
            expressions: columns.iter().map(|c| expression_text(&c.expr)).collect(),
            predicate: where_clause.as_ref().map(expression_text),
        }),
        _ => None,
    })
    .flatten()
}

/// An expression of an index as one over the row that is being written: each column becomes `new."column"`. None for
/// one in which a name is not known for a column or no column.
fn with_new_row(text: &str, columns: &[&str]) -> Option<String> {
    let mut made = String::new();
    let mut rest = text;
    let mut before = String::new();
    while let Some(c) = rest.chars().next() {
        let end = token_end(rest, c)?;
        let (token, after) = rest.split_at(end);
        // A schema's or table's name stands before a dot, which an index does not allow.
        if c == '.' {
            return None;
        }
        let quoted = matches!(c, '"' | '`' | '[');
        let is_name = quoted || c.is_alphabetic() || c == '_';
        let is_call = !quoted && after.trim_start().starts_with('(');
        // After COLLATE and AS there is a collation or a type, though a column may be called like it.
        let is_other = matches!(before.as_str(), "collate" | "as");
        let bare = bare_name(token);
        let column = columns.iter().find(|column| column.eq_ignore_ascii_case(&bare));
        match column.filter(|_| is_name && !is_call && !is_other) {
            Some(column) => made += &format!("new.{}", quote_name(column)),
            None => made += token,
        }
        if !token.trim().is_empty() {
            before = token.to_ascii_lowercase();
        }
        rest = after;
    }
    Some(made)
}

/// Where the token ends that begins with `first`; none when its quote is not closed.
fn token_end(text: &str, first: char) -> Option<usize> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    match first {
        '\'' | '"' | '`' | '[' => quoted_end(text, if first == '[' { ']' } else { first }),
        // A blob, x'00'.
        'x' | 'X' if text[1..].starts_with('\'') => quoted_end(&text[1..], '\'').map(|end| end + 1),
        c if c.is_ascii_digit() => Some(text.find(|c: char| !is_word(c) && c != '.').unwrap_or(text.len())),
        c if is_word(c) => Some(text.find(|c| !is_word(c)).unwrap_or(text.len())),
        c => Some(c.len_utf8()),
    }
}

fn quoted_end(text: &str, close: char) -> Option<usize> {
    let mut at = 1;
    loop {
        at += text[at..].find(close)? + 1;
        // A doubled quote stands for itself.
        if close == ']' || !text[at..].starts_with(close) {
            return Some(at);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_become_those_of_the_new_row() {
        let columns = ["a", "B b", "lower", "text", "nocase", "x"];
        for (text, expected) in [
            ("lower(a)", Some("lower(new.\"a\")")),
            ("\"b b\" is not null", Some("new.\"B b\" is not null")),
            ("cast(a as text) || 'a'", Some("cast(new.\"a\" as text) || 'a'")),
            ("a collate nocase", Some("new.\"a\" collate nocase")),
            ("nocase = x'00' and x > 1.5", Some("new.\"nocase\" = x'00' and new.\"x\" > 1.5")),
            ("[b b] || 'it''s a'", Some("new.\"B b\" || 'it''s a'")),
            ("t.a", None),
            ("'a", None),
        ] {
            assert_eq!(with_new_row(text, &columns).as_deref(), expected, "{text}");
        }
    }
}
