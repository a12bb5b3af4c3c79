//! Takes, lists, verifies, restores and prunes PostgreSQL backups.

mod cli;

pub use cli::Args;

use cli::Verb;
use toban_core::{Out, Result};

/// Runs the verb.
///
/// # Errors
/// Each verb says what it could not do; docs/EXIT-STATUS.md lists the kinds.
pub fn run(args: Args, _out: &mut Out<'_>) -> Result<()> {
    match args.verb {
        Verb::Dump(_) => Ok(()),
        _ => Ok(()),
    }
}
