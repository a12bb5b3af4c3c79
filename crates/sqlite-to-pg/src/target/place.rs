//! From the schema where the copy was prepared to its place, in one transaction.

use super::{qualified, undo};
use crate::plan::{Fate, Plan};
use postgres::Client;
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
    if !there {
        transaction.batch_execute(&format!("create schema {}", Ident::new(&*plan.schema))).doing(doing)?;
    }
    let views: Vec<String> = made_views(&mut transaction, stage)?;
    let to = Ident::new(&*plan.schema);
    for view in &views {
        let sql = format!("alter view {} set schema {to}", qualified(stage, view));
        transaction.batch_execute(&sql).doing(doing).map_err(denied)?;
    }
    for table in &plan.tables {
        let sql = format!("alter table {} set schema {to}", qualified(stage, &table.target));
        transaction.batch_execute(&sql).doing(doing).map_err(denied)?;
    }
    undo::remember(&mut transaction, plan, &views, !there)?;
    transaction.batch_execute(&format!("drop schema {}", Ident::new(stage))).doing(doing)?;
    transaction.commit().doing(doing)
}

fn denied(e: Error) -> Error {
    if e.chain().contains("permission denied") {
        e.hint("the role needs CREATE on the schema: grant create on schema … to …")
    } else {
        e
    }
}

fn made_views(transaction: &mut postgres::Transaction<'_>, stage: &str) -> Result<Vec<String>> {
    let sql = "select c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace \
               where n.nspname = $1 and c.relkind = 'v' order by c.oid";
    let rows = transaction.query(sql, &[&stage]).doing(|| "list the views".into())?;
    Ok(rows.iter().map(|r| r.get(0)).collect())
}

/// Creates the views in the order in which SQLite has them; one that PostgreSQL refuses is written to a file instead.
///
/// # Errors
/// When the connection is lost.
pub(crate) fn views(client: &mut Client, plan: &mut Plan) -> Result<()> {
    for object in plan.objects.iter_mut().filter(|o| o.kind == "view") {
        let Some(sql) = object.sql.clone().filter(|_| object.fate == Fate::Translated) else { continue };
        if let Err(e) = client.batch_execute(&format!("create view {sql}")) {
            object.fate = Fate::Written;
            object.why = format!("PostgreSQL refuses it: {}", super::create::tolerable(e)?);
        }
    }
    Ok(())
}
