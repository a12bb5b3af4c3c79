//! A plan for tables that the application made: names, types and constraints are the target's.

use super::build::Built;
use super::casts::Casts;
use crate::cli::Rules;
use crate::model::{
    Action, Cause, Column, Conversion, Mode, Object, ObjectKind, Outcome, Policy, Set, Table,
};
use crate::profile::epoch;
use crate::profile::stats::ColumnStats;
use migrate::catalog::{self, ExistingColumn, ExistingTable};
use migrate::types::{WireType, parse_type};
use postgres::Client;
use toban_core::{Error, Result};

/// Turns the plan to the tables that are there; the answer is every table and column that has no counterpart.
///
/// # Errors
/// Usage for a `--set` that fits nothing; those of the server.
pub(crate) fn adapt_plan(
    built: &mut Built,
    client: &mut Client,
    action: Action,
    rules: &Rules,
) -> Result<Vec<String>> {
    let made = catalog::read_tables(client, &built.plan.schema)?;
    built.plan.mode = Mode::Existing;
    let mut missing = Vec::new();
    let casts = Casts::new(rules)?;
    let mut sets = rules.set.iter().map(|rule| parse_set(rule)).collect::<Result<Vec<_>>>()?;
    for (table, stats) in built.plan.tables.iter_mut().zip(&built.stats) {
        table.action = action;
        match catalog::find_matching(&made, |m| &m.name, &table.target) {
            Some(there) => {
                fit_table(table, stats, there, &casts);
                take_sets(table, there, &mut sets)?;
                missing.extend(missing_columns(table, there));
            }
            None => missing.push(format!("the table {}", table.source)),
        }
    }
    // What no table has taken is a mistyped name, and would be left out without a word.
    if let Some((table, column, _)) = sets.first() {
        return Err(Error::usage(format!("--set {table}.{column}: no table {table} is copied")));
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
        let holds_rows = object.kind.is_table() && object.outcome == Outcome::Skipped;
        let holds_values = object.kind == ObjectKind::GeneratedColumn && !moves.contains(&object.name);
        if !holds_rows && !holds_values && object.cause != Cause::Excluded {
            *object =
                Object { cause: Cause::Application, sql: None, ..object.with_outcome(Outcome::Skipped, "") };
        }
    }
    Ok(missing)
}

/// That everything has a counterpart.
///
/// # Errors
/// Usage, naming what has none.
pub(crate) fn check_counterparts(schema: &str, missing: &[String]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::usage(format!("no counterpart in {schema}: {}", missing.join(", "))).hint(
        "--exclude TABLE or TABLE.COLUMN leaves it out, --rename OLD=NEW (or TABLE.OLD=NEW) gives the name there, \
         --set TABLE.COLUMN=EXPRESSION gives a value",
    ))
}

/// TABLE, COLUMN and EXPRESSION of `--set`.
fn parse_set(rule: &str) -> Result<(String, String, String)> {
    let parts = rule.split_once('=').and_then(|(name, sql)| Some((name.rsplit_once('.')?, sql.trim())));
    match parts {
        Some(((table, column), sql)) if !sql.is_empty() => Ok((table.into(), column.into(), sql.into())),
        _ => Err(Error::usage(format!("--set {rule}"))
            .hint("TABLE.COLUMN=EXPRESSION, an expression of PostgreSQL")),
    }
}

/// Gives a table its rules of `--set`, and takes them from the list.
fn take_sets(
    table: &mut Table,
    made: &ExistingTable,
    sets: &mut Vec<(String, String, String)>,
) -> Result<()> {
    let own = sets.extract_if(.., |(name, ..)| *name == table.source || *name == table.target);
    for (_, column, expression) in own.collect::<Vec<_>>() {
        let wrong = |why: &str| Error::usage(format!("--set {}.{column}: {why}", table.source));
        let there = catalog::find_matching(&made.columns, |c| &c.name, &column)
            .filter(|c| c.generated.is_none())
            .ok_or_else(|| wrong("the target has no such column"))?;
        if let Some(source) = table.columns.iter().find(|c| c.target == there.name).map(|c| &c.source) {
            let hint = format!("--exclude {}.{source} leaves that one out", table.source);
            return Err(wrong(&format!("it already gets the values of {source}")).hint(hint));
        }
        table.sets.push(Set { column: there.name.clone(), expression });
    }
    Ok(())
}

