//! A server of a tool's own in a restored data directory, which reaches nothing outside of its folder: a drill proves a backup
//! by it, a rescue reads rows from it.
//!
//! [`Scratch`] is its folder, [`Runner`] runs programs there, [`sandbox`] and [`conf`] keep it from reaching out, [`PrivateServer`]
//! is the server. Findings are what is wrong with what was restored.

pub mod conf;
pub mod control;
mod process;
pub mod sandbox;
mod scratch;
mod server;
mod server_log;

pub use process::{ProgramEnd, Runner, disk_full_error, read_tail};
pub use scratch::Scratch;
pub use server::{LOG, PrivateServer, Programs, TEMPLATE};

use crate::durable::state_dir;
use crate::machine::{self, Account};
use crate::{Context, Error, Kind, Result};
use std::path::PathBuf;

/// What a tool has the server for: the words of its messages, and its marks.
#[derive(Debug)]
pub struct Purpose {
    /// The tool, as it calls itself to the server.
    pub tool: &'static str,
    /// What it makes, in a word: `drill`.
    pub what: &'static str,
    /// The environment variable that marks every process, so that the next run can end what a killed one left; it holds
    /// the folder.
    pub variable: &'static str,
    /// The file that says that a folder may be cleared.
    pub mark: &'static str,
}

impl Purpose {
    /// The folder to work in: `given`, else one of `cluster` in the state directory.
    ///
    /// # Errors
    /// Usage as root, whose state directory the server's user `user` may not enter.
    pub fn choose_work_dir(&self, given: Option<PathBuf>, cluster: &str, user: &str) -> Result<PathBuf> {
        if given.is_none() && machine::is_root() {
            let e = Error::usage(format!("as root a {} needs --work-dir", self.what));
            return Err(e.hint(format!("a folder with room for the cluster, which {user} may enter")));
        }
        let work = given.unwrap_or_else(|| state_dir().join(self.what).join(cluster));
        std::path::absolute(work).doing(|| "find --work-dir".into())
    }
}

/// The account that root becomes: PostgreSQL refuses to run as root, and nothing that runs here needs its rights. None when
/// we are somebody else.
///
/// # Errors
/// Usage when there is no account `name`, or it is root.
pub fn find_server_user(name: &str) -> Result<Option<Account>> {
    if !machine::is_root() {
        return Ok(None);
    }
    match Account::by_name(name).filter(|account| account.uid > 0) {
        Some(account) => Ok(Some(account)),
        None => {
            Err(Error::usage(format!("there is no user {name} here, other than root")).hint("give --user"))
        }
    }
}

/// Something that is wrong with what was restored.
fn found(text: impl Into<String>) -> Error {
    Error::new(Kind::Findings, text)
}
