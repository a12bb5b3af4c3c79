//! Before a byte is loaded into the application's tables: every value that they would not take, by its row.

use super::report::{ReportLine, violation_line};
use crate::load::preflight::{Violation, find_violations};
use crate::model::Plan;
use crate::source::Snapshot;
use migrate::catalog;
use postgres::Client;
use toban_core::{Error, Kind, Out, Result};

/// Looks at all values.
///
/// # Errors
/// Findings, after printing what was found.
pub(super) fn check_values(
    snapshot: &mut Snapshot,
    client: &mut Client,
    plan: &Plan,
    out: &mut Out<'_>,
) -> Result<()> {
    let made = catalog::read_tables(client, &plan.schema)?;
    let labels = |table: &str, column: &str| -> Vec<String> {
        let table = made.iter().find(|m| m.name == table);
        let found = table.and_then(|t| t.columns.iter().find(|c| c.name == column));
        found.map(|c| c.labels.clone()).unwrap_or_default()
    };
    let violations: Vec<Violation> = find_violations(snapshot, plan, &labels)?;
    let lines: Vec<ReportLine> = violations.iter().map(violation_line).collect();
    for line in &lines {
        out.emit(line)?;
    }
    let n: u64 = violations.iter().map(|v| v.count).sum();
    match n {
        0 => Ok(()),
        n => Err(Error::new(
            Kind::Findings,
            format!("{n} values do not fit the target's tables; nothing was loaded"),
        )
        .hint(
            "say what happens to them: --on-invalid round, null, reject or replace, --cast, or a policy in the plan",
        )),
    }
}
