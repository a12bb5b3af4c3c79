//! Flags of `status`; the doc comments are the help.

use super::ServerArgs;
use clap::Args as Group;
use toban_core::repo::RepoArgs;
use toban_core::{At, Monitoring};

const STATUS_HELP: &str = "\
Examples:
  One screen:
    pg-backup status
  For a mail every Monday, or a program:
    pg-backup status --json
  As a plugin, with what would be lost now and how long a restore takes as perfdata:
    pg-backup status --monitoring

What is told follows from the repositories, their proofs and the server's position; what nothing proves is UNKNOWN. It
is compared with [objectives] rpo, rto and window of the configuration.";

/// What is protected.
#[derive(Group, Debug)]
#[command(after_long_help = STATUS_HELP)]
pub struct StatusArgs {
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub repos: RepoArgs,
    #[command(flatten)]
    pub monitoring: Monitoring,
    #[command(flatten)]
    pub at: At,
}
