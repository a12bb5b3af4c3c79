//! The run record: one JSON line per run, the last hundred of each job.

use crate::durable;
use crate::error::{Context, Result};
use crate::machine;
use crate::sum::hex;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
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
    /// How long it took, by a clock that is never set.
    pub seconds: f64,
    /// The exit status.
    pub status: u8,
    /// The error's chain, of a run that failed.
    pub error: Option<String>,
    /// The line that says what to do; it is in the notification alone.
    #[serde(skip)]
    pub hint: Option<String>,
    /// What the job noted.
    pub notes: Vec<String>,
    /// The samples it gave.
    pub gauges: Vec<Gauge>,
    /// When a run of this job last ended well: this one or an earlier one.
    pub last_success: Option<Timestamp>,
}

impl RunRecord {
    /// A run of the job `tool`-`verb`-`instance` that begins now and has done nothing yet.
    pub(crate) fn started(tool: &str, verb: &str, instance: &str) -> RunRecord {
        let now = Timestamp::now();
        RunRecord {
            schema: "toban.run/1".into(),
            tool: tool.into(),
            verb: verb.into(),
            instance: instance.into(),
            host: machine::host_name(),
            version: env!("CARGO_PKG_VERSION").into(),
            started: now,
            ended: now,
            seconds: 0.0,
            status: 0,
            error: None,
            hint: None,
            notes: Vec::new(),
            gauges: Vec::new(),
            last_success: None,
        }
    }

    /// The job's name for people: `backup run main`.
    pub(crate) fn title(&self) -> String {
        format!("{} {} {}", self.tool, self.verb, self.instance).trim_end().to_string()
    }

    /// The job's name for files.
    pub(crate) fn job_name(&self) -> String {
        job_name(&self.tool, &self.verb, &self.instance)
    }

    /// Adds this run to its job's file; the oldest goes when there are more than a hundred.
    ///
    /// # Errors
    /// When the file cannot be written; what cannot be read of it is dropped.
    pub(crate) fn append(&self) -> Result<()> {
        let path = records_path(&self.job_name());
        durable::create_dirs(durable::folder_of(&path))?;
        // Written anew as a whole instead of appended to: an append that was cut by a full disk would leave half a
        // line, on which the next one would be lost too.
        let mut kept = read_lines(&path);
        kept.push(serde_json::to_string(self).doing(|| "write the run record".into())?);
        let from = kept.len().saturating_sub(RUNS);
        durable::replace(&path, 0o600, |w| {
            kept[from..].iter().try_for_each(|line| writeln!(w, "{line}")).doing(|| "write".into())
        })
    }
}

/// The newest record of a job that can be read, if there is one.
pub fn last_run(tool: &str, verb: &str, instance: &str) -> Option<RunRecord> {
    let lines = read_lines(&records_path(&job_name(tool, verb, instance)));
    lines.iter().rev().find_map(|line| serde_json::from_str(line).ok())
}

fn records_path(job: &str) -> PathBuf {
    durable::state_dir().join("runs").join(format!("{job}.jsonl"))
}

/// The lines that are records; a file of another hand or a damaged one loses the rest.
fn read_lines(path: &Path) -> Vec<String> {
    let mut text = Vec::new();
    let read = std::fs::File::open(path).and_then(|f| f.take(LARGEST).read_to_end(&mut text));
    if read.is_err() {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(&text);
    let is_record = |line: &&str| serde_json::from_str::<RunRecord>(line).is_ok();
    text.lines().filter(is_record).map(String::from).collect()
}

/// A job's name for files: letters, digits, `.` and `-` stay, any other byte becomes `%` and its number, so that
/// two jobs never share a file.
fn job_name(tool: &str, verb: &str, instance: &str) -> String {
    [tool, verb, instance].map(escape_file_name).join("_")
}

fn escape_file_name(part: &str) -> String {
    let keep = |b: u8| b.is_ascii_alphanumeric() || b"-.".contains(&b);
    let safe = part.bytes().fold(String::new(), |mut name, b| {
        let _ = if keep(b) { write!(name, "{}", b as char) } else { write!(name, "%{b:02x}") };
        name
    });
    // A file name has 255 bytes, and three parts, an ending and a temporary's affix share them.
    match safe.len() {
        ..=72 => safe,
        _ => format!("{}~{}", &safe[..safe.floor_char_boundary(60)], hex(&Sha256::digest(part)[..5])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_safe_and_differ() {
        let of = |instance: &str| job_name("pg-backup", "dump", instance);
        assert_eq!(of("main"), "pg-backup_dump_main");
        assert_eq!(of("../a b"), "pg-backup_dump_..%2fa%20b");
        assert_ne!(of("a_b"), of("a%5fb"));
        let long = |last: &str| of(&("日".repeat(500) + last));
        assert!(long("a").len() < 200 && long("a") != long("b"), "{}", long("a"));
    }
}
