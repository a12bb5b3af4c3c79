//! Moves an application's JSON files to PostgreSQL and proves that every record can be rebuilt from there.

mod census;
mod cli;
mod export;
mod help;
mod json;
mod ledger;
mod load;
mod model;
mod plan;
mod proof;
mod rules;
mod run;
mod source;
mod target;
mod unexported;
mod verify;
mod write;

pub use cli::JsonMoveArgs;

use cli::JsonMoveVerb;
use toban_core::{Out, Result};

/// Runs the verb.
///
/// # Errors
/// Each verb says what it could not do; docs/EXIT-STATUS.md lists the kinds.
pub fn run(args: JsonMoveArgs, out: &mut Out<'_>) -> Result<()> {
    match &args.verb {
        JsonMoveVerb::Plan(verb) => plan::verb::run(verb, out),
        JsonMoveVerb::Run(verb) => run::run(verb, &args.common, out),
        JsonMoveVerb::Verify(verb) => verify::run(verb, out),
        JsonMoveVerb::Export(verb) => export::run(verb, out),
        JsonMoveVerb::Undo(verb) => run::undo::run(verb, out),
    }
}
