//! Findings until all are known, so that the gravest are told first: in memory while they are few, then in files
//! that nobody else can open.

use crate::finding::Finding;
use crate::rulebook;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use tempfile::SpooledTempFile;
use toban_core::{Context, Error, Result, Severity};

/// Bytes of one heap that stay in memory.
const IN_MEMORY: usize = 1 << 20;

/// Heaps in the order in which they are told: what changed, then by urgency, then what is well.
pub(crate) struct Spool([BufWriter<SpooledTempFile>; 5]);

/// A finding at rest.
#[derive(Serialize, Deserialize)]
struct Stored {
    source: String,
    id: String,
    rule: String,
    severity: u8,
    object: String,
    since: Option<Timestamp>,
    finding: String,
    advice: String,
    cis: Vec<String>,
    allowed: Option<String>,
}

impl Spool {
    /// An empty one.
    pub(crate) fn new() -> Spool {
        Spool(std::array::from_fn(|_| BufWriter::new(SpooledTempFile::new(IN_MEMORY))))
    }

    /// Keeps one finding.
    ///
    /// # Errors
    /// When there is no room for it.
    pub(crate) fn add(&mut self, f: &Finding) -> Result<()> {
        let stored = Stored {
            source: f.source.clone(),
            id: f.id.clone(),
            rule: f.rule.into(),
            severity: f.severity as u8,
            object: f.object.clone(),
            since: f.since,
            finding: f.finding.clone(),
            advice: f.advice.clone(),
            cis: f.cis.clone(),
            allowed: f.allowed.clone(),
        };
        let doing = || "keep a finding until all are known".to_string();
        let heap = &mut self.0[heap(f)];
        serde_json::to_writer(&mut *heap, &stored).doing(doing)?;
        heap.write_all(b"\n").doing(doing)
    }

    /// Gives all back, the gravest first.
    ///
    /// # Errors
    /// When they cannot be read, and those of `each`.
    pub(crate) fn replay(self, mut each: impl FnMut(&Finding) -> Result<()>) -> Result<()> {
        let doing = || "read the findings that were kept".to_string();
        for heap in self.0 {
            let mut file = heap.into_inner().map_err(std::io::IntoInnerError::into_error).doing(doing)?;
            file.seek(SeekFrom::Start(0)).doing(doing)?;
            for line in BufReader::new(file).lines() {
                let stored: Stored = serde_json::from_str(&line.doing(doing)?).doing(doing)?;
                each(&stored.finding()?)?;
            }
        }
        Ok(())
    }
}

impl Stored {
    fn finding(self) -> Result<Finding> {
        let gone = || Error::failed(format!("the rule {} is not in the rulebook", self.rule));
        Ok(Finding {
            rule: rulebook::name(&self.rule).ok_or_else(gone)?,
            severity: match self.severity {
                0 => Severity::Ok,
                1 => Severity::Warning,
                2 => Severity::Critical,
                _ => Severity::Unknown,
            },
            source: self.source,
            id: self.id,
            object: self.object,
            since: self.since,
            finding: self.finding,
            advice: self.advice,
            cis: self.cis,
            allowed: self.allowed,
            personal: false,
        })
    }
}

fn heap(f: &Finding) -> usize {
    match f.severity {
        _ if rulebook::is_change(f.rule) => 0,
        Severity::Critical => 1,
        Severity::Unknown => 2,
        Severity::Warning => 3,
        Severity::Ok => 4,
    }
}
