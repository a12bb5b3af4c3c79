//! Files out of packs: the index is read once, as a stream, and workers write what its lines name.

use super::backup_manifest::ManifestWriter;
use super::batch::write_batch;
use super::target::Target;
use super::{UNSERVED, display_path};
use crate::cli;
use crate::format::backup::{Conf, PG_CONTROL, StoredBackup};
use crate::format::frames::Frames;
use crate::format::index::{EntryKind, FileName, IndexEntry};
use crate::format::outline::{database_of, name_index_damage, read_entries};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use toban_core::progress::Progress;
use toban_core::sync::{joined, lock};
use toban_core::{Context, Error, Result, shutdown};

/// Lines that all workers have in hand together: neighbours lie in the same frames, and each is an open file, of which a
/// process may usually have 1,024.
const BATCHES: usize = 800;
/// Bytes of files after which a batch is full.
const BATCH_BYTES: u64 = 8 << 20;

/// What came of it.
pub(super) struct WrittenFiles {
    /// Small files that are not written as they are, or not yet.
    pub(super) kept: BTreeMap<String, (IndexEntry, Vec<u8>)>,
    pub(super) manifest: ManifestWriter,
    pub(super) written: u64,
    /// Bytes that were read from the store.
    pub(super) read: u64,
    /// Every path of the backup, with --delta.
    pub(super) names: BTreeSet<FileName>,
    /// It has tablespaces inside the data directory.
    pub(super) in_place: bool,
}

/// Writes every file of the backup but those that [`WrittenFiles::kept`] holds.
///
/// # Errors
/// Corrupt for damage, with the object and the file.
pub(super) fn write_files(
    args: &cli::Restore,
    stored: &StoredBackup,
    target: &Target,
) -> Result<WrittenFiles> {
    let work = FileWriters {
        stored,
        target,
        progress: Progress::bytes("restore", Some(stored.manifest.bytes), false),
        written: AtomicU64::new(0),
        read: AtomicU64::new(0),
        failed: AtomicBool::new(false),
    };
    let workers = args.jobs() as usize;
    let (batches, waiting) = sync_channel(workers * 2);
    let waiting = Mutex::new(waiting);
    let mut read = IndexReader::new(target, &stored.manifest.conf, (BATCHES / workers).max(1))?;
    thread::scope(|scope| {
        let workers: Vec<_> = (0..args.jobs()).map(|_| scope.spawn(|| work.run_worker(&waiting))).collect();
        let led = read.read_index(&work, batches);
        let joined = workers.into_iter().map(|w| joined(w.join()));
        // A worker's error is the cause of the reader's.
        joined.collect::<Vec<_>>().into_iter().collect::<Result<()>>().and(led)
    })
    .map_err(|e| name_index_damage(stored, e))?;
    let IndexReader { kept, manifest, names, in_place, .. } = read;
    let (written, read) = (work.written.into_inner(), work.read.into_inner());
    Ok(WrittenFiles { kept, manifest, written, read, names, in_place })
}

/// What the workers share.
pub(super) struct FileWriters<'a> {
    stored: &'a StoredBackup,
    pub(super) target: &'a Target,
    pub(super) progress: Progress,
    pub(super) written: AtomicU64,
    read: AtomicU64,
    failed: AtomicBool,
}

/// The reader of the index.
struct IndexReader<'a> {
    target: &'a Target,
    conf: &'a Conf,
    kept: BTreeMap<String, (IndexEntry, Vec<u8>)>,
    manifest: ManifestWriter,
    names: BTreeSet<FileName>,
    in_place: bool,
    batch: Vec<IndexEntry>,
    bytes: u64,
    /// Lines of a full batch.
    most: usize,
}

