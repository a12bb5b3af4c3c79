//! The checksum of PostgreSQL's pages (src/include/storage/checksum_impl.h), in a crate of its own: it goes over every byte of
//! a cluster and is built for speed, what calls it for size.

/// Bytes of a page.
pub const PAGE: usize = 8192;

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
pub fn page_checksum(page: &[u8; PAGE], block: u32) -> u16 {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_counts_but_those_of_the_checksum_itself() {
        let page: [u8; PAGE] = std::array::from_fn(|i| (i / 7 % 251) as u8);
        let sum = page_checksum(&page, 7);
        assert!(sum != 0 && sum != page_checksum(&page, 8));
        for at in 0..PAGE {
            let mut other = page;
            other[at] ^= 1;
            assert_eq!(page_checksum(&other, 7) == sum, (8..10).contains(&at), "byte {at}");
        }
    }
}
