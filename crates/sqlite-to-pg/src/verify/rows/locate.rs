//! From a range that differs to the row, the column and both values, side by side.

use super::differing::{DifferingRows, RowTexts, tell_differences};
use super::scan::{self, PartScan, ScanPiece, SidePieces, Sides, TablePart};
use super::sums::{Cell, Ranges, SideSums, hash_bytes, share_of};
use super::wire::RowBytes;
use crate::model::Action;
use crate::verify::pair::TablePair;
use crate::verify::record::Difference;
use std::collections::HashMap;
use std::sync::Mutex;
use toban_core::Result;
use toban_core::sync::{into_inner, lock};

/// Rows of one table that are named at most.
const NAMED: usize = 1000;

/// Rows looked at in one round: about 100 bytes each.
const ROUND: u64 = 200_000;

/// What was found out about one table.
#[derive(Debug, Default)]
pub(crate) struct LocatedRows {
    pub(crate) differences: Vec<Difference>,
    /// Rows that differ, as far as was looked.
    pub(crate) rows: u64,
    /// There may be more.
    pub(crate) more: bool,
}

/// Key by key what both sides hold.
type KeySums = HashMap<u128, [Cell; 2]>;

/// Names the rows of the ranges that differ.
pub(crate) fn locate_rows(sides: &mut Sides<'_>, pair: &TablePair, both: &SideSums) -> Result<LocatedRows> {
    let wanted: Vec<bool> = match pair.is_loose() {
        true => vec![true; both.source.cells.len()],
        false => both.differing_ranges(),
    };
    let weight =
        |cells: &[Cell]| -> u64 { cells.iter().zip(&wanted).filter(|(_, w)| **w).map(|(c, _)| c.rows).sum() };
    let rows = weight(&both.source.cells).max(weight(&both.target.cells));
    // A copy that differs everywhere would otherwise need as much memory as it has rows: so many keys at a time.
    let rounds = usize::try_from(rows / ROUND).unwrap_or(usize::MAX) + 1;
    let look = Locator {
        pair,
        ranges: both.source.ranges,
        parts: wanted_parts(pair, both.source.ranges, &wanted),
        wanted,
    };
    let mut found = LocatedRows::default();
    for round in 0..rounds {
        let tally = look.sum_keys(sides, round, rounds)?;
        let mut keys = look.differing_keys(&tally);
        found.rows += keys.len() as u64;
        keys.truncate(NAMED.saturating_sub(found.differences.len()));
        let named = look.fetch_rows(sides, &keys, &tally)?;
        found.differences.extend(tell_differences(pair, named));
        // Enough is named; that there may be more is said, and a copy that differs everywhere does not take hours to
        // say so.
        if found.rows >= NAMED as u64 && round + 1 < rounds {
            found.more = true;
            break;
        }
    }
    Ok(found)
}

/// The parts of both sides that hold the wanted ranges: their own few, or all.
fn wanted_parts(pair: &TablePair, ranges: Ranges, wanted: &[bool]) -> Option<Vec<TablePart>> {
    let Ranges::Numbers { first, shift, count } = ranges else { return None };
    let start = |at: usize| i64::try_from(i128::from(first) + ((at as i128) << shift)).unwrap_or(i64::MAX);
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for at in (0..count).filter(|at| wanted[*at]) {
        match runs.last_mut() {
            Some((_, end)) if *end == at => *end = at + 1,
            _ => runs.push((at, at + 1)),
        }
    }
    let part = |(from, to): &(usize, usize)| {
        let low = if *from == 0 { i64::MIN } else { start(*from) };
        let high = if *to == count { i64::MAX } else { start(*to) - 1 };
        TablePart::Numbers(low, high)
    };
    // Keys that are NULL in the target lie in no range of numbers.
    // Each part is a query over the key's index; beyond a few of them one pass over the table is cheaper.
    let few = runs.len() <= 16 && !pair.is_loose() && !wanted.first().copied().unwrap_or(true);
    few.then(|| runs.iter().map(part).collect())
}

struct Locator<'a> {
    pair: &'a TablePair,
    ranges: Ranges,
    parts: Option<Vec<TablePart>>,
    wanted: Vec<bool>,
}

