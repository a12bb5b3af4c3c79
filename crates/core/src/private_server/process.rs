//! Programs that are run in the folder: as another user when we are root, until they end, are told to stop, or it is too late.

use super::Purpose;
use crate::machine::Account;
use crate::{Context, Error, Kind, Result, durable, shutdown};
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Runs programs in one folder.
#[derive(Clone)]
pub struct Runner {
    /// What for.
    pub purpose: &'static Purpose,
    /// Whom root becomes for all that is run.
    pub user: Option<Account>,
    /// The folder.
    pub scratch: PathBuf,
    /// When whatever still runs is ended.
    pub end: Instant,
}

/// How a program ended, and the end of what it wrote.
pub struct ProgramEnd {
    /// Its status.
    pub status: ExitStatus,
    /// The end of stdout and stderr.
    pub output: String,
}

impl Runner {
    /// A command in a process group of its own; no setting of a server of ours reaches it.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        // libpq reads PGHOST, PGSERVICE and others (manual, "Environment Variables"): set for the live server, they would lead
        // a program of ours there. Messages are parsed, so they must be in English.
        let ours = std::env::vars_os().map(|(k, _)| k).filter(|k| k.to_string_lossy().starts_with("PG"));
        ours.for_each(|k| _ = command.env_remove(k));
        command.env_remove("LC_ALL").env_remove("LANGUAGE").env("LC_MESSAGES", "C");
        self.prepare(&mut command);
        command
    }

    /// Puts a command into a group of its own and gives it to the user, with the caller's own environment.
    pub fn prepare(&self, command: &mut Command) {
        // A group of its own: a shell's children are ended with it, and Ctrl-C in the terminal reaches this process alone.
        command.env(self.purpose.variable, &self.scratch).process_group(0).stdin(Stdio::null());
        if let Some(user) = &self.user {
            command.uid(user.uid).gid(user.gid);
        }
    }

    /// Gives `path` to the user that the programs run as.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn give(&self, path: &Path) -> Result<()> {
        self.user.as_ref().map_or(Ok(()), |user| durable::give_to(path, user.uid, user.gid))
    }

    /// Runs it to its end; what it writes goes to `log`, a file in the folder.
    ///
    /// # Errors
    /// When it cannot be started; Retry when we were told to stop; Findings when the time is over.
    pub fn run_program(&self, mut command: Command, what: &str, log: &str) -> Result<ProgramEnd> {
        shutdown::check()?;
        let path = self.scratch.join(log);
        let file = File::create(&path).doing(|| format!("create {}", path.display()))?;
        let both = file.try_clone().doing(|| "open the log again".into())?;
        let child = command.stdout(file).stderr(both).spawn().doing(|| format!("start {what}"))?;
        let mut group = Group { child, ended: false };
        let status = group.wait_for_end(self, what)?;
        Ok(ProgramEnd { status, output: read_tail(&path) })
    }

    /// Goes on while there is time.
    ///
    /// # Errors
    /// Retry when we were told to stop; Findings when the time is over.
    pub fn check_time(&self, what: &str) -> Result<()> {
        shutdown::check()?;
        match Instant::now() < self.end {
            true => Ok(()),
            false => Err(Error::new(Kind::Findings, format!("{what} did not end within --timeout"))),
        }
    }
}

/// A child and all that it started; killed when dropped before its end.
struct Group {
    child: Child,
    ended: bool,
}

impl Group {
    fn wait_for_end(&mut self, runner: &Runner, what: &str) -> Result<ExitStatus> {
        // Polled, and not waited for: the end of the time and a signal must be able to end it.
        let mut pause = Duration::from_millis(2);
        loop {
            if let Some(status) = self.child.try_wait().doing(|| format!("wait for {what}"))? {
                self.ended = true;
                return Ok(status);
            }
            runner.check_time(what)?;
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    fn signal_all(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(pid, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // SIGTERM lets pg_restore or a restore command remove what it began; SIGKILL, to the whole group, leaves
        // nothing running in a folder that is about to be cleared.
        self.signal_all(Signal::TERM);
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end && !matches!(self.child.try_wait(), Ok(Some(_))) {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.signal_all(Signal::KILL);
        let _ = self.child.wait();
    }
}

/// The end of a log, as text.
pub fn read_tail(path: &Path) -> String {
    const MOST: usize = 256 << 10;
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(MOST)..]).into_owned()
}

/// The error where a full disk ended a program: that says nothing against the backup.
pub fn disk_full_error(output: &str, place: &Path) -> Option<Error> {
    // The second is what a restore writes before it begins.
    let full = output.contains("No space left on device")
        || output.lines().any(|l| l.contains("the backup needs ") && l.trim_end().ends_with(" free"));
    full.then(|| {
        Error::failed(format!("no space left on the disk of {}", place.display()))
            .hint("--work-dir names a folder with more room")
    })
}
