//! What the command line takes; the doc comments are the help, the manual page and the README's table.

use crate::help::{ACKNOWLEDGE_HELP, CHECK_HELP, FETCH_HELP, PUSH_HELP, STREAM_HELP};
use clap::{Args as Group, Parser, Subcommand};
use std::path::PathBuf;
use toban_core::check::Rule;
use toban_core::config::Span;
use toban_core::repo::{IdentityArgs, RepoArgs};
use toban_core::wal::WalName;
use toban_core::{At, Cli, Common, DryRun, Monitoring};

/// Ship PostgreSQL's WAL into repositories, and give it back for recovery.
#[derive(Parser, Debug)]
#[command(version, name = "wal-shipper", max_term_width = 100)]
pub struct WalArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub verb: WalVerb,
}

impl Cli for WalArgs {
    fn common(&self) -> &Common {
        &self.common
    }

    fn rules() -> &'static [&'static Rule] {
        crate::rulebook::RULES
    }
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum WalVerb {
    /// Store a file of the WAL: PostgreSQL's archive_command
    Push(Push),
    /// Give a file of the WAL back: PostgreSQL's restore_command
    Fetch(Fetch),
    /// Get segments before they are asked for; `fetch` starts it
    #[command(hide = true)]
    GetAhead(Fetch),
    /// Store the WAL while the server writes it: a service
    Stream(Stream),
    /// List what WAL the repositories have, and what is missing
    List(List),
    /// Compare the repositories with the server: lag, missing WAL, a failing archiver
    Check(Check),
    /// Record that WAL is lost for good: `check` no longer reports it
    Acknowledge(Acknowledge),
}

#[derive(Group, Debug)]
#[command(after_long_help = PUSH_HELP)]
pub struct Push {
    /// The file, as PostgreSQL's %p names it
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Give up after this time; the archiver tries again
    #[arg(long, value_name = "TIME", default_value = "2min")]
    pub timeout: Span,
    /// How many of the files that wait after this one to store, too; 0 for none
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub ahead: usize,
    /// Parallel workers for those [default: twice the cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub jobs: Option<u32>,
    /// Level of zstd's compression
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=19))]
    pub level: i32,
    /// The repository holds another system: this one was rebuilt or upgraded
    #[arg(long)]
    pub new_system: bool,
    #[command(flatten)]
    pub repos: RepoArgs,
}

#[derive(Group, Debug)]
#[command(after_long_help = FETCH_HELP)]
pub struct Fetch {
    /// The file that is wanted, as PostgreSQL's %f names it
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Where to put it, as PostgreSQL's %p names it
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// The system it belongs to [default: that of the data directory that this runs in]
    #[arg(long, value_name = "IDENTIFIER")]
    pub system: Option<u64>,
    /// The timeline that recovery follows, as recovery_target_timeline has it: the histories of other timelines do not
    /// count [default: that of the newest counts]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub timeline: Option<u32>,
    /// How many segments after this one to get in parallel, for the next calls; 0 for none
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub ahead: u32,
    /// File of changes to make in what is handed over, as `pg-backup restore` writes it where tablespaces go elsewhere
    #[arg(long, value_name = "FILE")]
    pub changes: Option<PathBuf>,
    #[command(flatten)]
    pub repos: RepoArgs,
    #[command(flatten)]
    pub identity: IdentityArgs,
}

#[derive(Group, Debug)]
#[command(after_long_help = STREAM_HELP)]
pub struct Stream {
    /// Servers: a libpq connection string or URI [default: the cluster's db, DATABASE_URL, then PG* variables]
    #[arg(long, value_name = "CONNINFO")]
    pub db: Option<String>,
    /// The replication slot, made where it is missing, on every server of the connection string
    #[arg(long, value_name = "NAME", default_value = "toban", value_parser = slot_name)]
    pub slot: String,
    /// Store what was received of an unfinished segment at most once in this time
    #[arg(long, value_name = "TIME", default_value = "1s")]
    pub interval: Span,
    /// Level of zstd's compression
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=19))]
    pub level: i32,
    /// The repository holds another system: this one was rebuilt or upgraded
    #[arg(long)]
    pub new_system: bool,
    #[command(flatten)]
    pub repos: RepoArgs,
}

/// `ReplicationSlotValidateName` in slot.c.
fn slot_name(text: &str) -> Result<String, String> {
    let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let ok = !text.is_empty() && text.len() <= 63 && text.bytes().all(fine);
    ok.then(|| text.to_string()).ok_or_else(|| "lower-case letters, digits and '_', at most 63".into())
}

#[derive(Group, Debug)]
pub struct List {
    #[command(flatten)]
    pub repos: RepoArgs,
}

#[derive(Group, Debug)]
#[command(after_long_help = ACKNOWLEDGE_HELP)]
pub struct Acknowledge {
    /// The first file that is missing, as `check` and `list` name it
    #[arg(value_name = "FIRST")]
    pub first: WalName,
    /// The last one [default: the first]
    #[arg(value_name = "LAST")]
    pub last: Option<WalName>,
    /// Why nothing need be done about it
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// The system it belongs to [default: the only one that the repositories hold]
    #[arg(long, value_name = "IDENTIFIER")]
    pub system: Option<u64>,
    #[command(flatten)]
    pub repos: RepoArgs,
    #[command(flatten)]
    pub dry: DryRun,
}

#[derive(Group, Debug)]
#[command(after_long_help = CHECK_HELP)]
pub struct Check {
    /// Server: a libpq connection string or URI [default: the cluster's db, DATABASE_URL, then PG* variables]
    #[arg(long, value_name = "CONNINFO")]
    pub db: Option<String>,
    /// Warn when the oldest WAL that a repository lacks is older than this
    #[arg(long, value_name = "TIME", default_value = "15min")]
    pub warn_lag: Span,
    /// Critical when it is older than this
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub critical_lag: Span,
    #[command(flatten)]
    pub repos: RepoArgs,
    #[command(flatten)]
    pub monitoring: Monitoring,
    #[command(flatten)]
    pub at: At,
}
