//! The first pass: both sides read once, a sum for each range of keys.

use super::pair::Pair;
use super::scan::{self, Piece, Sides};
use super::sums::{Ranges, Sums};
use super::target::unlocked;
use std::sync::Mutex;
use toban_core::Result;
use toban_core::progress::Progress;
use toban_core::sync::{into_inner, lock};

/// Both sides of one table.
pub(crate) struct Both {
    pub(crate) source: Sums,
    pub(crate) target: Sums,
}

impl Both {
    /// For each range whether it differs.
    pub(crate) fn differing(&self) -> Vec<bool> {
        self.source.cells.iter().zip(&self.target.cells).map(|(a, b)| a != b).collect()
    }

    fn new(pair: &Pair) -> Both {
        let ranges = Ranges::of(pair);
        Both { source: Sums::new(ranges), target: Sums::new(ranges) }
    }
}

/// Sums up every pair; one for each, in their order.
///
/// # Errors
/// Those of either side.
pub(crate) fn sums(sides: &mut Sides<'_>, pairs: &[Pair], quiet: bool) -> Result<Vec<Both>> {
    let found: Vec<Mutex<Both>> = pairs.iter().map(|p| Mutex::new(Both::new(p))).collect();
    let all = |parts: fn(&Pair) -> Vec<scan::Part>| {
        let of = |(pair, p): (usize, &Pair)| parts(p).into_iter().map(move |part| Piece { pair, part });
        let mut pieces: Vec<Piece> =
            pairs.iter().enumerate().flat_map(|(i, p)| of((i, p)).collect::<Vec<_>>()).collect();
        // The largest first: otherwise one thread ends long after the others.
        pieces.sort_by_key(|piece| std::cmp::Reverse(pairs[piece.pair].blocks.unwrap_or(0)));
        pieces
    };
    let pieces = (all(scan::source_parts), all(scan::target_parts));
    let progress = Progress::bytes("verify", None, quiet);
    let source = |reader: &rusqlite::Connection, piece: Piece| {
        let pair = &pairs[piece.pair];
        let (mut own, mut bytes) = (Sums::new(Ranges::of(pair)), 0);
        let left = scan::source(reader, pair, (piece.part, false), &mut |wire, _| {
            bytes += wire.bytes.len() as u64;
            own.add(wire);
            Ok(())
        })?;
        own.left = left;
        progress.add(bytes);
        lock(&found[piece.pair]).source.merge(&own);
        Ok(())
    };
    let target = |client: &mut postgres::Client, piece: Piece| {
        let pair = &pairs[piece.pair];
        let mut own = Sums::new(Ranges::of(pair));
        unlocked(client, |client| {
            scan::target(client, pair, (piece.part, false), &mut |wire, _| {
                own.add(wire);
                Ok(())
            })
        })?;
        lock(&found[piece.pair]).target.merge(&own);
        Ok(())
    };
    scan::sweep(sides, (&pieces.0, &pieces.1), &source, &target)?;
    Ok(found.into_iter().map(into_inner).collect())
}
