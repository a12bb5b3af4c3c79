//! Findings in numbers, and the most urgent of them: how a check ends, whatever form its answer has.

use super::finding::Finding;
use crate::error::{Error, Kind, Result};
use crate::out::{Out, Severity};
#[cfg(feature = "run")]
use crate::run::Report;
use std::collections::BTreeMap;

/// Sentences that a plugin's line or a notification holds: both have an end.
const SENTENCES: usize = 10;

/// Counts of all findings, and the first sentences of each severity; as large for a million findings as for ten.
#[derive(Debug, Default)]
pub struct Totals {
    counts: BTreeMap<(&'static str, Severity), u64>,
    accepted: u64,
    urgent: [Vec<String>; Severity::NEEDING_ATTENTION.len()],
    /// What to do first: the rank, and the advice with what it is about.
    first: Option<(usize, String)>,
    perf: Vec<String>,
}

impl Totals {
    /// Counts one finding.
    pub fn count(&mut self, finding: &Finding) {
        *self.counts.entry((finding.rule.id, finding.severity)).or_default() += 1;
        self.accepted += u64::from(finding.accepted.is_some());
        self.perf.extend(finding.perf.clone());
        let rank = finding.severity.rank();
        let Some(urgent) = self.urgent.get_mut(rank) else { return };
        // A plugin's line and a notification have room for some; the counts are of all.
        if urgent.len() < SENTENCES {
            urgent.push(finding.sentence());
        }
        let first = self.first.as_ref().is_none_or(|(known, _)| rank < *known);
        if first && !finding.advice.is_empty() {
            self.first =
                Some((rank, format!("{} ({}): {}", finding.rule.id, finding.object, finding.advice)));
        }
    }

    /// How many findings have this severity.
    pub fn number_of(&self, severity: Severity) -> u64 {
        self.counts.iter().filter(|((_, s), _)| *s == severity).map(|(_, n)| n).sum()
    }

    /// How many findings there are.
    pub fn all(&self) -> u64 {
        self.counts.values().sum()
    }

    /// How many of them somebody accepted.
    pub fn accepted(&self) -> u64 {
        self.accepted
    }

    /// How many need attention.
    pub fn needing_attention(&self) -> u64 {
        self.all() - self.number_of(Severity::Ok)
    }

    /// The most urgent severity that was found; nothing judged is Unknown.
    pub fn worst(&self) -> Severity {
        Severity::worst(self.counts.keys().map(|(_, severity)| *severity))
    }

    /// The most urgent findings, each in a sentence.
    pub fn urgent(&self) -> impl Iterator<Item = &str> {
        self.urgent.iter().flatten().take(SENTENCES).map(String::as_str)
    }

    /// Counts by id and severity.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, Severity, u64)> {
        self.counts.iter().map(|((id, severity), n)| (*id, *severity, *n))
    }

    /// The counts of what needs attention, the most urgent first: `1 critical, 2 warning`.
    pub fn by_severity(&self) -> String {
        let there =
            Severity::NEEDING_ATTENTION.into_iter().map(|s| (s, self.number_of(s))).filter(|(_, n)| *n > 0);
        let counts: Vec<String> = there.map(|(s, n)| format!("{n} {}", s.name())).collect();
        if counts.is_empty() { "none needs attention".into() } else { counts.join(", ") }
    }

    /// Ends a check under the monitoring-plugins contract.
    ///
    /// # Errors
    /// Those of [`Out`].
    pub fn write_plugin_line(&self, out: &mut Out<'_>) -> Result<()> {
        let accepted =
            if self.accepted > 0 { format!(", {} accepted", self.accepted) } else { String::new() };
        let text = match self.needing_attention() {
            0 => format!("{} checks passed{accepted}", self.all()),
            n => {
                let sentences: Vec<&str> = self.urgent().collect();
                let more = n - sentences.len() as u64;
                let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
                format!("{}{rest}{accepted}", sentences.join("; "))
            }
        };
        let counts =
            Severity::NEEDING_ATTENTION.iter().map(|s| format!("{}={}", s.name(), self.number_of(*s)));
        let perf: Vec<String> = self.perf.iter().cloned().chain(counts).collect();
        out.plugin(self.worst(), &text, &perf)
    }

