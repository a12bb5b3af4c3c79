//! Frames of packs, read in order where they lie in order, each compared with its SHA-256 before use.

use super::backup::BackupManifest;
use super::index::{FileName, IndexEntry, Piece};
use crate::format::codec::FrameDecompressor;
use std::io::Read;
use toban_core::store::{Key, Store};
use toban_core::sum::{hex, sha256};
use toban_core::{Context, Error, Result};

/// The largest file that is read into memory.
const LARGEST: u64 = 1 << 30;

/// One reader of a backup's packs.
pub(crate) struct Frames<'a> {
    store: &'a dyn Store,
    backup: &'a BackupManifest,
    unpress: FrameDecompressor,
    /// The pack that is open, and the place in it.
    open: Option<(u32, u64, Box<dyn Read + Send + 'a>)>,
    frame: Vec<u8>,
    /// The frame that is unpacked, by pack and place.
    held: Option<(u32, u64)>,
    plain: Vec<u8>,
}

impl<'a> Frames<'a> {
    /// A reader of `backup` in `store`.
    pub(crate) fn new(store: &'a dyn Store, backup: &'a BackupManifest) -> Result<Frames<'a>> {
        let unpress = FrameDecompressor::new(backup.codec)?;
        Ok(Frames { store, backup, unpress, open: None, frame: Vec::new(), held: None, plain: Vec::new() })
    }

    /// The bytes of one piece of the file `name`.
    ///
    /// # Errors
    /// Corrupt when the frame is damaged, with the object and the file.
    pub(crate) fn read_piece(&mut self, piece: &Piece, name: &FileName) -> Result<&[u8]> {
        if self.held != Some((piece.pack, piece.at)) {
            self.held = None;
            self.load_frame(piece).doing(|| format!("restore {}", name.to_display()))?;
            self.held = Some((piece.pack, piece.at));
        }
        let range = piece.from as usize..piece.from as usize + piece.bytes as usize;
        let outside =
            || Error::corrupt(format!("the index names bytes of {} beyond their frame", name.to_display()));
        self.plain.get(range).ok_or_else(outside)
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

    fn load_frame(&mut self, piece: &Piece) -> Result<()> {
        let pack = self.backup.packs.get(piece.pack as usize);
        let pack = pack.ok_or_else(|| Error::corrupt(format!("the index names pack {}", piece.pack)))?;
        let key = self.backup.pack_key(pack)?;
        let mut body = match self.open.take() {
            Some((open, at, body)) if (open, at) == (piece.pack, piece.at) => body,
            _ => open_pack(self.store, &key, piece.at)?,
        };
        self.frame.resize(piece.stored as usize, 0);
        let damaged = |why: &str| Error::corrupt(format!("{key} is damaged at byte {}: {why}", piece.at));
        match body.read_exact(&mut self.frame) {
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Err(damaged("it is cut off")),
            other => other.doing(|| format!("read {key}"))?,
        }
        self.open = Some((piece.pack, piece.at + u64::from(piece.stored), body));
        // Before the decompressor sees it: its input is what was written, whatever the store or the way did to it.
        if hex(&sha256(&self.frame)) != piece.sha256 {
            return Err(damaged("a frame differs from its SHA-256"));
        }
        self.unpress
            .decompress(&self.frame, piece.plain as usize, &mut self.plain)
            .doing(|| format!("unpack {key}"))
    }
}

fn open_pack<'a>(store: &'a dyn Store, key: &Key, at: u64) -> Result<Box<dyn Read + Send + 'a>> {
    store.get(key, at)?.ok_or_else(|| Error::corrupt(format!("{key} is missing")))
}
