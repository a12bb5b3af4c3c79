//! Checks: those of one table in one pass of each side, tables side by side.

use super::create::tolerate;
use super::expressions::{DISAGREE, SMALL, ask_row};
use crate::model::{Cause, CheckConstraint, Object, ObjectKind, Outcome, Plan, Table};
use crate::source::quote_name;
use crate::threads;
use migrate::sql::qualified_name;
use postgres::Client;
use rusqlite::Connection;
use std::collections::BTreeMap;
use toban_core::pg::Ident;
use toban_core::{Context, Result};

type CheckConnections<'a> = (&'a mut Connection, &'a mut Client);

/// What SQLite says of a check: rows that break it, rows that keep it; none where it cannot evaluate it.
type CheckCounts = Option<(i64, i64)>;

/// Adds the checks: valid where no row breaks them, NOT VALID where rows of the source do, none where the two sides
/// disagree. Their fates are the answer, in the plan's order.
pub(crate) fn add_checks(
    readers: &mut [Connection],
    clients: &mut [Client],
    plan: &Plan,
    stage: &str,
) -> Result<Vec<Object>> {
    let mut tables: Vec<(usize, &Table)> =
        plan.tables.iter().enumerate().filter(|(_, t)| !t.checks.is_empty()).collect();
    tables.sort_by_key(|(_, t)| std::cmp::Reverse(t.bytes));
    let mut pairs: Vec<CheckConnections<'_>> = readers.iter_mut().zip(clients).collect();
    let made = threads::share(&mut pairs, &tables, |(db, client), (at, table)| {
        add_table_checks(client, db, table, stage).map(|objects| (*at, objects))
    })?;
    let made: BTreeMap<usize, Vec<Object>> = made.into_iter().collect();
    Ok(made.into_values().flatten().collect())
}

fn add_table_checks(client: &mut Client, db: &Connection, table: &Table, stage: &str) -> Result<Vec<Object>> {
    let name = qualified_name(stage, &table.target);
    let (counts, added) = std::thread::scope(|scope| {
        // One statement, one pass, while SQLite counts: the two sides know nothing of each other. When the server says no, one
        // by one to learn to which.
        let adding = (table.rows > SMALL)
            .then(|| scope.spawn(|| client.batch_execute(&alter_sql(&name, &table.checks)).is_ok()));
        (count_truths(db, table), adding.is_some_and(|thread| thread.join().unwrap_or(false)))
    });
    let whole = counts.iter().all(|s| s.is_some_and(|(broken, _)| broken == 0));
    if added && whole {
        return Ok(table.checks.iter().map(|c| check_object(table, c, Outcome::Translated, "")).collect());
    }
    if added {
        let drop = |c: &CheckConstraint| format!("drop constraint {}", Ident::new(&*c.name));
        let drops: Vec<String> = table.checks.iter().map(drop).collect();
        let sql = format!("alter table {name} {}", drops.join(", "));
        client.batch_execute(&sql).doing(|| format!("judge the checks of {} one by one", table.source))?;
    }
    let each = table.checks.iter().zip(counts);
    each.map(|(check, counts)| NewCheck { name: &name, table, check }.add(client, counts)).collect()
}

/// All of them in one pass of the table; one that SQLite cannot evaluate must not hide the others.
fn count_truths(db: &Connection, table: &Table) -> Vec<CheckCounts> {
    let of = |checks: &[CheckConstraint]| -> Option<Vec<CheckCounts>> {
        let counts: Vec<String> = checks
            .iter()
            .map(|c| {
                format!("count(*) filter (where not ({0})), count(*) filter (where ({0}))", c.source_sql)
            })
            .collect();
        let row = ask_row(db, &format!("select {} from {}", counts.join(", "), quote_name(&table.source)))?;
        let number = |cell: &Option<String>| cell.as_ref()?.parse::<i64>().ok();
        Some(row.chunks(2).map(|pair| number(&pair[0]).zip(number(&pair[1]))).collect())
    };
    of(&table.checks).unwrap_or_else(|| {
        let one = |c: &CheckConstraint| {
            of(std::slice::from_ref(c)).and_then(|counts| counts.into_iter().next().flatten())
        };
        table.checks.iter().map(one).collect()
    })
}

fn alter_sql(name: &str, checks: &[CheckConstraint]) -> String {
    let add = |c: &CheckConstraint| format!("add constraint {} check ({})", Ident::new(&*c.name), c.sql);
    format!("alter table {name} {}", checks.iter().map(add).collect::<Vec<_>>().join(", "))
}

fn check_object(table: &Table, check: &CheckConstraint, outcome: Outcome, why: &str) -> Object {
    let name = format!("{}.{}", table.source, check.name);
    Object {
        outcome,
        sql: Some(check.sql.clone()),
        ..Object::skipped(ObjectKind::Check, &name, why).with_source(&check.source_sql)
    }
}

/// A check for the table `name`.
struct NewCheck<'a> {
    name: &'a str,
    table: &'a Table,
    check: &'a CheckConstraint,
}

impl NewCheck<'_> {
    fn add(&self, client: &mut Client, counts: CheckCounts) -> Result<Object> {
        let NewCheck { name, table, check } = *self;
        let skipped = |why: &str| check_object(table, check, Outcome::Skipped, why);
        let Some((broken, kept)) = counts else { return Ok(skipped("SQLite cannot evaluate it")) };
        if table.rows <= SMALL && !truths_agree(client, check, name, kept)? {
            return Ok(skipped(DISAGREE));
        }
        let add = alter_sql(name, std::slice::from_ref(check));
        match client.batch_execute(&add) {
            // It holds in both for every row.
            Ok(()) if broken == 0 => Ok(check_object(table, check, Outcome::Translated, "")),
            Ok(()) => {
                let drop = format!("alter table {name} drop constraint {}", Ident::new(&*check.name));
                client.batch_execute(&drop).doing(|| format!("drop the check {}", check.name))?;
                Ok(skipped(&format!("{broken} rows break it in SQLite, none in PostgreSQL")))
            }
            Err(e) => {
                let why = tolerate(e)?;
                // NOT VALID asks it of new rows only (manual, "ALTER TABLE"): the source had rows that break it, so
                // the copy has too.
                if broken > 0 && client.batch_execute(&format!("{add} not valid")).is_ok() {
                    let why = format!("{broken} rows of the source break it");
                    return Ok(check_object(table, check, Outcome::NotValid, &why));
                }
                Ok(Object { cause: Cause::Refused, ..skipped(&why) })
            }
        }
    }
}

fn truths_agree(client: &mut Client, check: &CheckConstraint, name: &str, kept: i64) -> Result<bool> {
    match client.query_one(&format!("select count(*) from {name} where ({})", check.sql), &[]) {
        Ok(row) => Ok(kept == row.get::<_, i64>(0)),
        Err(e) => tolerate(e).map(|_| false),
    }
}
