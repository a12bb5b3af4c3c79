//! A plan for tables that the application made: names, types and constraints are the target's.

use super::shape::{self, Made, MadeColumn};
use super::wire::wire;
use crate::census::epoch;
use crate::census::tally::Tally;
use crate::cli::{Misfit, Rules};
use crate::load::encode::Wire;
use crate::plan::build::{Built, EXCLUDED};
use crate::plan::{APPLICATIONS, Action, Column, Conversion, Fate, Mode, Policy, Set, Table};
use postgres::Client;
use toban_core::{Error, Result};

/// Turns the plan to the tables that are there; the answer is every table and column that has no counterpart.
///
/// # Errors
/// Usage for a `--set` that fits nothing; those of the server.
pub(crate) fn adapt(
    built: &mut Built,
    client: &mut Client,
    action: Action,
    rules: &Rules,
) -> Result<Vec<String>> {
    let made = shape::read(client, &built.plan.schema)?;
    built.plan.mode = Mode::Existing;
    let mut missing = Vec::new();
    let mut sets = rules.set.iter().map(|rule| parted(rule)).collect::<Result<Vec<_>>>()?;
    for (table, tallies) in built.plan.tables.iter_mut().zip(&built.tallies) {
        table.action = action;
        match shape::matching(&made, |m| &m.name, &table.target) {
            Some(there) => {
                one(table, tallies, there, rules.on_misfit);
                take_sets(table, there, &mut sets)?;
                missing.extend(missing_columns(table, there));
            }
            None => missing.push(format!("the table {}", table.source)),
        }
    }
    if let Some((table, column, _)) = sets.first() {
        return Err(Error::usage(format!("--set {table}.{column}: no table {table} moves")));
    }
    let moves: Vec<String> = built
        .plan
        .tables
        .iter()
        .flat_map(|t| t.columns.iter().map(move |c| format!("{}.{}", t.source, c.source)))
        .collect();
    // The application's own objects stay as they are; SQLite's have no fate of their own. Only what holds values, or was
    // excluded, keeps its reason.
    for object in &mut built.plan.objects {
        let holds_rows = object.kind.contains("table") && object.fate == Fate::Skipped;
        let holds_values = object.kind == "generated column" && !moves.contains(&object.name);
        if !holds_rows && !holds_values && object.why != EXCLUDED {
            (object.fate, object.why, object.sql) = (Fate::Skipped, APPLICATIONS.into(), None);
        }
    }
    Ok(missing)
}

/// That everything has a counterpart.
///
/// # Errors
/// Usage, naming what has none.
pub(crate) fn without_counterpart(schema: &str, missing: &[String]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::usage(format!("no counterpart in {schema}: {}", missing.join(", "))).hint(
        "--exclude TABLE or TABLE.COLUMN leaves it out, --rename OLD=NEW (or TABLE.OLD=NEW) gives the name there, \
         --set TABLE.COLUMN=EXPRESSION gives a value",
    ))
}

/// TABLE, COLUMN and EXPRESSION of `--set`.
fn parted(rule: &str) -> Result<(String, String, String)> {
    let parts = rule.split_once('=').and_then(|(name, sql)| Some((name.rsplit_once('.')?, sql.trim())));
    match parts {
        Some(((table, column), sql)) if !sql.is_empty() => Ok((table.into(), column.into(), sql.into())),
        _ => {
            Err(Error::usage(format!("--set {rule}")).hint("TABLE.COLUMN=EXPRESSION, in PostgreSQL's words"))
        }
    }
}

/// Gives a table its rules of `--set`, and takes them from the list.
fn take_sets(table: &mut Table, made: &Made, sets: &mut Vec<(String, String, String)>) -> Result<()> {
    let own = sets.extract_if(.., |(name, ..)| *name == table.source || *name == table.target);
    for (_, column, expression) in own.collect::<Vec<_>>() {
        let wrong = |why: &str| Error::usage(format!("--set {}.{column}: {why}", table.source));
        let there = shape::matching(&made.columns, |c| &c.name, &column)
            .filter(|c| c.generated.is_none())
            .ok_or_else(|| wrong("the target has no such column"))?;
        if let Some(source) = table.columns.iter().find(|c| c.target == there.name).map(|c| &c.source) {
            let hint = format!("--exclude {}.{source} leaves that one out", table.source);
            return Err(wrong(&format!("it gets the values of {source}")).hint(hint));
        }
        table.sets.push(Set { column: there.name.clone(), expression });
    }
    Ok(())
}

fn one(table: &mut Table, tallies: &[Tally], made: &Made, misfit: Option<Misfit>) {
    table.target.clone_from(&made.name);
    for (column, tally) in table.columns.iter_mut().zip(tallies) {
        if let Some(there) = shape::matching(&made.columns, |c| &c.name, &column.target) {
            fit(column, tally, there, misfit);
        }
    }
    table.primary_key.clear();
    table.uniques.clear();
    table.indexes.clear();
    table.foreign_keys.clear();
    table.checks.clear();
}

/// Columns of the source that the target's table has not, and values that it needs and nobody gives.
pub(crate) fn missing_columns(table: &Table, made: &Made) -> Vec<String> {
    let given = |name: &str| {
        table.columns.iter().any(|c| c.target == name) || table.sets.iter().any(|s| s.column == name)
    };
    let known = |name: &str| made.columns.iter().any(|c| c.name == name);
    let lost = table.columns.iter().filter(|c| !known(&c.target));
    let lost = lost.map(|c| format!("the column {}.{}", table.source, c.source));
    let needed = made.columns.iter().filter(|c| c.not_null && !c.fills_itself && c.generated.is_none());
    let needed = needed.filter(|c| !given(&c.name));
    lost.chain(
        needed.map(|c| format!("a value for {}.{}, which is NOT NULL without a default", made.name, c.name)),
    )
    .collect()
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
        Some(Misfit::Round) => Policy::Round,
        Some(_) => Policy::Replace,
        None if by_rule => column.policy,
        None if conversion == Conversion::Text && tally.broken() > 0 => Policy::Replace,
        None => Policy::Stop,
    };
}

fn conversion(tally: &Tally, pg_type: &str) -> Conversion {
    let Some((wire, _)) = wire(pg_type) else {
        return match pg_type {
            "money" => Conversion::Numeric,
            list if list.ends_with("[]") => Conversion::Array,
            _ => Conversion::Text,
        };
    };
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
        Wire::Interval => Conversion::Interval,
        Wire::Date if tally.census.integers + tally.census.reals == 0 => Conversion::Date,
        // A number becomes a time only when one unit alone makes sense of all of them.
        Wire::Timestamp | Wire::Timestamptz | Wire::Date => match epoch::candidates(tally).as_slice() {
            [unit] => *unit,
            _ => Conversion::Timestamp,
        },
    }
}
