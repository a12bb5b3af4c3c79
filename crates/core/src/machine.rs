//! This machine: its name, its processors, its accounts.

use crate::error::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// This machine's name, as `uname -n` prints it.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// How many threads this machine runs at once.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Whether we are root, who may give files away and whom PostgreSQL refuses.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The folder itself, or the nearest above it that is there.
pub fn nearest_folder(path: &Path) -> PathBuf {
    path.ancestors().find(|p| p.is_dir()).unwrap_or(Path::new("/")).to_path_buf()
}

/// Bytes that are free for us on the disk of `folder`.
///
/// # Errors
/// When it is not there.
pub fn free_bytes(folder: &Path) -> Result<u64> {
    let disk = rustix::fs::statvfs(folder).map_err(std::io::Error::from);
    let disk = disk.doing(|| format!("ask for the space of {}", folder.display()))?;
    // f_bavail and not f_bfree, which counts blocks that only root gets (statvfs(3)).
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// The program of this name beside the one that runs, else on `PATH`; `None` where neither is.
///
/// # Errors
/// When the program that runs cannot be found itself.
pub fn find_program(name: &str) -> Result<Option<PathBuf>> {
    let own = std::env::current_exe().doing(|| "find this program".into())?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let listed = std::env::split_paths(&path).map(|dir| dir.join(name));
    // The one that was installed with us comes first: another version on PATH may not know our flags.
    let found = std::iter::once(own.with_file_name(name)).chain(listed).find(|p| p.is_file());
    found.map(std::path::absolute).transpose().doing(|| format!("find {name}"))
}

/// An account of this machine, or of a directory service that it asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// The number of its group.
    pub gid: u32,
    /// Its home folder.
    pub home: PathBuf,
}

impl Account {
    /// The account of this name.
    pub fn by_name(name: &str) -> Option<Account> {
        Account::parse(&find_entry("passwd", Field::Name, name)?)
    }

    /// The account of this number.
    pub fn by_uid(uid: u32) -> Option<Account> {
        Account::parse(&find_entry("passwd", Field::Number, &uid.to_string())?)
    }

    /// The name of the account of this number, else the number: what `ls -l` prints.
    pub fn name_of(uid: u32) -> String {
        Account::by_uid(uid).map_or_else(|| uid.to_string(), |account| account.name)
    }

    fn parse(fields: &[String]) -> Option<Account> {
        let number = |at: usize| fields.get(at)?.parse().ok();
        let (name, home) = (fields.first()?.clone(), fields.get(5)?.into());
        Some(Account { name, uid: number(2)?, gid: number(3)?, home })
    }
}

/// The number of the group of this name.
pub fn group_number(name: &str) -> Option<u32> {
    find_entry("group", Field::Name, name)?.get(2)?.parse().ok()
}

/// The name of the group of this number.
pub fn group_name(gid: u32) -> Option<String> {
    find_entry("group", Field::Number, &gid.to_string())?.into_iter().next()
}

/// By what an entry is looked up; the place of the field in its line.
#[derive(Clone, Copy)]
enum Field {
    Name = 0,
    Number = 2,
}

/// The fields of an entry: of the file in /etc, else of a directory service by `getent`, which asks it (nsswitch.conf(5)).
fn find_entry(database: &str, field: Field, value: &str) -> Option<Vec<String>> {
    let local = std::fs::read_to_string(format!("/etc/{database}")).unwrap_or_default();
    find_line(&local, field, value).or_else(|| {
        let asked = Command::new("getent").args([database, value]).output().ok()?;
        find_line(&String::from_utf8_lossy(&asked.stdout), field, value)
    })
}

fn find_line(text: &str, field: Field, value: &str) -> Option<Vec<String>> {
    let fields = |line: &str| line.split(':').map(String::from).collect::<Vec<_>>();
    text.lines().map(fields).find(|f| f.get(field as usize).is_some_and(|v| v == value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_both_ways() {
        let root = Account::by_uid(0).expect("root is there");
        assert_eq!(Account::by_name("root"), Some(root));
        assert_eq!(group_name(0).and_then(|name| group_number(&name)), Some(0));
        assert_eq!(Account::by_name("no-such-account"), None);
    }
}
