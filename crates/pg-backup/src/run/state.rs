//! What the threads of a run share: whether to go on, how fast, and which pages look damaged.

use super::page::{self, PAGE, PageFault};
use crate::format::backup::Damage;
use crate::format::index::FileName;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use toban_core::crc::crc32c;
use toban_core::sync::lock;
use toban_core::wal::Lsn;
use toban_core::{Error, Result, shutdown};

/// Pages kept to look at again; those beyond are counted only, and count where all of these are damaged.
const SUSPECTS: usize = 10_000;
/// A page may carry a position that is newer than the last one we heard of, but not by this much.
const AHEAD: u64 = 16 << 30;
/// Pages whose re-reading waits for a writer in the middle of its write; a file full of damage must not take hours.
const PATIENT: usize = 20;

/// Milliseconds before each of the last looks at a page that did not read well: no multiples of one another, so that a
/// writer that comes in regular beats is not met at the same beat each time.
const LOOKS: [u64; 6] = [0, 3, 17, 59, 211, 397];

/// One run's shared state.
pub(super) struct RunState {
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
    /// Bytes of the cluster's files that were read.
    pub(super) read: AtomicU64,
    pace: Option<Pace>,
}

/// A page that did not read well when it was copied.
struct Suspect {
    name: FileName,
    /// Its place in the file, and its number in the relation.
    at: u64,
    block: u32,
    crc: u32,
}

/// Where pages that were read lie.
pub(super) struct PageRange<'a> {
    pub(super) file: &'a File,
    pub(super) name: &'a FileName,
    /// The first byte in the file.
    pub(super) at: u64,
    /// The number in its relation of the file's first page.
    pub(super) first: u32,
}

/// Bytes that may be read in a second.
struct Pace {
    rate: u64,
    begun: Instant,
    read: AtomicU64,
}

impl RunState {
    pub(super) fn new(data_dir: &Path, checksums: bool, rate: Option<u64>) -> RunState {
        let pace = rate.map(|rate| Pace { rate, begun: Instant::now(), read: AtomicU64::new(0) });
        RunState {
            data_dir: data_dir.into(),
            checksums,
            newest: AtomicU64::new(0),
            aborted: AtomicBool::new(false),
            cause: Mutex::new(None),
            suspects: Mutex::new(Vec::new()),
            uncounted: AtomicU64::new(0),
            backoff: AtomicU64::new(0),
            read: AtomicU64::new(0),
            pace,
        }
    }

    /// Goes on unless another thread failed or a signal came.
    pub(super) fn check(&self) -> Result<()> {
        shutdown::check()?;
        if self.aborted.load(Ordering::SeqCst) {
            return Err(aborted_error());
        }
        Ok(())
    }

    /// Ends the other threads.
    pub(super) fn abort(&self) {
        self.aborted.store(true, Ordering::SeqCst);
    }

    /// Ends the other threads because of `e`; of several, the first is the one to report. What is returned stands for it.
    pub(super) fn fail(&self, e: Error) -> Error {
        let mut cause = lock(&self.cause);
        cause.get_or_insert(e);
        self.abort();
        aborted_error()
    }

    /// What went wrong first, else `e`.
    pub(super) fn first_cause(&self, e: Error) -> Error {
        lock(&self.cause).take().unwrap_or(e)
    }

    /// Accounts for `bytes` that were read, and waits where that was too fast.
    pub(super) fn keep_pace(&self, bytes: u64) -> Result<()> {
        self.check()?;
        self.read.fetch_add(bytes, Ordering::Relaxed);
        let Some(pace) = &self.pace else { return Ok(()) };
        let read = pace.read.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let due = Duration::from_secs_f64(read as f64 / pace.rate.max(1) as f64);
        while pace.begun.elapsed() < due {
            self.check()?;
            // In short steps: at a low rate the wait for one chunk may take minutes, and a signal or the
            // failure of another thread must end it soon.
            std::thread::sleep((due - pace.begun.elapsed().min(due)).min(Duration::from_millis(200)));
        }
        Ok(())
    }

    /// Judges the pages in `bytes`; what was read in the middle of a write is read again. Whether one was.
    pub(super) fn check_pages(&self, bytes: &mut [u8], of: &PageRange<'_>) -> bool {
        let mut changed = false;
        let first = of.first + u32::try_from(of.at / PAGE as u64).unwrap_or_default();
        for (n, page) in bytes.as_chunks_mut::<PAGE>().0.iter_mut().enumerate() {
            let block = first + u32::try_from(n).unwrap_or_default();
            let at = of.at + (n * PAGE) as u64;
            let bad = page::find_fault(page, block, self.newest_bound()).is_some();
            // Also where the second look finds it good: then the bytes are others than those that the caller
            // has taken the digest of.
            changed |= bad;
            if bad && self.read_again(page, of.file, at, block).is_some() {
                self.add_suspect(Suspect { name: of.name.clone(), at, block, crc: crc32c(page) });
            }
        }
        changed
    }

    /// Whether every page read well, at once or again.
    pub(super) fn is_clean(&self) -> bool {
        lock(&self.suspects).is_empty()
    }

    fn newest_bound(&self) -> Lsn {
        Lsn(self.newest.load(Ordering::Relaxed).saturating_add(AHEAD))
    }

