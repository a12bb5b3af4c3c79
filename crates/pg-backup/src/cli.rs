//! What the command line takes; the doc comments are the help, the manual page and the README's table.

pub(crate) use super::cli_moment::{Action, Follow, Stop, To};
pub(crate) use super::cli_physical::{Checkpoint, Restore, Run};
use crate::help::*;
use clap::{Args as Group, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use toban_core::config::Span;
use toban_core::repo::RepoArgs;
use toban_core::{At, Cli, Common, DryRun, Monitoring};

/// Take, list, verify, restore and prune PostgreSQL backups.
#[derive(Parser, Debug)]
#[command(version, name = "pg-backup", max_term_width = 100, after_help = TOOL_HELP)]
pub struct Args {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub verb: Verb,
}

impl Cli for Args {
    fn common(&self) -> &Common {
        &self.common
    }
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Back up the whole cluster, while it runs, into one or more repositories
    Run(Run),
    /// Restore a backup into a data directory, whose server then recovers by itself
    Restore(Restore),
    /// Dump databases, with roles and tablespaces, into one or more repositories
    Dump(Dump),
    /// Restore a dump, of ours or of anybody, into a new database or in place of one
    RestoreDump(RestoreDump),
    /// List what the repositories hold
    List(List),
    /// Read back what is stored and check its sums
    Verify(Verify),
    /// Delete what the rules no longer keep
    Prune(Prune),
    /// Judge the newest backup and dumps: age, size, last verify
    Check(Check),
}

/// The server.
#[derive(Group, Clone, Debug)]
pub struct Server {
    /// Server to work with: a libpq connection string or URI [default: DATABASE_URL, then PG* variables]
    #[arg(long, value_name = "CONNINFO")]
    pub db: Option<String>,
    /// Folder of PostgreSQL's programs [default: found on this machine by the server's major]
    #[arg(long, value_name = "DIR", env = "TOBAN_PG_BIN", hide_env_values = true)]
    pub bin_dir: Option<PathBuf>,
}

/// Form of a dump.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// pg_restore's own form: compressed, restored in parallel, single tables can be taken out
    Custom,
    /// Plain SQL compressed with gzip: `gunzip | psql` reads it
    Sql,
}

/// Which roles and tablespaces go with a dump.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Globals {
    /// Roles with their password hashes, tablespaces, settings; needs a superuser or pg_read_all_data
    Full,
    /// The same without password hashes; any role can
    NoPasswords,
    /// None
    None,
}

#[derive(Group, Debug)]
#[command(after_long_help = DUMP_HELP)]
pub struct Dump {
    /// Databases to dump [default: the configuration's `databases`, else the one of the connection]
    #[arg(value_name = "DATABASE", conflicts_with = "all")]
    pub databases: Vec<String>,
    /// Every database but template0 and template1; one that cannot be dumped makes the run partial
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub server: Server,
    #[command(flatten)]
    pub repos: RepoArgs,
    /// Form of the dump
    #[arg(long, value_enum, default_value_t = Form::Custom)]
    pub format: Form,
    /// Level of compression, 1 to 9
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=9))]
    pub level: u32,
    /// Roles and tablespaces that go with it
    #[arg(long, value_enum, default_value_t = Globals::Full)]
    pub globals: Globals,
    /// A word to find it by, as before-upgrade
    #[arg(long, value_name = "WORD", value_parser = label)]
    pub label: Option<String>,
    #[command(flatten)]
    pub dry: DryRun,
}

#[derive(Group, Debug)]
#[command(after_long_help = RESTORE_DUMP_HELP)]
#[command(group(clap::ArgGroup::new("target").required(true).args(["into", "replace"])))]
pub struct RestoreDump {
    /// A dump's ID, `latest`, or a dump of anybody: path, file:// or s3:// URL of a .dump, .sql, .sql.gz, or folder
    #[arg(value_name = "ID|FILE")]
    pub source: String,
    /// Create this database and restore into it; it must not exist, or be empty
    #[arg(long, value_name = "DATABASE")]
    pub into: Option<String>,
    /// Put the dump in the place of this database; the old one serves until the new one is checked
    #[arg(long, value_name = "DATABASE")]
    pub replace: Option<String>,
    /// Of `latest`, or of an ID that several databases share: dumps of this database [default with --replace: that one]
    #[arg(long, value_name = "DATABASE")]
    pub of: Option<String>,
    #[command(flatten)]
    pub server: Server,
    #[command(flatten)]
    pub repos: RepoArgs,
    /// Create the roles and tablespaces that the dump has and the server lacks
    #[arg(long)]
    pub globals: bool,
    /// Parallel jobs, where the dump's form allows [default: all cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub jobs: Option<u32>,
    /// With --replace: do not dump the present state first; the old database is then kept
    #[arg(long, requires = "replace")]
    pub no_safety_dump: bool,
    /// With --replace: keep the old database under another name
    #[arg(long, requires = "replace")]
    pub keep_old: bool,
    #[command(flatten)]
    pub dry: DryRun,
}

