//! wtmp(5): records of logins, read forwards. last(1) reads backwards, and one stray byte at the end makes it print
//! nothing at all.

use std::io::{self, Read};

/// The two layouts: of machines that also run 32-bit programs, and of those that do not (aarch64, riscv64).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WtmpLayout {
    Short,
    Long,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WtmpRecord {
    pub(crate) kind: u16,
    pub(crate) line: String,
    pub(crate) user: String,
    pub(crate) host: String,
    pub(crate) seconds: i64,
}

/// How a file was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WtmpSummary {
    pub(crate) records: u64,
    /// Bytes that are no record.
    pub(crate) damaged: u64,
}

/// RUN_LVL, BOOT_TIME and USER_PROCESS of utmp(5).
pub(crate) const RUN_LEVEL: u16 = 1;
pub(crate) const BOOT: u16 = 2;
pub(crate) const USER: u16 = 7;
const LAST_KIND: u16 = 9;

impl WtmpLayout {
    fn size(self) -> usize {
        if self == WtmpLayout::Short { 384 } else { 400 }
    }

    fn parse(self, bytes: &[u8]) -> Option<WtmpRecord> {
        let text = |from: usize, length: usize| {
            let field = bytes.get(from..from + length)?;
            // Not ended by a NUL when it is full.
            let end = field.iter().position(|b| *b == 0).unwrap_or(length);
            Some(String::from_utf8_lossy(&field[..end]).into_owned())
        };
        let seconds = match self {
            WtmpLayout::Short => i64::from(i32::from_le_bytes(bytes.get(340..344)?.try_into().ok()?)),
            WtmpLayout::Long => i64::from_le_bytes(bytes.get(344..352)?.try_into().ok()?),
        };
        let kind = u16::from_le_bytes(bytes.get(..2)?.try_into().ok()?);
        // Bytes 2 and 3 are padding; the line, the user and the host are texts that end in zeros. A record without any
        // of it is a hole, one with other bytes there is none.
        let plain =
            bytes[2..4] == [0, 0] && kind <= LAST_KIND && is_text(bytes, 8, 32) && is_text(bytes, 44, 32);
        (plain && (kind != 0 || seconds != 0)).then_some(())?;
        Some(WtmpRecord { kind, line: text(8, 32)?, user: text(44, 32)?, host: text(76, 256)?, seconds })
    }
}

fn is_text(bytes: &[u8], from: usize, length: usize) -> bool {
    let field = &bytes[from..from + length];
    let end = field.iter().position(|b| *b == 0).unwrap_or(length);
    field[..end].iter().all(|b| *b >= 0x20) && field[end..].iter().all(|b| *b == 0)
}

/// Calls `each` for every record; what is no record is passed over by single bytes until one fits.
///
/// # Errors
/// Those of reading.
pub(crate) fn read_wtmp(file: &mut dyn Read, each: &mut dyn FnMut(WtmpRecord)) -> io::Result<WtmpSummary> {
    let mut summary = WtmpSummary::default();
    let (mut buffer, mut chunk) = (Vec::new(), vec![0_u8; 1 << 16]);
    let mut layout = None;
    loop {
        let n = file.read(&mut chunk)?;
        buffer.extend_from_slice(&chunk[..n]);
        let layout = *layout.get_or_insert_with(|| guess_layout(&buffer));
        let used = take_records(&buffer, layout, &mut summary, each);
        buffer.drain(..used);
        if n == 0 {
            summary.damaged += buffer.len() as u64;
            return Ok(summary);
        }
    }
}

/// How many bytes were used up.
fn take_records(
    buffer: &[u8],
    layout: WtmpLayout,
    summary: &mut WtmpSummary,
    each: &mut dyn FnMut(WtmpRecord),
) -> usize {
    let mut at = 0;
    while at + layout.size() <= buffer.len() {
        match layout.parse(&buffer[at..at + layout.size()]) {
            Some(record) => {
                summary.records += 1;
                each(record);
                at += layout.size();
            }
            // A hole of zeros is a whole number of records that were never written: its length says nothing wrong of
            // what follows.
            None if buffer[at..at + layout.size()].iter().all(|b| *b == 0) => {
                summary.damaged += layout.size() as u64;
                at += layout.size();
            }
            None => {
                summary.damaged += 1;
                at += 1;
            }
        }
    }
    at
}

/// The layout by which more of the first records can be read.
fn guess_layout(buffer: &[u8]) -> WtmpLayout {
    let fits = |layout: WtmpLayout| {
        let records = buffer.chunks_exact(layout.size()).take(16);
        let seen: Vec<bool> = records.map(|r| layout.parse(r).is_some_and(|r| r.seconds > 0)).collect();
        seen.iter().filter(|s| **s).count()
    };
    if fits(WtmpLayout::Long) > fits(WtmpLayout::Short) { WtmpLayout::Long } else { WtmpLayout::Short }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(layout: WtmpLayout, user: &str, seconds: i64) -> Vec<u8> {
        let mut bytes = vec![0_u8; layout.size()];
        bytes[0] = 7;
        bytes[8..13].copy_from_slice(b"pts/1");
        bytes[44..44 + user.len()].copy_from_slice(user.as_bytes());
        bytes[76..84].copy_from_slice(b"10.0.0.7");
        match layout {
            WtmpLayout::Short => {
                bytes[340..344].copy_from_slice(&i32::try_from(seconds).expect("32 bits").to_le_bytes());
            }
            WtmpLayout::Long => bytes[344..352].copy_from_slice(&seconds.to_le_bytes()),
        }
        bytes
    }

    fn read(bytes: &[u8]) -> (Vec<WtmpRecord>, WtmpSummary) {
        let mut records = Vec::new();
        let summary = read_wtmp(&mut &bytes[..], &mut |r| records.push(r)).expect("read");
        (records, summary)
    }

    #[test]
    fn both_layouts_give_the_same_records() {
        let of =
            |layout| -> Vec<u8> { (0..5).flat_map(|i| record(layout, "anna", 1_790_000_000 + i)).collect() };
        let (short, whole) = read(&of(WtmpLayout::Short));
        assert_eq!((short.len(), whole.damaged), (5, 0));
        assert_eq!(read(&of(WtmpLayout::Long)), (short, whole));
    }

    #[test]
    fn strings_may_be_full() {
        let name = "x".repeat(32);
        let (records, _) = read(&record(WtmpLayout::Short, &name, 1));
        assert_eq!(records[0].user, name);
    }

    #[test]
    fn damage_costs_nothing_but_itself() {
        let whole: Vec<u8> =
            (0..3).flat_map(|i| record(WtmpLayout::Short, "anna", 1_790_000_000 + i)).collect();
        for (bytes, damaged) in [
            ([&whole[..], &[7; 374][..]].concat(), 374),
            ([&b"x"[..], &whole].concat(), 1),
            ([&whole[..768], &[0; 384], &whole[768..]].concat(), 384),
            (whole.clone(), 0),
        ] {
            let (records, summary) = read(&bytes);
            assert_eq!((records.len(), summary.damaged), (3, damaged));
        }
        assert_eq!(read(&[]).1, WtmpSummary::default());
    }

    proptest! {
        #[test]
        fn no_bytes_are_lost_or_counted_twice(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
            let (records, summary) = read(&bytes);
            prop_assert_eq!(records.len() as u64, summary.records);
            prop_assert!(summary.damaged <= bytes.len() as u64);
        }
    }
}
