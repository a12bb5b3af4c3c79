//! Facts: what is true of a host now, each under a key that stays the same as long as the thing is the same.

use crate::finding::HostFinding;
use crate::host::{Sight, Unseen};
use crate::subject::HostSubject;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use toban_core::Severity;

/// One thing that somebody can accept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct HostFact {
    /// What it is, for machines: never a pid, an inode or a time that changes by itself.
    pub(crate) key: String,
    /// What is compared.
    pub(crate) value: String,
    /// How much it opens; less than was accepted needs nobody.
    #[serde(default)]
    pub(crate) rank: u8,
    /// The same for people.
    pub(crate) text: String,
    /// How urgent it is when nobody knows it.
    #[serde(with = "severity_name")]
    pub(crate) weight: Severity,
    /// How urgent it is when it is gone.
    #[serde(with = "severity_name")]
    pub(crate) gone: Severity,
    /// It happened, and is not so all the time: what is missing did not happen again, and is not gone.
    #[serde(default)]
    pub(crate) event: bool,
    /// When it happened last, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<Timestamp>,
}

impl HostFact {
    /// A fact that is a warning when it is new or gone.
    pub(crate) fn new(key: impl Into<String>, value: impl Into<String>) -> HostFact {
        HostFact {
            key: key.into(),
            value: value.into(),
            rank: 0,
            text: String::new(),
            weight: Severity::Warning,
            gone: Severity::Warning,
            event: false,
            since: None,
        }
    }

    /// The same, told so.
    pub(crate) fn says(self, text: impl Into<String>) -> HostFact {
        HostFact { text: text.into(), ..self }
    }

    /// The same, as urgent as this when it is new.
    pub(crate) fn weighs(self, weight: Severity) -> HostFact {
        HostFact { weight, ..self }
    }

    /// The same, as urgent as this when it is gone.
    pub(crate) fn when_gone(self, gone: Severity) -> HostFact {
        HostFact { gone, ..self }
    }

    /// The same, that opens this much.
    pub(crate) fn ranks(self, rank: u8) -> HostFact {
        HostFact { rank, ..self }
    }

    /// The same, that happened then.
    pub(crate) fn happened(self, since: Option<Timestamp>) -> HostFact {
        HostFact { event: true, since, ..self }
    }
}

/// What was seen of one subject, and what not.
#[derive(Clone, Debug)]
pub(crate) struct SubjectReport {
    pub(crate) subject: HostSubject,
    pub(crate) facts: Vec<HostFact>,
    /// What is wrong whatever was accepted.
    pub(crate) findings: Vec<HostFinding>,
    pub(crate) gaps: Vec<Unseen>,
    /// Why there is nothing to look at here.
    pub(crate) not_applicable: Option<String>,
    /// What was looked at, in numbers.
    pub(crate) looked_at: String,
}

impl SubjectReport {
    /// A report that says nothing yet.
    pub(crate) fn new(subject: HostSubject) -> SubjectReport {
        SubjectReport {
            subject,
            facts: Vec::new(),
            findings: Vec::new(),
            gaps: Vec::new(),
            not_applicable: None,
            looked_at: String::new(),
        }
    }

    /// The report of what was read, by `judge`; or only that it was not.
    pub(crate) fn judge_sight<T>(
        subject: HostSubject,
        sight: &Sight<T>,
        judge: impl FnOnce(&T, &mut SubjectReport),
    ) -> SubjectReport {
        let mut report = SubjectReport::new(subject);
        match sight {
            Ok(seen) => judge(seen, &mut report),
            Err(unseen) => report.gaps.push(unseen.clone()),
        }
        // Two facts of one key would hide each other: the first stays, and what the second says is part of it.
        report.facts.sort_by(|a, b| (&a.key, &a.value).cmp(&(&b.key, &b.value)));
        report.facts.dedup_by(|b, a| {
            let same = a.key == b.key;
            if same && a.value != b.value {
                a.value = format!("{}; {}", a.value, b.value);
                a.text = format!("{}; {}", a.text, b.text);
                a.rank = a.rank.max(b.rank);
            }
            same
        });
        report
    }
}

/// Severities in files, by their names.
mod severity_name {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
    use toban_core::Severity;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(severity: &Severity, to: S) -> Result<S::Ok, S::Error> {
        severity.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Severity, D::Error> {
        let name = String::deserialize(from)?;
        let all = [Severity::Ok, Severity::Warning, Severity::Critical, Severity::Unknown];
        all.into_iter().find(|s| s.name() == name).ok_or_else(|| D::Error::custom("no severity"))
    }
}
