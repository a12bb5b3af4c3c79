//! Real servers and faults for the tests. A server that is missing is a panic that says how to get it.

mod age;
mod azure;
mod cable;
mod chance;
pub mod contract;
mod gcs;
pub mod itsm;
mod kills;
pub mod pg;
mod planted;
mod pooler;
mod ran;
mod s3;
mod site;
mod slack;
mod smtp;
mod ssh;
pub mod tls;

pub use age::AgeKey;
pub use azure::{Azure, azure_http};
pub use cable::Cable;
pub use chance::{Dice, play_histories, rounds, seed, spell};
pub use gcs::Gcs;
pub use kills::killed;
pub use pg::{Pg, majors};
pub use planted::{Checked, Plant, Planted, plant_each};
pub use pooler::Pooler;
pub use ran::{Ran, ended, run_in};
pub use s3::{S3, S3Keys, S3Request, http};
pub use site::Site;
pub use slack::{Answer, Request, Slack};
pub use smtp::{LOGIN, Smtp, SmtpOptions};
pub use ssh::SigningKey;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What goes on without an end is no progress.
const MOST_LIMITS: u32 = 4;

/// Polls every 20 ms until `poll` gives a value, for as long as there is progress: while the reason that it gives keeps
/// changing, a busy machine gets more time. So the reason should hold what moves: a position, a log.
///
/// # Panics
/// When the reason was the same for `limit`, or after four times that, with `what` and the last reason.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, mut poll: impl FnMut() -> Result<T, String>) -> T {
    let began = Instant::now();
    let (mut reason, mut changed) = (String::new(), began);
    loop {
        match poll() {
            Ok(value) => return value,
            Err(why) if why != reason => (reason, changed) = (why, Instant::now()),
            Err(_) => {}
        }
        if changed.elapsed() > limit || began.elapsed() > limit * MOST_LIMITS {
            panic!("{what}: not within {:?}: {reason}", began.elapsed());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Copies the program `from` to `to`.
///
/// `cp` does it: were the copy open in this process, a child forked by another thread would hold it open for writing, and
/// starting it would end with "Text file busy".
///
/// # Panics
/// When it cannot be copied.
pub fn install_program(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").args([from, to]).status().expect("cp starts");
    assert!(status.success(), "copy {} to {}: {status}", from.display(), to.display());
}

/// The folder of servers that Debian does not package: `$TOBAN_TOOLS`, else /var/tmp/toban-tools.
pub fn tools() -> PathBuf {
    std::env::var_os("TOBAN_TOOLS").map_or_else(|| "/var/tmp/toban-tools".into(), PathBuf::from)
}

/// The program `path` below [`tools`].
///
/// # Panics
/// When it is not there, with the way to get it.
pub fn tool(path: &str) -> PathBuf {
    let tool = tools().join(path);
    assert!(tool.exists(), "{} is missing; run: cargo xtask setup", tool.display());
    tool
}
