//! The records of a stretch of the WAL, as far as recovery can be told to stop at one (`xlogreader.c`,
//! `xlogrecord.h`, `xact.h`). The forms are the same in PostgreSQL 14 to 18.

use super::{Change, Lsn, Segment};
use crate::crc::crc32c;
use jiff::Timestamp;
use std::ops::ControlFlow;

/// What recovery can stop at, and what it does outside of the data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A transaction ends, by commit or abort, at this time of the server.
    End {
        /// Of a prepared one the number that it was prepared under, which is what recovery compares.
        xid: u32,
        /// By the server's clock.
        at: Timestamp,
        /// By commit.
        committed: bool,
        /// The numbers of its subtransactions, which its changes may bear instead of its own.
        parts: Vec<u32>,
    },
    /// Rows of a table are changed.
    RowsChanged {
        /// The transaction, or a subtransaction of it.
        xid: u32,
        /// OID of the database.
        database: u32,
        /// The number of the table's file (`pg_relation_filenode`).
        file: u32,
        /// How.
        change: RowChange,
        /// How many.
        rows: u64,
    },
    /// `pg_create_restore_point`.
    Point {
        /// As it was given.
        name: String,
        /// By the server's clock.
        at: Timestamp,
    },
    /// CREATE TABLESPACE: replay links `pg_tblspc/<oid>` to `location`, and writes there.
    TablespaceCreated {
        /// Its OID.
        oid: u32,
        /// Its absolute path; empty for one inside the data directory.
        location: String,
        /// What makes of the record one that is inside the data directory.
        in_place: Vec<Change>,
    },
    /// A transaction locks a table so that nobody can read it, until it ends.
    TableLocked {
        /// The transaction.
        xid: u32,
        /// OID of the database.
        database: u32,
        /// OID of the table.
        table: u32,
    },
    /// Every transaction below this one has ended.
    EndedBelow(u32),
    /// The rest of the segment is empty (`pg_switch_wal`).
    Switch,
    /// Anything else.
    Other,
}

/// What becomes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowChange {
    /// INSERT, COPY.
    Inserted,
    /// UPDATE.
    Updated,
    /// DELETE.
    Deleted,
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
    page_size: Option<usize>,
}

/// A record whose end has not come yet.
struct Open {
    /// None: its beginning was not seen.
    lsn: Option<Lsn>,
    left: usize,
    head: Vec<u8>,
    /// Of a record that goes on on a second page: how many bytes are on the first, and where the others begin.
    second: Option<(usize, u64)>,
    /// The version of the WAL.
    magic: u16,
}

/// Bytes of a record that are looked at; of one about a tablespace all, which holds a path.
const HEAD: usize = 256;
const WHOLE: usize = 2048;
/// A record of one page with its image is no longer.
const PAGE: usize = 17 << 10;
/// Of the end of a prepared transaction: its number lies behind the lists of what it did.
const PREPARED: usize = 16 << 20;
/// Resource managers (`rmgrlist.h`).
const XLOG: u8 = 0;
const TRANSACTION: u8 = 1;
const TABLESPACE: u8 = 5;
const STANDBY: u8 = 8;
const HEAP2: u8 = 9;
const HEAP: u8 = 10;
/// Where a record has the number of its resource manager, and its checksum.
const MANAGER: usize = 17;
const CRC: usize = 20;
const HEADER: usize = 24;
const CONTINUED: u16 = 0x0001;
const LONG: u16 = 0x0002;
/// Microseconds from 1970 to PostgreSQL's beginning of time, 2000.
const EPOCH: i64 = 946_684_800_000_000;

impl Records {
    /// Gives every record that ends in `segment`, whose content is `bytes`, to `each`, until that breaks off or the
    /// written part of the segment ends.
    pub fn read_records<B>(
        &mut self,
        segment: &Segment,
        bytes: &[u8],
        each: &mut dyn FnMut(Record) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let Some(page) = Records::page_size_of(bytes) else { return ControlFlow::Continue(()) };
        for (number, content) in bytes.chunks_exact(page).enumerate() {
            if !self.one_page(segment.start().0 + (number * page) as u64, content, each)? {
                break;
            }
        }
        ControlFlow::Continue(())
    }

    /// What the header of a segment, which `bytes` begin with, says of its pages.
    pub(super) fn page_size_of(bytes: &[u8]) -> Option<usize> {
        read_u32(bytes, 36).map(|n| n as usize).filter(|n| n.is_power_of_two() && *n >= 1024)
    }

    /// The same, of the pages that were read.
    pub(super) fn page_size(&self) -> Option<usize> {
        self.page_size
    }

