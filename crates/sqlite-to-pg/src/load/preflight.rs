//! A load into nothing: every value is encoded, and only those that do not fit are kept in mind.

use super::encode::{Encoder, Misfit};
use super::threads;
use crate::census::scan::show;
use crate::plan::{Plan, Policy, Table};
use crate::source::ranges::{self, Range};
use crate::source::{Snapshot, catalog, open};
use crate::target::wire;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use toban_core::sync::{into_inner, lock};
use toban_core::{Result, shutdown};

/// Rows that are named of one kind.
const NAMED: usize = 10;

/// Values of one column that do not fit for one reason.
#[derive(Clone, Debug, Default)]
pub(crate) struct Violation {
    pub(crate) table: String,
    pub(crate) column: String,
    pub(crate) why: &'static str,
    pub(crate) count: u64,
    /// The first rows, by their keys.
    pub(crate) rows: Vec<String>,
}

struct Part<'p> {
    table: &'p Table,
    checks: &'p [Check],
    range: Range,
}

struct Check {
    column: String,
    encoder: Encoder,
    labels: HashSet<Vec<u8>>,
}

type Found = Mutex<BTreeMap<(String, String, &'static str), Violation>>;

/// Encodes every value of the plan's tables; `labels` are those of a target column that is an enum.
///
/// # Errors
/// Those of SQLite; Retry when told to stop.
pub(crate) fn look(
    snapshot: &mut Snapshot,
    plan: &Plan,
    labels: &dyn Fn(&str, &str) -> Vec<String>,
) -> Result<Vec<Violation>> {
    let checks: Vec<Vec<Check>> = plan.tables.iter().map(|t| checks(t, labels)).collect();
    let mut parts = Vec::new();
    for (table, checks) in plan.tables.iter().zip(&checks) {
        let ranges = ranges::of(snapshot.first(), &table.source, table.rowid.as_deref())?;
        parts.extend(ranges.into_iter().map(|range| Part { table, checks, range }));
    }
    let path = snapshot.path().to_path_buf();
    let next = AtomicUsize::new(0);
    let found: Found = Mutex::new(BTreeMap::new());
    let work = |reader: &mut Connection, failed: &AtomicBool| -> Result<()> {
        while let Some(part) =
            parts.get(next.fetch_add(1, Ordering::Relaxed)).filter(|_| !failed.load(Ordering::Relaxed))
        {
            shutdown::check()?;
            one(reader, &path, part, &found)?;
        }
        Ok(())
    };
    threads::each(snapshot.readers(), &work)?;
    Ok(into_inner(found).into_values().collect())
}

fn checks(table: &Table, labels: &dyn Fn(&str, &str) -> Vec<String>) -> Vec<Check> {
    let one = |column: &crate::plan::Column| {
        let staged = crate::plan::Column { pg_type: wire::staged_type(column), ..column.clone() };
        let encoder = wire::encoder(&staged, column.not_null)?;
        let labels = labels(&table.target, &column.target).into_iter().map(String::into_bytes).collect();
        Some(Check { column: column.source.clone(), encoder, labels })
    };
    table.copied().filter_map(one).collect()
}

fn one(reader: &Connection, path: &Path, part: &Part<'_>, found: &Found) -> Result<()> {
    let explain = |e| open::explain(e, path);
    let rowid = part.table.rowid.as_deref();
    let mut names: Vec<String> = part.checks.iter().map(|c| c.column.clone()).collect();
    let key = names.len();
    match part.table.key.is_empty() {
        true => names.extend(rowid.map(String::from)),
        false => names.extend(part.table.key.iter().cloned()),
    }
    let mut statement = reader
        .prepare(&catalog::select(&part.table.source, &names, rowid, part.range.is_some()))
        .map_err(explain)?;
    if let Some((low, high)) = part.range {
        statement.raw_bind_parameter(1, low).map_err(explain)?;
        statement.raw_bind_parameter(2, high).map_err(explain)?;
    }
    let mut scratch = Vec::new();
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next().map_err(explain)? {
        for (at, check) in part.checks.iter().enumerate() {
            scratch.clear();
            let value = row.get_ref(at).map_err(explain)?;
            if let Some(why) = misfit(check, value, &mut scratch) {
                remember(found, part.table, check, why, || named(row, key, names.len()));
            }
        }
    }
    Ok(())
}

/// Why a value would stop the load; a policy that says what becomes of it makes it none.
fn misfit(check: &Check, value: ValueRef<'_>, scratch: &mut Vec<u8>) -> Option<&'static str> {
    match check.encoder.put(value, scratch) {
        Ok(()) if !check.labels.is_empty() && !matches!(value, ValueRef::Null) => {
            (!check.labels.contains(&scratch[4..])).then_some("no label of the enum")
        }
        Ok(()) => None,
        Err(Misfit::Null) if check.encoder.policy != Policy::Reject => Some(Misfit::Null.words()),
        Err(misfit) if check.encoder.policy == Policy::Stop => Some(misfit.words()),
        Err(misfit) if check.encoder.policy == Policy::Round && !misfit.is_fine() => Some(misfit.words()),
        Err(_) if check.encoder.policy == Policy::Null && check.encoder.not_null => {
            Some(Misfit::Null.words())
        }
        Err(_) => None,
    }
}

fn remember(found: &Found, table: &Table, check: &Check, why: &'static str, key: impl FnOnce() -> String) {
    let mut found = lock(&found);
    let place = (table.source.clone(), check.column.clone(), why);
    let entry = found.entry(place).or_insert_with(|| Violation {
        table: table.source.clone(),
        column: check.column.clone(),
        why,
        ..Violation::default()
    });
    entry.count += 1;
    if entry.rows.len() < NAMED {
        entry.rows.push(key());
    }
}

fn named(row: &Row<'_>, from: usize, to: usize) -> String {
    let parts: Vec<String> = (from..to).filter_map(|at| row.get_ref(at).ok()).map(show).collect();
    parts.join(", ")
}
