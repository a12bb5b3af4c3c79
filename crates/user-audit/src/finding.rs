//! What an audit says: one finding per thing, with an id that stays the same from run to run.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use toban_core::{Record, Severity};

/// One thing that was judged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Finding {
    /// The audited database, as `main/app`.
    pub(crate) source: String,
    /// `rule:key`; the same as long as the trouble is the same.
    pub(crate) id: String,
    pub(crate) rule: &'static str,
    pub(crate) severity: Severity,
    /// What it is about, for people: an e-mail address, a role, a line of pg_hba.conf.
    pub(crate) object: String,
    /// Since when it is so, where that is known.
    pub(crate) since: Option<Timestamp>,
    pub(crate) finding: String,
    /// What to do; empty where nothing is to be done.
    pub(crate) advice: String,
    /// Items of the CIS PostgreSQL benchmark.
    pub(crate) cis: Vec<String>,
    /// Why it is allowed: reason, owner and end of the entry in the allow-list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) allowed: Option<String>,
    /// The object is an address (or `user 7`): `--redact` hides the whole of it.
    #[serde(skip)]
    pub(crate) personal: bool,
}

impl Finding {
    /// A finding of `rule` about the thing that `key` names for machines and `object` for people.
    pub(crate) fn new(rule: &'static str, key: &str, object: &str, severity: Severity) -> Finding {
        Finding {
            source: String::new(),
            id: format!("{rule}:{key}"),
            rule,
            severity,
            object: object.to_string(),
            since: None,
            finding: String::new(),
            advice: String::new(),
            cis: Vec::new(),
            allowed: None,
            personal: false,
        }
    }

    /// The same, about a person's account.
    pub(crate) fn of_person(mut self) -> Finding {
        self.personal = true;
        self
    }

    /// The same, saying what was found.
    pub(crate) fn says(mut self, finding: impl Into<String>) -> Finding {
        self.finding = finding.into();
        self
    }

    /// The same with its cure.
    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Finding {
        self.advice = advice.into();
        self
    }

    /// The same, true since then.
    pub(crate) fn since(mut self, since: Option<Timestamp>) -> Finding {
        self.since = since;
        self
    }

    /// The same with its items of the CIS benchmark.
    pub(crate) fn cis(mut self, cis: &'static [&'static str]) -> Finding {
        self.cis = cis.iter().map(ToString::to_string).collect();
        self
    }

    /// What follows the rule in the id.
    pub(crate) fn key(&self) -> &str {
        &self.id[self.rule.len() + 1..]
    }

    /// Since when, to the second; empty where it is not known.
    pub(crate) fn since_text(&self) -> String {
        self.since.map(toban_core::stamp::iso_seconds).unwrap_or_default()
    }
}

impl Record for Finding {
    const SCHEMA: &'static str = "user-audit.finding/1";
    const HEAD: &'static [&'static str] =
        &["source", "severity", "rule", "object", "since", "finding", "advice"];
    fn cells(&self) -> Vec<String> {
        let since = if self.since.is_some() { self.since_text() } else { "-".into() };
        let finding = match &self.allowed {
            Some(why) => format!("{} (allowed: {why})", self.finding),
            None => self.finding.clone(),
        };
        vec![
            self.source.clone(),
            self.severity.to_string(),
            self.rule.into(),
            self.object.clone(),
            since,
            finding,
            self.advice.clone(),
        ]
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
