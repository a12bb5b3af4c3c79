//! What an audit finds: with since when, and the items that auditors ask for by number.

use crate::subject::HostSubject;
use jiff::Timestamp;
use serde::Serialize;
use toban_core::check::{Finding, Rule};
use toban_core::{Record, Severity};

/// One judged thing of a host.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct HostFinding {
    /// Its key stays the same as long as the trouble is the same.
    #[serde(flatten)]
    pub(crate) base: Finding,
    /// The part of the host; none where it is about the whole.
    pub(crate) subject: Option<HostSubject>,
    /// Since when it is so, where that is known.
    pub(crate) since: Option<Timestamp>,
    /// Items of the CIS Debian benchmark and of ISO/IEC 27001.
    pub(crate) items: &'static [&'static str],
}

impl HostFinding {
    /// A finding of `rule` about what `key` names within `subject`.
    pub(crate) fn new(
        subject: HostSubject,
        rule: &'static Rule,
        key: &str,
        severity: Severity,
    ) -> HostFinding {
        let name = subject.name();
        let (key, object) = match key {
            "" => (name.to_string(), name.to_string()),
            key => (format!("{name}/{key}"), key.to_string()),
        };
        let base = Finding::new(rule, severity).with_key(key).about(object);
        HostFinding { base, subject: Some(subject), since: None, items: subject.words().items }
    }

    /// The same, saying what was found.
    pub(crate) fn says(self, text: impl Into<String>) -> HostFinding {
        HostFinding { base: self.base.says(text), ..self }
    }

    /// The same, with advice that fits better than the rule's.
    pub(crate) fn advise(self, advice: impl Into<String>) -> HostFinding {
        HostFinding { base: self.base.advise(advice), ..self }
    }

    /// The same, true since then.
    pub(crate) fn since(self, since: Option<Timestamp>) -> HostFinding {
        HostFinding { since, ..self }
    }

    /// A finding about the host as a whole and none of its parts.
    pub(crate) fn of_host(base: Finding) -> HostFinding {
        HostFinding { base, subject: None, since: None, items: &[] }
    }

    /// The part of the host, for people.
    pub(crate) fn subject_name(&self) -> &'static str {
        self.subject.map_or("host", HostSubject::name)
    }

    /// Since when, to the second; a dash where it is not known.
    pub(crate) fn since_text(&self) -> String {
        self.since.map_or_else(|| "-".into(), toban_core::stamp::iso_seconds)
    }
}

impl Record for HostFinding {
    const SCHEMA: &'static str = "host-audit.finding/1";
    const HEAD: &'static [&'static str] =
        &["subject", "severity", "id", "object", "since", "finding", "advice"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.subject_name().into(),
            self.base.severity.to_string(),
            self.base.rule.id.into(),
            self.base.object.clone(),
            self.since_text(),
            self.base.full_text(),
            self.base.advice.clone(),
        ]
    }
}
