//! Both sides as sums in buckets: order does not count, every record does, and a difference is found in its bucket.

use super::parts::Parts;
use crate::json::canonical::hash_bytes;
use twox_hash::XxHash3_128;

/// Buckets of one comparison.
pub(crate) const BUCKETS: usize = 1024;

/// The sums of one side.
#[derive(Clone, Debug)]
pub(crate) struct RecordSums {
    buckets: Vec<(u64, u128)>,
}

impl RecordSums {
    pub(crate) fn new() -> RecordSums {
        RecordSums { buckets: vec![(0, 0); BUCKETS] }
    }

    /// Adds a record to the bucket of its key.
    pub(crate) fn add_record(&mut self, bucket: usize, parts: &Parts) {
        let (count, sum) = &mut self.buckets[bucket];
        *count += 1;
        // A sum, not XOR, which would let two equal records vanish.
        *sum = sum.wrapping_add(hash_record(parts));
    }

    pub(crate) fn records(&self) -> u64 {
        self.buckets.iter().map(|(count, _)| count).sum()
    }

    /// The buckets in which the sides differ, with the records of the larger side.
    pub(crate) fn differing(&self, other: &RecordSums) -> Vec<(usize, u64)> {
        let pairs = self.buckets.iter().zip(&other.buckets).enumerate();
        pairs.filter(|(_, (a, b))| a != b).map(|(at, (a, b))| (at, a.0.max(b.0))).collect()
    }
}

/// The bucket of a key; without a key that of the whole record.
pub(crate) fn bucket_of(key: &[usize], parts: &Parts) -> usize {
    // By the key, so that both versions of a record that differs lie in one bucket and are compared with each other.
    let hash = match key {
        [] => hash_bytes(&parts.bytes),
        _ => key.iter().fold(0_u64, |hash, at| hash.rotate_left(7) ^ hash_bytes(parts.part(*at))),
    };
    usize::try_from(hash % BUCKETS as u64).unwrap_or(0)
}

/// 128 bits of a record, its parts kept apart.
pub(crate) fn hash_record(parts: &Parts) -> u128 {
    let ends = parts.ends.iter().fold(0_u64, |hash, end| hash.wrapping_mul(31).wrapping_add(*end as u64));
    XxHash3_128::oneshot_with_seed(ends, &parts.bytes)
}
