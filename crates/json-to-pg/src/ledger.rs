//! What a run leaves beside its rows: the plan, and which rows are its own, so that `verify`, `export` and `undo` know.

use crate::model::compiled::quote_table;
use crate::model::{FORMAT, MovePlan};
use migrate::sql::name_list;
use postgres::Client;
use toban_core::pg::quote_literal;
use toban_core::{Context, Error, Result};

/// The schema of it all. It goes with the last run that is undone.
pub(crate) const SCHEMA: &str = "toban_json";

// The transaction as xid8, whose 64 bits do not come again, so that its age is known; xmin has the lower 32 of them
// (manual, "Transactions and Identifiers").
const TABLES: &str = "create schema if not exists toban_json; \
    create table if not exists toban_json.run (run bigint primary key, made timestamptz not null default now(), \
      transaction xid8 not null, plan text not null); \
    create table if not exists toban_json.loaded (run bigint not null, at int not null, relation text not null, \
      made boolean not null, rows bigint not null, key text[] not null, keys text, old_rows text, primary key (run, at))";

/// A run that is written down.
#[derive(Clone, Debug)]
pub(crate) struct KeptRun {
    pub(crate) run: i64,
    pub(crate) plan: MovePlan,
    /// Its transaction as `xmin` shows it.
    pub(crate) transaction: String,
    /// Transactions since then.
    pub(crate) age: i64,
}

/// A table of a run.
#[derive(Clone, Debug)]
pub(crate) struct KeptTable {
    /// `schema.table`
    pub(crate) relation: String,
    /// The run made it.
    pub(crate) made: bool,
    pub(crate) rows: i64,
    pub(crate) key: Vec<String>,
    /// Our table with the keys of the run's rows; none for a table without a key.
    pub(crate) keys: Option<String>,
    /// Our table with rows as they were before the run updated them.
    pub(crate) old_rows: Option<String>,
}

/// What is written down of a table.
pub(crate) struct TableEntry<'a> {
    pub(crate) relation: &'a str,
    pub(crate) made: bool,
    pub(crate) rows: u64,
    pub(crate) old_rows: Option<&'a str>,
    pub(crate) key: Vec<&'a str>,
}

/// A name in our schema that is free, for `kind`.
///
/// # Errors
/// Those of the server.
pub(crate) fn free_table(client: &mut Client, kind: &str) -> Result<String> {
    let doing = || "record the run".to_string();
    client.batch_execute(TABLES).doing(doing)?;
    let sql =
        "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1";
    // What is free here stays free until it is made: the lock of the run's session keeps others out.
    let mut n: i64 = client.query_one(sql, &[&SCHEMA]).doing(doing)?.get(0);
    loop {
        let name = format!("{SCHEMA}.{kind}_{n}");
        let taken = format!("select to_regclass({}) is not null", quote_literal(&name));
        if !client.query_one(&taken, &[]).doing(doing)?.get::<_, bool>(0) {
            return Ok(name);
        }
        n += 1;
    }
}

