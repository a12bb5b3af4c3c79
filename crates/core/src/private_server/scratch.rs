//! The folder that is worked in: locked, cleared before and after, without processes of a run that was killed.

use super::{Purpose, Runner};
use crate::durable::{self, Lock, set_mode};
use crate::machine::Account;
use crate::{Context, Error, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// PostgreSQL's sockets have names of at most 107 bytes, `/run/.s.PGSQL.5432` among them.
const LONGEST_PATH: usize = 80;

/// The folder; cleared when dropped, unless it is kept.
pub struct Scratch {
    /// Its path.
    pub dir: PathBuf,
    purpose: &'static Purpose,
    keep: bool,
    _lock: Lock,
}

impl Scratch {
    /// Takes `work` for one run: ends and clears what a killed one has left there.
    ///
    /// # Errors
    /// Retry when another run works there; Usage when the folder is not one of this purpose.
    pub fn open(
        purpose: &'static Purpose,
        work: &Path,
        user: Option<&Account>,
        keep: bool,
    ) -> Result<Scratch> {
        refuse_data_dir(purpose, work)?;
        let new = !work.exists();
        durable::create_dirs(work)?;
        if new && user.is_some() {
            set_mode(work, 0o711)?;
        }
        let work = work.canonicalize().doing(|| format!("find {}", work.display()))?;
        // The lock is held from here to the end: whatever works in the folder now is of a run that was killed.
        let what = purpose.what;
        let lock =
            Lock::take(&work.join(format!("{what}.lock")), &format!("a {what} in {}", work.display()))?;
        let dir = work.join("scratch");
        if dir.as_os_str().len() > LONGEST_PATH {
            let e = Error::usage(format!("{} is too long a path for a socket in it", dir.display()));
            return Err(e.hint("give a shorter --work-dir"));
        }
        // In this order: what still runs there would write into the folder while it is cleared.
        end_leftovers(purpose, &dir)?;
        clear_folder(purpose, &dir)?;
        // Dropped where it cannot be made, and cleared by that: a full disk leaves nothing behind either.
        let mut scratch = Scratch { dir, purpose, keep: false, _lock: lock };
        make_folder(purpose, &scratch.dir, user)?;
        scratch.keep = keep;
        Ok(scratch)
    }

    /// A file or folder in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// What runs programs in it until `end`.
    pub fn runner(&self, user: Option<&Account>, end: Instant) -> Runner {
        Runner { purpose: self.purpose, user: user.cloned(), scratch: self.dir.clone(), end }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.keep {
            log::warn!("what was restored is kept in {}", self.dir.display());
        } else if let Err(e) = clear_folder(self.purpose, &self.dir) {
            log::warn!("{}", e.chain());
        }
    }
}

/// Refuses a place inside a data directory: it could be the one of the live server.
fn refuse_data_dir(purpose: &Purpose, work: &Path) -> Result<()> {
    match work.ancestors().find(|dir| dir.join("PG_VERSION").exists()) {
        None => Ok(()),
        Some(dir) => {
            let e = Error::usage(format!(
                "--work-dir {} is in a data directory, {}",
                work.display(),
                dir.display()
            ));
            Err(e.hint(format!("a {} works in a folder of its own", purpose.what)))
        }
    }
}

fn make_folder(purpose: &Purpose, dir: &Path, user: Option<&Account>) -> Result<()> {
    durable::create_dirs(dir)?;
    // Before anything else: without the mark no run clears the folder again.
    let mark = dir.join(purpose.mark);
    fs::write(&mark, format!("A {} clears this folder before and after it runs.\n", purpose.what))
        .doing(|| format!("write {}", mark.display()))?;
    for folder in ["", "data", "tablespaces", "run"] {
        let path = dir.join(folder);
        durable::create_dirs(&path)?;
        set_mode(&path, 0o700)?;
        if let Some(user) = user {
            durable::give_to(&path, user.uid, user.gid)?;
        }
    }
    Ok(())
}

/// Removes the folder and everything in it, but no place that a link in it leads to.
fn clear_folder(purpose: &Purpose, dir: &Path) -> Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    let empty = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none());
    if dir.is_symlink() || !(empty || dir.join(purpose.mark).is_file()) {
        let e = Error::usage(format!("{} is not a folder of a {}", dir.display(), purpose.what));
        return Err(e.hint("give another --work-dir, or remove it"));
    }
    // The folder that the sandbox closed, against tablespaces, keeps its owner from clearing it, too.
    let _ = set_mode(&dir.join("data/pg_tblspc"), 0o700);
    // The mark goes last: what a killed clearing leaves may still be cleared.
    for entry in fs::read_dir(dir).doing(|| format!("look into {}", dir.display()))?.flatten() {
        let path = entry.path();
        if path.file_name().is_some_and(|name| name == purpose.mark) {
            continue;
        }
        remove_entry(&path).doing(|| format!("clear {}", path.display()))?;
    }
    fs::remove_dir_all(dir).doing(|| format!("clear {}", dir.display()))
}

/// The process that fetches segments ahead for recovery may be at its last one, and put it into a folder that was just
/// emptied.
fn remove_entry(path: &Path) -> io::Result<()> {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        } {
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(50));
            }
            done => return done,
        }
    }
}

/// Ends processes of a run that was killed: those that work in its folder, and those that bear its mark. We hold
/// the lock, so no run that lives has any.
fn end_leftovers(purpose: &Purpose, dir: &Path) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(20);
    let mut round = 0;
    loop {
        let left = find_leftovers(purpose, dir);
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(Error::retry(format!("processes of a dead {} do not end: {left:?}", purpose.what)));
        }
        // On QUIT a server ends its sessions and frees its shared memory (manual, "Shutting Down the Server", immediate
        // shutdown); killed, it cannot, and its files in /dev/shm stay. So KILL is the last resort.
        let signal = if round < 40 { Signal::QUIT } else { Signal::KILL };
        if round == 0 {
            log::warn!("a {} in {} was killed: ending what it left", purpose.what, dir.display());
        }
        if round % 40 == 0 {
            left.iter().filter_map(|pid| Pid::from_raw(*pid)).for_each(|pid| _ = kill_process(pid, signal));
        }
        round += 1;
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn find_leftovers(purpose: &Purpose, dir: &Path) -> Vec<i32> {
    let mark = format!("{}={}", purpose.variable, dir.display()).into_bytes();
    // By the working directory and by the environment: the first a program may change, the second it may not pass on.
    let ours = |process: &Path| {
        let cwd = fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir));
        let variables = fs::read(process.join("environ")).unwrap_or_default();
        cwd || variables.split(|b| *b == 0).any(|v| v == mark)
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pid = |name: std::ffi::OsString| name.to_str()?.parse::<i32>().ok();
    let all = processes.filter_map(|p| Some((pid(p.file_name())?, p.path())));
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    all.filter(|(pid, path)| *pid != own && ours(path) && is_running(path)).map(|(pid, _)| pid).collect()
}

/// A process that ended and whose parent has not waited for it yet (state Z, proc(5)) is gone.
fn is_running(process: &Path) -> bool {
    let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with('Z'))
}
