//! A plan for tables that the application made: names, types and constraints are the target's.

use super::shape::{self, Made, MadeColumn};
use super::wire::wire;
use crate::census::epoch;
use crate::census::tally::Tally;
use crate::cli::Misfit;
use crate::load::encode::Wire;
use crate::plan::build::Built;
use crate::plan::{Action, Column, Conversion, Fate, Mode, Policy, Table};
use postgres::Client;
use toban_core::{Error, Result};

/// Turns the plan to the tables that are there.
///
/// # Errors
/// Usage, naming every table and column that has no counterpart.
pub(crate) fn adapt(
    built: &mut Built,
    client: &mut Client,
    action: Action,
    misfit: Option<Misfit>,
) -> Result<()> {
    let made = shape::read(client, &built.plan.schema)?;
    built.plan.mode = Mode::Existing;
    let mut missing = Vec::new();
    for (table, tallies) in built.plan.tables.iter_mut().zip(&built.tallies) {
        table.action = action;
        match shape::matching(&made, |m| &m.name, &table.target) {
            Some(there) => missing.extend(one(table, tallies, there, misfit)),
            None => missing.push(format!("the table {}", table.source)),
        }
    }
    // The application's own objects stay as they are; SQLite's have no fate of their own.
    for object in &mut built.plan.objects {
        if object.fate != Fate::Skipped {
            (object.fate, object.why, object.sql) =
                (Fate::Skipped, "the application's own schema holds its counterpart".into(), None);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::usage(format!("no counterpart in {}: {}", built.plan.schema, missing.join(", ")))
        .hint("--exclude leaves a table out, --rename OLD=NEW (or TABLE.OLD=NEW) gives the name there"))
}

fn one(table: &mut Table, tallies: &[Tally], made: &Made, misfit: Option<Misfit>) -> Vec<String> {
    let mut missing = Vec::new();
    table.target.clone_from(&made.name);
    for (column, tally) in table.columns.iter_mut().zip(tallies) {
        match shape::matching(&made.columns, |c| &c.name, &column.target) {
            Some(there) => fit(column, tally, there, misfit),
            None => missing.push(format!("the column {}.{}", table.source, column.source)),
        }
    }
    for there in made.columns.iter().filter(|c| c.not_null && !c.fills_itself && c.generated.is_none()) {
        if !table.columns.iter().any(|c| c.target == there.name) {
            missing.push(format!(
                "a value for {}.{}, which is NOT NULL without a default",
                made.name, there.name
            ));
        }
    }
    table.primary_key.clear();
    table.uniques.clear();
    table.indexes.clear();
    table.foreign_keys.clear();
    table.checks.clear();
    missing
}

/// The target's type decides; how the values come to it, the values do.
fn fit(column: &mut Column, tally: &Tally, there: &MadeColumn, misfit: Option<Misfit>) {
    column.target.clone_from(&there.name);
    column.pg_type.clone_from(&there.pg_type);
    column.not_null = there.not_null;
    column.generated.clone_from(&there.generated);
    column.identity = false;
    column.default = None;
    let by_rule = column.why == "a rule says so";
    let conversion = if by_rule { column.conversion } else { conversion(tally, &there.pg_type) };
    column.why = if by_rule { column.why.clone() } else { "the target's type".into() };
    column.conversion = conversion;
    column.policy = match misfit {
        Some(Misfit::Reject) => Policy::Reject,
        Some(Misfit::Null) => Policy::Null,
        Some(_) => Policy::Replace,
        None if by_rule => column.policy,
        None if conversion == Conversion::Text && tally.broken() > 0 => Policy::Replace,
        None => Policy::Stop,
    };
}

fn conversion(tally: &Tally, pg_type: &str) -> Conversion {
    let Some((wire, _)) = wire(pg_type) else { return Conversion::Text };
    match wire {
        Wire::Int2 | Wire::Int4 | Wire::Int8 => Conversion::Integer,
        Wire::Float4 | Wire::Float8 => Conversion::Float,
        Wire::Numeric => Conversion::Numeric,
        Wire::Bool if tally.census.texts > 0 => Conversion::BoolWords,
        Wire::Bool => Conversion::Bool,
        Wire::Text => Conversion::Text,
        Wire::Bytea => Conversion::Bytes,
        Wire::Json | Wire::Jsonb => Conversion::Json,
        Wire::Uuid => Conversion::Uuid,
        Wire::Time => Conversion::Time,
        Wire::Date if tally.census.integers + tally.census.reals == 0 => Conversion::Date,
        // A number becomes a time only when one unit alone makes sense of all of them.
        Wire::Timestamp | Wire::Timestamptz | Wire::Date => match epoch::candidates(tally).as_slice() {
            [unit] => *unit,
            _ => Conversion::Timestamp,
        },
    }
}
