//! Whether the clock is kept: TLS, one-time passwords and every lag in seconds rest on it.

use crate::damping::TRAFFIC;
use crate::program::run_program;
use crate::reading::Reading;
use crate::rules;
use std::time::Duration;
use toban_core::Severity;

/// What timedated tells of the kernel's flag, whatever program sets it. None where no systemd runs: unless it was asked
/// for by name, nobody expects an answer there.
pub(crate) fn check_clock(asked: bool, limit: Duration) -> Option<Reading> {
    let answer = run_program("timedatectl", &["show", "-p", "NTPSynchronized", "--value"], limit);
    let reading = |severity, text: &str| Reading::of_state(&rules::CLOCK, severity, text);
    match answer {
        Ok(text) if text.trim() == "yes" => Some(reading(Severity::Ok, "synchronised")),
        Ok(text) if text.trim() == "no" => {
            Some(reading(Severity::Warning, "no server sets it").damped_by(&TRAFFIC))
        }
        Ok(_) if asked => Some(Reading::unknown(&rules::CLOCK, "timedatectl does not tell")),
        Err(e) if asked => Some(Reading::unknown(&rules::CLOCK, e.chain())),
        _ => None,
    }
}
