//! Files that wait behind the one PostgreSQL gave us, stored in parallel and marked as done.
//!
//! The archiver starts one command for each file, one after the other. It looks for `<name>.ready` again before each
//! (`pgarch.c`, pgarch_readyXlog), so a command may store others and rename their marks itself.

use super::Job;
use crate::cli;
use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use toban_core::wal::WalName;
use toban_core::{Context, Result, shutdown};

/// How far to look ahead, and with how many workers.
pub(super) struct Ahead {
    files: usize,
    jobs: usize,
}

impl Ahead {
    pub(super) fn of(args: &cli::Push) -> Ahead {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ahead { files: args.ahead, jobs: args.jobs.map_or(2 * cores, |n| n as usize) }
    }

    /// Stores what waits beside `path`. What goes wrong is left for its own call, which will say it.
    pub(super) fn run(&self, job: &Job, path: &Path) {
        let Some(wal) = path.parent() else { return };
        let marks = wal.join("archive_status");
        let own = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let waiting = Mutex::new(waiting(&marks, &own, self.files));
        let worker = || {
            while let Some(name) = next(&waiting) {
                if shutdown::due()
                    || one(job, wal, &marks, name).inspect_err(|e| log::debug!("{}", e.chain())).is_err()
                {
                    return;
                }
            }
        };
        let jobs = self.jobs.min(waiting.lock().map_or(0, |w| w.len()));
        std::thread::scope(|scope| (0..jobs).for_each(|_| drop(scope.spawn(worker))));
    }
}

fn next(waiting: &Mutex<VecDeque<WalName>>) -> Option<WalName> {
    waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop_front()
}

/// As the archiver would take them: histories first, then the oldest.
fn waiting(marks: &Path, own: &str, most: usize) -> VecDeque<WalName> {
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

fn one(job: &Job, wal: &Path, marks: &Path, name: WalName) -> Result<()> {
    job.push(&wal.join(name.to_string()), name)?;
    let mark = |ending: &str| -> PathBuf { marks.join(format!("{name}.{ending}")) };
    // Not synced: after a crash PostgreSQL offers the file again, and the same content is fine.
    fs::rename(mark("ready"), mark("done")).doing(|| format!("mark {name} as done"))
}
