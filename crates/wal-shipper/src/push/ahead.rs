//! Files that wait after the one PostgreSQL gave us, stored in parallel and marked as done.
//!
//! The archiver starts one command for each file, one after the other. It looks for `<name>.ready` again before each
//! (pgarch.c, pgarch_readyXlog), so a command may store others and rename their marks itself.

use super::PushJob;
use crate::cli;
use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use toban_core::machine;
use toban_core::sync::lock;
use toban_core::wal::WalName;
use toban_core::{Context, Result, shutdown};

/// How far to look ahead, and with how many workers.
pub(super) struct LookAhead {
    files: usize,
    jobs: usize,
}

impl LookAhead {
    pub(super) fn new(args: &cli::Push) -> LookAhead {
        let cores = machine::cores();
        LookAhead { files: args.ahead, jobs: args.jobs.map_or(2 * cores, |n| n as usize) }
    }

    /// Stores what waits beside `path`. What fails is left for its own call, which reports it.
    pub(super) fn store_waiting(&self, job: &PushJob, path: &Path) {
        let Some(wal) = path.parent() else { return };
        let marks = wal.join("archive_status");
        let own = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let waiting = Mutex::new(list_waiting(&marks, &own, self.files));
        let worker = || {
            while let Some(name) = take_next(&waiting) {
                if shutdown::due()
                    || store_one(job, wal, &marks, name)
                        .inspect_err(|e| log::debug!("{}", e.chain()))
                        .is_err()
                {
                    return;
                }
            }
        };
        let jobs = self.jobs.min(waiting.lock().map_or(0, |w| w.len()));
        std::thread::scope(|scope| (0..jobs).for_each(|_| drop(scope.spawn(worker))));
    }
}

fn take_next(waiting: &Mutex<VecDeque<WalName>>) -> Option<WalName> {
    lock(waiting).pop_front()
}

/// As the archiver would take them: histories first, then the oldest.
fn list_waiting(marks: &Path, own: &str, most: usize) -> VecDeque<WalName> {
    if most == 0 {
        return VecDeque::new();
    }
    let entries = fs::read_dir(marks).into_iter().flatten().flatten();
    let names = entries.filter_map(|e| e.file_name().to_str()?.strip_suffix(".ready").map(String::from));
    let mut names: Vec<WalName> = names.filter(|n| n != own).filter_map(|n| n.parse().ok()).collect();
    names.sort_by_key(|n| (!matches!(n, WalName::History(_)), n.to_string()));
    names.truncate(most);
    names.into()
}

fn store_one(job: &PushJob, wal: &Path, marks: &Path, name: WalName) -> Result<()> {
    job.store_file(&wal.join(name.to_string()), name)?;
    let mark = |ending: &str| -> PathBuf { marks.join(format!("{name}.{ending}")) };
    // Only after the file is durable in the repositories: `.done` allows PostgreSQL to recycle it. The rename itself is not
    // synced: after a crash PostgreSQL offers the file again, and the same content is fine.
    fs::rename(mark("ready"), mark("done")).doing(|| format!("mark {name} as done"))
}
