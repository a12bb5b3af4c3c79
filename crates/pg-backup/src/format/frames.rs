//! Frames of packs, read in order where they lie in order, each compared with its SHA-256 before use.

use super::backup::BackupManifest;
use super::index::{FileName, IndexEntry, Piece};
use crate::format::codec::FrameDecompressor;
use std::io::{self, Read};
use toban_core::store::{Key, Store};
use toban_core::sum::{hex, sha256};
use toban_core::{Context, Error, Result};

/// The largest file that is read into memory.
const LARGEST: u64 = 1 << 30;
/// Packs that are open at once.
const OPEN_PACKS: usize = 16;
/// Bytes that are rather read through than asked for anew: a request to a store costs more.
const SKIPPED: u64 = 1 << 20;

/// One reader of a backup's packs.
pub(crate) struct Frames<'a> {
    store: &'a dyn Store,
    backup: &'a BackupManifest,
    unpress: FrameDecompressor,
    /// The last used is the last.
    open: Vec<OpenPack<'a>>,
    /// The frame that was unpacked last.
    held: HeldFrame,
    frame: Vec<u8>,
    /// Bytes that were read from the store.
    pub(crate) read: u64,
}

/// A pack that is open at a place.
struct OpenPack<'a> {
    pack: u32,
    at: u64,
    body: Box<dyn Read + Send + 'a>,
}

/// A frame, by its pack and its place there.
#[derive(Default)]
struct HeldFrame {
    place: Option<FramePlace>,
    plain: Vec<u8>,
}

/// Where a frame lies: the number of its pack, and its byte there.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FramePlace {
    pack: u32,
    at: u64,
}

impl FramePlace {
    fn of(piece: &Piece) -> FramePlace {
        FramePlace { pack: piece.pack, at: piece.at }
    }
}

impl<'a> Frames<'a> {
    /// A reader of `backup` in `store`.
    pub(crate) fn new(store: &'a dyn Store, backup: &'a BackupManifest) -> Result<Frames<'a>> {
        let unpress = FrameDecompressor::new(backup.codec)?;
        let (open, held) = (Vec::new(), HeldFrame::default());
        Ok(Frames { store, backup, unpress, open, held, frame: Vec::new(), read: 0 })
    }

    /// The bytes of one piece of the file `name`. Only the frame that was used last is kept: whoever reads pieces in
    /// the order of their frames unpacks each frame once.
    ///
    /// # Errors
    /// Corrupt when the frame is damaged, with the object and the file.
    pub(crate) fn read_piece(&mut self, piece: &Piece, name: &FileName) -> Result<&[u8]> {
        if self.held.place != Some(FramePlace::of(piece)) {
            self.load_frame(piece).doing(|| format!("restore {}", name.to_display()))?;
        }
        let range = piece.from as usize..piece.from as usize + piece.bytes as usize;
        let outside =
            || Error::corrupt(format!("the index names bytes of {} beyond their frame", name.to_display()));
        self.held.plain.get(range).ok_or_else(outside)
    }

    /// A file whole: at most as large as a segment of the WAL can be.
    ///
    /// # Errors
    /// Corrupt when it is damaged or larger.
    pub(crate) fn read_file(&mut self, entry: &IndexEntry) -> Result<Vec<u8>> {
        if entry.size > LARGEST {
            return Err(Error::corrupt(format!(
                "{} cannot have {} bytes",
                entry.path.to_display(),
                entry.size
            )));
        }
        let mut bytes = Vec::new();
        for piece in &entry.pieces {
            bytes.extend_from_slice(self.read_piece(piece, &entry.path)?);
        }
        Ok(bytes)
    }

    /// Unpacks the frame of `piece`.
    fn load_frame(&mut self, piece: &Piece) -> Result<()> {
        // Until the new one is there whole: after an error nothing is held.
        self.held.place = None;
        let pack = self.backup.pack(piece.pack);
        let pack = pack.ok_or_else(|| Error::corrupt(format!("the index names pack {}", piece.pack)))?;
        let key = self.backup.pack_key(pack)?;
        let mut open = self.open_at(&key, piece)?;
        // It only grows: clearing it for each frame would be a pass over all content.
        if self.frame.len() < piece.stored as usize {
            self.frame.resize(piece.stored as usize, 0);
        }
        let frame = &mut self.frame[..piece.stored as usize];
        let damaged = |why: &str| Error::corrupt(format!("{key} is damaged at byte {}: {why}", piece.at));
        match open.body.read_exact(frame) {
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Err(damaged("it is cut off")),
            other => other.doing(|| format!("read {key}"))?,
        }
        open.at += u64::from(piece.stored);
        self.read += u64::from(piece.stored);
        // Only now, when the frame was read whole: after an error it is not known where the body stands, and
        // the next read would begin at a wrong byte.
        self.open.push(open);
        // Before the decompressor sees it: its input is what was written, whatever the store or the way did to it.
        if hex(&sha256(frame)) != piece.sha256 {
            return Err(damaged("a frame differs from its SHA-256"));
        }
        self.unpress
            .decompress(frame, piece.plain as usize, &mut self.held.plain)
            .doing(|| format!("unpack {key}"))?;
        self.held.place = Some(FramePlace::of(piece));
        Ok(())
    }

    /// The pack of `piece`, open at its frame: read on from where it is open where that is not far.
    fn open_at(&mut self, key: &Key, piece: &Piece) -> Result<OpenPack<'a>> {
        if let Some(i) = self.open.iter().position(|open| open.pack == piece.pack) {
            let mut open = self.open.remove(i);
            let between = piece.at.checked_sub(open.at).filter(|bytes| *bytes <= SKIPPED);
            if let Some(bytes) = between {
                self.read += bytes;
                let skipped = io::copy(&mut open.body.by_ref().take(bytes), &mut io::sink());
                if skipped.doing(|| format!("read {key}"))? == bytes {
                    return Ok(OpenPack { at: piece.at, ..open });
                }
            }
        }
        if self.open.len() >= OPEN_PACKS {
            self.open.remove(0);
        }
        let body =
            self.store.get(key, piece.at)?.ok_or_else(|| Error::corrupt(format!("{key} is missing")))?;
        Ok(OpenPack { pack: piece.pack, at: piece.at, body })
    }
}
