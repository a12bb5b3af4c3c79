//! The names of files that PostgreSQL archives and asks for (`pgarch.h`, `xlog_internal.h`).

use super::{Segment, Timeline};
use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// A segment as the names of files have it, whatever the size of segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentNo {
    /// The unit of 4 GiB.
    pub unit: u32,
    /// The segment in it.
    pub segment: u32,
}

impl fmt::Display for SegmentNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X}{:08X}", self.unit, self.segment)
    }
}

/// A file of the archive: a whole segment, the broken-off end of a timeline, a timeline's history, or the note that a
/// backup leaves. It sorts by timeline, then by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WalName {
    /// `TTTTTTTTLLLLLLLLSSSSSSSS`: timeline, unit of 4 GiB, segment in it.
    Segment(Timeline, SegmentNo),
    /// `….partial`: the last segment of a timeline that ended by a promotion.
    Partial(Timeline, SegmentNo),
    /// `….OOOOOOOO.backup`: where a backup began, and the offset in that segment.
    Backup(Timeline, SegmentNo, u32),
    /// `TTTTTTTT.history`: where the timeline came from.
    History(Timeline),
}

impl WalName {
    /// The timeline it belongs to.
    pub fn timeline(self) -> Timeline {
        match self {
            WalName::Segment(t, ..)
            | WalName::Partial(t, ..)
            | WalName::Backup(t, ..)
            | WalName::History(t) => t,
        }
    }

    /// The segment in its name; `None` for a history.
    pub fn segment_no(self) -> Option<SegmentNo> {
        match self {
            WalName::Segment(_, no) | WalName::Partial(_, no) | WalName::Backup(_, no, _) => Some(no),
            WalName::History(_) => None,
        }
    }

    /// The segment it names, where segments have `size` bytes; `None` for a history, and for a number that no
    /// segment of this size has.
    pub fn segment(self, size: u64) -> Option<Segment> {
        let (timeline, no) = (self.timeline(), self.segment_no()?);
        let per_unit = (1_u64 << 32).checked_div(size)?;
        (u64::from(no.segment) < per_unit).then(|| Segment {
            timeline,
            number: u64::from(no.unit) * per_unit + u64::from(no.segment),
            size,
        })
    }

    /// Its name below the root of a system in a repository: `wal/<timeline>/<log>/<name>`, and
    /// `wal/<timeline>.history`.
    pub fn path(self) -> String {
        match self {
            WalName::History(_) => format!("wal/{self}"),
            WalName::Segment(t, no) | WalName::Partial(t, no) | WalName::Backup(t, no, _) => {
                format!("wal/{:08X}/{:08X}/{self}", t.0, no.unit)
            }
        }
    }
}

impl From<Segment> for SegmentNo {
    fn from(segment: Segment) -> SegmentNo {
        let per_unit = ((1_u64 << 32) / segment.size).max(1);
        // A position is 64 bits, so the unit of 4 GiB has 32.
        let half = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        SegmentNo { unit: half(segment.number / per_unit), segment: half(segment.number % per_unit) }
    }
}

impl From<Segment> for WalName {
    fn from(segment: Segment) -> WalName {
        WalName::Segment(segment.timeline, SegmentNo::from(segment))
    }
}

impl fmt::Display for WalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WalName::Segment(t, no) => write!(f, "{:08X}{no}", t.0),
            WalName::Partial(t, no) => write!(f, "{:08X}{no}.partial", t.0),
            WalName::Backup(t, no, at) => write!(f, "{:08X}{no}.{at:08X}.backup", t.0),
            WalName::History(t) => write!(f, "{:08X}.history", t.0),
        }
    }
}

impl FromStr for WalName {
    type Err = Error;

    fn from_str(text: &str) -> Result<WalName> {
        parse_name(text).ok_or_else(|| {
            let e = Error::usage(format!("{text:?} is not the name of a file of the WAL"));
            e.hint("PostgreSQL's %f and %p name one: 24 digits, or a .history, .partial or .backup file")
        })
    }
}

fn parse_name(text: &str) -> Option<WalName> {
    let (stem, ending) = text.split_once('.').map_or((text, ""), |(s, e)| (s, e));
    if ending == "history" {
        return Some(WalName::History(Timeline(parse_hex(stem)?)));
    }
    let t = Timeline(parse_hex(stem.get(..8)?)?);
    let no = SegmentNo { unit: parse_hex(stem.get(8..16)?)?, segment: parse_hex(stem.get(16..)?)? };
    match ending {
        "" if !text.contains('.') => Some(WalName::Segment(t, no)),
        "partial" => Some(WalName::Partial(t, no)),
        other => Some(WalName::Backup(t, no, parse_hex(other.strip_suffix(".backup")?)?)),
    }
}

/// Eight digits, upper case only: what PostgreSQL writes, so that one file has one name.
fn parse_hex(text: &str) -> Option<u32> {
    let plain = text.len() == 8 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
    plain.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_there_and_back() {
        let places = [
            ("0000000A00000001000000FF", "wal/0000000A/00000001/0000000A00000001000000FF"),
            ("000000020000000300000004.partial", "wal/00000002/00000003/000000020000000300000004.partial"),
            (
                "000000020000000300000004.000000D8.backup",
                "wal/00000002/00000003/000000020000000300000004.000000D8.backup",
            ),
            ("0000000B.history", "wal/0000000B.history"),
        ];
        for (text, path) in places {
            let name: WalName = text.parse().expect(text);
            assert_eq!((name.to_string().as_str(), name.path().as_str()), (text, path));
        }
    }

    #[test]
    fn what_is_none() {
        let bad = [
            "",
            "RECOVERYXLOG",
            "00000001000000000000000",
            "0000000100000000000000011",
            "00000001000000000000000a",
            "000000010000000000000001.",
            "000000010000000000000001.part",
            "000000010000000000000001.1.backup",
            "1.history",
            "../000000010000000000000001",
            "000000010000000000000001.partial.gz",
        ];
        for text in bad {
            assert!(text.parse::<WalName>().is_err(), "{text}");
        }
    }

    #[test]
    fn segments_of_any_size() {
        let name: WalName = "0000000A0000000100000FF0".parse().expect("a name");
        let segment = name.segment(1 << 20).expect("a segment");
        assert_eq!((segment.start(), WalName::from(segment)), (super::super::Lsn(0x1_FF00_0000), name));
        assert_eq!(name.segment(16 << 20), None, "16 MiB segments end at FF");
    }
}
