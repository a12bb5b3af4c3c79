//! What a check saw of one thing, before earlier runs are asked.

use crate::damping::{AT_ONCE, Level, Policy, Seen};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use toban_core::Severity;
use toban_core::check::{Rule, perf_label};

/// A number with its limits, its window and where it is from: a verdict without them cannot be argued with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Measure {
    pub(crate) value: f64,
    /// `ratio` (1 is all of it), `s`, `B`, `B/s` or nothing for a count.
    pub(crate) unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) warning: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) critical: Option<f64>,
    /// Seconds that it is the average of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) window: Option<f64>,
    /// Whose number it is: `host`, `cgroup`, `lxcfs`, `server`.
    pub(crate) from: &'static str,
}

impl Measure {
    /// A number of the host's without limits.
    pub(crate) fn new(value: f64, unit: &'static str) -> Measure {
        Measure { value, unit, warning: None, critical: None, window: None, from: "host" }
    }

    /// The same, judged by these limits.
    pub(crate) fn judged_by(self, limits: Limits) -> Measure {
        Measure { warning: Some(limits.warning), critical: Some(limits.critical), ..self }
    }

    /// The same as the average of so many seconds.
    pub(crate) fn over(self, seconds: f64) -> Measure {
        Measure { window: Some(seconds), ..self }
    }

    /// The same, of another than the host.
    pub(crate) fn seen_by(self, from: &'static str) -> Measure {
        Measure { from, ..self }
    }

    fn level_below(&self, margin: f64) -> Level {
        let lower = |limit: Option<f64>| limit.map(|limit| limit - margin);
        Level::of_value(self.value, lower(self.warning), lower(self.critical))
    }

    /// `'disk /'=0.25;0.7;0.85;0;1`, in base units; a value that is no number is `U`.
    pub(crate) fn perfdata(&self, label: &str) -> String {
        let number = |value: f64| {
            let text = format!("{value:.4}");
            text.trim_end_matches('0').trim_end_matches('.').to_string()
        };
        let limit = |limit: Option<f64>| limit.map(number).unwrap_or_default();
        let value = if self.value.is_finite() { number(self.value) } else { "U".into() };
        let unit = if matches!(self.unit, "s" | "B") && self.value.is_finite() { self.unit } else { "" };
        let end = if self.unit == "ratio" { ";0;1" } else { ";0;" };
        let (warning, critical) = (limit(self.warning), limit(self.critical));
        format!("'{}'={value}{unit};{warning};{critical}{end}", perf_label(label))
    }
}

/// From where on a value is a warning, and from where on critical.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Limits {
    pub(crate) warning: f64,
    pub(crate) critical: f64,
}

impl Limits {
    /// Limits given in per cent, as parts of one.
    pub(crate) fn of_percent(warning: f64, critical: f64) -> Limits {
        Limits { warning: warning / 100.0, critical: critical / 100.0 }
    }
}

/// What a check saw of one thing.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) rule: &'static Rule,
    pub(crate) object: String,
    pub(crate) severity: Severity,
    pub(crate) text: String,
    /// What to do, where it fits better than the rule's own words.
    pub(crate) advice: Option<String>,
    pub(crate) measure: Option<Measure>,
    pub(crate) policy: &'static Policy,
}

impl Reading {
    /// A state, told at once.
    pub(crate) fn of_state(rule: &'static Rule, severity: Severity, text: impl Into<String>) -> Reading {
        let (object, text) = (String::new(), text.into());
        Reading { rule, object, severity, text, advice: None, measure: None, policy: &AT_ONCE }
    }

    /// What could not be judged, and why.
    pub(crate) fn unknown(rule: &'static Rule, why: impl Into<String>) -> Reading {
        Reading::of_state(rule, Severity::Unknown, why)
    }

    /// A number, as bad as its limits say.
    pub(crate) fn of_measure(rule: &'static Rule, measure: Measure, text: impl Into<String>) -> Reading {
        let severity = measure.level_below(0.0).into();
        Reading { measure: Some(measure), ..Reading::of_state(rule, severity, text) }
    }

