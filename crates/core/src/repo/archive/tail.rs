//! Stretches of a segment that is not whole yet (docs/FORMATS.md, "Tails").

use super::{Archive, Compressed};
use crate::error::{Context, Error, Result};
use crate::store::{Key, NoIdentity, Stored};
use crate::wal::{Ending, Segment, WalName};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Bytes of a segment, stored before the segment is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tail {
    /// The segment.
    pub segment: WalName,
    /// Where it begins in the segment.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
    /// When it came, by the store's clock; the epoch before it is stored.
    pub modified: Timestamp,
}

impl Tail {
    /// `length` bytes of `segment` from `offset` on, to be stored.
    pub fn new(segment: WalName, offset: u64, length: u64) -> Tail {
        Tail { segment, offset, length, modified: Timestamp::UNIX_EPOCH }
    }

    /// The offset behind its last byte.
    pub fn end(&self) -> u64 {
        self.offset + self.length
    }

    /// `wal-tail/<timeline>/<segment>/<offset>-<length>`, numbers as eight hexadecimal digits, so that names sort.
    fn path(&self) -> String {
        format!("{}{:08X}-{:08X}", folder(self.segment), self.offset, self.length)
    }

    fn parse(path: &str, modified: Timestamp) -> Option<Tail> {
        let mut parts = path.rsplit('/');
        let (offset, length) = parts.next()?.split_once('-')?;
        let segment: WalName = parts.next()?.parse().ok()?;
        let hex = |text| u64::from_str_radix(text, 16).ok();
        let tail = Tail { segment, offset: hex(offset)?, length: hex(length)?, modified };
        path.ends_with(&tail.path()).then_some(tail)
    }
}

/// What the names of a segment's tails begin with.
fn folder(segment: WalName) -> String {
    format!("wal-tail/{:08X}/{segment}/", segment.timeline().0)
}

/// The fewest tails that give the segment from its first byte on as far as any can, in the order of their bytes.
pub fn cover(tails: &[Tail]) -> Vec<Tail> {
    let mut chosen: Vec<Tail> = Vec::new();
    let mut end = 0;
    loop {
        // Of those that begin where we are or before, the one that leads furthest: the usual greedy cover, which is
        // the smallest there is. They overlap when a streamer was started anew in the middle of a segment.
        let next = tails.iter().filter(|t| t.offset <= end).max_by_key(|t| t.end());
        match next.filter(|t| t.end() > end) {
            Some(tail) => {
                end = tail.end();
                chosen.push(*tail);
            }
            None => return chosen,
        }
    }
}

/// The [`cover`] of each segment that has tails.
pub fn covers(tails: &[Tail]) -> BTreeMap<WalName, Vec<Tail>> {
    let mut segments: BTreeMap<WalName, Vec<Tail>> = BTreeMap::new();
    tails.iter().for_each(|t| segments.entry(t.segment).or_default().push(*t));
    segments.into_iter().map(|(name, tails)| (name, cover(&tails))).collect()
}

