//! What PostgreSQL makes of an exit status, which is not what scripts make of it.
//!
//! `restore_command`: 0 is a file; 1–125 is "the archive ends here", which ends recovery and promotes the server; above
//! that, or a signal other than SIGTERM, recovery stops before anything is decided (manual, "Archive Recovery",
//! restore_command; xlogarchive.c, RestoreArchivedFile). So 1 is returned only when absence is proven, and everything
//! else, a mistyped flag and a bug of ours included, is 255. A standby asks again after 1 and would end on anything
//! above. 143 would be taken for a shutdown.
//!
//! `archive_command`: 1–125 is "try again later"; above that the archiver process itself ends (manual, "Setting Up WAL
//! Archiving"; shell_archive.c). All of ours are below.

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
pub(crate) fn run_for_postgres(tool: impl FnOnce() -> u8) -> ExitCode {
    // A panic's own status, 101, is one of those by which recovery would end: it must not leave the process as it is.
    let status = catch_unwind(AssertUnwindSafe(tool)).unwrap_or(PANICKED);
    // Flags of every verb may come before it.
    let is_verb = |a: &std::ffi::OsString| a.to_str().is_some_and(cli::WalVerb::has_subcommand);
    let fetching = std::env::args_os().skip(1).find(is_verb).is_some_and(|verb| verb == "fetch");
    let helped = std::env::args_os().any(|a| a == "--help" || a == "-h");
    if !fetching || helped {
        return ExitCode::from(status);
    }
    ExitCode::from(restore_command_status(status, Path::new("standby.signal").exists()))
}

/// The status of `fetch`; [`Kind::Findings`] is how it says that absence is proven.
fn restore_command_status(status: u8, standby: bool) -> u8 {
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
        let ends = restore_command_status;
        assert_eq!((ends(0, false), ends(0, true)), (0, 0));
        assert_eq!((ends(4, false), ends(4, true)), (1, 1));
        for status in [1, 2, 3, 5, 75, PANICKED] {
            assert_eq!((ends(status, false), ends(status, true)), (255, 1), "{status}");
        }
    }
}
