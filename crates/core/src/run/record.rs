//! The run record: one JSON line per run, the last hundred of each job.

use crate::durable;
use crate::error::{Context, Result};
use crate::notify::Outcome;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Runs kept per job.
const RUNS: usize = 100;
/// No file of records is larger than this; of a larger one nothing is kept.
const LARGEST: u64 = 256 << 20;

/// One sample a job gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gauge {
    /// The family's name without the `toban_` prefix.
    pub name: String,
    /// What it is.
    pub help: String,
    /// What tells it from others of its family.
    pub labels: BTreeMap<String, String>,
    /// The value, in the unit that the name ends with.
    pub value: f64,
}

/// One run of a job, as it stands in `<state>/runs/<tool>_<verb>_<instance>.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// `toban.run/1`; fields may come, never change.
    pub schema: String,
    /// The tool.
    pub tool: String,
    /// Its verb.
    pub verb: String,
    /// Which of several jobs with this verb.
    pub instance: String,
    /// The machine's name.
    pub host: String,
    /// The tool's version.
    pub version: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// How long it took.
    pub seconds: f64,
    /// The exit status.
    pub status: u8,
    /// The error's chain, of a run that failed.
    pub error: Option<String>,
    /// What the job noted.
    pub notes: Vec<String>,
    /// The samples it gave.
    pub gauges: Vec<Gauge>,
    /// When a run of this job last ended well: this one or an earlier one.
    pub last_success: Option<Timestamp>,
}

impl RunRecord {
    pub(super) fn of(outcome: &Outcome, gauges: Vec<Gauge>) -> RunRecord {
        RunRecord {
            schema: "toban.run/1".into(),
            tool: outcome.tool.clone(),
            verb: outcome.verb.clone(),
            instance: outcome.instance.clone(),
            host: outcome.host.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            started: outcome.started,
            ended: outcome.ended,
            seconds: outcome.seconds,
            status: outcome.status,
            error: outcome.error.clone(),
            notes: outcome.notes.clone(),
            gauges,
            last_success: None,
        }
    }

    /// Adds this run to its job's file; the oldest goes when there are more than a hundred.
    ///
    /// # Errors
    /// When the file cannot be written; what cannot be read of it is dropped.
    pub(super) fn append(&self, job: &str) -> Result<()> {
        let path = path_of(job);
        durable::create_dirs(durable::folder_of(&path))?;
        let mut kept = lines(&path);
        kept.push(serde_json::to_string(self).doing(|| "write the run record".into())?);
        let from = kept.len().saturating_sub(RUNS);
        durable::replace(&path, 0o600, |w| {
            kept[from..].iter().try_for_each(|line| writeln!(w, "{line}")).doing(|| "write".into())
        })
    }
}

/// The newest record of a job that can be read, if there is one.
pub fn last(tool: &str, verb: &str, instance: &str) -> Option<RunRecord> {
    let lines = lines(&path_of(&crate::notify::job_name(tool, verb, instance)));
    lines.iter().rev().find_map(|line| serde_json::from_str(line).ok())
}

fn path_of(job: &str) -> PathBuf {
    durable::state_dir().join("runs").join(format!("{job}.jsonl"))
}

/// The lines that are records; a file of another hand or a damaged one loses the rest.
fn lines(path: &Path) -> Vec<String> {
    let mut text = Vec::new();
    let read = std::fs::File::open(path).and_then(|f| f.take(LARGEST).read_to_end(&mut text));
    if read.is_err() {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(&text);
    let is_record = |line: &&str| serde_json::from_str::<RunRecord>(line).is_ok();
    text.lines().filter(is_record).map(String::from).collect()
}
