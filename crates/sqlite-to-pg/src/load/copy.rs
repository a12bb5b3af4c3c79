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
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use toban_core::progress::Progress;
use toban_core::{Context, Result, stop};

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
    let parts = parts(snapshot, &shapes)?;
    let path = snapshot.path().to_path_buf();
    let total = plan.tables.iter().map(wire_bytes).sum();
    let rows: u64 = plan.tables.iter().map(|t| t.rows).sum();
    let progress = Progress::bytes(&format!("copy {rows} rows"), Some(total), quiet);
    let done = Mutex::new(vec![Loaded::default(); shapes.len()]);
    let next = AtomicUsize::new(0);
    let work = |pair: &mut Pair<'_>, failed: &AtomicBool| -> Result<()> {
        while let Some(part) =
            parts.get(next.fetch_add(1, Ordering::Relaxed)).filter(|_| !failed.load(Ordering::Relaxed))
        {
            stop::check()?;
            let began = Instant::now();
            let moved = match one(pair, part, (schema, &path), rejects, &progress) {
                Err(e) if is_too_wide(&e) => {
                    done.lock().unwrap_or_else(PoisonError::into_inner)[part.table].too_wide = true;
                    continue;
                }
                moved => moved.map_err(|e| about(e, part.shape.table, part.range))?,
            };
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
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
    Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner))
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

/// The largest tables first, so that the last part to end is a small one.
fn parts<'s, 'p>(snapshot: &Snapshot, shapes: &'s [Shape<'p>]) -> Result<Vec<Part<'s, 'p>>> {
    let mut order: Vec<usize> = (0..shapes.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(shapes[*at].table.bytes));
    let mut parts = Vec::new();
    for table in order {
        let shape = &shapes[table];
        let ranges = ranges::of(snapshot.first(), &shape.table.source, shape.table.rowid.as_deref())?;
        parts.extend(ranges.into_iter().map(|range| Part { table, shape, range }));
    }
    Ok(parts)
}

fn one(
    pair: &mut Pair<'_>,
    part: &Part<'_, '_>,
    (schema, path): (&str, &Path),
    rejects: &Rejects,
    progress: &Progress,
) -> Result<Moved> {
    let table = part.shape.table;
    let columns: Vec<&str> = table.copied().map(|c| c.target.as_str()).collect();
    let into = qualified(schema, &table.target);
    let sql = match columns.is_empty() {
        true => format!("copy {into} from stdin (format binary)"),
        false => format!("copy {into} ({}) from stdin (format binary)", list(&columns)),
    };
    let mut writer = pair.client.copy_in(&sql).doing(|| "begin COPY".into())?;
    let moved = part.shape.stream((pair.reader, path), part.range, rejects, &mut |bytes| {
        progress.add(bytes.len() as u64);
        writer.write_all(bytes).doing(|| "send rows".into())
    });
    match moved {
        Ok(moved) => {
            writer.finish().doing(|| "end COPY".into())?;
            Ok(moved)
        }
        Err(e) => Err(e),
    }
}
