//! The plan as a table for people and as records for programs.

use super::build::{Built, Oddity};
use super::{Column, Fate, Object, Table};
use crate::census::judge::word;
use serde::Serialize;
use toban_core::{Out, Record, Result, out};

/// Bytes that move in a second, for the estimate: what one slow core does.
const RATE: u64 = 40_000_000;

/// One line of the plan.
#[derive(Serialize)]
struct Line {
    kind: String,
    name: String,
    declared: String,
    becomes: String,
    fate: String,
    why: String,
}

impl Record for Line {
    const SCHEMA: &'static str = "sqlite-to-pg.plan/1";
    const HEAD: &'static [&'static str] = &["kind", "name", "declared", "becomes", "fate", "why"];

    fn cells(&self) -> Vec<String> {
        [&self.kind, &self.name, &self.declared, &self.becomes, &self.fate, &self.why]
            .map(Clone::clone)
            .to_vec()
    }
}

/// Prints what a person should know of (odd values, what does not arrive as it was, numbers that may be times), then all
/// the rest and the total.
///
/// # Errors
/// Those of stdout.
pub(crate) fn print(built: &Built, out: &mut Out<'_>) -> Result<()> {
    let mut notable: Vec<Line> = built.oddities.iter().map(of_oddity).collect();
    let mut usual = Vec::new();
    let odd_object = |o: &&Object| o.fate != Fate::Created;
    notable.extend(built.plan.objects.iter().filter(odd_object).map(of_object));
    for table in &built.plan.tables {
        usual.push(of_table(table));
        for column in &table.columns {
            let lines = if is_notable(built, table, column) { &mut notable } else { &mut usual };
            lines.push(of_column(table, column));
        }
        usual.extend(of_parts(table));
    }
    usual.extend(built.plan.objects.iter().filter(|o| !odd_object(o)).map(of_object));
    notable.iter().chain(&usual).try_for_each(|line| out.emit(line))?;
    out.emit(&total(built))
}

fn is_notable(built: &Built, table: &Table, column: &Column) -> bool {
    let odd = |o: &Oddity| o.table == table.source && o.column == column.source;
    built.oddities.iter().any(odd) || column.why.contains("as times: ")
}

fn line(kind: &str, name: String, becomes: String, why: String) -> Line {
    Line { kind: kind.into(), name, declared: String::new(), becomes, fate: "created".into(), why }
}

fn of_table(table: &Table) -> Line {
    let rows = format!("{} rows, {}", table.rows, out::bytes(table.bytes));
    line("table", table.source.clone(), table.target.clone(), rows)
}

fn of_column(table: &Table, column: &Column) -> Line {
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
    let why = format!("{} ({})", column.why, word(column.conversion));
    Line { declared: column.declared.clone(), ..line("column", name, becomes, why) }
}

fn of_parts(table: &Table) -> Vec<Line> {
    let own = |name: &str| format!("{}.{name}", table.source);
    let mut lines = Vec::new();
    if !table.primary_key.is_empty() {
        lines.push(line("primary key", table.source.clone(), table.primary_key.join(", "), String::new()));
    }
    lines.extend(
        table.uniques.iter().map(|u| line("unique", own(&u.name), u.columns.join(", "), String::new())),
    );
    lines.extend(table.indexes.iter().map(|i| {
        let parts: Vec<&str> = i.parts.iter().map(|p| p.sql.as_str()).collect();
        let predicate = i.predicate.as_ref().map(|p| format!(" where {p}")).unwrap_or_default();
        let unique = if i.unique { "unique " } else { "" };
        line(
            "index",
            i.source.clone(),
            format!("{unique}{} ({}){predicate}", i.target, parts.join(", ")),
            i.why.clone(),
        )
    }));
    lines.extend(table.foreign_keys.iter().map(|f| {
        line("foreign key", own(&f.name), format!("({}) → {}", f.columns.join(", "), f.parent), String::new())
    }));
    lines.extend(table.checks.iter().map(|c| line("check", own(&c.name), c.sql.clone(), String::new())));
    lines
}

/// A fate in the plan's words.
pub(crate) fn fate(fate: Fate) -> &'static str {
    match fate {
        Fate::Created => "created",
        Fate::Translated => "translated",
        Fate::NotValid => "not valid",
        Fate::Written => "written to a file",
        Fate::Skipped => "skipped",
    }
}

fn of_object(object: &Object) -> Line {
    let becomes = object.sql.clone().unwrap_or_default();
    Line {
        fate: fate(object.fate).into(),
        ..line(&object.kind, object.name.clone(), becomes, object.why.clone())
    }
}

fn of_oddity(odd: &Oddity) -> Line {
    let more = if odd.count > odd.keys.len() as u64 { " …" } else { "" };
    let rows = format!("{} values {}: {}{more}", odd.count, odd.what, odd.keys.join("; "));
    Line {
        fate: String::new(),
        ..line("odd values", format!("{}.{}", odd.table, odd.column), String::new(), rows)
    }
}

fn total(built: &Built) -> Line {
    let plan = &built.plan;
    let (rows, bytes) = plan.tables.iter().fold((0, 0), |(r, b), t| (r + t.rows, b + t.bytes));
    // Rows have a header, and indexes weigh about as much again as the keys.
    let size = bytes + rows * 32;
    let seconds = (size / RATE).max(1);
    let becomes = format!("about {}", out::bytes(size));
    Line {
        fate: String::new(),
        ..line("total", plan.source.path.clone(), becomes, format!("{rows} rows, about {seconds} s to copy"))
    }
}
