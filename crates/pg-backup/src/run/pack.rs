//! A pack as a stream: members go in, compressed frames come out, and each member's entry goes to the index when
//! the frame with its last byte is known.

use super::block_map::{BLOCK, BlockRecord, DigestKey, join_crcs};
use super::compare::{ComparedFile, FileStretch};
use super::index_lines::StoredEntry;
use crate::format::backup::Owner;
use crate::format::codec::FrameCompressor;
use crate::format::index::{EntryKind, IndexEntry, Piece};
use crate::format::tar;
use std::io::{self, Read};
use std::sync::LazyLock;
use std::sync::mpsc::SyncSender;
use toban_core::crc::{CrcJoin, crc32c, crc32c_both};
use toban_core::fill::fill_buffer;
use toban_core::sum::{hex, sha256};
use toban_core::{Context, Error, Result};

/// Bytes that make a frame full; a multiple of the page, so that pieces of relations begin at pages.
pub(super) const FRAME: usize = 1 << 20;

/// Puts the CRC of a whole frame to that of what comes before it.
static JOIN: LazyLock<CrcJoin> = LazyLock::new(|| CrcJoin::of_length(FRAME as u64));

/// The CRC of a file up to the end of a stretch of `bytes` bytes.
fn extend_crc(file: u32, stretch: u32, bytes: usize) -> u32 {
    match bytes {
        FRAME => JOIN.both(file, stretch),
        _ => crc32c_both(file, stretch, bytes as u64),
    }
}

/// A file or folder on its way into a pack.
pub(super) struct Member<'a> {
    /// Path, kind, mode, time and size; no pieces yet.
    pub(super) entry: IndexEntry,
    pub(super) body: Body<'a>,
}

/// A member's content. What it lacks to the size is filled by zeros, what it has beyond is left: a file that shrinks or
/// grows while it is read is made right by the WAL.
pub(super) enum Body<'a> {
    /// All of it goes into the pack.
    Whole {
        content: Box<dyn Read + 'a>,
        /// The next run may compare its blocks, by digests of this key.
        key: Option<&'a DigestKey>,
    },
    /// What changed goes into the pack.
    Compared(Box<ComparedFile<'a>>),
}

/// Where members come from.
pub(super) trait Members<'a> {
    /// The next one, or none at the end.
    fn next(&mut self) -> Result<Option<Member<'a>>>;
}

/// The stream of one pack.
pub(super) struct Pack<'p, 'a, M> {
    pub(super) number: u32,
    /// It ends with the member that takes it beyond this many bytes.
    pub(super) limit: u64,
    pub(super) owner: &'p Owner,
    pub(super) members: &'p mut M,
    pub(super) press: FrameCompressor,
    pub(super) index: SyncSender<StoredEntry>,
    pub(super) state: PackState<'a>,
}

/// How far a pack is.
#[derive(Default)]
pub(super) struct PackState<'a> {
    plain: PlainBuffer,
    frame: Vec<u8>,
    /// How much of the frame was read out, where it begins in the pack, and bytes packed so far.
    read: usize,
    at: u64,
    total: u64,
    open: Vec<OpenEntry>,
    /// The content of the last member, where some of it is left.
    body: Option<Body<'a>>,
    /// Bytes that are left of a content that goes in whole.
    left: u64,
    /// What was read of a file that is compared.
    chunk: Vec<u8>,
    ended: bool,
}

/// Bytes on their way into a frame. Its room is not cleared from frame to frame: that would be a pass over all content.
#[derive(Default)]
struct PlainBuffer {
    room: Vec<u8>,
    filled: usize,
}

impl PlainBuffer {
    fn clear(&mut self) {
        self.filled = 0;
    }

    fn len(&self) -> usize {
        self.filled
    }

    fn as_slice(&self) -> &[u8] {
        &self.room[..self.filled]
    }

    /// The next `count` bytes, to be overwritten: they hold what was there before.
    fn take_room(&mut self, count: usize) -> &mut [u8] {
        let begin = self.filled;
        self.filled += count;
        if self.room.len() < self.filled {
            self.room.resize(self.filled, 0);
        }
        &mut self.room[begin..self.filled]
    }

    fn append(&mut self, bytes: &[u8]) {
        self.take_room(bytes.len()).copy_from_slice(bytes);
    }

    fn append_zeros(&mut self, count: usize) {
        self.take_room(count).fill(0);
    }
}

/// An entry that is not in the index yet.
struct OpenEntry {
    entry: IndexEntry,
    blocks: Option<Vec<BlockRecord>>,
    /// What comes after the pieces that the entry has.
    parts: Vec<Part>,
}