fn fit_table(table: &mut Table, stats: &[ColumnStats], made: &ExistingTable, casts: &Casts) {
    table.target.clone_from(&made.name);
    for (column, stats) in table.columns.iter_mut().zip(stats) {
        if let Some(there) = catalog::find_matching(&made.columns, |c| &c.name, &column.target) {
            let by_rule = casts.find(&table.source, &column.source).is_some();
            // A rule of the command line counts more than what the values speak for.
            fit_column(column, there, (!by_rule).then(|| choose_conversion(stats, &there.pg_type)));
            column.policy = match casts.on_invalid {
                Some(on_invalid) => on_invalid.policy(),
                None if by_rule => column.policy,
                None if column.conversion == Conversion::Text && stats.count_broken() > 0 => Policy::Replace,
                None => Policy::Stop,
            };
        }
    }
    let must_not = |name: &String| table.columns.iter().any(|c| c.source == *name && c.not_null);
    table.orphans.retain_mut(|rule| {
        let leaves_out = rule.leaves_out();
        rule.nulled.retain(|name| !must_not(name));
        // Where none of its columns may be NULL, the rows are kept, and the target tells what it thinks of them.
        leaves_out || !rule.leaves_out()
    });
    // These are the application's own, and stay as they are.
    table.primary_key.clear();
    table.uniques.clear();
    table.indexes.clear();
    table.foreign_keys.clear();
    table.checks.clear();
}

/// Columns of the source that the target's table has not, and values that it needs and does not get.
pub(crate) fn missing_columns(table: &Table, made: &ExistingTable) -> Vec<String> {
    let given = |name: &str| {
        table.columns.iter().any(|c| c.target == name) || table.sets.iter().any(|s| s.column == name)
    };
    let known = |name: &str| made.columns.iter().any(|c| c.name == name);
    let lost = table.columns.iter().filter(|c| !known(&c.target));
    let lost = lost.map(|c| format!("the column {}.{}", table.source, c.source));
    // Found out now, and not by the first row in the middle of the load.
    let needed = made.columns.iter().filter(|c| c.not_null && !c.fills_itself && c.generated.is_none());
    let needed = needed.filter(|c| !given(&c.name));
    lost.chain(
        needed.map(|c| format!("a value for {}.{}, which is NOT NULL without a default", made.name, c.name)),
    )
    .collect()
}

/// The target's type decides; how the values come to it, a rule or the values do.
fn fit_column(column: &mut Column, there: &ExistingColumn, conversion: Option<Conversion>) {
    column.target.clone_from(&there.name);
    column.pg_type.clone_from(&there.pg_type);
    column.not_null = there.not_null;
    column.generated.clone_from(&there.generated);
    column.identity = false;
    column.default = None;
    if let Some(conversion) = conversion {
        (column.conversion, column.why) = (conversion, "the target's type".into());
    }
}

fn choose_conversion(stats: &ColumnStats, pg_type: &str) -> Conversion {
    let Some((wire, _)) = parse_type(pg_type) else {
        return match pg_type {
            "money" => Conversion::Numeric,
            list if list.ends_with("[]") => Conversion::Array,
            _ => Conversion::Text,
        };
    };
    match wire {
        WireType::Int2 | WireType::Int4 | WireType::Int8 => Conversion::Integer,
        WireType::Float4 | WireType::Float8 => Conversion::Float,
        WireType::Numeric => Conversion::Numeric,
        WireType::Bool if stats.profile.texts > 0 => Conversion::BoolWords,
        WireType::Bool => Conversion::Bool,
        WireType::Text => Conversion::Text,
        WireType::Bytea => Conversion::Bytes,
        WireType::Json | WireType::Jsonb => Conversion::Json,
        WireType::Uuid => Conversion::Uuid,
        WireType::Time => Conversion::Time,
        WireType::Interval => Conversion::Interval,
        WireType::Date if stats.profile.integers + stats.profile.reals == 0 => Conversion::Date,
        // A number becomes a time only when one unit alone makes sense of all of them.
        WireType::Timestamp | WireType::Timestamptz | WireType::Date => {
            match epoch::candidate_units(stats).as_slice() {
                [unit] => *unit,
                _ => Conversion::Timestamp,
            }
        }
    }
}
