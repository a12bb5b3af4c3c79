//! Checks: what one found, in one order, with one way to end for every tool; and what somebody accepted.

mod accept;
mod finding;
mod rule;
mod totals;

pub use accept::{AcceptList, Acceptance, matches_pattern};
pub use finding::Finding;
pub use rule::{Acceptable, Rule, markdown};
pub use totals::Totals;

use crate::error::Result;
use crate::out::Out;

crate::rules! {
    ACCEPT_EXPIRED = "accept-expired" in "accept", never:
        "an `[[accept]]` entry has ended; what it accepted counts again",
        "decide anew: correct the cause, or renew the entry with its reason; else delete it";
    ACCEPT_UNUSED = "accept-unused" in "accept", never:
        "an `[[accept]]` entry fits nothing that this run found",
        "delete the entry once the cause is gone for good";
}

/// The rules that every check has beside its tool's own.
pub fn shared_rules() -> &'static [&'static Rule] {
    RULES
}

/// Ends a check that has all its findings at hand: the worst first, as records, or with `monitoring` as the one line of
/// the plugin contract.
///
/// # Errors
/// Findings when one needs attention and records are written; those of [`Out`].
pub fn conclude(
    mut findings: Vec<Finding>,
    mut accepted: AcceptList,
    monitoring: bool,
    out: &mut Out<'_>,
) -> Result<()> {
    findings.iter_mut().for_each(|f| accepted.apply(f));
    findings.extend(accepted.leftovers());
    findings.sort_by_key(|f| f.severity.rank());
    let mut totals = Totals::default();
    findings.iter().for_each(|f| totals.count(f));
    if monitoring {
        return totals.write_plugin_line(out);
    }
    findings.iter().try_for_each(|f| out.emit(f))?;
    totals.end()
}

/// Text that may be a perfdata label: it holds neither `=` nor `'`, nor `|`, which would end the plugin's text.
pub fn perf_label(text: &str) -> String {
    text.replace(['=', '\'', '|'], "_")
}
