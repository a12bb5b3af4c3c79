//! Where findings go: records, pack, counts; and the allow-list and the last review on their way.

use crate::allow::AllowList;
use crate::finding::{Access, Finding};
use crate::pack::Pack;
use crate::redact::Redactor;
use crate::review::{self, Review};
use crate::rulebook;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use toban_core::run::Report;
use toban_core::{Error, Kind, Out, Result, Severity};

/// Sentences that a plugin's line or a notification holds.
const SENTENCES: usize = 5;

/// What one database's audit writes into.
pub(crate) struct Ledger<'a, 'o> {
    source: String,
    out: Option<&'a mut Out<'o>>,
    redactor: &'a Redactor,
    allow: &'a mut AllowList,
    pack: Option<&'a mut Pack>,
    totals: &'a mut Totals,
    baseline: Baseline,
}

/// What this run is compared with, and how old that may be.
pub(crate) struct Baseline {
    pub(crate) review: Result<Option<Review>>,
    pub(crate) every: SignedDuration,
}

impl<'a, 'o> Ledger<'a, 'o> {
    #[expect(clippy::too_many_arguments, reason = "the one place where all of them meet")]
    pub(crate) fn new(
        source: String,
        out: Option<&'a mut Out<'o>>,
        redactor: &'a Redactor,
        allow: &'a mut AllowList,
        pack: Option<&'a mut Pack>,
        totals: &'a mut Totals,
        baseline: Baseline,
    ) -> Ledger<'a, 'o> {
        Ledger { source, out, redactor, allow, pack, totals, baseline }
    }

    /// Takes one finding: asks the allow-list, writes it, counts it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn add(&mut self, mut finding: Finding) -> Result<()> {
        debug_assert!(rulebook::knows(finding.rule), "{} is not in the rulebook", finding.rule);
        finding.source.clone_from(&self.source);
        self.allow.apply(&mut finding);
        let finding = self.redactor.finding(finding);
        self.totals.count(&finding);
        if let Some(pack) = &mut self.pack {
            pack.add(&finding)?;
        }
        match &mut self.out {
            Some(out) => out.emit(&finding),
            None => Ok(()),
        }
    }

    /// Compares who holds which right with the last accepted review; what changed is said first. Then every right
    /// is listed: at peace where the review accepted it, with its own weight where nobody has looked at it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn compare(&mut self, identity: &str, now: Timestamp, access: Vec<Access>) -> Result<()> {
        let (review, trouble) = match std::mem::replace(&mut self.baseline.review, Ok(None)) {
            Ok(Some(review)) if review.identity != identity => (None, Some(review.of_another())),
            Ok(review) => (review.map(|r| self.shown(r)), None),
            Err(e) => (None, Some(e.chain())),
        };
        let shown: Vec<Access> = access.iter().map(|a| self.redactor.access(a)).collect();
        let changes = review.as_ref().map(|r| review::changes(&r.access, &shown)).unwrap_or_default();
        changes.into_iter().try_for_each(|f| self.add(f))?;
        self.add(review::basis(review.as_ref(), trouble, (now, self.baseline.every)))?;
        for (held, shown) in access.iter().zip(&shown) {
            self.add(review::holding(held, shown, review.as_ref()))?;
        }
        if let Some(pack) = &mut self.pack {
            pack.access(&self.source, identity, shown, review.as_ref())?;
        }
        Ok(())
    }

    /// The review as this run may show it, and compare with what it shows.
    fn shown(&self, review: Review) -> Review {
        let access = review.access.iter().map(|a| self.redactor.access(a)).collect();
        Review { access, reviewer: self.redactor.text(&review.reviewer), ..review }
    }
}

/// Counts over all databases.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    counts: BTreeMap<(&'static str, u8), u64>,
    /// The first ones of each severity.
    sentences: BTreeMap<u8, Vec<String>>,
}

impl Totals {
    fn count(&mut self, finding: &Finding) {
        *self.counts.entry((finding.rule, finding.severity as u8)).or_default() += 1;
        let known = self.sentences.entry(finding.severity as u8).or_default();
        if finding.severity != Severity::Ok && known.len() < SENTENCES {
            known.push(format!("{} {}: {}", finding.source, finding.object, finding.finding));
        }
    }

    /// The gravest ones, in the order in which they were found.
    fn gravest(&self) -> Vec<&str> {
        let order = [Severity::Critical, Severity::Unknown, Severity::Warning];
        let found = order.iter().filter_map(|s| self.sentences.get(&(*s as u8))).flatten();
        found.map(String::as_str).take(SENTENCES).collect()
    }

    fn of(&self, severity: Severity) -> u64 {
        self.counts.iter().filter(|((_, s), _)| *s == severity as u8).map(|(_, n)| n).sum()
    }

    fn wrong(&self) -> u64 {
        [Severity::Warning, Severity::Critical, Severity::Unknown].iter().map(|s| self.of(*s)).sum()
    }

    /// The plugin contract's order: CRITICAL before UNKNOWN before WARNING.
    pub(crate) fn worst(&self) -> Severity {
        let there = Severity::TROUBLES.into_iter().find(|s| self.of(*s) > 0);
        let judged = if self.counts.is_empty() { Severity::Unknown } else { Severity::Ok };
        there.unwrap_or(judged)
    }

    /// One line for a plugin: what changed first, then how much there is.
    pub(crate) fn sentence(&self) -> String {
        match self.wrong() {
            0 => format!("{} findings, none needs attention", self.of(Severity::Ok)),
            n => format!("{n} findings need attention: {}", self.gravest().join("; ")),
        }
    }

    /// Counts for a plugin's graph.
    pub(crate) fn perfdata(&self) -> Vec<String> {
        [Severity::Critical, Severity::Warning, Severity::Unknown]
            .iter()
            .map(|s| format!("{}={}", s.to_string().to_lowercase(), self.of(*s)))
            .collect()
    }

    /// Notes and metrics for the run.
    pub(crate) fn tell(&self, report: &mut Report) {
        self.gravest().into_iter().for_each(|s| report.note(s));
        let names = ["ok", "warning", "critical", "unknown"];
        for ((rule, severity), n) in &self.counts {
            let labels = [("rule", *rule), ("severity", names[usize::from(*severity).min(3)])];
            report.gauge("user_audit_findings", "Findings of the last audit.", &labels, *n as f64);
        }
    }

    /// # Errors
    /// Findings, when there is anything but OK.
    pub(crate) fn verdict(&self) -> Result<()> {
        match self.wrong() {
            0 => Ok(()),
            n => {
                let all = n + self.of(Severity::Ok);
                Err(Error::new(Kind::Findings, format!("{n} of {all} findings need attention")))
            }
        }
    }
}
