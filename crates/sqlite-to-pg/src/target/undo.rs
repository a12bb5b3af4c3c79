//! The way back: what a run made is written down with it, and `--undo` takes it away again.

use super::{definitions, fence};
use crate::model::{ForeignKey, Mode, Object, Plan, Table};
use migrate::session;
use migrate::sql::{name_list, qualified_name};
use postgres::Client;
use toban_core::pg::{Ident, quote_literal};
use toban_core::{Context, Error, Result};

const SCHEMA: &str = "toban_undo";

/// Tables of one step where one transaction could not hold the locks of all: a dozen each, for a table has indexes,
/// a sequence, types and constraints.
const FEW: usize = 20;
/// Such steps of one transaction.
const STEPS: i64 = 5;
/// Tables of which all can be dropped at once.
const MANY: usize = 500;

/// A copy that is put in place.
pub(crate) struct PlacedCopy<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) views: &'a [String],
    pub(crate) made_schema: bool,
    /// How many rows each table of the plan has.
    pub(crate) rows: &'a [u64],
}

/// Writes down how to take back what this transaction makes.
pub(crate) fn write_undo_of_copy(client: &mut Client, copy: &PlacedCopy<'_>) -> Result<()> {
    let PlacedCopy { plan, views, made_schema, rows } = *copy;
    let tables: Vec<String> = plan.tables.iter().map(|t| qualified_name(&plan.schema, &t.target)).collect();
    let mut steps = Vec::new();
    for view in views.iter().rev() {
        steps.push(format!("drop view if exists {}", qualified_name(&plan.schema, view)));
    }
    let many = tables.len() > MANY;
    // Tables refer to each other: without the keys they can be dropped some at a time, in any order.
    if many {
        steps.extend(plan.tables.chunks(FEW).filter_map(|some| drop_keys_sql(&plan.schema, some)));
    }
    // One statement: tables may refer to each other in circles.
    for some in tables.chunks(if many { FEW } else { MANY }) {
        steps.push(format!("drop table if exists {}", some.join(", ")));
    }
    if made_schema {
        steps.push(format!("drop schema if exists {}", Ident::new(&*plan.schema)));
    }
    write_steps(client, &plan.schema, &steps, many)?;
    mark_rows(client, &plan.schema, &tables, rows)
}

/// Takes the foreign keys of tables away, so that these can be dropped one after another.
fn drop_keys_sql(schema: &str, tables: &[Table]) -> Option<String> {
    let one = |table: &Table, key: &ForeignKey| {
        let (name, key) = (qualified_name(schema, &table.target), Ident::new(&*key.name));
        format!("alter table if exists {name} drop constraint if exists {key}")
    };
    let keys = tables.iter().flat_map(|t| t.foreign_keys.iter().map(move |key| one(t, key)));
    let keys: Vec<String> = keys.collect();
    (!keys.is_empty()).then(|| keys.join("; "))
}

/// Writes down these statements as the way back of one more run; whether each may be done `alone`, or only all of them.
pub(crate) fn write_steps(client: &mut Client, schema: &str, steps: &[String], alone: bool) -> Result<()> {
    let doing = || "write down the way back".to_string();
    let table = format!(
        "create schema if not exists {SCHEMA}; \
         create table if not exists {SCHEMA}.step (run bigint, at int, target text, statement text, made timestamptz default now()); \
         alter table {SCHEMA}.step add column if not exists alone boolean not null default false"
    );
    client.batch_execute(&table).doing(doing)?;
    // Runs into one schema are kept apart by its lock; two into different schemas that take one number are kept apart
    // by `target`.
    let next = format!("select coalesce(max(run), 0) + 1 from {SCHEMA}.step");
    let run: i64 = client.query_one(&next, &[]).doing(doing)?.get(0);
    let sql =
        format!("insert into {SCHEMA}.step (run, at, target, statement, alone) values ($1, $2, $3, $4, $5)");
    let insert = client.prepare(&sql).doing(doing)?;
    for (at, step) in (0_i32..).zip(steps) {
        client.execute(&insert, &[&run, &at, &schema, step, &alone]).doing(doing)?;
    }
    Ok(())
}

