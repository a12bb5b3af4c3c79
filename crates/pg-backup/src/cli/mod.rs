//! What the command line takes; the doc comments are the help, the manual page and the README's table.

mod backup;
mod copy;
mod doctor;
mod dump;
mod init;
mod key;
mod recovery_target;
mod rescue;
mod status;

pub(crate) use backup::{Checkpoint, Restore, Run};
use clap::{Args as Group, Parser, Subcommand};
pub(crate) use copy::CopyArgs;
pub(crate) use doctor::Doctor;
pub(crate) use dump::{Dump, Form, Globals, RestoreDump};
pub(crate) use init::{Init, PolicyOf};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
pub(crate) use key::{KeyArgs, KeyCheck, KeyNew, KeyTest, KeyVerb};
pub(crate) use recovery_target::{RecoveryTargetArgs, TargetAction, TargetKeyword, TargetTimeline};
pub(crate) use rescue::{MomentArgs, Rescue, RowSearch, SearchedChange, Step};
pub(crate) use status::StatusArgs;
use std::path::PathBuf;
use toban_core::check::Rule;
use toban_core::config::Span;
use toban_core::repo::{IdentityArgs, RepoArgs};
use toban_core::sign::SignArgs;
use toban_core::{At, Cli, Common, DryRun, Monitoring};

const TOOL_HELP: &str = "\
Environment:
  TOBAN_REPO          Repositories, as --repo, separated by commas
  TOBAN_CLUSTER       As --cluster
  TOBAN_PG_BIN        As --bin-dir
  TOBAN_RETRY_FOR     How long failing requests to a store are repeated, e.g. 30s [default: 5min]
  DATABASE_URL        The server, when --db is not given; then PGHOST and the other PG* variables
  AWS_PROFILE, AWS_ACCESS_KEY_ID, AWS_REGION, AWS_ENDPOINT_URL_S3, ...
                      Credentials and place of S3, as every AWS tool takes them
  AZURE_STORAGE_ACCOUNT, AZURE_STORAGE_KEY, GOOGLE_APPLICATION_CREDENTIALS, ...
                      Account and credentials of Azure and Google, as their own tools take them

Files:
  ~/.pgpass           Passwords, as for psql
  /var/lib/toban      Locks, run records, and which notifications were sent";

/// Take, list, verify, copy, restore and prune PostgreSQL backups.
#[derive(Parser, Debug)]
#[command(version, name = "pg-backup", max_term_width = 100, after_help = TOOL_HELP)]
pub struct BackupArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub verb: BackupVerb,
}

impl Cli for BackupArgs {
    fn common(&self) -> &Common {
        &self.common
    }

    fn rules() -> &'static [&'static Rule] {
        &crate::rulebook::ALL_RULES
    }
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum BackupVerb {
    /// Back up the whole cluster, while it runs, into one or more repositories
    Run(Run),
    /// Restore a backup into a data directory, whose server then recovers by itself
    Restore(Restore),
    /// Bring back rows, tables or a database as they were at a moment, beside the live ones
    Rescue(Rescue),
    /// Dump databases, with roles and tablespaces, into one or more repositories
    Dump(Dump),
    /// Restore a dump, ours or another program's, into a new database or in place of one
    RestoreDump(RestoreDump),
    /// List what the repositories hold
    List(List),
    /// Read back what is stored and check its sums
    Verify(Verify),
    /// Copy what another repository lacks
    Copy(CopyArgs),
    /// Delete what the rules no longer keep
    Prune(Prune),
    /// Keep a backup or a dump whatever the rules say
    Pin(Pin),
    /// End a pin
    Unpin(Unpin),
    /// Make, list and test the keys of encrypted content
    Key(KeyArgs),
    /// Check the newest backup and dumps: age, size, last verify
    Check(Check),
    /// Look for what is set up wrong: server, archiving, machine, repositories, jobs
    Doctor(Doctor),
    /// Tell what is protected: to which moment, how fast, and since when that is proven
    Status(StatusArgs),
    /// Set everything up: configuration, units, the first backup and the first proof that it restores
    Init(Init),
}

