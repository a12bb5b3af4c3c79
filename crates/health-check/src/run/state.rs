//! What a run remembers for the next one: levels, counters, positions. Without it a verdict is the run's own.

use crate::damping::Watched;
use crate::machine::rates::Counters;
use crate::reading::{Facts, Reading};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toban_core::durable::{self, Lock};
use toban_core::{Context, Error, Result, Severity};

/// The form of the file; one of another form is as if there was none.
const FORM: u32 = 1;

#[derive(Debug, Default, Serialize, Deserialize)]
struct StateFile {
    form: u32,
    counters: Counters,
    checks: BTreeMap<String, Watched>,
    facts: Facts,
}

/// The state of one job, locked while it is open.
#[derive(Debug)]
pub(crate) struct HealthState {
    path: Option<PathBuf>,
    _lock: Option<Lock>,
    file: StateFile,
    /// No earlier run is known: what is seen is told.
    raw: bool,
}

/// What is told of a reading.
#[derive(Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) severity: Severity,
    pub(crate) since: Option<Timestamp>,
    pub(crate) note: String,
    pub(crate) raw: bool,
}

impl HealthState {
    /// None at all.
    pub(crate) fn forgotten() -> HealthState {
        HealthState { path: None, _lock: None, file: StateFile::default(), raw: true }
    }

    /// That of the job `name`. What keeps it from being read is a warning and changes no verdict: an alarm must not
    /// depend on a disk that is full.
    pub(crate) fn open(name: &str) -> HealthState {
        let path = durable::state_dir().join("health").join(format!("{name}.json"));
        HealthState::read(&path).unwrap_or_else(|e| {
            log::warn!("this run is judged by itself alone: {}", e.chain());
            HealthState::forgotten()
        })
    }

    fn read(path: &Path) -> Result<HealthState> {
        let lock = Lock::take(&path.with_extension("lock"), "a health check of this job")?;
        let open = |file, raw| HealthState { path: Some(path.to_path_buf()), _lock: Some(lock), file, raw };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Ok(open(StateFile::default(), true));
            }
            Err(e) => return Err(e).doing(|| format!("read {}", path.display())),
        };
        match serde_json::from_str::<StateFile>(&text) {
            Ok(file) if file.form == FORM => Ok(open(file, false)),
            Ok(file) if file.form > FORM => {
                // A newer version left it: it must find it again.
                Err(Error::failed(format!("{} is of a newer version", path.display())))
            }
            _ => {
                log::warn!("{} cannot be used and begins anew", path.display());
                Ok(open(StateFile::default(), true))
            }
        }
    }

    /// The last run's look at the counters.
    pub(crate) fn last_counters(&self) -> Option<Counters> {
        (!self.raw).then(|| self.file.counters.clone())
    }

    /// What earlier runs kept.
    pub(crate) fn facts(&self) -> Facts {
        self.file.facts.clone()
    }

    /// What is told of a reading, after the runs before.
    pub(crate) fn tell_reading(&mut self, reading: &Reading, now: Timestamp) -> Told {
        let raw = self.raw;
        let Some(seen) = reading.seen() else {
            return Told { severity: Severity::Unknown, since: None, note: String::new(), raw };
        };
        let watched = self.file.checks.entry(reading.key()).or_default();
        if raw {
            watched.begin_with(seen, now);
            return Told { severity: reading.severity, since: None, note: String::new(), raw };
        }
        let level = watched.take_sample(seen, reading.policy, now);
        let note = match (seen.level > level, seen.level < level) {
            (true, _) => {
                let (times, least) = watched.count_of(seen.level, reading.policy);
                format!(" (in {times} runs, told from {least} on)")
            }
            (_, true) => " (better now, not yet for long enough)".to_string(),
            _ => String::new(),
        };
        let severity = Severity::from(level);
        Told { severity, since: watched.since.filter(|_| severity != Severity::Ok), note, raw }
    }

    /// Keeps everything for the next run. That it cannot be kept is a warning.
    pub(crate) fn save(mut self, counters: Counters, facts: Facts, now: Timestamp) {
        let Some(path) = self.path.take() else { return };
        self.file.form = FORM;
        self.file.counters = counters;
        self.file.facts.extend(facts);
        self.file.checks.retain(|_, watched| watched.is_recent(now));
        let file = self.file;
        let written = durable::create_dirs(durable::folder_of(&path)).and_then(|()| {
            durable::replace(&path, 0o600, |w| {
                serde_json::to_writer(w, &file).doing(|| "write the state".into())
            })
        });
        if let Err(e) = written {
            log::warn!("the next run is judged by itself alone: {}", e.chain());
        }
    }
}
