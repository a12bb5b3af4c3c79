//! What the target must be before anything is written, and its sequences after it.

use crate::model::compiled::{KnownTables, join_table, quote_table, split_table};
use crate::model::{FilledTable, MovePlan};
use migrate::sequences::{advance_sql, read_uses};
use migrate::{catalog, sql};
use postgres::Client;
use std::collections::BTreeMap;
use toban_core::pg::{Ident, quote_literal};
use toban_core::{Context, Error, Result};

/// Tables in which migrations keep what they did, with the query of it.
const MIGRATIONS: [(&str, &str); 3] = [
    ("alembic_version", "version_num"),
    ("django_migrations", "app || '.' || name"),
    ("SequelizeMeta", "name"),
];

/// All tables of all schemas of the application's, by `schema.table`.
///
/// # Errors
/// Those of the server.
pub(crate) fn read_known(client: &mut Client) -> Result<KnownTables> {
    let schemas =
        "select nspname::text from pg_namespace where nspname !~ '^(pg_|information_schema$|toban_)'";
    let rows = client.query(schemas, &[]).doing(|| "list the schemas".into())?;
    let mut known = KnownTables::new();
    for schema in rows.iter().map(|r| r.get::<_, String>(0)) {
        for table in catalog::read_tables(client, &schema)? {
            known.insert(join_table(&schema, &table.name), table);
        }
    }
    Ok(known)
}

/// What the application's migrations have done, one line each.
///
/// # Errors
/// Those of the server.
pub(crate) fn read_migrations(client: &mut Client, known: &KnownTables) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for name in known.keys() {
        let (_, short) = split_table(name);
        let Some((_, expression)) = MIGRATIONS.iter().find(|(table, _)| *table == short) else { continue };
        let query = format!("select {expression} from {} order by 1", quote_table(name));
        for row in sql::query_texts(client, &query)? {
            lines.push(format!("{short} {}", row.first().cloned().flatten().unwrap_or_default()));
        }
    }
    Ok(lines)
}

/// That the target's schema is the one that the plan was made for.
///
/// # Errors
/// Usage, with what differs.
pub(crate) fn check_migrations(client: &mut Client, plan: &MovePlan) -> Result<()> {
    let known = read_known(client)?;
    // A migration may change what a column means and leave its type as it is, which no comparison of columns shows.
    let now = read_migrations(client, &known)?;
    if now == plan.migrations {
        return Ok(());
    }
    let shown = |lines: &[String]| if lines.is_empty() { "none".to_string() } else { lines.join(", ") };
    Err(Error::usage(format!(
        "the target's migrations are not those of the plan: {} now, {} then",
        shown(&now),
        shown(&plan.migrations)
    ))
    .hint("plan again for the tables as they are now"))
}

/// That every table is there, or is not there yet, and that the role may do to it what the run does.
///
/// # Errors
/// Usage for a table too many or too few, and for a missing right; Failed for row-level security.
pub(crate) fn check_tables(client: &mut Client, tables: &[FilledTable], known: &KnownTables) -> Result<()> {
    let mut wrong = Vec::new();
    for table in tables {
        list_wrong(client, table, known, &mut wrong)?;
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(Error::usage(format!("the target is not ready: {}", wrong.join("; ")))
            .hint("nothing was written; a plan that makes tables runs once: `undo` it, or plan with --for; a missing right is the owner's to give")),
    }
}

fn list_wrong(
    client: &mut Client,
    table: &FilledTable,
    known: &KnownTables,
    wrong: &mut Vec<String>,
) -> Result<()> {
    match (known.contains_key(&table.name), table.create) {
        (true, true) => wrong.push(format!("{} is there already, and the plan makes it", table.name)),
        (false, false) => wrong.push(format!("there is no table {}", table.name)),
        (true, false) => wrong.extend(find_hindrance(client, &table.name)?),
        (false, true) => {}
    }
    for link in &table.links {
        wrong.extend(find_hindrance(client, &link.table)?);
    }
    table.children.iter().try_for_each(|child| list_wrong(client, &child.table, known, wrong))
}

fn find_hindrance(client: &mut Client, name: &str) -> Result<Option<String>> {
    let (schema, _) = split_table(name);
    let may = "select has_schema_privilege($1, 'usage')";
    if !client.query_one(may, &[&schema]).doing(|| format!("look at {schema}"))?.get::<_, bool>(0) {
        return Ok(Some(format!("the role may not use the schema {schema}")));
    }
    let sql = format!(
        // Before anything is written: a right that the last of many tables lacks would end the run after hours. With
        // row_security off, as our sessions have it, a query that a policy would filter is an error (manual, "Row
        // Security Policies").
        "select has_table_privilege(c.oid, 'select') and has_table_privilege(c.oid, 'insert'), row_security_active(c.oid) \
         from pg_class c where c.oid = {}::regclass",
        quote_literal(&quote_table(name))
    );
    let row = client.query_one(&sql, &[]).doing(|| format!("look at {name}"))?;
    Ok(match (row.get(0), row.get(1)) {
        (false, _) => Some(format!("the role may not read and insert into {name}")),
        (true, true) => {
            Some(format!("row-level security of {name} binds the role: rows could not be read back"))
        }
        (true, false) => None,
    })
}

/// Locks a table until the transaction ends, in a mode that lets others read and not write: `share`, or
/// `share row exclusive`, which also keeps out new foreign keys to it (manual, "Explicit Locking").
///
/// # Errors
/// Those of the server, also when the role may neither update nor delete.
pub(crate) fn lock_table(client: &mut Client, name: &str, mode: &str) -> Result<()> {
    let sql = format!("lock table {} in {mode} mode", quote_table(name));
    client.batch_execute(&sql).doing(|| format!("lock {name}"))
}

/// Lets every sequence that numbers one of the tables go on after the greatest number there; that of an empty table stays at
/// its start.
///
/// # Errors
/// Those of the server.
pub(crate) fn advance_sequences(client: &mut Client, tables: &[FilledTable]) -> Result<()> {
    let mut names = Vec::new();
    tables.iter().for_each(|t| list_names(t, &mut names));
    let mut sources: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in names {
        let (schema, relation) = split_table(&name);
        for used in read_uses(client, &schema, &[relation])?.into_iter().filter(|u| u.whole) {
            let source = format!("select {}::bigint from {}", Ident::new(&*used.column), quote_table(&name));
            sources.entry(used.sequence).or_default().push(source);
        }
    }
    // setval() is not undone by a rollback: it only ever moves forward, so that a run that fails leaves numbers out and gives
    // none twice.
    for (sequence, sources) in sources {
        client.batch_execute(&advance_sql(&sequence, &sources)).doing(|| format!("advance {sequence}"))?;
    }
    Ok(())
}

fn list_names(table: &FilledTable, names: &mut Vec<String>) {
    names.push(table.name.clone());
    table.children.iter().for_each(|c| list_names(&c.table, names));
}
