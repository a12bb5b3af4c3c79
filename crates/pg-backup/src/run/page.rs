//! Page checksums, PostgreSQL's own (src/include/storage/checksum_impl.h), and what a page's header has.

use toban_core::wal::Lsn;

/// Bytes of a page.
pub(super) const PAGE: usize = 8192;
/// Pages of a segment of a relation (1 GiB).
pub(super) const SEGMENT_PAGES: u32 = 131_072;

const BASE: [u32; 32] = [
    0x5B1F_36E9,
    0xB852_5960,
    0x02AB_50AA,
    0x1DE6_6D2A,
    0x79FF_467A,
    0x9BB9_F8A3,
    0x217E_7CD2,
    0x83E1_3D2C,
    0xF8D4_474F,
    0xE39E_B970,
    0x42C6_AE16,
    0x9932_16FA,
    0x7B09_3B5D,
    0x98DA_FF3C,
    0xF718_902A,
    0x0B1C_9CDB,
    0xE58F_764B,
    0x1876_36BC,
    0x5D7B_3BB1,
    0xE73D_E7DE,
    0x92BE_C979,
    0xCCA6_C0B2,
    0x304A_0979,
    0x85AA_43D4,
    0x7831_25BB,
    0x6CA8_EAA2,
    0xE407_EAC6,
    0x4B5C_FC3E,
    0x9FBF_8C76,
    0x15CA_20BE,
    0xF2CA_9FD3,
    0x959B_D756,
];

/// The checksum that belongs into `page`, whose number in its relation is `block`.
pub(super) fn page_checksum(page: &[u8; PAGE], block: u32) -> u16 {
    let mut sums = BASE;
    let (rows, _) = page.as_chunks::<128>();
    for (n, row) in rows.iter().enumerate() {
        let mut words = [0; 32];
        for (word, bytes) in words.iter_mut().zip(row.as_chunks::<4>().0) {
            *word = u32::from_ne_bytes(*bytes);
        }
        if n == 0 {
            // pd_checksum itself, the lower half of the third word on this endianness, counts as zero.
            words[2] &= u32::from_ne_bytes([0, 0, 0xFF, 0xFF]);
        }
        mix_words(&mut sums, &words);
    }
    mix_words(&mut sums, &[0; 32]);
    mix_words(&mut sums, &[0; 32]);
    let sum = sums.iter().fold(0, |all, s| all ^ s) ^ block;
    u16::try_from(sum % 65535 + 1).unwrap_or_default()
}

#[inline(always)]
fn mix_words(sums: &mut [u32; 32], words: &[u32; 32]) {
    for (sum, word) in sums.iter_mut().zip(words) {
        let mixed = *sum ^ word;
        *sum = mixed.wrapping_mul(16_777_619) ^ (mixed >> 17);
    }
}

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
        return page.iter().any(|b| *b != 0).then_some(PageFault::Header);
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
