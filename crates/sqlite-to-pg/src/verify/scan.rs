//! Reading both sides, in pieces, by as many threads as there are connections.

use super::convert::{Converter, Fate};
use super::form::Form;
use super::form::beginning;
use super::pair::Pair;
use super::pair::{Column, Rule};
use super::source::{self, explain};
use super::wire::{Normaliser, Wire, tuples};
use crate::plan::Conversion;
use postgres::Client;
use rusqlite::{Connection, Row};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use toban_core::pg::Ident;
use toban_core::sync::{into_inner, lock};
use toban_core::{Context, Error, Result, shutdown};

/// SQLite's rows per piece at most, by their numbers, and PostgreSQL's pages.
const NUMBERS: u64 = 250_000;
const BLOCKS: u32 = 4096;

/// The connections of both sides; each is used by one thread.
pub(crate) struct Sides<'a> {
    pub(crate) readers: &'a mut [Connection],
    pub(crate) clients: &'a mut [Client],
}

/// A part of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    All,
    /// Keys from the first to the last, both with it.
    Numbers(i64, i64),
    /// Pages from the first to before the second, or to the end.
    Blocks(u32, Option<u32>),
}

/// What one thread reads at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    /// Which pair.
    pub(crate) pair: usize,
    pub(crate) part: Part,
}

/// The source of a pair in pieces.
pub(crate) fn source_parts(pair: &Pair) -> Vec<Part> {
    let Some((first, last)) = pair.bounds else { return vec![Part::All] };
    let step = (last.abs_diff(first) / 64).max(NUMBERS);
    let mut parts = Vec::new();
    let mut from = first;
    loop {
        let to = from.saturating_add_unsigned(step - 1).min(last);
        parts.push(Part::Numbers(from, to));
        if to == last {
            return parts;
        }
        from = to + 1;
    }
}

/// The target of a pair in pieces: what was added since its size was read belongs to the last.
pub(crate) fn target_parts(pair: &Pair) -> Vec<Part> {
    let Some(blocks) = pair.blocks.filter(|b| *b > BLOCKS) else { return vec![Part::All] };
    let cuts: Vec<u32> = (0..blocks).step_by(BLOCKS as usize).collect();
    let end = |i: usize| cuts.get(i + 1).copied();
    cuts.iter().enumerate().map(|(i, from)| Part::Blocks(*from, end(i))).collect()
}

/// Reads both sides at once: every piece by one of its side's threads. The first error ends all.
///
/// # Errors
/// The first that `source` or `target` gave.
pub(crate) fn sweep(
    sides: &mut Sides<'_>,
    pieces: (&[Piece], &[Piece]),
    source: &(dyn Fn(&Connection, Piece) -> Result<()> + Sync),
    target: &(dyn Fn(&mut Client, Piece) -> Result<()> + Sync),
) -> Result<()> {
    let (next, failed) = ([AtomicUsize::new(0), AtomicUsize::new(0)], AtomicBool::new(false));
    let first: Mutex<Option<Error>> = Mutex::new(None);
    let outcome = |done: Result<()>| {
        if let Err(e) = done {
            failed.store(true, Ordering::Relaxed);
            lock(&first).get_or_insert(e);
        }
    };
    let (outcome, failed, next) = (&outcome, &failed, &next);
    let take = |side: usize, of: &[Piece]| {
        let at = next[side].fetch_add(1, Ordering::Relaxed);
        of.get(at).copied().filter(|_| !failed.load(Ordering::Relaxed))
    };
    let take = &take;
    thread::scope(|scope| {
        for reader in sides.readers.iter_mut() {
            scope.spawn(move || {
                while let Some(piece) = take(0, pieces.0) {
                    outcome(source(reader, piece));
                }
            });
        }
        for client in sides.clients.iter_mut() {
            scope.spawn(move || {
                while let Some(piece) = take(1, pieces.1) {
                    outcome(target(client, piece));
                }
            });
        }
    });
    match into_inner(first) {
        Some(e) => Err(e),
        None => Ok(()),
    }
}

/// What the plan left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Left {
    /// Rows.
    pub(crate) rows: u64,
    /// Values that NULL or another took the place of.
    pub(crate) values: u64,
}

/// Calls `each` with every row of a part of the source; says what the plan left behind. With `located` the
/// last column that SQLite gives is the rowid.
///
/// # Errors
/// SQLite's, those of `each`; Retry once a signal came.
pub(crate) fn source(
    connection: &Connection,
    pair: &Pair,
    (part, located): (Part, bool),
    each: &mut dyn FnMut(Wire<'_>, &Row<'_>) -> Result<()>,
) -> Result<Left> {
    let wrong = |e| explain(e, || format!("read {}", pair.source));
    let mut statement = connection.prepare(&source_sql(pair, part, located)).map_err(wrong)?;
    let mut rows = statement.query([]).map_err(wrong)?;
    let (mut converter, mut buffer, mut rejected, mut seen) = (Converter::default(), Vec::new(), 0, 0_u64);
    while let Some(row) = rows.next().map_err(wrong)? {
        seen += 1;
        if seen % 4096 == 0 {
            shutdown::check()?;
        }
        buffer.clear();
        match convert(&mut converter, row, &pair.columns, &mut buffer).map_err(wrong)? {
            Fate::Compared => each(Wire::new(&buffer, pair.key), row)?,
            Fate::Rejected => rejected += 1,
        }
    }
    Ok(Left { rows: rejected, values: converter.replaced })
}

