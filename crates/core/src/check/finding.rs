//! One thing that a check judged.

use super::accept::Acceptance;
use super::rule::Rule;
use crate::out::{Record, Severity};
use serde::Serialize;

/// One judged thing, bad or well.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What kind of finding it is: its id and its check.
    #[serde(flatten)]
    pub rule: &'static Rule,
    /// How bad it is.
    pub severity: Severity,
    /// Where: a repository, an audited database, a target.
    pub source: String,
    /// What it is about, for people: a database, a slot, a role.
    pub object: String,
    /// What it is about, for machines, where the object may change its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// What was found.
    pub text: String,
    /// What to do; empty where nothing is to be done.
    pub advice: String,
    /// Who answers for it, where the configuration accepts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Acceptance>,
    /// Its perfdata, where it has a number.
    #[serde(skip)]
    pub perf: Option<String>,
}

impl Finding {
    /// A finding of `rule`; where it is not well, with the rule's own advice.
    pub fn new(rule: &'static Rule, severity: Severity) -> Finding {
        let advice = if severity == Severity::Ok { "" } else { rule.action };
        Finding {
            rule,
            severity,
            source: String::new(),
            object: String::new(),
            key: String::new(),
            text: String::new(),
            advice: advice.into(),
            accepted: None,
            perf: None,
        }
    }

    /// The same, found there.
    #[must_use]
    pub fn in_source(self, source: impl Into<String>) -> Finding {
        Finding { source: source.into(), ..self }
    }

    /// The same, about this.
    #[must_use]
    pub fn about(self, object: impl Into<String>) -> Finding {
        Finding { object: object.into(), ..self }
    }

    /// The same, about what machines know by `key`.
    #[must_use]
    pub fn with_key(self, key: impl Into<String>) -> Finding {
        Finding { key: key.into(), ..self }
    }

    /// The same, saying what was found.
    #[must_use]
    pub fn says(self, text: impl Into<String>) -> Finding {
        Finding { text: text.into(), ..self }
    }

    /// The same, with advice that fits better than the rule's.
    #[must_use]
    pub fn advise(self, advice: impl Into<String>) -> Finding {
        Finding { advice: advice.into(), ..self }
    }

    /// The same, with a number for a monitoring system's graph.
    #[must_use]
    pub fn with_perf(self, perf: impl Into<String>) -> Finding {
        Finding { perf: Some(perf.into()), ..self }
    }

    /// The finding in one sentence, as a plugin's line and a notification have it.
    pub fn sentence(&self) -> String {
        match (self.object.as_str(), self.source.as_str()) {
            ("", "") => self.text.clone(),
            (object, "") => format!("{object}: {}", self.text),
            ("", source) => format!("{source}: {}", self.text),
            (object, source) => format!("{object} in {source}: {}", self.text),
        }
    }

    /// What was found, and who accepted it.
    pub fn full_text(&self) -> String {
        match &self.accepted {
            Some(acceptance) => format!("{} (accepted: {acceptance})", self.text),
            None => self.text.clone(),
        }
    }
}

impl Record for Finding {
    const SCHEMA: &'static str = "toban.finding/1";
    const HEAD: &'static [&'static str] = &["source", "severity", "id", "object", "finding", "advice"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.source.clone(),
            self.severity.to_string(),
            self.rule.id.into(),
            self.object.clone(),
            self.full_text(),
            self.advice.clone(),
        ]
    }
}
