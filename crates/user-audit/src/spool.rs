//! Findings until all are known, so that the gravest are told first: in memory while they are few, then in files
//! that nobody else can open.

use crate::finding::AuditFinding;
use crate::rulebook;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use tempfile::SpooledTempFile;
use toban_core::check::{Acceptance, Finding};
use toban_core::{Context, Error, Result, Severity};

/// Bytes of one heap that stay in memory.
const IN_MEMORY: usize = 1 << 20;

/// Heaps in the order in which they are told: what changed, then by urgency, then what is well.
pub(crate) struct Spool([BufWriter<SpooledTempFile>; 5]);

/// A finding at rest.
#[derive(Serialize, Deserialize)]
struct StoredFinding {
    id: String,
    severity: u8,
    source: String,
    object: String,
    key: String,
    text: String,
    advice: String,
    accepted: Option<Acceptance>,
    since: Option<Timestamp>,
    cis: Vec<String>,
}

impl Default for Spool {
    fn default() -> Spool {
        // A file without a name, once it is one: it holds names and rights of accounts, and goes with the process.
        Spool(std::array::from_fn(|_| BufWriter::new(SpooledTempFile::new(IN_MEMORY))))
    }
}

impl Spool {
    /// Keeps one finding.
    ///
    /// # Errors
    /// When there is no room for it.
    pub(crate) fn add(&mut self, f: &AuditFinding) -> Result<()> {
        let base = &f.base;
        let stored = StoredFinding {
            id: f.id().into(),
            severity: base.severity as u8,
            source: base.source.clone(),
            object: base.object.clone(),
            key: base.key.clone(),
            text: base.text.clone(),
            advice: base.advice.clone(),
            accepted: base.accepted.clone(),
            since: f.since,
            cis: f.cis.clone(),
        };
        let doing = || "keep a finding until all are known".to_string();
        let heap = &mut self.0[find_heap(f)];
        // One line each: what is read back ends where it was meant to end, whatever a text holds.
        serde_json::to_writer(&mut *heap, &stored).doing(doing)?;
        heap.write_all(b"\n").doing(doing)
    }

    /// Gives all back, the gravest first.
    ///
    /// # Errors
    /// When they cannot be read, and those of `each`.
    pub(crate) fn replay_findings(self, mut each: impl FnMut(&AuditFinding) -> Result<()>) -> Result<()> {
        // The order is known when the last finding is: five heaps by urgency are sorted as they are filled, and no heap has
        // to fit into memory.
        let doing = || "read the findings that were kept".to_string();
        for heap in self.0 {
            let mut file = heap.into_inner().map_err(std::io::IntoInnerError::into_error).doing(doing)?;
            file.seek(SeekFrom::Start(0)).doing(doing)?;
            for line in BufReader::new(file).lines() {
                let stored: StoredFinding = serde_json::from_str(&line.doing(doing)?).doing(doing)?;
                each(&stored.finding()?)?;
            }
        }
        Ok(())
    }
}

impl StoredFinding {
    fn finding(self) -> Result<AuditFinding> {
        let gone = || Error::failed(format!("the rule {} is not in the rulebook", self.id));
        // By the numbers of the plugin contract, as they were written.
        let severities = [Severity::Ok, Severity::Warning, Severity::Critical, Severity::Unknown];
        let severity = severities[usize::from(self.severity).min(severities.len() - 1)];
        let finding = Finding::new(rulebook::find_rule(&self.id).ok_or_else(gone)?, severity);
        let finding = finding.in_source(self.source).about(self.object).with_key(self.key);
        let base = Finding { accepted: self.accepted, ..finding.says(self.text).advise(self.advice) };
        Ok(AuditFinding { since: self.since, cis: self.cis, ..AuditFinding::from(base) })
    }
}

fn find_heap(f: &AuditFinding) -> usize {
    if rulebook::is_change(f.base.rule) { 0 } else { 1 + f.base.severity.rank() }
}
