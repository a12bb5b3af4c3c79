//! Rows that differ, side by side: what each is called, what it holds, and what became of which.

use super::wire::{RowBytes, split_fields};
use crate::verify::pair::{Form, TablePair};
use crate::verify::record::{Difference, DifferenceKind};
use rusqlite::Row;
use rusqlite::types::ValueRef;
use toban_core::{Context, Result};

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
    // Every lost row is compared with every extra one: beyond some hundreds that takes longer than it helps.
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
