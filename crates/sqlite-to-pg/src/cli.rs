//! What the command line takes; the doc comments are the help, the manual page and the README's table.

use crate::help::{PLAN_HELP, RUN_HELP, VERIFY_HELP};
use crate::live_args::{CaptureArgs, CutoverArgs, FallbackArgs, LiveStatusArgs, SyncArgs};
use crate::model::{Action, Policy};
use clap::{Args as Group, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use toban_core::sign::SignArgs;
use toban_core::{Cli, Common};

/// Move a SQLite database to PostgreSQL and prove that every value arrived.
#[derive(Parser, Debug)]
#[command(version, name = "sqlite-to-pg", max_term_width = 100)]
pub struct MigrationArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub verb: MigrationVerb,
}

impl Cli for MigrationArgs {
    fn common(&self) -> &Common {
        &self.common
    }
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum MigrationVerb {
    /// Read the file once and say what each table and column would become, and why
    Plan(PlanArgs),
    /// Copy everything, compare it, and only then put it in place
    Run(Box<RunArgs>),
    /// Compare a copy with its source, value by value
    Verify(VerifyArgs),
    /// Log every change of a file in use, so that its copy can follow
    Capture(CaptureArgs),
    /// Apply the logged changes to the copy
    Sync(SyncArgs),
    /// Stop the writes to the file, apply and compare the last changes, and switch the application over
    Cutover(CutoverArgs),
    /// Bring what was written to PostgreSQL back into the file, and the application with it
    Fallback(FallbackArgs),
    /// Say how far a live move is
    Status(LiveStatusArgs),
}

/// What moves, and by which names and types.
#[derive(Group, Clone, Debug)]
pub struct Rules {
    /// Only tables that this matches (`*` and `?` are wildcards); may be given several times
    #[arg(long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// Leave out what this matches: a table, a column as TABLE.COLUMN, else a view, trigger or index by its name; KIND:NAME, as
    /// the report has them, for anything else (default:T.C, check:T.NAME); may be given several times
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// With tables of the application: the value of a column that the source does not have, TABLE.COLUMN=EXPRESSION in
    /// PostgreSQL's SQL; may be given several times
    #[arg(long, value_name = "RULE")]
    pub set: Vec<String>,
    /// Another name for a table or a column: OLD=NEW or TABLE.OLD=NEW; may be given several times
    #[arg(long, value_name = "OLD=NEW")]
    pub rename: Vec<String>,
    /// Make names snake_case: userId becomes user_id
    #[arg(long)]
    pub snake_case: bool,
    /// How a column is converted: TABLE.COLUMN=CONVERSION or TABLE.COLUMN=TYPE:CONVERSION, e.g.
    /// users.created_at=epoch-ms; may be given several times
    #[arg(long, value_name = "RULE")]
    pub cast: Vec<String>,
    /// What happens to values that do not fit, where the plan does not say it [default: the column's type is
    /// widened until all fit; NUL bytes and broken UTF-8 are replaced]
    #[arg(long, value_enum, value_name = "POLICY")]
    pub on_invalid: Option<OnInvalid>,
    /// What happens to rows whose foreign key has no parent [default: keep]
    #[arg(long, value_enum, value_name = "POLICY")]
    pub orphans: Option<OnOrphan>,
    /// Keep SQLite's rowid as a column, in tables where no column is an alias of it
    #[arg(long)]
    pub keep_rowid: bool,
    /// Texts compare and sort byte by byte as in SQLite: COLLATE "C"
    #[arg(long)]
    pub collate_c: bool,
    /// Schema of the target
    #[arg(long, value_name = "NAME", default_value = "public")]
    pub schema: String,
}

/// What `--orphans` takes.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnOrphan {
    /// Leave the row out, and list it with the rejects; so too the rows that refer to it
    Reject,
    /// Put NULL into the columns of its key, and list it with the rejects; a key of NOT NULL columns alone is kept
    Null,
    /// Copy it as it is: the key is NOT VALID, and the report counts the rows
    Keep,
}

/// What `--on-invalid` takes.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnInvalid {
    /// Leave the row out
    Reject,
    /// Put NULL in its place
    Null,
    /// Make the column text
    Text,
    /// Make the column bytea
    Bytea,
    /// Put the nearest value that fits in its place
    Replace,
    /// Round times that are finer than a microsecond, or than the target's type; no reject, and nothing else changes
    Round,
    /// Read texts that are not UTF-8 as Windows-1252 (Latin-1 is a part of it); no reject, and nothing else changes
    Cp1252,
}

