//! What was received and is not stored yet: the one thing that the session and the shipper share.

use super::spool::Spool;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use toban_core::sync::lock;
use toban_core::wal::{Lsn, Segment, Timeline};
use toban_core::{Context, Error, Result};

/// Bytes that may wait, in whole segments, and at least two of those: one that is stored while the next comes.
const WAITING: u64 = 64 << 20;

pub(super) struct Backlog {
    inner: Mutex<Inner>,
    changed: Condvar,
    /// Written to when something was stored: the session sleeps on its socket to the server, and polls this one, too.
    bell: UnixStream,
    bell_end: UnixStream,
}

#[derive(Default)]
struct Inner {
    pieces: VecDeque<Piece>,
    interval: Duration,
    /// Store at once, whatever the interval says.
    hurry: bool,
    /// The interval of a service that commits wait for is none.
    synchronous: bool,
    stored: Option<Lsn>,
    /// When the shipper began what it is at, and how much it is.
    begun: Option<(Instant, u64)>,
    broken: Option<Error>,
    last_tail: Option<Instant>,
}

struct Piece {
    segment: Segment,
    spool: Arc<Spool>,
    received: u64,
    stored: u64,
    tails: u64,
    /// Its timeline ended in it: no more comes.
    ended: bool,
}

/// What is to be stored next.
#[derive(Clone)]
pub(super) struct Load {
    pub(super) segment: Segment,
    pub(super) spool: Arc<Spool>,
    pub(super) from: u64,
    pub(super) to: u64,
}

impl Load {
    /// Whether it is the whole segment.
    pub(super) fn is_whole(&self) -> bool {
        self.from == 0 && self.to == self.segment.size
    }
}

/// Every so many tails of a segment one begins at its first byte again, so that none needs thousands.
const AFRESH: u64 = 32;

impl Backlog {
    pub(super) fn new(interval: Duration) -> Result<Backlog> {
        let (bell, bell_end) = UnixStream::pair().doing(|| "make a pair of sockets".into())?;
        for end in [&bell, &bell_end] {
            end.set_nonblocking(true).doing(|| "make a pair of sockets".into())?;
        }
        let inner = Inner { interval, ..Inner::default() };
        Ok(Backlog { inner: Mutex::new(inner), changed: Condvar::new(), bell, bell_end })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// A new session begins: nothing of it is stored.
    pub(super) fn begin_session(&self) {
        let mut inner = self.lock();
        inner.pieces.clear();
        inner.stored = None;
        inner.hurry = false;
    }

    /// Takes what the server sent; it may cross the end of a segment.
    pub(super) fn append(
        &self,
        timeline: Timeline,
        size: u64,
        mut start: Lsn,
        mut bytes: &[u8],
    ) -> Result<()> {
        while !bytes.is_empty() {
            let segment = Segment::holding_lsn(start, timeline, size);
            let offset = start.0 - segment.start().0;
            let fits = usize::try_from(segment.size - offset).unwrap_or(usize::MAX).min(bytes.len());
            self.spool_at(segment, offset)?.write(offset, &bytes[..fits])?;
            self.lock().count_received(fits as u64);
            start = Lsn(start.0 + fits as u64);
            bytes = &bytes[fits..];
        }
        self.changed.notify_all();
        Ok(())
    }

    /// The spool of `segment`, which must go on at `offset`.
    fn spool_at(&self, segment: Segment, offset: u64) -> Result<Arc<Spool>> {
        let mut inner = self.lock();
        if offset == 0 {
            let spool = Arc::new(Spool::new()?);
            inner.pieces.push_back(Piece { segment, spool, received: 0, stored: 0, tails: 0, ended: false });
        }
        match inner.pieces.back() {
            Some(p) if p.segment == segment && p.received == offset => Ok(Arc::clone(&p.spool)),
            _ => Err(Error::failed(format!(
                "the server left WAL out before {:X} of {}",
                offset,
                segment.name()
            ))),
        }
    }

    /// No more comes of the newest segment: its timeline ends in it.
    pub(super) fn end_timeline(&self) {
        let mut inner = self.lock();
        if let Some(piece) = inner.pieces.back_mut().filter(|p| !p.is_whole()) {
            piece.ended = true;
            if piece.stored == piece.received {
                inner.pieces.pop_back();
            }
        }
        drop(inner);
        self.changed.notify_all();
    }

    /// Store everything at once from now on, until [`Backlog::begin_session`].
    pub(super) fn hurry(&self) {
        self.lock().hurry = true;
        self.changed.notify_all();
    }

    /// Whether commits wait for what we store.
    pub(super) fn set_synchronous(&self, synchronous: bool) {
        self.lock().synchronous = synchronous;
        self.changed.notify_all();
    }

    /// Whether all that was received is stored.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().pieces.iter().all(|p| p.stored == p.received)
    }