#[derive(Group, Debug)]
#[command(after_long_help = LIST_HELP)]
pub struct List {
    /// Only dumps of these databases, and no backups
    #[arg(value_name = "DATABASE")]
    pub databases: Vec<String>,
    #[command(flatten)]
    pub repos: RepoArgs,
}

#[derive(Group, Debug)]
#[command(after_long_help = VERIFY_HELP)]
pub struct Verify {
    /// IDs of what to verify [default: every one]
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// Only the newest of the cluster and of each database
    #[arg(long, conflicts_with = "ids")]
    pub newest: bool,
    /// Only that every object is there and of its size; proves nothing of what is in it
    #[arg(long, conflicts_with = "deep")]
    pub fast: bool,
    /// Also restore the newest of each database into a scratch database on --db and compare its rows
    #[arg(long)]
    pub deep: bool,
    #[command(flatten)]
    pub server: Server,
    #[command(flatten)]
    pub repos: RepoArgs,
}

#[derive(Group, Debug)]
#[command(after_long_help = PRUNE_HELP)]
pub struct Prune {
    #[command(flatten)]
    pub repos: RepoArgs,
    #[command(flatten)]
    pub keep: KeepArgs,
    #[command(flatten)]
    pub at: At,
    #[command(flatten)]
    pub dry: DryRun,
}

/// Rules of retention; given here they replace those of the configuration.
#[derive(Group, Clone, Debug)]
pub struct KeepArgs {
    /// Keep the newest N of the cluster and of each database
    #[arg(long, value_name = "N")]
    pub keep_last: Option<u32>,
    /// Keep all that are younger, as 30d or 1year
    #[arg(long, value_name = "TIME")]
    pub keep_within: Option<Span>,
    /// Keep the newest of each of the last N hours that have one
    #[arg(long, value_name = "N")]
    pub keep_hourly: Option<u32>,
    /// … of the last N days (UTC)
    #[arg(long, value_name = "N")]
    pub keep_daily: Option<u32>,
    /// … of the last N ISO weeks
    #[arg(long, value_name = "N")]
    pub keep_weekly: Option<u32>,
    /// … of the last N months
    #[arg(long, value_name = "N")]
    pub keep_monthly: Option<u32>,
    /// … of the last N years
    #[arg(long, value_name = "N")]
    pub keep_yearly: Option<u32>,
    /// Never leave fewer than N [default: 1]
    #[arg(long, value_name = "N")]
    pub keep_min: Option<u32>,
    /// Of the WAL keep only what a moment of this last stretch of time needs [default: all from the oldest kept backup on]
    #[arg(long, value_name = "TIME")]
    pub keep_wal: Option<Span>,
}

#[derive(Group, Debug)]
#[command(after_long_help = CHECK_HELP)]
pub struct Check {
    /// Databases that must have a dump [default: those that the repositories hold]
    #[arg(value_name = "DATABASE")]
    pub databases: Vec<String>,
    #[command(flatten)]
    pub repos: RepoArgs,
    /// Warn when the newest is older
    #[arg(long, value_name = "TIME", default_value = "26h")]
    pub warn_age: Span,
    /// Critical when the newest is older
    #[arg(long, value_name = "TIME", default_value = "50h")]
    pub critical_age: Span,
    /// Warn when the newest differs in size from the median of the ten before by more than this per cent
    #[arg(long, value_name = "PERCENT", default_value_t = 50)]
    pub warn_size: u32,
    /// Critical when it differs by more than this per cent
    #[arg(long, value_name = "PERCENT", default_value_t = 90)]
    pub critical_size: u32,
    /// Warn when the last verify that succeeded is older
    #[arg(long, value_name = "TIME", default_value = "8d")]
    pub warn_verify: Span,
    /// Critical when the last verify that succeeded is older
    #[arg(long, value_name = "TIME", default_value = "35d")]
    pub critical_verify: Span,
    /// Warn when the last restore drill that passed is older, where there were drills
    #[arg(long, value_name = "TIME", default_value = "35d")]
    pub warn_drill: Span,
    #[command(flatten)]
    pub monitoring: Monitoring,
    #[command(flatten)]
    pub at: At,
}

pub(crate) fn label(text: &str) -> Result<String, String> {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ok = !text.is_empty() && text.len() <= 40 && text.chars().all(fine);
    ok.then(|| text.to_string()).ok_or_else(|| "lower-case letters, digits and '-', at most 40".into())
}
