//! What PostgreSQL makes of a status, which is not what scripts make of it.
//!
//! `restore_command`: 0 is a file, 1–125 is "the archive ends here" and promotes the server, above is a failure that
//! stops recovery before anything is decided (`xlogarchive.c`, RestoreArchivedFile). So 1 is said only when absence is
//! proven, and everything else, a mistyped flag and a bug of ours included, is 255. A standby asks again after 1 and
//! would end on anything above. 143 would be taken for a shutdown.
//!
//! `archive_command`: 1–125 is "later"; above, the archiver itself ends (`shell_archive.c`). All of ours are below.

use crate::cli;
use clap::Subcommand;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use toban_core::Kind;

/// Absence is proven.
const ABSENT: u8 = 1;
/// Nothing is known.
const UNKNOWN: u8 = 255;
/// What a process that panics ends with.
const PANICKED: u8 = 101;

/// Runs the tool and translates its status for the verb that was asked for.
pub(crate) fn apply(tool: impl FnOnce() -> u8) -> ExitCode {
    let status = catch_unwind(AssertUnwindSafe(tool)).unwrap_or(PANICKED);
    // Flags of every verb may come before it.
    let known = |a: &std::ffi::OsString| a.to_str().is_some_and(cli::Verb::has_subcommand);
    let fetching = std::env::args_os().skip(1).find(known).is_some_and(|verb| verb == "fetch");
    let helped = std::env::args_os().any(|a| a == "--help" || a == "-h");
    if !fetching || helped {
        return ExitCode::from(status);
    }
    ExitCode::from(recovery(status, Path::new("standby.signal").exists()))
}

/// The status of `fetch`; [`Kind::Findings`] is how it says that absence is proven.
fn recovery(status: u8, standby: bool) -> u8 {
    match status {
        0 => 0,
        s if s == Kind::Findings.status() || standby => ABSENT,
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_proven_absence_ends_recovery() {
        assert_eq!((recovery(0, false), recovery(0, true)), (0, 0));
        assert_eq!((recovery(4, false), recovery(4, true)), (1, 1));
        for status in [1, 2, 3, 5, 75, PANICKED] {
            assert_eq!((recovery(status, false), recovery(status, true)), (255, 1), "{status}");
        }
    }
}