fn convert(
    converter: &mut Converter,
    row: &Row<'_>,
    columns: &[Column],
    out: &mut Vec<u8>,
) -> rusqlite::Result<Fate> {
    for (i, column) in columns.iter().enumerate() {
        if converter.field(row.get_ref(i)?, column, out) == Fate::Rejected {
            return Ok(Fate::Rejected);
        }
    }
    Ok(Fate::Compared)
}

fn source_sql(pair: &Pair, part: Part, located: bool) -> String {
    let mut columns: Vec<String> = pair.columns.iter().map(selected).collect();
    let rowid = pair.rowid.as_deref().map_or("null".into(), |name| Ident::new(name).to_string());
    columns.extend(located.then(|| rowid.clone()));
    let filter = match part {
        Part::Numbers(from, to) => format!(" where {rowid} between {from} and {to}"),
        _ => String::new(),
    };
    // An index may be damaged or stale: what the table itself holds is compared.
    format!("select {} from {} not indexed{filter}", columns.join(", "), Ident::new(&pair.source))
}

/// SQLite's own binary JSON is read by SQLite.
fn selected(column: &Column) -> String {
    let name = Ident::new(&column.source);
    match (column.form, column.rule) {
        (Form::Json | Form::Jsonb, Rule::Auto | Rule::Plan(Conversion::Json)) => format!(
            "case when typeof({name}) = 'blob' and json_valid({name}, 8) then json({name}) else {name} end"
        ),
        _ => name.to_string(),
    }
}

/// Calls `each` with every row of a part of the target. With `shown`, the text of each column and of the ctid follow
/// the fields that are compared.
///
/// # Errors
/// The server's, those of `each`; Retry once a signal came.
pub(crate) fn target(
    client: &mut Client,
    pair: &Pair,
    (part, shown): (Part, bool),
    each: &mut dyn FnMut(Wire<'_>, &[u8]) -> Result<()>,
) -> Result<()> {
    let sql = target_sql(pair, part, shown);
    let doing = || format!("read {}.{}", pair.schema, pair.target);
    let copy = client
        .copy_out(&sql)
        .doing(doing)
        .map_err(|e| e.hint("the role needs select on every table of the copy"))?;
    let (mut normaliser, plain, mut seen) = (Normaliser::default(), pair.is_plain(), 0_u64);
    tuples(copy, |tuple| {
        seen += 1;
        if seen % 4096 == 0 {
            shutdown::check()?;
        }
        let (wire, rest) = normaliser.split(tuple, pair, plain);
        each(wire, rest)
    })
}

fn target_sql(pair: &Pair, part: Part, shown: bool) -> String {
    let names = pair.columns.iter().map(|c| (c.form, Ident::new(&c.target).to_string()));
    let mut columns: Vec<String> = names.clone().map(|(form, name)| form.select(&name)).collect();
    if shown {
        columns.extend(names.map(|(form, name)| beginning(form, &name)));
        columns.push("ctid::text".into());
    }
    let key = pair.columns.first().map(|c| Ident::new(&c.target).to_string()).unwrap_or_default();
    let filter = match part {
        Part::All => String::new(),
        Part::Numbers(from, to) => format!(" where {key} between {from} and {to}"),
        Part::Blocks(from, None) => format!(" where ctid >= '({from},0)'"),
        Part::Blocks(from, Some(to)) => format!(" where ctid >= '({from},0)' and ctid < '({to},0)'"),
    };
    format!("copy (select {} from {}{filter}) to stdout (format binary)", columns.join(", "), pair.relation())
}

/// Reads what the pieces are cut by.
///
/// # Errors
/// SQLite's.
pub(crate) fn measure(connection: &Connection, pair: &mut Pair) -> Result<()> {
    if let Some(rowid) = &pair.rowid {
        pair.bounds = source::bounds(connection, &pair.source, rowid)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(first: i64, last: i64) -> Vec<Part> {
        let pair = Pair {
            source: "t".into(),
            schema: "public".into(),
            target: "t".into(),
            columns: vec![],
            key: 0,
            rowid: Some("rowid".into()),
            numbered: true,
            bounds: Some((first, last)),
            blocks: None,
            action: crate::plan::Action::Refuse,
            accepts: false,
            inherited: false,
        };
        source_parts(&pair)
    }

    #[test]
    fn no_number_is_left_out_or_read_twice() {
        let ends =
            [(1, 1), (1, 250_000), (1, 250_001), (0, 122_880), (-5, 5), (1, 1 << 62), (i64::MIN, i64::MAX)];
        for (first, last) in ends {
            let parts = parts(first, last);
            assert!(parts.len() <= 65, "{}", parts.len());
            let mut expected = Some(first);
            for part in &parts {
                let Part::Numbers(from, to) = part else { panic!("{part:?}") };
                assert_eq!(Some(*from), expected);
                assert!(from <= to);
                expected = to.checked_add(1);
            }
            assert_eq!(expected, last.checked_add(1));
        }
    }
}
