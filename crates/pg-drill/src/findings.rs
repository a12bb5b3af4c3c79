//! What a drill found, and how it ends.

use crate::rulebook::QUERY;
use toban_core::check::{AcceptList, Finding, Rule};
use toban_core::{Error, Kind, Result, Severity};

/// What was found so far, and what was compared.
#[derive(Debug, Default)]
pub(crate) struct DrillFindings {
    pub(crate) all: Vec<Finding>,
    /// How many comparisons were made with something known from elsewhere.
    pub(crate) compared: usize,
    corrupt: bool,
}

impl DrillFindings {
    /// Takes one finding.
    pub(crate) fn add(&mut self, finding: Finding) {
        self.all.push(finding);
    }

    pub(crate) fn passed(&mut self, rule: &'static Rule, text: impl Into<String>) {
        self.add(Finding::new(rule, Severity::Ok).says(text));
    }

    pub(crate) fn failed(&mut self, rule: &'static Rule, text: impl Into<String>) {
        self.add(Finding::new(rule, Severity::Critical).says(text));
    }

    /// It could not be judged, and so proves nothing: never taken for passed.
    pub(crate) fn unknown(&mut self, rule: &'static Rule, text: impl Into<String>) {
        self.add(Finding::new(rule, Severity::Unknown).says(text));
    }

    /// Passed or failed, as `fine` says.
    pub(crate) fn judge(&mut self, rule: &'static Rule, fine: bool, text: impl Into<String>) {
        self.add(Finding::new(rule, severity(fine)).says(text));
    }

    /// Takes what a step found as the finding of `rule`; gives nothing then.
    ///
    /// # Errors
    /// Any other than a finding or corruption: they prove nothing against the backup.
    pub(crate) fn step<T>(&mut self, rule: &'static Rule, done: Result<T>) -> Result<Option<T>> {
        match done {
            Ok(value) => Ok(Some(value)),
            Err(e) if matches!(e.kind(), Kind::Findings | Kind::Corrupt) => {
                self.corrupt |= e.kind() == Kind::Corrupt;
                self.failed(rule, e.chain());
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    /// Whether everything is well, or accepted by somebody.
    pub(crate) fn all_passed(&self) -> bool {
        self.all.iter().all(|f| f.severity == Severity::Ok)
    }

    /// Accepts what the configuration says, tells of entries that are over, and puts the worst first.
    pub(crate) fn accept(&mut self, cluster: &str, mut accepted: AcceptList) {
        for finding in &mut self.all {
            finding.source = cluster.into();
            accepted.apply(finding);
        }
        // One backup of one day: what an entry is about may lie in another, and its want must not fail this drill.
        let leftovers = accepted.of_part(true).leftovers().into_iter().map(|f| f.in_source(cluster));
        self.all.extend(leftovers);
        self.all.sort_by_key(|f| f.severity.rank());
    }

    /// How the drill ends.
    ///
    /// # Errors
    /// Findings with the worst one; Corrupt where the restore said that stored data is damaged.
    pub(crate) fn end(&self) -> Result<()> {
        let mut wrong = self.all.iter().filter(|f| f.severity != Severity::Ok);
        let Some(first) = wrong.next() else { return Ok(()) };
        let more = wrong.count();
        let rest = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        let kind = if self.corrupt { Kind::Corrupt } else { Kind::Findings };
        Err(Error::new(kind, format!("the drill failed: {}: {}{rest}", name(first), first.text)))
    }
}

/// Passed is OK, failed is critical: there is no backup that restores half.
pub(crate) fn severity(fine: bool) -> Severity {
    if fine { Severity::Ok } else { Severity::Critical }
}

/// What a finding is called in the proof and in messages.
pub(crate) fn name(finding: &Finding) -> String {
    match (finding.object.as_str(), finding.rule == &QUERY) {
        ("", _) => finding.rule.id.into(),
        (query, true) => format!("query: {query}"),
        (object, false) => format!("{} {object}", finding.rule.id),
    }
}

/// Something that the drill was there to find.
pub(crate) fn found(text: impl Into<String>) -> Error {
    Error::new(Kind::Findings, text)
}
