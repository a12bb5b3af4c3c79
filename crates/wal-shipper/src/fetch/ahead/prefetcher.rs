//! The process that stays: it keeps the next segments, and ends, clearing the folder, when none was asked for in a while
//! or when the server is gone. When somebody else removes the folder, it only ends.

use super::{HANDED, LOCK, Stamp, coming_path, find_kept, folder_beside, kept_path, system_identifier};
use crate::cli;
use crate::fetch::FetchJob;
use crate::fetch::destination::Destination;
use rustix::process::Pid;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use toban_core::config::Config;
use toban_core::pg::postmaster_pid;
use toban_core::sync::lock;
use toban_core::wal::{Segment, WalName};
use toban_core::{Context, Result, durable, shutdown};

/// How long the process stays when no segment is asked for.
const IDLE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);
/// Replay has one thread only, and goes first.
const NICE: i32 = 5;

/// Gets segments ahead until none was asked for in a while.
///
/// # Errors
/// When another process keeps the folder, or the configuration does not read.
pub(crate) fn get_ahead(args: &cli::Fetch, config: &Config) -> Result<()> {
    let folder = folder_beside(&args.path);
    let _lock = durable::Lock::take(&folder.join(LOCK), "get ahead")?;
    clear_leftovers(&folder);
    // Without the lower priority it works as well.
    let _ = rustix::process::nice(NICE);
    let job = FetchJob::open(args, config, system_identifier(args)?, false)?;
    let window = Mutex::new(Window { ahead: args.ahead.into(), ..Window::default() });
    let prefetcher = Prefetcher { folder, job, window, changed: Condvar::new() };
    let workers = 2 * toban_core::machine::cores();
    let end = std::thread::scope(|scope| {
        (0..workers).for_each(|_| drop(scope.spawn(|| prefetcher.keep_segments())));
        prefetcher.follow_recovery()
    });
    // What a worker was about to write when the folder was cleared.
    if end == End::Cleared {
        let _ = fs::remove_dir_all(&prefetcher.folder);
    }
    Ok(())
}

/// How the folder came to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// This process removed it.
    Cleared,
    /// Another one began to.
    Taken,
}

/// The server that recovers, by its postmaster.pid: PostgreSQL runs `restore_command` in the data directory. `None` where
/// `fetch` was called by hand.
fn find_postmaster() -> Option<Pid> {
    postmaster_pid(Path::new(".")).and_then(|pid| Pid::from_raw(pid.try_into().ok()?))
}

fn has_ended(process: Pid) -> bool {
    rustix::process::test_kill_process(process) == Err(rustix::io::Errno::SRCH)
}

