//! The load: parts of all tables, taken by pairs of a reader and a connection.

use super::rejects::Rejects;
use super::stream::{Moved, Output, TableStream};
use crate::model::{Plan, Table};
use crate::source::Snapshot;
use crate::source::ranges::{self, RowidRange};
use crate::threads;
use migrate::sql::{name_list, qualified_name};
use postgres::Client;
use postgres::error::SqlState;
use rusqlite::Connection;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use toban_core::progress::Progress;
use toban_core::{Context, Error, Result};

/// What became of one table.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// Of all connections together.
    pub(crate) time: Duration,
    /// PostgreSQL does not take one of its rows: it is too wide for a page.
    pub(crate) too_wide: bool,
}

impl Loaded {
    fn add_part(&mut self, more: Loaded) {
        self.rows += more.rows;
        self.bytes += more.bytes;
        self.time += more.time;
        self.too_wide |= more.too_wide;
    }
}

struct CopyPart<'s, 'p> {
    table: usize,
    stream: &'s TableStream<'p>,
    range: RowidRange,
    /// It is all of its table.
    whole: bool,
}

struct Connections<'a> {
    reader: &'a mut Connection,
    client: &'a mut Client,
}

/// What one load needs to know.
pub(crate) struct Load<'a> {
    pub(crate) plan: &'a Plan,
    /// Where the tables are.
    pub(crate) schema: &'a str,
    pub(crate) rejects: &'a Rejects,
    pub(crate) quiet: bool,
}

impl Load<'_> {
    /// Copies every table of the plan; the answer is in the plan's order.
    ///
    /// # Errors
    /// Those of either side, naming the table; Failed for a value whose policy is to stop.
    pub(crate) fn copy_tables(&self, snapshot: &mut Snapshot, clients: &mut [Client]) -> Result<Vec<Loaded>> {
        let (tables, path) = (&self.plan.tables, snapshot.path().to_path_buf());
        let streams: Vec<_> = tables.iter().map(|t| TableStream::new(t, &path)).collect::<Result<_>>()?;
        let parts = cut_parts(snapshot, &streams, clients.len())?;
        let bar = CopyProgress {
            progress: Progress::bytes("copy", Some(tables.iter().map(wire_bytes).sum()), self.quiet),
            rows: AtomicU64::new(0),
            of: tables.iter().map(|t| t.rows).sum(),
        };
        let readers = snapshot.readers().iter_mut();
        let mut pairs: Vec<Connections<'_>> =
            readers.zip(clients.iter_mut()).map(|(reader, client)| Connections { reader, client }).collect();
        let copied = threads::share(&mut pairs, &parts, |pair, part| {
            let began = Instant::now();
            match self.copy_part(pair, part, &bar) {
                // Not this run's end: the table is left out and named, and the others go on.
                Err(e) if is_too_wide(&e) => Ok(Loaded { too_wide: true, ..Loaded::default() }),
                Err(e) => Err(name_part(e, part)),
                Ok(Moved { rows, bytes }) => {
                    Ok(Loaded { rows, bytes, time: began.elapsed(), too_wide: false })
                }
            }
        })?;
        let mut loaded = vec![Loaded::default(); tables.len()];
        parts.iter().zip(copied).for_each(|(part, more)| loaded[part.table].add_part(more));
        Ok(loaded)
    }

    fn copy_part(
        &self,
        pair: &mut Connections<'_>,
        part: &CopyPart<'_, '_>,
        bar: &CopyProgress,
    ) -> Result<Moved> {
        let into = qualified_name(self.schema, &part.stream.table.target);
        // One transaction for each part: a part that fails leaves no rows, and the others are not undone with it. All of it lies in
        // a schema that is dropped unless the whole run succeeds.
        let mut work = pair.client.transaction().doing(|| "begin COPY".into())?;
        if part.whole {
            // Rows of a table that this transaction emptied may be written frozen: neither the indexes nor the first
            // VACUUM have to look at, mark and write them once more.
            work.batch_execute(&format!("truncate {into}")).doing(|| "begin COPY".into())?;
        }
        // FREEZE is allowed only in the transaction that made or emptied the table (manual, "COPY"); that of a part of
        // a table would undo the others.
        let mut writer = work.copy_in(&copy_sql(part, &into)).doing(|| "begin COPY".into())?;
        let mut before = 0;
        let mut send = |bytes: &[u8], rows: u64| {
            bar.add_bytes(bytes.len() as u64, rows - std::mem::replace(&mut before, rows));
            writer.write_all(bytes).doing(|| "send rows".into())
        };
        let out = Output { rejects: self.rejects, send: &mut send };
        let moved = part.stream.copy_part(pair.reader, part.range, out)?;
        writer.finish().doing(|| "end COPY".into())?;
        work.commit().doing(|| "end COPY".into())?;
        Ok(moved)
    }
}

fn is_too_wide(e: &Error) -> bool {
    let first: Option<&(dyn std::error::Error + 'static)> = Some(e);
    std::iter::successors(first, |e| e.source())
        .filter_map(|e| e.downcast_ref::<postgres::Error>())
        .any(|e| e.code() == Some(&SqlState::PROGRAM_LIMIT_EXCEEDED))
}

/// About what a table is in COPY's form: each row and each field has its length before it.
fn wire_bytes(table: &Table) -> u64 {
    table.bytes + table.rows * (2 + 4 * table.columns.len() as u64)
}

fn name_part(e: Error, part: &CopyPart<'_, '_>) -> Error {
    let table = &part.stream.table.source;
    let name = match part.range {
        Some((low, high)) => format!("copy {table} ({low} to {high})"),
        None => format!("copy {table}"),
    };
    Error::new(e.kind(), name).because(e)
}

/// The largest tables first, so that the last part to end is a small one. A table that is no more than the share of
/// one connection goes over one, which spares the server work; a larger one over all.
fn cut_parts<'s, 'p>(
    snapshot: &Snapshot,
    streams: &'s [TableStream<'p>],
    connections: usize,
) -> Result<Vec<CopyPart<'s, 'p>>> {
    let share = streams.iter().map(|s| s.table.bytes).sum::<u64>() / connections.max(1) as u64;
    let mut order: Vec<usize> = (0..streams.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(streams[*at].table.bytes));
    let mut parts = Vec::new();
    for table in order {
        let stream = &streams[table];
        let ranges = match stream.table.bytes <= share {
            true => vec![None],
            false => ranges::ranges_of(
                snapshot.first_reader(),
                &stream.table.source,
                stream.table.rowid.as_deref(),
            )?,
        };
        let whole = ranges.len() == 1;
        parts.extend(ranges.into_iter().map(|range| CopyPart { table, stream, range, whole }));
    }
    Ok(parts)
}

fn copy_sql(part: &CopyPart<'_, '_>, into: &str) -> String {
    let columns: Vec<&str> = part.stream.table.copied_columns().map(|c| c.target.as_str()).collect();
    let columns = if columns.is_empty() { String::new() } else { format!("({}) ", name_list(&columns)) };
    let freeze = if part.whole { ", freeze" } else { "" };
    format!("copy {into} {columns}from stdin (format binary{freeze})")
}

/// How far it is: the bar counts bytes, and says rows.
struct CopyProgress {
    progress: Progress,
    rows: AtomicU64,
    of: u64,
}

impl CopyProgress {
    fn add_bytes(&self, bytes: u64, rows: u64) {
        let rows = self.rows.fetch_add(rows, Ordering::Relaxed) + rows;
        self.progress.say(&format!("copy {rows} of {} rows", self.of));
        self.progress.add(bytes);
    }
}
