//! CSV that a spreadsheet opens without running anything: RFC 4180, and no cell that begins a formula.

use crate::finding::AuditFinding;
use toban_core::evidence::csv_cell;

/// The titles.
pub(crate) const HEAD: &str = "source,severity,id,object,since,finding,advice,cis,accepted,key\r\n";

/// One finding's line.
pub(crate) fn csv_line(f: &AuditFinding) -> String {
    let (base, since, cis) = (&f.base, f.since_text(), f.cis.join(" "));
    let severity = base.severity.to_string();
    let accepted = base.accepted.as_ref().map(ToString::to_string).unwrap_or_default();
    let cells = [
        &base.source,
        &severity,
        f.id(),
        &base.object,
        &since,
        &base.text,
        &base.advice,
        &cis,
        &accepted,
        &base.key,
    ];
    format!("{}\r\n", cells.map(csv_cell).join(","))
}
