//! The long header of a segment's first page (`XLogLongPageHeaderData` in `access/xlog_internal.h`).

use super::{Lsn, Segment, Timeline};
use crate::error::{Error, Result};

/// What the first page of a segment says of itself. The numbers are in the byte order of the server's machine, which
/// must be that of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The WAL's version, one for each major.
    pub magic: u16,
    /// The timeline that wrote it.
    pub timeline: Timeline,
    /// Where the page lies.
    pub address: Lsn,
    /// The system that wrote it.
    pub system: u64,
    /// Bytes of each segment.
    pub segment_size: u64,
}

/// The flag that the header is the long one.
const LONG: u16 = 0x0002;

impl Header {
    /// Bytes that a reader needs of a segment.
    pub const BYTES: usize = 40;
    /// (magic, major) of the versions that this program knows.
    const MAJORS: [(u16, u32); 5] = [(0xD10D, 14), (0xD110, 15), (0xD113, 16), (0xD116, 17), (0xD118, 18)];

    /// Reads it.
    ///
    /// # Errors
    /// Corrupt when `page` does not begin with the long header of a WAL page.
    pub fn read_header(page: &[u8]) -> Result<Header> {
        Header::parse_fields(page)
            .ok_or_else(|| Error::corrupt("it does not begin with the header of a WAL segment"))
    }

    fn parse_fields(page: &[u8]) -> Option<Header> {
        let short = |at: usize| Some(u16::from_ne_bytes(page.get(at..at + 2)?.try_into().ok()?));
        let int = |at: usize| Some(u32::from_ne_bytes(page.get(at..at + 4)?.try_into().ok()?));
        let long = |at: usize| Some(u64::from_ne_bytes(page.get(at..at + 8)?.try_into().ok()?));
        let (magic, info) = (short(0)?, short(2)?);
        let (segment_size, block_size) = (u64::from(int(32)?), int(36)?);
        let sized = segment_size.is_power_of_two() && (1 << 20..=1 << 30).contains(&segment_size);
        // Every version's XLOG_PAGE_MAGIC begins with 0xD1; read in the wrong byte order it does not, so a server of
        // another architecture is refused here. Sizes are those that initdb takes (`--wal-segsize`).
        let plausible = magic >> 8 == 0xD1 && info & LONG != 0 && sized && block_size.is_power_of_two();
        plausible.then_some(Header {
            magic,
            timeline: Timeline(int(4)?),
            address: Lsn(long(8)?),
            system: long(24)?,
            segment_size,
        })
    }

    /// PostgreSQL's major, when this program knows it.
    pub fn major(&self) -> Option<u32> {
        Header::MAJORS.iter().find(|(magic, _)| *magic == self.magic).map(|(_, major)| *major)
    }

    /// Whether it is the header of `segment`: timeline, position and size.
    ///
    /// # Errors
    /// Corrupt, with what does not fit.
    pub fn check_segment(&self, segment: &Segment) -> Result<()> {
        let name = segment.name();
        if self.segment_size != segment.size {
            let (there, wanted) = (self.segment_size, segment.size);
            return Err(Error::corrupt(format!("{name} is of segments of {there} bytes, not {wanted}")));
        }
        if self.address != segment.start() {
            let (there, wanted) = (self.address, segment.start());
            return Err(Error::corrupt(format!("{name} holds the WAL at {there}, not at {wanted}")));
        }
        // After a promotion the server copies the old timeline's pages into the new one's first segment.
        if self.timeline > segment.timeline {
            let there = self.timeline;
            return Err(Error::corrupt(format!("{name} was written by timeline {there}")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(magic: u16, timeline: u32, address: u64, size: u32) -> Vec<u8> {
        let mut page = Vec::new();
        page.extend(magic.to_ne_bytes());
        page.extend(2_u16.to_ne_bytes());
        page.extend(timeline.to_ne_bytes());
        page.extend(address.to_ne_bytes());
        page.extend([0; 8]);
        page.extend(7_u64.to_ne_bytes());
        page.extend(size.to_ne_bytes());
        page.extend(8192_u32.to_ne_bytes());
        page
    }

    #[test]
    fn a_header_fits_its_segment_or_says_why_not() {
        let segment = Segment::holding_lsn(Lsn(5 << 24), Timeline(3), 16 << 20);
        let said = |page: &[u8]| match Header::read_header(page).and_then(|h| h.check_segment(&segment)) {
            Ok(()) => String::from("fits"),
            Err(e) => e.chain(),
        };
        assert_eq!(said(&page(0xD110, 3, 5 << 24, 16 << 20)), "fits");
        assert_eq!(said(&page(0xD110, 2, 5 << 24, 16 << 20)), "fits", "the first segment after a promotion");
        let cases: [(Vec<u8>, &str); 6] = [
            (page(0xD110, 4, 5 << 24, 16 << 20), "timeline 4"),
            (page(0xD110, 3, 6 << 24, 16 << 20), "holds the WAL at 0/6000000"),
            (page(0xD110, 3, 5 << 24, 1 << 20), "segments of 1048576 bytes"),
            (page(0xD110, 3, 5 << 24, 3 << 20), "does not begin with"),
            (page(0x1234, 3, 5 << 24, 16 << 20), "does not begin with"),
            (vec![0; 40], "does not begin with"),
        ];
        for (page, words) in cases {
            assert!(said(&page).contains(words), "{} has no {words:?}", said(&page));
        }
        assert!(Header::read_header(&page(0xD110, 3, 0, 1 << 24)[..39]).is_err(), "too short");
        assert_eq!(Header::read_header(&page(0xD118, 1, 0, 1 << 24)).expect("a header").major(), Some(18));
    }
}
