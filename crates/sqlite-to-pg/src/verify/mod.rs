//! The independent comparison: what PostgreSQL returns against what SQLite holds.

use crate::cli::Verify;
use crate::plan::Plan;
use rusqlite::Connection;
use toban_core::pg::ConnInfo;
use toban_core::{Out, Result};

/// The verb `verify`.
///
/// # Errors
/// Findings when the copy differs; those of either database.
pub(crate) fn run(_args: &Verify, _quiet: bool, _out: &mut Out<'_>) -> Result<()> {
    Ok(())
}

/// What `run` ends with: every table of `plan` compared. `readers` are connections inside read transactions that all
/// see the very snapshot which was copied; they may be used by one thread each.
///
/// # Errors
/// Those of either database; a difference is not an error but in the answer.
pub(crate) fn prove(
    _plan: &Plan,
    _readers: &mut [Connection],
    _to: &ConnInfo,
    _quiet: bool,
) -> Result<Proof> {
    Ok(Proof::default())
}

/// The outcome of a comparison.
#[derive(Debug, Default)]
pub(crate) struct Proof {
    /// Every difference in words: table, key, column, both values. Bounded; `total` counts them all.
    pub(crate) differences: Vec<String>,
    /// How many differences there are.
    pub(crate) total: u64,
    /// Rows that were compared.
    pub(crate) rows: u64,
}
