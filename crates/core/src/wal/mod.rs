//! Positions in the write-ahead log, timelines and segments, with the names PostgreSQL gives them.

mod change;
mod ending;
mod header;
mod history;
mod name;
mod records;

pub use change::{Change, apply_changes, read_changes, write_changes};
pub use ending::Ending;
pub use header::Header;
pub use history::{History, Switch};
pub use name::{SegmentNo, WalName};
pub use records::{Record, Records, RowChange, What};

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A position in the write-ahead log; text is `16/B374D848`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Lsn(pub u64);

impl Lsn {
    /// The position of the byte before.
    #[must_use]
    pub fn before(self) -> Lsn {
        Lsn(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl FromStr for Lsn {
    type Err = Error;

    fn from_str(text: &str) -> Result<Lsn> {
        let half = |t: &str| (t.len() <= 8).then(|| u32::from_str_radix(t, 16).ok()).flatten();
        let halves = text.split_once('/').and_then(|(high, low)| Some((half(high)?, half(low)?)));
        let (high, low) =
            halves.ok_or_else(|| Error::usage(format!("{text:?} is not a position in the WAL")))?;
        Ok(Lsn(u64::from(high) << 32 | u64::from(low)))
    }
}

impl TryFrom<String> for Lsn {
    type Error = Error;

    fn try_from(text: String) -> Result<Lsn> {
        text.parse()
    }
}

impl From<Lsn> for String {
    fn from(lsn: Lsn) -> String {
        lsn.to_string()
    }
}

/// A timeline of a cluster's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timeline(pub u32);

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One file of the write-ahead log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Segment {
    /// The timeline that wrote it.
    pub timeline: Timeline,
    /// How many segments lie before it.
    pub number: u64,
    /// Bytes of each segment of this cluster (`wal_segment_size`).
    pub size: u64,
}

impl Segment {
    /// The segment that holds the byte at `lsn`.
    pub fn holding_lsn(lsn: Lsn, timeline: Timeline, size: u64) -> Segment {
        Segment { timeline, number: lsn.0 / size.max(1), size: size.max(1) }
    }

    /// The position of its first byte.
    pub fn start(&self) -> Lsn {
        Lsn(self.number * self.size)
    }

    /// The position behind its last byte.
    pub fn end(&self) -> Lsn {
        Lsn((self.number + 1) * self.size)
    }

    /// The one after it on the same timeline.
    #[must_use]
    pub fn next(&self) -> Segment {
        Segment { number: self.number + 1, ..*self }
    }

    /// Its file's name: timeline, then the number in units of 4 GiB and the rest, eight digits each.
    pub fn name(&self) -> String {
        let per_log = (1 << 32) / self.size;
        format!("{:08X}{:08X}{:08X}", self.timeline.0, self.number / per_log, self.number % per_log)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_as_postgresql_prints_them() {
        let lsn: Lsn = "16/B374D848".parse().expect("a position");
        assert_eq!((lsn.0, lsn.to_string()), (0x16_B374_D848, "16/B374D848".into()));
        // PostgreSQL 19 pads the second half.
        assert_eq!("0/0000002A".parse::<Lsn>().expect("a position").to_string(), "0/2A");
        for bad in ["", "1", "1/", "1/123456789", "x/1"] {
            assert!(bad.parse::<Lsn>().is_err(), "{bad}");
        }
    }

    #[test]
    fn segments_of_any_size() {
        let name = |lsn: &str, size: u64| {
            Segment::holding_lsn(lsn.parse().expect("a position"), Timeline(10), size).name()
        };
        assert_eq!(name("1/FF000000", 16 << 20), "0000000A00000001000000FF");
        assert_eq!(name("1/FF000000", 1 << 20), "0000000A0000000100000FF0");
        assert_eq!(name("1/FF000000", 1 << 30), "0000000A0000000100000003");
        let last = Segment::holding_lsn(Lsn(0x1_FFFF_FFFF), Timeline(1), 16 << 20);
        assert_eq!((last.end(), last.next().name()), (Lsn(2 << 32), "000000010000000200000000".into()));
    }
}
