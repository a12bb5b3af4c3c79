//! A job's run: start and exit ping, run record, metrics, notification, systemd's status line.

mod metrics;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::notify::{Notifier, read_counts};
use crate::run_record::{Gauge, RunRecord, last_run};
use crate::shutdown;
use jiff::Timestamp;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Instant;

/// Notes kept of one run, and bytes of one note: a job that notes every file must not fill the disk.
const NOTES: usize = 1000;
const NOTE: usize = 1000;
/// The status of a process that ends by a panic.
const PANICKED: u8 = 101;

/// What a job adds to its record while it runs.
#[derive(Debug, Default)]
pub struct Report {
    notes: Vec<String>,
    gauges: Vec<Gauge>,
}

impl Report {
    /// A line for the run record and the notification's body; of more than 1000 the last are kept.
    pub fn note(&mut self, line: impl Into<String>) {
        if self.notes.len() == NOTES {
            self.notes.remove(0);
        }
        let line: String = line.into();
        self.notes.push(crate::out::escape(&line[..line.floor_char_boundary(NOTE)]));
    }

    /// A sample for node_exporter: the family's name without the `toban_` prefix, its help, labels, value. The
    /// labels `verb` and `name` are added, so that no two jobs write the same series. A second sample with the same
    /// labels replaces the first; a value that is no number is no sample.
    pub fn gauge(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: f64) {
        if !value.is_finite() {
            return;
        }
        let labels = labels.iter().map(|(l, v)| (metrics::label_name(l), v.to_string())).collect();
        let gauge = Gauge { name: metrics::metric_name(name), help: help.to_string(), labels, value };
        self.gauges.retain(|g| (&g.name, &g.labels) != (&gauge.name, &gauge.labels));
        self.gauges.push(gauge);
    }
}

/// Runs `body` as the job `tool`-`verb`-`instance`: pings, record, metrics, notification around it. Returns what
/// `body` returned; what goes wrong with notifying is logged and never changes the job's result. A panic is notified as
/// a failure and goes on.
pub fn job(
    config: &Config,
    tool: &str,
    verb: &str,
    instance: &str,
    body: impl FnOnce(&mut Report) -> Result<()>,
) -> Result<()> {
    let mut notifier = Notifier::open(&config.notify, tool);
    notifier.job_started();
    let (mut run, clock) = (RunRecord::started(tool, verb, instance), Instant::now());
    let mut report = Report::default();
    // Also a panic must be told: a job that ends without a word is what this is there to prevent. It goes on below, so
    // that the process ends as if nobody had caught it.
    let done = catch_unwind(AssertUnwindSafe(|| body(&mut report)));
    (run.ended, run.seconds) = (Timestamp::now(), clock.elapsed().as_secs_f64());
    (run.notes, run.gauges) = (report.notes, report.gauges);
    record_result(&mut run, &done);
    publish(config, notifier, run);
    done.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Fills in the status and what went wrong; the status is the one that [`crate::main`] will exit with.
fn record_result(run: &mut RunRecord, done: &std::thread::Result<Result<()>>) {
    let failed = |e: &Error| if shutdown::due() { crate::Kind::Retry.status() } else { e.kind().status() };
    (run.status, run.error, run.hint) = match done {
        Ok(Ok(())) => (0, None, None),
        Ok(Err(e)) => (failed(e), Some(e.chain()), e.find_hint().map(String::from)),
        Err(panic) => (PANICKED, Some(format!("bug: {}", panic_text(&**panic))), None),
    };
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words")
}

/// Record, metrics, notification, exit ping; and the metrics again when somebody could not be notified.
fn publish(config: &Config, notifier: Notifier<'_>, mut run: RunRecord) {
    let warn = |e: Error| log::warn!("{}", e.chain());
    let textfile = config.textfile_dir.as_deref().map(|dir| metrics::textfile_path(dir, &run));
    run.last_success = match run.status {
        0 => Some(run.ended),
        _ => last_run(&run.tool, &run.verb, &run.instance)
            .and_then(|r| r.last_success)
            .or_else(|| textfile.as_deref().and_then(metrics::read_last_success)),
    };
    // The record first: it is what `last_success` is read from when the metrics' folder was cleared, and no network
    // can hold it up.
    run.append().unwrap_or_else(warn);
    let Some(textfile) = textfile else {
        notifier.job_ended(&run);
        return;
    };
    // Before anybody is notified: that may take as long as the budget, and whoever kills us meanwhile must not make
    // the metrics those of an earlier run.
    let before = read_counts(&run.job_name());
    metrics::write_textfile(&textfile, &run, &before).unwrap_or_else(warn);
    let after = notifier.job_ended(&run);
    if after != before {
        metrics::write_textfile(&textfile, &run, &after).unwrap_or_else(warn);
    }
}
