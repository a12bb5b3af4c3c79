//! Translations judged by the data: each is asked on both sides, and only what agrees is kept.

use super::create::tolerable;
use super::qualified;
use crate::plan::{Column, Fate, Index, Object, Plan, Table};
use crate::source::quoted;
use postgres::Client;
use postgres::error::SqlState;
use rusqlite::Connection;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use toban_core::pg::Ident;
use toban_core::{Context, Result, shutdown};

/// How long one view may take on either side to be counted.
const PATIENCE: Duration = Duration::from_secs(5);
const LONG: &str = "made, but not compared: to count its rows takes too long";

/// Rows up to which the truth of every check is counted, and not only whether one is broken.
pub(super) const SMALL: u64 = 200_000;

pub(super) fn ask(db: &Connection, sql: &str) -> Option<Vec<Option<String>>> {
    let mut statement = db.prepare(sql).ok()?;
    let width = statement.column_count();
    let cell = |row: &rusqlite::Row<'_>, at| -> rusqlite::Result<Option<String>> {
        Ok(match row.get_ref(at)? {
            rusqlite::types::ValueRef::Null => None,
            value => Some(crate::census::scan::show(value)),
        })
    };
    statement.query_row([], |row| (0..width).map(|at| cell(row, at)).collect()).ok()
}

fn count(db: &Connection, sql: &str) -> Option<i64> {
    ask(db, sql)?.first()?.as_ref()?.parse().ok()
}

/// Compares the indexes on expressions and of a part of the rows; those that disagree are dropped and told.
///
/// # Errors
/// When a connection is lost.
pub(crate) fn indexes(client: &mut Client, db: &Connection, plan: &mut Plan, stage: &str) -> Result<()> {
    let mut objects = Vec::new();
    for table in &plan.tables {
        for index in table
            .indexes
            .iter()
            .filter(|i| i.predicate.is_some() || i.parts.iter().any(|p| p.source_sql.is_some()))
        {
            shutdown::check()?;
            if there(client, stage, &index.target)? {
                objects.extend(one_index(client, db, table, index, stage)?);
            }
        }
    }
    plan.objects.extend(objects);
    Ok(())
}

fn there(client: &mut Client, stage: &str, name: &str) -> Result<bool> {
    let sql = "select to_regclass($1) is not null";
    client.query_one(sql, &[&qualified(stage, name)]).map(|r| r.get(0)).doing(|| format!("look for {name}"))
}

fn one_index(
    client: &mut Client,
    db: &Connection,
    table: &Table,
    index: &Index,
    stage: &str,
) -> Result<Option<Object>> {
    let agree = pairs(table, index).into_iter().try_fold(true, |agree, (theirs, ours)| {
        let sql = format!("select {ours} from {}", qualified(stage, &table.target));
        let right: Option<i64> = told(client.query_one(&sql, &[]))?.map(|row| row.get(0));
        let left = count(db, &format!("select {theirs} from {}", quoted(&table.source)));
        Ok::<bool, toban_core::Error>(agree && left.is_some() && left == right)
    })?;
    if agree {
        return Ok(None);
    }
    let name = qualified(stage, &index.target);
    client
        .batch_execute(&format!("drop index {name}"))
        .doing(|| format!("drop the index {}", index.target))?;
    let why = "the two sides disagree on the data".to_string();
    Ok(Some(Object {
        source_sql: index.source_predicate.clone().unwrap_or_default(),
        ..crate::plan::build::skipped("index", &index.source, why)
    }))
}

/// What is counted on the two sides: SQLite's words, PostgreSQL's.
fn pairs(table: &Table, index: &Index) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    if let (Some(theirs), Some(ours)) = (&index.source_predicate, &index.predicate) {
        pairs.push((format!("count(*) filter (where {theirs})"), format!("count(*) filter (where {ours})")));
    }
    for part in &index.parts {
        let Some(theirs) = &part.source_sql else { continue };
        pairs.push((format!("count({theirs})"), format!("count({})", part.sql)));
        // Sorting all of a large table twice would cost more than the index itself.
        if table.rows <= SMALL {
            pairs.push((format!("count(distinct {theirs})"), format!("count(distinct {})", part.sql)));
        }
    }
    pairs
}

/// Generated columns whose values differ: table and column, in the plan's order.
///
/// # Errors
/// When a connection is lost.
pub(crate) fn generated(
    client: &mut Client,
    db: &Connection,
    plan: &Plan,
    stage: &str,
) -> Result<Vec<(usize, usize)>> {
    let mut differ = Vec::new();
    for (at, table) in plan.tables.iter().enumerate() {
        for (place, column) in table.columns.iter().enumerate().filter(|(_, c)| c.generated.is_some()) {
            if !same_values(client, db, table, column, stage)? {
                differ.push((at, place));
            }
        }
    }
    Ok(differ)
}

