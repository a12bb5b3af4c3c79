//! What the file itself says of its capture: the row of `_toban_capture`, and whether the triggers are all there.

use super::keys::{CapturedTable, capture_table};
use super::triggers::{CAPTURE, FileTrigger, LOG, PREFIX, capture_triggers};
use crate::source::catalog::{self, Catalog, query_all};
use rusqlite::{Connection, OptionalExtension};
use toban_core::{Context, Error, Result};

/// A capture that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CaptureRecord {
    /// A mark of this capture alone.
    pub(crate) uuid: String,
    pub(crate) started: String,
    pub(crate) state: String,
    /// `PRAGMA schema_version` once everything was installed: a copy of an older version was made before.
    pub(crate) schema_version: i64,
    pub(crate) tables: Vec<CapturedTable>,
}

/// What the schema says now, beside what is captured.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SchemaChange {
    /// Tables whose triggers are not all as they were installed, and what follows.
    pub(crate) uncaptured: Vec<(String, String)>,
    /// What the copy's plan knows nothing of: new tables, other columns, tables that are gone.
    pub(crate) unplanned: Vec<String>,
}

/// The capture of this file; none when none was begun.
///
/// # Errors
/// Those of SQLite; Failed for a record that does not parse.
pub(crate) fn find_capture(db: &Connection) -> Result<Option<CaptureRecord>> {
    let doing = || "read the record of the capture".to_string();
    let there = "select exists (select 1 from sqlite_schema where type = 'table' and name = ?1)";
    if !db.query_row(there, [CAPTURE], |r| r.get::<_, bool>(0)).doing(doing)? {
        return Ok(None);
    }
    let sql = format!("select uuid, started, state, schema_version, tables from {CAPTURE}");
    let row = db
        .query_row(&sql, [], |r| {
            let record = CaptureRecord {
                uuid: r.get(0)?,
                started: r.get(1)?,
                state: r.get(2)?,
                schema_version: r.get(3)?,
                tables: Vec::new(),
            };
            Ok((record, r.get::<_, String>(4)?))
        })
        .optional()
        .doing(doing)?;
    let Some((record, tables)) = row else { return Ok(None) };
    Ok(Some(CaptureRecord { tables: serde_json::from_str(&tables).doing(doing)?, ..record }))
}

/// The capture, which must be there.
///
/// # Errors
/// Usage when it is not; those of [`find_capture`].
pub(crate) fn read_capture(db: &Connection) -> Result<CaptureRecord> {
    find_capture(db)?.ok_or_else(|| {
        Error::usage("the changes of this file are not captured")
            .hint("begin with: sqlite-to-pg capture DB, then copy it with: sqlite-to-pg run DB")
    })
}

/// The number of the newest entry of the log; 0 before the first.
///
/// # Errors
/// Those of SQLite.
pub(crate) fn newest_entry(db: &Connection) -> Result<i64> {
    let sql = format!("select coalesce(max(seq), 0) from {LOG}");
    db.query_row(&sql, [], |r| r.get(0)).doing(|| "read the log of changes".into())
}

/// The numbers of the entries that the log still has; 0 before the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogEntries {
    pub(crate) oldest: i64,
    pub(crate) newest: i64,
}

/// What the log holds.
///
/// # Errors
/// Those of SQLite.
pub(crate) fn entries_of(db: &Connection) -> Result<LogEntries> {
    let sql = format!("select coalesce((select min(seq) from {LOG}), 0)");
    let oldest = db.query_row(&sql, [], |r| r.get(0)).doing(|| "read the log of changes".into())?;
    Ok(LogEntries { oldest, newest: newest_entry(db)? })
}

/// `PRAGMA schema_version`.
///
/// # Errors
/// Those of SQLite.
pub(crate) fn schema_version(db: &Connection) -> Result<i64> {
    db.pragma_query_value(None, "schema_version", |r| r.get(0)).doing(|| "read the schema".into())
}

/// Compares the schema with the capture: a table that the application made anew (as its migrations do, to change a
/// column) lost our triggers without a word.
///
/// # Errors
/// Those of SQLite.
pub(crate) fn find_changes(db: &Connection, record: &CaptureRecord) -> Result<SchemaChange> {
    let catalog = catalog::read_catalog(db)?;
    let sql = format!(
        "select name, sql from sqlite_schema where type = 'trigger' and substr(name, 1, {}) = '{PREFIX}' \
                       order by name",
        PREFIX.len()
    );
    let installed = query_all(db, &sql, &[], |r| Ok(FileTrigger { name: r.get(0)?, sql: r.get(1)? }))?;
    Ok(compare_schema(&catalog, record, &installed))
}

fn compare_schema(catalog: &Catalog, record: &CaptureRecord, installed: &[FileTrigger]) -> SchemaChange {
    let mut change = SchemaChange::default();
    for table in &record.tables {
        let name = &table.name;
        let Some(raw) = catalog.tables.iter().find(|t| t.name == *name) else {
            change.unplanned.push(format!("the table {name} is gone"));
            continue;
        };
        let now = capture_table(raw, table.number);
        if now.columns != table.columns || now.key != table.key {
            change.unplanned.push(format!("the columns of {name} are others"));
            continue;
        }
        let wanted = capture_triggers(&now);
        if !wanted.iter().all(|trigger| installed.iter().any(|i| same_trigger(i, trigger))) {
            let why = "the application made the table or an index anew, and changes were not captured since";
            change.uncaptured.push((name.clone(), why.into()));
        }
    }
    let is_new = |name: &&str| !record.tables.iter().any(|t| t.name == **name);
    let new = catalog.tables.iter().map(|t| t.name.as_str()).filter(is_new);
    change.unplanned.extend(new.map(|name| format!("the table {name} is new")));
    change
}

/// SQLite keeps a statement as it was written, but for the words before the name.
fn same_trigger(installed: &FileTrigger, wanted: &FileTrigger) -> bool {
    let body = |t: &FileTrigger| t.sql.split_once(&t.name).map(|(_, rest)| rest.to_string());
    installed.name == wanted.name && body(installed) == body(wanted)
}
