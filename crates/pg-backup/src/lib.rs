//! Takes, lists, verifies, restores and prunes PostgreSQL backups.

mod catalog;
mod check;
mod child;
mod cli;
mod cli_moment;
mod cli_physical;
mod cores;
mod database;
mod dump;
mod dump_plan;
mod dumped;
mod fanout;
mod gzip;
mod help;
mod help_physical;
mod hidden;
mod keep;
mod list;
mod lock;
mod manifest;
mod order;
mod outcome;
mod physical;
mod prune;
mod restore;
mod rows;
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
        Verb::Run(verb) => physical::run(verb, &config, out),
        Verb::Restore(verb) => physical::restore::run(verb, &config, out),
        Verb::Dump(verb) => dump::run(verb, &config, out),
        Verb::RestoreDump(verb) => restore::run(verb, &config, out),
        Verb::List(verb) => list::run(verb, &config, out),
        Verb::Verify(verb) => verify::run(verb, &config, out),
        Verb::Prune(verb) => prune::run(verb, &config, out),
        Verb::Check(verb) => check::run(verb, &config, out),
    }
}
