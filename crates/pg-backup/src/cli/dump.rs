//! Flags of the verbs that make and restore dumps; the doc comments are the help.

use super::{ServerArgs, parse_label};
use clap::{Args as Group, ValueEnum};
use toban_core::DryRun;
use toban_core::repo::{IdentityArgs, RepoArgs};

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

const DUMP_HELP: &str = "\
Examples:
  Tonight's dump of one database, into a folder:
    pg-backup dump app --repo file:///var/backups/toban
  Every database, to a folder and a bucket in one pass:
    pg-backup dump --all --repo file:///var/backups/toban --repo s3://bucket/toban
  Plain SQL that `gunzip | psql` reads, by a role that is no superuser:
    pg-backup dump app --format sql --globals no-passwords --repo local

A dump is visible only when all of it is stored and pg_dump ended well, without warnings of skipped
objects. Rows of each table are counted in the dump's own snapshot; a restore is compared with them.
To read everything a role needs: grant pg_read_all_data to ROLE.";

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
    pub server: ServerArgs,
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
    /// Label that `list` shows, e.g. before-upgrade
    #[arg(long, value_name = "WORD", value_parser = parse_label)]
    pub label: Option<String>,
    #[command(flatten)]
    pub dry: DryRun,
}

const RESTORE_DUMP_HELP: &str = "\
Examples:
  Look at last night's dump beside the live database:
    pg-backup restore-dump latest --of app --into app_copy --repo local
  Put it in the place of the live database, whose present state is dumped first:
    pg-backup restore-dump 20261121T030000Z-120034 --replace app --repo local
  A file that `pg_dump | gzip` wrote:
    pg-backup restore-dump s3://bucket/old/app-2025-11-02.sql.gz --into app_2025

The dump is read to its end and checked first. It is loaded under another name, its rows are compared
with those counted when it was dumped, and only then do the names change, in one transaction. If this
process dies at any instant, the old or the new database is in service; run the same command again.
What was written after the safety dump began is never lost: the old database is then kept.";

#[derive(Group, Debug)]
#[command(after_long_help = RESTORE_DUMP_HELP)]
#[command(group(clap::ArgGroup::new("target").required(true).args(["into", "replace"])))]
pub struct RestoreDump {
    /// A dump's ID, `latest`, or another program's dump: path or URL (file://, s3://, az://, gs://) of a .dump, .sql, .sql.gz, or folder
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
    pub server: ServerArgs,
    #[command(flatten)]
    pub repos: RepoArgs,
    #[command(flatten)]
    pub identity: IdentityArgs,
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
