//! The way back: what a run made is written down with it, and `--undo` takes it away again.

use super::{list, qualified};
use crate::plan::Plan;
use postgres::{Client, Transaction};
use toban_core::pg::{Ident, literal};
use toban_core::{Context, Error, Result};

const SCHEMA: &str = "toban_undo";

/// Writes down how to take back what this transaction makes.
///
/// # Errors
/// Those of the server.
pub(crate) fn remember(
    transaction: &mut Transaction<'_>,
    plan: &Plan,
    views: &[String],
    made_schema: bool,
) -> Result<()> {
    let tables: Vec<String> = plan.tables.iter().map(|t| qualified(&plan.schema, &t.target)).collect();
    let mut steps = Vec::new();
    for view in views.iter().rev() {
        steps.push(format!("drop view if exists {}", qualified(&plan.schema, view)));
    }
    // One statement: tables may refer to each other in circles.
    if !tables.is_empty() {
        steps.push(format!("drop table if exists {}", tables.join(", ")));
    }
    if made_schema {
        steps.push(format!("drop schema if exists {}", Ident::new(&*plan.schema)));
    }
    write(transaction, &plan.schema, &steps)
}

/// Writes down these statements as the way back of one more run.
///
/// # Errors
/// Those of the server.
pub(crate) fn write(transaction: &mut Transaction<'_>, schema: &str, steps: &[String]) -> Result<()> {
    let doing = || "write down the way back".to_string();
    let table = format!(
        "create schema if not exists {SCHEMA}; \
         create table if not exists {SCHEMA}.step (run bigint, at int, target text, statement text, made timestamptz default now())"
    );
    transaction.batch_execute(&table).doing(doing)?;
    let next = format!("select coalesce(max(run), 0) + 1 from {SCHEMA}.step");
    let run: i64 = transaction.query_one(&next, &[]).doing(doing)?.get(0);
    for (at, step) in (0_i32..).zip(steps) {
        let sql = format!("insert into {SCHEMA}.step (run, at, target, statement) values ($1, $2, $3, $4)");
        transaction.execute(&sql, &[&run, &at, &schema, step]).doing(doing)?;
    }
    Ok(())
}

/// Takes back the last run into `schema`, in one transaction; the answer is what was done.
///
/// # Errors
/// Usage when there is nothing to take back; those of the server (something else depends on a table), and then
/// nothing is done.
pub(crate) fn undo(client: &mut Client, schema: &str) -> Result<Vec<String>> {
    let doing = || "take back the last run".to_string();
    let none = || {
        Error::usage(format!("no run into {schema} is written down here"))
            .hint("was it another database, or --schema?")
    };
    let there = format!("select to_regclass('{SCHEMA}.step') is not null");
    if !client.query_one(&there, &[]).doing(doing)?.get::<_, bool>(0) {
        return Err(none());
    }
    let mut transaction = client.transaction().doing(doing)?;
    let sql = format!(
        "delete from {SCHEMA}.step where run = (select max(run) from {SCHEMA}.step where target = {}) returning at, statement",
        literal(schema)
    );
    let mut steps: Vec<(i32, String)> =
        transaction.query(&sql, &[]).doing(doing)?.iter().map(|r| (r.get(0), r.get(1))).collect();
    if steps.is_empty() {
        return Err(none());
    }
    steps.sort();
    for (_, step) in &steps {
        transaction.batch_execute(step).doing(|| step.clone())?;
    }
    let left: bool = transaction
        .query_one(&format!("select exists (select from {SCHEMA}.step)"), &[])
        .doing(doing)?
        .get(0);
    if !left {
        transaction.batch_execute(&format!("drop schema {SCHEMA} cascade")).doing(doing)?;
    }
    transaction.commit().doing(doing)?;
    Ok(steps.into_iter().map(|(_, step)| step).collect())
}

/// Keeps a copy of a table's rows before they change; the statements that bring them back.
///
/// # Errors
/// Those of the server.
pub(crate) fn keep(
    transaction: &mut Transaction<'_>,
    schema: &str,
    table: &str,
    columns: &[String],
) -> Result<Vec<String>> {
    let doing = || format!("keep the rows of {table}");
    let copies = format!(
        "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = '{SCHEMA}'"
    );
    transaction.batch_execute(&format!("create schema if not exists {SCHEMA}")).doing(doing)?;
    let n: i64 = transaction.query_one(&copies, &[]).doing(doing)?.get(0);
    let (name, copy) = (qualified(schema, table), qualified(SCHEMA, &format!("kept_{n}")));
    transaction
        .batch_execute(&format!("create table {copy} as select {} from {name}", list(columns)))
        .doing(doing)?;
    let back =
        format!("insert into {name} ({0}) overriding system value select {0} from {copy}", list(columns));
    Ok(vec![format!("delete from {name}"), back, format!("drop table {copy}")])
}