    /// The same, about this.
    pub(crate) fn about(self, object: impl Into<String>) -> Reading {
        Reading { object: object.into(), ..self }
    }

    /// The same, raised and cleared by this policy.
    pub(crate) fn damped_by(self, policy: &'static Policy) -> Reading {
        Reading { policy, ..self }
    }

    /// The same, with advice of its own.
    pub(crate) fn advise(self, advice: impl Into<String>) -> Reading {
        Reading { advice: Some(advice.into()), ..self }
    }

    /// The same, with a number for graphs that decides nothing.
    pub(crate) fn with_measure(self, measure: Measure) -> Reading {
        Reading { measure: Some(measure), ..self }
    }

    /// By what earlier runs know it.
    pub(crate) fn key(&self) -> String {
        format!("{} {}", self.rule.id, self.object)
    }

    /// What damping asks of it; none where nothing was judged.
    pub(crate) fn seen(&self) -> Option<Seen> {
        let level = Level::of_severity(self.severity)?;
        // A state has no lower limit, and a measure may be worse than its number says.
        let low = self.measure.as_ref().map(|m| m.level_below(self.policy.margin));
        let numeric =
            self.measure.as_ref().is_some_and(|m| Severity::from(m.level_below(0.0)) == self.severity);
        Some(Seen { level, low: if numeric { low.unwrap_or(level).max(level) } else { level } })
    }
}

/// What checks remember from run to run beside levels: counters, positions, marks.
pub(crate) type Facts = BTreeMap<String, Value>;

/// What one task of a run gives.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checked {
    pub(crate) readings: Vec<Reading>,
    pub(crate) facts: Facts,
}

impl From<Vec<Reading>> for Checked {
    fn from(readings: Vec<Reading>) -> Checked {
        Checked { readings, facts: Facts::new() }
    }
}

impl From<Reading> for Checked {
    fn from(reading: Reading) -> Checked {
        vec![reading].into()
    }
}

/// `86 %`, with a decimal where a whole number would hide the difference to a limit.
pub(crate) fn percent(part: f64) -> String {
    let value = part * 100.0;
    let whole = value.fract().abs() < 0.05 || (value.fract() - 1.0).abs() < 0.05;
    if whole { format!("{value:.0} %") } else { format!("{value:.1} %") }
}

/// Seconds as people read them: `350 ms`, `4.2 s`, `12min`, `3h 20min`, `2d 4h`.
pub(crate) fn seconds(value: f64) -> String {
    let minutes = (value / 60.0) as u64;
    match value {
        v if v < 1.0 => format!("{:.0} ms", v * 1000.0),
        v if v < 60.0 => format!("{v:.1} s"),
        v if v < 3600.0 => format!("{minutes}min"),
        v if v < 86_400.0 => format!("{}h {}min", minutes / 60, minutes % 60),
        _ => format!("{}d {}h", minutes / 1440, minutes / 60 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perfdata_is_what_the_contract_takes() {
        let limits = Limits::of_percent(70.0, 85.0);
        let disk = Measure::new(0.25, "ratio").judged_by(limits);
        assert_eq!(disk.perfdata("disk /"), "'disk /'=0.25;0.7;0.85;0;1");
        assert_eq!(disk.perfdata("disk /a'b=c|d e"), "'disk /a_b_c_d e'=0.25;0.7;0.85;0;1");
        assert_eq!(Measure::new(f64::NAN, "ratio").perfdata("x"), "'x'=U;;;0;1");
        assert_eq!(Measure::new(f64::INFINITY, "s").perfdata("x"), "'x'=U;;;0;");
        assert_eq!(Measure::new(1.5, "B/s").perfdata("x"), "'x'=1.5;;;0;");
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!([0.85, 0.8549, 1.0].map(percent), ["85 %", "85.5 %", "100 %"]);
        assert_eq!(
            [0.35, 4.2, 720.0, 12_000.0, 187_200.0].map(seconds),
            ["350 ms", "4.2 s", "12min", "3h 20min", "2d 4h"]
        );
    }
}
