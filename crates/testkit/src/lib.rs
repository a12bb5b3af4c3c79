//! Real servers and faults for the tests.

mod slack;
mod smtp;

pub use slack::{Answer, Request, Slack};
pub use smtp::{LOGIN, Smtp, SmtpOptions};

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Polls until `poll` yields a value; panics with its last reason when `limit` is over.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, mut poll: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + limit;
    loop {
        match poll() {
            Ok(value) => return value,
            Err(reason) if Instant::now() >= end => panic!("{what}: not within {limit:?}: {reason}"),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// The folder of the servers that the tests use: `$TOBAN_TOOLS`, else `/var/tmp/toban-tools`.
pub fn tools() -> PathBuf {
    std::env::var_os("TOBAN_TOOLS").map_or_else(|| "/var/tmp/toban-tools".into(), PathBuf::from)
}
