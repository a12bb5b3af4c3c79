//! Sums over rows that do not depend on their order: 128-bit hashes, added, for each range of keys.

use super::pair::Pair;
use super::scan::Left;
use super::wire::Wire;
use twox_hash::XxHash3_128;

/// Ranges of one table at most, and rows that a range holds at least.
const MOST: u64 = 4096;
const LEAST: u64 = 512;

/// The 128-bit hash of `bytes`.
pub(crate) fn hash(bytes: &[u8]) -> u128 {
    XxHash3_128::oneshot(bytes)
}

/// How many rows, and their hashes added. A sum, not XOR: two equal rows must not cancel out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) rows: u64,
    pub(crate) sum: u128,
}

impl Cell {
    /// One row more.
    pub(crate) fn add(&mut self, hash: u128) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(hash);
    }

    /// All rows of `other` more.
    pub(crate) fn merge(&mut self, other: Cell) {
        self.rows += other.rows;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

/// Which range a row belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ranges {
    /// Neighbours by number: those whose key is the same but for the last `shift` bits, counted from `first`.
    Numbers { first: i64, shift: u32, count: usize },
    /// Equal shares by the key's hash.
    Keys { count: usize },
    /// Equal shares by the row's hash.
    Rows { count: usize },
}

impl Ranges {
    /// The ranges of `pair`.
    pub(crate) fn of(pair: &Pair) -> Ranges {
        let count = usize::try_from((pair.guess() / LEAST).clamp(1, MOST)).unwrap_or(1);
        match (pair.numbered, pair.bounds) {
            (true, Some((first, last))) => {
                let span = last.abs_diff(first);
                let shift = (0..64).find(|s| span >> s < count as u64).unwrap_or(63);
                Ranges::Numbers { first, shift, count }
            }
            _ if pair.key > 0 => Ranges::Keys { count },
            _ => Ranges::Rows { count },
        }
    }

    /// How many.
    pub(crate) fn count(self) -> usize {
        match self {
            Ranges::Numbers { count, .. } | Ranges::Keys { count } | Ranges::Rows { count } => count,
        }
    }

    /// The range of a row, whose hash is `hash`.
    pub(crate) fn of_row(self, wire: Wire<'_>, hash: u128) -> usize {
        match self {
            Ranges::Numbers { first, shift, count } => {
                let steps = (i128::from(number(wire)) - i128::from(first)) >> shift;
                usize::try_from(steps.max(0)).unwrap_or(usize::MAX).min(count - 1)
            }
            Ranges::Keys { count } => share(self::hash(&wire.bytes[..wire.key]), count),
            Ranges::Rows { count } => share(hash, count),
        }
    }
}

/// Which of `count` equal shares a hash falls into.
pub(crate) fn share(hash: u128, count: usize) -> usize {
    usize::try_from(hash % count as u128).unwrap_or(0)
}

/// The key of a numbered row; 0 when it is NULL.
fn number(wire: Wire<'_>) -> i64 {
    match &wire.bytes[4.min(wire.key)..wire.key] {
        [a, b] => i16::from_be_bytes([*a, *b]).into(),
        four @ [_, _, _, _] => four.first_chunk().map_or(0, |b| i32::from_be_bytes(*b).into()),
        more => more.first_chunk().map_or(0, |b| i64::from_be_bytes(*b)),
    }
}

/// The sums of one side of a table.
#[derive(Clone, Debug)]
pub(crate) struct Sums {
    pub(crate) ranges: Ranges,
    pub(crate) cells: Vec<Cell>,
    /// What the plan left behind.
    pub(crate) left: Left,
}

impl Sums {
    /// Nothing yet.
    pub(crate) fn new(ranges: Ranges) -> Sums {
        Sums { ranges, cells: vec![Cell::default(); ranges.count()], left: Left::default() }
    }

    /// One row more.
    pub(crate) fn add(&mut self, wire: Wire<'_>) {
        let hash = hash(wire.bytes);
        let at = self.ranges.of_row(wire, hash);
        self.cells[at].add(hash);
    }

    /// What another thread found.
    pub(crate) fn merge(&mut self, other: &Sums) {
        self.left.rows += other.left.rows;
        self.left.values += other.left.values;
        self.cells.iter_mut().zip(&other.cells).for_each(|(own, more)| own.merge(*more));
    }

    /// Over all ranges.
    pub(crate) fn total(&self) -> Cell {
        self.cells.iter().fold(Cell::default(), |mut all, cell| {
            all.merge(*cell);
            all
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: i64) -> Vec<u8> {
        [&[0, 0, 0, 8][..], &key.to_be_bytes()].concat()
    }

    #[test]
    fn neighbours_share_a_range_and_strangers_go_to_the_ends() {
        let ranges = Ranges::Numbers { first: -10, shift: 3, count: 4 };
        let of = |key: i64| ranges.of_row(Wire { bytes: &row(key), key: 12 }, 0);
        assert_eq!([-11, -10, -3, -2, 21, 22, i64::MIN, i64::MAX].map(of), [0, 0, 0, 1, 3, 3, 0, 3]);
    }

    #[test]
    fn order_does_not_matter_and_doubles_do() {
        let sums = |keys: &[i64]| {
            let mut sums = Sums::new(Ranges::Rows { count: 2 });
            keys.iter().for_each(|k| sums.add(Wire { bytes: &row(*k), key: 0 }));
            sums.total()
        };
        assert_eq!(sums(&[1, 2, 3]), sums(&[3, 1, 2]));
        assert_ne!(sums(&[1, 1, 2]), sums(&[2, 2, 1]));
        assert_ne!(sums(&[1, 1]), sums(&[]));
    }
}
