//! Tells certificates that expire, break or are not the ones being served, before users notice.

mod cli;
mod cli_verify;
mod help;
pub mod path;
mod verify;

pub use cli::Args;

use cli::Verb;
use toban_core::{Out, Result};

/// Runs the verb.
///
/// # Errors
/// Each verb says what it could not do; docs/EXIT-STATUS.md lists the kinds.
pub fn run(args: Args, out: &mut Out<'_>) -> Result<()> {
    match &args.verb {
        Verb::Verify(verb) => verify::run(verb, out),
    }
}