/// Keeps beside the way back what each table held, and the transactions that this one sees: what others write later is
/// known by that.
pub(crate) fn mark_rows(client: &mut Client, schema: &str, tables: &[String], rows: &[u64]) -> Result<()> {
    let doing = || "write down what the tables hold".to_string();
    let sql = format!(
        "create table if not exists {SCHEMA}.mark (run bigint, target text, relation text, rows bigint, snapshot pg_snapshot, own xid8)"
    );
    client.batch_execute(&sql).doing(doing)?;
    let sql = format!(
        "insert into {SCHEMA}.mark values ((select max(run) from {SCHEMA}.step where target = $1), $1, $2, $3, \
         pg_current_snapshot(), pg_current_xact_id())"
    );
    // pg_current_snapshot() is what this transaction sees: a row whose xmin is not visible in it was written by another
    // later. The own transaction is not in its own snapshot, so its number is kept beside it.
    let insert = client.prepare(&sql).doing(doing)?;
    for (table, rows) in tables.iter().zip(rows) {
        let rows = i64::try_from(*rows).unwrap_or(i64::MAX);
        client.execute(&insert, &[&schema, table, &rows]).doing(doing)?;
    }
    Ok(())
}

/// Keeps the plan beside the undo steps, and the definitions as they are now, so that `verify` knows what the copy must be.
pub(crate) fn keep_plan(client: &mut Client, plan: &Plan) -> Result<()> {
    let doing = || "keep the plan".to_string();
    let sql = format!(
        "create table if not exists {SCHEMA}.plan (target text primary key, plan text not null); \
         alter table {SCHEMA}.plan add column if not exists definitions text"
    );
    client.batch_execute(&sql).doing(doing)?;
    let text = toml::to_string(plan).doing(doing)?;
    let kept = definitions::read_definitions(client, &plan.schema, &plan_relations(plan))?;
    let kept = serde_json::to_string(&kept).doing(doing)?;
    let sql = format!(
        "insert into {SCHEMA}.plan (target, plan, definitions) values ($1, $2, $3) \
         on conflict (target) do update set plan = excluded.plan, definitions = excluded.definitions"
    );
    client.execute(&sql, &[&plan.schema, &text, &kept]).doing(doing).map(drop)
}

/// The tables and views of a plan that are ours to judge.
pub(crate) fn plan_relations(plan: &Plan) -> Vec<String> {
    let made = |o: &&Object| o.is_made_view() && plan.mode == Mode::Create;
    let views = plan.objects.iter().filter(made).map(Object::view_name);
    plan.tables.iter().map(|t| t.target.clone()).chain(views).collect()
}

/// Notes in the plan that is kept how the columns of `plan` are converted now.
pub(crate) fn amend_plan(client: &mut Client, plan: &Plan) -> Result<()> {
    let doing = || "keep the plan".to_string();
    if !is_there(client, "plan")? {
        return Ok(());
    }
    let sql = format!("select plan from {SCHEMA}.plan where target = $1 for update");
    let row = client.query_opt(&sql, &[&plan.schema]).doing(doing)?;
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
    let text = toml::to_string(&kept).doing(doing)?;
    let sql = format!("update {SCHEMA}.plan set plan = $2 where target = $1");
    client.execute(&sql, &[&plan.schema, &text]).doing(doing).map(drop)
}

