//! The repositories a run works with, as flags and configuration name them; what several of them mean together; and
//! the names of what lies in them.

pub mod archive;
mod args;
pub mod backups;
pub mod cluster;
pub mod drills;
pub mod gap;
pub mod keys;
pub mod recovery_path;
mod repos;
mod results;
pub mod sealed;
pub mod signed;
mod tee;
pub mod verified;

pub use args::{IdentityArgs, RepoArgs, RepoOpening};
pub use repos::{Answers, Reached, Repo, Repos, Settled};
pub use results::RepoResults;
pub use tee::RepoSet;

use jiff::Timestamp;
use std::time::Duration;

/// Clocks of several machines differ by less. What is dated later was dated by a wrong clock, or ours is wrong.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);

/// Whether `at` lies so far behind `now` that a clock must be wrong.
pub fn is_future(at: Timestamp, now: Timestamp) -> bool {
    at.as_second().saturating_sub(now.as_second()) > CLOCK_TOLERANCE.as_secs().cast_signed()
}
