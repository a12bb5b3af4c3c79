//! Moves a SQLite database to PostgreSQL and proves that every value arrived.

mod cli;
mod help;
mod live;
mod live_args;
mod live_help;
mod load;
mod model;
mod plan;
mod profile;
mod rehearse;
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
        MigrationVerb::Capture(verb) => live::capture::run(verb, out),
        MigrationVerb::Sync(verb) => live::sync::run(verb, out),
        MigrationVerb::Cutover(verb) if verb.rehearse => rehearse::run(verb, &args.common, out),
        MigrationVerb::Cutover(verb) => live::cutover::run(verb, out),
        MigrationVerb::Fallback(verb) => live::fallback::run(verb, out),
        MigrationVerb::Status(verb) => live::status::run(verb, out),
        MigrationVerb::Plan(verb) => plan::verb::run(verb, quiet, out),
        MigrationVerb::Run(verb) => run::run(verb, &args.common, out),
    }
}
