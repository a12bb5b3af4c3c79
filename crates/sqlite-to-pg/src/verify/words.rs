//! What a copy says in SQL: checks, defaults, indexes and views. That each is there is judged, not what it says.

use super::objects::Judge;
use super::pair::find;
use super::record::{Difference, Kind};
use super::target::{Relation, rows};
use crate::source::ddl;
use sqlite3_parser::ast::Stmt;
use std::collections::BTreeSet;
use toban_core::Result;

/// Names of columns, whatever their order.
pub(crate) type Columns = BTreeSet<String>;

/// A check or an index that the copy shall have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// What reports call it.
    pub(crate) name: String,
    /// Its name in the target, when the plan tells it; else its columns must do.
    pub(crate) exact: Option<String>,
    pub(crate) columns: Columns,
    pub(crate) unique: bool,
    pub(crate) partial: bool,
}

/// A check or an index of the target.
#[derive(Clone, Debug)]
struct Found {
    name: String,
    columns: Columns,
    unique: bool,
    partial: bool,
}

const CHECKS: &str = "select c.oid, c.conname, false, false, a.attname from pg_catalog.pg_constraint c \
    left join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = any (c.conkey) \
    where c.conrelid = $OID and c.contype = 'c' order by 1";

/// Columns of an index: its own, and those that its expressions and its predicate depend on.
const INDEXES: &str = "select i.indexrelid, c.relname, i.indisunique, i.indpred is not null, a.attname \
    from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indexrelid \
    left join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum > 0 \
    and (a.attnum = any (i.indkey) or exists (select from pg_catalog.pg_depend d \
        where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = i.indexrelid \
        and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = i.indrelid and d.refobjsubid = a.attnum)) \
    where i.indrelid = $OID and i.indisvalid order by 1";

impl Judge<'_> {
    /// How many checks, indexes and defaults were looked for, and those that are not there.
    ///
    /// # Errors
    /// The target's.
    pub(super) fn words(&mut self) -> Result<(u64, Vec<Difference>)> {
        let expected = self.expected;
        let mut told = Vec::new();
        if !expected.checks.is_empty() {
            let mut found = self.found(CHECKS)?;
            told.extend(expected.checks.iter().filter_map(|w| self.without("check", w, take(&mut found, w))));
        }
        if !expected.indexes.is_empty() {
            let found = self.found(INDEXES)?;
            let there = |w: &Wanted| found.iter().any(|f| fits_index(f, w));
            told.extend(expected.indexes.iter().filter_map(|w| self.without("index", w, there(w))));
        }
        for column in &expected.no_default {
            told.push(self.named(&format!("default of {column}")));
        }
        if expected.defaults > expected.no_default.len() {
            told.extend(self.defaults()?);
        }
        let looked = expected.checks.len() + expected.indexes.len() + expected.defaults;
        Ok((looked as u64, told))
    }

    fn without(&self, kind: &str, wanted: &Wanted, there: bool) -> Option<Difference> {
        (!there).then(|| self.named(&format!("{kind} {}", wanted.name)))
    }

    fn named(&self, what: &str) -> Difference {
        Difference::of_table(&self.pair.source, Kind::Constraint, what, ("there", "not there"))
    }

    fn found(&mut self, sql: &str) -> Result<Vec<Found>> {
        let sql = sql.replace("$OID", &self.expected.oid.to_string());
        let mut found: Vec<(Option<String>, Found)> = Vec::new();
        for row in rows(self.client, &sql)? {
            let [oid, name, unique, partial, column] = row.as_slice() else { continue };
            if found.last().is_none_or(|(last, _)| last != oid) {
                let is = |cell: &Option<String>| cell.as_deref() == Some("t");
                let name = name.clone().unwrap_or_default();
                let one = Found { name, columns: Columns::new(), unique: is(unique), partial: is(partial) };
                found.push((oid.clone(), one));
            }
            if let Some((_, one)) = found.last_mut() {
                one.columns.extend(column.clone());
            }
        }
        Ok(found.into_iter().map(|(_, one)| one).collect())
    }
}

/// Whether a check is there; it is taken from `found`, so that one does not stand for two.
fn take(found: &mut Vec<Found>, wanted: &Wanted) -> bool {
    let at = match &wanted.exact {
        Some(name) => found.iter().position(|f| f.name == *name),
        None => found.iter().position(|f| f.columns == wanted.columns),
    };
    at.map(|at| found.swap_remove(at)).is_some()
}

fn fits_index(found: &Found, wanted: &Wanted) -> bool {
    // Unique for more rows than in the source refuses rows that the source takes, and for fewer lets in too many.
    let rows = if wanted.unique { wanted.partial == found.partial } else { wanted.partial || !found.partial };
    let kind = rows && (found.unique || !wanted.unique);
    match &wanted.exact {
        Some(name) => {
            let columns = wanted.columns.is_empty() || found.columns == wanted.columns;
            found.name == *name && kind && columns && wanted.partial == found.partial
        }
        None => kind && found.columns == wanted.columns,
    }
}

/// Views of the source that the target lacks, by their names.
pub(crate) fn views(wanted: &[String], relations: &[Relation]) -> Vec<Difference> {
    let names: Vec<&str> = relations.iter().map(String::as_str).collect();
    let lacks = wanted.iter().filter(|name| find(name, &names).is_none());
    lacks.map(|name| Difference::of_table(name, Kind::Missing, "view", ("there", "not there"))).collect()
}

/// Triggers of the source that the target lacks, by their names.
pub(crate) fn triggers(wanted: &[(String, String)], there: &[String]) -> Vec<Difference> {
    let names: Vec<&str> = there.iter().map(String::as_str).collect();
    let lacks = wanted.iter().filter(|(name, _)| find(name, &names).is_none());
    let tell = |(name, table): &(String, String)| {
        Difference::of_table(table, Kind::Missing, &format!("trigger {name}"), ("there", "not there"))
    };
    lacks.map(tell).collect()
}

/// Which of `columns` an expression in SQLite's words names.
pub(crate) fn named(text: &str, columns: &[String]) -> Columns {
    let words = words_of(text);
    columns.iter().filter(|c| words.iter().any(|w| w.eq_ignore_ascii_case(c))).cloned().collect()
}

/// The names in an expression: neither texts nor functions.
fn words_of(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let quoted = matches!(c, '"' | '`' | '[' | '\'');
        let end = if quoted { closing(rest, c) } else { rest.find(|c| !is_word(c)).unwrap_or(rest.len()) };
        let (word, after) = rest.split_at(end.max(c.len_utf8()).min(rest.len()));
        let call = !quoted && after.trim_start().starts_with('(');
        if c != '\'' && !call && (quoted || is_word(c)) {
            words.push(ddl::bare(word));
        }
        rest = after;
    }
    words
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// Where a name or a text in quotes ends; a quote in it is doubled.
fn closing(text: &str, open: char) -> usize {
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
pub(crate) fn of_index(sql: &str) -> (String, bool) {
    ddl::with_statement(sql, |statement| match statement {
        Stmt::CreateIndex { columns, where_clause, .. } => {
            let mut texts: Vec<String> = columns.iter().map(|c| ddl::text(&c.expr)).collect();
            texts.extend(where_clause.as_ref().map(ddl::text));
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
            let expected: Columns = expected.into_iter().map(String::from).collect();
            assert_eq!(named(text, &columns), expected, "{text}");
        }
    }
}
