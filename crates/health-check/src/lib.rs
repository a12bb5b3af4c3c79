//! Tells whether a machine, its databases and its services are well, and judges a roll-out.

mod cli;
mod damping;
mod gate;
mod help;
mod machine;
mod net;
mod postgres;
mod program;
mod reading;
mod rules;
mod run;
mod service;
mod settings;
mod traffic;

pub use cli::HealthArgs;

use cli::HealthVerb;
use toban_core::{Out, Result};

/// Runs the verb.
///
/// # Errors
/// Each verb says what it could not do; docs/EXIT-STATUS.md lists the kinds.
pub fn run(args: HealthArgs, out: &mut Out<'_>) -> Result<()> {
    let config = args.common.config()?;
    match &args.verb {
        HealthVerb::Run(verb) => run::run_checks(verb, &config, out),
        HealthVerb::Gate(verb) => gate::judge_rollout(verb, out),
    }
}
