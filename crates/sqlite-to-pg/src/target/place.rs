//! From the schema where the copy was prepared to its place, in one transaction.

use super::undo::{self, PlacedCopy};
use crate::model::{Cause, Object, ObjectKind, Outcome, Plan};
use migrate::session;
use migrate::sql::qualified_name;
use postgres::Client;
use toban_core::pg::Ident;
use toban_core::{Context, Error, Result};

/// That none of the plan's tables is in the target yet.
///
/// # Errors
/// Usage, naming those that are.
pub(crate) fn check_empty(client: &mut Client, plan: &Plan) -> Result<()> {
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

/// Moves all tables (with so many rows each) and views, writes down how to undo it, and drops the empty schema; all of
/// it or nothing.
///
/// # Errors
/// Those of the server; then the target is as it was.
pub(crate) fn move_tables(client: &mut Client, plan: &Plan, stage: &str, rows: &[u64]) -> Result<()> {
    let doing = || format!("move the tables to {}", plan.schema);
    session::in_transaction(client, doing, |client| {
        let sql = "select exists (select from pg_namespace where nspname = $1)";
        let there: bool = client.query_one(sql, &[&plan.schema]).doing(doing)?.get(0);
        // Read inside: the schema is prepared in many transactions, and what is moved must be what is there now.
        let views: Vec<String> = made_views(client, stage)?;
        let (from, to) = (Ident::new(stage), Ident::new(&*plan.schema));
        match there {
            true => move_one_by_one(client, plan, stage, &views)?,
            false => {
                // No such schema yet: renaming the prepared one takes one lock, where moving each table would take one for each.
                let sql = format!("alter schema {from} rename to {to}; comment on schema {to} is null");
                client.batch_execute(&sql).doing(doing)?;
            }
        }
        // In the same transaction: the copy is never visible without the statements that take it back, nor they without the copy.
        undo::write_undo_of_copy(client, &PlacedCopy { plan, views: &views, made_schema: !there, rows })?;
        undo::keep_plan(client, plan)
    })
}

fn move_one_by_one(client: &mut Client, plan: &Plan, stage: &str, views: &[String]) -> Result<()> {
    let doing = || format!("move the tables to {}", plan.schema);
    let (from, to) = (Ident::new(stage), Ident::new(&*plan.schema));
    for view in views {
        // A view finds its tables by their numbers, so the order of the moves does not matter to it.
        let sql = format!("alter view {} set schema {to}", qualified_name(stage, view));
        client.batch_execute(&sql).doing(doing).map_err(explain_denied)?;
    }
    for table in &plan.tables {
        let sql = format!("alter table {} set schema {to}", qualified_name(stage, &table.target));
        client.batch_execute(&sql).doing(doing).map_err(explain_denied)?;
    }
    client.batch_execute(&format!("drop schema {from}")).doing(doing)
}

/// That the role may put the copy in place, and write down the undo steps.
///
/// # Errors
/// Failed, with the statement that grants what is missing.
pub(crate) fn check_rights(client: &mut Client, plan: &Plan) -> Result<()> {
    let sql = "select n.nspname::text, current_user::text from pg_namespace n where n.nspname in ($1, 'toban_undo') \
               and not has_schema_privilege(n.oid, 'create') limit 1";
    match client.query_opt(sql, &[&plan.schema]).doing(|| "look at the target".into())? {
        None => Ok(()),
        Some(row) => {
            let (schema, user): (String, String) = (row.get(0), row.get(1));
            Err(Error::failed(format!("the role may not create tables in the schema {schema}")).hint(
                format!("grant create, usage on schema {} to {}", Ident::new(schema), Ident::new(user)),
            ))
        }
    }
}

/// That the server has room for the locks of [`move_tables`]: one for each table and each sequence.
///
/// # Errors
/// Failed, with the setting that makes room.
pub(crate) fn check_room(client: &mut Client, plan: &Plan) -> Result<()> {
    let sql = "select current_setting('max_locks_per_transaction')::bigint, \
               current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint, \
               exists (select from pg_namespace where nspname = $1)";
    let row = client.query_one(sql, &[&plan.schema]).doing(|| "look at the target".into())?;
    let (each, sessions, there): (i64, i64, bool) = (row.get(0), row.get(1), row.get(2));
    let identities = plan.tables.iter().flat_map(|t| &t.columns).filter(|c| c.identity).count();
    let views = plan.objects.iter().filter(|o| o.kind == ObjectKind::View).count();
    let needed = i64::try_from(plan.tables.len() + identities + views).unwrap_or(i64::MAX);
    // The server itself adds some for its own processes.
    if !there || needed <= each * sessions {
        return Ok(());
    }
    // The lock table is shared: it holds max_locks_per_transaction times the sessions that there can be (manual, "Lock
    // Management").
    let set = (needed / sessions + 1) * 5 / 4;
    let what = format!(
        "moving this copy into place takes {needed} locks at once, and the server has room for {}",
        each * sessions
    );
    Err(Error::failed(what).hint(format!(
        "set max_locks_per_transaction = {set} and restart the server; or give --schema with the name of a new schema, which takes only one"
    )))
}

fn explain_denied(e: Error) -> Error {
    if e.chain().contains("permission denied") {
        e.hint("the role needs CREATE on the schema: grant create on schema … to …")
    } else {
        e
    }
}

fn made_views(client: &mut Client, stage: &str) -> Result<Vec<String>> {
    let sql = "select c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace \
               where n.nspname = $1 and c.relkind = 'v' order by c.oid";
    let rows = client.query(sql, &[&stage]).doing(|| "list the views".into())?;
    Ok(rows.iter().map(|r| r.get(0)).collect())
}

/// Creates the views in the order in which SQLite has them; those that PostgreSQL refuses are the answer, and are written to
/// a file instead.
pub(crate) fn create_views(client: &mut Client, plan: &Plan, stage: &str) -> Result<Vec<Object>> {
    let path = format!("set search_path = {}, pg_catalog", Ident::new(stage));
    client.batch_execute(&path).doing(|| "begin views".into())?;
    let mut refused = Vec::new();
    for view in plan.objects.iter().filter(|o| o.is_made_view()) {
        let sql = format!("create view {}", view.sql.as_deref().unwrap_or_default());
        if let Err(e) = client.batch_execute(&sql) {
            let written = view.with_outcome(Outcome::Written, super::create::tolerate(e)?);
            refused.push(Object { cause: Cause::Refused, ..written });
        }
    }
    // Back at once: everything else names its schema, and must not find a table that is called like one of the
    // catalogue's.
    client.batch_execute("set search_path = pg_catalog").doing(|| "end views".into())?;
    Ok(refused)
}
