//! The SQLite file: opened without being written to, its schema, and one snapshot for several readers.

pub(crate) mod catalog;
pub(crate) mod damage;
pub(crate) mod ddl;
pub(crate) mod log;
pub(crate) mod open;
pub(crate) mod ranges;
pub(crate) mod snapshot;

pub(crate) use snapshot::Snapshot;

/// A name as SQLite's SQL wants it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
