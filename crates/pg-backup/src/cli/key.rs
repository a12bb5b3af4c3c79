//! Flags of `key`; the doc comments are the help.

use clap::{Args as Group, Subcommand};
use std::path::PathBuf;
use toban_core::repo::{IdentityArgs, RepoArgs};

/// The keys that encrypted content is written to and read with.
#[derive(Group, Debug)]
pub struct KeyArgs {
    #[command(subcommand)]
    pub verb: KeyVerb,
}

/// What to do with keys.
#[derive(Subcommand, Debug)]
pub enum KeyVerb {
    /// Make an identity, and say what to write on paper
    New(KeyNew),
    /// List who can read what the repositories hold
    Check(KeyCheck),
    /// Prove that an identity opens the newest backup, WAL and dump
    Test(KeyTest),
}

const NEW_HELP: &str = "\
Examples:
  On the terminal, to be written on paper:
    pg-backup key new
  Onto another machine, which is where restores and drills are made:
    pg-backup key new | ssh restore.example.org 'umask 077; cat > identity.txt'
  Into a file of this machine, such as a stick that is taken away again:
    pg-backup key new --here /media/stick/identity.txt

The identity opens everything that is encrypted to its recipient. A server that keeps it gives it to whoever breaks in:
the server needs the recipient alone, in `recipients_file`. Keep two copies in two places, one of them on paper.";

#[derive(Group, Debug)]
#[command(after_long_help = NEW_HELP)]
pub struct KeyNew {
    /// Write the identity into this file, which must not be there yet, and not to stdout
    #[arg(long, value_name = "FILE")]
    pub here: Option<PathBuf>,
}

const CHECK_HELP: &str = "\
Examples:
  Who can read what, and is there anything that only a removed recipient can read:
    pg-backup key check

Status 4 where what is kept can be read by nobody whom `recipients_file` names, or by everybody although it names
somebody.";

#[derive(Group, Debug)]
#[command(after_long_help = CHECK_HELP)]
pub struct KeyCheck {
    #[command(flatten)]
    pub repos: RepoArgs,
}

const TEST_HELP: &str = "\
Examples:
  Once a month, on the machine where restores are made:
    pg-backup key test --identity identity.txt --repo s3://bucket/toban

The index of the newest backup, the newest segment of the WAL and the row counts of the newest dump of each database
are read and decrypted whole, of the dump's content and the backup's first pack the beginning. A drill proves more.";

#[derive(Group, Debug)]
#[command(after_long_help = TEST_HELP)]
pub struct KeyTest {
    #[command(flatten)]
    pub identity: IdentityArgs,
    #[command(flatten)]
    pub repos: RepoArgs,
}
