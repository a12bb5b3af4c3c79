//! What the last run saw, and since when each thing is as it is: what `accept` and `list` work on.

use crate::baseline::write_json;
use crate::fact::{HostFact, SubjectReport};
use crate::host::Unseen;
use crate::subject::HostSubject;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use toban_core::{Context, Error, Result, durable};

const SCHEMA: &str = "host-audit.run/1";
/// The file in the state directory, and in an evidence pack.
pub(crate) const FILE: &str = "facts.json";
/// How long what is gone is remembered, to know it when it comes back.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(90 * 24);

/// One run, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LastLook {
    pub(crate) schema: String,
    pub(crate) machine: String,
    pub(crate) at: Timestamp,
    pub(crate) subjects: BTreeMap<HostSubject, SeenSubject>,
    /// Since when each thing is so, by its whole key.
    pub(crate) sightings: BTreeMap<String, Sighting>,
}

/// What one run saw of a subject.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct SeenSubject {
    pub(crate) facts: Vec<HostFact>,
    pub(crate) gaps: Vec<Unseen>,
}

/// Since when a thing is as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sighting {
    pub(crate) value: String,
    pub(crate) since: Timestamp,
    /// Since when it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gone: Option<Timestamp>,
    /// How often it came.
    pub(crate) times: u32,
    /// It happened: it is never missing.
    #[serde(default)]
    pub(crate) event: bool,
}

impl LastLook {
    /// A run that saw nothing yet.
    pub(crate) fn empty(machine: &str, at: Timestamp) -> LastLook {
        LastLook {
            schema: SCHEMA.into(),
            machine: machine.into(),
            at,
            subjects: BTreeMap::new(),
            sightings: BTreeMap::new(),
        }
    }

    /// Reads the file in `folder`; None when there is none.
    ///
    /// # Errors
    /// When it cannot be read as such a file.
    pub(crate) fn load(folder: &Path) -> Result<Option<LastLook>> {
        let path = folder.join(FILE);
        let doing = || format!("read {}", path.display());
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e).doing(doing),
        };
        let run: LastLook = serde_json::from_slice(&text).doing(doing)?;
        match run.schema == SCHEMA {
            true => Ok(Some(run)),
            false => Err(Error::failed(format!("{}: its schema is {:?}, not {SCHEMA}", doing(), run.schema))),
        }
    }

    /// Writes it into `folder`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn save(&self, folder: &Path) -> Result<()> {
        durable::create_dirs(folder)?;
        write_json(&folder.join(FILE), self)
    }

    /// The run of `now` that follows this one. Pure.
    pub(crate) fn follow(&self, reports: &[SubjectReport], now: Timestamp) -> LastLook {
        let mut next = LastLook { at: now, subjects: BTreeMap::new(), ..self.clone() };
        for report in reports {
            let seen = SeenSubject { facts: report.facts.clone(), gaps: report.gaps.clone() };
            next.subjects.insert(report.subject, seen);
            report.facts.iter().for_each(|fact| next.see_fact(report.subject, fact, now));
            // What was not looked at is not missing.
            if report.gaps.is_empty() {
                next.miss_facts(report, now);
            }
        }
        next.sightings.retain(|_, s| s.gone.is_none_or(|gone| now.duration_since(gone) < REMEMBERED));
        next
    }

    fn see_fact(&mut self, subject: HostSubject, fact: &HostFact, now: Timestamp) {
        let since = fact.since.unwrap_or(now);
        let first = || Sighting { value: fact.value.clone(), since, gone: None, times: 1, event: fact.event };
        let seen = self.sightings.entry(whole_key(subject, &fact.key)).or_insert_with(first);
        if seen.gone.take().is_some() {
            (seen.since, seen.times) = (since, seen.times.saturating_add(1));
        }
        if seen.value != fact.value {
            (seen.value, seen.since) = (fact.value.clone(), since);
        }
    }

    fn miss_facts(&mut self, report: &SubjectReport, now: Timestamp) {
        let prefix = whole_key(report.subject, "");
        let there: std::collections::BTreeSet<&str> = report.facts.iter().map(|f| f.key.as_str()).collect();
        for (key, sighting) in
            self.sightings.iter_mut().filter(|(key, seen)| !seen.event && key.starts_with(&prefix))
        {
            if !there.contains(&key[prefix.len()..]) {
                sighting.gone.get_or_insert(now);
            }
        }
    }

    /// Since when a thing is as it is.
    pub(crate) fn sighting(&self, subject: HostSubject, key: &str) -> Option<&Sighting> {
        self.sightings.get(&whole_key(subject, key))
    }
}

/// The key of a fact beside those of other subjects.
pub(crate) fn whole_key(subject: HostSubject, key: &str) -> String {
    format!("{}/{key}", subject.name())
}
