//! Foreign keys: made, validated side by side, and left NOT VALID where SQLite holds orphans; then statistics.

use super::create::tolerate;
use super::indexes;
use crate::model::{ForeignKey, Object, ObjectKind, Plan, Table};
use crate::threads;
use migrate::sql::{name_list, qualified_name};
use postgres::Client;
use toban_core::pg::Ident;
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
pub(crate) struct ForeignKeyResults {
    pub(crate) orphans: Vec<Orphans>,
    pub(crate) refused: Vec<Object>,
}

/// Makes and validates every foreign key of the plan, and takes fresh statistics of every table.
pub(crate) fn add_foreign_keys(
    clients: &mut [Client],
    plan: &Plan,
    stage: &str,
) -> Result<ForeignKeyResults> {
    let keys: Vec<(&Table, &ForeignKey)> =
        plan.tables.iter().flat_map(|t| t.foreign_keys.iter().map(move |k| (t, k))).collect();
    let mut results = ForeignKeyResults::default();
    let mut made = Vec::new();
    for (table, key) in keys {
        shutdown::check()?;
        // NOT VALID first, for it needs no scan; VALIDATE then takes SHARE UPDATE EXCLUSIVE alone, so that tables are checked side by side
        // <https://www.postgresql.org/docs/current/sql-altertable.html>.
        match clients[0].batch_execute(&add_sql(table, key, stage)) {
            Ok(()) => made.push((table, key)),
            Err(e) => {
                results.refused.push(Object::refused(
                    ObjectKind::ForeignKey,
                    &key_name(table, key),
                    tolerate(e)?,
                ));
            }
        }
    }
    results.orphans = validate_keys(clients, plan, &made, stage)?;
    Ok(results)
}

/// `table.name`, as reports call it.
pub(crate) fn key_name(table: &Table, key: &ForeignKey) -> String {
    format!("{}.{}", table.source, key.name)
}

fn add_sql(table: &Table, key: &ForeignKey, stage: &str) -> String {
    let deferred = if key.deferred { " deferrable initially deferred" } else { "" };
    format!(
        "alter table {} add constraint {} foreign key ({}) references {} ({}) on delete {} on update {}{deferred} not valid",
        qualified_name(stage, &table.target),
        Ident::new(&*key.name),
        name_list(&key.columns),
        qualified_name(stage, &key.parent),
        name_list(&key.parent_columns),
        key.on_delete,
        key.on_update,
    )
}

/// Table by table, for two of these statements on one table would wait for each other: validates its keys and counts
/// the orphans of those that do not hold, then takes its statistics.
fn validate_keys(
    clients: &mut [Client],
    plan: &Plan,
    made: &[(&Table, &ForeignKey)],
    stage: &str,
) -> Result<Vec<Orphans>> {
    let mut tables: Vec<&Table> = plan.tables.iter().collect();
    tables.sort_by_key(|t| std::cmp::Reverse(t.rows * (1 + t.foreign_keys.len() as u64)));
    let found = threads::share(clients, &tables, |client, table| {
        let own = made.iter().filter(|(t, _)| std::ptr::eq(*t, *table));
        let found: Vec<_> =
            own.map(|(_, key)| validate_key(client, table, key, stage)).collect::<Result<_>>()?;
        // Here, and not for all at the end: a table is in the cache now, and ANALYZE would wait for a VALIDATE of the
        // same one.
        indexes::analyze_table(client, table, stage)?;
        Ok(found)
    })?;
    let mut found: Vec<Orphans> = found.into_iter().flatten().flatten().collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn validate_key(
    client: &mut Client,
    table: &Table,
    key: &ForeignKey,
    stage: &str,
) -> Result<Option<Orphans>> {
    shutdown::check()?;
    let name = qualified_name(stage, &table.target);
    match client.batch_execute(&format!("alter table {name} validate constraint {}", Ident::new(&*key.name)))
    {
        Ok(()) => Ok(None),
        Err(e) => {
            tolerate(e)?;
            find_orphans(client, table, key, stage).map(Some)
        }
    }
}

fn find_orphans(client: &mut Client, table: &Table, key: &ForeignKey, stage: &str) -> Result<Orphans> {
    let quoted = |names: &[String]| names.iter().map(|n| Ident::new(&**n).to_string()).collect::<Vec<_>>();
    let (child, columns) = (qualified_name(stage, &table.target), quoted(&key.columns));
    let from =
        orphans_sql(&child, &columns, &qualified_name(stage, &key.parent), &quoted(&key.parent_columns));
    // By the key of the row, with which somebody finds it in the file; the value that lacks a parent may stand in
    // many.
    let named = if table.primary_key.is_empty() { columns } else { quoted(&table.primary_key) };
    let doing = || format!("count the orphans of {}", key_name(table, key));
    let count = client.query_one(&format!("select count(*) {from}"), &[]).doing(doing)?.get(0);
    let sql = format!("select concat_ws(', ', c.{}) {from} limit 10", named.join(", c."));
    let rows = client.query(&sql, &[]).doing(doing)?;
    Ok(Orphans { name: key_name(table, key), count, first: rows.iter().map(|r| r.get(0)).collect() })
}

/// `from … where …` for the rows of `child`, as `c`, without a parent; all names are quoted.
pub(crate) fn orphans_sql(
    child: &str,
    columns: &[String],
    parent: &str,
    parent_columns: &[String],
) -> String {
    let set: Vec<String> = columns.iter().map(|c| format!("c.{c} is not null")).collect();
    // The parent's column comes first: in SQLite its collation decides.
    let same: Vec<String> =
        columns.iter().zip(parent_columns).map(|(c, p)| format!("p.{p} = c.{c}")).collect();
    format!(
        "from {child} c where {} and not exists (select 1 from {parent} p where {})",
        set.join(" and "),
        same.join(" and ")
    )
}
