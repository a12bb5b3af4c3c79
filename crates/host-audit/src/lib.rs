//! Audits what listens, runs, may become root and changed on a host since the last review.

mod accept;
mod baseline;
mod cli;
mod delta;
mod fact;
mod finding;
mod help;
mod host;
mod japanese;
mod list;
mod look;
mod memory;
mod observe;
mod pack;
mod rules;
mod run;
mod settings;
mod state;
mod subject;
mod verify;

pub use cli::HostArgs;

use cli::HostVerb;
use toban_core::{Out, Result};

/// Runs the verb.
///
/// # Errors
/// Each verb says what it could not do; docs/EXIT-STATUS.md lists the kinds.
pub fn run(args: HostArgs, out: &mut Out<'_>) -> Result<()> {
    let config = args.common.config()?;
    match &args.verb {
        HostVerb::Run(verb) => run::run_audit(verb, &config, out),
        HostVerb::List(verb) => list::list_facts(verb, out),
        HostVerb::Accept(verb) => accept::accept_facts(verb, &config, out),
        HostVerb::Verify(verb) => verify::verify_pack(verb, &config, out),
    }
}
