//! One record for each thing that was checked, the same in every form of answer.

use super::state::Told;
use crate::reading::{Measure, Reading};
use jiff::Timestamp;
use serde::Serialize;
use toban_core::check::Finding;
use toban_core::stamp::iso_seconds;
use toban_core::{Record, Severity, run::Report};

/// What is told of one thing, and the number that it rests on.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct HealthRecord {
    #[serde(flatten)]
    pub(crate) finding: Finding,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) measure: Option<Measure>,
    /// Since when it is so bad.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<Timestamp>,
    /// Whether no earlier run was asked.
    pub(crate) raw: bool,
}

impl HealthRecord {
    /// The reading as it is told.
    pub(crate) fn new(reading: Reading, told: &Told, host: &str) -> HealthRecord {
        let rule = reading.rule;
        let label = match reading.object.is_empty() {
            true => rule.id.to_string(),
            false => format!("{} {}", rule.id, reading.object),
        };
        let object = if reading.object.is_empty() { rule.id.to_string() } else { reading.object };
        let since = told.since.map(|at| format!(", since {}", iso_seconds(at))).unwrap_or_default();
        let text = format!("{}{}{since}", reading.text, told.note);
        let mut finding = Finding::new(rule, told.severity).in_source(host).about(object).says(text);
        if let Some(advice) = reading.advice.filter(|_| told.severity != Severity::Ok) {
            finding = finding.advise(advice);
        }
        if let Some(measure) = &reading.measure {
            finding = finding.with_perf(measure.perfdata(&label));
        }
        HealthRecord { finding, measure: reading.measure, since: told.since, raw: told.raw }
    }

    /// One that no check measured.
    pub(crate) fn of_finding(finding: Finding) -> HealthRecord {
        HealthRecord { finding, measure: None, since: None, raw: false }
    }

    /// Its value, thresholds and severity for node_exporter.
    pub(crate) fn add_metrics(&self, report: &mut Report) {
        let labels = [("check", self.finding.rule.id), ("object", self.finding.object.as_str())];
        let severity = f64::from(self.finding.severity as u8);
        report.gauge("health_check_severity", "0 OK, 1 warning, 2 critical, 3 unknown.", &labels, severity);
        let Some(measure) = &self.measure else { return };
        report.gauge("health_check_value", "What a check measured, in base units.", &labels, measure.value);
        let help = "From where on a value is a warning, or critical.";
        for (level, limit) in [("warning", measure.warning), ("critical", measure.critical)] {
            let labels = [labels[0], labels[1], ("level", level)];
            limit.into_iter().for_each(|limit| report.gauge("health_check_threshold", help, &labels, limit));
        }
    }
}

impl Record for HealthRecord {
    const SCHEMA: &'static str = "health-check.finding/1";
    const HEAD: &'static [&'static str] = &["severity", "id", "object", "finding", "advice"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.finding.severity.to_string(),
            self.finding.rule.id.into(),
            self.finding.object.clone(),
            self.finding.full_text(),
            self.finding.advice.clone(),
        ]
    }
}
