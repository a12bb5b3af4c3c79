//! A file beside what the newest backup holds of it: which stretches are the same, and lie in its packs already, and
//! which changed. Content decides, so that a file that was made anew under an old name, a page with an old position or
//! a hint bit is right without a rule of its own.

use super::block_map::{BLOCK, BlockRecord, DigestKey, MappedFile, join_crcs};
use super::copy::read_stretch;
use super::pack::FRAME;
use super::page::{PAGE, find_fault, page_lsn};
use super::state::{PageRange, RunState};
use super::summaries::FileChanges;
use crate::format::index::{FileName, IndexEntry, Piece};
use std::collections::BTreeSet;
use std::fs::File;
use std::ops::Range;
use std::sync::OnceLock;
use std::time::Duration;
use toban_core::progress::Progress;
use toban_core::wal::Lsn;
use toban_core::{Context, Error, Result, random};

/// Frames that a small file may lie in before it is stored afresh.
const FEW_FRAMES: usize = 8;
/// Bytes that are read at once.
const READ: usize = 16 * BLOCK;
/// Pieces that a small file may have.
const FEW_PIECES: usize = 16;

/// Whether a file lies in so many places that a restore would pay for it: it is stored afresh then. Twice the frames
/// that it would take whole are the limit of what a restore asks a store for; half of that is left for this run.
pub(super) fn is_scattered(entry: &IndexEntry) -> bool {
    let frames: BTreeSet<(u32, u64)> = entry.pieces.iter().map(|p| (p.pack, p.at)).collect();
    let whole = usize::try_from(entry.size.div_ceil(FRAME as u64)).unwrap_or(usize::MAX);
    let blocks = usize::try_from(entry.size.div_ceil(BLOCK as u64)).unwrap_or(usize::MAX);
    frames.len() > whole / 2 + whole + FEW_FRAMES || entry.pieces.len() > (blocks / 4).max(FEW_PIECES)
}

/// A file that is read and compared.
pub(super) struct ComparedFile<'a> {
    pub(super) file: File,
    pub(super) name: FileName,
    /// The next byte to read.
    pub(super) at: u64,
    /// Bytes up to the size that it had when it was opened.
    pub(super) left: u64,
    /// The number of its first page, where pages are judged.
    pub(super) pages: Option<u32>,
    pub(super) known: MappedFile,
    pub(super) key: &'a DigestKey,
    /// What is the same was judged when it was stored, and found good.
    pub(super) trusted: bool,
    pub(super) watch: &'a RunState,
    pub(super) progress: &'a Progress,
    pub(super) cursor: PieceCursor,
    /// What the WAL summaries say; without them all is read.
    pub(super) changes: Option<SummarizedFile<'a>>,
}

/// What the WAL summaries say of a file.
#[derive(Clone, Copy)]
pub(super) struct SummarizedFile<'a> {
    pub(super) changes: FileChanges<'a>,
    /// The start of the backup: what changed later no summary has, and the backup's own WAL brings it.
    pub(super) start: Lsn,
    /// Where a block is named that changed although no summary says so.
    pub(super) untrue: &'a OnceLock<String>,
}

/// Whether a block is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Read,
    /// No summary says that it changed, and it is read to prove that.
    Sample,
    /// No summary says that it changed.
    Skip,
}

/// Of the blocks that did not change by the summaries, one in so many is read.
const SAMPLE: u64 = 100;

/// How far the known pieces have been gone through.
#[derive(Default)]
pub(super) struct PieceCursor {
    piece: usize,
    /// Where it begins in the file.
    begins: u64,
}

/// A stretch of a file, in the order of the file.
#[derive(Debug)]
pub(super) enum FileStretch {
    /// It lies in a pack already.
    Same(Piece),
    /// It is this range of the bytes that were read.
    Changed(Range<usize>),
}

/// What was read of a file at once.
pub(super) struct ComparedChunk {
    pub(super) stretches: Vec<FileStretch>,
    pub(super) blocks: Vec<BlockRecord>,
}

