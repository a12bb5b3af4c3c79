//! The index of a backup in the making: a line for each file that is stored, compressed as it goes; and the map of
//! blocks and the digests beside it.

use super::block_map::{BlockRecord, MapWriter};
use super::digests::describe_own;
use crate::format::index::{EntryKind, IndexEntry};
use std::collections::BTreeSet;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender};
use toban_core::{Context, Result};

/// A file or folder all of which is stored.
pub(super) struct StoredEntry {
    pub(super) entry: IndexEntry,
    /// The records of its blocks, where the next run may compare them.
    pub(super) blocks: Option<Vec<BlockRecord>>,
}

/// What went into an index.
#[derive(Default)]
pub(super) struct IndexTotals {
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// The packs that its pieces lie in.
    pub(super) packs: BTreeSet<u32>,
}

/// The lines of the entries that arrive, until all senders are gone.
pub(super) struct IndexLines<'a> {
    pub(super) entries: Receiver<StoredEntry>,
    pub(super) totals: &'a mut IndexTotals,
    /// None where it could not be written.
    pub(super) map: &'a mut Option<MapWriter>,
    pub(super) digests: OwnDigests,
    line: Vec<u8>,
    at: usize,
}

/// Where the digests of what this run stores go.
pub(super) struct OwnDigests {
    /// The number of its first pack.
    pub(super) first: u32,
    pub(super) files: SyncSender<Vec<u8>>,
}

impl<'a> IndexLines<'a> {
    pub(super) fn new(
        entries: Receiver<StoredEntry>,
        totals: &'a mut IndexTotals,
        map: &'a mut Option<MapWriter>,
        digests: OwnDigests,
    ) -> IndexLines<'a> {
        IndexLines { entries, totals, map, digests, line: Vec::new(), at: 0 }
    }

    /// The compressed index as a stream.
    pub(super) fn compress(self) -> Result<impl Read> {
        zstd::stream::read::Encoder::new(self, 3).doing(|| "start zstd".into())
    }

    fn add_entry(&mut self, stored: &StoredEntry) -> Result<()> {
        let entry = &stored.entry;
        self.totals.files += u64::from(entry.kind == EntryKind::File);
        self.totals.bytes += entry.size;
        self.totals.packs.extend(entry.pieces.iter().map(|piece| piece.pack));
        self.line.clear();
        serde_json::to_writer(&mut self.line, entry).doing(|| "write the index".into())?;
        self.line.push(b'\n');
        self.at = 0;
        let Some(blocks) = &stored.blocks else { return Ok(()) };
        if let Some(own) = describe_own(entry, blocks, self.digests.first)? {
            // Whoever takes them no longer says why himself.
            let _ = self.digests.files.send(own);
        }
        if let Some(Err(e)) = self.map.as_mut().map(|map| map.add_file(entry, blocks)) {
            log::warn!("the next backup must make the map of blocks anew: {}", e.chain());
            *self.map = None;
        }
        Ok(())
    }
}

impl Read for IndexLines<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at == self.line.len() {
            let Ok(stored) = self.entries.recv() else { return Ok(0) };
            self.add_entry(&stored)?;
        }
        let n = buf.len().min(self.line.len() - self.at);
        buf[..n].copy_from_slice(&self.line[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}
