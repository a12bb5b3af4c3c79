//! The commands of the user's: what stops the application, what switches it over, what asks whether it is well.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use toban_core::shutdown::{self, Guarded};
use toban_core::{Context, Error, Result};

/// How often a probe is asked.
const PAUSE: Duration = Duration::from_millis(500);

/// Runs a command by `sh -c`; its output goes to stderr, for stdout is for records.
///
/// # Errors
/// Failed when it does not end with 0.
pub(super) fn run_command(what: &str, command: &str) -> Result<()> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).stdin(Stdio::null()).stdout(std::io::stderr());
    let child = shell.spawn().doing(|| format!("run the {what} command"))?;
    let status = Guarded::new(child).child().wait().doing(|| format!("wait for the {what} command"))?;
    match status.success() {
        true => Ok(()),
        false => Err(Error::failed(format!("the {what} command ended with {status}: {command}"))),
    }
}

/// Runs the probe until it ends with 0.
///
/// # Errors
/// Failed when it did not within `patience`; Retry when we are told to stop.
pub(super) fn await_probe(command: &str, patience: Duration) -> Result<()> {
    let end = Instant::now() + patience;
    loop {
        match run_command("probe", command) {
            Ok(()) => return Ok(()),
            Err(e) if Instant::now() >= end => return Err(e),
            Err(_) => {
                shutdown::check()?;
                std::thread::sleep(PAUSE);
            }
        }
    }
}
