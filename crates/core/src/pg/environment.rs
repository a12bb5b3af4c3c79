//! What a connection takes from around the process: variables, home, user, the default socket folder.

use crate::machine::Account;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Everything outside the connection string that resolving looks at.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Environment variables.
    pub variables: BTreeMap<String, String>,
    /// The home folder, of ~/.pgpass, ~/.pg_service.conf and ~/.postgresql.
    pub home: Option<PathBuf>,
    /// The operating system's user, who is the default role.
    pub user: Option<String>,
    /// Where the server's socket lies when no host is given.
    pub socket_dir: PathBuf,
}

impl Environment {
    /// Those of this process. Debian's socket folder where it exists, else /tmp as upstream builds have it.
    pub fn of_process() -> Environment {
        let text = |(k, v): (std::ffi::OsString, std::ffi::OsString)| {
            Some((k.into_string().ok()?, v.into_string().ok()?))
        };
        let variables: BTreeMap<String, String> = std::env::vars_os().filter_map(text).collect();
        let account = Account::by_uid(rustix::process::geteuid().as_raw());
        let home = variables.get("HOME").filter(|h| !h.is_empty()).map(PathBuf::from);
        let debian = Path::new("/var/run/postgresql");
        Environment {
            home: home.or_else(|| account.as_ref().map(|a| a.home.clone())),
            user: account.map(|a| a.name),
            socket_dir: if debian.is_dir() { debian.into() } else { "/tmp".into() },
            variables,
        }
    }

    /// A variable, be it empty.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// A path below the home folder.
    pub(super) fn at_home(&self, path: &str) -> Option<PathBuf> {
        self.home.as_ref().map(|home| home.join(path))
    }
}
