//! The sequences that number rows of the application's tables: those that a column owns, and those that a default only
//! uses, perhaps of several tables.

use crate::model::{Object, ObjectKind, Plan, Table};
use migrate::sequences::{SequenceUse, advance_sql, read_uses};
use postgres::Client;
use std::collections::BTreeMap;
use toban_core::pg::Ident;
use toban_core::{Context, Result};

/// Lets every sequence of the plan's tables go on after the greatest value that it can have given; none goes back. The
/// answer names columns that do not tell which value that is.
pub(crate) fn advance_sequences(client: &mut Client, plan: &Plan) -> Result<Vec<Object>> {
    let names: Vec<&str> = plan.tables.iter().map(|t| t.target.as_str()).collect();
    let mut sources: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut unknown = Vec::new();
    for SequenceUse { sequence, relation, column, whole } in read_uses(client, &plan.schema, &names)? {
        let Some(table) = plan.tables.iter().find(|t| t.target == relation) else { continue };
        match whole {
            // One sequence may number several tables: it goes on after the greatest of all.
            true => sources.entry(sequence).or_default().push(given_numbers(plan, table, &column)),
            false => unknown.push(unknown_sequence(&sequence, table, &column)),
        }
    }
    // setval() is not undone by a rollback: it only ever moves forward, so that a run that fails leaves numbers out and gives none twice.
    for (sequence, sources) in sources {
        client.batch_execute(&advance_sql(&sequence, &sources)).doing(|| format!("advance {sequence}"))?;
    }
    Ok(unknown)
}

/// The numbers that a table has given: those of its rows, and what SQLite remembers of rows that are gone.
fn given_numbers(plan: &Plan, table: &Table, column: &str) -> String {
    let name = migrate::sql::qualified_name(&plan.schema, &table.target);
    let mut sql = format!("select {}::bigint from {name}", Ident::new(column));
    if let Some(sequence) = table.sequence {
        sql += &format!(" union all select {sequence}");
    }
    sql
}

fn unknown_sequence(sequence: &str, table: &Table, column: &str) -> Object {
    let why = format!(
        "{}.{column} is not an integer, so where the sequence must continue is not known: set it with setval()",
        table.source
    );
    Object::skipped(ObjectKind::Sequence, sequence, why)
}
