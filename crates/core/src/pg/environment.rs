//! What a connection takes from around the process: variables, home, user, the default socket folder.

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
        let account = account();
        let home = variables.get("HOME").filter(|h| !h.is_empty()).map(PathBuf::from);
        let debian = Path::new("/var/run/postgresql");
        Environment {
            home: home.or_else(|| account.as_ref().map(|(_, home)| home.clone())),
            user: account.map(|(name, _)| name),
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

/// Our name and home, from /etc/passwd; accounts of a directory service by `getent`, which asks it.
fn account() -> Option<(String, PathBuf)> {
    let uid = rustix::process::geteuid().as_raw().to_string();
    let local = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    line_of(&local, &uid).or_else(|| {
        let asked = std::process::Command::new("getent").args(["passwd", &uid]).output().ok()?;
        line_of(&String::from_utf8_lossy(&asked.stdout), &uid)
    })
}

fn line_of(passwd: &str, uid: &str) -> Option<(String, PathBuf)> {
    let fields = |line: &str| line.split(':').map(String::from).collect::<Vec<_>>();
    let found = passwd.lines().map(fields).find(|f| f.get(2).is_some_and(|id| id == uid))?;
    Some((found.first()?.clone(), found.get(5)?.into()))
}
