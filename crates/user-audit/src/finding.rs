//! What an audit finds, and the rights that it lists.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use toban_core::check::{Finding, Rule};
use toban_core::{Record, Severity};

/// A finding of an audit: with what an auditor asks for beside it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct AuditFinding {
    /// Its key stays the same as long as the trouble is the same.
    #[serde(flatten)]
    pub(crate) base: Finding,
    /// Since when it is so, where that is known.
    pub(crate) since: Option<Timestamp>,
    /// Items of the CIS PostgreSQL benchmark.
    pub(crate) cis: Vec<String>,
    /// The object is an address (or `user 7`): `--redact` hides the whole of it.
    #[serde(skip)]
    pub(crate) personal: bool,
}

impl AuditFinding {
    /// A finding of `rule` about the thing that `key` names for machines and `object` for people.
    pub(crate) fn new(rule: &'static Rule, key: &str, object: &str, severity: Severity) -> AuditFinding {
        AuditFinding::from(Finding::new(rule, severity).about(object).with_key(key))
    }

    /// The same, about a person's account.
    pub(crate) fn of_person(self) -> AuditFinding {
        AuditFinding { personal: true, ..self }
    }

    /// The same, saying what was found.
    pub(crate) fn says(self, text: impl Into<String>) -> AuditFinding {
        AuditFinding { base: self.base.says(text), ..self }
    }

    /// The same, with advice that fits better than the rule's.
    pub(crate) fn advise(self, advice: impl Into<String>) -> AuditFinding {
        AuditFinding { base: self.base.advise(advice), ..self }
    }

    /// The same, true since then.
    pub(crate) fn since(self, since: Option<Timestamp>) -> AuditFinding {
        AuditFinding { since, ..self }
    }

    /// The same with its items of the CIS benchmark.
    pub(crate) fn cis(self, cis: &'static [&'static str]) -> AuditFinding {
        AuditFinding { cis: cis.iter().map(ToString::to_string).collect(), ..self }
    }

    /// The rule's id.
    pub(crate) fn id(&self) -> &'static str {
        self.base.rule.id
    }

    /// Since when, to the second; empty where it is not known.
    pub(crate) fn since_text(&self) -> String {
        self.since.map(toban_core::stamp::iso_seconds).unwrap_or_default()
    }
}

impl From<Finding> for AuditFinding {
    fn from(base: Finding) -> AuditFinding {
        AuditFinding { base, since: None, cis: Vec::new(), personal: false }
    }
}

impl Record for AuditFinding {
    const SCHEMA: &'static str = "user-audit.finding/1";
    const HEAD: &'static [&'static str] =
        &["source", "severity", "id", "object", "since", "finding", "advice"];

    fn cells(&self) -> Vec<String> {
        let mut cells = self.base.cells();
        cells.insert(4, if self.since.is_some() { self.since_text() } else { "-".into() });
        cells
    }
}

/// A right that somebody holds: what a review looks at, and the next run compares with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Access {
    /// Who, for machines: it stays when the name changes (`user:42`, `role:16384`).
    pub(crate) subject: String,
    /// Who, for people.
    pub(crate) name: String,
    /// What, as `admin`, `superuser`.
    pub(crate) right: String,
    /// How it is held: the application's roles, or `alice → ops → postgres`.
    pub(crate) path: String,
    /// What takes it away, where that locks nobody out; no part of what is compared.
    #[serde(skip)]
    pub(crate) advice: String,
}

impl Access {
    fn compared(&self) -> [&str; 4] {
        [&self.subject, &self.name, &self.right, &self.path]
    }
}

impl PartialEq for Access {
    fn eq(&self, other: &Access) -> bool {
        self.compared() == other.compared()
    }
}

impl Eq for Access {}

impl PartialOrd for Access {
    fn partial_cmp(&self, other: &Access) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Access {
    fn cmp(&self, other: &Access) -> std::cmp::Ordering {
        self.compared().cmp(&other.compared())
    }
}
