//! Debian's packages.

use crate::sh::{Failure, Result, is_root, on_path, quietly};
use std::path::Path;
use std::process::Command;

/// A package and how to tell that it is there.
pub(super) struct Package {
    pub(super) name: &'static str,
    pub(super) why: &'static str,
    /// A file, when it begins with `/`, else a program on PATH.
    proof: &'static str,
}

impl Package {
    pub(super) fn is_there(&self) -> bool {
        match self.proof.starts_with('/') {
            true => Path::new(self.proof).exists(),
            false => on_path(self.proof).is_some(),
        }
    }
}

pub(super) const PACKAGES: &[Package] = &[
    package("postgresql-15", "/usr/lib/postgresql/15/bin/postgres", "server; no cluster is made or started"),
    package("postgresql-client-15", "/usr/lib/postgresql/15/bin/pg_dump", "psql, pg_dump, pg_restore"),
    package("python3-pip", "python3", "fetches the other servers, runs the mail server"),
    package("nodejs", "node", "runs the server of Azure's tests"),
    package("npm", "npm", "fetches it"),
    package("openssl", "openssl", "judges certificates"),
    package("gzip", "gzip", "judges what we compress"),
    package("zstd", "zstd", "judges what we compress"),
    package("age", "age", "judges what we encrypt, and makes its keys"),
    package("openssh-client", "ssh-keygen", "makes keys that we encrypt to"),
    package("sqlite3", "sqlite3", "judges what was read from SQLite files"),
    package("mandoc", "mandoc", "judges the manual pages"),
    package("systemd", "systemd-analyze", "judges the units; nothing is started"),
];

const fn package(name: &'static str, proof: &'static str, why: &'static str) -> Package {
    Package { name, why, proof }
}

pub(super) fn named(names: &[&str]) -> Vec<&'static Package> {
    PACKAGES.iter().filter(|p| names.contains(&p.name)).collect()
}

/// Debian's PostgreSQL packages make a cluster and start it, unless this file says otherwise beforehand.
const NO_CLUSTER: &str = "set -e; f=/etc/postgresql-common/createcluster.conf; \
    [ -e $f ] || { mkdir -p /etc/postgresql-common; echo 'create_main_cluster = false' > $f; }";

const INSTALL: &str = "export DEBIAN_FRONTEND=noninteractive; \
    apt-get -qq -o Acquire::Retries=3 update && \
    exec apt-get -qq -y --no-install-recommends -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 install \"$@\"";

pub(super) fn install(packages: &[&Package]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = packages.iter().map(|p| p.name).collect();
    if names.contains(&"postgresql-15") {
        quietly(as_root("sh", &names)?.args(["-c", NO_CLUSTER]))?;
    }
    let mut apt = as_root("sh", &names)?;
    quietly(apt.args(["-c", INSTALL, "sh"]).args(&names).stdin(std::process::Stdio::null()))
}

/// `program` as root: by ourselves, or by sudo.
fn as_root(program: &str, names: &[&str]) -> Result<Command> {
    let by_hand = format!("as root: apt-get install {}", names.join(" "));
    if on_path("apt-get").is_none() {
        return Err(Failure::new(format!(
            "no apt-get here; install what these Debian packages hold: {}",
            names.join(" ")
        )));
    }
    if is_root() {
        return Ok(Command::new(program));
    }
    let sudo = on_path("sudo").ok_or_else(|| Failure::new(format!("packages are missing; run {by_hand}")))?;
    let mut command = Command::new(sudo);
    command.arg(program);
    Ok(command)
}
