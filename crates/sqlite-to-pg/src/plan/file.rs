//! The plan as a file that people edit.

use crate::model::{FORMAT, Plan};
use std::path::Path;
use toban_core::config::describe_fault;
use toban_core::{Context, Error, Kind, Result, durable};

/// What stands above the plan.
const HEAD: &str = "\
# A plan of sqlite-to-pg: edit types, conversions, policies and names, then: sqlite-to-pg run DB --to … --plan FILE
# policy: stop, reject (its row is left out), null, replace (the nearest that fits), round (times finer than the
# type keeps; no reject). A [[table]] that is deleted here does not move. accept_rejects = true: values that could not
# be represented leave the status at 0; accepted = true in an [[object]]: that the copy lacks it does. A [[table.set]]
# gives a column of the target a value: column, expression.
# The sections census and source say what was found; they change nothing.

";

/// Writes it whole or not at all.
pub(crate) fn write_plan(plan: &Plan, path: &Path) -> Result<()> {
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
pub(crate) fn read_plan(path: &Path) -> Result<Plan> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .doing(|| format!("read the plan {shown}"))
        .map_err(|e| e.kind_as(Kind::Usage))?;
    let plan: Plan = toml::from_str(&text)
        .map_err(|e| Error::usage(format!("read the plan {shown}: {}", describe_fault(&text, &e))))?;
    match plan.format {
        FORMAT => Ok(plan),
        other => {
            Err(Error::usage(format!("{shown} is a plan of format {other}; this program reads {FORMAT}"))
                .hint("make it again with: sqlite-to-pg plan DB -o FILE"))
        }
    }
}
