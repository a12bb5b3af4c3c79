//! A batch of files, written frame after frame: each frame is unpacked once, however many files share it and however the
//! pages of a file are spread over the backups since the full one.

use super::display_path;
use super::files::FileWriters;
use crate::format::frames::Frames;
use crate::format::index::{IndexEntry, Piece};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};
use toban_core::crc::crc32c;
use toban_core::{Context, Error, Result, shutdown};

/// A file that is being written.
struct PartFile<'e> {
    entry: &'e IndexEntry,
    path: PathBuf,
    file: File,
    /// Pieces that it has not yet.
    left: usize,
}

/// A piece, and where it goes.
struct Placed<'e> {
    piece: &'e Piece,
    /// The file's place in the batch.
    file: usize,
    /// The byte of the file where the piece begins.
    at: u64,
}

/// Writes the files of `batch`.
///
/// # Errors
/// Corrupt for damage, with the object and the file.
pub(super) fn write_batch(
    writers: &FileWriters<'_>,
    batch: &[IndexEntry],
    frames: &mut Frames<'_>,
) -> Result<()> {
    let mut placed = place_pieces(batch)?;
    placed.sort_by_key(|p| (p.piece.pack, p.piece.at, p.piece.from));
    let mut files = Vec::new();
    for entry in batch {
        shutdown::check()?;
        let path = writers.target.dir.join(entry.path.path()?);
        let file = writers.create_file(&path)?;
        let part = PartFile { entry, path, file, left: entry.pieces.len() };
        if part.left == 0 {
            writers.finish_file(&part)?;
        }
        files.push(part);
    }
    for Placed { piece, file, at } in placed {
        shutdown::check()?;
        let part = &mut files[file];
        writers.write_piece(part, piece, at, frames)?;
        part.left -= 1;
        if part.left == 0 {
            writers.finish_file(part)?;
        }
    }
    Ok(())
}

/// Where each piece of each file goes.
///
/// # Errors
/// Corrupt where the pieces are not the whole file.
fn place_pieces(batch: &[IndexEntry]) -> Result<Vec<Placed<'_>>> {
    let mut placed = Vec::new();
    for (file, entry) in batch.iter().enumerate() {
        let mut at = 0;
        for piece in &entry.pieces {
            placed.push(Placed { piece, file, at });
            at += u64::from(piece.bytes);
        }
        if at != entry.size {
            let name = entry.path.to_display();
            return Err(Error::corrupt(format!("the index has {at} of {} bytes of {name}", entry.size)));
        }
    }
    Ok(placed)
}

impl FileWriters<'_> {
    fn write_piece(
        &self,
        part: &PartFile<'_>,
        piece: &Piece,
        at: u64,
        frames: &mut Frames<'_>,
    ) -> Result<()> {
        // No fsync of each file: sync_target makes all of them durable at once, and until then there is no
        // pg_control, so no server takes what a crash has left here for a data directory.
        if !(self.target.delta && holds_piece(&part.file, at, piece)) {
            let bytes = frames.read_piece(piece, &part.entry.path)?;
            part.file.write_all_at(bytes, at).doing(|| format!("write {}", display_path(&part.path)))?;
            self.written.fetch_add(piece.bytes.into(), Ordering::Relaxed);
        }
        self.progress.add(piece.bytes.into());
        Ok(())
    }

    /// Ends a file that has all its pieces.
    fn finish_file(&self, part: &PartFile<'_>) -> Result<()> {
        let doing = || format!("write {}", display_path(&part.path));
        // What was appended since the backup goes: recovery appends it again where the WAL says so.
        if self.target.delta {
            part.file.set_len(part.entry.size).doing(doing)?;
        }
        let modified = UNIX_EPOCH + Duration::from_secs(part.entry.modified.max(0).unsigned_abs());
        part.file.set_modified(modified).doing(doing)?;
        self.target.set_owner_and_mode(&part.path, part.entry.mode)
    }

    /// With --delta what is there is kept, if it is a file; else nothing may be there.
    fn create_file(&self, path: &Path) -> Result<File> {
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
