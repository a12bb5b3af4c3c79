//! Servers that only tests talk to, from Debian's packages: downloaded and unpacked, never installed, so that no daemon
//! starts on anybody's machine.

use crate::sh::{Context, Failure, Result, on_path, quietly};
use crate::tools;
use std::path::PathBuf;
use std::process::Command;

/// What is downloaded: the servers, and the libraries that a plain system lacks.
pub(super) const PACKAGES: [&str; 12] = [
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
];

/// Megabytes to download.
pub(super) const MEGABYTES: u32 = 19;

fn folder() -> PathBuf {
    tools::dir().join("daemons")
}

/// The last of the packages brings mariadbd; the folder appears when all are unpacked.
pub(super) fn are_there() -> bool {
    folder().join("usr/sbin/mariadbd").exists()
}

/// Downloads and unpacks into a folder beside, then gives it its name.
///
/// # Errors
/// Without apt-get, and when a package cannot be had.
pub(super) fn get() -> Result<()> {
    if on_path("apt-get").is_none() {
        return Err(Failure::new(format!(
            "no apt-get here; unpack these Debian packages into {}: {}",
            folder().display(),
            PACKAGES.join(" ")
        )));
    }
    let unfinished = tools::dir().join(".daemons");
    // What an interrupted run left.
    let _ = std::fs::remove_dir_all(&unfinished);
    std::fs::create_dir_all(&unfinished).doing(|| format!("create {}", unfinished.display()))?;
    quietly(
        Command::new("apt-get")
            .args(["-qq", "-o", "APT::Sandbox::User=root", "download"])
            .args(PACKAGES)
            .current_dir(&unfinished),
    )?;
    let unpack = "for deb in *.deb; do dpkg -x \"$deb\" . || exit 1; rm \"$deb\"; done";
    quietly(Command::new("sh").args(["-c", unpack]).current_dir(&unfinished))?;
    let _ = std::fs::remove_dir_all(folder());
    std::fs::rename(&unfinished, folder()).doing(|| format!("name {}", folder().display()))
}
