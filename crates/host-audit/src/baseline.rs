//! What somebody accepted of this host, with name, ticket and day.

use crate::fact::HostFact;
use crate::subject::HostSubject;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use toban_core::{Context, Error, Result, durable};

const SCHEMA: &str = "host-audit.baseline/1";
const FILE: &str = "baseline.json";

/// Who answers for something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SignOff {
    pub(crate) reviewer: String,
    pub(crate) ticket: String,
    pub(crate) date: Timestamp,
}

impl SignOff {
    /// As findings name it.
    pub(crate) fn describe(&self) -> String {
        format!("{} by {} ({})", self.date.strftime("%Y-%m-%d"), self.reviewer, self.ticket)
    }
}

/// A fact that somebody answers for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AcceptedFact {
    #[serde(flatten)]
    pub(crate) fact: HostFact,
    pub(crate) by: SignOff,
}

/// Everything that was accepted of one host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct HostBaseline {
    pub(crate) schema: String,
    /// Which machine it is of, whatever it is called.
    pub(crate) machine: String,
    /// The parts that were reviewed as a whole: what comes after is new.
    pub(crate) reviewed: BTreeMap<HostSubject, SignOff>,
    pub(crate) facts: BTreeMap<HostSubject, BTreeMap<String, AcceptedFact>>,
}

impl HostBaseline {
    /// One that accepts nothing.
    pub(crate) fn empty(machine: &str) -> HostBaseline {
        HostBaseline {
            schema: SCHEMA.into(),
            machine: machine.into(),
            reviewed: BTreeMap::new(),
            facts: BTreeMap::new(),
        }
    }

    /// What was accepted of a subject.
    pub(crate) fn of(&self, subject: HostSubject) -> Option<&BTreeMap<String, AcceptedFact>> {
        self.facts.get(&subject)
    }

    /// The baseline of `machine` in `dir`; None before the first.
    ///
    /// # Errors
    /// Corrupt when it is damaged, of another machine or of a newer version: it is never written over.
    pub(crate) fn load(dir: &Path, machine: &str) -> Result<Option<HostBaseline>> {
        let path = dir.join(FILE);
        let doing = || format!("read the baseline {}", path.display());
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e).doing(doing),
        };
        let bad = |why: String| Error::corrupt(format!("{}: {why}", doing()));
        let value: serde_json::Value =
            serde_json::from_slice(&text).map_err(|e| bad("it is no JSON".into()).because(e))?;
        let schema = value.get("schema").and_then(|s| s.as_str()).unwrap_or_default();
        // Not read as far as it goes: facts in another form would all look new, or none.
        if schema != SCHEMA {
            return Err(bad(format!("its schema is {schema:?}, not {SCHEMA}")));
        }
        let baseline: HostBaseline =
            serde_json::from_value(value).map_err(|e| bad("it is damaged".into()).because(e))?;
        match baseline.machine == machine {
            true => Ok(Some(baseline)),
            false => Err(bad(format!("it is of the machine {}, this one is {machine}", baseline.machine))),
        }
    }

    /// Writes it.
    ///
    /// # Errors
    /// When it cannot be written; then the old one is as it was.
    pub(crate) fn save(&self, dir: &Path) -> Result<()> {
        durable::create_dirs(dir)?;
        write_json(&dir.join(FILE), self)
    }
}

/// Writes a value as JSON that people can read, old or new and never half.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let doing = || format!("write {}", path.display());
    durable::replace(path, 0o600, |w| {
        serde_json::to_writer_pretty(&mut *w, value).doing(doing)?;
        w.write_all(b"\n").doing(doing)
    })
}
