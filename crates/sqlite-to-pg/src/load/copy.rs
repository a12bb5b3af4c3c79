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
    /// What became of another part.
    pub(crate) fn add_part(&mut self, more: Loaded) {
        self.rows += more.rows;
        self.bytes += more.bytes;
        self.time += more.time;
        self.too_wide |= more.too_wide;
    }
}

/// What one connection copies at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadPart {
    /// The place of its table.
    pub(crate) table: usize,
    pub(crate) range: RowidRange,
    /// It is all of its table.
    pub(crate) whole: bool,
}

impl LoadPart {
    /// The statements that begin it: what goes before COPY, and COPY itself.
    pub(crate) fn begin_sql(&self, table: &Table, schema: &str) -> (Option<String>, String) {
        let into = qualified_name(schema, &table.target);
        let columns: Vec<&str> = table.copied_columns().map(|c| c.target.as_str()).collect();
        let columns = if columns.is_empty() { String::new() } else { format!("({}) ", name_list(&columns)) };
        // Rows of a table that this transaction emptied may be written frozen: neither the indexes nor the first
        // VACUUM have to look at, mark and write them once more. FREEZE is allowed only in the transaction that made or
        // emptied the table (manual, "COPY"); that of a part of a table would undo the others.
        let freeze = if self.whole { ", freeze" } else { "" };
        let copy = format!("copy {into} {columns}from stdin (format binary{freeze})");
        (self.whole.then(|| format!("truncate {into}")), copy)
    }
}

/// A table as it is cut into parts.
pub(crate) struct LoadTable<'a> {
    /// Its name in SQLite.
    pub(crate) name: &'a str,
    pub(crate) rowid: Option<&'a str>,
    pub(crate) bytes: u64,
}

/// A reader of the source, and a session of the target.
pub(crate) struct LoadConnections<'a> {
    pub(crate) reader: &'a mut Connection,
    pub(crate) client: &'a mut Client,
}

impl LoadConnections<'_> {
    /// As many as there are of both.
    pub(crate) fn pair<'a>(
        readers: &'a mut [Connection],
        clients: &'a mut [Client],
    ) -> Vec<LoadConnections<'a>> {
        let pairs = readers.iter_mut().zip(clients);
        pairs.map(|(reader, client)| LoadConnections { reader, client }).collect()
    }
}

/// A part, and how its rows are read and written.
struct PartStream<'a> {
    part: &'a LoadPart,
    stream: &'a TableStream<'a>,
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
        let sizes =
            tables.iter().map(|t| LoadTable { name: &t.source, rowid: t.rowid.as_deref(), bytes: t.bytes });
        let parts = cut_parts(snapshot, &sizes.collect::<Vec<_>>(), clients.len())?;
        let bar = CopyProgress {
            progress: Progress::bytes("copy", Some(tables.iter().map(wire_bytes).sum()), self.quiet),
            rows: AtomicU64::new(0),
            of: tables.iter().map(|t| t.rows).sum(),
        };
        let mut pairs = LoadConnections::pair(snapshot.readers(), clients);
        let copied = threads::share(&mut pairs, &parts, |pair, part| {
            let (began, stream) = (Instant::now(), &streams[part.table]);
            match self.copy_part(pair, &PartStream { part, stream }, &bar) {
                // Not this run's end: the table is left out and named, and the others go on.
                Err(e) if is_too_wide(&e) => Ok(Loaded { too_wide: true, ..Loaded::default() }),
                Err(e) => Err(name_part(e, part, &tables[part.table].source)),
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
        pair: &mut LoadConnections<'_>,
        PartStream { part, stream }: &PartStream<'_>,
        bar: &CopyProgress,
    ) -> Result<Moved> {
        let (before, copy) = part.begin_sql(stream.table, self.schema);
        // One transaction for each part: a part that fails leaves no rows, and the others are not undone with it. All of it lies in
        // a schema that is dropped unless the whole run succeeds.
        let mut work = pair.client.transaction().doing(|| "begin COPY".into())?;
        if let Some(sql) = before {
            work.batch_execute(&sql).doing(|| "begin COPY".into())?;
        }
        let mut writer = work.copy_in(&copy).doing(|| "begin COPY".into())?;
        let mut before = 0;
        let mut send = |bytes: &[u8], rows: u64| {
            bar.add_bytes(bytes.len() as u64, rows - std::mem::replace(&mut before, rows));
            writer.write_all(bytes).doing(|| "send rows".into())
        };
        let out = Output { rejects: self.rejects, send: &mut send };
        let moved = stream.copy_part(pair.reader, part.range, out)?;
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

fn name_part(e: Error, part: &LoadPart, table: &str) -> Error {
    let name = match part.range {
        Some((low, high)) => format!("copy {table} ({low} to {high})"),
        None => format!("copy {table}"),
    };
    Error::new(e.kind(), name).because(e)
}

/// The largest tables first, so that the last part to end is a small one. A table that is no more than the share of
/// one connection goes over one, which spares the server work; a larger one over all.
pub(crate) fn cut_parts(
    snapshot: &Snapshot,
    tables: &[LoadTable<'_>],
    connections: usize,
) -> Result<Vec<LoadPart>> {
    let share = tables.iter().map(|t| t.bytes).sum::<u64>() / connections.max(1) as u64;
    let mut order: Vec<usize> = (0..tables.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(tables[*at].bytes));
    let mut parts = Vec::new();
    for table in order {
        let LoadTable { name, rowid, bytes } = tables[table];
        let ranges = match bytes <= share {
            true => vec![None],
            false => ranges::ranges_of(snapshot.first_reader(), name, rowid)?,
        };
        let whole = ranges.len() == 1;
        parts.extend(ranges.into_iter().map(|range| LoadPart { table, range, whole }));
    }
    Ok(parts)
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