/// The server.
#[derive(Group, Clone, Debug)]
pub struct ServerArgs {
    /// Server to work with: a libpq connection string or URI [default: DATABASE_URL, then PG* variables]
    #[arg(long, value_name = "CONNINFO")]
    pub db: Option<String>,
    /// Folder of PostgreSQL's programs [default: found on this machine by the server's major]
    #[arg(long, value_name = "DIR", env = "TOBAN_PG_BIN", hide_env_values = true)]
    pub bin_dir: Option<PathBuf>,
}

const LIST_HELP: &str = "\
Examples:
  Everything in all repositories of the configuration:
    pg-backup list
  As JSON, for one database:
    pg-backup list app --repo local --json";

#[derive(Group, Debug)]
#[command(after_long_help = LIST_HELP)]
pub struct List {
    /// Only dumps of these databases, and no backups
    #[arg(value_name = "DATABASE")]
    pub databases: Vec<String>,
    #[command(flatten)]
    pub repos: RepoArgs,
}

const VERIFY_HELP: &str = "\
Examples:
  Read back every dump of last night's:
    pg-backup verify --newest --repo local
  Prove the newest by restoring it into a scratch database:
    pg-backup verify --newest --deep --repo local --db service=scratch

  Go round the whole repository: each night what was not read for 30 days, the longest ago first, 200 GiB at most:
    pg-backup verify --within 30d --limit-bytes 200G --repo s3

  A bucket whose old objects went to Glacier: existence and sizes, and what must be brought back before a restore:
    pg-backup verify --cold --repo s3

Without --newest, --within or IDs everything is read. The WAL in the repository is read back with backups and
dumps, its tails too: with --newest what the newest backup needs. What was found is kept in the repository, with
the time: --within reads what has no proof of that time, and a pack that several backups name once for all of
them. `check` reports what was found damaged until a later verify finds it whole.";

#[derive(Group, Debug)]
#[command(after_long_help = VERIFY_HELP)]
pub struct Verify {
    /// IDs of what to verify [default: every one]
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// Everything, whenever it was last read: the default
    #[arg(long, conflicts_with_all = ["ids", "newest", "within"])]
    pub all: bool,
    /// Only the newest of the cluster and of each database
    #[arg(long, conflicts_with_all = ["ids", "within"])]
    pub newest: bool,
    /// Only what was not proven within this time, the longest ago first, e.g. 30d
    #[arg(long, value_name = "TIME", conflicts_with_all = ["ids", "fast"])]
    pub within: Option<Span>,
    /// With --within: read no more than this in a run, e.g. 200G; the rest is due in a later one
    #[arg(long, value_name = "BYTES", value_parser = backup::parse_bytes, requires = "within")]
    pub limit_bytes: Option<u64>,
    /// With --within: begin with nothing more after this time, e.g. 2h; what was begun is read to its end, and the rest is
    /// due in a later run
    #[arg(long, value_name = "TIME", requires = "within")]
    pub limit_time: Option<Span>,
    /// Only look whether every object is there and of its size; its content is not read, and what is in an archive class
    /// such as Glacier is named
    #[arg(long, visible_alias = "cold", conflicts_with = "deep")]
    pub fast: bool,
    /// Also restore the newest of each database into a scratch database on --db and compare its rows
    #[arg(long)]
    pub deep: bool,
    #[command(flatten)]
    pub sign: SignArgs,
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub repos: RepoArgs,
    #[command(flatten)]
    pub identity: IdentityArgs,
}

const PRUNE_HELP: &str = "\
Examples:
  See what would be deleted, which rule keeps the rest, and which moments can be reached before and after:
    pg-backup prune --keep-within 30d --dry-run --repo local
  Daily for 30 days, monthly for a year, and any moment of the last 14 days:
    pg-backup prune --keep-daily 30 --keep-monthly 12 --keep-wal 14d --repo s3://bucket/toban
  Put back what the last prune deleted:
    pg-backup prune --undo --repo local