impl<'a> IndexReader<'a> {
    /// A reader that hands over batches of at most `most` lines.
    fn new(target: &'a Target, conf: &'a Conf, most: usize) -> Result<IndexReader<'a>> {
        let manifest = ManifestWriter::create_in(&target.dir)?;
        let (kept, names, batch) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        Ok(IndexReader { target, conf, kept, manifest, names, in_place: false, batch, bytes: 0, most })
    }

    fn read_index(&mut self, work: &FileWriters<'_>, batches: SyncSender<Vec<IndexEntry>>) -> Result<()> {
        let backup = &work.stored.manifest;
        let mut frames = Frames::new(&*work.stored.repo.store, backup)?;
        for entry in read_entries(work.stored)? {
            shutdown::check()?;
            self.take_entry(entry?, &mut frames, &batches)?;
        }
        work.read.fetch_add(frames.read, Ordering::Relaxed);
        self.hand_over(&batches)
    }

    fn take_entry(
        &mut self,
        entry: IndexEntry,
        frames: &mut Frames<'_>,
        batches: &SyncSender<Vec<IndexEntry>>,
    ) -> Result<()> {
        let path = self.target.dir.join(entry.path.path()?);
        if self.target.delta {
            self.names.insert(entry.path.clone());
        }
        if entry.kind == EntryKind::Folder {
            // That of a tablespace elsewhere is a link, which no backup has.
            self.in_place |= path.parent() == Some(self.target.dir.join("pg_tblspc").as_path());
            if self.target.delta && path.symlink_metadata().is_ok_and(|m| !m.is_dir()) && !path.is_dir() {
                super::delta::remove_path(&path)?;
            }
            self.target.make_folder(&path)?;
            return self.target.set_owner_and_mode(&path, entry.mode);
        }
        if is_kept(entry.path.text(), self.conf) {
            let bytes = frames.read_file(&entry)?;
            self.kept.insert(entry.path.text().to_string(), (entry, bytes));
            return Ok(());
        }
        if database_of(entry.path.text()).is_some_and(|oid| self.target.left_out.contains(&oid)) {
            return write_zeros(self.target, &path, &entry);
        }
        self.manifest.add_file(&entry)?;
        self.bytes += entry.size;
        self.batch.push(entry);
        let full = self.batch.len() >= self.most || self.bytes >= BATCH_BYTES;
        if full { self.hand_over(batches) } else { Ok(()) }
    }

    fn hand_over(&mut self, batches: &SyncSender<Vec<IndexEntry>>) -> Result<()> {
        self.bytes = 0;
        batches.send(std::mem::take(&mut self.batch)).map_err(|_| Error::failed(UNSERVED))
    }
}

/// Makes a file of the entry's size that holds zeros and takes no space. Replay finds its pages as those of a relation
/// that was extended and not written yet, and fills what it has whole.
fn write_zeros(target: &Target, path: &Path, entry: &IndexEntry) -> Result<()> {
    if let Some(parent) = path.parent() {
        target.make_folder(parent)?;
    }
    let doing = || format!("create {}", display_path(path));
    let file = File::create_new(path).doing(doing)?;
    file.set_len(entry.size).doing(doing)?;
    target.set_owner_and_mode(path, entry.mode)
}

/// Written at the end, changed or elsewhere.
fn is_kept(name: &str, conf: &Conf) -> bool {
    name == PG_CONTROL || name == "tablespace_map" || conf.name_below(name).is_some()
}

impl FileWriters<'_> {
    fn run_worker(&self, waiting: &Mutex<Receiver<Vec<IndexEntry>>>) -> Result<()> {
        let done = self.take_batches(waiting);
        if done.is_err() {
            self.failed.store(true, Ordering::SeqCst);
        }
        done
    }

    /// After a failure the rest is taken and left, so that the reader never waits for a worker that has ended.
    fn take_batches(&self, waiting: &Mutex<Receiver<Vec<IndexEntry>>>) -> Result<()> {
        let mut frames = Frames::new(&*self.stored.repo.store, &self.stored.manifest)?;
        let mut done = Ok(());
        loop {
            let batch = lock(waiting).recv();
            let Ok(batch) = batch else {
                self.read.fetch_add(frames.read, Ordering::Relaxed);
                return done;
            };
            if done.is_ok() && !self.failed.load(Ordering::SeqCst) {
                done = write_batch(self, &batch, &mut frames);
                self.failed.fetch_or(done.is_err(), Ordering::SeqCst);
            }
        }
    }
}
