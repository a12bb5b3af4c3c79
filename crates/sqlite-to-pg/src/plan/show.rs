//! The plan as a table for people and as records for programs.

use super::build::{Built, MismatchedValues};
use crate::model::{Column, Object, Outcome, Table};
use serde::Serialize;
use toban_core::{Out, Record, Result, out};

/// Bytes that move in a second, for the estimate: what one slow core does.
const RATE: u64 = 40_000_000;

/// One line of the plan.
#[derive(Serialize)]
struct PlanLine {
    kind: String,
    name: String,
    declared: String,
    becomes: String,
    outcome: String,
    why: String,
}

impl Record for PlanLine {
    const SCHEMA: &'static str = "sqlite-to-pg.plan/1";
    const HEAD: &'static [&'static str] = &["kind", "name", "declared", "becomes", "outcome", "why"];

    fn cells(&self) -> Vec<String> {
        [&self.kind, &self.name, &self.declared, &self.becomes, &self.outcome, &self.why]
            .map(Clone::clone)
            .to_vec()
    }
}

/// Prints what a person should know of (mismatched values, what does not arrive as it was, numbers that may be times), then all
/// the rest and the total.
pub(crate) fn print_plan(built: &Built, out: &mut Out<'_>) -> Result<()> {
    let mut notable: Vec<PlanLine> = built.mismatches.iter().map(mismatch_line).collect();
    let mut usual = Vec::new();
    let odd_object = |o: &&Object| o.outcome != Outcome::Created;
    notable.extend(built.plan.objects.iter().filter(odd_object).map(object_line));
    for table in &built.plan.tables {
        usual.push(table_line(table));
        for column in &table.columns {
            let is_notable = built.notable.contains(&(table.source.clone(), column.source.clone()));
            let lines = if is_notable { &mut notable } else { &mut usual };
            lines.push(column_line(table, column));
        }
        usual.extend(part_lines(table));
    }
    usual.extend(built.plan.objects.iter().filter(|o| !odd_object(o)).map(object_line));
    notable.iter().chain(&usual).try_for_each(|line| out.emit(line))?;
    out.emit(&total_line(built))
}

fn plan_line(kind: &str, name: String, becomes: String, why: String) -> PlanLine {
    PlanLine { kind: kind.into(), name, declared: String::new(), becomes, outcome: "created".into(), why }
}

fn table_line(table: &Table) -> PlanLine {
    let rows = format!("{} rows, {}", table.rows, out::bytes(table.bytes));
    plan_line("table", table.source.clone(), table.target.clone(), rows)
}

fn column_line(table: &Table, column: &Column) -> PlanLine {
    let name = format!("{}.{}", table.source, column.source);
    let renamed = if column.target == column.source { String::new() } else { format!("{} ", column.target) };
    let null = if column.not_null { " not null" } else { "" };
    let extra = match (&column.generated, &column.default, column.identity) {
        (Some(sql), _, _) => format!(" generated always as ({sql}) stored"),
        (None, _, true) => " identity".into(),
        (None, Some(sql), _) => format!(" default {sql}"),
        _ => String::new(),
    };
    let becomes = format!("{renamed}{}{null}{extra}", column.pg_type);
    let why = format!("{} ({})", column.why, column.conversion.name());
    PlanLine { declared: column.declared.clone(), ..plan_line("column", name, becomes, why) }
}

fn part_lines(table: &Table) -> Vec<PlanLine> {
    let own = |name: &str| format!("{}.{name}", table.source);
    let mut lines = Vec::new();
    if !table.primary_key.is_empty() {
        lines.push(plan_line(
            "primary key",
            table.source.clone(),
            table.primary_key.join(", "),
            String::new(),
        ));
    }
    lines.extend(
        table.uniques.iter().map(|u| plan_line("unique", own(&u.name), u.columns.join(", "), String::new())),
    );
    lines.extend(table.indexes.iter().map(|i| {
        let parts: Vec<&str> = i.parts.iter().map(|p| p.sql.as_str()).collect();
        let predicate = i.predicate.as_ref().map(|p| format!(" where {p}")).unwrap_or_default();
        let unique = if i.unique { "unique " } else { "" };
        plan_line(
            "index",
            i.source.clone(),
            format!("{unique}{} ({}){predicate}", i.target, parts.join(", ")),
            i.why.clone(),
        )
    }));
    lines.extend(table.foreign_keys.iter().map(|f| {
        plan_line(
            "foreign key",
            own(&f.name),
            format!("({}) → {}", f.columns.join(", "), f.parent),
            String::new(),
        )
    }));
    lines.extend(table.orphans.iter().map(|rule| {
        let becomes =
            if rule.leaves_out() { "left out".into() } else { format!("NULL in {}", rule.nulled.join(", ")) };
        plan_line(
            "orphans",
            own(&rule.columns.join(", ")),
            becomes,
            format!("rows without a {}", rule.parent),
        )
    }));
    lines.extend(table.checks.iter().map(|c| plan_line("check", own(&c.name), c.sql.clone(), String::new())));
    lines
}

fn object_line(object: &Object) -> PlanLine {
    let becomes = object.sql.clone().unwrap_or_default();
    PlanLine {
        outcome: object.outcome.text().into(),
        ..plan_line(object.kind.name(), object.name.clone(), becomes, object.reason())
    }
}

fn mismatch_line(values: &MismatchedValues) -> PlanLine {
    let more = if values.count > values.keys.len() as u64 { " …" } else { "" };
    let rows = format!("{} values {}: {}{more}", values.count, values.what, values.keys.join("; "));
    PlanLine {
        outcome: String::new(),
        ..plan_line("mismatched values", format!("{}.{}", values.table, values.column), String::new(), rows)
    }
}

fn total_line(built: &Built) -> PlanLine {
    let plan = &built.plan;
    let (rows, bytes) = plan.tables.iter().fold((0, 0), |(r, b), t| (r + t.rows, b + t.bytes));
    // Rows have a header, and indexes weigh about as much again as the keys.
    let size = bytes + rows * 32;
    let seconds = (size / RATE).max(1);
    let becomes = format!("about {}", out::bytes(size));
    PlanLine {
        outcome: String::new(),
        ..plan_line(
            "total",
            plan.source.path.clone(),
            becomes,
            format!("{rows} rows, about {seconds} s to copy"),
        )
    }
}
