//! The records of a stretch of the WAL, as far as recovery can be told to stop at one (`xlogreader.c`,
//! `xlogrecord.h`, `xact.h`). The forms are the same in PostgreSQL 14 to 18.

use super::{Lsn, Segment};
use jiff::Timestamp;
use std::ops::ControlFlow;

/// What recovery can stop at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A transaction ends, by commit or abort, at this time of the server.
    End {
        /// 0 of a prepared one: its number lies elsewhere.
        xid: u32,
        /// By the server's clock.
        at: Timestamp,
    },
    /// `pg_create_restore_point`.
    Point {
        /// As it was given.
        name: String,
        /// By the server's clock.
        at: Timestamp,
    },
    /// Anything else.
    Other,
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it begins.
    pub lsn: Lsn,
    /// What it says.
    pub what: What,
}

/// Reads records out of segments that are given one behind the other; what lies over two of them is put together.
#[derive(Default)]
pub struct Records {
    open: Option<Open>,
}

/// A record whose end has not come yet.
struct Open {
    /// None: its beginning was not seen.
    lsn: Option<Lsn>,
    left: usize,
    head: Vec<u8>,
}

/// Bytes of a record that are looked at.
const HEAD: usize = 256;
const HEADER: usize = 24;
const CONTINUED: u16 = 0x0001;
const LONG: u16 = 0x0002;
/// Microseconds from 1970 to PostgreSQL's beginning of time, 2000.
const EPOCH: i64 = 946_684_800_000_000;

impl Records {
    /// Gives every record that ends in `segment`, whose content is `bytes`, to `each`, until that breaks off or the
    /// written part of the segment ends.
    pub fn read<B>(
        &mut self,
        segment: &Segment,
        bytes: &[u8],
        each: &mut dyn FnMut(Record) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let page = int(bytes, 36).map_or(0, |n| n as usize);
        if !page.is_power_of_two() || page < 1024 {
            return ControlFlow::Continue(());
        }
        for (number, content) in bytes.chunks_exact(page).enumerate() {
            let address = segment.start().0 + (number * page) as u64;
            if long(content, 8) != Some(address) || !self.page(address, content, each)? {
                break;
            }
        }
        ControlFlow::Continue(())
    }

    /// Whether the WAL goes on behind this page.
    fn page<B>(
        &mut self,
        address: u64,
        page: &[u8],
        each: &mut dyn FnMut(Record) -> ControlFlow<B>,
    ) -> ControlFlow<B, bool> {
        let info = short(page, 2).unwrap_or_default();
        let mut at = if info & LONG == 0 { 24 } else { 40 };
        let left = int(page, 16).unwrap_or_default() as usize;
        match &self.open {
            Some(open) if info & CONTINUED != 0 && open.left == left => {}
            // What was open never ended: the server crashed, and began anew here.
            _ if info & CONTINUED != 0 => self.open = Some(Open { lsn: None, left, head: Vec::new() }),
            _ => self.open = None,
        }
        while at < page.len() {
            let mut open = match self.open.take() {
                Some(open) => open,
                None => match int(page, at) {
                    Some(length) if length as usize >= HEADER => {
                        let lsn = Some(Lsn(address + at as u64));
                        Open { lsn, left: length as usize, head: Vec::new() }
                    }
                    // Behind the last record there are zeros.
                    _ => return ControlFlow::Continue(false),
                },
            };
            at += open.take(&page[at..]);
            if open.left > 0 {
                self.open = Some(open);
                break;
            }
            at = at.next_multiple_of(8);
            let ends = open.is_switch();
            if let Some(record) = open.record() {
                each(record)?;
            }
            if ends {
                return ControlFlow::Continue(false);
            }
        }
        ControlFlow::Continue(true)
    }
}

impl Open {
    fn take(&mut self, bytes: &[u8]) -> usize {
        let taken = self.left.min(bytes.len());
        let kept = taken.min(HEAD - self.head.len().min(HEAD));
        self.head.extend_from_slice(&bytes[..kept]);
        self.left -= taken;
        taken
    }

    fn info(&self) -> Option<(u8, u8)> {
        self.lsn.and(Some((*self.head.get(17)?, *self.head.get(16)?)))
    }

    /// XLOG_SWITCH: the rest of the segment is empty.
    fn is_switch(&self) -> bool {
        self.info().is_some_and(|(manager, info)| manager == 0 && info & 0xF0 == 0x40)
    }

    fn record(&self) -> Option<Record> {
        Some(Record { lsn: self.lsn?, what: self.what().unwrap_or(What::Other) })
    }

    fn what(&self) -> Option<What> {
        let (manager, info) = self.info()?;
        match (manager, info & 0x70) {
            // XLOG_XACT_COMMIT, _ABORT; with the transaction's number in front of those of its parts.
            (1, 0x00 | 0x20) => Some(What::End { xid: int(&self.head, 4)?, at: self.time()? }),
            (1, 0x30 | 0x40) => Some(What::End { xid: 0, at: self.time()? }),
            (0, 0x70) if info & 0x80 == 0 => Some(What::Point { name: self.name()?, at: self.time()? }),
            _ => None,
        }
    }

    /// Where the record's own data begins, of one without blocks.
    fn data(&self) -> Option<&[u8]> {
        let mut at = HEADER;
        loop {
            at += match self.head.get(at)? {
                253 => 3,
                252 => 5,
                255 => return self.head.get(at + 2..),
                254 => return self.head.get(at + 5..),
                _ => return None,
            };
        }
    }

    fn time(&self) -> Option<Timestamp> {
        let since_2000 = i64::from_ne_bytes(self.data()?.get(..8)?.try_into().ok()?);
        Timestamp::from_microsecond(since_2000.checked_add(EPOCH)?).ok()
    }

    fn name(&self) -> Option<String> {
        let bytes = self.data()?.get(8..72)?;
        let name = bytes.split(|b| *b == 0).next()?;
        Some(String::from_utf8_lossy(name).into_owned())
    }
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn int(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
