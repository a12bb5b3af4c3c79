//! The scan: all tables, in parts, by as many threads as there are readers.

use super::declared_type;
use super::stats::ColumnStats;
use crate::load::encode::Encoder;
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

impl TableStats {
    /// Nothing yet.
    pub(crate) fn new(raw: &RawTable) -> TableStats {
        let empty = raw.columns.iter().map(|c| ColumnStats::new(declared_type::parse_declared(&c.declared)));
        TableStats { columns: empty.collect(), ..TableStats::default() }
    }

    /// Bytes of all values.
    pub(crate) fn count_bytes(&self) -> u64 {
        self.columns.iter().map(|c| c.bytes).sum()
    }

    fn join_part(&mut self, part: TableStats) {
        self.unreadable = self.unreadable.take().or(part.unreadable);
        self.rows += part.rows;
        self.columns.iter_mut().zip(&part.columns).for_each(|(whole, part)| whole.join_stats(part));
    }

    /// Makes a sample stand for the whole: by the rowids between which it lies, and never for more than the file has bytes.
    fn extrapolate(&mut self, ranges: &[RowidRange], limit: usize, size: u64) {
        let all = match (ranges.first(), ranges.last()) {
            (Some(Some((low, _))), Some(Some((_, high)))) => high.abs_diff(*low).saturating_add(1),
            // How long a table without a rowid goes on, only its end would tell.
            _ if self.rows >= limit as u64 => u64::MAX,
            _ => return,
        };
        let bytes = self.count_bytes();
        if bytes == 0 || all <= self.rows {
            return;
        }
        let factor = (all as f64 / self.rows as f64).min(size as f64 / bytes as f64).max(1.0);
        let grow = |n: u64| (n as f64 * factor) as u64;
        self.rows = grow(self.rows);
        self.columns.iter_mut().for_each(|c| c.bytes = grow(c.bytes));
    }
}

/// What one thread counts at a time.
pub(crate) struct ScanPart<'t> {
    /// The table's place in the catalogue.
    pub(crate) table: usize,
    pub(crate) raw: &'t RawTable,
    pub(crate) range: RowidRange,
    /// At most so many rows.
    pub(crate) limit: Option<usize>,
}

/// Rows of one table that are a sample of it, and stretches of neighbours that they lie in at most.
const SAMPLE: usize = 2000;
const STRETCHES: usize = 8;

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
        let ranges = list_ranges(snapshot.first_reader(), raw);
        parts.extend(ranges.into_iter().map(|range| ScanPart { table, raw, range, limit: None }));
    }
    let path = snapshot.path().to_path_buf();
    // The file's size stands for the bytes of all values, which nobody knows before they are counted.
    let size = path.metadata().map(|m| m.len()).ok();
    let progress = Progress::bytes("look at every value", size, quiet);
    let counted = threads::share(snapshot.readers(), &parts, |reader, part| {
        let counted = count_part(reader, part, &path)?;
        progress.add(counted.count_bytes());
        Ok((part.table, counted))
    })?;
    Ok(join_parts(tables, counted))
}

/// Counts the values of a few rows of each table, from its beginning to its end. How many rows and bytes a table has is then a
/// guess.
///
/// # Errors
/// Those of [`scan_tables`].
pub(crate) fn sample_tables(snapshot: &Snapshot, tables: &[RawTable]) -> Result<Vec<TableStats>> {
    let size = snapshot.path().metadata().map_or(0, |m| m.len());
    tables.iter().map(|raw| sample_table(snapshot, raw, size)).collect()
}

fn sample_table(snapshot: &Snapshot, raw: &RawTable, size: u64) -> Result<TableStats> {
    let ranges = list_ranges(snapshot.first_reader(), raw);
    let step = ranges.len().div_ceil(STRETCHES);
    let limit = SAMPLE / ranges.len().clamp(1, STRETCHES);
    let mut whole = TableStats::new(raw);
    for range in ranges.iter().step_by(step) {
        let part = ScanPart { table: 0, raw, range: *range, limit: Some(limit) };
        whole.join_part(count_part(snapshot.first_reader(), &part, snapshot.path())?);
    }
    whole.extrapolate(&ranges, limit, size);
    Ok(whole)
}