    /// Reads the page until it is good, for up to about a second.
    fn read_again(&self, page: &mut [u8; PAGE], file: &File, at: u64, block: u32) -> Option<PageFault> {
        // The patient looks take 0.7 s for a page of 8 KiB, which a file that is damaged throughout would
        // cost for each of its 131072. Beyond the first pages one look is enough: find_damage looks again.
        let patient = self.backoff.fetch_add(1, Ordering::Relaxed) < PATIENT as u64;
        // The server writes a page of 8 KiB while others read it, and no write(2) of that size is atomic for them: a page
        // that does not match may be whole an instant later.
        for pause in if patient { &LOOKS[1..] } else { &LOOKS[..1] } {
            if self.check().is_err() {
                // The run ends: what this page is no longer matters.
                return None;
            }
            std::thread::sleep(Duration::from_millis(*pause));
            let mut now = [0; PAGE];
            if file.read_exact_at(&mut now, at).is_err() {
                // Truncated meanwhile: the WAL says so too.
                return None;
            }
            if page::find_fault(&now, block, self.newest_bound()).is_none() {
                log::debug!("block {block} was being written when it was read");
                *page = now;
                return None;
            }
        }
        page::find_fault(page, block, self.newest_bound())
    }

    fn add_suspect(&self, suspect: Suspect) {
        let mut suspects = lock(&self.suspects);
        match suspects.len() < SUSPECTS {
            true => suspects.push(suspect),
            false => _ = self.uncounted.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Reads every suspect again, after all was copied: what is bad in each of several looks and did not change since is
    /// damage, whatever its header has; what changed since `start` will be made right by the WAL.
    pub(super) fn find_damage(&self, start: Lsn, newest: Lsn) -> Damage {
        // Pages are written while they are looked at: a position that is a little ahead of the newest that was asked for
        // is no damage.
        let newest = Lsn(newest.0.saturating_add(AHEAD));
        let mut damaged: Vec<(&Suspect, String)> = Vec::new();
        let suspects = lock(&self.suspects);
        for (look, pause) in LOOKS.iter().enumerate() {
            // A writer that lost the processor, or whose disk is slow, leaves the same half of a page for a while: one
            // look would take it for damage. Only the length of all looks together tells the two apart.
            std::thread::sleep(Duration::from_millis(*pause));
            let judge = |suspect| Some((suspect, self.judge_suspect(suspect, start, newest)?));
            damaged = match look {
                0 => suspects.iter().filter_map(judge).collect(),
                _ => damaged.into_iter().filter_map(|(suspect, _)| judge(suspect)).collect(),
            };
            if damaged.is_empty() {
                break;
            }
        }
        let beyond = if damaged.len() == SUSPECTS { self.uncounted.load(Ordering::Relaxed) } else { 0 };
        let first = damaged.iter().take(100).map(|(_, fault)| fault.clone()).collect();
        Damage { pages: damaged.len() as u64 + beyond, first }
    }

    fn judge_suspect(&self, suspect: &Suspect, start: Lsn, newest: Lsn) -> Option<String> {
        let file = File::open(self.data_dir.join(suspect.name.path().ok()?)).ok()?;
        let mut page = [0; PAGE];
        file.read_exact_at(&mut page, suspect.at).ok()?;
        let Some(fault) = page::find_fault(&page, suspect.block, newest) else {
            log::debug!(
                "{} block {} was half written each time: the WAL has it whole",
                suspect.name.to_display(),
                suspect.block
            );
            return None;
        };
        // Another content than the one that was copied, and a position within the backup: the server has
        // written the page since. The first change after the checkpoint put all of it into the WAL, so what
        // was copied is replaced by recovery and is no damage.
        let changing = crc32c(&page) != suspect.crc && (start..=newest).contains(&page::page_lsn(&page));
        (!changing).then(|| format!("{} block {}: {fault}", suspect.name.to_display(), suspect.block))
    }
}

/// The error of a thread that ended because another failed.
fn aborted_error() -> Error {
    Error::failed("another part of the run failed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_stays_and_a_torn_page_does_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let name = FileName(b"16384".to_vec());
        let path = dir.path().join("16384");
        let mut bytes = vec![0; 3 * PAGE];
        bytes[PAGE + 5000] = 1;
        bytes[2 * PAGE + 14] = 1;
        std::fs::write(&path, &bytes).expect("write");
        let watch = RunState::new(dir.path(), true, None);
        let file = File::open(&path).expect("open");
        watch.check_pages(&mut bytes, &PageRange { file: &file, name: &name, at: 0, first: 0 });
        let all = watch.find_damage(Lsn(1), Lsn(2)).first;
        assert_eq!(all, ["16384 block 1: zeroed header", "16384 block 2: wrong checksum"]);
        // The writer finishes after we looked.
        std::fs::write(&path, vec![0; 3 * PAGE]).expect("write");
        assert_eq!(watch.find_damage(Lsn(1), Lsn(2)), Damage::default());
    }

    #[test]
    fn a_page_that_is_torn_for_long_is_not_damage() {
        let dir = tempfile::tempdir().expect("a folder");
        let name = FileName(b"16384".to_vec());
        let path = dir.path().join("16384");
        let mut torn = vec![0; PAGE];
        torn[5000] = 1;
        std::fs::write(&path, &torn).expect("write");
        let state = RunState::new(dir.path(), true, None);
        let file = File::open(&path).expect("open");
        state.check_pages(&mut torn, &PageRange { file: &file, name: &name, at: 0, first: 0 });
        let writer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            std::fs::write(&path, vec![0; PAGE]).expect("write");
        });
        assert_eq!(state.find_damage(Lsn(1), Lsn(2)), Damage::default());
        writer.join().expect("it ends well");
    }

    #[test]
    fn the_pace_is_kept() {
        let watch = RunState::new(Path::new("/"), true, Some(1_000_000));
        let begun = Instant::now();
        (0..10).try_for_each(|_| watch.keep_pace(20_000)).expect("paced");
        assert!(begun.elapsed() >= Duration::from_millis(190));
        watch.abort();
        assert!(watch.keep_pace(1).is_err());
    }
}