impl OnInvalid {
    /// Whether it leaves the types of columns alone, and is only about one kind of value.
    pub(crate) fn keeps_types(self) -> bool {
        matches!(self, OnInvalid::Round | OnInvalid::Cp1252)
    }

    /// The policy of the columns that it is about.
    pub(crate) fn policy(self) -> Policy {
        match self {
            OnInvalid::Reject => Policy::Reject,
            OnInvalid::Null => Policy::Null,
            OnInvalid::Round => Policy::Round,
            OnInvalid::Cp1252 => Policy::Cp1252,
            OnInvalid::Replace | OnInvalid::Text | OnInvalid::Bytea => Policy::Replace,
        }
    }
}

#[derive(Group, Debug)]
#[command(after_long_help = PLAN_HELP)]
pub struct PlanArgs {
    /// The SQLite file
    #[arg(value_name = "DB")]
    pub db: PathBuf,
    /// Write the plan to this file (TOML), to edit and to give to `run --plan`
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Plan for tables that the application's own migrations made in this database
    #[arg(long = "for", value_name = "CONNINFO")]
    pub target: Option<String>,
    /// Threads that read
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=32))]
    pub jobs: Option<u16>,
    #[command(flatten)]
    pub rules: Rules,
}

#[derive(Group, Debug)]
#[command(after_long_help = RUN_HELP)]
pub struct RunArgs {
    /// The SQLite file
    #[arg(value_name = "DB")]
    pub db: PathBuf,
    /// The target, as --to
    #[arg(value_name = "TARGET", conflicts_with = "to")]
    pub target: Option<String>,
    /// The target: a libpq connection string or URI [default: DATABASE_URL, then PG* variables]
    #[arg(long, value_name = "CONNINFO")]
    pub to: Option<String>,
    /// Copy by this plan
    #[arg(long, value_name = "FILE", conflicts_with_all = ["include", "exclude", "rename", "snake_case", "cast", "on_invalid", "orphans", "keep_rowid", "collate_c", "schema", "existing", "set"])]
    pub plan: Option<PathBuf>,
    /// Load into tables that the application made, and what happens to the rows that they hold
    #[arg(long, value_enum, value_name = "ACTION")]
    pub(crate) existing: Option<Action>,
    /// Connections that copy, and threads that read
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=32))]
    pub jobs: Option<u16>,
    /// Load and compare in a schema of its own, say how long it took, and drop it
    #[arg(long)]
    pub trial: bool,
    /// Load again only the rows that this list of an earlier run names (its rejects.jsonl), now that a rule changed
    #[arg(long, value_name = "FILE", conflicts_with_all = ["trial", "plan", "existing", "include", "exclude", "orphans"])]
    pub rejects: Option<PathBuf>,
    /// Copy what a damaged file still gives, and say what it does not; needs room for a copy of the file in the folder for
    /// temporary files
    #[arg(long, conflicts_with = "rejects")]
    pub salvage: bool,
    /// Undo the last run into the schema
    #[arg(long, conflicts_with_all = ["trial", "plan", "existing", "rejects", "salvage"])]
    pub undo: bool,
    /// With --undo: also when rows were written to the tables since the run; they are lost
    #[arg(long, requires = "undo")]
    pub even_if_changed: bool,
    /// Put the copy in place without comparing it
    #[arg(long)]
    pub no_verify: bool,
    /// End with status 0 although there are rejects, as with accept_rejects in every table of the plan
    #[arg(long)]
    pub accept_rejects: bool,
    /// Folder for the report, the rejects and what is left to do by hand [default: NAME-migration in the working
    /// directory, when there is anything to write]
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    #[command(flatten)]
    pub sign: SignArgs,
    #[command(flatten)]
    pub rules: Rules,
}

#[derive(Group, Debug)]
#[command(after_long_help = VERIFY_HELP)]
pub struct VerifyArgs {
    /// The SQLite file
    #[arg(value_name = "DB")]
    pub db: PathBuf,
    /// The copy: a libpq connection string or URI [default: DATABASE_URL, then PG* variables]
    #[arg(long, value_name = "CONNINFO")]
    pub against: Option<String>,
    /// The plan it was copied by [default: the one that `run` kept beside the copy; for other copies, names and types
    /// are matched]
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
    /// Schema of the copy
    #[arg(long, value_name = "NAME", default_value = "public")]
    pub schema: String,
}
