//! The plan as a file that people edit.

use crate::model::{FORMAT, MovePlan};
use std::path::Path;
use toban_core::config::describe_fault;
use toban_core::{Context, Error, Kind, Result, durable};

/// What stands above the plan.
const HEAD: &str = "\
# A plan of json-to-pg. Fill in answer = \"…\" of each [[question]] with one of its choices, then:
#   json-to-pg run PLAN --to CONNINFO
# Each [[file.path]] has one fate: column (with type), explode (a table of its own), link, split, or drop = \"reason\".
# convert: round, numbers, text, replace, epoch-s, epoch-ms. on_conflict: refuse, take-file, keep-database.
# [[file.value]] fills a column that no path fills: value (JSON or a text), or from (a path).

";

/// Writes it whole or not at all.
///
/// # Errors
/// Those of the file system.
pub(crate) fn write_plan(plan: &MovePlan, path: &Path) -> Result<()> {
    let text = toml::to_string(plan).doing(|| "write the plan".into())?;
    durable::replace(path, 0o644, |w| {
        w.write_all(HEAD.as_bytes())
            .and_then(|()| w.write_all(text.as_bytes()))
            .doing(|| format!("write {}", path.display()))
    })
}

/// Reads it.
///
/// # Errors
/// Usage for what is no plan, naming the line.
pub(crate) fn read_plan(path: &Path) -> Result<MovePlan> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .doing(|| format!("read the plan {shown}"))
        .map_err(|e| e.kind_as(Kind::Usage))?;
    let plan: MovePlan = toml::from_str(&text)
        .map_err(|e| Error::usage(format!("read the plan {shown}: {}", describe_fault(&text, &e))))?;
    match plan.format {
        FORMAT => Ok(plan),
        other => {
            Err(Error::usage(format!("{shown} is a plan of format {other}; this program reads {FORMAT}"))
                .hint("make it again with: json-to-pg plan PATH -o FILE"))
        }
    }
}
