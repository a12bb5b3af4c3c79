//! What the command line takes; the doc comments are the help, the manual page and the README's table.

use crate::help::{GATE_HELP, RUN_HELP};
use crate::rules;
use clap::{Args as Group, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use toban_core::check::Rule;
use toban_core::config::Span;
use toban_core::{At, Cli, Common, Monitoring};

/// Tell whether a machine, its databases and its services are well, and judge a roll-out.
#[derive(Parser, Debug)]
#[command(version, name = "health-check", max_term_width = 100)]
pub struct HealthArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub verb: HealthVerb,
}

impl Cli for HealthArgs {
    fn common(&self) -> &Common {
        &self.common
    }

    fn rules() -> &'static [&'static Rule] {
        rules::RULES
    }
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum HealthVerb {
    /// Check everything at once: machine, databases, endpoints, units
    Run(RunArgs),
    /// Judge a staged roll-out: may the new version have more requests, or must it go back?
    Gate(GateArgs),
}

#[derive(Group, Debug)]
#[command(after_long_help = RUN_HELP)]
pub struct RunArgs {
    /// Check these only [default: all of the machine, and what the configuration names]
    #[arg(value_enum, value_name = "CHECK")]
    pub checks: Vec<Family>,
    /// A PostgreSQL server: a libpq connection string or URI; may be given several times [default: the clusters in the
    /// configuration]
    #[arg(long, value_name = "CONNINFO")]
    pub db: Vec<String>,
    /// An HTTP endpoint beside those in the configuration; may be given several times
    #[arg(long, value_name = "URL")]
    pub url: Vec<String>,
    /// A unit or timer that must be active, beside those in the configuration; may be given several times
    #[arg(long, value_name = "UNIT", value_parser = parse_unit)]
    pub unit: Vec<String>,
    /// Tell what this run sees, and remember nothing: for schedulers that wait for several bad runs themselves
    #[arg(long)]
    pub no_state: bool,
    /// Where the machine's /proc, /sys and mounts are: another root, as of a host seen from a container
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Name of this job: runs are recorded and remembered by it
    #[arg(long, value_name = "NAME", default_value = "main", value_parser = toban_core::cli::parse_name)]
    pub job: String,
    #[command(flatten)]
    pub monitoring: Monitoring,
    #[command(flatten)]
    pub at: At,
}

impl RunArgs {
    /// Whether it looks at a part only of what the configuration has.
    pub(crate) fn is_part(&self) -> bool {
        !self.checks.is_empty() || !self.db.is_empty()
    }

    /// Whether a family is checked.
    pub(crate) fn wants(&self, family: Family) -> bool {
        self.checks.is_empty() || self.checks.contains(&family)
    }
}

/// A name of systemd's, and never an option or a pattern of systemctl's.
fn parse_unit(text: &str) -> Result<String, String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    let ok = !text.is_empty() && text.len() <= 255 && !text.starts_with('-') && text.chars().all(fine);
    ok.then(|| text.to_string()).ok_or_else(|| "letters, digits and :-_.\\@ only".into())
}

/// What is checked together.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// How busy the processors are
    Cpu,
    /// Memory that is used, and processes killed for want of it
    Memory,
    /// How long tasks stood still
    Pressure,
    /// Space and inodes, read-only and silent file systems
    Disk,
    /// How busy the lines are, errors and drops
    Network,
    /// Open files of the machine
    Handles,
    /// Whether the clock is kept
    Clock,
    /// PostgreSQL servers
    Postgres,
    /// Poolers
    Pgbouncer,
    /// Redis and Valkey
    Redis,
    /// HTTP endpoints
    Http,
    /// RabbitMQ and Elasticsearch
    Brokers,
    /// Units and timers of systemd
    Units,
    /// What became of users' requests
    Traffic,
}

impl Family {
    /// All, in the order in which they are told.
    pub(crate) const ALL: [Family; 14] = [
        Family::Cpu,
        Family::Memory,
        Family::Pressure,
        Family::Disk,
        Family::Network,
        Family::Handles,
        Family::Clock,
        Family::Postgres,
        Family::Pgbouncer,
        Family::Redis,
        Family::Http,
        Family::Brokers,
        Family::Units,
        Family::Traffic,
    ];

    /// Whether the configuration or flags name what is checked.
    pub(crate) fn is_configured(self) -> bool {
        Family::ALL.iter().position(|family| *family == self)
            >= Family::ALL.iter().position(|f| *f == Family::Postgres)
    }

    /// Its name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_string()).unwrap_or_default()
    }
}

#[derive(Group, Debug)]
#[command(after_long_help = GATE_HELP)]
pub struct GateArgs {
    /// The version that serves: the URL of its metrics, or its access log
    #[arg(long, value_name = "URL|LOG")]
    pub baseline: String,
    /// The new version, in the same way
    #[arg(long, value_name = "URL|LOG")]
    pub candidate: String,
    /// How long to watch metrics, and how far back to read logs
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub window: Span,
    /// Requests of the new version without which nothing is judged
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    pub min_requests: u64,
    /// Go back when more of its requests fail, in per cent
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
    pub max_errors: f64,
    /// Go back when the 95th percentile of its times is longer
    #[arg(long, value_name = "TIME", default_value = "2s")]
    pub max_p95: Span,
    #[command(flatten)]
    pub at: At,
}
