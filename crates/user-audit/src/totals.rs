//! Counts over all databases, and what a person reads first: what happened, what is missing, what is to be done.

use crate::finding::Finding;
use crate::rulebook;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use toban_core::run::Report;
use toban_core::{Error, Kind, Result, Severity};

/// Sentences that a plugin's line or a notification holds.
const SENTENCES: usize = 5;
/// Objects that a task names.
const NAMED: usize = 3;

/// Counts, and the first ones of each kind.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    counts: BTreeMap<(&'static str, u8), u64>,
    sentences: BTreeMap<u8, Vec<String>>,
    tasks: BTreeMap<(usize, bool, &'static str, String), Task>,
    missing: Vec<String>,
    reviews: BTreeSet<String>,
    accounts: Vec<String>,
}

/// What a person must do, of one rule.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Task {
    pub(crate) severity: Severity,
    pub(crate) rule: &'static str,
    pub(crate) count: u64,
    pub(crate) objects: Vec<String>,
    pub(crate) advice: String,
}

impl Totals {
    pub(crate) fn count(&mut self, finding: &Finding) {
        *self.counts.entry((finding.rule, finding.severity as u8)).or_default() += 1;
        let said = format!("{} {}: {}", finding.source, finding.object, finding.finding);
        match finding.rule {
            "review" if finding.since.is_some() => {
                self.reviews.insert(format!("{}: {}", finding.source, finding.finding));
            }
            "accounts" => self.accounts.push(format!("{}: {}", finding.source, finding.finding)),
            _ => {}
        }
        let unseen = finding.rule == "review" && finding.since.is_none();
        let left_out = unseen || finding.finding.starts_with("not judged");
        if finding.severity == Severity::Unknown || left_out {
            self.miss(&said);
        }
        let Some(urgency) = Severity::TROUBLES.iter().position(|s| *s == finding.severity) else { return };
        let known = self.sentences.entry(finding.severity as u8).or_default();
        if known.len() < SENTENCES {
            known.push(said);
        }
        let fresh = || Task {
            severity: finding.severity,
            rule: finding.rule,
            count: 0,
            objects: Vec::new(),
            advice: finding.advice.clone(),
        };
        let task = self
            .tasks
            .entry((urgency, !rulebook::is_change(finding.rule), finding.rule, finding.advice.clone()))
            .or_insert_with(fresh);
        task.count += 1;
        if task.objects.len() < NAMED {
            task.objects.push(finding.object.clone());
        }
    }

    fn miss(&mut self, said: &str) {
        const MOST: usize = 12;
        if self.missing.len() < MOST {
            self.missing.push(said.to_string());
        }
    }

    /// What was done: databases, accounts, the reviews it was compared with.
    pub(crate) fn happened(&self) -> Vec<String> {
        self.accounts.iter().chain(&self.reviews).cloned().collect()
    }

    /// What could not be judged, or was not.
    pub(crate) fn missing(&self) -> &[String] {
        &self.missing
    }

    /// What is to be done, the most urgent first.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values()
    }

    /// The gravest ones, in the order in which they were found.
    fn gravest(&self) -> Vec<&str> {
        let found = Severity::TROUBLES.iter().filter_map(|s| self.sentences.get(&(*s as u8))).flatten();
        found.map(String::as_str).take(SENTENCES).collect()
    }

    /// How many of this severity.
    pub(crate) fn of(&self, severity: Severity) -> u64 {
        self.counts.iter().filter(|((_, s), _)| *s == severity as u8).map(|(_, n)| n).sum()
    }

    fn wrong(&self) -> u64 {
        Severity::TROUBLES.iter().map(|s| self.of(*s)).sum()
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

    /// Counts by severity, the most urgent first.
    pub(crate) fn by_severity(&self) -> String {
        let there = Severity::TROUBLES.iter().filter(|s| self.of(**s) > 0);
        let said: Vec<String> =
            there.map(|s| format!("{} {}", self.of(*s), s.to_string().to_lowercase())).collect();
        if said.is_empty() { "none needs attention".into() } else { said.join(", ") }
    }

    /// Counts for a plugin's graph.
    pub(crate) fn perfdata(&self) -> Vec<String> {
        [Severity::Critical, Severity::Warning, Severity::Unknown]
            .iter()
            .map(|s| format!("{}={}", s.to_string().to_lowercase(), self.of(*s)))
            .collect()
    }

    /// Counts by rule and severity, for machines.
    pub(crate) fn by_rule(&self) -> BTreeMap<&'static str, BTreeMap<&'static str, u64>> {
        let mut all: BTreeMap<&'static str, BTreeMap<&'static str, u64>> = BTreeMap::new();
        for ((rule, severity), n) in &self.counts {
            all.entry(rule).or_default().insert(severity_name(*severity), *n);
        }
        all
    }

    /// Notes and metrics for the run.
    pub(crate) fn tell(&self, report: &mut Report) {
        self.gravest().into_iter().for_each(|s| report.note(s));
        for ((rule, severity), n) in &self.counts {
            let labels = [("rule", *rule), ("severity", severity_name(*severity))];
            report.gauge("user_audit_findings", "Findings of the last audit.", &labels, *n as f64);
        }
    }

    /// # Errors
    /// Findings, when there is anything but OK; the hint is the most urgent thing to do.
    pub(crate) fn verdict(&self) -> Result<()> {
        let n = self.wrong();
        if n == 0 {
            return Ok(());
        }
        let all = n + self.of(Severity::Ok);
        let said = format!("{n} of {all} findings need attention: {}", self.by_severity());
        let e = Error::new(Kind::Findings, said);
        match self.tasks().find(|t| !t.advice.is_empty()) {
            Some(task) => {
                let hint = format!("first: {} ({}): {}", task.rule, task.objects.join(", "), task.advice);
                Err(e.hint(hint))
            }
            None => Err(e),
        }
    }
}

fn severity_name(severity: u8) -> &'static str {
    ["ok", "warning", "critical", "unknown"][usize::from(severity).min(3)]
}
