//! A job's run: start and exit ping, run record, metrics, notification, systemd's status line.

mod metrics;
mod record;

pub use record::{Gauge, RunRecord, last};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::machine;
use crate::notify::{self, Outcome, Teller};
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
/// `body` returned; trouble with telling is logged and never changes the job's result. A panic is told as a failure
/// and goes on.
pub fn job(
    config: &Config,
    tool: &str,
    verb: &str,
    instance: &str,
    body: impl FnOnce(&mut Report) -> Result<()>,
) -> Result<()> {
    let mut teller = Teller::open(&config.notify, tool);
    teller.started();
    let (started, clock) = (Timestamp::now(), Instant::now());
    let mut report = Report::default();
    let done = catch_unwind(AssertUnwindSafe(|| body(&mut report)));
    let mut outcome = Outcome {
        tool: tool.into(),
        verb: verb.into(),
        instance: instance.into(),
        host: host(),
        started,
        ended: Timestamp::now(),
        seconds: clock.elapsed().as_secs_f64(),
        status: 0,
        error: None,
        hint: None,
        notes: report.notes.clone(),
    };
    judge(&mut outcome, &done);
    close(config, teller, &outcome, report);
    done.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Fills in the status and what went wrong; the status is the one that [`crate::main`] will exit with.
fn judge(outcome: &mut Outcome, done: &std::thread::Result<Result<()>>) {
    let failed = |e: &Error| if shutdown::due() { crate::Kind::Retry.status() } else { e.kind().status() };
    (outcome.status, outcome.error, outcome.hint) = match done {
        Ok(Ok(())) => (0, None, None),
        Ok(Err(e)) => (failed(e), Some(e.chain()), e.cure().map(String::from)),
        Err(panic) => (PANICKED, Some(format!("bug: {}", words(&**panic))), None),
    };
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words")
}

/// Record, metrics, notification, exit ping; and the metrics again when somebody could not be told.
fn close(config: &Config, teller: Teller<'_>, outcome: &Outcome, report: Report) {
    let warn = |e: Error| log::warn!("{}", e.chain());
    let textfile = config.textfile_dir.as_deref().map(|dir| metrics::path(dir, outcome));
    let mut record = RunRecord::of(outcome, report.gauges);
    record.last_success = match outcome.status {
        0 => Some(outcome.ended),
        _ => last(&outcome.tool, &outcome.verb, &outcome.instance)
            .and_then(|r| r.last_success)
            .or_else(|| textfile.as_deref().and_then(metrics::last_success)),
    };
    record.append(&outcome.job()).unwrap_or_else(warn);
    let Some(textfile) = textfile else {
        teller.ended(outcome);
        return;
    };
    let before = notify::tally(&outcome.job());
    metrics::write(&textfile, &record, &before).unwrap_or_else(warn);
    let after = teller.ended(outcome);
    if after != before {
        metrics::write(&textfile, &record, &after).unwrap_or_else(warn);
    }
}

/// One line for `systemctl status` (sd_notify STATUS=); nothing when systemd does not listen.
pub fn status(text: &str) {
    // An error means that nobody listens, which is no trouble of ours.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Status(&crate::out::escape(text))]);
}

/// Tells systemd that a service is up (READY=1).
pub fn ready() {
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
}

/// Tells systemd's watchdog that a service is alive (WATCHDOG=1).
pub fn alive() {
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
}

/// Tells systemd that a service is on its way down (STOPPING=1).
pub fn stopping() {
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
}

/// This machine's name.
pub(crate) fn host() -> String {
    machine::host_name()
}
