//! The server that runs in a data directory.

use std::path::Path;

/// The process in the first line of `postmaster.pid` (miscadmin.h, LOCK_FILE_LINE_PID); `None` where there is no such
/// file. After a crash the number may be no process, or another program.
pub fn postmaster_pid(data_dir: &Path) -> Option<u32> {
    std::fs::read_to_string(data_dir.join("postmaster.pid")).ok()?.lines().next()?.trim().parse().ok()
}