impl Archive<'_> {
    fn tail_key(&self, tail: &Tail) -> Key {
        self.system.key(&tail.path())
    }

    /// Stores `file` as `tail`. Durable when it returns; that the same content is there already is fine.
    ///
    /// # Errors
    /// Those of [`Archive::put`].
    pub fn put_tail(&self, tail: &Tail, file: &Compressed) -> Result<Stored> {
        self.store_as(&self.tail_key(tail), &tail.path(), file)
    }

    /// The tails of one segment.
    ///
    /// # Errors
    /// When the store could not be asked.
    pub fn tails(&self, segment: WalName) -> Result<Vec<Tail>> {
        self.tails_below(&folder(segment))
    }

    /// The tails of every segment.
    ///
    /// # Errors
    /// When the store could not be asked.
    pub fn all_tails(&self) -> Result<Vec<Tail>> {
        self.tails_below("wal-tail/")
    }

    fn tails_below(&self, prefix: &str) -> Result<Vec<Tail>> {
        let objects = self.store.list(&format!("{}{prefix}", self.system.root()))?;
        Ok(objects.iter().filter_map(|o| Tail::parse(o.key.content(), o.modified)).collect())
    }

    /// When the server wrote the last of it, as [`Archive::written`] of a file.
    ///
    /// # Errors
    /// When the store could not be asked.
    pub fn tail_written(&self, tail: &Tail) -> Result<Option<Timestamp>> {
        self.written_as(&self.tail_key(tail))
    }

    /// Writes the content of one into `to`, compared with its recorded sum; `None` when it is gone.
    ///
    /// # Errors
    /// Corrupt when it is damaged, or not as long as its name says. Retry when the store could not be asked.
    pub fn get_tail(&self, tail: &Tail, to: &mut dyn Write) -> Result<Option<crate::sum::Sum>> {
        let sum = self.read(&self.tail_key(tail), to)?;
        if sum.as_ref().is_some_and(|s| s.bytes != tail.length) {
            return Err(Error::corrupt(format!("{} is not as long as its name says", tail.path())));
        }
        Ok(sum)
    }

    /// The same as [`Archive::verify_encrypted`].
    ///
    /// # Errors
    /// Those of [`Archive::verify_encrypted`].
    pub fn verify_encrypted_tail(&self, tail: &Tail) -> Result<Option<u64>> {
        self.verify_object(&self.tail_key(tail).encrypted()?)
    }

    /// Removes one; that it is gone already is fine.
    ///
    /// # Errors
    /// When the store refuses or could not be asked.
    pub fn remove_tail(&self, tail: &Tail) -> Result<()> {
        self.remove_both(&self.tail_key(tail))
    }

    /// Whether `cover` is all of `segment`: its WAL ends by a switch, and the rest is zeros; or nothing is missing. What
    /// is encrypted and cannot be read here, or went while it was read, counts as far as it reaches.
    ///
    /// # Errors
    /// Those of [`Archive::assemble`].
    pub fn are_whole(&self, cover: &[Tail], segment: &Segment) -> Result<bool> {
        let Some(bytes) = cover.last().map(Tail::end) else { return Ok(false) };
        if bytes == segment.size {
            return Ok(true);
        }
        let mut ending = Ending::of_segment(*segment);
        match self.assemble(cover, bytes, bytes, &mut ending) {
            Err(e) if NoIdentity::caused(&e) || TailGone::caused(&e) => Ok(false),
            assembled => assembled.map(|()| ending.is_switch()),
        }
    }

    /// Stores `segment` whole out of its tails, when they are all of it; whether they are. The bytes are those that the
    /// server would have sent: behind a switch it writes zeros, page headers included (`CopyXLogRecordToWAL`).
    ///
    /// # Errors
    /// Those of [`Archive::assemble`] and [`Archive::put`].
    pub fn complete(&self, cover: &[Tail], segment: &Segment) -> Result<bool> {
        if !self.are_whole(cover, segment)? {
            return Ok(false);
        }
        let doing = || format!("put {} together", segment.name());
        let mut file = tempfile::NamedTempFile::new().doing(doing)?;
        let bytes = cover.last().map_or(0, Tail::end);
        self.assemble(cover, bytes, segment.size, &mut file)?;
        // Searches by time go by when the server wrote it, not by when we did.
        if let Some(at) = cover.last().map(|t| self.tail_written(t)).transpose()?.flatten() {
            file.as_file().set_modified(at.into()).doing(doing)?;
        }
        // Only stored here, and create-if-absent: where the archiver was first, its segment stays and must be the
        // same. Its tails go when it is there, and not before.
        self.put(WalName::from(*segment), &Compressed::new(file.path(), 1)?)?;
        Ok(true)
    }

    /// Writes the first `bytes` bytes of a segment from `cover` (of [`cover`]), as far as that goes, and zeros up to
    /// `size`.
    ///
    /// # Errors
    /// Then what was written is worthless: Corrupt when one is damaged; Retry when one is gone ([`TailGone`]), or when the
    /// store could not be asked.
    pub fn assemble(&self, cover: &[Tail], bytes: u64, size: u64, to: &mut dyn Write) -> Result<()> {
        let mut at = 0;
        for tail in cover {
            let end = tail.end().min(bytes).max(at);
            let mut window = Window { skip: at - tail.offset.min(at), left: end - at, to: &mut *to };
            let sum = self.read(&self.tail_key(tail), &mut window)?;
            let gone = || Error::retry(format!("{} went while it was read", tail.path())).because(TailGone);
            if sum.ok_or_else(gone)?.bytes != tail.length {
                return Err(Error::corrupt(format!("{} is not as long as its name says", tail.path())));
            }
            at = end;
        }
        let zeros = io::copy(&mut io::Read::take(io::repeat(0), size.saturating_sub(at)), to);
        zeros.map(drop).doing(|| "fill the segment up".into())
    }
}

/// The cause of an error of reading tails that a stream has replaced meanwhile, by longer ones or by the whole segment.
#[derive(Clone, Copy, Debug)]
pub struct TailGone;

impl TailGone {
    /// Whether it is below `e`.
    pub fn caused(e: &Error) -> bool {
        std::iter::successors(std::error::Error::source(e), |e| (*e).source())
            .any(<dyn std::error::Error>::is::<TailGone>)
    }
}

impl std::fmt::Display for TailGone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("longer ones or the whole segment took its place")
    }
}

impl std::error::Error for TailGone {}

/// Passes on some of the bytes it gets.
struct Window<'w> {
    skip: u64,
    left: u64,
    to: &'w mut dyn Write,
}

