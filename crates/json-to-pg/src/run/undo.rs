//! The verb `undo`: the rows of the last run go, if they are as it left them.

use super::{Deferral, defer_keys};
use crate::cli::UndoArgs;
use crate::ledger::{self, KeptRun, KeptTable};
use crate::load::order::{TableReference, read_references};
use crate::model::compiled::{quote_table, split_table};
use crate::target::lock_table;
use migrate::session;
use postgres::Client;
use serde::Serialize;
use toban_core::pg::{ConnInfo, Ident};
use toban_core::{Context, Error, Kind, Out, Record, Result};

/// Transactions after which a number of xmin may be another transaction's.
const MOST_AGE: i64 = 1 << 31;
/// Keys that are named.
const NAMED: usize = 20;

/// A table that was undone.
#[derive(Clone, Debug, Serialize)]
struct UndoneTable {
    table: String,
    removed: u64,
    /// Rows as they were before the run.
    restored: u64,
    /// Keys of rows that were changed since, and stay.
    changed: Vec<String>,
    /// Rows of the run that are no longer there.
    gone: u64,
    /// What became of a table that the run made.
    dropped: bool,
}

impl Record for UndoneTable {
    const SCHEMA: &'static str = "json-to-pg.undone/1";
    const HEAD: &'static [&'static str] =
        &["table", "removed", "restored", "changed since", "gone", "dropped"];

    fn cells(&self) -> Vec<String> {
        let changed = match self.changed.len() {
            0 => "0".into(),
            n => format!("{n}: {}", self.changed.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ")),
        };
        let (removed, restored) = (self.removed.to_string(), self.restored.to_string());
        vec![self.table.clone(), removed, restored, changed, self.gone.to_string(), self.dropped.to_string()]
    }
}

/// The verb `undo`.
///
/// # Errors
/// Usage when there is no run, or rows of others refer to its rows; Partial when rows were changed since, which stay.
pub(crate) fn run(args: &UndoArgs, out: &mut Out<'_>) -> Result<()> {
    let to = ConnInfo::resolve(args.to.as_deref(), "json-to-pg")?;
    let mut client = session::open_lead(&to)?;
    session::lock_schema(&mut client, "json-to-pg", ledger::SCHEMA)?;
    let last = ledger::read_last_run(&mut client)?;
    // A number of 32 bits comes again after 2^32 transactions, and half of that is as far as PostgreSQL itself tells
    // older from newer (manual, "Preventing Transaction ID Wraparound Failures").
    if last.age >= MOST_AGE {
        return Err(Error::failed(
            "2^31 transactions have passed since the run: xmin no longer tells which rows are its own",
        )
        .hint("toban_json.loaded names the tables that hold the keys of its rows: remove these by hand"));
    }
    let work = |client: &mut Client| undo_run(client, &last);
    let undone = match args.dry_run.dry_run {
        true => undo_on_trial(&mut client, work)?,
        false => session::in_transaction(&mut client, || "undo the last run".into(), work)?,
    };
    let mut stayed = 0;
    for table in &undone {
        out.emit(table)?;
        stayed += table.changed.len();
    }
    match stayed {
        0 => Ok(()),
        n => Err(Error::new(Kind::Partial, format!("{n} rows were changed since the run, and stay"))),
    }
}

/// The same, taken back at its end.
fn undo_on_trial<T>(client: &mut Client, work: impl FnOnce(&mut Client) -> Result<T>) -> Result<T> {
    let doing = || "try to undo the last run".to_string();
    // The very statements of the real one: others would not meet the constraints and triggers that it will meet.
    client.batch_execute("begin").doing(doing)?;
    let done = work(client);
    client.batch_execute("rollback").doing(doing)?;
    done
}

fn undo_run(client: &mut Client, last: &KeptRun) -> Result<Vec<UndoneTable>> {
    let tables = ledger::read_tables(client, last.run)?;
    // No row is written between the look at it and its removal; readers go on.
    tables.iter().try_for_each(|table| lock_table(client, &table.relation, "share row exclusive"))?;
    let mut references = read_references(client)?;
    references.retain(|key| tables.iter().any(|table| table.relation == key.to));
    // A new row that refers to one of ours only locks that row FOR KEY SHARE, which the lock of our table lets through
    // (manual, "Explicit Locking"): committed after the look, it would go with ours by ON DELETE CASCADE.
    references.iter().try_for_each(|key| lock_table(client, &key.from, "share"))?;
    check_references(client, last, &tables, &references)?;
    // Of a circle rows go while others still refer to them, as they came.
    let place = |name: &String| tables.iter().position(|table| table.relation == *name);
    references.retain(|key| place(&key.from).zip(place(&key.to)).is_some_and(|(from, to)| from < to));
    defer_keys(client, &references, Deferral::Begin)?;
    let mut undone = Vec::new();
    // The other way round: rows that refer to others go before these.
    for table in tables.iter().rev() {
        undone.push(undo_table(client, last, table)?);
    }
    // Keys and triggers that wait for COMMIT act now: a trial ends without one, and DROP TABLE refuses a table with
    // pending trigger events (CheckTableNotInUse() of tablecmds.c).
    client.batch_execute("set constraints all immediate").doing(|| "undo the last run".into())?;
    defer_keys(client, &references, Deferral::End)?;
    let mut empty = Vec::new();
    for (table, undone) in tables.iter().rev().zip(&mut undone).filter(|(t, _)| t.made) {
        undone.dropped = is_empty(client, &table.relation)?;
        empty.extend(undone.dropped.then(|| quote_table(&table.relation)));
    }
    // Tables that the run made go when nothing is left in them; by one statement, since those of a circle depend on
    // each other.
    if !empty.is_empty() {
        let names = empty.join(", ");
        client.batch_execute(&format!("drop table {names}")).doing(|| format!("drop {names}"))?;
    }
    ledger::forget_run(client, last.run)?;
    Ok(undone)
}

