//! Moves a SQLite database to PostgreSQL and proves that every value arrived.

mod cli;
mod help;
mod load;
mod model;
mod plan;
mod profile;
mod run;
mod source;
mod target;
mod threads;
mod translate;
mod verify;

pub use cli::MigrationArgs;

use cli::MigrationVerb;
use toban_core::{Out, Result};

/// Runs the verb.
///
/// # Errors
/// Each verb says what it could not do; docs/EXIT-STATUS.md lists the kinds.
pub fn run(args: MigrationArgs, out: &mut Out<'_>) -> Result<()> {
    let quiet = args.common.quiet;
    match &args.verb {
        MigrationVerb::Verify(verb) => verify::run(verb, quiet, out),
        MigrationVerb::Plan(verb) => plan::verb::run(verb, quiet, out),
        MigrationVerb::Run(verb) => run::run(verb, &args.common, out),
    }
}
