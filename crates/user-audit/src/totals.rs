//! What a person reads first: what happened, what is missing, what is to be done; and the counts over all databases.

use crate::finding::AuditFinding;
use crate::rulebook::{app, is_change, review};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use toban_core::Severity;
use toban_core::check::Totals;

/// Objects that a task names.
const NAMED: usize = 3;
/// Findings that are named as missing.
const MISSING: usize = 12;

/// Counts, and the first ones of each kind.
#[derive(Debug, Default)]
pub(crate) struct AuditTotals {
    pub(crate) findings: Totals,
    tasks: BTreeMap<TaskOrder, AuditTask>,
    missing: Vec<String>,
    reviews: BTreeSet<String>,
    accounts: Vec<String>,
}

/// Tasks in the order in which they are told: the most urgent first, of those what changed since the review.
type TaskOrder = (usize, bool, &'static str, String);

/// What a person must do, of one rule.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AuditTask {
    pub(crate) severity: Severity,
    pub(crate) id: &'static str,
    pub(crate) count: u64,
    pub(crate) objects: Vec<String>,
    pub(crate) advice: String,
}

impl AuditTotals {
    pub(crate) fn count_finding(&mut self, finding: &AuditFinding) {
        let base = &finding.base;
        self.findings.count(base);
        let is_review = base.rule == &review::LAST_REVIEW;
        if is_review && finding.since.is_some() {
            self.reviews.insert(format!("{}: {}", base.source, base.text));
        }
        if base.rule == &app::ACCOUNTS {
            self.accounts.push(format!("{}: {}", base.source, base.text));
        }
        let left_out = (is_review && finding.since.is_none()) || base.text.starts_with("not judged");
        if (base.severity == Severity::Unknown || left_out) && self.missing.len() < MISSING {
            self.missing.push(base.sentence());
        }
        if base.severity != Severity::Ok {
            self.add_task(finding);
        }
    }

    fn add_task(&mut self, finding: &AuditFinding) {
        let base = &finding.base;
        // The key is the order in which tasks are told; the advice is part of it, as one rule may advise several things.
        let order = (base.severity.rank(), !is_change(base.rule), finding.id(), base.advice.clone());
        let task = self.tasks.entry(order).or_insert_with(|| AuditTask {
            severity: base.severity,
            id: finding.id(),
            count: 0,
            objects: Vec::new(),
            advice: base.advice.clone(),
        });
        task.count += 1;
        if task.objects.len() < NAMED {
            task.objects.push(base.object.clone());
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
    pub(crate) fn tasks(&self) -> impl Iterator<Item = &AuditTask> {
        self.tasks.values()
    }

    /// Counts by id and severity, for machines.
    pub(crate) fn by_id(&self) -> BTreeMap<&'static str, BTreeMap<&'static str, u64>> {
        let mut all: BTreeMap<&'static str, BTreeMap<&'static str, u64>> = BTreeMap::new();
        for (id, severity, n) in self.findings.counts() {
            all.entry(id).or_default().insert(severity.name(), n);
        }
        all
    }
}
