//! `--detect`: which tables hold the accounts, as a mapping that works; why, and what is not known.

mod beside;
mod find;
mod names;
mod roles;

use super::{open_database, sql};
use crate::cli;
use crate::mapping::{Mapping, Name};
use crate::source::{AuditTarget, RowSource, SourceTable, read_rows};
use find::Proposed;
use serde::Serialize;
use toban_core::{Context, Error, Out, Record, Result};

/// Different values of a column that are looked at.
const VALUES: usize = 50;

/// One line of the proposed mapping.
#[derive(Serialize)]
struct Proposal<'a> {
    /// `unknown` for what nobody but the application's makers can tell.
    key: &'a str,
    value: &'a str,
    why: &'a str,
}

impl Record for Proposal<'_> {
    const SCHEMA: &'static str = "user-audit.detect/2";
    const HEAD: &'static [&'static str] = &["mapping"];
    /// A line of the configuration: what is written can be put there as it is.
    fn cells(&self) -> Vec<String> {
        vec![match self.key {
            "unknown" => format!("# not known: {}", self.why),
            "section" => format!("[audit.mapping.{}]  # {}", self.value, self.why),
            key => format!("{key} = {}  # {}", self.value, self.why),
        }]
    }
}

/// Looks at each database's tables and proposes a mapping.
pub(super) fn detect_mappings(places: &[AuditTarget], args: &cli::App, out: &mut Out<'_>) -> Result<()> {
    for place in places {
        let proposed = open_database(place, &args.scope, |rows| detect_mapping(rows))?;
        let Some(proposed) = proposed else {
            let message = format!("no table of {} looks like accounts", place.name());
            return Err(
                Error::failed(message).hint("write an [audit.mapping.NAME] section: docs/guide/audit.md")
            );
        };
        let section = toml::Value::String(place.name()).to_string();
        let why = "put it into the configuration; it is taken for the database of this name";
        out.emit(&Proposal { key: "section", value: &section, why })?;
        for (key, value, why) in &proposed.lines {
            out.emit(&Proposal { key, value, why })?;
        }
        proposed.unknown.iter().try_for_each(|why| out.emit(&Proposal { key: "unknown", value: "", why }))?;
    }
    Ok(())
}

fn detect_mapping(rows: &mut dyn RowSource) -> Result<Option<Proposed>> {
    let tables = rows.read_tables()?;
    let Some(proposed) =
        find::propose_mapping(&tables, &mut |table, column| read_values(rows, table, column))?
    else {
        return Ok(None);
    };
    // What is proposed works, or is not proposed.
    let mapping: Mapping =
        toml::from_str(&proposed.to_toml()).doing(|| "read the proposed mapping".into())?;
    mapping.check_columns("proposed")?;
    rows.for_each_row(
        &format!("select * from ({}) q limit 1", mapping.users_sql(rows.concat())),
        &mut |_| Ok(()),
    )?;
    Ok(Some(proposed))
}

/// Some different values of one column.
fn read_values(rows: &mut dyn RowSource, table: &SourceTable, column: &str) -> Result<Vec<String>> {
    let sql = sql::values_sql(&table_name(&table.name), column, VALUES);
    Ok(read_rows(rows, &sql)?.into_iter().flatten().flatten().collect())
}

/// A table's name as a mapping writes it.
fn table_name([schema, table]: &[String; 2]) -> Name {
    match schema.contains('.') || table.contains('.') {
        true => Name::Exact(vec![schema.clone(), table.clone()]),
        false => Name::Dotted(format!("{schema}.{table}")),
    }
}
