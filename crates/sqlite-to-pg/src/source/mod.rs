//! The SQLite file: opened without being written to, its schema, and one snapshot for several readers.

pub(crate) mod catalog;
pub(crate) mod damage;
pub(crate) mod ddl;
pub(crate) mod log;
pub(crate) mod open;
pub(crate) mod orphans;
pub(crate) mod ranges;
pub(crate) mod salvage;
pub(crate) mod snapshot;
pub(crate) mod virtual_table;

pub(crate) use snapshot::Snapshot;

use rusqlite::types::ValueRef;

/// A name as SQLite's SQL wants it.
pub(crate) fn quote_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A value for people, cut where it is long.
pub(crate) fn display_value(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".into(),
        ValueRef::Integer(n) => n.to_string(),
        ValueRef::Real(n) => format!("{n:?}"),
        ValueRef::Text(t) => {
            let text = String::from_utf8_lossy(t);
            text[..text.floor_char_boundary(60)].to_string()
        }
        ValueRef::Blob(b) => format!("x'{}'", toban_core::sum::hex(&b[..b.len().min(30)])),
    }
}
