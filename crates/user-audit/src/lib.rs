//! Audits who has access to an application and to PostgreSQL, and what changed since the last review.

mod accept;
mod app;
mod audit;
mod cli;
mod csv;
mod finding;
mod help;
mod ledger;
mod mapping;
mod pack;
mod population;
mod redact;
mod review;
mod roles;
mod rulebook;
mod settings;
mod source;
mod spool;
mod totals;

pub use cli::AuditArgs;
pub use roles::graph;

use cli::AuditVerb;
use toban_core::{Out, Result};

/// Runs the verb.
///
/// # Errors
/// Each verb says what it could not do; docs/EXIT-STATUS.md lists the kinds.
pub fn run(args: AuditArgs, out: &mut Out<'_>) -> Result<()> {
    let config = args.common.config()?;
    match &args.verb {
        AuditVerb::App(verb) => app::audit_app(verb, &config, out),
        AuditVerb::Roles(verb) => roles::audit_roles(verb, &config, out),
        AuditVerb::Accept(verb) => accept::accept_pack(verb, &config, out),
    }
}
