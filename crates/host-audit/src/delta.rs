//! What is new, changed and gone since the accepted baseline. Pure.

use crate::baseline::{AcceptedFact, HostBaseline};
use crate::fact::{HostFact, SubjectReport};
use crate::finding::HostFinding;
use crate::memory::LastLook;
use crate::rules;
use crate::subject::HostSubject;
use std::collections::BTreeMap;
use toban_core::Severity;

/// Facts that a summary names.
const NAMED: usize = 3;
/// A thing that came this often is not new: it comes and goes.
const FLAPPING: u32 = 3;

/// Everything that one report says, compared with what was accepted.
pub(crate) fn compare_report(
    report: &SubjectReport,
    baseline: &HostBaseline,
    run: &LastLook,
) -> Vec<HostFinding> {
    let mut found: Vec<HostFinding> =
        report.gaps.iter().map(|gap| gap_finding(report.subject, gap)).collect();
    let reviewed = baseline.reviewed.get(&report.subject);
    let none = BTreeMap::new();
    let accepted = baseline.of(report.subject).unwrap_or(&none);
    let comparison = FactComparison { subject: report.subject, accepted, run };
    let mut as_accepted = 0;
    let mut unknown = Vec::new();
    for fact in &report.facts {
        match accepted.get(&fact.key) {
            Some(known) if (&known.fact.value, known.fact.rank) == (&fact.value, fact.rank) => {
                as_accepted += 1;
            }
            Some(known) => found.push(comparison.changed_finding(known, fact)),
            None if reviewed.is_some() => found.push(comparison.new_finding(fact)),
            None => unknown.push(fact),
        }
    }
    if report.gaps.is_empty() {
        found.extend(comparison.gone_findings(&report.facts));
    }
    found.extend((!unknown.is_empty()).then(|| unreviewed_finding(report.subject, &unknown)));
    found.extend(report.findings.iter().cloned());
    found.extend(checked_finding(report, as_accepted, baseline));
    found
}

fn gap_finding(subject: HostSubject, gap: &crate::host::Unseen) -> HostFinding {
    HostFinding::new(subject, &rules::NOT_SEEN, &gap.what, Severity::Unknown)
        .says(format!("not seen, because: {}", gap.why))
        .advise(&gap.cure)
}

/// First there is no baseline: one line, and not an alarm for each of four hundred facts.
fn unreviewed_finding(subject: HostSubject, facts: &[&HostFact]) -> HostFinding {
    let mut urgent: Vec<&&HostFact> = facts.iter().collect();
    urgent.sort_by_key(|f| f.weight.rank());
    let named: Vec<&str> = urgent.iter().take(NAMED).map(|f| f.text.as_str()).collect();
    let more = facts.len().saturating_sub(named.len());
    let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
    HostFinding::new(subject, &rules::NOT_REVIEWED, "", Severity::Warning)
        .says(format!("{} not yet reviewed: {}{rest}", facts.len(), named.join("; ")))
        .advise(format!(
            "look at it: host-audit list {0}; then: host-audit accept --only '{0}/*'",
            subject.name()
        ))
}

/// What was looked at and is well; nothing where something was not seen.
fn checked_finding(
    report: &SubjectReport,
    as_accepted: usize,
    baseline: &HostBaseline,
) -> Option<HostFinding> {
    let finding = HostFinding::new(report.subject, &rules::CHECKED, "", Severity::Ok);
    if let Some(why) = &report.not_applicable {
        return Some(finding.says(format!("not applicable: {why}")));
    }
    if !report.gaps.is_empty() {
        return None;
    }
    let by = baseline.reviewed.get(&report.subject).map(|by| format!(" in the review of {}", by.describe()));
    let accepted = match report.subject.has_facts() {
        true => format!("; {as_accepted} as accepted{}", by.unwrap_or_default()),
        false => String::new(),
    };
    let word =
        if report.findings.iter().all(|f| f.base.severity == Severity::Ok) { "passed" } else { "judged" };
    Some(finding.says(format!("{word}: {}{accepted}", report.looked_at)))
}

/// One subject's facts beside those that were accepted.
struct FactComparison<'a> {
    subject: HostSubject,
    accepted: &'a BTreeMap<String, AcceptedFact>,
    run: &'a LastLook,
}

impl FactComparison<'_> {
    fn new_finding(&self, fact: &HostFact) -> HostFinding {
        let sighting = self.run.sighting(self.subject, &fact.key);
        let times = sighting.map_or(1, |s| s.times);
        let finding = HostFinding::new(self.subject, &rules::NEW, &fact.key, fact.weight)
            .since(fact.since.or(sighting.map(|s| s.since)))
            .says(format!("new: {}", fact.text))
            .advise(self.subject.words().advice);
        match times >= FLAPPING {
            true => finding.advise(format!(
                "it came {times} times and went again: find what starts it, or accept it once and for all: \
                 host-audit accept --only '{}/{}'",
                self.subject.name(),
                fact.key
            )),
            false => finding,
        }
    }

    fn changed_finding(&self, known: &AcceptedFact, fact: &HostFact) -> HostFinding {
        let same = known.fact.value == fact.value;
        // Less than somebody answered for needs nobody; anything else is as urgent as if it were new.
        let (severity, how) = match (same, fact.rank > known.fact.rank) {
            (true, true) => (fact.weight, "more open than accepted"),
            (true, false) => (Severity::Ok, "less open than accepted"),
            (false, _) => (fact.weight, "changed"),
        };
        let since = self.run.sighting(self.subject, &fact.key).map(|s| s.since);
        HostFinding::new(self.subject, &rules::CHANGED, &fact.key, severity)
            .since(fact.since.or(since))
            .says(format!(
                "{how}: {}; accepted on {} was: {}",
                describe_now(known, fact),
                known.by.describe(),
                known.fact.text
            ))
            .advise(if severity == Severity::Ok { "" } else { self.subject.words().advice })
    }

    fn gone_findings(&self, facts: &[HostFact]) -> Vec<HostFinding> {
        let there: std::collections::BTreeSet<&str> = facts.iter().map(|f| f.key.as_str()).collect();
        let state = self.accepted.values().filter(|known| !known.fact.event);
        let gone = state.filter(|known| !there.contains(known.fact.key.as_str()));
        gone.map(|known| {
            let since = self.run.sighting(self.subject, &known.fact.key).and_then(|s| s.gone);
            HostFinding::new(self.subject, &rules::GONE, &known.fact.key, known.fact.gone)
                .since(since)
                .says(format!("gone: {}; accepted on {}", known.fact.text, known.by.describe()))
        })
        .collect()
    }
}

/// What a fact is now; of one with many lines, those that came and went.
fn describe_now(known: &AcceptedFact, fact: &HostFact) -> String {
    if !fact.value.contains('\n') {
        return fact.text.clone();
    }
    let (before, now): (Vec<&str>, Vec<&str>) =
        (known.fact.value.lines().collect(), fact.value.lines().collect());
    let only = |a: &[&str], b: &[&str], mark: &str| {
        a.iter().filter(|l| !b.contains(l)).map(|l| format!("{mark} {l}")).collect::<Vec<_>>()
    };
    let lines = [only(&now, &before, "+"), only(&before, &now, "-")].concat();
    match lines.is_empty() {
        true => format!("{}: the same rules in another order", fact.text),
        false => format!("{}: {}", fact.text, lines.join(" | ")),
    }
}
