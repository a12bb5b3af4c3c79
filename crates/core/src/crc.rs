//! CRC-32C, which PostgreSQL computes over WAL records, control files and the files in a backup's manifest.

use crc_fast::CrcAlgorithm::Crc32Iscsi;

/// CRC-32C of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    narrow(crc_fast::checksum(Crc32Iscsi, bytes))
}

/// The CRC-32C of two stretches together, from that of each and the length of the second.
pub fn crc32c_both(first: u32, second: u32, second_bytes: u64) -> u32 {
    narrow(crc_fast::checksum_combine(Crc32Iscsi, first.into(), second.into(), second_bytes))
}

fn narrow(crc: u64) -> u32 {
    u32::try_from(crc & 0xFFFF_FFFF).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_check_value_of_crc32c() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
    }

    proptest! {
        #[test]
        fn checksums_combine(a in proptest::collection::vec(any::<u8>(), 0..5000), cut in any::<prop::sample::Index>()) {
            let (first, second) = a.split_at(cut.index(a.len() + 1).min(a.len()));
            prop_assert_eq!(crc32c_both(crc32c(first), crc32c(second), second.len() as u64), crc32c(&a));
        }
    }
}