/// A stretch of a file.
enum Part {
    /// It lies in a pack.
    Stored(Piece),
    /// It lies in the present frame, whose place is not known yet.
    Framed { from: usize, bytes: usize, crc32c: u32 },
}

impl<'a, M: Members<'a>> Pack<'_, 'a, M> {
    /// Fills and compresses the next frame; none is left when it stays empty.
    fn fill_frame(&mut self) -> Result<()> {
        self.state.plain.clear();
        while self.state.plain.len() < FRAME && !self.state.ended {
            self.add_next()?;
        }
        self.state.at += self.state.frame.len() as u64;
        self.state.frame.clear();
        self.state.read = 0;
        if self.state.plain.len() == 0 {
            return Ok(());
        }
        // Each frame by itself, without what came before: a file is restored by a read of its frames alone, a
        // later backup can name pages in the middle of a pack, and damage costs only what lies in its frame.
        self.press.compress(self.state.plain.as_slice(), &mut self.state.frame)?;
        self.state.total += self.state.plain.len() as u64;
        self.settle_entries()
    }

    fn add_next(&mut self) -> Result<()> {
        match &self.state.body {
            Some(Body::Whole { .. }) => return self.add_stretch(),
            Some(Body::Compared(_)) => return self.add_chunk(),
            None => {}
        }
        // Asked between members only: no member goes over two packs, so that each pack is a tar stream that
        // ordinary tools unpack without the others.
        let full = self.state.total + self.state.plain.len() as u64 >= self.limit;
        match if full { None } else { self.members.next()? } {
            Some(member) => return self.begin_member(member),
            None => {
                self.state.plain.append(&tar::END);
                self.state.ended = true;
            }
        }
        Ok(())
    }

    fn begin_member(&mut self, member: Member<'a>) -> Result<()> {
        let Member { entry, body } = member;
        let size = entry.size;
        let blocks = match &body {
            Body::Whole { key, .. } => {
                self.write_header(&entry, &entry.path.0, size);
                key.map(|_| Vec::new())
            }
            Body::Compared(_) => Some(Vec::new()),
        };
        let is_compared = matches!(body, Body::Compared(_));
        self.state.left = size;
        self.state.body = (size > 0).then_some(body);
        self.state.open.push(OpenEntry { entry, blocks, parts: Vec::new() });
        if size == 0 && is_compared { self.send_unchanged() } else { Ok(()) }
    }

    /// Writes the header of a file of `bytes` bytes or of a folder.
    fn write_header(&mut self, entry: &IndexEntry, name: &[u8], bytes: u64) {
        let kind = match entry.kind {
            EntryKind::File => tar::Kind::File(bytes),
            EntryKind::Folder => tar::Kind::Folder,
        };
        let facts = tar::Facts {
            kind,
            mode: entry.mode,
            modified: entry.modified,
            user: (self.owner.uid, &self.owner.user),
            group: (self.owner.gid, &self.owner.group),
        };
        self.state.plain.append(&tar::make_header(name, &facts));
    }

    /// Takes the next stretch of the present body into the frame.
    fn add_stretch(&mut self) -> Result<()> {
        let state = &mut self.state;
        let Some(Body::Whole { content, key }) = &mut state.body else { return Ok(()) };
        let open = state.open.last_mut().expect("a body's entry is open");
        let bytes = usize::try_from(state.left).unwrap_or(FRAME).min(FRAME);
        let from = state.plain.len();
        // The header has the size that the file had: what it lost since is zeros, and the WAL truncates it again.
        let stretch = state.plain.take_room(bytes);
        let filled =
            fill_buffer(content, stretch).doing(|| format!("read {}", open.entry.path.to_display()))?;
        stretch[filled..].fill(0);
        let stretch = &*stretch;
        let crc32c = match (key, &mut open.blocks) {
            (Some(key), Some(blocks)) => {
                let first = blocks.len();
                blocks.extend(key.records(stretch));
                join_crcs(&blocks[first..], bytes)
            }
            _ => crc32c(stretch),
        };
        open.entry.crc32c = extend_crc(open.entry.crc32c, crc32c, bytes);
        open.parts.push(Part::Framed { from, bytes, crc32c });
        state.left -= bytes as u64;
        if state.left == 0 {
            let size = open.entry.size;
            state.plain.append_zeros(tar::padding(size));
            state.body = None;
        }
        Ok(())
    }

