//! What a run asks of this machine: its cores, its lock, and which process it is.

use serde::{Deserialize, Serialize};
use std::fs;
use toban_core::durable::{Lock, state_dir};
use toban_core::{Kind, Result};

/// As many workers as were asked for, else one for each core, at most 64.
pub(crate) fn workers(asked: Option<u32>) -> u32 {
    let cores = || u32::try_from(toban_core::machine::cores()).unwrap_or(64);
    asked.unwrap_or_else(|| cores().min(64))
}

/// Takes the lock of `verb` on `cluster`.
///
/// # Errors
/// Retry when another run has it; the message names that run.
pub(crate) fn take(verb: &str, cluster: &str) -> Result<Lock> {
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
    /// This one; none where /proc does not tell.
    pub(crate) fn own() -> Option<Process> {
        let pid = std::process::id();
        Some(Process { boot: boot()?, namespace: namespace()?, pid, started: started(pid)? })
    }

    /// Whether it is proven to be gone: it was of this boot and these numbers, and is not there.
    pub(crate) fn is_gone(&self) -> bool {
        let here = boot().as_ref() == Some(&self.boot) && namespace().as_ref() == Some(&self.namespace);
        here && started(self.pid) != Some(self.started)
    }
}

/// The process that an intent names, if it does.
pub(crate) fn process_of_intent(json: &[u8]) -> Option<Process> {
    #[derive(Deserialize)]
    struct Intent {
        process: Option<Process>,
    }
    serde_json::from_slice::<Intent>(json).ok()?.process
}

fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_string())
}

fn namespace() -> Option<String> {
    Some(fs::read_link("/proc/self/ns/pid").ok()?.display().to_string())
}

/// The 22nd field of /proc/PID/stat; the second is in parentheses and may hold anything.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat).into_owned();
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_proven_dead_is_gone() {
        let own = Process::own().expect("Linux tells");
        assert!(!own.is_gone());
        assert!(Process { started: own.started + 1, ..own.clone() }.is_gone(), "the number is used again");
        assert!(Process { pid: u32::MAX, ..own.clone() }.is_gone());
        assert!(
            !Process { pid: u32::MAX, boot: "another".into(), ..own.clone() }.is_gone(),
            "another machine"
        );
        assert!(
            !Process { pid: u32::MAX, namespace: "x".into(), ..own.clone() }.is_gone(),
            "another container"
        );
        let json = serde_json::json!({ "format": 1, "process": own });
        assert_eq!(process_of_intent(json.to_string().as_bytes()), Some(own));
        assert_eq!(process_of_intent(b"{\"format\":1}"), None);
    }
}