    /// Whether more must wait at the server.
    pub(super) fn is_full(&self) -> bool {
        let inner = self.lock();
        // Counted in whole segments: the one that is being received is in a file in any case.
        let whole = inner.pieces.iter().filter(|p| p.is_whole()).count() as u64;
        let size = inner.pieces.front().map_or(1, |p| p.segment.size);
        whole >= (WAITING / size).max(2)
    }

    /// Up to where everything since the session began is stored.
    pub(super) fn stored(&self) -> Option<Lsn> {
        self.lock().stored
    }

    /// Whether nothing could be stored for `limit`, in proportion more where one thing is larger than usual.
    pub(super) fn is_stuck(&self, limit: Duration) -> bool {
        let usual = 16 << 20;
        self.lock().begun.is_some_and(|(since, bytes)| {
            since.elapsed() > limit.mul_f64((bytes as f64 / f64::from(usual)).max(1.0))
        })
    }

    /// The error that ended the shipper, once.
    pub(super) fn take_error(&self) -> Option<Error> {
        self.lock().broken.take()
    }

    /// Ends the session with this error.
    pub(super) fn fail(&self, e: Error) {
        self.lock().broken = Some(e);
        self.ring_bell();
    }

    /// Waits for the next load; `None` after `wait`.
    pub(super) fn wait_for_load(&self, wait: Duration) -> Option<Load> {
        let mut inner = self.lock();
        let until = Instant::now() + wait;
        loop {
            if let Some(load) = inner.take_due() {
                inner.begun = Some((Instant::now(), load.to - load.from));
                return Some(load);
            }
            let left = until.checked_duration_since(Instant::now())?;
            let left = inner.time_to_next_tail().map_or(left, |p| left.min(p)).max(Duration::from_millis(1));
            inner = self.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// `load` is stored.
    pub(super) fn mark_stored(&self, load: &Load) {
        let mut inner = self.lock();
        inner.begun = None;
        let same = |p: &Piece| Arc::ptr_eq(&p.spool, &load.spool);
        // Of an ended session's pieces nothing counts any more: the new one receives them again.
        if let Some(piece) = inner.pieces.front_mut().filter(|p| same(p)) {
            piece.stored = load.to;
            piece.tails += 1;
            let gone = piece.is_whole() && load.is_whole() || piece.ended && piece.stored == piece.received;
            let end = Lsn(load.segment.start().0 + load.to);
            inner.stored = inner.stored.max(Some(end));
            if gone {
                inner.pieces.pop_front();
            }
        }
        drop(inner);
        self.ring_bell();
    }

    /// Sleeps until something changes, at most so long.
    pub(super) fn wait(&self, limit: Duration) {
        drop(self.changed.wait_timeout(self.lock(), limit));
    }

    fn ring_bell(&self) {
        self.changed.notify_all();
        // A full socket wakes the session as well.
        let _ = (&self.bell).write_all(&[1]);
    }

    /// What the session sleeps on.
    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.bell_end.as_fd()
    }

    /// After it woke up.
    pub(super) fn clear_bell(&self) {
        let mut rings = [0; 64];
        while matches!((&self.bell_end).read(&mut rings), Ok(64)) {}
    }
}

impl Piece {
    fn is_whole(&self) -> bool {
        self.received == self.segment.size
    }
}

impl Inner {
    fn count_received(&mut self, bytes: u64) {
        if let Some(piece) = self.pieces.back_mut() {
            piece.received += bytes;
        }
    }

    /// The oldest piece comes first: a segment when it is whole, else a tail when its time has come.
    fn take_due(&mut self) -> Option<Load> {
        let at_once = self.hurry || self.synchronous || self.time_to_next_tail().is_none();
        let piece = self.pieces.front_mut()?;
        let load = |from, to| Load { segment: piece.segment, spool: Arc::clone(&piece.spool), from, to };
        if piece.is_whole() {
            return Some(load(0, piece.received));
        }
        if piece.stored == piece.received || !(at_once || piece.ended) {
            return None;
        }
        // Tails add up (docs/FORMATS.md): one holds what came since the last, so that a busy second costs its own bytes.
        let from = if piece.tails % AFRESH == 0 { 0 } else { piece.stored };
        let load = load(from, piece.received);
        self.last_tail = Some(Instant::now());
        Some(load)
    }

    /// How long until the next tail may be stored.
    fn time_to_next_tail(&self) -> Option<Duration> {
        let since = self.last_tail?.elapsed();
        self.interval.checked_sub(since).filter(|p| !p.is_zero())
    }
}