impl ComparedFile<'_> {
    /// Reads the next [`FRAME`] bytes at most into `bytes`, and compares them; what the file lacks to its size is zeros.
    ///
    /// # Errors
    /// The file's; Corrupt when a block changed although no WAL summary says so.
    pub(super) fn read_chunk(&mut self, bytes: &mut Vec<u8>) -> Result<ComparedChunk> {
        let length = usize::try_from(self.left).unwrap_or(FRAME).min(FRAME);
        // What is left of the chunk before is overwritten, or not looked at.
        bytes.resize(length, 0);
        let looks = self.choose_blocks(length);
        let mut blocks = self.read_blocks(bytes, &looks)?;
        let mut same: Vec<bool> =
            blocks.iter().enumerate().map(|(i, block)| self.is_known(i, block)).collect();
        self.check_blocks(bytes, &mut blocks, &mut same);
        self.prove_sample(&looks, &same)?;
        let stretches = self.cut_stretches(&blocks, &same, length);
        self.at += length as u64;
        self.left -= length as u64;
        Ok(ComparedChunk { stretches, blocks })
    }

    /// Which of the next blocks are read.
    fn choose_blocks(&self, length: usize) -> Vec<Look> {
        let count = length.div_ceil(BLOCK);
        let Some(SummarizedFile { changes, .. }) = self.changes else { return vec![Look::Read; count] };
        let mut dice = random::number();
        let mut look = |i: usize| {
            let number = self.at / BLOCK as u64 + i as u64;
            let known = (number + 1) * BLOCK as u64 <= self.known.entry.size;
            let whole = (i + 1) * BLOCK <= length;
            if !known || !whole || u32::try_from(number).is_ok_and(|n| changes.may_have(n)) {
                return Look::Read;
            }
            // A generator of Marsaglia's: which blocks are read must not be the same ones at each run.
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            if dice.is_multiple_of(SAMPLE) { Look::Sample } else { Look::Skip }
        };
        (0..count).map(&mut look).collect()
    }

    /// Fills `bytes` and takes the records of blocks, a few at a time, while they are in the processor's cache.
    fn read_blocks(&self, bytes: &mut [u8], looks: &[Look]) -> Result<Vec<BlockRecord>> {
        let first = usize::try_from(self.at / BLOCK as u64).unwrap_or(usize::MAX);
        let mut blocks = Vec::with_capacity(looks.len());
        for run in looks.chunk_by(|a, b| (*a == Look::Skip) == (*b == Look::Skip)) {
            let from = blocks.len();
            if run[0] == Look::Skip {
                blocks.extend_from_slice(&self.known.blocks[first + from..first + from + run.len()]);
                self.progress.add((run.len() * BLOCK) as u64);
                continue;
            }
            let to = ((from + run.len()) * BLOCK).min(bytes.len());
            let mut at = self.at + (from * BLOCK) as u64;
            for part in bytes[from * BLOCK..to].chunks_mut(READ) {
                let filled = read_stretch(&self.file, part, at)
                    .doing(|| format!("read {}", self.name.to_display()))?;
                part[filled..].fill(0);
                for block in part.chunks(BLOCK) {
                    let known = self.known.blocks.get(first + blocks.len());
                    blocks.push(self.key.record_beside(block, known));
                }
                at += part.len() as u64;
                self.progress.add(filled as u64);
                self.watch.keep_pace(filled as u64)?;
            }
        }
        Ok(blocks)
    }

    /// Whether the block of this number from [`ComparedFile::at`] on is as it was.
    fn is_known(&self, block: usize, record: &BlockRecord) -> bool {
        let number = usize::try_from(self.at / BLOCK as u64).unwrap_or(usize::MAX).saturating_add(block);
        self.known.blocks.get(number) == Some(record)
    }

    /// Judges the pages that changed, or all where those that did not are not trusted. One that was read in the middle of
    /// a write is read again, and may be as it was.
    fn check_blocks(&self, bytes: &mut [u8], blocks: &mut [BlockRecord], same: &mut [bool]) {
        for (i, block) in bytes.chunks_mut(BLOCK).enumerate() {
            if !(same[i] && self.trusted) && self.check_pages(block, i * BLOCK) {
                blocks[i] = self.key.record(block);
                same[i] = self.is_known(i, &blocks[i]);
            }
        }
    }

    /// A block that no summary named must be as it was, unless it changed after the backup began.
    fn prove_sample(&self, looks: &[Look], same: &[bool]) -> Result<()> {
        let Some(summarized) = &self.changes else { return Ok(()) };
        let differ = (0..looks.len()).filter(|i| looks[*i] == Look::Sample && !same[*i]);
        for i in differ {
            let number = self.at / BLOCK as u64 + i as u64;
            if self.is_untrue(i, summarized.start)? {
                let what = format!("{} block {number}", self.name.to_display());
                let _ = summarized.untrue.set(what.clone());
                return Err(Error::corrupt(format!("{what} changed, and no WAL summary says so")));
            }
        }
        Ok(())
    }

    /// Whether a block that differs carries a position from before the backup. It may have been read in the middle of a
    /// write that has not come to the position yet, so it is read several times.
    fn is_untrue(&self, block: usize, start: Lsn) -> Result<bool> {
        let number = u32::try_from(self.at / BLOCK as u64 + block as u64).unwrap_or(u32::MAX);
        let mut page = [0; PAGE];
        for pause in [0, 1, 10, 100, 400] {
            std::thread::sleep(Duration::from_millis(pause));
            let filled = read_stretch(&self.file, &mut page, self.at + (block * BLOCK) as u64);
            let filled = filled.doing(|| format!("read {}", self.name.to_display()))?;
            if filled < PAGE || page_lsn(&page) >= start || self.is_known(block, &self.key.record(&page)) {
                return Ok(false);
            }
            // A page that is damaged is reported as such; no summary would tell of it.
            if self.pages.is_some_and(|first| find_fault(&page, first + number, Lsn(u64::MAX)).is_some()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Judges the pages in `bytes`, which lie `from` bytes after [`ComparedFile::at`]; whether one was read again.
    fn check_pages(&self, bytes: &mut [u8], from: usize) -> bool {
        let Some(first) = self.pages else { return false };
        let range = PageRange { file: &self.file, name: &self.name, at: self.at + from as u64, first };
        self.watch.check_pages(bytes, &range)
    }

    fn cut_stretches(&mut self, blocks: &[BlockRecord], same: &[bool], length: usize) -> Vec<FileStretch> {
        let mut stretches = Vec::new();
        let mut from = 0;
        for run in same.chunk_by(|a, b| a == b) {
            let to = (from + run.len() * BLOCK).min(length);
            match run[0] {
                true => self.add_known(blocks, from..to, &mut stretches),
                false => stretches.push(FileStretch::Changed(from..to)),
            }
            from = to;
        }
        stretches
    }

    /// The pieces that hold `range` already.
    fn add_known(&mut self, blocks: &[BlockRecord], range: Range<usize>, stretches: &mut Vec<FileStretch>) {
        let mut from = range.start;
        while from < range.end {
            let begins = self.at + from as u64;
            let Some(skip) = self.cursor.seek(&self.known.entry.pieces, begins) else {
                stretches.push(FileStretch::Changed(from..range.end));
                return;
            };
            let piece = &self.known.entry.pieces[self.cursor.piece];
            let length = (piece.bytes - skip).min(u32::try_from(range.end - from).unwrap_or(u32::MAX));
            let to = from + length as usize;
            stretches.push(FileStretch::Same(Piece {
                from: piece.from + skip,
                bytes: length,
                crc32c: join_crcs(&blocks[from / BLOCK..to.div_ceil(BLOCK)], to - from),
                ..piece.clone()
            }));
            from = to;
        }
    }
}

impl PieceCursor {
    /// Goes on to the piece that holds the byte `at` of the file; how far into the piece that is.
    fn seek(&mut self, pieces: &[Piece], at: u64) -> Option<u32> {
        while let Some(piece) = pieces.get(self.piece) {
            let skip = at.checked_sub(self.begins)?;
            if skip < u64::from(piece.bytes) {
                return u32::try_from(skip).ok();
            }
            self.begins += u64::from(piece.bytes);
            self.piece += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::index::EntryKind;
    use proptest::prelude::*;
    use std::os::unix::fs::FileExt;
    use std::path::Path;
    use toban_core::crc::crc32c;

    const KEY_FILE: &str = "16384";

    fn piece(from: u32, bytes: u32) -> Piece {
        let (pack, at, stored, plain) = (3, u64::from(from / 65536) * 65536, 9, FRAME as u32);
        Piece { pack, at, stored, sha256: "00".into(), plain, from, bytes, crc32c: 0 }
    }

    fn entry(size: u64, pieces: Vec<Piece>) -> IndexEntry {
        let path = FileName(KEY_FILE.as_bytes().to_vec());
        IndexEntry { path, kind: EntryKind::File, mode: 0o600, modified: 0, size, crc32c: 0, pieces }
    }

    /// A file of `old` cut into pieces of `cut` blocks, whose content is now `new`.
    fn compare(old: &[u8], cut: usize, new: &[u8]) -> (Vec<FileStretch>, Vec<u8>) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join(KEY_FILE);
        std::fs::write(&path, new).expect("write");
        let key = DigestKey::random().expect("a key");
        let mut from = 0;
        let next = |part: &[u8]| {
            let piece = piece(from, part.len() as u32);
            from += part.len() as u32;
            piece
        };
        let pieces = old.chunks(BLOCK * cut).map(next).collect();
        let blocks = key.records(old).collect();
        let watch = RunState::new(Path::new("/"), false, None);
        let progress = Progress::bytes("compare", None, false);
        let mut file = ComparedFile {
            file: File::open(&path).expect("open"),
            name: FileName(KEY_FILE.as_bytes().to_vec()),
            at: 0,
            left: new.len() as u64,
            pages: None,
            known: MappedFile { entry: entry(old.len() as u64, pieces), blocks },
            key: &key,
            trusted: true,
            watch: &watch,
            progress: &progress,
            cursor: PieceCursor::default(),
            changes: None,
        };
        let (mut all, mut made, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
        while file.left > 0 {
            let chunk = file.read_chunk(&mut bytes).expect("read");
            for stretch in chunk.stretches {
                match &stretch {
                    FileStretch::Same(piece) => {
                        let range = piece.from as usize..(piece.from + piece.bytes) as usize;
                        assert_eq!(crc32c(&old[range.clone()]), piece.crc32c);
                        made.extend_from_slice(&old[range]);
                    }
                    FileStretch::Changed(range) => made.extend_from_slice(&bytes[range.clone()]),
                }
                all.push(stretch);
            }
        }
        (all, made)
    }

    fn changed_bytes(stretches: &[FileStretch]) -> usize {
        let changed =
            stretches.iter().map(|s| if let FileStretch::Changed(range) = s { range.len() } else { 0 });
        changed.sum()
    }

    #[test]
    fn one_row_costs_one_page() {
        let old: Vec<u8> = (0..300 * BLOCK).map(|i| (i / 7 % 251) as u8).collect();
        let mut new = old.clone();
        new[140 * BLOCK + 77] ^= 1;
        let (stretches, made) = compare(&old, 128, &new);
        assert_eq!(made, new);
        assert_eq!(changed_bytes(&stretches), BLOCK);
        assert_eq!(changed_bytes(&compare(&old, 128, &old).0), 0);
        assert_eq!(changed_bytes(&compare(&old, 128, &[]).0), 0, "it was truncated");
    }

    #[test]
    fn a_file_in_too_many_places_is_scattered() {
        let whole = (0..64).map(|i| Piece { at: i << 20, ..piece(0, FRAME as u32) }).collect();
        let size = 64 << 20;
        assert!(!is_scattered(&entry(size, whole)));
        let frames = (0..200).map(|i| Piece { at: i << 20, ..piece(0, BLOCK as u32) }).collect();
        assert!(is_scattered(&entry(size, frames)), "three times the frames");
        let pieces = (0..3000).map(|i| piece(i * 8192, BLOCK as u32)).collect();
        assert!(is_scattered(&entry(size, pieces)), "a piece for every third page");
        assert!(!is_scattered(&entry(100, vec![piece(0, 100)])));
    }

    proptest! {
        #[test]
        fn what_is_put_together_is_the_file(
            old in proptest::collection::vec(0u8..3, 0..40), new in proptest::collection::vec(0u8..3, 0..40),
            cut in 1usize..9, tails in (0usize..9000, 0usize..9000),
        ) {
            let grow = |blocks: &[u8], tail: usize| {
                let mut bytes: Vec<u8> = blocks.iter().flat_map(|b| std::iter::repeat_n(*b, BLOCK)).collect();
                bytes.truncate(bytes.len().saturating_sub(tail));
                bytes
            };
            let (old, new) = (grow(&old, tails.0), grow(&new, tails.1));
            let (stretches, made) = compare(&old, cut, &new);
            prop_assert!(made == new);
            let differ = new.chunks(BLOCK).zip(old.chunks(BLOCK).map(Some).chain(std::iter::repeat(None)));
            let differ: usize = differ.filter(|(n, o)| Some(*n) != *o).map(|(n, _)| n.len()).sum();
            prop_assert_eq!(changed_bytes(&stretches), differ);
        }

        #[test]
        fn pages_are_read_where_they_are(at in 0u64..5) {
            let dir = tempfile::tempdir().expect("a folder");
            let file = File::options().create(true).truncate(true).read(true).write(true).open(dir.path().join("f"));
            let file = file.expect("made");
            file.write_all_at(&[7; 3], at).expect("write");
            let mut bytes = [9; 4];
            prop_assert_eq!(read_stretch(&file, &mut bytes, at).expect("read"), 3);
            prop_assert_eq!(bytes, [7, 7, 7, 9]);
        }
    }
}
