//! Files that are old or new, never half; and a lock that says who holds it.

use crate::error::{Context, Error, Result};
use crate::machine::Account;
use crate::stamp::iso_seconds;
use rustix::fs::{Mode, OFlags};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufWriter, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Replaces `path` by what `write` writes, with `mode`: a reader sees the old file or the whole new one, and
/// after return the new one survives a power cut. A crash leaves at most a hidden `.…tmp` file beside it.
///
/// # Errors
/// Those of the file system and of `write`; then `path` is as it was.
pub fn replace(path: &Path, mode: u32, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let doing = || format!("write {}", path.display());
    let folder = folder_of(path);
    // In the same folder, since rename(2) works within one file system; hidden, and with an ending that no reader of
    // such folders looks for, so that what a crash leaves is taken for nothing.
    let temp = tempfile::Builder::new().prefix(".").suffix(".tmp").tempfile_in(folder).doing(doing)?;
    let mut buffered = BufWriter::new(temp.as_file());
    write(&mut buffered)?;
    buffered.flush().doing(doing)?;
    drop(buffered);
    // Before the name: a file that is to be secret must not be open to others for a moment either.
    temp.as_file().set_permissions(std::fs::Permissions::from_mode(mode)).doing(doing)?;
    // First the data, then the name, then the folder: a rename that reaches the disk before the data would leave an empty
    // file after a power cut, and one that has not reached it would bring the old file back after we said that it is new.
    temp.as_file().sync_all().doing(doing)?;
    temp.persist(path).map_err(|e| e.error).doing(doing)?;
    sync_dir(folder)
}

/// Makes the names in `folder` durable.
///
/// # Errors
/// When the folder cannot be opened or synced.
pub fn sync_dir(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|d| d.sync_all()).doing(|| format!("sync the folder {}", folder.display()))
}

/// The folder that holds `path`; `.` for a bare name.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Creates `folder` and its parents, each durable and for its owner only.
///
/// # Errors
/// When one cannot be made.
pub fn create_dirs(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent().filter(|p| !p.as_os_str().is_empty()) {
        create_dirs(parent)?;
    }
    // Made by us or by somebody at the same moment: both are fine, and the parent is synced in either case, because the
    // other may have died before.
    match rustix::fs::mkdir(folder, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(e) => {
            return Err(std::io::Error::from(e)).doing(|| format!("create the folder {}", folder.display()));
        }
    }
    sync_dir(folder_of(folder))
}

/// Sets the permissions of `path`.
///
/// # Errors
/// When they cannot be set.
pub fn set_mode(path: &Path, mode: u32) -> Result<()> {
    let permissions = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, permissions).doing(|| format!("set the permissions of {}", path.display()))
}

/// Gives `path` to this user and group.
///
/// # Errors
/// When we may not.
pub fn give_to(path: &Path, uid: u32, gid: u32) -> Result<()> {
    // Never what a link leads to: in a folder that another user may write to, root would give him any file.
    std::os::unix::fs::lchown(path, Some(uid), Some(gid)).doing(|| format!("give {} away", path.display()))
}

/// One run at a time: a `flock` on a file that names its holder; the kernel releases it with the process.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock or says who has it.
    ///
    /// # Errors
    /// Retry when it is held: `backup of main is running: pid 123, since 2026-11-21T03:00:00Z`.
    pub fn take(path: &Path, what: &str) -> Result<Lock> {
        let doing = || format!("lock {}", path.display());
        create_dirs(folder_of(path))?;
        // O_NOFOLLOW: the folder may be shared, and a planted link must not be truncated.
        let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::CLOEXEC).bits()).unwrap_or(0);
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(flags)
            .open(path)
            .doing(doing)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(describe_holder(&mut file, what)),
            Err(TryLockError::Error(e)) => return Err(e).doing(doing),
        }
        // The file stays when the lock is given back: whoever removed it would let two hold "the" lock, one on the file
        // without a name. What it says of its holder is for people; the kernel's lock alone decides (flock(2)).
        file.set_len(0).doing(doing)?;
        let since = iso_seconds(jiff::Timestamp::now());
        writeln!(file, "pid {}, since {since}", std::process::id()).doing(doing)?;
        Ok(Lock { _file: file })
    }
}

