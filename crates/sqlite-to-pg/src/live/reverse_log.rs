//! The log of the way back: statement triggers in PostgreSQL that note the keys of changed rows, of COPY too; of
//! TRUNCATE and of tables without a key only that they changed.

use super::apply::why_recopied;
use super::keys::CapturedTable;
use super::state::SCHEMA;
use crate::model::{Plan, Table};
use migrate::sql::qualified_name;
use postgres::Client;
use toban_core::pg::{Ident, quote_literal};
use toban_core::{Context, Result};

/// What every trigger and function of ours is called by.
pub(super) const TRIGGER: &str = "toban_live";

/// A table of the plan with what is captured of it.
pub(super) struct ReverseTable<'a> {
    pub(super) captured: &'a CapturedTable,
    pub(super) table: &'a Table,
    /// The target's columns of the key; empty: the table is copied back as a whole.
    pub(super) key: Vec<&'a str>,
}

/// Every table of the plan that the file has.
pub(super) fn reverse_tables<'a>(plan: &'a Plan, captured: &'a [CapturedTable]) -> Vec<ReverseTable<'a>> {
    let one = |captured: &'a CapturedTable| {
        let table = plan.tables.iter().find(|t| t.source == captured.name)?;
        let target = |name: &String| table.columns.iter().find(|c| c.source == *name).map(|c| &*c.target);
        let key = match why_recopied(captured, table) {
            None => captured.key.iter().filter_map(target).collect(),
            Some(_) => Vec::new(),
        };
        Some(ReverseTable { captured, table, key })
    };
    captured.iter().filter_map(one).collect()
}

/// Makes the log and its triggers, in the transaction that is open; those of an earlier cutover are replaced.
///
/// # Errors
/// Those of the server.
pub(super) fn install_log(client: &mut Client, plan: &Plan, tables: &[ReverseTable<'_>]) -> Result<()> {
    let doing = || "install the log of the way back".to_string();
    remove_log(client, plan, tables)?;
    let log = log_name(&plan.schema);
    let sql =
        format!("create table {log} (t bigint not null, key text[], at bigint generated always as identity)");
    client.batch_execute(&sql).doing(doing)?;
    for table in tables {
        // SECURITY DEFINER: the application's role has no right on our schema, and needs none.
        let sql = format!(
            "create function {0}() returns trigger language plpgsql security definer set search_path = pg_catalog \
             set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set extra_float_digits = 1 \
             set bytea_output = 'hex' as {1}",
            function_name(&plan.schema, table),
            quote_literal(&function_body(&log, table))
        );
        client.batch_execute(&sql).doing(doing)?;
        for relation in relations_of(client, plan, table)? {
            client.batch_execute(&triggers_sql(&plan.schema, table, &relation)).doing(doing)?;
        }
    }
    Ok(())
}

/// Takes the log and its triggers away, in the transaction that is open.
///
/// # Errors
/// Those of the server.
pub(super) fn remove_log(client: &mut Client, plan: &Plan, tables: &[ReverseTable<'_>]) -> Result<()> {
    let doing = || "remove the log of the way back".to_string();
    let drop = format!("drop table if exists {}", log_name(&plan.schema));
    client.batch_execute(&drop).doing(doing)?;
    for table in tables {
        // With CASCADE the function takes its triggers along.
        let drop = format!("drop function if exists {}() cascade", function_name(&plan.schema, table));
        client.batch_execute(&drop).doing(doing)?;
    }
    Ok(())
}

/// Whether the application wrote to PostgreSQL since the log was installed.
///
/// # Errors
/// Those of the server.
pub(super) fn has_entries(client: &mut Client, schema: &str) -> Result<bool> {
    let sql = format!("select exists (select from {})", log_name(schema));
    client.query_one(&sql, &[]).doing(|| "look into the log of the way back".into()).map(|row| row.get(0))
}

/// The log's name: one for each schema.
pub(super) fn log_name(schema: &str) -> String {
    qualified_name(SCHEMA, &migrate::names::short_name(&format!("log_{schema}")))
}

fn function_name(schema: &str, table: &ReverseTable<'_>) -> String {
    let name = format!("log_{}_{schema}", table.captured.number);
    qualified_name(SCHEMA, &migrate::names::short_name(&name))
}

/// The table and its partitions: a statement on a partitioned table fires its triggers, one on a partition that
/// partition's alone.
///
/// # Errors
/// Those of the server.
pub(super) fn relations_of(
    client: &mut Client,
    plan: &Plan,
    table: &ReverseTable<'_>,
) -> Result<Vec<String>> {
    let name = qualified_name(&plan.schema, &table.table.target);
    let sql = format!(
        "select {0}::regclass::text union select relid::regclass::text from pg_partition_tree({0}::regclass)",
        quote_literal(&name)
    );
    let rows = client.query(&sql, &[]).doing(|| format!("look at {name}"))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

fn function_body(log: &str, table: &ReverseTable<'_>) -> String {
    let number = table.captured.number;
    let whole = format!("insert into {log} (t) values ({number}); return null;");
    if table.key.is_empty() {
        return format!("begin {whole} end");
    }
    let key: Vec<String> = table.key.iter().map(|k| format!("r.{}::text", Ident::new(*k))).collect();
    let rows = |of: &str| {
        format!("insert into {log} (t, key) select {number}, array[{}] from {of} r;", key.join(", "))
    };
    format!(
        "begin if tg_op = 'TRUNCATE' then {whole} end if; \
         if tg_op <> 'INSERT' then {} end if; if tg_op <> 'DELETE' then {} end if; return null; end",
        rows("toban_old"),
        rows("toban_new")
    )
}

fn triggers_sql(schema: &str, table: &ReverseTable<'_>, relation: &str) -> String {
    let function = function_name(schema, table);
    let one = |event: &str, transition: &str| {
        format!(
            "create trigger {TRIGGER}_{event} after {event} on {relation} {transition} \
             for each statement execute function {function}(); "
        )
    };
    [
        one("insert", "referencing new table as toban_new"),
        one("update", "referencing old table as toban_old new table as toban_new"),
        one("delete", "referencing old table as toban_old"),
        one("truncate", ""),
    ]
    .concat()
}
