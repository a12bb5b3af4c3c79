//! The scan: all tables, in parts, by as many threads as there are readers.

use super::tally::Tally;
use super::wish;
use crate::source::catalog::{self, RawTable};
use crate::source::ranges::{self, Range};
use crate::source::{Snapshot, open};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use toban_core::progress::Progress;
use toban_core::sync::{into_inner, lock};
use toban_core::{Error, Kind, Result, shutdown};

/// What one table holds.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    pub(crate) rows: u64,
    pub(crate) columns: Vec<Tally>,
    /// Why SQLite does not give its rows, though the file is whole.
    pub(crate) unreadable: Option<String>,
}

struct Part<'t> {
    table: usize,
    raw: &'t RawTable,
    range: Range,
}

/// Counts every value of `tables`; the answer is in their order.
///
/// # Errors
/// Those of SQLite, a damaged page among them; Retry when told to stop. A table that only the application can read is
/// no error, and the answer says so.
pub(crate) fn scan(snapshot: &mut Snapshot, tables: &[RawTable], quiet: bool) -> Result<Vec<Counted>> {
    let mut parts = Vec::new();
    for (table, raw) in tables.iter().enumerate() {
        let ranges = ranges::of(snapshot.first(), &raw.name, raw.rowid.as_deref()).unwrap_or(vec![None]);
        parts.extend(ranges.into_iter().map(|range| Part { table, raw, range }));
    }
    let path = snapshot.path().to_path_buf();
    let size = path.metadata().map(|m| m.len()).ok();
    let progress = Progress::bytes("look at every value", size, quiet);
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<Counted>>> = Mutex::new(parts.iter().map(|_| None).collect());
    let work = |reader: &mut Connection, failed: &AtomicBool| -> Result<()> {
        while let Some((at, part)) = take(&next, &parts).filter(|_| !failed.load(Ordering::Relaxed)) {
            shutdown::check()?;
            let counted = match count(reader, part, &path) {
                Err(e) if e.kind() == Kind::Failed => {
                    Counted { unreadable: Some(e.chain()), columns: tallies(part.raw), rows: 0 }
                }
                counted => counted?,
            };
            progress.add(counted.columns.iter().map(|c| c.bytes).sum());
            lock(&done)[at] = Some(counted);
        }
        Ok(())
    };
    crate::load::threads::each(snapshot.readers(), &work)?;
    let done = into_inner(done);
    Ok(join(tables, &parts, done))
}

fn take<'p, 't>(next: &AtomicUsize, parts: &'p [Part<'t>]) -> Option<(usize, &'p Part<'t>)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    parts.get(at).map(|part| (at, part))
}

fn join(tables: &[RawTable], parts: &[Part<'_>], done: Vec<Option<Counted>>) -> Vec<Counted> {
    let mut all: Vec<Counted> =
        tables.iter().map(|raw| Counted { columns: tallies(raw), ..Counted::default() }).collect();
    for (part, counted) in parts.iter().zip(done) {
        let Some(counted) = counted else { continue };
        let whole = &mut all[part.table];
        whole.unreadable = whole.unreadable.take().or(counted.unreadable);
        whole.rows += counted.rows;
        whole.columns.iter_mut().zip(&counted.columns).for_each(|(w, c)| w.join(c));
    }
    all
}

fn tallies(raw: &RawTable) -> Vec<Tally> {
    raw.columns.iter().map(|c| Tally::new(wish::of(&c.declared))).collect()
}

fn count(reader: &Connection, part: &Part<'_>, path: &Path) -> Result<Counted> {
    let raw = part.raw;
    let explain = |e| broken(e, raw, path);
    let rowid = raw.rowid.as_deref();
    let mut names: Vec<String> = raw.columns.iter().map(|c| c.name.clone()).collect();
    names.extend(rowid.map(String::from));
    let mut statement =
        reader.prepare(&catalog::select(&raw.name, &names, rowid, part.range.is_some())).map_err(explain)?;
    if let Some((low, high)) = part.range {
        statement.raw_bind_parameter(1, low).map_err(explain)?;
        statement.raw_bind_parameter(2, high).map_err(explain)?;
    }
    let mut counted = Counted { columns: tallies(raw), ..Counted::default() };
    let mut before = None;
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next().map_err(explain)? {
        counted.rows += 1;
        let key = || key_of(row, raw);
        for (at, tally) in counted.columns.iter_mut().enumerate() {
            tally.add(row.get_ref(at).map_err(explain)?, &key);
        }
        if rowid.is_some() {
            ascends(row, raw, &mut before, path)?;
        }
    }
    Ok(counted)
}

/// A damaged tree may give rows twice or leave some out; then rowids do not ascend.
fn ascends(row: &Row<'_>, raw: &RawTable, before: &mut Option<i64>, path: &Path) -> Result<()> {
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
    let shown = |at: usize| row.get_ref(at).map_or_else(|_| "?".into(), show);
    match raw.key.as_slice() {
        [] if raw.rowid.is_some() => format!("rowid {}", shown(raw.columns.len())),
        [] => "?".into(),
        key => key.iter().map(|k| shown(*k)).collect::<Vec<_>>().join(", "),
    }
}

/// A value for people, cut where it is long.
pub(crate) fn show(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".into(),
        ValueRef::Integer(n) => n.to_string(),
        ValueRef::Real(n) => format!("{n:?}"),
        ValueRef::Text(t) => {
            let text = String::from_utf8_lossy(t);
            text[..text.floor_char_boundary(60)].to_string()
        }
        ValueRef::Blob(b) => {
            let mut hex = Vec::from(*b"x'");
            crate::load::words::hex(&b[..b.len().min(30)], &mut hex);
            String::from_utf8_lossy(&hex).into_owned() + "'"
        }
    }
}

fn broken(e: rusqlite::Error, raw: &RawTable, path: &Path) -> Error {
    let inner = open::explain(e, path);
    let kind = inner.kind();
    Error::new(kind, format!("look at {}", raw.name)).because(inner)
}
