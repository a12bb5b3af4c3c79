//! From a range that differs to the row, the column and both values, side by side.

use super::pair::{Form, TablePair};
use super::record::{Difference, DifferenceKind};
use super::scan::{self, PartScan, RowBytes, ScanPiece, SidePieces, Sides, TablePart, split_fields};
use super::sums::{Cell, Ranges, SideSums, hash_bytes, share_of};
use crate::model::Action;
use rusqlite::Row;
use rusqlite::types::ValueRef;
use std::collections::HashMap;
use std::sync::Mutex;
use toban_core::sync::{into_inner, lock};
use toban_core::{Context, Result};

/// DifferingRows of one table that are named at most.
const NAMED: usize = 1000;

/// DifferingRows looked at in one round: about 100 bytes each.
const ROUND: u64 = 200_000;

/// What was found out about one table.
#[derive(Debug, Default)]
pub(crate) struct LocatedRows {
    pub(crate) differences: Vec<Difference>,
    /// DifferingRows that differ, as far as was looked.
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
            // DifferingRows that were there before may be the same as ours.
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

/// A value is shown up to here.
const LONGEST: usize = 200;

/// Beyond this many rows without a counterpart the one that each has become is not looked for.
const LONELY: usize = 300;

/// A row that differs.
#[derive(Clone, Debug)]
pub(crate) struct DisplayedRow {
    fields: Vec<Vec<u8>>,
    texts: Vec<String>,
    /// Where it lies, when no key tells: `rowid=7`, `ctid=(0,7)`.
    place: String,
}

/// The rows of one key (or equal rows, where there is none) on both sides.
#[derive(Clone, Debug)]
pub(crate) struct DifferingRows {
    rows: [Vec<DisplayedRow>; 2],
    counts: [u64; 2],
}

impl DifferingRows {
    /// How many there are; the rows come later.
    pub(crate) fn with_counts(counts: [u64; 2]) -> DifferingRows {
        DifferingRows { rows: [Vec::new(), Vec::new()], counts }
    }

    /// One of each side is enough to tell, however many there are.
    pub(crate) fn wants_row(&self, side: usize) -> bool {
        self.rows[side].is_empty()
    }

    /// A row of this side: 0 is the source.
    pub(crate) fn push_row(&mut self, side: usize, row: DisplayedRow) {
        self.rows[side].push(row);
    }
}

/// Where the texts of a row come from.
pub(crate) enum RowTexts<'a> {
    Source(&'a Row<'a>),
    /// Fields of text after those that are compared; the ctid is the last.
    Target(&'a [u8]),
}

impl RowTexts<'_> {
    /// The row as text.
    pub(crate) fn display_row(&self, pair: &TablePair, wire: RowBytes<'_>) -> Result<DisplayedRow> {
        let own = split_fields(wire.bytes).map(<[u8]>::to_vec).collect();
        let (texts, place) = match self {
            RowTexts::Source(row) => source_texts(pair, row).doing(|| format!("read {}", pair.source))?,
            RowTexts::Target(rest) => target_texts(pair, rest),
        };
        Ok(DisplayedRow { fields: own, texts, place })
    }
}

fn source_texts(pair: &TablePair, row: &Row<'_>) -> rusqlite::Result<(Vec<String>, String)> {
    let values = 0..pair.columns.len();
    let texts = values.map(|i| row.get_ref(i).map(quote_value)).collect::<rusqlite::Result<_>>()?;
    let rowid: Option<i64> = row.get(pair.columns.len())?;
    Ok((texts, rowid.map(|n| format!("rowid={n}")).unwrap_or_default()))
}

/// As SQLite's `quote()` writes it.
fn quote_value(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".into(),
        ValueRef::Integer(n) => n.to_string(),
        ValueRef::Real(r) => format!("{r:?}"),
        ValueRef::Text(t) => quote_text(&String::from_utf8_lossy(t)),
        ValueRef::Blob(b) => cut_text(format!(r"\x{}", toban_core::sum::hex(&b[..b.len().min(LONGEST)]))),
    }
}

fn quote_text(text: &str) -> String {
    format!("'{}'", cut_text(text.into()))
}

fn cut_text(text: String) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

