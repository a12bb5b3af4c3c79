//! Which processes have the file open, as /proc tells: those of other users too, and those in containers, when we may
//! look at them. The triggers of the fence refuse their writes; what they do not refuse must wait until they are gone.

use super::file::{FileNumber, number_of};
use crate::source::open::path_beside;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use toban_core::machine::Account;
use toban_core::{Error, Kind, Result};

/// The first namespace of processes, which sees all others (`PROC_PID_INIT_INO` of Linux' `proc_ns.h`).
const FIRST_NAMESPACE: &str = "pid:[4026531836]";

/// A process that has the file open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileOpener {
    pid: u32,
    name: String,
    user: String,
    /// It runs in a container, or what else has process numbers of its own.
    contained: bool,
    /// What it has open is an older file of this name, which was replaced.
    replaced: bool,
}

impl std::fmt::Display for FileOpener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let FileOpener { pid, name, user, .. } = self;
        let place = if self.contained { ", in a container" } else { "" };
        let what = if self.replaced { ", an older file of this name" } else { "" };
        write!(f, "{name} (process {pid} of {user}{place}{what})")
    }
}

/// What /proc tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FileOpeners {
    /// Ours is not among them.
    pub(super) seen: Vec<FileOpener>,
    /// There may be others, for not every process may be looked at.
    pub(super) hidden: bool,
}

/// What `status` and the refusal say then.
pub(super) const HIDDEN: &str =
    "cannot see the processes of others, and so not whether one of them has the file open";

/// Looks at every process of this machine.
pub(super) fn find_openers(path: &Path) -> FileOpeners {
    let wanted = WantedFiles::new(path);
    let mut openers = FileOpeners { seen: Vec::new(), hidden: !sees_all() };
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let process = process.path();
        let pid = process.file_name().and_then(|name| name.to_str()?.parse().ok());
        let Some(pid) = pid.filter(|pid| *pid != std::process::id()) else { continue };
        match wanted.find_in(&process) {
            Ok(Some(replaced)) => openers.seen.push(describe_process(pid, &process, replaced)),
            Ok(None) => {}
            Err(e) if e.kind() == ErrorKind::PermissionDenied => openers.hidden |= has_program(&process),
            // It has ended meanwhile.
            Err(_) => {}
        }
    }
    openers
}

/// Whether every process has a folder in our /proc: in a container it shows those of the container alone, and mounted
/// with `hidepid` those of our own user (proc(5)).
fn sees_all() -> bool {
    let own = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    own == Path::new(FIRST_NAMESPACE) && Path::new("/proc/1").exists()
}

/// The kernel's own threads have no command line, and no files. Mounted with `hidepid=1` /proc tells neither.
fn has_program(process: &Path) -> bool {
    match fs::read(process.join("cmdline")) {
        Ok(line) => !line.is_empty(),
        Err(e) => e.kind() == ErrorKind::PermissionDenied,
    }
}

fn describe_process(pid: u32, process: &Path, replaced: bool) -> FileOpener {
    let name = fs::read_to_string(process.join("comm")).unwrap_or_default().trim().to_string();
    let user = process.metadata().map_or_else(|_| "?".into(), |meta| Account::name_of(meta.uid()));
    let space = |of: &Path| fs::read_link(of.join("ns/pid")).ok();
    let contained = space(process).is_some_and(|own| space(Path::new("/proc/self")) != Some(own));
    FileOpener { pid, name, user, contained, replaced }
}

/// The database and its write-ahead log, by number: a container knows them by another name.
struct WantedFiles {
    numbers: Vec<FileNumber>,
    /// What /proc calls a file of this name that was replaced.
    replaced: PathBuf,
}

impl WantedFiles {
    fn new(path: &Path) -> WantedFiles {
        let files = [path.to_path_buf(), path_beside(path, "-wal")];
        let mut replaced = path.as_os_str().to_owned();
        replaced.push(" (deleted)");
        WantedFiles {
            numbers: files.iter().filter_map(|file| number_of(file).ok()).collect(),
            replaced: replaced.into(),
        }
    }

    /// Whether the process has one of them open; true: an older one.
    fn find_in(&self, process: &Path) -> io::Result<Option<bool>> {
        let mut found = None;
        for descriptor in fs::read_dir(process.join("fd"))? {
            let descriptor = descriptor?.path();
            // It is looked at and not opened: closing it would drop our own locks on the file.
            let Ok(name) = fs::read_link(&descriptor) else { continue };
            if name == self.replaced {
                // Its write-ahead log may have the name of ours, so what follows tells nothing.
                return Ok(Some(true));
            }
            if name.is_absolute() && number_of(&descriptor).is_ok_and(|n| self.numbers.contains(&n)) {
                found = Some(false);
            }
        }
        Ok(found)
    }
}

/// That no process writes to an older file of the name, which has no triggers of ours.
///
/// # Errors
/// Findings, with the process.
pub(super) fn refuse_replaced(openers: &FileOpeners) -> Result<()> {
    match openers.seen.iter().find(|opener| opener.replaced) {
        None => Ok(()),
        Some(opener) => Err(Error::new(
            Kind::Findings,
            format!("{opener} writes to a file that was replaced since: what it writes is not captured"),
        )
        .hint("start it anew, so that it opens the file that is there now")),
    }
}

/// That the application is known to be stopped, or can be seen.
///
/// # Errors
/// Usage when it cannot; Findings when it writes to another file.
pub(super) fn check_visible(path: &Path, stopped: bool) -> Result<()> {
    let openers = find_openers(path);
    refuse_replaced(&openers)?;
    match openers.hidden && !stopped {
        false => Ok(()),
        true => Err(Error::usage(HIDDEN)
            .hint("run it as root, outside of containers; or stop the application and say --app-stopped")),
    }
}

/// What is known right before the fence.
pub(super) struct FencedFile<'a> {
    pub(super) path: &'a Path,
    /// The application was stopped, as its administrator says.
    pub(super) stopped: bool,
    /// A virtual table, of which the fence refuses no write.
    pub(super) unfenced: Option<&'a str>,
}

impl FencedFile<'_> {
    /// That the fence stops whoever has the file open.
    ///
    /// # Errors
    /// Findings when it does not.
    pub(super) fn check_openers(&self) -> Result<()> {
        let openers = find_openers(self.path);
        refuse_replaced(&openers)?;
        let seen: Vec<String> = openers.seen.iter().map(ToString::to_string).collect();
        let seen = seen.join(", ");
        match (openers.seen.is_empty(), self.unfenced) {
            (true, _) => {}
            (false, Some(table)) => {
                let what = format!(
                    "no-go: writes to the virtual table {table} cannot be refused, and the file is open in {seen}"
                );
                return Err(Error::new(Kind::Findings, what).hint("stop what has it open: --stop-command"));
            }
            (false, None) if self.stopped => {
                log::warn!("still open in {seen}: what it writes is refused from now on");
            }
            (false, None) => log::info!("open in {seen}"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_named_with_what_matters() {
        let opener = FileOpener {
            pid: 7,
            name: "python3".into(),
            user: "app".into(),
            contained: false,
            replaced: false,
        };
        assert_eq!(opener.to_string(), "python3 (process 7 of app)");
        let other = FileOpener { contained: true, replaced: true, ..opener };
        assert_eq!(
            other.to_string(),
            "python3 (process 7 of app, in a container, an older file of this name)"
        );
        let openers = FileOpeners { seen: vec![other], hidden: false };
        assert_eq!(refuse_replaced(&openers).expect_err("an older file").kind(), Kind::Findings);
    }
}
