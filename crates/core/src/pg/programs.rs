//! PostgreSQL's own programs on this machine.

use crate::error::{Context, Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The path of `name` (pg_dump, psql …) of major `major`, else of the nearest newer one: in `bin_dir`, on PATH, in
/// Debian's and Red Hat's folders. Each candidate is asked for its version.
///
/// # Errors
/// Failed, with the versions that were found and what to install.
pub fn find_program(name: &str, major: u32, bin_dir: Option<&Path>) -> Result<PathBuf> {
    // A given folder is meant: what it lacks is not looked for elsewhere.
    let folders = bin_dir.map_or_else(list_folders, |dir| vec![dir.to_path_buf()]);
    let mut found = BTreeMap::new();
    for path in folders.into_iter().map(|dir| dir.join(name)).filter(|p| p.is_file() && !is_wrapper(p)) {
        if let Ok(version) = read_version(&path) {
            found.entry(version).or_insert(path);
        }
    }
    match choose_program(&found, major) {
        Some(path) => Ok(path.clone()),
        None => Err(missing_program(name, major, &found)),
    }
}

fn choose_program(found: &BTreeMap<u32, PathBuf>, major: u32) -> Option<&PathBuf> {
    found.range(major..).next().map(|(_, path)| path)
}

/// Debian's /usr/bin/pg_dump picks a version by its own rules at each call: what it says once need not hold.
fn is_wrapper(path: &Path) -> bool {
    path.canonicalize().is_ok_and(|real| real.ends_with("pg_wrapper"))
}

fn list_folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let packaged = list_below("/usr/lib/postgresql", "").into_iter().chain(list_below("/usr", "pgsql-"));
    std::env::split_paths(&path).chain(packaged).collect()
}

fn list_below(dir: &str, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(|e| e.file_name().to_string_lossy().starts_with(prefix))
        .map(|e| e.path().join("bin"))
        .collect()
}

/// The major a program says it is of: `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
///
/// # Errors
/// When it does not run or says something else.
pub fn read_version(program: &Path) -> Result<u32> {
    let doing = || format!("ask {} for its version", program.display());
    let said = Command::new(program).arg("--version").output().doing(doing)?;
    let text = String::from_utf8_lossy(&said.stdout).to_string();
    let number = text.split_once("(PostgreSQL) ").map(|(_, rest)| rest);
    let digits = number.map(|n| n.chars().take_while(char::is_ascii_digit).collect::<String>());
    digits.and_then(|d| d.parse().ok()).ok_or_else(|| {
        Error::failed(format!("ask {} for its version: it says \"{}\"", program.display(), text.trim()))
    })
}

/// Those that come with Debian's postgresql-client; all others are the server's.
const CLIENTS: [&str; 7] =
    ["pg_dump", "pg_dumpall", "pg_restore", "psql", "pg_basebackup", "pg_receivewal", "pg_isready"];

fn missing_program(name: &str, major: u32, found: &BTreeMap<u32, PathBuf>) -> Error {
    let older: Vec<String> = found.iter().map(|(v, path)| format!("{v} ({})", path.display())).collect();
    let seen = match older.is_empty() {
        true => "none on PATH, in /usr/lib/postgresql/*/bin or /usr/pgsql-*/bin".into(),
        false => format!("found only {}", older.join(", ")),
    };
    let package = if CLIENTS.contains(&name) { "postgresql-client" } else { "postgresql" };
    Error::failed(format!("no {name} of PostgreSQL {major} or newer: {seen}"))
        .hint(format!("apt-get install {package}-{major}, or name its folder with --bin-dir"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_major_else_the_nearest_newer() {
        let found: BTreeMap<u32, PathBuf> = [14, 16, 18].map(|v| (v, PathBuf::from(v.to_string()))).into();
        let chosen = |major| choose_program(&found, major).map(|p| p.display().to_string());
        assert_eq!(chosen(14).as_deref(), Some("14"));
        assert_eq!(chosen(15).as_deref(), Some("16"));
        assert_eq!(chosen(19), None);
    }

    #[test]
    fn a_missing_one_is_told_with_what_there_is() {
        let e = find_program("pg_dump", 99, None).expect_err("it is refused");
        assert!(e.chain().starts_with("no pg_dump of PostgreSQL 99 or newer: found only "), "{e:?}");
        assert_eq!(
            e.find_hint(),
            Some("apt-get install postgresql-client-99, or name its folder with --bin-dir")
        );
        let e = find_program("initdb", 99, Some(Path::new("/nonexistent"))).expect_err("it is refused");
        assert!(e.find_hint().is_some_and(|c| c.starts_with("apt-get install postgresql-99")), "{e:?}");
    }
}
