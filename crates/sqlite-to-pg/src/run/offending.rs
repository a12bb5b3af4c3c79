//! The row that the target did not take: found by loading smaller and smaller parts, in a transaction that is rolled back.

use super::existing::{drop_keys, insert, switch_off};
use crate::plan::{Action, Plan, Table};
use crate::target::{create, qualified, shape, undo};
use postgres::Client;
use toban_core::pg::{Ident, literal};
use toban_core::{Context, Error, Kind, Result, shutdown};

/// Columns that name a row without a key.
const SHOWN: usize = 4;

/// The error `e` of loading the table at `place`, with the row that it is about and the server's own words; `e` itself
/// when it is about no row.
pub(super) fn name(
    client: &mut Client,
    plan: &Plan,
    (place, made, stage): (usize, &[shape::Made], &str),
    e: Error,
) -> Error {
    let Some(table) = plan.tables.get(place).filter(|_| e.kind() == Kind::Failed) else { return e };
    let Some(there) = made.iter().find(|m| m.name == table.target) else { return e };
    let found = client.batch_execute("begin").doing(|| "look for the row".into()).and_then(|()| {
        let found = look(client, plan, table, (there, stage));
        client.batch_execute("rollback").doing(|| "look for the row".into()).and(found)
    });
    match found {
        Ok(Some((row, why))) => {
            Error::new(Kind::Findings, format!("{} {row}: {why}; nothing was loaded", table.source)).hint(
                "change the row, or leave it out: --on-misfit, --cast or a plan say what becomes of values, --exclude of columns",
            )
        }
        _ => e,
    }
}

/// The first row that cannot be added to those before it, and why.
fn look(
    client: &mut Client,
    plan: &Plan,
    table: &Table,
    (there, stage): (&shape::Made, &str),
) -> Result<Option<(String, String)>> {
    let doing = || format!("look for the row of {}", table.source);
    drop_keys(client, plan)?;
    switch_off(client, &plan.schema, &table.target)?;
    if table.action == Action::Truncate {
        let only = undo::scanned(client, &qualified(&plan.schema, &table.target))?;
        client.batch_execute(&format!("delete from {only}")).doing(doing)?;
    }
    let staged = qualified(stage, &table.target);
    let sql = format!(
        "select pg_relation_size({}::regclass) / current_setting('block_size')::bigint",
        literal(&staged)
    );
    let (mut low, mut high): (i64, i64) = (0, client.query_one(&sql, &[]).doing(doing)?.get(0));
    // What was loaded stays loaded, so that all of it together costs about two loads.
    while high - low > 1 {
        shutdown::check()?;
        let middle = low + (high - low) / 2;
        let filter = format!(" where ctid >= '({low},0)' and ctid < '({middle},0)'");
        match tried(client, &insert(plan, table, (there, stage), &filter))? {
            None => low = middle,
            Some(_) => high = middle,
        }
    }
    let sql = format!(
        "select ctid::text from {staged} where ctid >= '({low},0)' and ctid < '({high},0)' order by ctid"
    );
    for row in client.query(&sql, &[]).doing(doing)? {
        let place: String = row.get(0);
        let filter = format!(" where ctid = '{place}'");
        if let Some(why) = tried(client, &insert(plan, table, (there, stage), &filter))? {
            return Ok(Some((shown(client, table, &staged, &place)?, why)));
        }
    }
    Ok(None)
}

/// What the server says against a statement, which then has done nothing.
fn tried(client: &mut Client, sql: &str) -> Result<Option<String>> {
    let doing = || "look for the row".to_string();
    client.batch_execute("savepoint part").doing(doing)?;
    let said = client.batch_execute(sql).err().map(create::tolerable).transpose()?;
    let back = if said.is_some() { "rollback to savepoint part; " } else { "" };
    client.batch_execute(&format!("{back}release savepoint part")).doing(doing)?;
    Ok(said)
}

/// `id=7`: the key of a row, or its first columns.
fn shown(client: &mut Client, table: &Table, staged: &str, place: &str) -> Result<String> {
    let own = |name: &String| table.columns.iter().find(|c| c.source == *name);
    let mut columns: Vec<_> = table.key.iter().filter_map(own).collect();
    if columns.is_empty() {
        columns = table.copied().take(SHOWN).collect();
    }
    let parts: Vec<String> = columns
        .iter()
        .map(|c| {
            format!(
                "{} || coalesce(left({}::text, 60), 'NULL')",
                literal(&format!("{}=", c.source)),
                Ident::new(&*c.target)
            )
        })
        .collect();
    let sql = format!("select concat_ws(' ', {}) from {staged} where ctid = '{place}'", parts.join(", "));
    Ok(client.query_one(&sql, &[]).doing(|| "name the row".into())?.get(0))
}