fn list_ranges(reader: &Connection, raw: &RawTable) -> Vec<RowidRange> {
    ranges::ranges_of(reader, &raw.name, raw.rowid.as_deref()).unwrap_or(vec![None])
}

/// The sum of parts, each with the place of its table.
pub(crate) fn join_parts(tables: &[RawTable], parts: Vec<(usize, TableStats)>) -> Vec<TableStats> {
    let mut all: Vec<TableStats> = tables.iter().map(TableStats::new).collect();
    parts.into_iter().for_each(|(table, counted)| all[table].join_part(counted));
    all
}

/// Counts one part. A table that needs a function or a module of the application is left out by name; damage ends the run.
pub(crate) fn count_part(reader: &Connection, part: &ScanPart<'_>, path: &Path) -> Result<TableStats> {
    let raw = part.raw;
    let rowid = raw.rowid.as_deref();
    let mut columns: Vec<String> = raw.columns.iter().map(|c| c.name.clone()).collect();
    columns.extend(rowid.map(String::from));
    let query = Query {
        table: &raw.name,
        columns: &columns,
        expressions: &[],
        rowid,
        range: part.range,
        limit: part.limit,
    };
    let mut counter = RowCounter::new(raw, path, rowid.map(|_| raw.columns.len()));
    let read = query.for_each(reader, path, |row| counter.add_row(row, None));
    counter.end_part(read)
}

/// Counts the values of rows, one row after the other.
pub(crate) struct RowCounter<'t> {
    raw: &'t RawTable,
    path: &'t Path,
    /// Where the rowid is in a row.
    rowid: Option<usize>,
    before: Option<i64>,
    counted: TableStats,
}

impl<'t> RowCounter<'t> {
    /// Of rows that begin with the table's columns.
    pub(crate) fn new(raw: &'t RawTable, path: &'t Path, rowid: Option<usize>) -> RowCounter<'t> {
        RowCounter { raw, path, rowid, before: None, counted: TableStats::new(raw) }
    }

    /// One row more, all of whose values were taken by the encoders of `fitting`, where there are any.
    ///
    /// # Errors
    /// Corrupt when it does not come after the last one: a damaged tree may give rows twice or leave some out.
    pub(crate) fn add_row(&mut self, row: &Row<'_>, fitting: Option<&[Encoder]>) -> Result<()> {
        let RowCounter { raw, path, counted, .. } = self;
        counted.rows += 1;
        let key = || key_of(row, raw);
        for (at, stats) in counted.columns.iter_mut().enumerate() {
            let value = row.get_ref(at).map_err(|e| open::explain_error(e, path))?;
            match fitting {
                Some(encoders) => stats.add_fitting_value(value, &encoders[at], &key),
                None => stats.add_value(value, &key),
            }
        }
        // Without a rowid there is no such column, and the rows have another order.
        let Some(Ok(ValueRef::Integer(now))) = self.rowid.map(|at| row.get_ref(at)) else { return Ok(()) };
        if self.before.is_some_and(|before| before >= now) {
            let message = format!("read {}: {}: rows are out of order", path.display(), raw.name);
            return Err(Error::corrupt(message)
                .hint("the file is damaged: sqlite3's .recover saves what can be read"));
        }
        self.before = Some(now);
        Ok(())
    }

    /// What was counted, when reading ended with `read`.
    ///
    /// # Errors
    /// Those of `read`, but for a table that only the application can read.
    pub(crate) fn end_part(self, read: Result<()>) -> Result<TableStats> {
        match read {
            Ok(()) => Ok(self.counted),
            Err(e) => {
                let e = Error::new(e.kind(), format!("look at {}", self.raw.name)).because(e);
                if e.kind() != Kind::Failed {
                    return Err(e);
                }
                Ok(TableStats { unreadable: Some(e.chain()), ..TableStats::new(self.raw) })
            }
        }
    }
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
