//! One run of a verb for each cluster on this machine.

use toban_core::Result;
use toban_core::durable::{Lock, state_dir};

/// Takes the lock of `verb` on `cluster`.
///
/// # Errors
/// Retry when another run has it; the message names that run.
pub(crate) fn take(verb: &str, cluster: &str) -> Result<Lock> {
    let path = state_dir().join("lock").join(format!("pg-backup-{verb}-{cluster}.lock"));
    Lock::take(&path, &format!("pg-backup {verb} of cluster {cluster}"))
}