impl Locator<'_> {
    fn cut_pieces(&self) -> (Vec<ScanPiece>, Vec<ScanPiece>) {
        let piece = |part: &TablePart| ScanPiece { pair: 0, part: *part };
        let (source, target) = match &self.parts {
            Some(parts) => (parts.clone(), parts.clone()),
            None => (scan::source_parts(self.pair), scan::target_parts(self.pair)),
        };
        (source.iter().map(piece).collect(), target.iter().map(piece).collect())
    }

    /// What tells this row from others, if its range is wanted.
    fn key_of_row(&self, wire: RowBytes<'_>) -> Option<(u128, u128)> {
        let whole = hash_bytes(wire.bytes);
        self.wanted[self.ranges.of_row(wire, whole)].then(|| {
            let key = if self.pair.key > 0 { hash_bytes(&wire.bytes[..wire.key]) } else { whole };
            (key, whole)
        })
    }

    fn sum_keys(&self, sides: &mut Sides<'_>, round: usize, rounds: usize) -> Result<KeySums> {
        let tally: Mutex<KeySums> = Mutex::default();
        let note = |side: usize, wire: RowBytes<'_>| {
            let Some((key, whole)) = self.key_of_row(wire) else { return };
            // Other bits than those that chose the range.
            if share_of(key >> 64, rounds) == round {
                let mut tally = lock(&tally);
                tally.entry(key).or_default()[side].add(whole);
            }
        };
        self.sweep_both(sides, false, &|side, wire, _| {
            note(side, wire);
            Ok(())
        })?;
        Ok(into_inner(tally))
    }

    fn differing_keys(&self, tally: &KeySums) -> Vec<u128> {
        let judged = |[source, target]: &[Cell; 2]| match self.pair.action {
            // Rows that were there before may be the same as ours.
            Action::Append => source.rows > 0 && target.rows <= source.rows,
            Action::Upsert => source.rows > 0,
            Action::SkipExisting => source.rows > 0 && target.rows == 0,
            Action::Refuse | Action::Truncate => true,
        };
        let differ = tally.iter().filter(|(_, sides)| sides[0] != sides[1] && judged(sides));
        let mut keys: Vec<u128> = differ.map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys
    }

    fn fetch_rows(
        &self,
        sides: &mut Sides<'_>,
        keys: &[u128],
        tally: &KeySums,
    ) -> Result<Vec<DifferingRows>> {
        let counts = |key: &u128| tally.get(key).map_or([0, 0], |cells| cells.map(|c| c.rows));
        let rows: Mutex<HashMap<u128, DifferingRows>> =
            Mutex::new(keys.iter().map(|k| (*k, DifferingRows::with_counts(counts(k)))).collect());
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        self.sweep_both(sides, true, &|side, wire, rest| {
            let Some((key, _)) = self.key_of_row(wire) else { return Ok(()) };
            let mut rows = lock(&rows);
            if let Some(rows) = rows.get_mut(&key).filter(|rows| rows.wants_row(side)) {
                rows.push_row(side, rest.display_row(self.pair, wire)?);
            }
            Ok(())
        })?;
        let mut rows = into_inner(rows);
        Ok(keys.iter().filter_map(|k| rows.remove(k)).collect())
    }

    fn sweep_both(
        &self,
        sides: &mut Sides<'_>,
        shown: bool,
        each: &(dyn Fn(usize, RowBytes<'_>, RowTexts<'_>) -> Result<()> + Sync),
    ) -> Result<()> {
        let (source, target) = self.cut_pieces();
        scan::sweep_sides(
            sides,
            SidePieces { source: &source, target: &target },
            &|reader, piece| {
                let mut row =
                    |wire: RowBytes<'_>, row: &rusqlite::Row<'_>| each(0, wire, RowTexts::Source(row));
                scan::scan_source(reader, self.pair, &PartScan { part: piece.part, located: shown }, &mut row)
                    .map(drop)
            },
            &|client, piece| {
                let mut row = |wire: RowBytes<'_>, rest: &[u8]| each(1, wire, RowTexts::Target(rest));
                scan::scan_target(client, self.pair, &PartScan { part: piece.part, located: shown }, &mut row)
            },
        )
    }
}
