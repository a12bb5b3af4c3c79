//! Workers that copy the data directory: each takes the next file of one queue into its own pack.

use super::base::Base;
use super::block_map::DigestKey;
use super::compare::{ComparedFile, PieceCursor, SummarizedFile, is_scattered};
use super::exclude;
use super::pack::{Body, Member, Members};
use super::state::{PageRange, RunState};
use super::summaries::ChangedBlocks;
use super::walk::ListedFile;
use crate::format::index::{EntryKind, FileName, IndexEntry};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, OnceLock};
use std::vec::IntoIter;
use toban_core::progress::Progress;
use toban_core::sync::lock;
use toban_core::wal::Lsn;
use toban_core::{Context, Result};

/// Files that wait for a worker.
pub(super) struct Queue(Mutex<IntoIter<ListedFile>>);

impl Queue {
    pub(super) fn new(listed: Vec<ListedFile>) -> Queue {
        Queue(Mutex::new(listed.into_iter()))
    }

    fn next(&self) -> Option<ListedFile> {
        lock(&self.0).next()
    }

    pub(super) fn is_empty(&self) -> bool {
        lock(&self.0).len() == 0
    }
}

/// One worker's view of the queue.
#[derive(Clone, Copy)]
pub(super) struct QueuedFiles<'a> {
    pub(super) queue: &'a Queue,
    pub(super) watch: &'a RunState,
    /// What the newest backup holds, where there is one to build on.
    pub(super) base: Option<&'a Base>,
    /// What changed since then by the WAL summaries; without them all is read.
    pub(super) summarized: Option<Summarized<'a>>,
    /// The key of digests for the next run.
    pub(super) key: &'a DigestKey,
    pub(super) progress: &'a Progress,
}

impl<'a> Members<'a> for QueuedFiles<'a> {
    fn next(&mut self) -> Result<Option<Member<'a>>> {
        while let Some(listed) = self.queue.next() {
            self.watch.check()?;
            if listed.kind == EntryKind::Folder {
                let body = Body::Whole { content: Box::new(io::empty()), key: None };
                return Ok(Some(Member { entry: listed.to_entry(), body }));
            }
            if let Some(member) = self.open_member(listed)? {
                return Ok(Some(member));
            }
        }
        Ok(None)
    }
}

/// What the WAL summaries say of the cluster.
#[derive(Clone, Copy)]
pub(super) struct Summarized<'a> {
    pub(super) changed: &'a ChangedBlocks,
    /// The start of the backup.
    pub(super) start: Lsn,
    /// Where a block is named that changed although no summary says so.
    pub(super) untrue: &'a OnceLock<String>,
}

impl<'a> Summarized<'a> {
    /// A file of which no summary tells must not have been written to either, be it by whom it may.
    fn of_file(&self, listed: &ListedFile, known: &IndexEntry) -> Option<SummarizedFile<'a>> {
        let Summarized { start, untrue, .. } = *self;
        let as_it_was = listed.modified == known.modified && listed.size == known.size;
        let changes = self.changed.of_file(listed.name.text()).filter(|c| c.is_told() || as_it_was)?;
        Some(SummarizedFile { changes, start, untrue })
    }
}

impl<'a> QueuedFiles<'a> {
    /// None when it was dropped since it was listed, or turned out to be of an unlogged relation that was new then.
    fn open_member(&self, mut listed: ListedFile) -> Result<Option<Member<'a>>> {
        // An unlogged relation that was made after the walk: recovery resets it from its init fork, and would find files
        // that it does not expect.
        let init = exclude::init_fork(listed.name.text()).filter(|_| listed.first_page.is_some());
        if init.is_some_and(|init| self.watch.data_dir.join(init).exists()) {
            return Ok(None);
        }
        let path = self.watch.data_dir.join(listed.name.path()?);
        let file = match File::open(&path) {
            // A relation's removal is in the WAL of the backup. Recovery keeps a list of pages that it
            // misses, and takes them off it when it comes to the record that drops or truncates the relation
            // (forget_invalid_pages in xlogutils.c).
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.doing(|| format!("open {}", path.display()))?,
        };
        // The size counts that it has now; what is added later is in the WAL.
        listed.size = file.metadata().doing(|| format!("look at {}", path.display()))?.len();
        Ok(Some(self.to_member(listed, file)))
    }

    /// The file as a member: compared with what the newest backup holds of it, where it does.
    pub(super) fn to_member(self, listed: ListedFile, file: File) -> Member<'a> {
        let entry = listed.to_entry();
        let pages = listed.first_page.filter(|_| self.watch.checksums);
        if let Some(known) = self.base.and_then(|base| base.map.read_file(&listed.name))
            && !is_scattered(&known.entry)
        {
            let compared = ComparedFile {
                file,
                changes: self.summarized.and_then(|summarized| summarized.of_file(&listed, &known.entry)),
                name: listed.name,
                at: 0,
                left: listed.size,
                pages,
                known,
                key: self.key,
                trusted: self.base.is_some_and(|base| base.trusted),
                watch: self.watch,
                progress: self.progress,
                cursor: PieceCursor::default(),
            };
            return Member { entry, body: Body::Compared(Box::new(compared)) };
        }
        let content =
            PageReader { file, name: listed.name, at: 0, pages, watch: self.watch, progress: self.progress };
        let body = Body::Whole { content: Box::new(content), key: Some(self.key) };
        Member { entry, body }
    }
}

/// A file being read, its pages judged on the way.
struct PageReader<'a> {
    file: File,
    name: FileName,
    at: u64,
    /// The number of its first page, where pages are judged.
    pages: Option<u32>,
    watch: &'a RunState,
    progress: &'a Progress,
}

impl Read for PageReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let filled = read_stretch(&self.file, buf, self.at)?;
        if let Some(first) = self.pages {
            let of = PageRange { file: &self.file, name: &self.name, at: self.at, first };
            self.watch.check_pages(&mut buf[..filled], &of);
        }
        self.at += filled as u64;
        self.progress.add(filled as u64);
        self.watch.keep_pace(filled as u64)?;
        Ok(filled)
    }
}

/// Reads `file` from byte `at` on until `buf` is full or the file ends; how many bytes that were.
pub(super) fn read_stretch(file: &File, buf: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buf.len() {
        match file.read_at(&mut buf[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}
