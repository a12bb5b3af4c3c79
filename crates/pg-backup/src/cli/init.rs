//! Flags of `init`; the doc comments are the help.

use clap::{Args as Group, ValueEnum};
use toban_core::repo::RepoArgs;

const INIT_HELP: &str = "\
Examples:
  The least that the credentials of run, dump, copy and wal-shipper need, and of restore, verify and check:
    pg-backup init --policy --repo s3 > writer.json
    aws iam put-user-policy --user-name backup --policy-name toban --policy-document file://writer.json
  What those of `prune` need, which should be others, on another machine:
    pg-backup init --policy=prune --repo s3 > prune.json

Neither may end a lock before its time, or change the bucket. Who writes may not delete: what is written under a name
that was used is another version there, which nothing reads where the bucket has Object Lock.";

/// What to prepare.
#[derive(Group, Debug)]
#[command(after_long_help = INIT_HELP)]
pub struct Init {
    /// Print the IAM policy of the credentials that write, or of those that prune, as one line of JSON
    #[arg(long, value_name = "OF", value_enum, required = true, num_args = 0..=1, require_equals = true, default_missing_value = "writer")]
    pub policy: PolicyOf,
    #[command(flatten)]
    pub repos: RepoArgs,
}

/// Whose credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PolicyOf {
    /// Who writes and reads, and deletes nothing
    Writer,
    /// Who deletes what the rules no longer keep
    Prune,
}
