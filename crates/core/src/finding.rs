//! How a check of several findings ends: as records with a status, or as a monitoring plugin's one line.

use crate::error::{Error, Kind, Result};
use crate::out::{Out, Record, Severity};

/// One judged thing.
pub trait Finding: Record {
    /// How bad it is.
    fn severity(&self) -> Severity;
    /// What a plugin's line says of it.
    fn sentence(&self) -> String;
    /// Its perfdata, where it has a number.
    fn perf(&self) -> Option<&str>;
}

/// Writes all of `findings`, or with `monitoring` the one line of the plugin contract.
///
/// # Errors
/// Findings when one needs attention and records are written; those of [`Out`].
pub fn tell<F: Finding>(findings: &[F], monitoring: bool, out: &mut Out<'_>) -> Result<()> {
    if monitoring { plugin(findings, out) } else { records(findings, out) }
}

fn records<F: Finding>(findings: &[F], out: &mut Out<'_>) -> Result<()> {
    findings.iter().try_for_each(|f| out.emit(f))?;
    match findings.iter().filter(|f| f.severity() != Severity::Ok).count() {
        0 => Ok(()),
        n => Err(Error::new(Kind::Findings, format!("{n} of {} checks need attention", findings.len()))),
    }
}

fn plugin<F: Finding>(findings: &[F], out: &mut Out<'_>) -> Result<()> {
    let worst = Severity::worst(findings.iter().map(F::severity));
    let wrong = findings.iter().filter(|f| f.severity() != Severity::Ok);
    let wrong: Vec<String> = wrong.map(F::sentence).collect();
    let text = if wrong.is_empty() { format!("{} checks passed", findings.len()) } else { wrong.join("; ") };
    let perf: Vec<String> = findings.iter().filter_map(|f| f.perf().map(String::from)).collect();
    out.plugin(worst, &text, &perf)
}