    /// Notes and metrics for the run's record.
    #[cfg(feature = "run")]
    pub fn report_to(&self, tool: &str, report: &mut Report) {
        self.urgent().for_each(|sentence| report.note(sentence));
        self.add_metrics(tool, report);
    }

    /// The counts as metrics, `toban_<tool>_findings` and `toban_<tool>_accepted`.
    #[cfg(feature = "run")]
    pub fn add_metrics(&self, tool: &str, report: &mut Report) {
        let family = format!("{tool}_findings");
        for (id, severity, n) in self.counts() {
            let labels = [("id", id), ("severity", severity.name())];
            report.gauge(&family, "Findings of the last check.", &labels, n as f64);
        }
        report.gauge(
            &format!("{tool}_accepted"),
            "Findings of the last check that somebody accepted.",
            &[],
            self.accepted as f64,
        );
    }

    /// How a check ends that wrote records.
    ///
    /// # Errors
    /// Findings when one needs attention; the hint is what to do first.
    pub fn end(&self) -> Result<()> {
        let n = self.needing_attention();
        if n == 0 {
            return Ok(());
        }
        let e = Error::new(
            Kind::Findings,
            format!("{n} of {} findings need attention: {}", self.all(), self.by_severity()),
        );
        match &self.first {
            Some((_, advice)) => Err(e.hint(format!("first: {advice}"))),
            None => Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::out::Format;
    use crate::rules;

    rules! {
        AGE = "age" in "age": "too old", "take a new one";
        LAG = "lag" in "lag", never: "too far behind", "look at the network";
    }

    fn totals() -> Totals {
        let mut totals = Totals::default();
        for (rule, severity, object) in [
            (&AGE, Severity::Ok, "a"),
            (&LAG, Severity::Warning, "b"),
            (&AGE, Severity::Unknown, "c"),
            (&AGE, Severity::Critical, "d"),
        ] {
            let finding = Finding::new(rule, severity).in_source("local").about(object).says("3 days");
            totals.count(&finding.with_perf(format!("'{object}'=1s")));
        }
        totals
    }

    #[test]
    fn the_worst_comes_first_in_every_form() {
        let totals = totals();
        assert_eq!((totals.worst(), totals.all(), totals.needing_attention()), (Severity::Critical, 4, 3));
        let e = totals.end().expect_err("three findings");
        assert_eq!(e.kind(), Kind::Findings);
        assert!(e.chain().ends_with("3 of 4 findings need attention: 1 critical, 1 unknown, 1 warning"));
        assert_eq!(e.find_hint(), Some("first: age (d): take a new one"));
        let mut sink = Vec::new();
        let mut out = Out::new(Box::new(&mut sink), Format::Lines);
        totals.write_plugin_line(&mut out).expect("written");
        assert_eq!(out.severity(), Some(Severity::Critical));
        drop(out);
        let line = "CRITICAL: d in local: 3 days; c in local: 3 days; b in local: 3 days | \
                    'a'=1s 'b'=1s 'c'=1s 'd'=1s critical=1 unknown=1 warning=1\n";
        assert_eq!(String::from_utf8_lossy(&sink), line);
    }

    #[test]
    fn nothing_judged_is_unknown() {
        assert_eq!(Totals::default().worst(), Severity::Unknown);
        assert!(Totals::default().end().is_ok());
    }

    #[test]
    fn every_declared_rule_is_listed() {
        assert_eq!(RULES.iter().map(|r| r.id).collect::<Vec<_>>(), ["age", "lag"]);
        let table = super::super::markdown(RULES);
        assert!(table.contains("\n| `lag` | lag | too far behind | look at the network |\n"), "{table}");
        assert_eq!(LAG.acceptable, super::super::Acceptable::Never);
    }
}