/// Removes what one that was killed, or a machine that crashed, has left.
fn clear_leftovers(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name() != HANDED && entry.file_name() != LOCK {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Keeps the segments after the one that was handed over last.
struct Prefetcher {
    folder: PathBuf,
    job: FetchJob,
    window: Mutex<Window>,
    changed: Condvar,
}

/// What was handed over, and what is to be got therefore.
#[derive(Default)]
struct Window {
    handed: Option<Segment>,
    ahead: u64,
    /// The number of the first segment that was not looked for yet.
    next: u64,
    coming: BTreeSet<Segment>,
    /// One could not be got: no more until the next is handed over.
    stopped: bool,
    over: bool,
}

impl Prefetcher {
    fn lock_window(&self) -> MutexGuard<'_, Window> {
        lock(&self.window)
    }

    /// Reads what was handed over, until nothing was for a while, or the server or the folder is gone.
    fn follow_recovery(&self) -> End {
        let end = self.follow_handed();
        // pg_rewind lists the files of a dead server, then removes one after the other, and fails where one is gone
        // already; the data directory is lost then. So the folder goes in the moment in which its server does, and
        // whoever began to remove it is left to finish.
        if end == End::Cleared {
            let _ = fs::remove_dir_all(&self.folder);
        }
        self.lock_window().over = true;
        self.changed.notify_all();
        end
    }

    fn follow_handed(&self) -> End {
        let (mut last, mut since) = (None, Instant::now());
        let postmaster = find_postmaster();
        while since.elapsed() < IDLE && !shutdown::due() && !postmaster.is_some_and(has_ended) {
            let Ok(text) = fs::read_to_string(self.folder.join(HANDED)) else { return End::Taken };
            let handed = parse_handed(&text).filter(|h| last != Some(*h));
            if let Some(segment) = handed {
                (last, since) = (Some(segment), Instant::now());
                self.remove_up_to(segment.into());
                self.lock_window().move_to(segment);
                self.changed.notify_all();
            }
            std::thread::sleep(POLL);
        }
        End::Cleared
    }

    fn keep_segments(&self) {
        while let Some(segment) = self.wait_for_next() {
            let kept = self.keep(segment.into());
            self.lock_window().settle(&segment, kept);
        }
    }

    /// Waits for a segment to get; `None` when it is over.
    fn wait_for_next(&self) -> Option<Segment> {
        let is_there = |s: &Segment| find_kept(&self.folder, WalName::from(*s)).is_some();
        let mut window = self.lock_window();
        while !window.over {
            if let Some(segment) = window.take_due(is_there) {
                return Some(segment);
            }
            window = self.changed.wait(window).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    /// Whether it is there now.
    fn keep(&self, name: WalName) -> bool {
        let coming = coming_path(&self.folder, name);
        let done = self.fetch_into(name, &coming);
        let _ = fs::remove_file(&coming);
        done.unwrap_or(false)
    }

    /// While it comes, an empty file says so.
    fn fetch_into(&self, name: WalName, coming: &Path) -> Result<bool> {
        let doing = || format!("keep {name}");
        fs::write(coming, "").doing(doing)?;
        if !self.job.fetch_whole(&Destination::new(coming, name, self.job.system.identifier))? {
            return Ok(false);
        }
        // Synced before it gets the name that counts: a file of that name is whole on the disk even after a crash. Recovery
        // does not wait for this sync, as it would in the call that hands the file over.
        File::open(coming).and_then(|f| f.sync_data()).doing(doing)?;
        fs::rename(coming, kept_path(&self.folder, name, Stamp::read(coming)?)).doing(doing)?;
        Ok(true)
    }

    /// What lies before the segment that was handed over is not asked for again.
    fn remove_up_to(&self, handed: WalName) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let file = entry.file_name();
            let name = file.to_str().and_then(|f| f.split_once('-')?.0.parse::<WalName>().ok());
            if name.is_some_and(|n| n <= handed) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// `<name> <size of segments>`.
fn parse_handed(text: &str) -> Option<Segment> {
    let (name, size) = text.split_once(' ')?;
    name.parse::<WalName>().ok()?.segment(size.parse().ok()?)
}

impl Window {
    /// `segment` was handed over. Recovery that begins anew goes back, or over to another timeline.
    fn move_to(&mut self, segment: Segment) {
        let goes_on = self.handed.is_some_and(|h| h.timeline == segment.timeline && h < segment);
        if !goes_on || self.next <= segment.number {
            self.next = segment.number + 1;
        }
        self.handed = Some(segment);
        self.stopped = false;
    }

    /// The next that neither is there nor comes.
    fn take_due(&mut self, is_there: impl Fn(&Segment) -> bool) -> Option<Segment> {
        let handed = self.handed.filter(|_| !self.stopped)?;
        while self.next <= handed.number + self.ahead {
            let segment = Segment { number: self.next, ..handed };
            self.next += 1;
            if !self.coming.contains(&segment) && !is_there(&segment) {
                self.coming.insert(segment);
                return Some(segment);
            }
        }
        None
    }

    fn settle(&mut self, segment: &Segment, kept: bool) {
        self.coming.remove(segment);
        if !kept {
            self.stopped = true;
            self.next = self.next.min(segment.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use toban_core::wal::Timeline;

    fn segment(timeline: u32, number: u64) -> Segment {
        Segment { timeline: Timeline(timeline), number, size: 16 << 20 }
    }

    fn due(window: &mut Window, there: &[u64]) -> Vec<u64> {
        let is_there = |s: &Segment| there.contains(&s.number);
        std::iter::from_fn(|| window.take_due(is_there)).map(|s| s.number).collect()
    }

    #[test]
    fn the_window_slides_and_nothing_is_got_twice() {
        let mut window = Window { ahead: 3, ..Window::default() };
        assert!(due(&mut window, &[]).is_empty(), "nothing was handed over");
        window.move_to(segment(1, 10));
        assert_eq!(due(&mut window, &[12]), [11, 13]);
        window.move_to(segment(1, 11));
        assert_eq!(due(&mut window, &[12]), [14]);
        // Back to an earlier one: what comes still is not got twice, what is there neither.
        window.settle(&segment(1, 11), true);
        window.move_to(segment(1, 10));
        assert_eq!(due(&mut window, &[12]), [11]);
        window.move_to(segment(2, 10));
        assert_eq!(due(&mut window, &[]), [11, 12, 13], "another timeline's are others");
    }

    #[test]
    fn after_a_failure_nothing_is_tried_until_the_next_is_handed_out() {
        let mut window = Window { ahead: 4, ..Window::default() };
        window.move_to(segment(1, 10));
        assert_eq!(due(&mut window, &[]), [11, 12, 13, 14]);
        window.settle(&segment(1, 12), false);
        window.settle(&segment(1, 11), true);
        assert!(due(&mut window, &[11]).is_empty());
        window.move_to(segment(1, 11));
        assert_eq!(due(&mut window, &[]), [12, 15], "13 and 14 come still");
    }
}