Whatever one rule keeps is kept. The last that was verified and the last that a drill proved are always kept, and
never fewer than --keep-min. What is damaged, failed its last drill, is dated by a wrong clock, or has less than a
quarter of the usual size (the median of the ten before it) uses up no place of a rule. Dumps that restore-dump
took of a state it replaced are a series of their own. What was deleted can be put back by --undo for --undelete;
then its objects go, as far as no other backup uses them. WAL that no kept backup needs goes too; with
--keep-wal every moment of that window can be reached, and older backups restore to their own end.";

#[derive(Group, Debug)]
#[command(after_long_help = PRUNE_HELP)]
pub struct Prune {
    #[command(flatten)]
    pub repos: RepoArgs,
    #[command(flatten)]
    pub keep: KeepArgs,
    /// How long what is deleted can be put back [default: 3d]
    #[arg(long, value_name = "TIME")]
    pub undelete: Option<Span>,
    /// Delete nothing, put back what was deleted: these IDs, or all that can be put back
    #[arg(long, value_name = "ID", num_args = 0..)]
    pub undo: Option<Vec<String>>,
    #[command(flatten)]
    pub at: At,
    #[command(flatten)]
    pub dry: DryRun,
}

const PIN_HELP: &str = "\
Examples:
  Until somebody ends it:
    pg-backup pin 20261121T030000Z-120034 --why 'before the upgrade to 17' --repo local
  A legal hold with an end:
    pg-backup pin 20261121T030000Z-120034 --why 'case 4711' --until 2027-06-30 --repo s3

Each repository that holds it is told. `list` and `prune --dry-run` show pins and their reasons.";

#[derive(Group, Debug)]
#[command(after_long_help = PIN_HELP)]
pub struct Pin {
    /// ID of a backup or a dump
    #[arg(value_name = "ID")]
    pub id: String,
    /// Why it is kept
    #[arg(long, value_name = "TEXT", value_parser = parse_why)]
    pub why: String,
    /// The last day of the pin (UTC), or the moment of its end (RFC 3339) [default: until `unpin`]
    #[arg(long, value_name = "DATE", value_parser = parse_until)]
    pub until: Option<Timestamp>,
    #[command(flatten)]
    pub repos: RepoArgs,
}

#[derive(Group, Debug)]
pub struct Unpin {
    /// ID of a backup or a dump
    #[arg(value_name = "ID")]
    pub id: String,
    #[command(flatten)]
    pub repos: RepoArgs,
}

/// Rules of retention; given here they replace those of the configuration.
#[derive(Group, Clone, Debug)]
pub struct KeepArgs {
    /// Keep the newest N of the cluster and of each database
    #[arg(long, value_name = "N")]
    pub keep_last: Option<u32>,
    /// Keep all that are younger, e.g. 30d or 1year
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
    /// Keep every moment of this window: its WAL, and the backups that it begins with [default: all WAL from the oldest
    /// kept backup on]
    #[arg(long, value_name = "TIME")]
    pub keep_wal: Option<Span>,
}

const CHECK_HELP: &str = "\
Examples:
  For people and timers; status 4 when something needs attention:
    pg-backup check app --repo local
  For Nagios, Icinga and others:
    pg-backup check app --repo local --monitoring";

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

/// A reason, as one line.
fn parse_why(text: &str) -> Result<String, String> {
    let ok = !text.trim().is_empty() && text.len() <= 500 && !text.chars().any(char::is_control);
    ok.then(|| text.trim().to_string()).ok_or_else(|| "one line, at most 500 bytes".into())
}

/// A day, to its end in UTC, or a moment.
fn parse_until(text: &str) -> Result<Timestamp, String> {
    let end_of_day = |day: Date| Some(day.tomorrow().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp());
    let day = text.parse::<Date>().ok().filter(|_| text.len() == 10);
    let until = day.map_or_else(|| text.parse().ok(), end_of_day);
    until.ok_or_else(|| "a day, as 2027-06-30, or a moment, as 2027-06-30T12:00:00Z".into())
}

fn parse_label(text: &str) -> Result<String, String> {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ok = !text.is_empty() && text.len() <= 40 && text.chars().all(fine);
    ok.then(|| text.to_string()).ok_or_else(|| "lower-case letters, digits and '-', at most 40".into())
}
