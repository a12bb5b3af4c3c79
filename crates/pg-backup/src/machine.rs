//! What a run asks of this machine: its cores, its lock, and which process it is.

use serde::{Deserialize, Serialize};
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use toban_core::durable::{Lock, state_dir};
use toban_core::sync::joined;
use toban_core::{Kind, Result, shutdown};

/// As many workers as were asked for, else one for each core, at most 64.
pub(crate) fn worker_count(asked: Option<u32>) -> u32 {
    let cores = || u32::try_from(toban_core::machine::cores()).unwrap_or(64);
    asked.unwrap_or_else(|| cores().min(64))
}

/// Does `each` for all items by a few threads; the answers in the order of the items.
pub(crate) fn in_parallel<I: Sync, T: Send>(
    items: &[I],
    threads: usize,
    each: impl Fn(&I) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let worker = || -> Result<Vec<(usize, T)>> {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return Ok(done) };
            shutdown::check()?;
            done.push((at, each(item)?));
        }
    };
    let done = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.min(items.len())).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().map(|w| joined(w.join())).collect::<Result<Vec<_>>>()
    })?;
    let mut done: Vec<(usize, T)> = done.into_iter().flatten().collect();
    done.sort_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, answer)| answer).collect())
}

/// Takes the lock of `verb` on `cluster`.
///
/// # Errors
/// Retry when another run has it; the message names that run.
pub(crate) fn take_lock(verb: &str, cluster: &str) -> Result<Lock> {
    // On this machine alone: runs on two machines write objects of different IDs, which cannot harm each other.
    let path = state_dir().join("lock").join(format!("pg-backup-{verb}-{cluster}.lock"));
    let cure = "TOBAN_STATE_DIR names a folder that this user may write";
    Lock::take(&path, &format!("pg-backup {verb} of cluster {cluster}")).map_err(|e| match e.kind() {
        Kind::Failed => e.hint(cure),
        _ => e,
    })
}

/// A process, told apart from every other that ever ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    /// The kernel's name for the time since it was booted.
    boot: String,
    /// Process numbers are those of a container.
    namespace: String,
    pid: u32,
    /// When it was started, in ticks since the boot: a number is used again.
    started: u64,
}

impl Process {
    /// This one; none where /proc does not show it.
    pub(crate) fn current() -> Option<Process> {
        let pid = std::process::id();
        Some(Process {
            boot: read_boot_id()?,
            namespace: read_pid_namespace()?,
            pid,
            started: read_start_time(pid)?,
        })
    }

    /// What is known of it: it can only be looked for where it was of this boot and these numbers.
    pub(crate) fn life(&self) -> Life {
        let here = read_boot_id().as_ref() == Some(&self.boot)
            && read_pid_namespace().as_ref() == Some(&self.namespace);
        match (here, read_start_time(self.pid) == Some(self.started)) {
            (false, _) => Life::Unknown,
            (true, true) => Life::Here,
            (true, false) => Life::Gone,
        }
    }
}

/// Whether a process is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Here,
    /// Proven.
    Gone,
    /// It was of another machine, boot or container.
    Unknown,
}

/// The process that an intent names, if it does.
pub(crate) fn process_of_intent(json: &[u8]) -> Option<Process> {
    #[derive(Deserialize)]
    struct Intent {
        process: Option<Process>,
    }
    serde_json::from_slice::<Intent>(json).ok()?.process
}

fn read_boot_id() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_string())
}

fn read_pid_namespace() -> Option<String> {
    Some(fs::read_link("/proc/self/ns/pid").ok()?.display().to_string())
}

/// The 22nd field of /proc/PID/stat; the second is in parentheses and may hold anything.
fn read_start_time(pid: u32) -> Option<u64> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat).into_owned();
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_proven_dead_is_gone() {
        let own = Process::current().expect("Linux tells");
        assert_eq!(own.life(), Life::Here);
        assert_eq!(
            Process { started: own.started + 1, ..own.clone() }.life(),
            Life::Gone,
            "its number is used again"
        );
        assert_eq!(Process { pid: u32::MAX, ..own.clone() }.life(), Life::Gone);
        let machine = Process { boot: "another".into(), ..own.clone() };
        assert_eq!(machine.life(), Life::Unknown, "another machine");
        let container = Process { namespace: "x".into(), ..own.clone() };
        assert_eq!(container.life(), Life::Unknown, "another container");
        let json = serde_json::json!({ "format": 1, "process": own });
        assert_eq!(process_of_intent(json.to_string().as_bytes()), Some(own));
        assert_eq!(process_of_intent(b"{\"format\":1}"), None);
    }
}
