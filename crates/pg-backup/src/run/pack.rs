//! A pack as a stream: members go in, compressed frames come out, and each member's entry goes to the index when
//! the frame with its last byte is known.

use crate::format::backup::Owner;
use crate::format::codec::FrameCompressor;
use crate::format::index::{EntryKind, IndexEntry, Piece};
use crate::format::tar;
use std::io::{self, Read};
use std::sync::mpsc::SyncSender;
use toban_core::crc::{crc32c, crc32c_both};
use toban_core::sum::{hex, sha256};
use toban_core::{Context, Error, Result};

/// Bytes that make a frame full; a multiple of the page, so that pieces of relations begin at pages.
pub(super) const FRAME: usize = 1 << 20;

/// A file or folder on its way into a pack.
pub(super) struct Member<'a> {
    /// Path, kind, mode, time and size; no pieces yet.
    pub(super) entry: IndexEntry,
    /// The content. What it lacks to the size is filled by zeros, what it has beyond is left: a file that shrinks or
    /// grows while it is read is made right by the WAL.
    pub(super) body: Box<dyn Read + 'a>,
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
    pub(super) index: SyncSender<IndexEntry>,
    pub(super) state: PackState<'a>,
}

/// How far a pack is.
#[derive(Default)]
pub(super) struct PackState<'a> {
    plain: Vec<u8>,
    frame: Vec<u8>,
    /// How much of the frame was read out, where it begins in the pack, and bytes packed so far.
    read: usize,
    at: u64,
    total: u64,
    open: Vec<OpenEntry>,
    body: Option<(u64, Box<dyn Read + 'a>)>,
    ended: bool,
}

/// An entry with a stretch in the present frame.
struct OpenEntry {
    entry: IndexEntry,
    stretch: Option<Stretch>,
}

struct Stretch {
    from: usize,
    bytes: usize,
    crc32c: u32,
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
        if self.state.plain.is_empty() {
            return Ok(());
        }
        self.press.compress(&self.state.plain, &mut self.state.frame)?;
        self.state.total += self.state.plain.len() as u64;
        self.settle_entries()
    }

    fn add_next(&mut self) -> Result<()> {
        if self.state.body.is_some() {
            return self.add_stretch();
        }
        let full = self.state.total + self.state.plain.len() as u64 >= self.limit;
        match if full { None } else { self.members.next()? } {
            Some(member) => self.begin_member(member),
            None => {
                self.state.plain.extend_from_slice(&tar::END);
                self.state.ended = true;
            }
        }
        Ok(())
    }

    fn begin_member(&mut self, member: Member<'a>) {
        let Member { entry, body } = member;
        let kind = match entry.kind {
            EntryKind::File => tar::Kind::File(entry.size),
            EntryKind::Folder => tar::Kind::Folder,
        };
        let facts = tar::Facts {
            kind,
            mode: entry.mode,
            modified: entry.modified,
            user: (self.owner.uid, &self.owner.user),
            group: (self.owner.gid, &self.owner.group),
        };
        tar::header(&entry.path.0, &facts, &mut self.state.plain);
        if entry.size > 0 {
            self.state.body = Some((entry.size, body));
        }
        self.state.open.push(OpenEntry { entry, stretch: None });
    }

    /// Takes the next stretch of the present body into the frame.
    fn add_stretch(&mut self) -> Result<()> {
        let state = &mut self.state;
        let Some((left, body)) = &mut state.body else { return Ok(()) };
        let open = state.open.last_mut().expect("a body's entry is open");
        let bytes = usize::try_from(*left).unwrap_or(FRAME).min(FRAME);
        let from = state.plain.len();
        // The header has the size that the file had: what it lost since is zeros, and the WAL truncates it again.
        state.plain.resize(from + bytes, 0);
        fill_from(body, &mut state.plain[from..])
            .doing(|| format!("read {}", open.entry.path.to_display()))?;
        let crc32c = crc32c(&state.plain[from..]);
        open.entry.crc32c = crc32c_both(open.entry.crc32c, crc32c, bytes as u64);
        open.stretch = Some(Stretch { from, bytes, crc32c });
        *left -= bytes as u64;
        if *left == 0 {
            let size = open.entry.size;
            state.plain.resize(state.plain.len() + tar::padding(size), 0);
            state.body = None;
        }
        Ok(())
    }

    /// Tells each entry where its stretch has come to lie, and the index those that are complete.
    fn settle_entries(&mut self) -> Result<()> {
        let state = &mut self.state;
        let digest = hex(&sha256(&state.frame));
        for OpenEntry { entry, stretch } in &mut state.open {
            let Some(stretch) = stretch.take() else { continue };
            entry.pieces.push(Piece {
                pack: self.number,
                at: state.at,
                stored: to_u32(state.frame.len())?,
                sha256: digest.clone(),
                plain: to_u32(state.plain.len())?,
                from: to_u32(stretch.from)?,
                bytes: to_u32(stretch.bytes)?,
                crc32c: stretch.crc32c,
            });
        }
        let unfinished = state.body.is_some().then(|| state.open.pop()).flatten();
        for OpenEntry { entry, .. } in state.open.drain(..) {
            self.index.send(entry).map_err(|_| Error::failed("the index broke off"))?;
        }
        state.open.extend(unfinished);
        Ok(())
    }
}

fn to_u32(n: usize) -> Result<u32> {
    u32::try_from(n).doing(|| "measure a frame".into())
}

fn fill_from(body: &mut dyn Read, buf: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < buf.len() {
        match body.read(&mut buf[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
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
