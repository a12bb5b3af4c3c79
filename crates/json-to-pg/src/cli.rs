//! What the command line takes; the doc comments are the help, the manual page and the README's table.

use crate::help::{EXPORT_HELP, PLAN_HELP, RUN_HELP, UNDO_HELP, VERIFY_HELP};
use clap::{Args as Group, Parser, Subcommand};
use std::path::PathBuf;
use toban_core::check::Rule;
use toban_core::sign::SignArgs;
use toban_core::{Cli, Common, DryRun};

/// Move an application's JSON files to PostgreSQL and prove that every record can be rebuilt from there.
#[derive(Parser, Debug)]
#[command(version, name = "json-to-pg", max_term_width = 100)]
pub struct JsonMoveArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub verb: JsonMoveVerb,
}

impl Cli for JsonMoveArgs {
    fn common(&self) -> &Common {
        &self.common
    }

    fn rules() -> &'static [&'static Rule] {
        crate::rules::RULES
    }
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum JsonMoveVerb {
    /// Read every record of the files, say what each path would become, and ask what only people know
    Plan(Box<JsonPlanArgs>),
    /// Load the files by a plan, in one transaction, and prove them inside of it
    Run(JsonRunArgs),
    /// Compare the files with what the last run loaded, record by record
    Verify(JsonVerifyArgs),
    /// Write the application's files from what the database holds now
    Export(ExportArgs),
    /// Remove the rows of the last run, where they are as it left them
    Undo(UndoArgs),
}

#[derive(Group, Debug)]
#[command(after_long_help = PLAN_HELP)]
pub struct JsonPlanArgs {
    /// The folder of the files, or files of one folder
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// Write the plan to this file (TOML), to answer and to give to `run`
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Plan for tables that the application's own migrations made in this database
    #[arg(long = "for", value_name = "CONNINFO", conflicts_with_all = ["explode", "split", "keep_order", "snake_case", "schema"])]
    pub target: Option<String>,
    /// The table of a file, where names do not tell: FILE=SCHEMA.TABLE; may be given several times
    #[arg(long, value_name = "FILE=TABLE")]
    pub table: Vec<String>,
    /// The list of objects at FILE:PATH becomes rows of a table of its own; may be given several times
    #[arg(long, value_name = "FILE:PATH")]
    pub explode: Vec<String>,
    /// The members of the object at FILE:PATH become columns; may be given several times
    #[arg(long, value_name = "FILE:PATH")]
    pub split: Vec<String>,
    /// The zone of times that name none, as Asia/Tokyo [default: it is asked]
    #[arg(long, value_name = "ZONE")]
    pub zone: Option<String>,
    /// Another copy of the files: where it differs, it is asked which one is right
    #[arg(long, value_name = "DIR")]
    pub copy: Option<PathBuf>,
    /// New tables get a column source_ord with the place of the record in its file
    #[arg(long)]
    pub keep_order: bool,
    /// New names are snake_case: userId becomes user_id
    #[arg(long)]
    pub snake_case: bool,
    /// Schema of new tables
    #[arg(long, value_name = "NAME", default_value = "public")]
    pub schema: String,
}

#[derive(Group, Debug)]
#[command(after_long_help = RUN_HELP)]
pub struct JsonRunArgs {
    /// The plan, with every question answered
    #[arg(value_name = "PLAN")]
    pub plan: PathBuf,
    /// The target: a libpq connection string or URI [default: DATABASE_URL, then PG* variables]
    #[arg(long, value_name = "CONNINFO")]
    pub to: Option<String>,
    /// The folder of the files [default: the one of the plan]
    #[arg(long, value_name = "DIR")]
    pub from: Option<PathBuf>,
    /// Write what was loaded and proven into this file too, one JSON object a line
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    pub report: Option<PathBuf>,
    #[command(flatten)]
    pub sign: SignArgs,
    #[command(flatten)]
    pub dry_run: DryRun,
}

#[derive(Group, Debug)]
#[command(after_long_help = VERIFY_HELP)]
pub struct JsonVerifyArgs {
    /// The database: a libpq connection string or URI [default: DATABASE_URL, then PG* variables]
    #[arg(long, value_name = "CONNINFO")]
    pub against: Option<String>,
    /// The folder of the files [default: the one of the plan]
    #[arg(long, value_name = "DIR")]
    pub from: Option<PathBuf>,
}

#[derive(Group, Debug)]
#[command(after_long_help = EXPORT_HELP)]
pub struct ExportArgs {
    /// The folder that the files are written to; it must not hold files of their names
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// The database: a libpq connection string or URI [default: DATABASE_URL, then PG* variables]
    #[arg(long, value_name = "CONNINFO")]
    pub against: Option<String>,
}

#[derive(Group, Debug)]
#[command(after_long_help = UNDO_HELP)]
pub struct UndoArgs {
    /// The database: a libpq connection string or URI [default: DATABASE_URL, then PG* variables]
    #[arg(long, value_name = "CONNINFO")]
    pub to: Option<String>,
    #[command(flatten)]
    pub dry_run: DryRun,
}
