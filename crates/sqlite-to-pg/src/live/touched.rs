//! What is compared inside the window: the rows that were changed since everything was compared, and whole tables
//! that were copied again.

use super::apply::{KeyList, LogRange, LoggedChanges};
use super::state::SCHEMA;
use crate::model::{Mode, Plan, Table};
use crate::source::catalog::query_all;
use crate::source::quote_name;
use crate::target::{create, sequences};
use crate::verify::RowFilter;
use migrate::sql::qualified_name;
use postgres::Client;
use rusqlite::Connection;
use std::collections::BTreeMap;
use toban_core::pg::Ident;
use toban_core::{Context, Result};

/// Filters for the rows that a range of the log names, by table. Their keys lie in tables of our own in the target,
/// which every session of the comparison sees.
///
/// # Errors
/// Those of either side.
pub(super) fn filter_touched(
    changes: &LoggedChanges<'_>,
    reader: &Connection,
    client: &mut Client,
    range: LogRange,
) -> Result<BTreeMap<String, RowFilter>> {
    let mut filters = BTreeMap::new();
    for followed in changes.find_followed(reader, client, range)? {
        let name = touched_name(changes, followed.captured.number);
        let make = format!(
            "drop table if exists {name}; create unlogged table {name} ({})",
            followed.typed_names().join(", ")
        );
        client.batch_execute(&make).doing(|| "note which rows changed".into())?;
        changes.send_keys(reader, client, &KeyList { followed: &followed, into: &name, range })?;
        client.batch_execute(&format!("analyze {name}")).doing(|| "note which rows changed".into())?;
        let keys = followed.key_names().join(", ");
        let source: Vec<String> = followed.captured.key.iter().map(|k| quote_name(k)).collect();
        let target: Vec<String> = followed.key.iter().map(|c| Ident::new(&*c.target).to_string()).collect();
        let cast: Vec<String> = followed
            .key_names()
            .iter()
            .zip(&followed.key)
            .map(|(k, c)| format!("{k}::{}", c.pg_type))
            .collect();
        let log = super::triggers::LOG;
        filters.insert(
            followed.table.source.clone(),
            RowFilter {
                source: format!(
                    "({}) in (select {keys} from {log} where t = {} and seq > {} and seq <= {})",
                    source.join(", "),
                    followed.captured.number,
                    range.after,
                    range.upto
                ),
                target: format!("({}) in (select {} from {name})", target.join(", "), cast.join(", ")),
            },
        );
    }
    Ok(filters)
}

/// Drops the tables of keys.
///
/// # Errors
/// Those of the server.
pub(super) fn drop_touched(client: &mut Client, changes: &LoggedChanges<'_>) -> Result<()> {
    for table in changes.tables {
        let drop = format!("drop table if exists {}", touched_name(changes, table.number));
        client.batch_execute(&drop).doing(|| "drop the list of changed rows".into())?;
    }
    Ok(())
}

fn touched_name(changes: &LoggedChanges<'_>, number: i64) -> String {
    let name = format!("touched_{number}_{}", changes.plan.schema);
    qualified_name(SCHEMA, &migrate::names::short_name(&name))
}

/// The plan as its tables are compared while the foreign keys are away, with SQLite's numbering as it is now.
///
/// # Errors
/// Those of SQLite.
pub(super) fn plan_to_compare(plan: &Plan, reader: &Connection) -> Result<Plan> {
    let there = "select name from sqlite_schema where name = 'sqlite_sequence'";
    let numbered = !query_all(reader, there, &[], |_| Ok(()))?.is_empty();
    let of_table = |table: &Table| -> Result<Table> {
        let sql = "select max(seq) from sqlite_sequence where name = ?1";
        let now: Vec<Option<i64>> =
            if numbered { query_all(reader, sql, &[&table.source], |r| r.get(0))? } else { Vec::new() };
        let sequence = table.sequence.max(now.into_iter().flatten().next());
        Ok(Table { sequence, foreign_keys: Vec::new(), ..table.clone() })
    };
    Ok(Plan { tables: plan.tables.iter().map(of_table).collect::<Result<_>>()?, ..plan.clone() })
}

/// Lets the sequences go on where SQLite would.
///
/// # Errors
/// Those of the server.
pub(super) fn set_numbers(client: &mut Client, plan: &Plan) -> Result<()> {
    match plan.mode {
        Mode::Create => create::set_sequences(client, plan, &plan.schema),
        Mode::Existing => sequences::advance_sequences(client, plan).map(drop),
    }
}
