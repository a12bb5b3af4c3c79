//! What the threads of a run share: whether to go on, how fast, and which pages look damaged.

use super::page::{self, Fault, PAGE};
use crate::format::backup::Damage;
use crate::format::index::Name;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use toban_core::pack::crc32c;
use toban_core::sync::lock;
use toban_core::wal::Lsn;
use toban_core::{Error, Result, shutdown};

/// Pages kept to look at again; those beyond are counted only, and count where all of these are damaged.
const SUSPECTS: usize = 10_000;
/// A page may carry a position that is newer than the last one we heard of, but not by this much.
const AHEAD: u64 = 16 << 30;
/// Pages whose re-reading waits for a writer in the middle of its write; a file full of damage must not take hours.
const PATIENT: usize = 100;

/// One run's shared state.
pub(super) struct Watch {
    pub(super) data_dir: PathBuf,
    /// Whether page checksums are compared.
    pub(super) checksums: bool,
    /// The newest position of the WAL that was heard of.
    pub(super) newest: AtomicU64,
    aborted: AtomicBool,
    /// What went wrong first.
    cause: Mutex<Option<Error>>,
    suspects: Mutex<Vec<Suspect>>,
    uncounted: AtomicU64,
    backoff: AtomicU64,
    pace: Option<Pace>,
}

/// A page that did not read well when it was copied.
struct Suspect {
    name: Name,
    /// Its place in the file, and its number in the relation.
    at: u64,
    block: u32,
    crc: u32,
}

/// Bytes that may be read in a second.
struct Pace {
    rate: u64,
    begun: Instant,
    read: AtomicU64,
}

impl Watch {
    pub(super) fn new(data_dir: &Path, checksums: bool, rate: Option<u64>) -> Watch {
        let pace = rate.map(|rate| Pace { rate, begun: Instant::now(), read: AtomicU64::new(0) });
        Watch {
            data_dir: data_dir.into(),
            checksums,
            newest: AtomicU64::new(0),
            aborted: AtomicBool::new(false),
            cause: Mutex::new(None),
            suspects: Mutex::new(Vec::new()),
            uncounted: AtomicU64::new(0),
            backoff: AtomicU64::new(0),
            pace,
        }
    }

    /// Goes on unless another thread failed or a signal came.
    ///
    /// # Errors
    /// As said.
    pub(super) fn check(&self) -> Result<()> {
        shutdown::check()?;
        if self.aborted.load(Ordering::SeqCst) {
            return Err(aborted());
        }
        Ok(())
    }

    /// Ends the other threads.
    pub(super) fn abort(&self) {
        self.aborted.store(true, Ordering::SeqCst);
    }

    /// Ends the other threads because of `e`; of several, the first is the one to tell. What is returned stands for it.
    pub(super) fn fail(&self, e: Error) -> Error {
        let mut cause = lock(&self.cause);
        cause.get_or_insert(e);
        self.abort();
        aborted()
    }

    /// What went wrong first, else `e`.
    pub(super) fn cause(&self, e: Error) -> Error {
        lock(&self.cause).take().unwrap_or(e)
    }

    /// Accounts for `bytes` that were read, and waits where that was too fast.
    ///
    /// # Errors
    /// Those of [`Watch::check`].
    pub(super) fn pace(&self, bytes: u64) -> Result<()> {
        self.check()?;
        let Some(pace) = &self.pace else { return Ok(()) };
        let read = pace.read.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let due = Duration::from_secs_f64(read as f64 / pace.rate.max(1) as f64);
        while pace.begun.elapsed() < due {
            self.check()?;
            std::thread::sleep((due - pace.begun.elapsed().min(due)).min(Duration::from_millis(200)));
        }
        Ok(())
    }

    /// Judges the pages in `bytes`, which begin at `at` in `file`, whose first page has number `first` in its
    /// relation; what was read in the middle of a write is read again.
    pub(super) fn pages(&self, bytes: &mut [u8], (file, name): (&File, &Name), at: u64, first: u32) {
        let first = first + u32::try_from(at / PAGE as u64).unwrap_or_default();
        for (n, page) in bytes.as_chunks_mut::<PAGE>().0.iter_mut().enumerate() {
            let block = first + u32::try_from(n).unwrap_or_default();
            let at = at + (n * PAGE) as u64;
            if page::fault(page, block, self.bound()).is_some() && self.again(page, file, at, block).is_some()
            {
                self.suspect(Suspect { name: name.clone(), at, block, crc: crc32c(page) });
            }
        }
    }

