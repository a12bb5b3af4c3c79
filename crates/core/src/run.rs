//! A job's run: start and exit ping, run record, metrics, notification, systemd's status line.
use crate::config::Config;
use crate::error::Result;

/// What a job adds to its record while it runs.
#[derive(Debug, Default)]
pub struct Report {}

impl Report {
    /// A line for the run record and the notification's body.
    pub fn note(&mut self, _line: impl Into<String>) {}
    /// A sample for node_exporter: the family's name without the `toban_` prefix, its help, labels, value.
    pub fn gauge(&mut self, _name: &str, _help: &str, _labels: &[(&str, &str)], _value: f64) {}
}

/// Runs `body` as the job `tool`-`verb`-`instance`: pings, record, metrics, notification around it. Returns what
/// `body` returned; trouble with telling is logged and never changes the job's result.
pub fn job(
    _config: &Config,
    _tool: &str,
    _verb: &str,
    _instance: &str,
    body: impl FnOnce(&mut Report) -> Result<()>,
) -> Result<()> {
    body(&mut Report::default())
}

/// One line for `systemctl status` (sd_notify STATUS=); nothing when systemd does not listen.
pub fn status(_text: &str) {}
