//! Tells certificates that expire, break or are not the ones being served, before users notice.

mod check;
mod cli;
mod endpoint;
mod facts;
mod files;
mod grade;
mod judge;
#[cfg(test)]
mod mutants;
mod net;
mod options;
mod revocation;
mod rules;
mod target;
mod threshold;
mod verify;

pub use cli::CertArgs;

use cli::CertVerb;
use toban_core::{Out, Result};

/// Runs the verb.
///
/// # Errors
/// Each verb says what it could not do; docs/EXIT-STATUS.md lists the kinds.
pub fn run(args: CertArgs, out: &mut Out<'_>) -> Result<()> {
    match &args.verb {
        CertVerb::Check(verb) => check::run_check(verb, args.common.quiet, &args.common.config()?, out),
        CertVerb::Verify(verb) => verify::run_verify(verb, out),
    }
}
