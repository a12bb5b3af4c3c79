//! Rows that differ, side by side, and what is told of them.

use super::form::Form;
use super::pair::Pair;
use super::record::{Difference, Kind};
use super::wire::{Wire, fields};
use rusqlite::Row;
use rusqlite::types::ValueRef;
use toban_core::{Context, Result};

/// A value is shown up to here.
const LONGEST: usize = 200;

/// Beyond this many lonely rows nobody looks for the one that each has become.
const LONELY: usize = 300;

/// A row that differs.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    fields: Vec<Vec<u8>>,
    texts: Vec<String>,
    /// Where it lies, when no key tells: `rowid=7`, `ctid=(0,7)`.
    place: String,
}

/// The rows of one key (or equal rows, where there is none) on both sides.
#[derive(Clone, Debug)]
pub(crate) struct Sides {
    rows: [Vec<Shown>; 2],
    counts: [u64; 2],
}

impl Sides {
    /// How many there are; the rows come later.
    pub(crate) fn counted(counts: [u64; 2]) -> Sides {
        Sides { rows: [Vec::new(), Vec::new()], counts }
    }

    /// One of each side is enough to tell, however many there are.
    pub(crate) fn wants(&self, side: usize) -> bool {
        self.rows[side].is_empty()
    }

    /// A row of this side: 0 is the source.
    pub(crate) fn push(&mut self, side: usize, row: Shown) {
        self.rows[side].push(row);
    }
}

/// Where the texts of a row come from.
pub(crate) enum Rest<'a> {
    Source(&'a Row<'a>),
    /// Fields of text behind those that are compared; the ctid is the last.
    Target(&'a [u8]),
}

impl Rest<'_> {
    /// The row in words.
    ///
    /// # Errors
    /// SQLite's.
    pub(crate) fn shown(&self, pair: &Pair, wire: Wire<'_>) -> Result<Shown> {
        let own = fields(wire.bytes).map(<[u8]>::to_vec).collect();
        let (texts, place) = match self {
            Rest::Source(row) => source(pair, row).doing(|| format!("read {}", pair.source))?,
            Rest::Target(rest) => target(pair, rest),
        };
        Ok(Shown { fields: own, texts, place })
    }
}

fn source(pair: &Pair, row: &Row<'_>) -> rusqlite::Result<(Vec<String>, String)> {
    let values = 0..pair.columns.len();
    let texts = values.map(|i| row.get_ref(i).map(quoted)).collect::<rusqlite::Result<_>>()?;
    let rowid: Option<i64> = row.get(pair.columns.len())?;
    Ok((texts, rowid.map(|n| format!("rowid={n}")).unwrap_or_default()))
}

/// As SQLite's `quote()` writes it.
fn quoted(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".into(),
        ValueRef::Integer(n) => n.to_string(),
        ValueRef::Real(r) => format!("{r:?}"),
        ValueRef::Text(t) => quote(&String::from_utf8_lossy(t)),
        ValueRef::Blob(b) => cut(format!(r"\x{}", toban_core::sum::hex(&b[..b.len().min(LONGEST)]))),
    }
}

fn quote(text: &str) -> String {
    format!("'{}'", cut(text.into()))
}

fn cut(text: String) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

fn target(pair: &Pair, rest: &[u8]) -> (Vec<String>, String) {
    let text = |field: &[u8]| {
        let null = field.starts_with(&[0xFF]);
        (!null).then(|| String::from_utf8_lossy(&field[4..]).into_owned())
    };
    let mut texts: Vec<Option<String>> = fields(rest).map(text).collect();
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
        ) => quote(&t),
        (Some(t), _) => cut(t),
    });
    (shown.collect(), place)
}

impl Shown {
    fn name(&self, pair: &Pair) -> String {
        if pair.key == 0 {
            return self.place.clone();
        }
        let keys = pair.columns.iter().zip(&self.texts).take(pair.key);
        keys.map(|(c, t)| format!("{}={t}", c.source)).collect::<Vec<_>>().join(" ")
    }

    fn whole(&self, pair: &Pair) -> String {
        let values = pair.columns.iter().zip(&self.texts);
        cut(values.map(|(c, t)| format!("{}={t}", c.source)).collect::<Vec<_>>().join(" "))
    }

    fn alike(&self, other: &Shown) -> usize {
        self.fields.iter().zip(&other.fields).filter(|(a, b)| a == b).count()
    }
}

/// The differences of these rows.
pub(crate) fn tell(pair: &Pair, rows: Vec<Sides>) -> Vec<Difference> {
    let (mut told, mut lost, mut extra) = (Vec::new(), Vec::new(), Vec::new());
    for Sides { rows: [mut source, mut target], counts } in rows {
        match (source.pop(), target.pop()) {
            (Some(s), Some(t)) if counts == [1, 1] => told.extend(values(pair, &s, &t)),
            (Some(s), Some(t)) => told.push(counted(pair, [&s, &t], counts)),
            (Some(s), None) => lost.push(s),
            (None, Some(t)) => extra.push(t),
            (None, None) => {}
        }
    }
    let few = lost.len() <= LONELY && extra.len() <= LONELY;
    for row in lost {
        let best = extra.iter().enumerate().map(|(i, e)| (row.alike(e), i)).max();
        match best.filter(|(alike, _)| few && *alike > 0 && alike * 2 >= pair.columns.len()) {
            Some((_, at)) => told.extend(values(pair, &row, &extra.swap_remove(at))),
            None => told.push(lonely(pair, &row, Kind::MissingRow)),
        }
    }
    told.extend(extra.iter().map(|row| lonely(pair, row, Kind::ExtraRow)));
    told
}

/// One difference for each column.
fn values(pair: &Pair, source: &Shown, target: &Shown) -> Vec<Difference> {
    let differ = |i: &usize| source.fields[*i] != target.fields[*i];
    let told = (0..pair.columns.len()).filter(differ).map(|i| Difference {
        table: pair.source.clone(),
        row: source.name(pair),
        kind: Kind::Value,
        column: pair.columns[i].source.clone(),
        source: source.texts[i].clone(),
        target: target.texts[i].clone(),
    });
    told.collect()
}

fn counted(pair: &Pair, rows: [&Shown; 2], counts: [u64; 2]) -> Difference {
    let [source, target] = [0, 1].map(|side| format!("{} times: {}", counts[side], rows[side].whole(pair)));
    let row = rows[0].name(pair);
    Difference {
        table: pair.source.clone(),
        row,
        kind: Kind::RowCount,
        column: String::new(),
        source,
        target,
    }
}

fn lonely(pair: &Pair, row: &Shown, kind: Kind) -> Difference {
    let (here, gone) = (row.whole(pair), "no such row".to_string());
    let (source, target) = if kind == Kind::MissingRow { (here, gone) } else { (gone, here) };
    Difference {
        table: pair.source.clone(),
        row: row.name(pair),
        kind,
        column: String::new(),
        source,
        target,
    }
}
