//! One run of a verb for each cluster on this machine.

use toban_core::durable::{Lock, state_dir};
use toban_core::{Kind, Result};

/// Takes the lock of `verb` on `cluster`.
///
/// # Errors
/// Retry when another run has it; the message names that run.
pub(crate) fn take(verb: &str, cluster: &str) -> Result<Lock> {
    let path = state_dir().join("lock").join(format!("pg-backup-{verb}-{cluster}.lock"));
    let cure = "TOBAN_STATE_DIR names a folder that this user may write";
    Lock::take(&path, &format!("pg-backup {verb} of cluster {cluster}")).map_err(|e| match e.kind() {
        Kind::Failed => e.hint(cure),
        _ => e,
    })
}