/// Rows of others must not lose what they refer to, nor go with it: ON DELETE CASCADE would take them along unasked.
fn check_references(
    client: &mut Client,
    last: &KeptRun,
    tables: &[KeptTable],
    references: &[TableReference],
) -> Result<()> {
    let mut found = Vec::new();
    for key in references {
        let pairs: Vec<String> = key
            .columns
            .iter()
            .zip(&key.target_columns)
            .map(|(own, other)| format!("c.{} = p.{}", Ident::new(&**own), Ident::new(&**other)))
            .collect();
        // A row that gets its old version back stays, and what refers to it by values of both versions may stay too.
        let stays = tables.iter().filter(|t| t.relation == key.to).filter_map(|table| {
            let old = table.old_rows.as_ref()?;
            let columns = table.key.iter().chain(&key.target_columns);
            let same: Vec<String> = columns.map(|c| format!("k.{0} = p.{0}", Ident::new(&**c))).collect();
            Some(format!(" and not exists (select from {old} k where {})", same.join(" and ")))
        });
        let sql = format!(
            // Rows of the run that refer to rows of the run go together with them.
            "select count(*) from {} c join {} p on {} where p.xmin::text = $1 and c.xmin::text <> $1{}",
            quote_table(&key.from),
            quote_table(&key.to),
            pairs.join(" and "),
            stays.collect::<String>()
        );
        let n: i64 =
            client.query_one(&sql, &[&last.transaction]).doing(|| format!("look at {}", key.from))?.get(0);
        if n > 0 {
            found.push(format!("{n} rows of {} refer to rows of {} by {}", key.from, key.to, key.name));
        }
    }
    match found.is_empty() {
        true => Ok(()),
        false => Err(Error::usage(format!(
            "rows that were written since the run would lose what they refer to: {}",
            found.join("; ")
        ))
        .hint("remove them first, or keep the run")),
    }
}

fn undo_table(client: &mut Client, last: &KeptRun, table: &KeptTable) -> Result<UndoneTable> {
    let doing = || format!("undo {}", table.relation);
    let name = quote_table(&table.relation);
    let own = &last.transaction;
    let mut undone = UndoneTable {
        table: table.relation.clone(),
        removed: 0,
        restored: 0,
        changed: Vec::new(),
        gone: 0,
        dropped: false,
    };
    let pairs: Vec<String> = table.key.iter().map(|k| format!("t.{0} = k.{0}", Ident::new(&**k))).collect();
    let join = pairs.join(" and ");
    if let Some(keys) = &table.keys {
        let shown: Vec<String> = table.key.iter().map(|k| format!("t.{}::text", Ident::new(&**k))).collect();
        let changed = format!(
            "select {} from {keys} k join {name} t on {join} where t.xmin::text <> $1 order by 1",
            shown.join(" || ', ' || ")
        );
        undone.changed = client.query(&changed, &[own]).doing(doing)?.iter().map(|r| r.get(0)).collect();
        let gone =
            format!("select count(*) from {keys} k where not exists (select from {name} t where {join})");
        undone.gone = client.query_one(&gone, &[]).doing(doing)?.get::<_, i64>(0).unsigned_abs();
    }
    if let Some(old) = &table.old_rows {
        let columns = stored_columns(client, &table.relation)?;
        let others: Vec<&String> = columns.iter().filter(|c| !table.key.contains(c)).collect();
        let sets: Vec<String> = others.iter().map(|c| format!("{0} = k.{0}", Ident::new(&***c))).collect();
        let sql = format!(
            "update {name} t set {} from {old} k where {join} and t.xmin::text = $1",
            sets.join(", ")
        );
        undone.restored = client.execute(&sql, &[own]).doing(doing)?;
    }
    // After the old versions are back, which have this transaction's number now: what still has the run's is what it
    // inserted.
    let sql = format!("delete from {name} where xmin::text = $1");
    undone.removed = client.execute(&sql, &[own]).doing(doing)?;
    if table.keys.is_none() {
        // Without a key it is not known which rows are missing, but how many.
        undone.gone = table.rows.unsigned_abs().saturating_sub(undone.removed);
    }
    Ok(undone)
}

/// Columns that hold values of their own: neither generated nor numbered by the server alone.
fn stored_columns(client: &mut Client, relation: &str) -> Result<Vec<String>> {
    let (schema, table) = split_table(relation);
    let sql = "select a.attname::text from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n \
               on n.oid = c.relnamespace where n.nspname = $1 and c.relname = $2 and a.attnum > 0 and not a.attisdropped \
               and a.attgenerated = '' and a.attidentity <> 'a' order by a.attnum";
    let rows = client.query(sql, &[&schema, &table]).doing(|| format!("look at {relation}"))?;
    Ok(rows.iter().map(|r| r.get(0)).collect())
}

fn is_empty(client: &mut Client, relation: &str) -> Result<bool> {
    let sql = format!("select not exists (select from {})", quote_table(relation));
    Ok(client.query_one(&sql, &[]).doing(|| format!("look into {relation}"))?.get(0))
}
