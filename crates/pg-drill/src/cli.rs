//! What the command line takes; the doc comments are the help and the manual page.

use crate::help::HELP;
use clap::{Parser, ValueEnum};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use toban_core::check::Rule;
use toban_core::config::Span;
use toban_core::repo::{IdentityArgs, RepoArgs};
use toban_core::sign::SignArgs;
use toban_core::{Cli, Common, DryRun, Monitoring};

/// Prove that backups restore: restore one, recover, check and compare it, and write down the proof.
#[derive(Parser, Debug)]
#[command(version, name = "pg-drill", max_term_width = 100, after_help = HELP)]
pub struct DrillArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub repos: RepoArgs,
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// Live server to compare with: a libpq connection string or URI [default: the cluster's db in the configuration]
    #[arg(long, value_name = "CONNINFO")]
    pub db: Option<String>,
    /// Compare with no live server, whatever the configuration says
    #[arg(long, conflicts_with = "db")]
    pub no_live: bool,
    /// SQL file of queries with expected results; may be given several times
    #[arg(long, value_name = "FILE")]
    pub checks: Vec<PathBuf>,
    /// Fail when more than this is lost, counted back from the beginning of the drill, e.g. 15min
    #[arg(long, value_name = "TIME")]
    pub rpo: Option<Span>,
    /// Fail when it takes longer from the beginning of the restore to the first answer, e.g. 1h
    #[arg(long, value_name = "TIME")]
    pub rto: Option<Span>,
    /// What the command restores into
    #[arg(long, value_enum)]
    pub into: Option<Target>,
    /// Folder that the drill works in and clears afterwards; as root it must be given
    /// [default: drill/CLUSTER in the state directory]
    #[arg(long, value_name = "DIR")]
    pub work_dir: Option<PathBuf>,
    /// Libraries that the restored server preloads, separated by commas [default: none]
    #[arg(long, value_name = "LIBS")]
    pub preload: Option<String>,
    /// Superuser of the restored server [default: that of the live server, else postgres]
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,
    /// Operating system user that restores and runs the server, when started as root
    #[arg(long, value_name = "NAME", default_value = "postgres")]
    pub user: String,
    /// Folder of PostgreSQL's programs [default: that of the backup's major on this machine]
    #[arg(long, value_name = "DIR", env = "TOBAN_PG_BIN", hide_env_values = true)]
    pub bin_dir: Option<PathBuf>,
    /// Count the rows of tables up to this size, e.g. 1G; each is read on the live server too
    #[arg(long, value_name = "BYTES", default_value = "1G", value_parser = bytes)]
    pub count_up_to: u64,
    /// Do not run pg_amcheck
    #[arg(long)]
    pub no_amcheck: bool,
    /// Give up, and fail, after this time
    #[arg(long, value_name = "TIME", default_value = "6h")]
    pub timeout: Span,
    /// Where the report goes [default: beside the proof in the state directory]
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    #[command(flatten)]
    pub sign: SignArgs,
    /// Keep what was restored, and the logs; the next drill clears them
    #[arg(long)]
    pub keep: bool,
    #[command(flatten)]
    pub monitoring: Monitoring,
    #[command(flatten)]
    pub dry: DryRun,
    /// Command that restores; {dir} is the data directory to make, {tablespaces} a folder for tablespaces
    /// [default: pg-backup restore --target latest]
    #[arg(value_name = "COMMAND", last = true)]
    pub command: Vec<String>,
}

impl Cli for DrillArgs {
    fn common(&self) -> &Common {
        &self.common
    }

    fn rules() -> &'static [&'static Rule] {
        crate::rulebook::RULES
    }
}

/// What a restore command restores into.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// A data directory, which the drill then starts a server in
    Directory,
    /// An empty server of the drill's own, by PGHOST and PGPORT: for dumps
    Server,
}

fn bytes(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&text[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&text[..at], 1 << 30),
        Some((at, 't' | 'T')) => (&text[..at], 1 << 40),
        _ => (text, 1),
    };
    let bytes = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
    bytes.ok_or_else(|| "a number of bytes, which K, M, G or T may follow".into())
}
