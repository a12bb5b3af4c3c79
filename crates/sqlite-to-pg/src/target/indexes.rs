//! Indexes after the load, side by side; then constraints on top of them.

use super::create::tolerate;
use crate::model::{Index, Object, ObjectKind, Plan, Table};
use crate::threads;
use migrate::sql::{name_list, qualified_name};
use postgres::Client;
use std::sync::atomic::{AtomicUsize, Ordering};
use toban_core::pg::Ident;
use toban_core::{Result, shutdown};

/// One index to build: what it is called in reports, and its statement.
struct IndexTask {
    kind: ObjectKind,
    name: String,
    /// About what it costs beside others.
    weight: u64,
    sql: String,
}

/// Builds all of them; what could not be made is the answer.
pub(crate) fn build_indexes(clients: &mut [Client], plan: &Plan, stage: &str) -> Result<Vec<Object>> {
    let mut tasks: Vec<IndexTask> = plan.tables.iter().flat_map(|t| table_tasks(t, stage)).collect();
    tasks.sort_by_key(|t| std::cmp::Reverse(t.weight));
    // Unique indexes first and constraints on top of them: building an index takes SHARE, so that several of one table are built at
    // once, where ADD PRIMARY KEY would take ACCESS EXCLUSIVE for as long.
    let refused = run_tasks(clients, &tasks)?;
    let constraints: Vec<IndexTask> =
        plan.tables.iter().flat_map(|t| constraint_tasks(t, stage, &refused)).collect();
    let mut refused = refused;
    refused.extend(run_tasks(clients, &constraints)?);
    Ok(refused)
}

fn run_tasks(clients: &mut [Client], tasks: &[IndexTask]) -> Result<Vec<Object>> {
    let (sessions, begun) = (clients.len(), AtomicUsize::new(0));
    let refused = threads::share(clients, tasks, |client, task| {
        let left = tasks.len() - begun.fetch_add(1, Ordering::Relaxed);
        let sql = format!("set max_parallel_maintenance_workers = {}; {}", helpers(sessions, left), task.sql);
        match client.batch_execute(&sql) {
            Ok(()) => Ok(None),
            Err(e) => Ok(Some(Object::refused(task.kind, &task.name, tolerate(e)?))),
        }
    })?;
    Ok(refused.into_iter().flatten().collect())
}

/// Processes that help a session to build an index, when `left` are still to be built: none as long as every session has one of
/// its own, for they would take the cores from each other.
fn helpers(sessions: usize, left: usize) -> usize {
    if left >= sessions { 0 } else { sessions.div_ceil(left.max(1)) - 1 }
}

/// Fresh statistics of one table; after the indexes, which ANALYZE would wait for.
pub(crate) fn analyze_table(client: &mut Client, table: &Table, stage: &str) -> Result<()> {
    shutdown::check()?;
    match client.batch_execute(&format!("analyze {}", qualified_name(stage, &table.target))) {
        Ok(()) => Ok(()),
        Err(e) => tolerate(e).map(drop),
    }
}

fn table_tasks(table: &Table, stage: &str) -> Vec<IndexTask> {
    let name = qualified_name(stage, &table.target);
    let unique = |kind, index: &str, columns: &[String]| IndexTask {
        kind,
        name: format!("{}.{index}", table.source),
        weight: table.rows * columns.len() as u64,
        sql: format!("create unique index {} on {name} ({})", Ident::new(index), name_list(columns)),
    };
    let mut tasks = Vec::new();
    if !table.primary_key.is_empty() {
        tasks.push(unique(ObjectKind::PrimaryKey, &primary_name(table), &table.primary_key));
    }
    tasks.extend(table.uniques.iter().map(|u| unique(ObjectKind::Unique, &u.name, &u.columns)));
    tasks.extend(table.indexes.iter().map(|index| IndexTask {
        kind: ObjectKind::Index,
        name: index_name(table, index),
        weight: table.rows * index.parts.len() as u64,
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
        None => migrate::names::short_name(&format!("{}_pkey", table.target)),
    }
}

fn index_sql(index: &Index, table: &str) -> String {
    let unique = if index.unique { "unique " } else { "" };
    let part = |p: &crate::model::IndexPart| format!("{}{}", p.sql, if p.descending { " desc" } else { "" });
    let parts: Vec<String> = index.parts.iter().map(part).collect();
    let predicate = index.predicate.as_ref().map(|p| format!(" where {p}")).unwrap_or_default();
    let (name, method) = (Ident::new(&*index.target), &index.method);
    format!("create {unique}index {name} on {table} using {method} ({}){predicate}", parts.join(", "))
}

fn constraint_tasks(table: &Table, stage: &str, refused: &[Object]) -> Vec<IndexTask> {
    let name = qualified_name(stage, &table.target);
    let made = |index: &str| !refused.iter().any(|o| o.name == format!("{}.{index}", table.source));
    let task = |kind, index: &str, words: &str| IndexTask {
        kind,
        name: format!("{}.{index}", table.source),
        weight: 0,
        // Takes the index as it is: the rows are not read once more (manual, "ALTER TABLE",
        // table_constraint_using_index).
        sql: format!("alter table {name} add constraint {0} {words} using index {0}", Ident::new(index)),
    };
    let mut tasks = Vec::new();
    let primary = primary_name(table);
    if !table.primary_key.is_empty() && made(&primary) {
        tasks.push(task(ObjectKind::PrimaryKey, &primary, "primary key"));
    }
    tasks.extend(
        table.uniques.iter().filter(|u| made(&u.name)).map(|u| task(ObjectKind::Unique, &u.name, "unique")),
    );
    tasks
}

#[cfg(test)]
mod tests {
    use super::helpers;

    #[test]
    fn only_cores_that_are_free_help() {
        for (sessions, left, expected) in
            [(2, 5, 0), (2, 2, 0), (2, 1, 1), (1, 1, 0), (4, 3, 1), (4, 2, 1), (4, 1, 3), (4, 9, 0)]
        {
            assert_eq!(helpers(sessions, left), expected, "{sessions} sessions, {left} left");
        }
    }
}