    /// The same of one page, which lies at `address`: whether the WAL goes on behind it.
    pub(super) fn one_page<B>(
        &mut self,
        address: u64,
        page: &[u8],
        each: &mut dyn FnMut(Record) -> ControlFlow<B>,
    ) -> ControlFlow<B, bool> {
        self.page_size = Some(page.len());
        // xlp_pageaddr: a recycled segment holds pages of the position where it was used before, and there the WAL
        // ends.
        if read_u64(page, 8) != Some(address) {
            return ControlFlow::Continue(false);
        }
        self.read_page(address, page, each)
    }

    /// Whether the WAL goes on behind this page.
    fn read_page<B>(
        &mut self,
        address: u64,
        page: &[u8],
        each: &mut dyn FnMut(Record) -> ControlFlow<B>,
    ) -> ControlFlow<B, bool> {
        let info = read_u16(page, 2).unwrap_or_default();
        // SizeOfXLogShortPHD and SizeOfXLogLongPHD; at 16 is xlp_rem_len, what is left of a record from the page
        // before.
        let mut at = if info & LONG == 0 { 24 } else { 40 };
        let left = read_u32(page, 16).unwrap_or_default() as usize;
        let magic = read_u16(page, 0).unwrap_or_default();
        match &self.open {
            Some(open) if info & CONTINUED != 0 && open.left == left => {}
            // What was open never ended: the server crashed, and began anew here.
            _ if info & CONTINUED != 0 => self.open = Some(Open::new(None, left, magic)),
            _ => self.open = None,
        }
        while at < page.len() {
            let mut open = match self.open.take() {
                Some(open) => open,
                None => match read_u32(page, at) {
                    Some(length) if length as usize >= HEADER => {
                        Open::new(Some(Lsn(address + at as u64)), length as usize, magic)
                    }
                    // Behind the last record there are zeros.
                    _ => return ControlFlow::Continue(false),
                },
            };
            at += open.take_bytes(&page[at..], address + at as u64);
            if open.left > 0 {
                self.open = Some(open);
                break;
            }
            at = at.next_multiple_of(8);
            let ends = open.is_switch();
            if let Some(record) = open.to_record() {
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
    fn new(lsn: Option<Lsn>, left: usize, magic: u16) -> Open {
        Open { lsn, left, head: Vec::new(), second: None, magic }
    }

    fn take_bytes(&mut self, bytes: &[u8], at: u64) -> usize {
        let taken = self.left.min(bytes.len());
        if !self.head.is_empty() && self.second.is_none() {
            self.second = Some((self.head.len(), at));
        }
        let mut kept = 0;
        while kept < taken && self.head.len() < self.wanted_bytes() {
            let more = (taken - kept).min(self.wanted_bytes() - self.head.len());
            self.head.extend_from_slice(&bytes[kept..kept + more]);
            kept += more;
        }
        self.left -= taken;
        taken
    }

    /// How many of its first bytes are looked at, as far as they tell.
    fn wanted_bytes(&self) -> usize {
        match self.info() {
            _ if self.head.len() < HEADER => HEADER,
            Some((TABLESPACE, _)) => WHOLE,
            // The subtransactions of a commit, and how many rows a record inserts, are at its end.
            Some((TRANSACTION, info)) if matches!(info & 0x70, 0x00 | 0x20) => WHOLE,
            Some((HEAP2, info)) if info & 0x70 == 0x50 => PAGE,
            Some((TRANSACTION, info)) if matches!(info & 0x70, 0x30 | 0x40) => PREPARED,
            _ => HEAD,
        }
    }

    fn info(&self) -> Option<(u8, u8)> {
        self.lsn.and(Some((*self.head.get(MANAGER)?, *self.head.get(16)?)))
    }

    /// XLOG_SWITCH: the rest of the segment is empty.
    fn is_switch(&self) -> bool {
        self.info().is_some_and(|(manager, info)| manager == XLOG && info & 0xF0 == 0x40)
    }

    fn to_record(&self) -> Option<Record> {
        Some(Record { lsn: self.lsn?, what: self.read_what().unwrap_or(What::Other) })
    }

    fn read_what(&self) -> Option<What> {
        let (manager, info) = self.info()?;
        match (manager, info & 0x70) {
            // XLOG_XACT_COMMIT, _ABORT; with the transaction's number in front of those of its parts.
            (TRANSACTION, 0x00 | 0x20) => self.ended(read_u32(&self.head, 4)?, info),
            (TRANSACTION, 0x30 | 0x40) => self.ended(self.prepared_transaction(info)?, info),
            // XLOG_HEAP_INSERT, _DELETE, _UPDATE, _HOT_UPDATE, and XLOG_HEAP2_MULTI_INSERT (`heapam_xlog.h`).
            (HEAP, 0x00) => self.changed_rows(RowChange::Inserted, 1),
            (HEAP, 0x10) => self.changed_rows(RowChange::Deleted, 1),
            (HEAP, 0x20 | 0x40) => self.changed_rows(RowChange::Updated, 1),
            (HEAP2, 0x50) => self.changed_rows(RowChange::Inserted, self.inserted_rows()),
            // One that is cut off has zeros in the place of its checksum.
            (XLOG, 0x40) if compute_checksum(&self.head)? == read_u32(&self.head, CRC)? => Some(What::Switch),
            (XLOG, 0x70) if info & 0x80 == 0 => {
                Some(What::Point { name: self.restore_point()?, at: self.commit_time()? })
            }
            (TABLESPACE, 0x00) if info & 0xF0 == 0 => self.created_tablespace(),
            (STANDBY, 0x00) if info & 0xF0 == 0 => self.locked_relation(),
            (STANDBY, 0x10) if info & 0xF0 == 0x10 => {
                Some(What::EndedBelow(read_u32(self.main_data()?, 16)?))
            }
            _ => None,
        }
    }

    fn ended(&self, xid: u32, info: u8) -> Option<What> {
        let committed = matches!(info & 0x70, 0x00 | 0x30);
        Some(What::End { xid, at: self.commit_time()?, committed, parts: self.subtransactions(info) })
    }

    /// `xl_xact_subxacts` (`ParseCommitRecord` in `xactdesc.c`), as far as the bytes that are kept reach.
    fn subtransactions(&self, info: u8) -> Vec<u32> {
        let Some(data) = self.main_data() else { return Vec::new() };
        let flags = read_u32(data, 8).filter(|_| info & 0x80 != 0).unwrap_or_default();
        let at = if flags & 1 != 0 { 20 } else { 12 };
        let count = if flags & 2 != 0 { read_u32(data, at).unwrap_or_default() } else { 0 };
        (0..count as usize).map_while(|n| read_u32(data, at + 4 + 4 * n)).collect()
    }

    /// The table is that of the first block, whose header always names it (`XLogRecordAssemble`).
    fn changed_rows(&self, change: RowChange, rows: u64) -> Option<What> {
        let (block, flags) = (*self.head.get(HEADER)?, *self.head.get(HEADER + 1)?);
        // Its end is the file's name, of three numbers, and the block's (`XLogRecordBlockHeader`).
        let at = self.after_block(HEADER)?.checked_sub(16).filter(|_| flags & 0x80 == 0)?;
        let (database, file) = (read_u32(&self.head, at + 4)?, read_u32(&self.head, at + 8)?);
        let xid = read_u32(&self.head, 4)?;
        (block == 0).then_some(What::RowsChanged { xid, database, file, change, rows })
    }

    /// `ntuples` of `xl_heap_multi_insert`, which is the record's own data, at its end; one row at least where the end is
    /// not kept.
    fn inserted_rows(&self) -> u64 {
        let whole = read_u32(&self.head, 0).map(|n| n as usize) == Some(self.head.len());
        let length = self.main_length().filter(|_| whole);
        let at = length.and_then(|length| self.head.len().checked_sub(length)).map(|at| at + 2);
        at.and_then(|at| read_u16(&self.head, at)).map_or(1, u64::from)
    }

    /// The length of the record's own data, by the headers of its blocks and the one of the data behind them.
    fn main_length(&self) -> Option<usize> {
        let mut at = HEADER;
        loop {
            match *self.head.get(at)? {
                255 => return self.head.get(at + 1).map(|n| usize::from(*n)),
                254 => return read_u32(&self.head, at + 1).map(|n| n as usize),
                253 => at += 3,
                252 => at += 5,
                _ => at = self.after_block(at)?,
            }
        }
    }

    /// Where the header of a block ends.
    fn after_block(&self, at: usize) -> Option<usize> {
        let flags = *self.head.get(at + 1)?;
        // An image has the length of its hole behind it where it is compressed and has one; since 15 the bits tell how.
        let compressed = if self.magic >= 0xD110 { 0x1C } else { 0x02 };
        let image = match flags & 0x10 {
            0 => 0,
            _ => {
                let bits = *self.head.get(at + 8)?;
                if bits & 0x01 != 0 && bits & compressed != 0 { 7 } else { 5 }
            }
        };
        let file = if flags & 0x80 == 0 { 12 } else { 0 };
        Some(at + 4 + image + file + 4)
    }

    /// The number that a prepared transaction had, behind what it tells of itself (`ParseCommitRecord` in
    /// `xactdesc.c`).
    fn prepared_transaction(&self, info: u8) -> Option<u32> {
        let data = self.main_data()?;
        let flags = read_u32(data, 8).filter(|_| info & 0x80 != 0)?;
        let flagged = |bit: u32| flags & (1 << bit) != 0;
        let mut at = if flagged(0) { 20 } else { 12 };
        // Lists with their length in front: parts, files, statistics (of another size since 18), invalidations.
        let statistics = if self.magic >= 0xD118 { 16 } else { 12 };
        for (bit, size) in [(1, 4), (2, 12), (8, statistics), (3, 16)] {
            if flagged(bit) {
                at += 4 + size * read_u32(data, at)? as usize;
            }
        }
        read_u32(data, at).filter(|_| flagged(4))
    }

    /// Where the record's own data begins, of one without blocks.
    fn main_data(&self) -> Option<&[u8]> {
        self.head.get(self.data_at()?..)
    }

    fn data_at(&self) -> Option<usize> {
        let mut at = HEADER;
        loop {
            // XLR_BLOCK_ID_ORIGIN, _TOPLEVEL_XID, _DATA_SHORT and _DATA_LONG (`xlogrecord.h`), each with what follows
            // it; smaller numbers are blocks, which these records have none of.
            at += match self.head.get(at)? {
                253 => 3,
                252 => 5,
                255 => return Some(at + 2),
                254 => return Some(at + 5),
                _ => return None,
            };
        }
    }

    /// `xl_tblspc_create_rec`. A record whose checksum does not hold is none: recovery ends before it.
    fn created_tablespace(&self) -> Option<What> {
        let stored = read_u32(&self.head, CRC)?;
        if compute_checksum(&self.head)? != stored {
            return None;
        }
        let (at, data) = (self.data_at()? + 4, self.main_data()?);
        let path = data.get(4..)?.split(|b| *b == 0).next()?;
        let mut changed = self.head.clone();
        // An empty path is what an in-place tablespace has (`create_tablespace_directories`): then replay makes a
        // folder in pg_tblspc, and no link. The checksum covers the path, so it changes too.
        *changed.get_mut(at)? = 0;
        let crc = compute_checksum(&changed)?;
        let in_place = vec![
            Change {
                lsn: self.position_of(CRC)?,
                old: stored.to_ne_bytes().into(),
                new: crc.to_ne_bytes().into(),
            },
            Change { lsn: self.position_of(at)?, old: vec![*self.head.get(at)?], new: vec![0] },
        ];
        let location = String::from_utf8_lossy(path).into_owned();
        Some(What::TablespaceCreated { oid: read_u32(data, 0)?, location, in_place })
    }

    /// The first of `xl_standby_locks`; a server writes one at a time.
    fn locked_relation(&self) -> Option<What> {
        let data = self.main_data()?;
        Some(What::TableLocked {
            xid: read_u32(data, 4)?,
            database: read_u32(data, 8)?,
            table: read_u32(data, 12)?,
        })
    }

    /// Where a byte of the record lies. A page holds more than what is looked at, so there are two at most; the
    /// checksum is not torn, since pages and records are cut at multiples of 8.
    fn position_of(&self, offset: usize) -> Option<Lsn> {
        match self.second {
            Some((first, at)) if offset >= first => Some(Lsn(at + (offset - first) as u64)),
            _ => Some(Lsn(self.lsn?.0 + offset as u64)),
        }
    }

    fn commit_time(&self) -> Option<Timestamp> {
        let since_2000 = i64::from_ne_bytes(self.main_data()?.get(..8)?.try_into().ok()?);
        Timestamp::from_microsecond(since_2000.checked_add(EPOCH)?).ok()
    }

    fn restore_point(&self) -> Option<String> {
        let bytes = self.main_data()?.get(8..72)?;
        let name = bytes.split(|b| *b == 0).next()?;
        Some(String::from_utf8_lossy(name).into_owned())
    }
}

/// Of a whole record: its data first, then its header (`xloginsert.c`).
fn compute_checksum(record: &[u8]) -> Option<u32> {
    let whole = read_u32(record, 0)? as usize == record.len();
    let bytes = [record.get(HEADER..)?, record.get(..CRC)?].concat();
    whole.then(|| crc32c(&bytes))
}

fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn read_u64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
