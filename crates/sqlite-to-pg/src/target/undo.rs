//! The way back: what a run made is written down with it, and `--undo` takes it away again.

use super::{list, qualified};
use crate::plan::{ForeignKey, Plan, Table};
use postgres::{Client, GenericClient, Transaction};
use toban_core::pg::Ident;
use toban_core::{Context, Error, Result};

const SCHEMA: &str = "toban_undo";

/// Tables of one step where one transaction could not hold the locks of all: a dozen each, for a table has indexes,
/// a sequence, types and constraints.
const FEW: usize = 20;
/// Such steps of one transaction.
const STEPS: i64 = 5;
/// Tables of which all can be dropped at once.
const MANY: usize = 500;

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
    let many = tables.len() > MANY;
    if many {
        steps.extend(plan.tables.chunks(FEW).filter_map(|some| cut(&plan.schema, some)));
    }
    // One statement: tables may refer to each other in circles.
    for some in tables.chunks(if many { FEW } else { MANY }) {
        steps.push(format!("drop table if exists {}", some.join(", ")));
    }
    if made_schema {
        steps.push(format!("drop schema if exists {}", Ident::new(&*plan.schema)));
    }
    write(transaction, &plan.schema, &steps, many)
}

/// Takes the foreign keys of tables away, so that these can be dropped one after another.
fn cut(schema: &str, tables: &[Table]) -> Option<String> {
    let one = |table: &Table, key: &ForeignKey| {
        let (name, key) = (qualified(schema, &table.target), Ident::new(&*key.name));
        format!("alter table if exists {name} drop constraint if exists {key}")
    };
    let keys = tables.iter().flat_map(|t| t.foreign_keys.iter().map(move |key| one(t, key)));
    let keys: Vec<String> = keys.collect();
    (!keys.is_empty()).then(|| keys.join("; "))
}

/// Writes down these statements as the way back of one more run; whether each may be done `alone`, or only all of them.
///
/// # Errors
/// Those of the server.
pub(crate) fn write(
    transaction: &mut Transaction<'_>,
    schema: &str,
    steps: &[String],
    alone: bool,
) -> Result<()> {
    let doing = || "write down the way back".to_string();
    let table = format!(
        "create schema if not exists {SCHEMA}; \
         create table if not exists {SCHEMA}.step (run bigint, at int, target text, statement text, made timestamptz default now()); \
         alter table {SCHEMA}.step add column if not exists alone boolean not null default false"
    );
    transaction.batch_execute(&table).doing(doing)?;
    let next = format!("select coalesce(max(run), 0) + 1 from {SCHEMA}.step");
    let run: i64 = transaction.query_one(&next, &[]).doing(doing)?.get(0);
    let sql =
        format!("insert into {SCHEMA}.step (run, at, target, statement, alone) values ($1, $2, $3, $4, $5)");
    let insert = transaction.prepare(&sql).doing(doing)?;
    for (at, step) in (0_i32..).zip(steps) {
        transaction.execute(&insert, &[&run, &at, &schema, step, &alone]).doing(doing)?;
    }
    Ok(())
}

/// Keeps the plan beside the way back, so that `verify` knows what the copy shall be. What the server refused is not
/// in its list: it lacks.
///
/// # Errors
/// Those of the server.
pub(crate) fn keep_plan(transaction: &mut Transaction<'_>, plan: &Plan) -> Result<()> {
    let doing = || "keep the plan".to_string();
    let sql =
        format!("create table if not exists {SCHEMA}.plan (target text primary key, plan text not null)");
    transaction.batch_execute(&sql).doing(doing)?;
    let objects = plan.objects.iter().filter(|o| !o.is_broken()).cloned().collect();
    let text = toml::to_string(&Plan { objects, ..plan.clone() }).doing(doing)?;
    let sql = format!(
        "insert into {SCHEMA}.plan values ($1, $2) on conflict (target) do update set plan = excluded.plan"
    );
    transaction.execute(&sql, &[&plan.schema, &text]).doing(doing).map(drop)
}