/// Takes back the last run into `schema`, in one transaction; the answer is what was done. Of thousands of tables only
/// some at a time, and then it can be interrupted and begun again.
///
/// # Errors
/// Usage when there is nothing to take back, or rows were written since and `even_if_changed` does not say that they may
/// go; those of the server (something else depends on a table), and then nothing is done.
pub(crate) fn undo_last(client: &mut Client, schema: &str, even_if_changed: bool) -> Result<Vec<String>> {
    let doing = || "take back the last run".to_string();
    let none = || {
        Error::usage(format!("no run into the schema {schema} is recorded in this database"))
            .hint("was it another database, or another --schema?")
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
    let last = LastRun { schema, run };
    let mut done = Vec::new();
    if alone {
        done.extend(check_changed(client, &last, even_if_changed, false)?);
    }
    loop {
        let (steps, more) = session::in_transaction(client, doing, |client| {
            // Under the lock and in the transaction that drops them: rows that come in between would go without a
            // word.
            let told = if alone { Vec::new() } else { check_changed(client, &last, even_if_changed, true)? };
            // Tables that were there before the run stay, and the fence of a return to SQLite refuses what takes it back.
            fence::drop_fence(client, schema)?;
            let (steps, more) = take_steps(client, &last, if alone { STEPS } else { i64::MAX })?;
            Ok((told.into_iter().chain(steps).collect::<Vec<_>>(), more))
        })?;
        done.extend(steps);
        if !more {
            return Ok(done);
        }
    }
}

/// The run that is taken back.
struct LastRun<'a> {
    schema: &'a str,
    run: i64,
}

/// What was written to the tables since the run, a line for each; with `lock` nothing more can be until this transaction
/// ends.
fn check_changed(client: &mut Client, last: &LastRun<'_>, accepted: bool, lock: bool) -> Result<Vec<String>> {
    let LastRun { schema, run } = *last;
    let doing = || "look for rows that were written since".to_string();
    let mut told = Vec::new();
    let marks = match is_there(client, "mark")? {
        true => {
            let sql = format!(
                "select relation, rows, to_regclass(relation) is not null from {SCHEMA}.mark where target = $1 and run = $2"
            );
            client.query(&sql, &[&schema, &run]).doing(doing)?
        }
        false => Vec::new(),
    };
    if marks.is_empty() && !accepted {
        return Err(Error::usage(
            "what was written to the tables since the run is not known, and would be lost",
        )
        .hint("check the tables yourself; --even-if-changed undoes the run all the same"));
    }
    for row in marks {
        let (relation, rows, there): (String, i64, bool) = (row.get(0), row.get(1), row.get(2));
        if !there {
            continue;
        }
        if lock {
            // The mode that DROP TABLE takes anyway: a weaker one, raised later, could meet a reader that waits for
            // us (manual, "Deadlocks").
            let sql = format!("lock table {relation} in access exclusive mode");
            client.batch_execute(&sql).doing(|| format!("lock {relation}"))?;
        }
        let (all, written) = count_written(client, &relation, run)?;
        let gone = rows - (all - written);
        if written > 0 || gone > 0 {
            told.push(format!(
                "{relation}: {written} rows written since, {gone} of the run's rows gone or replaced"
            ));
        }
    }
    if told.is_empty() || accepted {
        return Ok(told.into_iter().map(|line| format!("lost with {line}")).collect());
    }
    Err(Error::usage(format!("rows were written since the run, and would be lost: {}", told.join("; ")))
        .hint("save them first; --even-if-changed undoes the run all the same"))
}

/// How many rows a table holds, and how many of them were written by transactions that the run's own did not see.
fn count_written(client: &mut Client, relation: &str, run: i64) -> Result<(i64, i64)> {
    // A row knows 32 bits of its transaction's number; the upper ones are those of the last such number that was given.
    let sql = format!(
        "with mark as (select snapshot, own, pg_snapshot_xmax(pg_current_snapshot())::text::bigint as now from {SCHEMA}.mark \
         where run = $1 and relation = $2), \
         row as (select r.xmin::text::bigint as short, m.now - ((m.now - r.xmin::text::bigint) & 4294967295) as long, m.snapshot, m.own \
         from {} r, mark m) \
         select count(*), count(*) filter (where short >= 3 and long >= 3 and long <> own::text::bigint \
         and not pg_visible_in_snapshot(long::text::xid8, snapshot)) from row",
        scan_name(client, relation)?
    );
    let row = client.query_one(&sql, &[&run, &relation]).doing(|| format!("count the rows of {relation}"))?;
    Ok((row.get(0), row.get(1)))
}

