//! From the schema where the copy was prepared to its place, in one transaction.

use super::{qualified, undo};
use crate::plan::{Fate, Plan, REFUSED};
use postgres::{Client, Transaction};
use toban_core::pg::Ident;
use toban_core::{Context, Error, Result};

/// That none of the plan's tables is in the target yet.
///
/// # Errors
/// Usage, naming those that are.
pub(crate) fn empty(client: &mut Client, plan: &Plan) -> Result<()> {
    let names: Vec<&str> = plan.tables.iter().map(|t| t.target.as_str()).collect();
    let sql = "select c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace \
               where n.nspname = $1 and c.relname = any($2) and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'i') order by 1";
    let rows = client.query(sql, &[&plan.schema, &names]).doing(|| "look at the target".into())?;
    let there: Vec<String> = rows.iter().take(5).map(|r| r.get(0)).collect();
    if there.is_empty() {
        return Ok(());
    }
    let more = if rows.len() > there.len() {
        format!(" and {} more", rows.len() - there.len())
    } else {
        String::new()
    };
    Err(Error::usage(format!("the target is not empty: {} holds {}{more}", plan.schema, there.join(", "))).hint(
        "--existing truncate (or append, upsert, skip-existing) loads into them; --schema NAME loads beside them; --undo takes back an earlier run",
    ))
}

/// Moves all tables and views, writes down how to undo it, and drops the empty schema; all of it or nothing.
///
/// # Errors
/// Those of the server; then the target is as it was.
pub(crate) fn move_in(client: &mut Client, plan: &Plan, stage: &str) -> Result<()> {
    let doing = || format!("move the tables to {}", plan.schema);
    let mut transaction = client.transaction().doing(doing)?;
    transaction.batch_execute("set local synchronous_commit = on").doing(doing)?;
    let sql = "select exists (select from pg_namespace where nspname = $1)";
    let there: bool = transaction.query_one(sql, &[&plan.schema]).doing(doing)?.get(0);
    let views: Vec<String> = made_views(&mut transaction, stage)?;
    let (from, to) = (Ident::new(stage), Ident::new(&*plan.schema));
    match there {
        true => one_by_one(&mut transaction, plan, (stage, &views))?,
        false => {
            let sql = format!("alter schema {from} rename to {to}; comment on schema {to} is null");
            transaction.batch_execute(&sql).doing(doing)?;
        }
    }
    undo::remember(&mut transaction, plan, &views, !there)?;
    undo::keep_plan(&mut transaction, plan)?;
    transaction.commit().doing(doing)
}

fn one_by_one(
    transaction: &mut Transaction<'_>,
    plan: &Plan,
    (stage, views): (&str, &[String]),
) -> Result<()> {
    let doing = || format!("move the tables to {}", plan.schema);
    let (from, to) = (Ident::new(stage), Ident::new(&*plan.schema));
    for view in views {
        let sql = format!("alter view {} set schema {to}", qualified(stage, view));
        transaction.batch_execute(&sql).doing(doing).map_err(denied)?;
    }
    for table in &plan.tables {
        let sql = format!("alter table {} set schema {to}", qualified(stage, &table.target));
        transaction.batch_execute(&sql).doing(doing).map_err(denied)?;
    }
    transaction.batch_execute(&format!("drop schema {from}")).doing(doing)
}

/// That the server has room for the locks of [`move_in`]: one for each table and each sequence.
///
/// # Errors
/// Failed, with the setting that makes room.
pub(crate) fn room(client: &mut Client, plan: &Plan) -> Result<()> {
    let sql = "select current_setting('max_locks_per_transaction')::bigint, \
               current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint, \
               exists (select from pg_namespace where nspname = $1)";
    let row = client.query_one(sql, &[&plan.schema]).doing(|| "look at the target".into())?;
    let (each, sessions, there): (i64, i64, bool) = (row.get(0), row.get(1), row.get(2));
    let identities = plan.tables.iter().flat_map(|t| &t.columns).filter(|c| c.identity).count();
    let views = plan.objects.iter().filter(|o| o.kind == "view").count();
    let needed = i64::try_from(plan.tables.len() + identities + views).unwrap_or(i64::MAX);
    // The server itself adds some for its own processes.
    if !there || needed <= each * sessions {
        return Ok(());
    }
    let set = (needed / sessions + 1) * 5 / 4;
    let what = format!(
        "{needed} locks at once put this copy in place, and the server has room for {}",
        each * sessions
    );
    Err(Error::failed(what).hint(format!(
        "set max_locks_per_transaction = {set} and restart the server; or --schema with the name of a new schema, which needs but one"
    )))
}

fn denied(e: Error) -> Error {
    if e.chain().contains("permission denied") {
        e.hint("the role needs CREATE on the schema: grant create on schema … to …")
    } else {
        e
    }
}

fn made_views(transaction: &mut Transaction<'_>, stage: &str) -> Result<Vec<String>> {
    let sql = "select c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace \
               where n.nspname = $1 and c.relkind = 'v' order by c.oid";
    let rows = transaction.query(sql, &[&stage]).doing(|| "list the views".into())?;
    Ok(rows.iter().map(|r| r.get(0)).collect())
}

/// Creates the views in the order in which SQLite has them; one that PostgreSQL refuses is written to a file instead.
///
/// # Errors
/// When the connection is lost.
pub(crate) fn views(client: &mut Client, plan: &mut Plan, stage: &str) -> Result<()> {
    let path = format!("set search_path = {}, pg_catalog", Ident::new(stage));
    client.batch_execute(&path).doing(|| "begin views".into())?;
    for object in plan.objects.iter_mut().filter(|o| o.kind == "view") {
        let Some(sql) = object.sql.clone().filter(|_| object.fate == Fate::Translated) else { continue };
        if let Err(e) = client.batch_execute(&format!("create view {sql}")) {
            object.fate = Fate::Written;
            object.why = format!("{REFUSED}: {}", super::create::tolerable(e)?);
        }
    }
    client.batch_execute("set search_path = pg_catalog").doing(|| "end views".into())
}