/// Counts and bounds of both sides; every single value is compared by verify later.
fn same_values(
    client: &mut Client,
    db: &Connection,
    table: &Table,
    column: &Column,
    stage: &str,
) -> Result<bool> {
    let (theirs, ours) = (quoted(&column.source), Ident::new(&*column.target).to_string());
    let text = column.pg_type == "text";
    let collate = if text { " collate \"C\"" } else { "" };
    let bounds = text || column.pg_type == "bigint";
    let mut left = format!("count({theirs}), count(distinct {theirs})");
    let mut right = format!("count({ours})::text, count(distinct {ours})::text");
    if bounds {
        left += &format!(", min({theirs}), max({theirs})");
        right += &format!(", left(min({ours}{collate})::text, 60), left(max({ours}{collate})::text, 60)");
    }
    let left = ask(db, &format!("select {left} from {}", quoted(&table.source)));
    let sql = format!("select {right} from {}", qualified(stage, &table.target));
    let row = told(client.query_one(&sql, &[]))?;
    let right: Option<Vec<Option<String>>> = row.map(|row| (0..row.len()).map(|at| row.get(at)).collect());
    let alike = left.is_some() && left == right;
    Ok(alike && (!bounds || table.rows > SMALL || same_list(client, db, table, column, stage)?))
}

/// The beginning of each value on both sides: words of a number, as `-Inf`, are others there.
fn same_list(
    client: &mut Client,
    db: &Connection,
    table: &Table,
    column: &Column,
    stage: &str,
) -> Result<bool> {
    let sql = format!("select {} from {}", quoted(&column.source), quoted(&table.source));
    let list = || -> rusqlite::Result<Vec<String>> {
        db.prepare(&sql)?.query_map([], |r| Ok(crate::census::scan::show(r.get_ref(0)?)))?.collect()
    };
    let Ok(mut left) = list() else { return Ok(false) };
    let ours = Ident::new(&*column.target).to_string();
    let sql = format!("select coalesce({ours}::text, 'NULL') from {}", qualified(stage, &table.target));
    let Some(rows) = told(client.query(&sql, &[]))? else { return Ok(false) };
    let cut = |text: &str| text[..text.floor_char_boundary(60)].to_string();
    let mut right: Vec<String> = rows.iter().map(|r| cut(r.get(0))).collect();
    left.sort_unstable();
    right.sort_unstable();
    Ok(left == right)
}

/// The answer of the target; none when it cannot evaluate what was asked.
fn told<T>(answer: std::result::Result<T, postgres::Error>) -> Result<Option<T>> {
    match answer {
        Ok(row) => Ok(Some(row)),
        Err(e) => tolerable(e).map(|_| None),
    }
}

/// Compares the views by their numbers of rows; one that disagrees is dropped and written to a file.
///
/// # Errors
/// When a connection is lost.
pub(crate) fn views(client: &mut Client, db: &Connection, plan: &mut Plan, stage: &str) -> Result<()> {
    const MOST: u32 = 1_000_001;
    let limit = format!("set statement_timeout = {}", PATIENCE.as_millis());
    client.batch_execute(&limit).doing(|| "bound the time of views".into())?;
    let made: Vec<usize> = (0..plan.objects.len()).filter(|at| is_made_view(&plan.objects[*at])).collect();
    // The last first: a view that others use is dropped with them.
    for at in made.into_iter().rev() {
        shutdown::check()?;
        let object = &plan.objects[at];
        let target = object.view_name();
        let from = |name: &str| format!("select count(*) from (select 1 from {name} limit {MOST}) x");
        let name = qualified(stage, &target);
        let Some(left) = within(db, || count(db, &from(&quoted(&object.name)))) else {
            plan.objects[at].why = LONG.into();
            continue;
        };
        let right = match client.query_one(&from(&name), &[]) {
            Ok(row) => Some(row.get::<_, i64>(0)),
            Err(e) if e.code() == Some(&SqlState::QUERY_CANCELED) => {
                plan.objects[at].why = LONG.into();
                continue;
            }
            Err(e) => told::<i64>(Err(e))?,
        };
        if left.is_some() && left == right {
            continue;
        }
        let why = match (left, right) {
            (None, _) => "SQLite itself cannot run it".to_string(),
            (Some(l), Some(r)) => format!("{l} rows in SQLite, {r} in PostgreSQL"),
            (Some(_), None) => "PostgreSQL cannot run it".into(),
        };
        client
            .batch_execute(&format!("drop view if exists {name} cascade"))
            .doing(|| format!("drop the view {target}"))?;
        plan.objects[at].fate = Fate::Written;
        plan.objects[at].why = why;
    }
    client.batch_execute("set statement_timeout = 0").doing(|| "unbound the time".into())?;
    gone(client, plan, stage)
}

/// What `ask` answers, or none when SQLite was interrupted because it took too long.
fn within<T>(db: &Connection, ask: impl FnOnce() -> T) -> Option<T> {
    let (done, waiting) = std::sync::mpsc::channel::<()>();
    let handle = db.get_interrupt_handle();
    std::thread::scope(|scope| {
        let watch = scope.spawn(move || {
            let late = waiting.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout);
            late.then(|| handle.interrupt())
        });
        let answer = ask();
        drop(done);
        let late = watch.join().ok().flatten();
        late.is_none().then_some(answer)
    })
}

fn is_made_view(object: &Object) -> bool {
    object.kind == "view" && object.fate == Fate::Translated && object.sql.is_some()
}

/// Views that went with another.
fn gone(client: &mut Client, plan: &mut Plan, stage: &str) -> Result<()> {
    for object in plan.objects.iter_mut().filter(|o| is_made_view(o)) {
        if !there(client, stage, &object.view_name())? {
            object.fate = Fate::Written;
            object.why = "a view that it reads was not made".into();
        }
    }
    Ok(())
}