fn target_texts(pair: &TablePair, rest: &[u8]) -> (Vec<String>, String) {
    let text = |field: &[u8]| {
        let null = field.starts_with(&[0xFF]);
        (!null).then(|| String::from_utf8_lossy(&field[4..]).into_owned())
    };
    let mut texts: Vec<Option<String>> = split_fields(rest).map(text).collect();
    let place = texts.pop().flatten().map(|ctid| format!("ctid={ctid}")).unwrap_or_default();
    let shown = texts.into_iter().zip(&pair.columns).map(|(text, column)| match (text, column.form) {
        (None, _) => "NULL".into(),
        (
            Some(t),
            Form::Text
            | Form::Padded
            | Form::Json
            | Form::Jsonb
            | Form::Array(_)
            | Form::Interval
            | Form::Printed,
        ) => quote_text(&t),
        (Some(t), _) => cut_text(t),
    });
    (shown.collect(), place)
}

impl DisplayedRow {
    fn row_name(&self, pair: &TablePair) -> String {
        if pair.key == 0 {
            return self.place.clone();
        }
        let keys = pair.columns.iter().zip(&self.texts).take(pair.key);
        keys.map(|(c, t)| format!("{}={t}", c.source)).collect::<Vec<_>>().join(" ")
    }

    fn whole_row(&self, pair: &TablePair) -> String {
        let values = pair.columns.iter().zip(&self.texts);
        cut_text(values.map(|(c, t)| format!("{}={t}", c.source)).collect::<Vec<_>>().join(" "))
    }

    fn count_alike(&self, other: &DisplayedRow) -> usize {
        self.fields.iter().zip(&other.fields).filter(|(a, b)| a == b).count()
    }
}

/// The differences of these rows.
pub(crate) fn tell_differences(pair: &TablePair, rows: Vec<DifferingRows>) -> Vec<Difference> {
    let (mut told, mut lost, mut extra) = (Vec::new(), Vec::new(), Vec::new());
    for DifferingRows { rows: [mut source, mut target], counts } in rows {
        match (source.pop(), target.pop()) {
            (Some(s), Some(t)) if counts == [1, 1] => told.extend(value_differences(pair, &s, &t)),
            (Some(s), Some(t)) => told.push(count_difference(pair, [&s, &t], counts)),
            (Some(s), None) => lost.push(s),
            (None, Some(t)) => extra.push(t),
            (None, None) => {}
        }
    }
    let few = lost.len() <= LONELY && extra.len() <= LONELY;
    for row in lost {
        let best = extra.iter().enumerate().map(|(i, e)| (row.count_alike(e), i)).max();
        match best.filter(|(alike, _)| few && *alike > 0 && alike * 2 >= pair.columns.len()) {
            Some((_, at)) => told.extend(value_differences(pair, &row, &extra.swap_remove(at))),
            None => told.push(lonely_difference(pair, &row, DifferenceKind::MissingRow)),
        }
    }
    told.extend(extra.iter().map(|row| lonely_difference(pair, row, DifferenceKind::ExtraRow)));
    told
}

/// One difference for each column.
fn value_differences(pair: &TablePair, source: &DisplayedRow, target: &DisplayedRow) -> Vec<Difference> {
    let differ = |i: &usize| source.fields[*i] != target.fields[*i];
    let told = (0..pair.columns.len()).filter(differ).map(|i| Difference {
        table: pair.source.clone(),
        row: source.row_name(pair),
        kind: DifferenceKind::Value,
        column: pair.columns[i].source.clone(),
        source: source.texts[i].clone(),
        target: target.texts[i].clone(),
    });
    told.collect()
}

fn count_difference(pair: &TablePair, rows: [&DisplayedRow; 2], counts: [u64; 2]) -> Difference {
    let [source, target] =
        [0, 1].map(|side| format!("{} times: {}", counts[side], rows[side].whole_row(pair)));
    let row = rows[0].row_name(pair);
    Difference {
        table: pair.source.clone(),
        row,
        kind: DifferenceKind::RowCount,
        column: String::new(),
        source,
        target,
    }
}

fn lonely_difference(pair: &TablePair, row: &DisplayedRow, kind: DifferenceKind) -> Difference {
    let (here, gone) = (row.whole_row(pair), "no such row".to_string());
    let (source, target) = if kind == DifferenceKind::MissingRow { (here, gone) } else { (gone, here) };
    Difference {
        table: pair.source.clone(),
        row: row.row_name(pair),
        kind,
        column: String::new(),
        source,
        target,
    }
}
