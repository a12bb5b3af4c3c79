//! Foreign keys: made, validated side by side, and left NOT VALID where SQLite holds orphans; then statistics.

use super::create::tolerable;
use super::{indexes, list, qualified};
use crate::load::threads;
use crate::plan::{ForeignKey, Plan, Table};
use postgres::Client;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use toban_core::pg::Ident;
use toban_core::sync::{into_inner, lock};
use toban_core::{Context, Result, shutdown};

/// A foreign key that rows break: its name, how many, and the first of them.
#[derive(Clone, Debug)]
pub(crate) struct Orphans {
    pub(crate) name: String,
    pub(crate) count: i64,
    pub(crate) first: Vec<String>,
}

/// What became of all of them.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) orphans: Vec<Orphans>,
    /// Name and the server's words.
    pub(crate) refused: Vec<(String, String)>,
}

/// Makes and validates every foreign key of the plan, and takes fresh statistics of every table.
///
/// # Errors
/// When a connection is lost; Retry when told to stop.
pub(crate) fn foreign_keys(clients: &mut [Client], plan: &Plan, stage: &str) -> Result<Outcome> {
    let keys: Vec<(&Table, &ForeignKey)> =
        plan.tables.iter().flat_map(|t| t.foreign_keys.iter().map(move |k| (t, k))).collect();
    let mut outcome = Outcome::default();
    let mut made = Vec::new();
    for (table, key) in keys {
        shutdown::check()?;
        match clients[0].batch_execute(&add(table, key, stage)) {
            Ok(()) => made.push((table, key)),
            Err(e) => outcome.refused.push((shown(table, key), tolerable(e)?)),
        }
    }
    outcome.orphans = settle(clients, plan, &made, stage)?;
    Ok(outcome)
}

/// `table.name`, as reports call it.
pub(crate) fn shown(table: &Table, key: &ForeignKey) -> String {
    format!("{}.{}", table.source, key.name)
}

fn add(table: &Table, key: &ForeignKey, stage: &str) -> String {
    let deferred = if key.deferred { " deferrable initially deferred" } else { "" };
    format!(
        "alter table {} add constraint {} foreign key ({}) references {} ({}) on delete {} on update {}{deferred} not valid",
        qualified(stage, &table.target),
        Ident::new(&*key.name),
        list(&key.columns),
        qualified(stage, &key.parent),
        list(&key.parent_columns),
        key.on_delete,
        key.on_update,
    )
}

/// Table by table, for two of these statements on one table would wait for each other: validates its keys and counts
/// the orphans of those that do not hold, then takes its statistics.
fn settle(
    clients: &mut [Client],
    plan: &Plan,
    made: &[(&Table, &ForeignKey)],
    stage: &str,
) -> Result<Vec<Orphans>> {
    let mut tables: Vec<&Table> = plan.tables.iter().collect();
    tables.sort_by_key(|t| std::cmp::Reverse(t.rows * (1 + t.foreign_keys.len() as u64)));
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    let work = |client: &mut Client, failed: &AtomicBool| -> Result<()> {
        while let Some(table) =
            tables.get(next.fetch_add(1, Ordering::Relaxed)).filter(|_| !failed.load(Ordering::Relaxed))
        {
            for (_, key) in made.iter().filter(|(t, _)| std::ptr::eq(*t, *table)) {
                let orphans = validate(client, table, key, stage)?;
                lock(&found).extend(orphans);
            }
            indexes::analyze(client, table, stage)?;
        }
        Ok(())
    };
    threads::each(clients, &work)?;
    let mut found = into_inner(found);
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn validate(client: &mut Client, table: &Table, key: &ForeignKey, stage: &str) -> Result<Option<Orphans>> {
    shutdown::check()?;
    let name = qualified(stage, &table.target);
    match client.batch_execute(&format!("alter table {name} validate constraint {}", Ident::new(&*key.name)))
    {
        Ok(()) => Ok(None),
        Err(e) => {
            tolerable(e)?;
            orphans(client, table, key, stage).map(Some)
        }
    }
}

fn orphans(client: &mut Client, table: &Table, key: &ForeignKey, stage: &str) -> Result<Orphans> {
    let child: Vec<String> = key.columns.iter().map(|c| format!("c.{}", Ident::new(&**c))).collect();
    let pairs: Vec<String> =
        child.iter().zip(&key.parent_columns).map(|(c, p)| format!("{c} = p.{}", Ident::new(&**p))).collect();
    let set: Vec<String> = child.iter().map(|c| format!("{c} is not null")).collect();
    let from = format!(
        "from {} c where {} and not exists (select 1 from {} p where {})",
        qualified(stage, &table.target),
        set.join(" and "),
        qualified(stage, &key.parent),
        pairs.join(" and ")
    );
    let named = match table.primary_key.is_empty() {
        true => child,
        false => table.primary_key.iter().map(|c| format!("c.{}", Ident::new(&**c))).collect(),
    };
    let shown_key = format!("concat_ws(', ', {})", named.join(", "));
    let doing = || format!("count the orphans of {}", shown(table, key));
    let count = client.query_one(&format!("select count(*) {from}"), &[]).doing(doing)?.get(0);
    let rows = client.query(&format!("select {shown_key} {from} limit 10"), &[]).doing(doing)?;
    Ok(Orphans { name: shown(table, key), count, first: rows.iter().map(|r| r.get(0)).collect() })
}
