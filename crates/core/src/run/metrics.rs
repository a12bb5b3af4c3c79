//! node_exporter's textfile: one file per job, old or new, never half; every family with the same help everywhere.
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>

use crate::durable;
use crate::error::{Context, Result};
use crate::notify::NotifyCounts;
use crate::run_record::{Gauge, RunRecord};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What every tool writes of a job's runs: the family's name behind `toban_<tool>_`, its type, its help.
const LAST_RUN: Kind =
    ("last_run_timestamp_seconds", "gauge", "When the last run ended, in seconds since 1970.");
const LAST_SUCCESS: Kind = (
    "last_success_timestamp_seconds",
    "gauge",
    "When a run last ended with status 0, in seconds since 1970.",
);
const EXIT_CODE: Kind = ("last_run_exit_code", "gauge", "Exit status of the last run.");
const DURATION: Kind = ("last_run_duration_seconds", "gauge", "How long the last run took.");
const NOTIFY_FAILURES: Kind =
    ("notify_failures_total", "counter", "How often a channel could not be notified.");
const NOTIFY_WAITING: Kind = ("notify_waiting", "gauge", "Notifications that wait for their channel.");

type Kind = (&'static str, &'static str, &'static str);
type Labels = BTreeMap<String, String>;

/// Families by name, each with its type, its help and its samples: sorted, so that a file changes only in values.
type Families = BTreeMap<String, (String, String, BTreeMap<Labels, f64>)>;

/// The job's file in `folder`.
pub(super) fn textfile_path(folder: &Path, run: &RunRecord) -> PathBuf {
    folder.join(format!("toban_{}.prom", run.job_name()))
}

/// Replaces the job's file, readable by everybody: node_exporter runs as someone else.
///
/// # Errors
/// When it cannot be written.
pub(super) fn write_textfile(path: &Path, run: &RunRecord, counts: &NotifyCounts) -> Result<()> {
    let text = render_families(&collect_families(run, counts));
    // By a rename, as node_exporter's README ("Textfile Collector") asks: it may read at any moment, and of half a file it
    // takes nothing and reports an error.
    durable::replace(path, 0o644, |w| w.write_all(text.as_bytes()).doing(|| "write".into()))
        .map_err(|e| e.hint("textfile_dir must be there and belong to the job's user or group"))
}

/// When the job last ended well, as its file tells: for when the run records were lost.
pub(super) fn read_last_success(path: &Path) -> Option<Timestamp> {
    let text = std::fs::read_to_string(path).ok()?;
    let sample = text.lines().find(|l| !l.starts_with('#') && l.contains(LAST_SUCCESS.0))?;
    let seconds: f64 = sample.rsplit_once(' ')?.1.parse().ok()?;
    Timestamp::from_millisecond((seconds * 1000.0) as i64).ok()
}

fn collect_families(run: &RunRecord, counts: &NotifyCounts) -> Families {
    let mut families = Families::new();
    let tool = metric_name(&run.tool);
    let own = Labels::from([("verb".into(), run.verb.clone()), ("name".into(), run.instance.clone())]);
    let mut add = |(name, kind, help): Kind, labels: &Labels, value: f64| {
        let family = families.entry(format!("toban_{tool}_{name}"));
        family.or_insert_with(|| (kind.into(), help.into(), BTreeMap::new())).2.insert(labels.clone(), value);
    };
    add(LAST_RUN, &own, seconds(run.ended));
    if let Some(at) = run.last_success {
        add(LAST_SUCCESS, &own, seconds(at));
    }
    add(EXIT_CODE, &own, run.status.into());
    add(DURATION, &own, run.seconds);
    for (channel, (failures, waiting)) in &counts.0 {
        let labels = merge_labels(&own, &Labels::from([("channel".into(), channel.clone())]));
        add(NOTIFY_FAILURES, &labels, *failures as f64);
        add(NOTIFY_WAITING, &labels, *waiting as f64);
    }
    for Gauge { name, help, labels, value } in &run.gauges {
        let family = families.entry(format!("toban_{name}"));
        let samples = &mut family.or_insert_with(|| ("gauge".into(), help.clone(), BTreeMap::new())).2;
        samples.insert(merge_labels(&own, labels), *value);
    }
    families
}

/// Both, where they differ the job's own.
fn merge_labels(own: &Labels, more: &Labels) -> Labels {
    more.iter().chain(own).map(|(l, v)| (l.clone(), v.clone())).collect()
}

/// Whole milliseconds: what the format's float holds, and an editor can compare.
fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}

fn render_families(families: &Families) -> String {
    let mut text = String::new();
    for (name, (kind, help, samples)) in families {
        let help = help.replace('\\', r"\\").replace('\n', r"\n");
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for (labels, value) in samples {
            let _ = writeln!(text, "{name}{{{}}} {value}", format_labels(labels));
        }
    }
    text
}

fn format_labels(labels: &Labels) -> String {
    let value = |v: &str| v.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
    let pairs: Vec<String> = labels.iter().map(|(l, v)| format!("{l}=\"{}\"", value(v))).collect();
    pairs.join(",")
}

/// A valid metric name: another character becomes `_`.
pub(super) fn metric_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// A valid label name: as a metric's, and never a digit first.
pub(super) fn label_name(name: &str) -> String {
    let name = metric_name(name);
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}
