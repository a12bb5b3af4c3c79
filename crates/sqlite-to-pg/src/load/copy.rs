//! The load: parts of all tables, taken by pairs of a reader and a connection.

use super::rejects::Rejects;
use super::stream::{Moved, Shape};
use super::threads;
use crate::plan::{Plan, Table};
use crate::source::Snapshot;
use crate::source::ranges::{self, Range};
use crate::target::{list, qualified, session};
use postgres::Client;
use postgres::error::SqlState;
use rusqlite::Connection;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use toban_core::progress::Progress;
use toban_core::sync::{into_inner, lock};
use toban_core::{Context, Result, shutdown};

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

struct Part<'s, 'p> {
    table: usize,
    shape: &'s Shape<'p>,
    range: Range,
    /// It is all of its table.
    whole: bool,
}

struct Pair<'a> {
    reader: &'a mut Connection,
    client: &'a mut Client,
}

/// Copies every table of the plan into `schema`; the answer is in the plan's order.
///
/// # Errors
/// Those of either side, naming the table; Failed for a value whose policy is to stop.
pub(crate) fn load(
    snapshot: &mut Snapshot,
    clients: &mut [Client],
    plan: &Plan,
    schema: &str,
    (rejects, quiet): (&Rejects, bool),
) -> Result<Vec<Loaded>> {
    let shapes: Vec<Shape<'_>> = plan.tables.iter().map(Shape::new).collect::<Result<_>>()?;
    let parts = parts(snapshot, &shapes, clients.len())?;
    let path = snapshot.path().to_path_buf();
    let total = plan.tables.iter().map(wire_bytes).sum();
    let bar = Bar {
        progress: Progress::bytes("copy", Some(total), quiet),
        rows: AtomicU64::new(0),
        of: plan.tables.iter().map(|t| t.rows).sum(),
    };
    let done = Mutex::new(vec![Loaded::default(); shapes.len()]);
    let next = AtomicUsize::new(0);
    let work = |pair: &mut Pair<'_>, failed: &AtomicBool| -> Result<()> {
        while let Some(part) =
            parts.get(next.fetch_add(1, Ordering::Relaxed)).filter(|_| !failed.load(Ordering::Relaxed))
        {
            shutdown::check()?;
            let began = Instant::now();
            let moved = match one(pair, part, (schema, &path), rejects, &bar) {
                Err(e) if is_too_wide(&e) => {
                    lock(&done)[part.table].too_wide = true;
                    continue;
                }
                moved => moved.map_err(|e| about(e, part.shape.table, part.range))?,
            };
            let mut done = lock(&done);
            let loaded = &mut done[part.table];
            loaded.rows += moved.rows;
            loaded.bytes += moved.bytes;
            loaded.time += began.elapsed();
        }
        Ok(())
    };
    let readers = snapshot.readers().iter_mut();
    let mut pairs: Vec<Pair<'_>> =
        readers.zip(clients.iter_mut()).map(|(reader, client)| Pair { reader, client }).collect();
    threads::each(&mut pairs, &work)?;
    Ok(into_inner(done))
}

fn is_too_wide(e: &toban_core::Error) -> bool {
    let first: Option<&(dyn std::error::Error + 'static)> = Some(e);
    std::iter::successors(first, |e| e.source())
        .filter_map(|e| e.downcast_ref::<postgres::Error>())
        .any(|e| e.code() == Some(&SqlState::PROGRAM_LIMIT_EXCEEDED))
}

/// About what a table is in COPY's form: each row and each field has its length before it.
fn wire_bytes(table: &Table) -> u64 {
    table.bytes + table.rows * (2 + 4 * table.columns.len() as u64)
}

fn about(e: toban_core::Error, table: &Table, range: Range) -> toban_core::Error {
    let kind = e.kind();
    toban_core::Error::new(kind, format!("copy {}", session::part(&table.source, range))).because(e)
}

/// The largest tables first, so that the last part to end is a small one. A table that is no more than the share of
/// one connection goes over one, which spares the server work; a larger one over all.
fn parts<'s, 'p>(
    snapshot: &Snapshot,
    shapes: &'s [Shape<'p>],
    connections: usize,
) -> Result<Vec<Part<'s, 'p>>> {
    let share = shapes.iter().map(|s| s.table.bytes).sum::<u64>() / connections.max(1) as u64;
    let mut order: Vec<usize> = (0..shapes.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(shapes[*at].table.bytes));
    let mut parts = Vec::new();
    for table in order {
        let shape = &shapes[table];
        let ranges = match shape.table.bytes <= share {
            true => vec![None],
            false => ranges::of(snapshot.first(), &shape.table.source, shape.table.rowid.as_deref())?,
        };
        let whole = ranges.len() == 1;
        parts.extend(ranges.into_iter().map(|range| Part { table, shape, range, whole }));
    }
    Ok(parts)
}

fn one(
    pair: &mut Pair<'_>,
    part: &Part<'_, '_>,
    (schema, path): (&str, &Path),
    rejects: &Rejects,
    bar: &Bar,
) -> Result<Moved> {
    let into = qualified(schema, &part.shape.table.target);
    let mut work = pair.client.transaction().doing(|| "begin COPY".into())?;
    if part.whole {
        // Rows of a table that this transaction emptied may be written frozen: nobody has to look at, mark and write
        // them once more, neither the indexes nor the first VACUUM.
        work.batch_execute(&format!("truncate {into}")).doing(|| "begin COPY".into())?;
    }
    let mut writer = work.copy_in(&statement(part, &into)).doing(|| "begin COPY".into())?;
    let mut before = 0;
    let moved = part.shape.stream((pair.reader, path), part.range, rejects, &mut |bytes, rows| {
        bar.add(bytes.len() as u64, rows - std::mem::replace(&mut before, rows));
        writer.write_all(bytes).doing(|| "send rows".into())
    })?;
    writer.finish().doing(|| "end COPY".into())?;
    work.commit().doing(|| "end COPY".into())?;
    Ok(moved)
}

fn statement(part: &Part<'_, '_>, into: &str) -> String {
    let columns: Vec<&str> = part.shape.table.copied().map(|c| c.target.as_str()).collect();
    let columns = if columns.is_empty() { String::new() } else { format!("({}) ", list(&columns)) };
    let freeze = if part.whole { ", freeze" } else { "" };
    format!("copy {into} {columns}from stdin (format binary{freeze})")
}

/// How far it is: the bar counts bytes, and says rows.
struct Bar {
    progress: Progress,
    rows: AtomicU64,
    of: u64,
}

impl Bar {
    fn add(&self, bytes: u64, rows: u64) {
        let rows = self.rows.fetch_add(rows, Ordering::Relaxed) + rows;
        self.progress.say(&format!("copy {rows} of {} rows", self.of));
        self.progress.add(bytes);
    }
}