    fn bound(&self) -> Lsn {
        Lsn(self.newest.load(Ordering::Relaxed).saturating_add(AHEAD))
    }

    /// Reads the page until it is good, for up to about a second.
    fn again(&self, page: &mut [u8; PAGE], file: &File, at: u64, block: u32) -> Option<Fault> {
        let patient = self.backoff.fetch_add(1, Ordering::Relaxed) < PATIENT as u64;
        for pause in if patient { &[1, 5, 20, 100, 400][..] } else { &[0][..] } {
            std::thread::sleep(Duration::from_millis(*pause));
            let mut now = [0; PAGE];
            if file.read_exact_at(&mut now, at).is_err() {
                // Truncated meanwhile: the WAL says so too.
                return None;
            }
            if page::fault(&now, block, self.bound()).is_none() {
                log::debug!("block {block} was being written when it was read");
                *page = now;
                return None;
            }
        }
        page::fault(page, block, self.bound())
    }

    fn suspect(&self, suspect: Suspect) {
        let mut suspects = lock(&self.suspects);
        match suspects.len() < SUSPECTS {
            true => suspects.push(suspect),
            false => _ = self.uncounted.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Reads every suspect once more, after all was copied: what is still bad and did not change since is damage,
    /// whatever it says of itself; what changed since `start` will be mended by the WAL.
    pub(super) fn damaged(&self, start: Lsn, newest: Lsn) -> Damage {
        let suspects = lock(&self.suspects);
        let all: Vec<String> = suspects.iter().filter_map(|s| self.verdict(s, start, newest)).collect();
        let beyond = if all.len() == SUSPECTS { self.uncounted.load(Ordering::Relaxed) } else { 0 };
        Damage { pages: all.len() as u64 + beyond, first: all.into_iter().take(100).collect() }
    }

    fn verdict(&self, suspect: &Suspect, start: Lsn, newest: Lsn) -> Option<String> {
        let file = File::open(self.data_dir.join(suspect.name.path().ok()?)).ok()?;
        let mut page = [0; PAGE];
        file.read_exact_at(&mut page, suspect.at).ok()?;
        let Some(fault) = page::fault(&page, suspect.block, newest) else {
            log::debug!(
                "{} block {} was half written each time: the WAL has it whole",
                suspect.name.shown(),
                suspect.block
            );
            return None;
        };
        let changing = crc32c(&page) != suspect.crc && (start..=newest).contains(&page::lsn(&page));
        (!changing).then(|| format!("{} block {}: {fault}", suspect.name.shown(), suspect.block))
    }
}

/// What a thread says that ended because another failed.
fn aborted() -> Error {
    Error::failed("another part of the run failed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_stays_and_a_torn_page_does_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let name = Name(b"16384".to_vec());
        let path = dir.path().join("16384");
        let mut bytes = vec![0; 3 * PAGE];
        bytes[PAGE + 5000] = 1;
        bytes[2 * PAGE + 14] = 1;
        std::fs::write(&path, &bytes).expect("write");
        let watch = Watch::new(dir.path(), true, None);
        let file = File::open(&path).expect("open");
        watch.pages(&mut bytes, (&file, &name), 0, 0);
        let all = watch.damaged(Lsn(1), Lsn(2)).first;
        assert_eq!(all, ["16384 block 1: zeroed header", "16384 block 2: wrong checksum"]);
        // The writer finishes after we looked.
        std::fs::write(&path, vec![0; 3 * PAGE]).expect("write");
        assert_eq!(watch.damaged(Lsn(1), Lsn(2)), Damage::default());
    }

    #[test]
    fn the_pace_is_kept() {
        let watch = Watch::new(Path::new("/"), true, Some(1_000_000));
        let begun = Instant::now();
        (0..10).try_for_each(|_| watch.pace(20_000)).expect("paced");
        assert!(begun.elapsed() >= Duration::from_millis(190));
        watch.abort();
        assert!(watch.pace(1).is_err());
    }
}