    /// Reads on in the present body, and takes what changed into the frame: each stretch as a member of its own, named by
    /// the file and where in the file it belongs.
    fn add_chunk(&mut self) -> Result<()> {
        let Some(Body::Compared(mut file)) = self.state.body.take() else { return Ok(()) };
        let mut open = self.state.open.pop().expect("a body's entry is open");
        let mut bytes = std::mem::take(&mut self.state.chunk);
        let begins = file.at;
        let chunk = file.read_chunk(&mut bytes)?;
        open.entry.crc32c = extend_crc(open.entry.crc32c, join_crcs(&chunk.blocks, bytes.len()), bytes.len());
        for stretch in chunk.stretches {
            let range = match stretch {
                FileStretch::Same(piece) => {
                    open.parts.push(Part::Stored(piece));
                    continue;
                }
                FileStretch::Changed(range) => range,
            };
            let mut name = open.entry.path.0.clone();
            name.extend_from_slice(format!("@{}", begins + range.start as u64).as_bytes());
            self.write_header(&open.entry, &name, range.len() as u64);
            let crc32c =
                join_crcs(&chunk.blocks[range.start / BLOCK..range.end.div_ceil(BLOCK)], range.len());
            let from = self.state.plain.len();
            open.parts.push(Part::Framed { from, bytes: range.len(), crc32c });
            self.state.plain.append(&bytes[range.clone()]);
            self.state.plain.append_zeros(tar::padding(range.len() as u64));
        }
        open.blocks.get_or_insert_default().extend(chunk.blocks);
        self.state.chunk = bytes;
        self.state.open.push(open);
        if file.left > 0 {
            self.state.body = Some(Body::Compared(file));
            return Ok(());
        }
        self.send_unchanged()
    }

    /// Sends the last entry to the index where nothing of it waits for the frame: a frame may take long to fill when
    /// little changed, and the entries of all files that did not must not wait in memory.
    fn send_unchanged(&mut self) -> Result<()> {
        let waits = |open: &OpenEntry| open.parts.iter().any(|part| matches!(part, Part::Framed { .. }));
        match self.state.open.pop() {
            Some(open) if waits(&open) => self.state.open.push(open),
            Some(mut open) => {
                open.settle(|_, _, _| Err(Error::failed("a stretch has no frame")))?;
                self.send_entry(open)?;
            }
            None => {}
        }
        Ok(())
    }

    fn send_entry(&self, open: OpenEntry) -> Result<()> {
        let stored = StoredEntry { entry: open.entry, blocks: open.blocks };
        self.index.send(stored).map_err(|_| Error::failed("the index broke off"))
    }

    /// Tells each entry where its stretches have come to lie, and the index those that are complete.
    fn settle_entries(&mut self) -> Result<()> {
        let state = &mut self.state;
        // Of the compressed bytes, as they are stored: a reader compares them before its decompressor sees
        // them, so no damaged input ever comes to it.
        let sha256 = hex(&sha256(&state.frame));
        let (pack, at) = (self.number, state.at);
        let (stored, plain) = (to_u32(state.frame.len())?, to_u32(state.plain.len())?);
        for open in &mut state.open {
            open.settle(|from, bytes, crc32c| {
                let (from, bytes) = (to_u32(from)?, to_u32(bytes)?);
                Ok(Piece { pack, at, stored, sha256: sha256.clone(), plain, from, bytes, crc32c })
            })?;
        }
        let unfinished = state.body.is_some().then(|| state.open.pop()).flatten();
        let complete: Vec<OpenEntry> = state.open.drain(..).collect();
        state.open.extend(unfinished);
        complete.into_iter().try_for_each(|open| self.send_entry(open))
    }
}

impl OpenEntry {
    /// Makes pieces of its parts, by where a stretch of the frame lies.
    fn settle(&mut self, place: impl Fn(usize, usize, u32) -> Result<Piece>) -> Result<()> {
        for part in self.parts.drain(..) {
            self.entry.pieces.push(match part {
                Part::Stored(piece) => piece,
                Part::Framed { from, bytes, crc32c } => place(from, bytes, crc32c)?,
            });
        }
        Ok(())
    }
}

fn to_u32(n: usize) -> Result<u32> {
    u32::try_from(n).doing(|| "measure a frame".into())
}

impl<'a, M: Members<'a>> Read for Pack<'_, 'a, M> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.state.read == self.state.frame.len() {
            self.fill_frame()?;
        }
        let state = &mut self.state;
        let n = buf.len().min(state.frame.len() - state.read);
        buf[..n].copy_from_slice(&state.frame[state.read..state.read + n]);
        state.read += n;
        Ok(n)
    }
}
