//! The sqlite3 shell's reading of a file against psql's of the copy: whole rows, by value; no code of ours is asked.

use crate::world::World;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// What the sqlite3 shell says, errors too.
pub(crate) fn shell(file: &Path, sql: &str) -> String {
    let done =
        Command::new("sqlite3").arg("-batch").arg("-readonly").arg(file).arg(sql).output().expect("sqlite3");
    [done.stdout, done.stderr].iter().map(|o| String::from_utf8_lossy(o).trim().to_string()).collect()
}

/// Every row of every table of `file` stands in the schema `copy`, and nothing else does.
#[track_caller]
pub(crate) fn same_rows(world: &World, file: &Path, told: &str) {
    let tables = "select name from sqlite_schema where type = 'table' and name not like 'sqlite%'";
    for table in shell(file, tables).lines() {
        let columns = columns(world, table);
        let mut here = source_rows(file, table, &columns);
        let mut there = target_rows(world, table, &columns);
        here.sort();
        there.sort();
        let lacks = here.iter().find(|row| there.binary_search(row).is_err());
        let foreign = there.iter().find(|row| here.binary_search(row).is_err());
        assert_eq!(
            (lacks, foreign),
            (None, None),
            "a row of {table} that is not there, and one too many: {told}"
        );
        assert_eq!(here.len(), there.len(), "rows of {table}: {told}");
    }
}

/// A column's name and its type in the copy.
type Column = (String, String);

fn columns(world: &World, table: &str) -> Vec<Column> {
    let sql = format!(
        "select attname || ' ' || format_type(atttypid, null) from pg_attribute \
         where attrelid = to_regclass('copy.{table}') and attnum > 0 order by attnum"
    );
    let lines = world.psql(&sql);
    let columns = lines.lines().map(|l| l.split_once(' ').expect("a name and a type"));
    columns.map(|(name, pg_type)| (name.into(), pg_type.into())).collect()
}

/// Each cell as `class digits`: those of a number, the hexadecimal ones of a double, a text or a blob.
fn source_rows(file: &Path, table: &str, columns: &[Column]) -> Vec<String> {
    let cell = |(name, _): &Column| {
        format!(
            "typeof({name}) || ' ' || case typeof({name}) when 'integer' then {name} when 'real' then hex(ieee754_to_blob({name})) \
             else coalesce(hex(cast({name} as blob)), '') end"
        )
    };
    let cells: Vec<String> = columns.iter().map(cell).collect();
    let rows = shell(file, &format!("select {} from {table}", cells.join(" || '|' || ")));
    let row = |line: &str| {
        let cells = line.split('|').zip(columns).map(|(cell, (_, pg_type))| source_cell(cell, pg_type));
        cells.collect::<Vec<String>>().join("|")
    };
    rows.lines().map(row).collect()
}

/// The value as its column in the copy shows it.
fn source_cell(cell: &str, pg_type: &str) -> String {
    let (class, digits) = cell.split_once(' ').unwrap_or((cell, ""));
    let text = || String::from_utf8(unhex(digits)).expect("UTF-8, since nothing was rejected");
    let real = || f64::from_bits(u64::from_str_radix(digits, 16).expect("eight bytes"));
    let shown = match (class, pg_type) {
        ("null", _) => return "-".into(),
        ("integer", "jsonb") => format!("integer:{digits}"),
        ("real", "jsonb") => format!("real:{}", real().to_bits()),
        ("text", "jsonb") => format!("text:{}", text()),
        ("blob", "jsonb") => format!("blob:{}", digits.to_lowercase()),
        ("text" | "blob", "bytea") => digits.to_lowercase(),
        ("text" | "blob", _) => text(),
        ("real", _) => real().to_string(),
        _ => digits.into(),
    };
    canonical(&shown, pg_type)
}

fn target_rows(world: &World, table: &str, columns: &[Column]) -> Vec<String> {
    let cell = |(name, pg_type): &Column| {
        let bytes =
            if pg_type == "bytea" { name.clone() } else { format!("convert_to({name}::text, 'UTF8')") };
        format!("coalesce('+' || encode({bytes}, 'hex'), '-')")
    };
    let cells: Vec<String> = columns.iter().map(cell).collect();
    let rows = world.psql(&format!("select concat_ws('|', {}) from copy.{table}", cells.join(", ")));
    let row = |line: &str| {
        let cells = line.split('|').zip(columns).map(|(cell, (_, pg_type))| target_cell(cell, pg_type));
        cells.collect::<Vec<String>>().join("|")
    };
    rows.lines().map(row).collect()
}

fn target_cell(cell: &str, pg_type: &str) -> String {
    let Some(digits) = cell.strip_prefix('+') else { return cell.into() };
    let text = || String::from_utf8(unhex(digits)).expect("a text of the server");
    match pg_type {
        "bytea" => canonical(digits, pg_type),
        "jsonb" => canonical(&tagged(&text()), pg_type),
        _ => canonical(&text(), pg_type),
    }
}

/// A value of a column of mixed classes: `{"t": class, "v": value}`.
fn tagged(text: &str) -> String {
    let json: Value = serde_json::from_str(text).expect("JSON");
    let (class, value) = (json["t"].as_str().unwrap_or_default(), &json["v"]);
    match class {
        "real" => format!("real:{}", value.as_str().and_then(real).unwrap_or_default().to_bits()),
        "integer" => format!("integer:{value}"),
        _ => format!("{class}:{}", value.as_str().unwrap_or_default()),
    }
}

/// One form of every way to write a double: its own digits. Others stay what they are.
fn canonical(text: &str, pg_type: &str) -> String {
    let number = matches!(pg_type, "double precision" | "text") && text.contains(['.', 'e', 'n']);
    match real(text).filter(|_| number || pg_type == "double precision") {
        Some(n) => format!("={n}"),
        None if pg_type == "numeric" => format!("={}", text.strip_suffix(".0").unwrap_or(text)),
        None => format!("={text}"),
    }
}

fn real(text: &str) -> Option<f64> {
    text.parse().ok()
}

fn unhex(digits: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}
