//! How a body is cut into parts.

use std::io::{self, Read};

/// A body of less is one PUT: also a whole WAL segment that nothing compresses, because the end of a multipart
/// upload is not atomic everywhere.
pub(super) const SINGLE: u64 = 17 << 20;

/// Size of the part that begins at `offset`, at least the 5 MiB that S3 wants. S3 takes 10,000 parts: growing by a
/// 1,650th of what was sent, they reach 5 TiB, and the three parts that are in memory at a time stay small (24 MiB;
/// at 100 GiB about 200 MiB).
pub(super) fn size_at(offset: u64) -> u64 {
    (8 << 20) + offset / 1650
}

/// The next `size` bytes of `body`, fewer only at its end.
pub(super) fn read_part(body: &mut dyn Read, size: u64) -> io::Result<Vec<u8>> {
    let mut part = Vec::with_capacity(usize::try_from(size).unwrap_or(usize::MAX));
    body.take(size).read_to_end(&mut part)?;
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_parts_reach_five_tebibytes() {
        let total = (1..10_000).fold(SINGLE, |offset, _| offset + size_at(offset));
        assert!(total >= 5 << 40, "{total}");
        assert!(size_at(5 << 40) < 5 << 30, "a part of more than S3's 5 GiB");
    }
}
