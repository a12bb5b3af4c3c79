//! Tells certificates that expire, break or are not the ones being served, before users notice.

mod check;
mod cli;
mod cli_verify;
mod facts;
mod finding;
mod grade;
mod help;
mod judge;
mod net;
mod revocation;
mod settings;
mod store;
mod target;
mod threshold;
mod verify;
mod wishes;

pub use cli::Args;

use cli::Verb;
use toban_core::{Out, Result};

/// Runs the verb.
///
/// # Errors
/// Each verb says what it could not do; docs/EXIT-STATUS.md lists the kinds.
pub fn run(args: Args, out: &mut Out<'_>) -> Result<()> {
    match &args.verb {
        Verb::Check(verb) => check::run(verb, args.common.quiet, &args.common.config()?, out),
        Verb::Verify(verb) => verify::run(verb, out),
    }
}
