//! Files out of packs: the index is read once, as a stream, and workers write what its lines name.

use super::backup_manifest::ManifestWriter;
use super::target::Target;
use super::{UNSERVED, display_path};
use crate::cli;
use crate::format::backup::{Conf, PG_CONTROL, StoredBackup};
use crate::format::frames::Frames;
use crate::format::index::{EntryKind, FileName, IndexEntry, Piece};
use crate::format::outline::{name_index_damage, read_entries};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use toban_core::crc::crc32c;
use toban_core::progress::Progress;
use toban_core::sync::{joined, lock};
use toban_core::{Context, Error, Result, shutdown};

/// Lines that a worker takes at once: neighbours lie in the same frames.
const BATCH: usize = 500;
const BATCH_BYTES: u64 = 8 << 20;

/// Unpacked frames that all workers keep together: 128 MiB at most.
const HELD_FRAMES: usize = 64;

/// What came of it.
pub(super) struct WrittenFiles {
    /// Small files that are not written as they are, or not yet.
    pub(super) kept: BTreeMap<String, (IndexEntry, Vec<u8>)>,
    pub(super) manifest: ManifestWriter,
    pub(super) written: u64,
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
        failed: AtomicBool::new(false),
        workers: args.jobs() as usize,
    };
    let (batches, waiting) = sync_channel(args.jobs() as usize * 2);
    let waiting = Mutex::new(waiting);
    let mut read = IndexReader::new(target, &stored.manifest.conf)?;
    thread::scope(|scope| {
        let workers: Vec<_> = (0..args.jobs()).map(|_| scope.spawn(|| work.run_worker(&waiting))).collect();
        let led = read.read_index(&work, batches);
        let joined = workers.into_iter().map(|w| joined(w.join()));
        // A worker's error is the cause of the reader's.
        joined.collect::<Vec<_>>().into_iter().collect::<Result<()>>().and(led)
    })
    .map_err(|e| name_index_damage(stored, e))?;
    let IndexReader { kept, manifest, names, in_place, .. } = read;
    Ok(WrittenFiles { kept, manifest, written: work.written.into_inner(), names, in_place })
}

/// What the workers share.
struct FileWriters<'a> {
    stored: &'a StoredBackup,
    target: &'a Target,
    progress: Progress,
    written: AtomicU64,
    failed: AtomicBool,
    workers: usize,
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
}

impl<'a> IndexReader<'a> {
    fn new(target: &'a Target, conf: &'a Conf) -> Result<IndexReader<'a>> {
        let manifest = ManifestWriter::create_in(&target.dir)?;
        let (kept, names) = (BTreeMap::new(), BTreeSet::new());
        Ok(IndexReader { target, conf, kept, manifest, names, in_place: false, batch: Vec::new(), bytes: 0 })
    }

    fn read_index(&mut self, work: &FileWriters<'_>, batches: SyncSender<Vec<IndexEntry>>) -> Result<()> {
        let backup = &work.stored.manifest;
        let mut frames = Frames::new(&*work.stored.repo.store, backup)?;
        for entry in read_entries(work.stored)? {
            shutdown::check()?;
            self.take_entry(entry?, &mut frames, &batches)?;
        }
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
        self.manifest.add_file(&entry)?;
        self.bytes += entry.size;
        self.batch.push(entry);
        let full = self.batch.len() >= BATCH || self.bytes >= BATCH_BYTES;
        if full { self.hand_over(batches) } else { Ok(()) }
    }

    fn hand_over(&mut self, batches: &SyncSender<Vec<IndexEntry>>) -> Result<()> {
        self.bytes = 0;
        batches.send(std::mem::take(&mut self.batch)).map_err(|_| Error::failed(UNSERVED))
    }
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
        let frames = Frames::new(&*self.stored.repo.store, &self.stored.manifest)?;
        let mut frames = frames.holding(HELD_FRAMES / self.workers);
        let mut done = Ok(());
        loop {
            let batch = lock(waiting).recv();
            let Ok(mut batch) = batch else { return done };
            // Several packs were written at once, so their lines take turns; their frames are read one pack at a time.
            batch.sort_by_key(|entry| entry.pieces.first().map(|p| (p.pack, p.at, p.from)));
            if done.is_ok() && !self.failed.load(Ordering::SeqCst) {
                done = batch.iter().try_for_each(|entry| self.write_file(entry, &mut frames));
                self.failed.fetch_or(done.is_err(), Ordering::SeqCst);
            }
        }
    }

    fn write_file(&self, entry: &IndexEntry, frames: &mut Frames<'_>) -> Result<()> {
        shutdown::check()?;
        let path = self.target.dir.join(entry.path.path()?);
        let doing = || format!("write {}", display_path(&path));
        let file = self.open(&path)?;
        // No fsync of each file: sync_target makes all of them durable at once, and until then there is no
        // pg_control, so no server takes what a crash has left here for a data directory.
        let mut at = 0;
        for piece in &entry.pieces {
            if !(self.target.delta && holds_piece(&file, at, piece)) {
                let bytes = frames.read_piece(piece, &entry.path)?;
                file.write_all_at(bytes, at).doing(doing)?;
                self.written.fetch_add(piece.bytes.into(), Ordering::Relaxed);
            }
            at += u64::from(piece.bytes);
            self.progress.add(piece.bytes.into());
        }
        if at != entry.size {
            return Err(Error::corrupt(format!(
                "the index has {at} of {} bytes of {}",
                entry.size,
                entry.path.to_display()
            )));
        }
        // What was appended since the backup goes: recovery appends it again where the WAL says so.
        if self.target.delta {
            file.set_len(entry.size).doing(doing)?;
        }
        let modified =
            std::time::UNIX_EPOCH + std::time::Duration::from_secs(entry.modified.max(0).unsigned_abs());
        file.set_modified(modified).doing(doing)?;
        self.target.set_owner_and_mode(&path, entry.mode)
    }

    /// With --delta what is there is kept, if it is a file; else nothing may be there.
    fn open(&self, path: &Path) -> Result<File> {
        if let Some(parent) = path.parent() {
            self.target.make_folder(parent)?;
        }
        // A file with a second name is another folder's too, a copy made by links: here it gets a new one.
        if self.target.delta && path.symlink_metadata().is_ok_and(|m| !m.is_file() || m.nlink() > 1) {
            super::delta::remove_path(path)?;
        }
        // A link that is put here after the look above must not lead the write elsewhere: O_NOFOLLOW, open(2). Without
        // --delta O_EXCL refuses whatever is there.
        let nofollow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
        let mut options = OpenOptions::new();
        options.read(self.target.delta).write(true).mode(0o600).custom_flags(nofollow);
        match self.target.delta {
            true => options.create(true).truncate(false),
            false => options.create_new(true),
        };
        options.open(path).doing(|| format!("create {}", display_path(path)))
    }
}

/// Whether the file holds this piece already.
fn holds_piece(file: &File, at: u64, piece: &Piece) -> bool {
    let mut bytes = vec![0; piece.bytes as usize];
    file.read_exact_at(&mut bytes, at).is_ok() && crc32c(&bytes) == piece.crc32c
}