/// Notes in the plan that is kept how the columns of `plan` are converted now.
///
/// # Errors
/// Those of the server.
pub(crate) fn amend_plan(transaction: &mut Transaction<'_>, plan: &Plan) -> Result<()> {
    let doing = || "keep the plan".to_string();
    if !is_there(transaction, "plan")? {
        return Ok(());
    }
    let sql = format!("select plan from {SCHEMA}.plan where target = $1 for update");
    let row = transaction.query_opt(&sql, &[&plan.schema]).doing(doing)?;
    let kept = row.and_then(|r| toml::from_str::<Plan>(r.get(0)).ok());
    let Some(mut kept) = kept else { return Ok(()) };
    for table in &mut kept.tables {
        let Some(now) = plan.tables.iter().find(|t| t.source == table.source) else { continue };
        for column in &mut table.columns {
            if let Some(now) = now.columns.iter().find(|c| c.source == column.source) {
                (column.conversion, column.policy) = (now.conversion, now.policy);
            }
        }
    }
    keep_plan(transaction, &kept)
}

/// Takes back the last run into `schema`, in one transaction; the answer is what was done. Of thousands of tables only
/// some at a time, and then it can be interrupted and begun again.
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
    if !is_there(client, "step")? {
        return Err(none());
    }
    // The table of an older program has no such column.
    let sql = format!(
        "select run, coalesce((to_jsonb(step) ->> 'alone')::boolean, false) \
         from {SCHEMA}.step where target = $1 order by run desc limit 1"
    );
    let row = client.query_opt(&sql, &[&schema]).doing(doing)?.ok_or_else(none)?;
    let (run, alone): (i64, bool) = (row.get(0), row.get(1));
    let mut done = Vec::new();
    loop {
        let (steps, more) = take(client, (schema, run), if alone { STEPS } else { i64::MAX })?;
        done.extend(steps);
        if !more {
            return Ok(done);
        }
    }
}

/// Takes the first steps of a run back in one transaction, and whether there are more; with the last one of all our
/// own schema goes.
fn take(client: &mut Client, (schema, run): (&str, i64), some: i64) -> Result<(Vec<String>, bool)> {
    let doing = || "take back the last run".to_string();
    let mut transaction = client.transaction().doing(doing)?;
    let sql = format!(
        "delete from {SCHEMA}.step where run = $1 and at in \
         (select at from {SCHEMA}.step where run = $1 order by at limit $2) returning at, statement"
    );
    let rows = transaction.query(&sql, &[&run, &some]).doing(doing)?;
    let mut steps: Vec<(i32, String)> = rows.iter().map(|r| (r.get(0), r.get(1))).collect();
    steps.sort();
    for (_, step) in &steps {
        transaction.batch_execute(step).doing(|| step.clone())?;
    }
    let sql = format!("select exists (select from {SCHEMA}.step where run = $1)");
    let more: bool = transaction.query_one(&sql, &[&run]).doing(doing)?.get(0);
    if !more {
        forget(&mut transaction, schema)?;
    }
    transaction.commit().doing(doing)?;
    Ok((steps.into_iter().map(|(_, step)| step).collect(), more))
}

/// Whether our schema has this table.
fn is_there(client: &mut impl GenericClient, table: &str) -> Result<bool> {
    let sql = format!("select to_regclass('{SCHEMA}.{table}') is not null");
    Ok(client.query_one(&sql, &[]).doing(|| "look for what is written down".into())?.get(0))
}

fn forget(transaction: &mut Transaction<'_>, target: &str) -> Result<()> {
    let doing = || "forget the run".to_string();
    if is_there(transaction, "plan")? {
        let sql = format!("delete from {SCHEMA}.plan where target = $1");
        transaction.execute(&sql, &[&target]).doing(doing)?;
    }
    let sql = format!("select exists (select from {SCHEMA}.step)");
    if !transaction.query_one(&sql, &[]).doing(doing)?.get::<_, bool>(0) {
        transaction.batch_execute(&format!("drop schema {SCHEMA} cascade")).doing(doing)?;
    }
    Ok(())
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