/// The table as a query names it: one that others inherit from without their rows.
pub(crate) fn scan_name(client: &mut Client, relation: &str) -> Result<String> {
    let sql = format!("select relkind::text from pg_class where oid = {}::regclass", quote_literal(relation));
    let kind: String = client.query_one(&sql, &[]).doing(|| format!("look at {relation}"))?.get(0);
    Ok(if kind == "p" { relation.into() } else { format!("only {relation}") })
}

/// Takes the first steps of a run back, and whether there are more; with the last one of all our own schema goes.
fn take_steps(client: &mut Client, last: &LastRun<'_>, some: i64) -> Result<(Vec<String>, bool)> {
    let LastRun { schema, run } = *last;
    let doing = || "take back the last run".to_string();
    let sql = format!(
        "delete from {SCHEMA}.step where run = $1 and at in \
         (select at from {SCHEMA}.step where run = $1 order by at limit $2) returning at, statement"
    );
    let rows = client.query(&sql, &[&run, &some]).doing(doing)?;
    let mut steps: Vec<(i32, String)> = rows.iter().map(|r| (r.get(0), r.get(1))).collect();
    steps.sort();
    // Deleted and carried out in one transaction: after a crash a step is either done and gone, or still there to be done.
    for (_, step) in &steps {
        client.batch_execute(step).doing(|| step.clone())?;
    }
    let sql = format!("select exists (select from {SCHEMA}.step where run = $1)");
    let more: bool = client.query_one(&sql, &[&run]).doing(doing)?.get(0);
    if !more {
        // Rows that were brought back are new ones: what an earlier run wrote cannot be told from them.
        if is_there(client, "mark")? {
            let sql = format!(
                "delete from {SCHEMA}.mark where relation in (select relation from {SCHEMA}.mark where run = $1)"
            );
            client.execute(&sql, &[&run]).doing(doing)?;
        }
        forget_run(client, schema)?;
    }
    Ok((steps.into_iter().map(|(_, step)| step).collect(), more))
}

/// Whether our schema has this table.
fn is_there(client: &mut Client, table: &str) -> Result<bool> {
    let sql = format!("select to_regclass('{SCHEMA}.{table}') is not null");
    Ok(client.query_one(&sql, &[]).doing(|| "look for what is written down".into())?.get(0))
}

fn forget_run(client: &mut Client, target: &str) -> Result<()> {
    let doing = || "forget the run".to_string();
    if is_there(client, "plan")? {
        let sql = format!("delete from {SCHEMA}.plan where target = $1");
        client.execute(&sql, &[&target]).doing(doing)?;
    }
    let sql = format!("select exists (select from {SCHEMA}.step)");
    if !client.query_one(&sql, &[]).doing(doing)?.get::<_, bool>(0) {
        client.batch_execute(&format!("drop schema {SCHEMA} cascade")).doing(doing)?;
    }
    Ok(())
}

/// Keeps a copy of a table's rows before they change; the statements that bring them back.
pub(crate) fn keep_rows(
    client: &mut Client,
    schema: &str,
    table: &str,
    columns: &[String],
) -> Result<Vec<String>> {
    let doing = || format!("keep the rows of {table}");
    let copies = format!(
        "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = '{SCHEMA}'"
    );
    client.batch_execute(&format!("create schema if not exists {SCHEMA}")).doing(doing)?;
    let n: i64 = client.query_one(&copies, &[]).doing(doing)?.get(0);
    let (name, copy) = (qualified_name(schema, table), qualified_name(SCHEMA, &format!("kept_{n}")));
    let only = scan_name(client, &name)?;
    client
        .batch_execute(&format!("create table {copy} as select {} from {only}", name_list(columns)))
        .doing(doing)?;
    let back = format!(
        "insert into {name} ({0}) overriding system value select {0} from {copy}",
        name_list(columns)
    );
    Ok(vec![format!("delete from {only}"), back, format!("drop table {copy}")])
}
