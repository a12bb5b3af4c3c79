//! What a page's header has, and whether the page is as PostgreSQL wrote it.

pub(super) use page_checksum::PAGE;
use page_checksum::page_checksum;
use toban_core::wal::Lsn;

/// Pages of a segment of a relation (1 GiB).
pub(super) const SEGMENT_PAGES: u32 = 131_072;

/// What is wrong with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageFault {
    /// Its checksum is not the one it carries.
    Checksum,
    /// Its header is zero, as in an empty page, and it is not empty.
    Header,
    /// Its header names a last change that is later than the newest one of the server.
    Future,
}

impl std::fmt::Display for PageFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            PageFault::Checksum => "wrong checksum",
            PageFault::Header => "zeroed header",
            PageFault::Future => "LSN of the future",
        })
    }
}

/// The position of the last change, by the header of `page`.
pub(super) fn page_lsn(page: &[u8; PAGE]) -> Lsn {
    let half =
        |at: usize| u64::from(u32::from_ne_bytes([page[at], page[at + 1], page[at + 2], page[at + 3]]));
    Lsn(half(0) << 32 | half(4))
}

/// Judges a page as it was read; `newest` is a position that no change was beyond when it was read.
pub(super) fn find_fault(page: &[u8; PAGE], block: u32, newest: Lsn) -> Option<PageFault> {
    let upper = u16::from_ne_bytes([page[14], page[15]]);
    // As PageIsVerified in bufpage.c does: a page of zeros is new, and carries no checksum yet.
    if upper == 0 {
        return (*page != [0; PAGE]).then_some(PageFault::Header);
    }
    let stored = u16::from_ne_bytes([page[8], page[9]]);
    if page_checksum(page, block) != stored {
        return Some(PageFault::Checksum);
    }
    (page_lsn(page) > newest).then_some(PageFault::Future)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page with the right checksum for `block`.
    fn page(block: u32, lsn: u32) -> [u8; PAGE] {
        let mut page = [0x5A; PAGE];
        page[0..4].fill(0);
        page[4..8].copy_from_slice(&lsn.to_ne_bytes());
        let sum = page_checksum(&page, block);
        page[8..10].copy_from_slice(&sum.to_ne_bytes());
        page
    }

    #[test]
    fn every_kind_of_damage_is_told_apart() {
        let now = Lsn(1000);
        assert_eq!(find_fault(&page(7, 999), 7, now), None);
        assert_eq!(find_fault(&page(7, 1001), 7, now), Some(PageFault::Future));
        assert_eq!(find_fault(&page(7, 999), 8, now), Some(PageFault::Checksum), "a page in another's place");
        let mut bad = page(7, 999);
        bad[4000] ^= 1;
        assert_eq!(find_fault(&bad, 7, now), Some(PageFault::Checksum));
        bad[..24].fill(0);
        assert_eq!(find_fault(&bad, 7, now), Some(PageFault::Header));
        assert_eq!(find_fault(&[0; PAGE], 7, now), None, "a new page");
    }
}
