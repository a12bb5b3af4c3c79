//! Flags of `init`; the doc comments are the help.

use super::ServerArgs;
use clap::{Args as Group, ValueEnum};
use std::path::PathBuf;
use toban_core::DryRun;
use toban_core::repo::RepoArgs;

const INIT_HELP: &str = "\
Examples:
  What would be done for the only server of this machine, and the configuration file that would be written:
    sudo pg-backup init --repo file:///mnt/backups/toban
  Do it: configuration, units, the stream of the WAL, the first backup, its verification, a restore on trial:
    sudo pg-backup init --repo file:///mnt/backups/toban --apply --yes
  Everything that a bucket needs: both policies and the lifecycle rules:
    pg-backup init --s3 --repo s3://example-backups/toban
  The least that the credentials of run, dump, copy and wal-shipper need, and of restore, verify and check:
    pg-backup init --policy --repo s3 > writer.json
    aws iam put-user-policy --user-name backup --policy-name toban --policy-document file://writer.json
  What those of `prune` need, which should be others, on another machine:
    pg-backup init --policy=prune --repo s3 > prune.json
  A configuration out of that of another tool:
    pg-backup init --from /etc/pgbackrest.conf > toban.toml

The plan is printed and nothing is done without --apply. A second run tells what is there already and what differs; init
overwrites no file. A policy may neither end a lock before its time, nor change the bucket. Who writes may not delete:
what is written under a name that was used is another version there, which nothing reads where the bucket has Object
Lock.";

/// What to prepare.
#[derive(Group, Debug)]
#[command(after_long_help = INIT_HELP)]
pub struct Init {
    /// Carry the plan out
    #[arg(long, conflicts_with_all = ["policy", "s3", "from", "dry_run"])]
    pub apply: bool,
    /// Ask nothing
    #[arg(long, requires = "apply")]
    pub yes: bool,
    /// Print the IAM policy of the credentials that write, or of those that prune, as one line of JSON
    #[arg(long, value_name = "OF", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "writer")]
    pub policy: Option<PolicyOf>,
    /// Print both policies and the lifecycle rules that a bucket needs
    #[arg(long, conflicts_with = "policy")]
    pub s3: bool,
    /// Translate this configuration of pgBackRest, Barman or WAL-G, and list what has no counterpart
    #[arg(long, value_name = "FILE", conflicts_with_all = ["policy", "s3"])]
    pub from: Option<PathBuf>,
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub repos: RepoArgs,
    #[command(flatten)]
    pub dry: DryRun,
}

/// Whose credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PolicyOf {
    /// Who writes and reads, and deletes nothing
    Writer,
    /// Who deletes what the rules no longer keep
    Prune,
}
