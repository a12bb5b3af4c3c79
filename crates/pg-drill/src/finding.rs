//! What a drill judged: one record for each check.

use serde::{Deserialize, Serialize};
use toban_core::{Error, Kind, Record, Result};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Passed,
    Failed,
    /// It could not be made, and so proves nothing: never taken for passed.
    Unknown,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Verdict::Passed => "passed",
            Verdict::Failed => "FAILED",
            Verdict::Unknown => "UNKNOWN",
        })
    }
}

/// One check and what it found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Check {
    pub(crate) check: String,
    pub(crate) verdict: Verdict,
    pub(crate) finding: String,
}

impl Record for Check {
    const SCHEMA: &'static str = "pg-drill.check/1";
    const HEAD: &'static [&'static str] = &["check", "verdict", "finding"];
    fn cells(&self) -> Vec<String> {
        vec![self.check.clone(), self.verdict.to_string(), self.finding.clone()]
    }
}

/// What was checked so far, and what was compared.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) checks: Vec<Check>,
    /// How many comparisons were made with something known from elsewhere.
    pub(crate) compared: usize,
    corrupt: bool,
}

impl Findings {
    pub(crate) fn add(&mut self, check: &str, verdict: Verdict, finding: impl Into<String>) {
        self.checks.push(Check { check: check.into(), verdict, finding: finding.into() });
    }

    pub(crate) fn passed(&mut self, check: &str, finding: impl Into<String>) {
        self.add(check, Verdict::Passed, finding);
    }

    pub(crate) fn failed(&mut self, check: &str, finding: impl Into<String>) {
        self.add(check, Verdict::Failed, finding);
    }

    pub(crate) fn unknown(&mut self, check: &str, finding: impl Into<String>) {
        self.add(check, Verdict::Unknown, finding);
    }

    /// Passed or failed, as `fine` says.
    pub(crate) fn judge(&mut self, check: &str, fine: bool, finding: impl Into<String>) {
        self.add(check, if fine { Verdict::Passed } else { Verdict::Failed }, finding);
    }

    /// Takes what a step found as the finding of `check`; gives nothing then.
    ///
    /// # Errors
    /// Any other than a finding or corruption: they prove nothing against the backup.
    pub(crate) fn step<T>(&mut self, check: &str, done: Result<T>) -> Result<Option<T>> {
        match done {
            Ok(value) => Ok(Some(value)),
            Err(e) if matches!(e.kind(), Kind::Findings | Kind::Corrupt) => {
                self.corrupt |= e.kind() == Kind::Corrupt;
                self.failed(check, e.chain());
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    pub(crate) fn all_passed(&self) -> bool {
        self.wrong().is_empty()
    }

    fn wrong(&self) -> Vec<&Check> {
        self.checks.iter().filter(|c| c.verdict != Verdict::Passed).collect()
    }

    /// How the drill ends.
    ///
    /// # Errors
    /// Findings with the first that is wrong; Corrupt where the restore said that stored data is damaged.
    pub(crate) fn end(&self) -> Result<()> {
        let wrong = self.wrong();
        let Some(first) = wrong.first() else { return Ok(()) };
        let more = if wrong.len() > 1 { format!(" (and {} more)", wrong.len() - 1) } else { String::new() };
        let kind = if self.corrupt { Kind::Corrupt } else { Kind::Findings };
        Err(Error::new(kind, format!("the drill failed: {}: {}{more}", first.check, first.finding)))
    }
}

/// Something that the drill was there to find.
pub(crate) fn found(text: impl Into<String>) -> Error {
    Error::new(Kind::Findings, text)
}
