//! Indexes after the load, side by side; then constraints on top of them.

use super::create::tolerable;
use super::{list, qualified};
use crate::load::threads;
use crate::plan::{Index, Plan, Table};
use postgres::Client;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use toban_core::pg::Ident;
use toban_core::sync::{into_inner, lock};
use toban_core::{Result, shutdown};

/// One index to build: what it is called in reports, and its statement.
struct Task {
    kind: &'static str,
    name: String,
    rows: u64,
    sql: String,
}

/// An object that could not be made: kind, name, the server's words.
pub(crate) type Refused = (String, String, String);

/// Builds all of them; what could not be made is the answer.
///
/// # Errors
/// When a connection is lost; Retry when told to stop.
pub(crate) fn build(clients: &mut [Client], plan: &Plan, stage: &str) -> Result<Vec<Refused>> {
    let mut tasks: Vec<Task> = plan.tables.iter().flat_map(|t| of_table(t, stage)).collect();
    tasks.sort_by_key(|t| std::cmp::Reverse(t.rows));
    let refused = side_by_side(clients, &tasks)?;
    let constraints: Vec<Task> = plan.tables.iter().flat_map(|t| on_top(t, stage, &refused)).collect();
    let mut refused = refused;
    refused.extend(side_by_side(clients, &constraints)?);
    Ok(refused)
}

fn side_by_side(clients: &mut [Client], tasks: &[Task]) -> Result<Vec<Refused>> {
    let next = AtomicUsize::new(0);
    let refused = Mutex::new(Vec::new());
    let work = |client: &mut Client, failed: &AtomicBool| -> Result<()> {
        while let Some(task) =
            tasks.get(next.fetch_add(1, Ordering::Relaxed)).filter(|_| !failed.load(Ordering::Relaxed))
        {
            shutdown::check()?;
            if let Err(e) = client.batch_execute(&task.sql) {
                let why = tolerable(e)?;
                let one = (task.kind.to_string(), task.name.clone(), why);
                lock(&refused).push(one);
            }
        }
        Ok(())
    };
    threads::each(clients, &work)?;
    Ok(into_inner(refused))
}

/// Fresh statistics of one table; after the indexes, which ANALYZE would wait for.
///
/// # Errors
/// When the connection is lost; Retry when told to stop.
pub(crate) fn analyze(client: &mut Client, table: &Table, stage: &str) -> Result<()> {
    shutdown::check()?;
    match client.batch_execute(&format!("analyze {}", qualified(stage, &table.target))) {
        Ok(()) => Ok(()),
        Err(e) => tolerable(e).map(drop),
    }
}

fn of_table(table: &Table, stage: &str) -> Vec<Task> {
    let name = qualified(stage, &table.target);
    let rows = table.rows;
    let unique = |kind, index: &str, columns: &[String]| Task {
        kind,
        name: format!("{}.{index}", table.source),
        rows,
        sql: format!("create unique index {} on {name} ({})", Ident::new(index), list(columns)),
    };
    let mut tasks = Vec::new();
    if !table.primary_key.is_empty() {
        tasks.push(unique("primary key", &primary_name(table), &table.primary_key));
    }
    tasks.extend(table.uniques.iter().map(|u| unique("unique", &u.name, &u.columns)));
    tasks.extend(table.indexes.iter().map(|index| Task {
        kind: "index",
        name: index_name(table, index),
        rows,
        sql: index_sql(index, &name),
    }));
    tasks
}

fn index_name(table: &Table, index: &Index) -> String {
    if index.source.is_empty() { format!("{}.{}", table.source, index.target) } else { index.source.clone() }
}

pub(crate) fn primary_name(table: &Table) -> String {
    match &table.primary_key_name {
        Some(name) => name.clone(),
        None => crate::plan::names::short(&format!("{}_pkey", table.target)),
    }
}

fn index_sql(index: &Index, table: &str) -> String {
    let unique = if index.unique { "unique " } else { "" };
    let part = |p: &crate::plan::IndexPart| format!("{}{}", p.sql, if p.descending { " desc" } else { "" });
    let parts: Vec<String> = index.parts.iter().map(part).collect();
    let predicate = index.predicate.as_ref().map(|p| format!(" where {p}")).unwrap_or_default();
    let (name, method) = (Ident::new(&*index.target), &index.method);
    format!("create {unique}index {name} on {table} using {method} ({}){predicate}", parts.join(", "))
}

fn on_top(table: &Table, stage: &str, refused: &[Refused]) -> Vec<Task> {
    let name = qualified(stage, &table.target);
    let made = |index: &str| !refused.iter().any(|(_, n, _)| *n == format!("{}.{index}", table.source));
    let task = |kind, index: &str, words: &str| Task {
        kind,
        name: format!("{}.{index}", table.source),
        rows: 0,
        sql: format!("alter table {name} add constraint {0} {words} using index {0}", Ident::new(index)),
    };
    let mut tasks = Vec::new();
    let primary = primary_name(table);
    if !table.primary_key.is_empty() && made(&primary) {
        tasks.push(task("primary key", &primary, "primary key"));
    }
    tasks.extend(table.uniques.iter().filter(|u| made(&u.name)).map(|u| task("unique", &u.name, "unique")));
    tasks
}
