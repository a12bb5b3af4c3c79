//! Flags of `doctor`; the doc comments are the help.

use super::ServerArgs;
use clap::Args as Group;
use toban_core::repo::RepoArgs;
use toban_core::{At, Monitoring};

const DOCTOR_HELP: &str = "\
Examples:
  As the owner of the data directory, or as root, on the server's machine:
    sudo -u postgres pg-backup doctor
  What is wrong and how to correct it, as JSON:
    pg-backup doctor --json

doctor changes nothing. It judges the set-up: `pg-backup check` and `wal-shipper check` tell whether the promise is
kept now. What could not be looked at is UNKNOWN, with the right that is missing. An [[accept]] entry of the
configuration accepts what is intended.";

/// What is set up wrong.
#[derive(Group, Debug)]
#[command(after_long_help = DOCTOR_HELP)]
pub struct Doctor {
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub repos: RepoArgs,
    #[command(flatten)]
    pub monitoring: Monitoring,
    #[command(flatten)]
    pub at: At,
}
