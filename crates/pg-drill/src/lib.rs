//! Proves that backups restore: restores one, recovers, checks and compares it, and writes down the proof.

mod chart;
mod checks;
mod cli;
mod comparison;
mod drill;
mod findings;
mod help;
mod integrity;
mod live_server;
mod objectives;
mod plan;
mod proof;
mod recovered;
mod relations;
mod report;
mod repository;
mod restore;
mod rulebook;

pub use cli::DrillArgs;

use toban_core::private_server::Purpose;
use toban_core::{Out, Result};

/// What a drill's server is for.
const PURPOSE: Purpose =
    Purpose { tool: "pg-drill", what: "drill", variable: "TOBAN_DRILL_DIR", mark: "pg-drill-clears-this" };

/// Drills.
///
/// # Errors
/// Findings when the drill failed, with what it found; docs/EXIT-STATUS.md lists the other kinds.
pub fn run(args: DrillArgs, out: &mut Out<'_>) -> Result<()> {
    drill::run_drill(&args, out)
}