/// Writes the run down, in its own transaction: the plan, and the keys of the rows that it wrote.
///
/// # Errors
/// Those of the server.
pub(crate) fn write_run(client: &mut Client, plan: &MovePlan, tables: &[TableEntry<'_>]) -> Result<()> {
    let doing = || "record the run".to_string();
    client.batch_execute(TABLES).doing(doing)?;
    // In the transaction of the rows: at any instant there are both or neither, and no row of a run is without the
    // entry by which `undo` and `verify` find it.
    let text = toml::to_string(plan).doing(doing)?;
    let sql = "insert into toban_json.run (run, transaction, plan) \
               select coalesce(max(run), 0) + 1, pg_current_xact_id(), $1 from toban_json.run returning run";
    let run: i64 = client.query_one(sql, &[&text]).doing(doing)?.get(0);
    for (at, entry) in (0_i32..).zip(tables) {
        let keys = match entry.key.is_empty() {
            true => None,
            false => Some(keep_keys(client, entry)?),
        };
        let rows = i64::try_from(entry.rows).unwrap_or(i64::MAX);
        let key: Vec<String> = entry.key.iter().map(|k| (*k).to_string()).collect();
        let sql = "insert into toban_json.loaded values ($1, $2, $3, $4, $5, $6, $7, $8)";
        let (name, old) = (entry.relation, entry.old_rows);
        client.execute(sql, &[&run, &at, &name, &entry.made, &rows, &key, &keys, &old]).doing(doing)?;
    }
    Ok(())
}

/// The keys of the rows that this transaction wrote. Each of them has its number as xmin, which a later change replaces and
/// VACUUM does not (manual, "System Columns").
fn keep_keys(client: &mut Client, entry: &TableEntry<'_>) -> Result<String> {
    // A subtransaction would have a number of its own (manual, "Subtransactions"): a run sets no savepoint, so that
    // all its rows have this one.
    let keys = free_table(client, "keys")?;
    let sql = format!(
        "create table {keys} as select {} from {} where xmin = pg_current_xact_id()::xid",
        name_list(&entry.key),
        quote_table(entry.relation)
    );
    client.batch_execute(&sql).doing(|| format!("keep the keys of {}", entry.relation))?;
    Ok(keys)
}

/// The last run into this database.
///
/// # Errors
/// Usage when there is none; Failed for one of another version.
pub(crate) fn read_last_run(client: &mut Client) -> Result<KeptRun> {
    let doing = || "look for the last run".to_string();
    let none = || {
        Error::usage("no run of json-to-pg is recorded in this database")
            .hint("is it the right database? After `undo` there is nothing to verify, export or undo either")
    };
    let there = "select to_regclass('toban_json.run') is not null";
    if !client.query_one(there, &[]).doing(doing)?.get::<_, bool>(0) {
        return Err(none());
    }
    let sql = "select run, plan, transaction::xid::text, \
               pg_snapshot_xmax(pg_current_snapshot())::text::bigint - transaction::text::bigint \
               from toban_json.run order by run desc limit 1";
    let row = client.query_opt(sql, &[]).doing(doing)?.ok_or_else(none)?;
    let text: String = row.get(1);
    let plan: MovePlan = toml::from_str(&text).doing(|| "read the plan of the last run".into())?;
    if plan.format != FORMAT {
        return Err(Error::failed(format!("the last run has a plan of format {}", plan.format)));
    }
    Ok(KeptRun { run: row.get(0), plan, transaction: row.get(2), age: row.get(3) })
}

/// The tables of a run, in the order in which they were filled.
///
/// # Errors
/// Those of the server.
pub(crate) fn read_tables(client: &mut Client, run: i64) -> Result<Vec<KeptTable>> {
    let sql =
        "select relation, made, rows, key, keys, old_rows from toban_json.loaded where run = $1 order by at";
    let rows = client.query(sql, &[&run]).doing(|| "look at the tables of the last run".into())?;
    let table = |r: &postgres::Row| KeptTable {
        relation: r.get(0),
        made: r.get(1),
        rows: r.get(2),
        key: r.get(3),
        keys: r.get(4),
        old_rows: r.get(5),
    };
    Ok(rows.iter().map(table).collect())
}

/// Forgets a run that was undone; with the last one our schema goes.
///
/// # Errors
/// Those of the server.
pub(crate) fn forget_run(client: &mut Client, run: i64) -> Result<()> {
    let doing = || "forget the run".to_string();
    // With the rows, in one transaction: a second `undo` must not begin with a run that is gone.
    for table in read_tables(client, run)? {
        for ours in [table.keys, table.old_rows].into_iter().flatten() {
            client.batch_execute(&format!("drop table {ours}")).doing(doing)?;
        }
    }
    client.execute("delete from toban_json.loaded where run = $1", &[&run]).doing(doing)?;
    client.execute("delete from toban_json.run where run = $1", &[&run]).doing(doing)?;
    let left = "select exists (select from toban_json.run)";
    if !client.query_one(left, &[]).doing(doing)?.get::<_, bool>(0) {
        client.batch_execute("drop schema toban_json cascade").doing(doing)?;
    }
    Ok(())
}
