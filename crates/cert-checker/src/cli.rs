//! What the command line takes; the doc comments are the help, the manual page and the README's table.

use crate::cli_verify::Verify;
use clap::{Parser, Subcommand};
use toban_core::{Cli, Common};

/// Tell certificates that expire, break or are not the ones being served, before users notice.
#[derive(Parser, Debug)]
#[command(version, name = "cert-checker", max_term_width = 100)]
pub struct Args {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub verb: Verb,
}

impl Cli for Args {
    fn common(&self) -> &Common {
        &self.common
    }
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Judge whether a certificate's path to a trusted root is valid, from files alone
    Verify(Verify),
}
