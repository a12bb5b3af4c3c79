//! The first pass: both sides read once, and a sum for each range of keys that does not depend on the order of the rows:
//! 128-bit hashes, added.

use super::scan::{self, LeftOut, PartScan, ScanPiece, SidePieces, Sides};
use super::wire::RowBytes;
use crate::verify::pair::TablePair;
use crate::verify::target::release_locks_after;
use std::sync::Mutex;
use toban_core::Result;
use toban_core::progress::Progress;
use toban_core::sync::{into_inner, lock};
use twox_hash::XxHash3_128;

/// Ranges of one table at most, and rows that a range holds at least.
const MOST: u64 = 4096;
const LEAST: u64 = 512;

/// The 128-bit hash of `bytes`.
pub(crate) fn hash_bytes(bytes: &[u8]) -> u128 {
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
    pub(crate) fn of(pair: &TablePair) -> Ranges {
        // Memory for a sum a range and not for each row; and a range so small that to read it again costs little.
        let count = usize::try_from((pair.guess_rows() / LEAST).clamp(1, MOST)).unwrap_or(1);
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
    pub(crate) fn range_count(self) -> usize {
        match self {
            Ranges::Numbers { count, .. } | Ranges::Keys { count } | Ranges::Rows { count } => count,
        }
    }

    /// The range of a row, whose hash is `hash`.
    pub(crate) fn of_row(self, wire: RowBytes<'_>, hash: u128) -> usize {
        match self {
            Ranges::Numbers { first, shift, count } => {
                let steps = (i128::from(key_number(wire)) - i128::from(first)) >> shift;
                usize::try_from(steps.max(0)).unwrap_or(usize::MAX).min(count - 1)
            }
            Ranges::Keys { count } => share_of(self::hash_bytes(&wire.bytes[..wire.key]), count),
            Ranges::Rows { count } => share_of(hash, count),
        }
    }
}

/// Which of `count` equal shares a hash falls into.
pub(crate) fn share_of(hash: u128, count: usize) -> usize {
    usize::try_from(hash % count as u128).unwrap_or(0)
}

/// The key of a numbered row; 0 when it is NULL.
fn key_number(wire: RowBytes<'_>) -> i64 {
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
    /// What the plan left out.
    pub(crate) left: LeftOut,
}

impl Sums {
    /// Nothing yet.
    pub(crate) fn new(ranges: Ranges) -> Sums {
        Sums { ranges, cells: vec![Cell::default(); ranges.range_count()], left: LeftOut::default() }
    }

    /// One row more.
    pub(crate) fn add(&mut self, wire: RowBytes<'_>) {
        let hash = hash_bytes(wire.bytes);
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
    pub(crate) fn total_sum(&self) -> Cell {
        self.cells.iter().fold(Cell::default(), |mut all, cell| {
            all.merge(*cell);
            all
        })
    }
}

/// Both sides of one table.
pub(crate) struct SideSums {
    pub(crate) source: Sums,
    pub(crate) target: Sums,
}

impl SideSums {
    /// For each range whether it differs.
    pub(crate) fn differing_ranges(&self) -> Vec<bool> {
        self.source.cells.iter().zip(&self.target.cells).map(|(a, b)| a != b).collect()
    }

    fn new(pair: &TablePair) -> SideSums {
        let ranges = Ranges::of(pair);
        SideSums { source: Sums::new(ranges), target: Sums::new(ranges) }
    }
}

/// Sums up every pair; one for each, in their order.
pub(crate) fn sum_tables(sides: &mut Sides<'_>, pairs: &[TablePair], quiet: bool) -> Result<Vec<SideSums>> {
    let found: Vec<Mutex<SideSums>> = pairs.iter().map(|p| Mutex::new(SideSums::new(p))).collect();
    let all = |parts: fn(&TablePair) -> Vec<scan::TablePart>| {
        let of =
            |(pair, p): (usize, &TablePair)| parts(p).into_iter().map(move |part| ScanPiece { pair, part });
        let mut pieces: Vec<ScanPiece> =
            pairs.iter().enumerate().flat_map(|(i, p)| of((i, p)).collect::<Vec<_>>()).collect();
        // The largest first: otherwise one thread ends long after the others.
        pieces.sort_by_key(|piece| std::cmp::Reverse(pairs[piece.pair].blocks.unwrap_or(0)));
        pieces
    };
    let (of_source, of_target) = (all(scan::source_parts), all(scan::target_parts));
    let progress = Progress::bytes("verify", None, quiet);
    let source = |reader: &rusqlite::Connection, piece: ScanPiece| {
        let pair = &pairs[piece.pair];
        let (mut own, mut bytes) = (Sums::new(Ranges::of(pair)), 0);
        let left = scan::scan_source(
            reader,
            pair,
            &PartScan { part: piece.part, located: false },
            &mut |wire, _| {
                bytes += wire.bytes.len() as u64;
                own.add(wire);
                Ok(())
            },
        )?;
        own.left = left;
        progress.add(bytes);
        lock(&found[piece.pair]).source.merge(&own);
        Ok(())
    };
    let target = |client: &mut postgres::Client, piece: ScanPiece| {
        let pair = &pairs[piece.pair];
        let mut own = Sums::new(Ranges::of(pair));
        release_locks_after(client, |client| {
            scan::scan_target(client, pair, &PartScan { part: piece.part, located: false }, &mut |wire, _| {
                own.add(wire);
                Ok(())
            })
        })?;
        lock(&found[piece.pair]).target.merge(&own);
        Ok(())
    };
    let pieces = SidePieces { source: &of_source, target: &of_target };
    scan::sweep_sides(sides, pieces, &source, &target)?;
    Ok(found.into_iter().map(into_inner).collect())
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
        let of = |key: i64| ranges.of_row(RowBytes { bytes: &row(key), key: 12 }, 0);
        assert_eq!([-11, -10, -3, -2, 21, 22, i64::MIN, i64::MAX].map(of), [0, 0, 0, 1, 3, 3, 0, 3]);
    }

    #[test]
    fn order_does_not_matter_and_doubles_do() {
        let sums = |keys: &[i64]| {
            let mut sums = Sums::new(Ranges::Rows { count: 2 });
            keys.iter().for_each(|k| sums.add(RowBytes { bytes: &row(*k), key: 0 }));
            sums.total_sum()
        };
        assert_eq!(sums(&[1, 2, 3]), sums(&[3, 1, 2]));
        assert_ne!(sums(&[1, 1, 2]), sums(&[2, 2, 1]));
        assert_ne!(sums(&[1, 1]), sums(&[]));
    }
}
