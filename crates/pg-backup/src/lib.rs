//! Takes, lists, verifies, restores and prunes PostgreSQL backups.

mod check;
mod child;
mod cli;
mod data_dir;
mod database;
mod dump;
mod format;
mod list;
mod machine;
mod prune;
mod reach;
mod restore;
mod restore_dump;
mod retention;
mod rows;
mod rulebook;
mod run;
mod server;
mod verify;

pub use cli::Args;

use cli::Verb;
use toban_core::{Out, Result};

/// Runs the verb.
///
/// # Errors
/// Each verb says what it could not do; docs/EXIT-STATUS.md lists the kinds.
pub fn run(args: Args, out: &mut Out<'_>) -> Result<()> {
    let config = args.common.config()?;
    match &args.verb {
        Verb::Run(verb) => run::run(verb, &config, out),
        Verb::Restore(verb) => restore::run(verb, &config, out),
        Verb::Dump(verb) => dump::run(verb, &config, out),
        Verb::RestoreDump(verb) => restore_dump::run(verb, &config, out),
        Verb::List(verb) => list::run(verb, &config, out),
        Verb::Verify(verb) => verify::run(verb, &config, out),
        Verb::Prune(verb) => prune::run(verb, &config, out),
        Verb::Check(verb) => check::run(verb, &config, out),
    }
}
