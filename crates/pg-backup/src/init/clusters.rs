//! Finds the clusters of this machine: by the environment, by what runs, and in Debian's layout.

use super::Owner;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toban_core::machine::{self, Account};
use toban_core::pg::ConnInfo;
use toban_core::{Error, Result};

/// A cluster that may be set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoundCluster {
    /// How to connect.
    pub(super) db: String,
    pub(super) owner: Owner,
}

/// What a running server says in its postmaster.pid (miscadmin.h, LOCK_FILE_LINE_*).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Postmaster {
    data_dir: PathBuf,
    port: u16,
    socket_dir: String,
}

impl Postmaster {
    fn db(&self) -> String {
        format!("host={} port={} dbname=postgres", self.socket_dir, self.port)
    }
}

/// The cluster that `db`, DATABASE_URL or a PG* variable names, else the only one that runs here.
///
/// # Errors
/// Usage when there are several, with how to name each, or none.
pub(super) fn choose_cluster(db: Option<&str>) -> Result<FoundCluster> {
    let running = list_running();
    if db.is_some() || is_named_by_environment() {
        let conn = ConnInfo::resolve(db, "pg-backup")?;
        let own =
            |p: &&Postmaster| p.port == conn.port() && (!conn.is_socket() || conn.host() == p.socket_dir);
        let data = running.iter().find(own).map(|p| p.data_dir.clone());
        let owner = data.as_deref().map_or_else(owner_by_default, Owner::of)?;
        let given = db.map(str::to_string).or_else(|| std::env::var("DATABASE_URL").ok());
        let plain = || format!("host={} port={} dbname={}", conn.host(), conn.port(), conn.dbname());
        return Ok(FoundCluster { db: given.unwrap_or_else(plain), owner });
    }
    match &running[..] {
        [one] => Ok(FoundCluster { db: one.db(), owner: Owner::of(&one.data_dir)? }),
        [] if runs_unseen() => {
            let e = Error::usage(
                "the PostgreSQL server that runs here is of a user whose processes yours may not see",
            );
            Err(e.hint("run init as root (sudo), or as that user"))
        }
        [] => Err(explain_none(&list_debian(Path::new("/etc/postgresql")))),
        several => {
            let name = |p: &Postmaster| format!("--db '{}' ({})", p.db(), p.data_dir.display());
            let names: Vec<String> = several.iter().map(name).collect();
            let e = Error::usage(format!("{} servers run on this machine", several.len()));
            Err(e.hint(format!("name one, and another --cluster NAME for each: {}", names.join("; "))))
        }
    }
}

fn is_named_by_environment() -> bool {
    let names = ["DATABASE_URL", "PGHOST", "PGPORT", "PGSERVICE"];
    names.iter().any(|name| std::env::var_os(name).is_some_and(|v| !v.is_empty()))
}

/// Of a server on another machine jobs run as who asks; root leaves that to the user of the packages.
fn owner_by_default() -> Result<Owner> {
    let root = machine::is_root();
    let postgres = Account::by_name("postgres").filter(|_| root);
    Ok(match postgres {
        Some(account) => Owner { name: account.name, uid: account.uid },
        None => {
            let uid = rustix::process::geteuid().as_raw();
            Owner { name: Account::name_of(uid), uid }
        }
    })
}

fn explain_none(debian: &[PathBuf]) -> Error {
    let e = Error::usage("no PostgreSQL server runs on this machine, and none is named");
    match debian.first() {
        Some(folder) => {
            let words: Vec<&str> = folder.iter().filter_map(|w| w.to_str()).rev().take(2).collect();
            e.hint(format!("start {}: pg_ctlcluster {} {} start", folder.display(), words[1], words[0]))
        }
        None => e.hint("start it, or name one elsewhere with --db"),
    }
}

/// Folders of clusters in Debian's layout, as pg_lsclusters finds them.
fn list_debian(root: &Path) -> Vec<PathBuf> {
    let folders = |path: &Path| {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|e| e.path()).filter(|p| p.is_dir()).collect::<Vec<_>>()
    };
    let clusters = folders(root).into_iter().flat_map(|version| folders(&version));
    let mut all: Vec<PathBuf> = clusters.filter(|c| c.join("postgresql.conf").is_file()).collect();
    all.sort();
    all
}

/// Whether a process of PostgreSQL works in a folder that this one may not know.
fn runs_unseen() -> bool {
    let mut processes = std::fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    processes.any(|process| {
        let denied = |e: std::io::Error| e.kind() == std::io::ErrorKind::PermissionDenied;
        let named = std::fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim() == "postgres");
        named && std::fs::read_link(process.join("cwd")).is_err_and(denied)
    })
}

/// Servers whose data directory this process may read: a process in a data directory, whose postmaster.pid names it.
fn list_running() -> Vec<Postmaster> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut found = BTreeMap::new();
    for process in processes.map(|entry| entry.path()) {
        let Some(pid) = process.file_name().and_then(|n| n.to_str()).filter(|n| n.parse::<u32>().is_ok())
        else {
            continue;
        };
        // A server works in its data directory (ChangeToDataDir), and so do its children, whose number is another.
        let Ok(cwd) = std::fs::read_link(process.join("cwd")) else { continue };
        let Ok(text) = std::fs::read_to_string(cwd.join("postmaster.pid")) else { continue };
        if let Some(postmaster) = parse_postmaster(&text, pid) {
            found.insert(postmaster.data_dir.clone(), postmaster);
        }
    }
    found.into_values().collect()
}

/// The lines are: number, data directory, start, port, folder of the socket, address.
fn parse_postmaster(text: &str, pid: &str) -> Option<Postmaster> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let socket_dir = lines.get(4).filter(|dir| !dir.is_empty()).map_or("localhost", |dir| *dir);
    (lines.first() == Some(&pid)).then_some(Postmaster {
        data_dir: lines.get(1)?.into(),
        port: lines.get(3)?.parse().ok()?,
        socket_dir: socket_dir.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_postmaster_by_its_file() {
        let text = "4711\n/srv/15/main\n1795311412\n5433\n/var/run/postgresql\n*\n 1 2\nready\n";
        let found = parse_postmaster(text, "4711").expect("its own");
        assert_eq!(found.db(), "host=/var/run/postgresql port=5433 dbname=postgres");
        assert_eq!(found.data_dir, Path::new("/srv/15/main"));
        assert_eq!(parse_postmaster(text, "4712"), None, "a child");
        assert_eq!(
            parse_postmaster("4711\n/srv\n1\n5433\n\n*\n", "4711").expect("TCP alone").socket_dir,
            "localhost"
        );
    }

    #[test]
    fn clusters_in_debians_layout() {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["15/main", "15/empty", "17/app"] {
            std::fs::create_dir_all(dir.path().join(name)).expect("make it");
        }
        for name in ["15/main", "17/app"] {
            std::fs::write(dir.path().join(name).join("postgresql.conf"), "port = 5432\n").expect("write");
        }
        let found = list_debian(dir.path());
        assert_eq!(found, ["15/main", "17/app"].map(|name| dir.path().join(name)));
        let e = explain_none(&found);
        assert!(e.find_hint().is_some_and(|hint| hint.contains("pg_ctlcluster 15 main start")), "{e:?}");
    }
}
