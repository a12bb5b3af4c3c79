//! Proves that backups restore: restores one, recovers, checks and compares it, and writes down the proof.

mod archived;
mod chart;
mod checks;
mod cli;
mod compare;
mod conf;
mod control;
mod drill;
mod finding;
mod help;
mod inspect;
mod integrity;
mod live;
mod objectives;
mod plan;
mod process;
mod proof;
mod recovered;
mod report;
mod restore;
mod said;
mod scratch;
mod server;

pub use cli::Args;

use toban_core::{Out, Result};

/// Drills.
///
/// # Errors
/// Findings when the drill failed, with what it found; docs/EXIT-STATUS.md lists the other kinds.
pub fn run(args: Args, out: &mut Out<'_>) -> Result<()> {
    drill::run(&args, out)
}
