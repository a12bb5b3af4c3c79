//! The process that stays: it keeps the next segments, and ends, clearing the folder, when nobody has asked for a while
//! or when the folder is gone.

use super::{HANDED, LOCK, Stamp, coming, folder, kept, ready, system};
use crate::cli;
use crate::fetch::Job;
use crate::fetch::place::Place;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use toban_core::config::Config;
use toban_core::wal::{Segment, WalName};
use toban_core::{Context, Result, durable, shutdown};

/// How long the process stays when nobody asks.
const IDLE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);
/// Replay has one thread only, and goes first.
const NICE: i32 = 5;

/// Gets ahead until nobody has asked for a while.
///
/// # Errors
/// When another process is at it, or the configuration is off.
pub(crate) fn run(args: &cli::Fetch, config: &Config) -> Result<()> {
    let folder = folder(&args.path);
    let _lock = durable::Lock::take(&folder.join(LOCK), "get ahead")?;
    clear(&folder);
    // A convenience that may not be polite is one still.
    let _ = rustix::process::nice(NICE);
    let job = Job::open(args, config, system(args)?, false)?;
    let asked = Mutex::new(Asked { ahead: args.ahead.into(), ..Asked::default() });
    let window = Window { folder, job, asked, changed: Condvar::new() };
    let workers = std::thread::available_parallelism().map_or(2, |n| 2 * n.get());
    std::thread::scope(|scope| {
        (0..workers).for_each(|_| drop(scope.spawn(|| window.work())));
        window.follow();
    });
    let _ = fs::remove_dir_all(&window.folder);
    Ok(())
}

/// Removes what one that was killed, or a machine that crashed, has left.
fn clear(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name() != HANDED && entry.file_name() != LOCK {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The segments behind the one that was handed out last.
struct Window {
    folder: PathBuf,
    job: Job,
    asked: Mutex<Asked>,
    changed: Condvar,
}

/// What was handed out, and what is to be got therefore.
#[derive(Default)]
struct Asked {
    handed: Option<Segment>,
    ahead: u64,
    /// The number of the first segment that nobody looked for yet.
    next: u64,
    coming: BTreeSet<Segment>,
    /// One could not be got: no more until the next is handed out.
    stopped: bool,
    over: bool,
}

impl Window {
    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks what was handed out, until nothing was for a while.
    fn follow(&self) {
        let (mut last, mut since) = (None, Instant::now());
        while since.elapsed() < IDLE && !shutdown::due() {
            let Ok(text) = fs::read_to_string(self.folder.join(HANDED)) else { break };
            let handed = handed(&text).filter(|h| last != Some(*h));
            if let Some(segment) = handed {
                (last, since) = (Some(segment), Instant::now());
                self.forget(segment.into());
                self.asked().hand(segment);
                self.changed.notify_all();
            }
            std::thread::sleep(POLL);
        }
        self.asked().over = true;
        self.changed.notify_all();
    }

    fn work(&self) {
        while let Some(segment) = self.next() {
            let got = self.get(segment.into());
            self.asked().done(&segment, got);
        }
    }

    /// Waits for something to get; `None` when it is over.
    fn next(&self) -> Option<Segment> {
        let is_there = |s: &Segment| ready(&self.folder, WalName::from(*s)).is_some();
        let mut asked = self.asked();
        while !asked.over {
            if let Some(segment) = asked.due(is_there) {
                return Some(segment);
            }
            asked = self.changed.wait(asked).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    /// Whether it is there now.
    fn get(&self, name: WalName) -> bool {
        let coming = coming(&self.folder, name);
        let done = self.got(name, &coming);
        let _ = fs::remove_file(&coming);
        done.unwrap_or(false)
    }

    /// While it comes, an empty file says so.
    fn got(&self, name: WalName, coming: &Path) -> Result<bool> {
        let doing = || format!("keep {name}");
        fs::write(coming, "").doing(doing)?;
        if !self.job.get(&Place::of(coming, name, self.job.system.identifier))? {
            return Ok(false);
        }
        // PostgreSQL syncs what it is given before it replays it; here nobody waits for that.
        File::open(coming).and_then(|f| f.sync_data()).doing(doing)?;
        fs::rename(coming, kept(&self.folder, name, Stamp::of(coming)?)).doing(doing)?;
        Ok(true)
    }

    /// What lies before the segment that was handed out is not asked for again.
    fn forget(&self, handed: WalName) {
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
fn handed(text: &str) -> Option<Segment> {
    let (name, size) = text.split_once(' ')?;
    name.parse::<WalName>().ok()?.segment(size.parse().ok()?)
}

impl Asked {
    /// `segment` was handed out. Recovery that begins anew goes back, or over to another timeline.
    fn hand(&mut self, segment: Segment) {
        let goes_on = self.handed.is_some_and(|h| h.timeline == segment.timeline && h < segment);
        if !goes_on || self.next <= segment.number {
            self.next = segment.number + 1;
        }
        self.handed = Some(segment);
        self.stopped = false;
    }

    /// The next that neither is there nor comes.
    fn due(&mut self, is_there: impl Fn(&Segment) -> bool) -> Option<Segment> {
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

    fn done(&mut self, segment: &Segment, got: bool) {
        self.coming.remove(segment);
        if !got {
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

    fn due(asked: &mut Asked, there: &[u64]) -> Vec<u64> {
        let is_there = |s: &Segment| there.contains(&s.number);
        std::iter::from_fn(|| asked.due(is_there)).map(|s| s.number).collect()
    }

    #[test]
    fn the_window_slides_and_nothing_is_got_twice() {
        let mut asked = Asked { ahead: 3, ..Asked::default() };
        assert!(due(&mut asked, &[]).is_empty(), "nothing was handed out");
        asked.hand(segment(1, 10));
        assert_eq!(due(&mut asked, &[12]), [11, 13]);
        asked.hand(segment(1, 11));
        assert_eq!(due(&mut asked, &[12]), [14]);
        // Back to an earlier one: what comes still is not got twice, what is there neither.
        asked.done(&segment(1, 11), true);
        asked.hand(segment(1, 10));
        assert_eq!(due(&mut asked, &[12]), [11]);
        asked.hand(segment(2, 10));
        assert_eq!(due(&mut asked, &[]), [11, 12, 13], "another timeline's are others");
    }

    #[test]
    fn after_a_failure_nothing_is_tried_until_the_next_is_handed_out() {
        let mut asked = Asked { ahead: 4, ..Asked::default() };
        asked.hand(segment(1, 10));
        assert_eq!(due(&mut asked, &[]), [11, 12, 13, 14]);
        asked.done(&segment(1, 12), false);
        asked.done(&segment(1, 11), true);
        assert!(due(&mut asked, &[11]).is_empty());
        asked.hand(segment(1, 11));
        assert_eq!(due(&mut asked, &[]), [12, 15], "13 and 14 come still");
    }
}
