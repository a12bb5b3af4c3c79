//! Debian's packages whose programs the tests start themselves: unpacked into our folder and not installed, so that
//! no service is made of them.

use super::pypi::{PARTIAL, clear};
use crate::sh::{Context, Failure, Result, quietly};
use crate::tools;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One tool folder and the packages it is made of.
pub(super) struct Deb {
    pub(super) dir: &'static str,
    pub(super) packages: &'static [&'static str],
    /// A file that is there when the tool is.
    proof: &'static str,
}

/// What the tests need: a pooler, a cache, servers whose certificates are looked at, another tool's backups. Each with the
/// libraries that a plain system lacks.
pub(super) const DEBS: &[Deb] = &[
    PGBACKREST,
    Deb {
        dir: "pgbouncer",
        packages: &["pgbouncer", "libc-ares2", "libevent-2.1-7"],
        proof: "usr/sbin/pgbouncer",
    },
    Deb {
        dir: "host",
        packages: &[
            "nftables",
            "libnftables1",
            "libnftnl11",
            "libjansson4",
            "iptables",
            "libxtables12",
            "libip4tc2",
            "libip6tc2",
            "libnfnetlink0",
            "libnetfilter-conntrack3",
            "openssh-server",
            "libwrap0",
        ],
        proof: "usr/sbin/nft",
    },
    Deb {
        dir: "redis",
        packages: &[
            "redis-server",
            "redis-tools",
            "libjemalloc2",
            "liblzf1",
            "liblua5.1-0",
            "lua-cjson",
            "lua-bitop",
            "libatomic1",
        ],
        proof: "usr/bin/redis-check-rdb",
    },
    Deb {
        dir: "daemons",
        packages: &[
            "nginx",
            "postfix",
            "dovecot-core",
            "dovecot-imapd",
            "dovecot-pop3d",
            "slapd",
            "mariadb-server-core",
            "libexttextcat-2.0-0",
            "liblua5.4-0",
            "libltdl7",
            "libodbc2",
            "libwrap0",
        ],
        proof: "usr/sbin/mariadbd",
    },
];

/// What benchmarks compare with, and drills restore by.
pub(super) const PGBACKREST: Deb =
    Deb { dir: "pgbackrest", packages: &["pgbackrest"], proof: "usr/bin/pgbackrest" };
pub(super) const PGLOADER: Deb = Deb {
    dir: "pgloader",
    packages: &["pgloader", "libsybdb5", "freetds-common"],
    proof: "usr/bin/pgloader",
};
pub(super) const CERT_PEERS: Deb = Deb {
    dir: "cert-peers",
    packages: &["ssl-cert-check", "monitoring-plugins-basic"],
    proof: "usr/bin/ssl-cert-check",
};

/// Downloads into the folder `debs` and unpacks into `tool`.
const GET: &str = "set -e; mkdir debs tool; cd debs; apt-get -qq -o Acquire::Retries=3 update || :; \
    apt-get -qq -o Acquire::Retries=3 -o APT::Sandbox::User=root download \"$@\"; \
    for deb in *.deb; do dpkg -x \"$deb\" ../tool; done";

impl Deb {
    pub(super) fn is_there(&self) -> bool {
        self.program().exists()
    }

    pub(super) fn program(&self) -> PathBuf {
        tools::dir().join(self.dir).join(self.proof)
    }

    /// Downloads and unpacks beside, then renames: a kill leaves no half tool. The caller holds the lock.
    pub(super) fn get(&self, tools: &Path) -> Result<()> {
        let work = tools.join(format!("{PARTIAL}{}", self.dir));
        std::fs::create_dir_all(&work).doing(|| format!("create {}", work.display()))?;
        let mut sh = Command::new("sh");
        quietly(sh.args(["-c", GET, "sh"]).args(self.packages).current_dir(&work))?;
        let made = work.join("tool");
        if !made.join(self.proof).exists() {
            return Err(Failure::new(format!("{} hold no {}", self.packages.join(" "), self.proof)));
        }
        let place = tools.join(self.dir);
        clear(&place)?;
        std::fs::rename(&made, &place).doing(|| format!("rename to {}", place.display()))?;
        clear(&work)
    }
}
