//! The scan: all tables, in parts, by as many threads as there are readers.

use super::declared_type;
use super::stats::ColumnStats;
use crate::source::catalog::RawTable;
use crate::source::ranges::{self, Query, RowidRange};
use crate::source::{Snapshot, display_value, open};
use crate::threads;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use std::path::Path;
use toban_core::progress::Progress;
use toban_core::{Error, Kind, Result};

/// What one table holds.
#[derive(Debug, Default)]
pub(crate) struct TableStats {
    pub(crate) rows: u64,
    pub(crate) columns: Vec<ColumnStats>,
    /// Why SQLite does not give its rows, though the file is whole.
    pub(crate) unreadable: Option<String>,
}

struct ScanPart<'t> {
    table: usize,
    raw: &'t RawTable,
    range: RowidRange,
}

/// Counts every value of `tables`; the answer is in their order.
///
/// # Errors
/// Those of SQLite, a damaged page among them; Retry when told to stop. A table that only the application can read is
/// no error, and the answer says so.
pub(crate) fn scan_tables(
    snapshot: &mut Snapshot,
    tables: &[RawTable],
    quiet: bool,
) -> Result<Vec<TableStats>> {
    let mut parts = Vec::new();
    for (table, raw) in tables.iter().enumerate() {
        let ranges =
            ranges::ranges_of(snapshot.first_reader(), &raw.name, raw.rowid.as_deref()).unwrap_or(vec![None]);
        parts.extend(ranges.into_iter().map(|range| ScanPart { table, raw, range }));
    }
    let path = snapshot.path().to_path_buf();
    // The file's size stands for the bytes of all values, which nobody knows before they are counted.
    let size = path.metadata().map(|m| m.len()).ok();
    let progress = Progress::bytes("look at every value", size, quiet);
    let counted = threads::share(snapshot.readers(), &parts, |reader, part| {
        let counted = match count_part(reader, part, &path) {
            // A table that needs a function or a module of the application is left out by name; damage ends the run.
            Err(e) if e.kind() == Kind::Failed => {
                TableStats { unreadable: Some(e.chain()), columns: empty_stats(part.raw), rows: 0 }
            }
            counted => counted?,
        };
        progress.add(counted.columns.iter().map(|c| c.bytes).sum());
        Ok(counted)
    })?;
    Ok(join_parts(tables, &parts, &counted))
}

fn join_parts(tables: &[RawTable], parts: &[ScanPart<'_>], done: &[TableStats]) -> Vec<TableStats> {
    let mut all: Vec<TableStats> =
        tables.iter().map(|raw| TableStats { columns: empty_stats(raw), ..TableStats::default() }).collect();
    for (part, counted) in parts.iter().zip(done) {
        let whole = &mut all[part.table];
        whole.unreadable = whole.unreadable.take().or(counted.unreadable.clone());
        whole.rows += counted.rows;
        whole.columns.iter_mut().zip(&counted.columns).for_each(|(w, c)| w.join_stats(c));
    }
    all
}

fn empty_stats(raw: &RawTable) -> Vec<ColumnStats> {
    raw.columns.iter().map(|c| ColumnStats::new(declared_type::parse_declared(&c.declared))).collect()
}

fn count_part(reader: &Connection, part: &ScanPart<'_>, path: &Path) -> Result<TableStats> {
    let raw = part.raw;
    let rowid = raw.rowid.as_deref();
    let mut columns: Vec<String> = raw.columns.iter().map(|c| c.name.clone()).collect();
    columns.extend(rowid.map(String::from));
    let query = Query { table: &raw.name, columns: &columns, rowid, range: part.range };
    let mut counted = TableStats { columns: empty_stats(raw), ..TableStats::default() };
    let mut before = None;
    let read = query.for_each(reader, path, |row| {
        counted.rows += 1;
        let key = || key_of(row, raw);
        for (at, stats) in counted.columns.iter_mut().enumerate() {
            stats.add_value(row.get_ref(at).map_err(|e| open::explain_error(e, path))?, &key);
        }
        check_ascending(row, raw, &mut before, path)
    });
    read.map_err(|e| Error::new(e.kind(), format!("look at {}", raw.name)).because(e))?;
    Ok(counted)
}

/// A damaged tree may give rows twice or leave some out; then rowids do not ascend.
fn check_ascending(row: &Row<'_>, raw: &RawTable, before: &mut Option<i64>, path: &Path) -> Result<()> {
    // Without a rowid there is no such column, and the rows have another order.
    let Ok(ValueRef::Integer(now)) = row.get_ref(raw.columns.len()) else { return Ok(()) };
    if before.is_some_and(|b| b >= now) {
        return Err(Error::corrupt(format!("read {}: {}: rows are out of order", path.display(), raw.name))
            .hint("the file is damaged: sqlite3's .recover saves what can be read"));
    }
    *before = Some(now);
    Ok(())
}

/// What names a row to a person: its primary key, else its rowid.
pub(crate) fn key_of(row: &Row<'_>, raw: &RawTable) -> String {
    let shown = |at: usize| row.get_ref(at).map_or_else(|_| "?".into(), display_value);
    match raw.key.as_slice() {
        [] if raw.rowid.is_some() => format!("rowid {}", shown(raw.columns.len())),
        [] => "?".into(),
        key => key.iter().map(|k| shown(*k)).collect::<Vec<_>>().join(", "),
    }
}
