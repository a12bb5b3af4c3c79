//! Checks: those of one table in one pass of each side, tables side by side.

use super::create::tolerable;
use super::expressions::{SMALL, ask};
use super::qualified;
use crate::load::threads;
use crate::plan::{Check, Fate, Object, Plan, REFUSED, Table};
use crate::source::quoted;
use postgres::Client;
use rusqlite::Connection;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use toban_core::pg::Ident;
use toban_core::sync::{into_inner, lock};
use toban_core::{Context, Result, shutdown};

type Pair<'a> = (&'a mut Connection, &'a mut Client);

/// What SQLite says of a check: rows that break it, rows that keep it; none where it cannot evaluate it.
type Said = Option<(i64, i64)>;

/// Adds the checks: valid where no row breaks them, NOT VALID where rows of the source do, none where the two sides
/// disagree. Their fates are the answer, in the plan's order.
///
/// # Errors
/// When a connection is lost; Retry when told to stop.
pub(crate) fn add(
    readers: &mut [Connection],
    clients: &mut [Client],
    plan: &Plan,
    stage: &str,
) -> Result<Vec<Object>> {
    let mut tables: Vec<(usize, &Table)> =
        plan.tables.iter().enumerate().filter(|(_, t)| !t.checks.is_empty()).collect();
    tables.sort_by_key(|(_, t)| std::cmp::Reverse(t.bytes));
    let next = AtomicUsize::new(0);
    let made = Mutex::new(Vec::new());
    let work = |(db, client): &mut Pair<'_>, failed: &AtomicBool| -> Result<()> {
        while let Some((at, table)) =
            tables.get(next.fetch_add(1, Ordering::Relaxed)).filter(|_| !failed.load(Ordering::Relaxed))
        {
            shutdown::check()?;
            let objects = of_table(client, db, table, stage)?;
            lock(&made).push((*at, objects));
        }
        Ok(())
    };
    let mut pairs: Vec<Pair<'_>> = readers.iter_mut().zip(clients).collect();
    threads::each(&mut pairs, &work)?;
    let mut made = into_inner(made);
    made.sort_by_key(|(at, _)| *at);
    Ok(made.into_iter().flat_map(|(_, objects)| objects).collect())
}

fn of_table(client: &mut Client, db: &Connection, table: &Table, stage: &str) -> Result<Vec<Object>> {
    let name = qualified(stage, &table.target);
    let said = truths(db, table);
    let whole = said.iter().all(|s| s.is_some_and(|(broken, _)| broken == 0));
    // One statement, one pass; when the server says no, one by one to learn to which.
    if whole && table.rows > SMALL && client.batch_execute(&alter(&name, &table.checks)).is_ok() {
        return Ok(table.checks.iter().map(|c| object(table, c, Fate::Translated, String::new())).collect());
    }
    let each = table.checks.iter().zip(said);
    each.map(|(check, said)| one(client, table, check, (&name, said))).collect()
}

/// All of them in one pass of the table; one that SQLite cannot evaluate must not hide the others.
fn truths(db: &Connection, table: &Table) -> Vec<Said> {
    let of = |checks: &[Check]| -> Option<Vec<Said>> {
        let counts: Vec<String> = checks
            .iter()
            .map(|c| {
                format!("count(*) filter (where not ({0})), count(*) filter (where ({0}))", c.source_sql)
            })
            .collect();
        let row = ask(db, &format!("select {} from {}", counts.join(", "), quoted(&table.source)))?;
        let number = |cell: &Option<String>| cell.as_ref()?.parse::<i64>().ok();
        Some(row.chunks(2).map(|pair| number(&pair[0]).zip(number(&pair[1]))).collect())
    };
    of(&table.checks).unwrap_or_else(|| {
        let one = |c: &Check| of(std::slice::from_ref(c)).and_then(|said| said.into_iter().next().flatten());
        table.checks.iter().map(one).collect()
    })
}

fn alter(name: &str, checks: &[Check]) -> String {
    let add = |c: &Check| format!("add constraint {} check ({})", Ident::new(&*c.name), c.sql);
    format!("alter table {name} {}", checks.iter().map(add).collect::<Vec<_>>().join(", "))
}

fn object(table: &Table, check: &Check, fate: Fate, why: String) -> Object {
    Object {
        kind: "check".into(),
        name: format!("{}.{}", table.source, check.name),
        fate,
        why,
        sql: Some(check.sql.clone()),
        source_sql: check.source_sql.clone(),
        accepted: false,
    }
}

fn one(client: &mut Client, table: &Table, check: &Check, (name, said): (&str, Said)) -> Result<Object> {
    let object = |fate, why: String| object(table, check, fate, why);
    let Some((broken, kept)) = said else {
        return Ok(object(Fate::Skipped, "SQLite cannot evaluate it".into()));
    };
    if table.rows <= SMALL && !truths_agree(client, check, name, kept)? {
        return Ok(object(Fate::Skipped, "the two sides disagree on the data".into()));
    }
    let add = alter(name, std::slice::from_ref(check));
    match client.batch_execute(&add) {
        Ok(()) if broken == 0 => Ok(object(Fate::Translated, String::new())),
        Ok(()) => {
            let drop = format!("alter table {name} drop constraint {}", Ident::new(&*check.name));
            client.batch_execute(&drop).doing(|| format!("drop the check {}", check.name))?;
            Ok(object(Fate::Skipped, format!("{broken} rows break it in SQLite, none in PostgreSQL")))
        }
        Err(e) => {
            let why = tolerable(e)?;
            if broken > 0 && client.batch_execute(&format!("{add} not valid")).is_ok() {
                return Ok(object(Fate::NotValid, format!("{broken} rows of the source break it")));
            }
            Ok(object(Fate::Skipped, format!("{REFUSED}: {why}")))
        }
    }
}

fn truths_agree(client: &mut Client, check: &Check, name: &str, kept: i64) -> Result<bool> {
    match client.query_one(&format!("select count(*) from {name} where ({})", check.sql), &[]) {
        Ok(row) => Ok(kept == row.get::<_, i64>(0)),
        Err(e) => tolerable(e).map(|_| false),
    }
}