fn describe_holder(file: &mut File, what: &str) -> Error {
    let mut holder = String::new();
    let _ = file.rewind().and_then(|()| file.take(200).read_to_string(&mut holder));
    Error::retry(format!("{what} is already running: {}", holder.trim()))
        .hint("wait for it to end, then run this again")
}

/// The state directory of root, and of the user of the units, whose `StateDirectory=` makes it theirs.
const SYSTEM_STATE: &str = "/var/lib/toban";

/// Where a tool keeps what it must remember: `$TOBAN_STATE_DIR`, systemd's `$STATE_DIRECTORY`, `/var/lib/toban` for root
/// and whoever owns it, else `$XDG_STATE_HOME/toban`.
pub fn state_dir() -> PathBuf {
    let uid = rustix::process::geteuid();
    let is_owner = || std::fs::metadata(SYSTEM_STATE).is_ok_and(|meta| meta.uid() == uid.as_raw());
    choose_state_dir(StateFacts {
        variable: |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from),
        is_system: uid.is_root() || is_owner(),
        account_home: || Account::by_uid(uid.as_raw()).map(|account| account.home),
    })
}

/// What decides which folder it is.
struct StateFacts<V, H> {
    variable: V,
    /// Whether we are root, or [`SYSTEM_STATE`] is ours.
    is_system: bool,
    account_home: H,
}

fn choose_state_dir<V, H>(facts: StateFacts<V, H>) -> PathBuf
where
    V: Fn(&str) -> Option<PathBuf>,
    H: FnOnce() -> Option<PathBuf>,
{
    let StateFacts { variable, is_system, account_home } = facts;
    if let Some(dir) = variable("TOBAN_STATE_DIR") {
        return dir;
    }
    if let Some(dirs) = variable("STATE_DIRECTORY") {
        return PathBuf::from(dirs.to_string_lossy().split(':').next().unwrap_or_default());
    }
    // A timer's run, one by hand and an archive_command are of one user, and must find what the others remember: the map
    // of blocks, the lock, the secret of sums.
    if is_system {
        return PathBuf::from(SYSTEM_STATE);
    }
    // PostgreSQL may be started without HOME. Some of what is kept is secret: never below a folder like /tmp, where
    // somebody else may have made ours before us.
    let home = || variable("HOME").or_else(account_home).unwrap_or_else(|| "/".into());
    variable("XDG_STATE_HOME").unwrap_or_else(|| home().join(".local/state")).join("toban")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_whole_or_not_at_all() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("f");
        replace(&path, 0o640, |w| w.write_all(b"one").doing(String::new)).expect("first");
        let failed = replace(&path, 0o640, |w| {
            w.write_all(b"half").doing(String::new)?;
            Err(Error::failed("the source broke"))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&path).expect("read"), b"one");
        assert_eq!(std::fs::read_dir(dir.path()).expect("list").count(), 1, "a temporary file was left");
        assert_eq!(path.metadata().expect("stat").permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn the_second_taker_learns_who_holds_it() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("a/b.lock");
        let held = Lock::take(&path, "dump of main").expect("free");
        let e = Lock::take(&path, "dump of main").unwrap_err();
        assert_eq!(e.kind(), crate::Kind::Retry);
        assert!(e.chain().contains(&format!("already running: pid {}", std::process::id())), "{e:?}");
        drop(held);
        Lock::take(&path, "dump of main").expect("free again");
    }

    #[test]
    fn one_user_has_one_state_directory() {
        let choose = |variables: &[(&str, &str)], is_system| {
            let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| PathBuf::from(v));
            choose_state_dir(StateFacts {
                variable: find,
                is_system,
                account_home: || Some("/home/x".into()),
            })
        };
        let xdg = ("XDG_STATE_HOME", "/xdg");
        let unit = ("STATE_DIRECTORY", "/var/lib/toban:/var/lib/other");
        for (variables, is_system, dir) in [
            (&[("TOBAN_STATE_DIR", "/own"), unit][..], true, "/own"),
            (&[unit, xdg], false, "/var/lib/toban"),
            (&[xdg, ("HOME", "/var/lib/postgresql")], true, "/var/lib/toban"),
            (&[xdg, ("HOME", "/root")], false, "/xdg/toban"),
            (&[("HOME", "/var/lib/postgresql")], false, "/var/lib/postgresql/.local/state/toban"),
            (&[], false, "/home/x/.local/state/toban"),
        ] {
            assert_eq!(choose(variables, is_system), PathBuf::from(dir), "{variables:?}");
        }
    }
}