impl Write for Window<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let from = most(self.skip).min(bytes.len());
        let end = from + most(self.left).min(bytes.len() - from);
        self.to.write_all(&bytes[from..end])?;
        (self.skip, self.left) = (self.skip - from as u64, self.left - (end - from) as u64);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::keys::System;
    use crate::store::{Dir, Store};
    use crate::{Kind, Result};

    const SIZE: u64 = 1 << 20;

    fn name() -> WalName {
        "00000002000000010000000F".parse().expect("a name")
    }

    fn tail(offset: u64, end: u64) -> Tail {
        Tail::new(name(), offset, end - offset)
    }

    #[test]
    fn names_there_and_back() {
        let text = "main/7/wal-tail/00000002/00000002000000010000000F/00002000-000A0000";
        let tail = Tail::parse(text, Timestamp::UNIX_EPOCH).expect("a tail");
        assert_eq!((tail.offset, tail.length), (0x2000, 0xA0000));
        assert!(text.ends_with(&tail.path()));
        for bad in
            ["main/7/wal-tail/00000001/00000002000000010000000F/00002000-000A0000", "x/y/1-2", "nothing"]
        {
            assert_eq!(Tail::parse(bad, Timestamp::UNIX_EPOCH), None, "{bad}");
        }
    }

    #[test]
    fn the_fewest_that_reach_furthest() {
        let ends = |tails: &[Tail]| cover(tails).iter().map(|t| (t.offset, t.end())).collect::<Vec<_>>();
        assert_eq!(ends(&[tail(0, 10), tail(10, 20), tail(20, 25)]), [(0, 10), (10, 20), (20, 25)]);
        assert_eq!(ends(&[tail(0, 10), tail(10, 20), tail(0, 20), tail(20, 25)]), [(0, 20), (20, 25)]);
        assert_eq!(ends(&[tail(0, 10), tail(11, 20)]), [(0, 10)], "nothing behind a gap");
        assert_eq!(ends(&[tail(5, 10)]), []);
        assert_eq!(ends(&[tail(0, 10), tail(4, 30)]), [(0, 10), (4, 30)], "they may overlap");
    }

    #[test]
    fn a_segment_is_assembled_and_damage_is_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Dir::open(&dir.path().display().to_string()).expect("a store");
        let archive = Archive::new(&store, System { cluster: "main".into(), identifier: 7 });
        let content: Vec<u8> = (0..100_000_u32).flat_map(u32::to_ne_bytes).collect();
        let path = dir.path().join("spool");
        std::fs::write(&path, &content).expect("write");
        for tail in
            [tail(0, 1000), tail(1000, 9000), tail(0, 9000), tail(8000, 300_000), tail(310_000, 320_000)]
        {
            let part = Compressed::part(&path, tail.offset..tail.end(), 1).expect("compressed");
            assert_eq!(archive.put_tail(&tail, &part).expect("put"), Stored::New);
            assert_eq!(archive.put_tail(&tail, &part).expect("again"), Stored::Exists);
        }
        let first = |n: u64| -> Result<Vec<u8>> {
            let mut bytes = Vec::new();
            archive.assemble(&cover(&archive.tails(name())?), n, SIZE, &mut bytes)?;
            Ok(bytes)
        };
        let assembled = || first(SIZE);
        for n in [0_usize, 500, 8500, 9000] {
            let bytes = first(n as u64).expect("cut");
            assert!(
                bytes.len() as u64 == SIZE
                    && bytes[..n] == content[..n]
                    && bytes[n..].iter().all(|b| *b == 0)
            );
        }
        let bytes = assembled().expect("assembled");
        assert_eq!(bytes.len() as u64, SIZE);
        assert!(bytes[..300_000] == content[..300_000] && bytes[300_000..].iter().all(|b| *b == 0));

        let stale = cover(&archive.tails(name()).expect("listed"));
        let key = archive.tail_key(&tail(8000, 300_000));
        archive.remove_tail(&tail(0, 9000)).expect("removed");
        archive.remove_tail(&tail(0, 9000)).expect("gone is fine");
        assert!(assembled().expect("from the others") == bytes);
        // Who listed them before does not take that for damage.
        let gone = archive.assemble(&stale, SIZE, SIZE, &mut Vec::new()).expect_err("one is gone");
        assert!(gone.kind() == Kind::Retry && TailGone::caused(&gone), "{gone:?}");
        let segment = name().segment(SIZE).expect("a segment");
        assert!(!archive.are_whole(&stale, &segment).expect("as far as it is known"));
        let stored = dir.path().join(key.as_str());
        let mut flipped = std::fs::read(&stored).expect("read");
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        std::fs::write(&stored, flipped).expect("flip");
        assert_eq!(assembled().expect_err("found").kind(), Kind::Corrupt);
        assert!(store.stat(&key).expect("asked").is_some());
    }
}
