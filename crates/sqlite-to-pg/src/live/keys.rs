//! How the changes of each table are captured (pure): by which key its rows are known, and which rows a write
//! replaces.

use super::uniques::{ReplacedRows, replaced_rows};
use crate::source::catalog::{Catalog, RawTable};
use serde::{Deserialize, Serialize};

/// A table, and how its changes are captured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CapturedTable {
    /// What stands for it in the log.
    pub(crate) number: i64,
    pub(crate) name: String,
    /// Each column with its declared type.
    pub(crate) columns: Vec<String>,
    /// The columns whose values the log holds. Empty: only that something changed is logged.
    pub(crate) key: Vec<String>,
    /// Why its rows are not followed by a key, and the whole table is copied again at the fence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) recopied: Option<String>,
    /// It is a virtual table: SQLite allows no triggers on it, so it counts as changed, and cannot be fenced.
    #[serde(default)]
    pub(crate) is_virtual: bool,
    /// Conditions for the rows that a write may replace.
    #[serde(skip)]
    pub(crate) replaced: Vec<ReplacedRows>,
}

/// Every table of the file, numbered from 1 in its order.
pub(crate) fn plan_capture(catalog: &Catalog) -> Vec<CapturedTable> {
    (1..).zip(&catalog.tables).map(|(number, raw)| capture_table(raw, number)).collect()
}

/// One table.
pub(crate) fn capture_table(raw: &RawTable, number: i64) -> CapturedTable {
    let column = |at: &usize| raw.columns[*at].name.clone();
    let table = CapturedTable {
        number,
        name: raw.name.clone(),
        columns: raw.columns.iter().map(|c| format!("{} {}", c.name, c.declared)).collect(),
        is_virtual: raw.of_virtual.is_some(),
        ..CapturedTable::default()
    };
    let without_key = |why: String| CapturedTable { recopied: Some(why), ..table.clone() };
    if table.is_virtual {
        return without_key("SQLite allows no triggers on a virtual table".into());
    }
    // The rowid alone is no key: VACUUM numbers the rows of such a table anew
    // (<https://sqlite.org/lang_vacuum.html>).
    if raw.key.is_empty() {
        return without_key("it has no primary key".into());
    }
    match replaced_rows(raw) {
        Ok(replaced) => CapturedTable { key: raw.key.iter().map(column).collect(), replaced, ..table },
        Err(index) => without_key(format!("which rows its unique index {index} replaces cannot be told")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::catalog::read_catalog;
    use rusqlite::Connection;

    #[test]
    fn each_table_has_a_key_or_a_reason() {
        let db = Connection::open_in_memory().expect("open");
        db.execute_batch(
            "create table a (id integer primary key, x unique); create table b (k text primary key, j);
             create table c (x, y, primary key (y, x)) without rowid; create table d (x);
             create virtual table e using fts5 (body); create table f (k text primary key collate nocase);",
        )
        .expect("schema");
        let tables = plan_capture(&read_catalog(&db).expect("catalog"));
        let told: Vec<_> = tables
            .iter()
            .map(|t| {
                let how = t.recopied.clone().unwrap_or_else(|| t.key.join(","));
                format!("{} {}: {how} {}", t.number, t.name, t.replaced.len())
            })
            .collect();
        assert_eq!(
            told,
            [
                "1 a: id 1",
                "2 b: k 0",
                "3 c: y,x 0",
                "4 d: it has no primary key 0",
                "5 e: SQLite allows no triggers on a virtual table 0",
                "6 f: k 1"
            ]
        );
    }
}
