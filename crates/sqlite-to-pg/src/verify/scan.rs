//! Reading both sides, in pieces, by as many threads as there are connections; PostgreSQL's by its binary COPY.

use super::convert::{Converter, RowStatus};
use super::decimal;
use super::json::{self, Canon};
use super::pair::{Form, PairColumn, Rule, TablePair, print_beginning_sql};
use super::source::{self, explain_error};
use crate::model::Conversion;
use postgres::Client;
use rusqlite::{Connection, Row};
use std::io::{BufRead, Write};
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
pub(crate) enum TablePart {
    All,
    /// Keys from the first to the last, both with it.
    Numbers(i64, i64),
    /// Pages from the first to before the second, or to the end.
    Blocks(u32, Option<u32>),
}

/// What one thread reads at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScanPiece {
    /// Which pair.
    pub(crate) pair: usize,
    pub(crate) part: TablePart,
}

/// The source of a pair in pieces.
pub(crate) fn source_parts(pair: &TablePair) -> Vec<TablePart> {
    let Some((first, last)) = pair.bounds else { return vec![TablePart::All] };
    let step = (last.abs_diff(first) / 64).max(NUMBERS);
    let mut parts = Vec::new();
    let mut from = first;
    loop {
        let to = from.saturating_add_unsigned(step - 1).min(last);
        parts.push(TablePart::Numbers(from, to));
        if to == last {
            return parts;
        }
        from = to + 1;
    }
}

/// The target of a pair in pieces: what was added since its size was read belongs to the last.
pub(crate) fn target_parts(pair: &TablePair) -> Vec<TablePart> {
    let Some(blocks) = pair.blocks.filter(|b| *b > BLOCKS) else { return vec![TablePart::All] };
    let cuts: Vec<u32> = (0..blocks).step_by(BLOCKS as usize).collect();
    let end = |i: usize| cuts.get(i + 1).copied();
    cuts.iter().enumerate().map(|(i, from)| TablePart::Blocks(*from, end(i))).collect()
}

/// What the threads of each side read.
#[derive(Clone, Copy)]
pub(crate) struct SidePieces<'a> {
    pub(crate) source: &'a [ScanPiece],
    pub(crate) target: &'a [ScanPiece],
}

/// Reads both sides at once: every piece by one of its side's threads. The first error ends all.
pub(crate) fn sweep_sides(
    sides: &mut Sides<'_>,
    pieces: SidePieces<'_>,
    source: &(dyn Fn(&Connection, ScanPiece) -> Result<()> + Sync),
    target: &(dyn Fn(&mut Client, ScanPiece) -> Result<()> + Sync),
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
    let take = |side: usize, of: &[ScanPiece]| {
        let at = next[side].fetch_add(1, Ordering::Relaxed);
        of.get(at).copied().filter(|_| !failed.load(Ordering::Relaxed))
    };
    let take = &take;
    thread::scope(|scope| {
        for reader in sides.readers.iter_mut() {
            scope.spawn(move || {
                while let Some(piece) = take(0, pieces.source) {
                    outcome(source(reader, piece));
                }
            });
        }
        for client in sides.clients.iter_mut() {
            scope.spawn(move || {
                while let Some(piece) = take(1, pieces.target) {
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

/// How a part is read: with `located`, what names and shows each row to people follows what is compared (in the source the
/// rowid, in the target the text of each column and of the ctid).
pub(crate) struct PartScan {
    pub(crate) part: TablePart,
    pub(crate) located: bool,
}

/// What the plan left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// Rows.
    pub(crate) rows: u64,
    /// Values that NULL or another took the place of.
    pub(crate) values: u64,
}

/// Calls `each` with every row of a part of the source; says what the plan left out.
pub(crate) fn scan_source(
    connection: &Connection,
    pair: &TablePair,
    scan: &PartScan,
    each: &mut dyn FnMut(RowBytes<'_>, &Row<'_>) -> Result<()>,
) -> Result<LeftOut> {
    let wrong = |e| explain_error(e, || format!("read {}", pair.source));
    let mut statement = connection.prepare(&source_sql(pair, scan)).map_err(wrong)?;
    let mut rows = statement.query([]).map_err(wrong)?;
    let (mut converter, mut buffer, mut rejected, mut seen) = (Converter::default(), Vec::new(), 0, 0_u64);
    while let Some(row) = rows.next().map_err(wrong)? {
        seen += 1;
        if seen % 4096 == 0 {
            shutdown::check()?;
        }
        buffer.clear();
        match convert_row(&mut converter, row, &pair.columns, &mut buffer).map_err(wrong)? {
            RowStatus::Compared => each(RowBytes::new(&buffer, pair.key), row)?,
            RowStatus::Rejected => rejected += 1,
        }
    }
    Ok(LeftOut { rows: rejected, values: converter.replaced })
}

fn convert_row(
    converter: &mut Converter,
    row: &Row<'_>,
    columns: &[PairColumn],
    out: &mut Vec<u8>,
) -> rusqlite::Result<RowStatus> {
    for (i, column) in columns.iter().enumerate() {
        if converter.convert_field(row.get_ref(i)?, column, out) == RowStatus::Rejected {
            return Ok(RowStatus::Rejected);
        }
    }
    Ok(RowStatus::Compared)
}

fn source_sql(pair: &TablePair, scan: &PartScan) -> String {
    let mut columns: Vec<String> = pair.columns.iter().map(selected_sql).collect();
    let rowid = pair.rowid.as_deref().map_or("null".into(), |name| Ident::new(name).to_string());
    columns.extend(scan.located.then(|| rowid.clone()));
    let filter = match scan.part {
        TablePart::Numbers(from, to) => format!(" where {rowid} between {from} and {to}"),
        _ => String::new(),
    };
    // An index may be damaged or stale: what the table itself holds is compared.
    format!("select {} from {} not indexed{filter}", columns.join(", "), Ident::new(&pair.source))
}

/// SQLite's own binary JSON is read by SQLite.
fn selected_sql(column: &PairColumn) -> String {
    let name = Ident::new(&column.source);
    match (column.form, column.rule) {
        (Form::Json | Form::Jsonb, Rule::Auto | Rule::Plan(Conversion::Json)) => format!(
            "case when typeof({name}) = 'blob' and json_valid({name}, 8) then json({name}) else {name} end"
        ),
        _ => name.to_string(),
    }
}

/// Calls `each` with every row of a part of the target.
pub(crate) fn scan_target(
    client: &mut Client,
    pair: &TablePair,
    scan: &PartScan,
    each: &mut dyn FnMut(RowBytes<'_>, &[u8]) -> Result<()>,
) -> Result<()> {
    let sql = target_sql(pair, scan);
    let doing = || format!("read {}.{}", pair.schema, pair.target);
    let copy = client
        .copy_out(&sql)
        .doing(doing)
        .map_err(|e| e.hint("the role needs select on every table of the copy"))?;
    // Binary, as the server stores it: a text form would hide what its output functions round.
    let (mut normaliser, plain, mut seen) = (Normaliser::default(), pair.is_plain(), 0_u64);
    for_each_tuple(copy, |tuple| {
        seen += 1;
        if seen % 4096 == 0 {
            shutdown::check()?;
        }
        let (wire, rest) = normaliser.split_tuple(tuple, pair, plain);
        each(wire, rest)
    })
}

fn target_sql(pair: &TablePair, scan: &PartScan) -> String {
    let names = pair.columns.iter().map(|c| (c.form, Ident::new(&c.target).to_string()));
    let mut columns: Vec<String> = names.clone().map(|(form, name)| form.select_sql(&name)).collect();
    if scan.located {
        columns.extend(names.map(|(form, name)| print_beginning_sql(form, &name)));
        columns.push("ctid::text".into());
    }
    let key = pair.columns.first().map(|c| Ident::new(&c.target).to_string()).unwrap_or_default();
    let filter = match scan.part {
        TablePart::All => String::new(),
        TablePart::Numbers(from, to) => format!(" where {key} between {from} and {to}"),
        TablePart::Blocks(from, None) => format!(" where ctid >= '({from},0)'"),
        TablePart::Blocks(from, Some(to)) => format!(" where ctid >= '({from},0)' and ctid < '({to},0)'"),
    };
    format!(
        "copy (select {} from {}{filter}) to stdout (format binary)",
        columns.join(", "),
        pair.relation_sql()
    )
}

/// Reads what the pieces are cut by.
pub(crate) fn measure_source(connection: &Connection, pair: &mut TablePair) -> Result<()> {
    if let Some(rowid) = &pair.rowid {
        pair.bounds = source::rowid_bounds(connection, &pair.source, rowid)?;
    }
    Ok(())
}

/// `PGCOPY\n\xff\r\n\0`, flags, length of an extension that is not defined yet.
const HEAD: usize = 19;

/// A row in the form that is compared: for each column the length and the bytes. The key comes first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowBytes<'a> {
    pub(crate) bytes: &'a [u8],
    /// Where the key ends.
    pub(crate) key: usize,
}

impl<'a> RowBytes<'a> {
    /// The row `bytes`, whose first `key` fields are the key.
    pub(crate) fn new(bytes: &'a [u8], key: usize) -> RowBytes<'a> {
        RowBytes { bytes, key: split_fields(bytes).take(key).map(<[u8]>::len).sum() }
    }
}

/// The fields one after the other, each with its length before it.
pub(crate) fn split_fields(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (field, rest) = bytes.split_at_checked(4 + field_length(bytes)?)?;
        bytes = rest;
        Some(field)
    })
}

/// The length of the first field's bytes; NULL and what fits nowhere have none.
fn field_length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.first_chunk::<4>()?;
    Some(usize::try_from(i32::from_be_bytes(*head)).unwrap_or(0))
}

/// Calls `each` with the fields of every tuple.
///
/// # Errors
/// Of the connection, of `each`; when the stream ends early.
pub(crate) fn for_each_tuple(
    mut copy: impl BufRead,
    mut each: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut carry: Vec<u8> = Vec::new();
    let mut state = Stream { head: HEAD, ended: false };
    loop {
        let chunk = copy.fill_buf().doing(|| "read rows".into())?;
        let size = chunk.len();
        if size == 0 {
            break;
        }
        // PostgreSQL sends each row as one message: it is read where it lies.
        if carry.is_empty() {
            let used = state.take_tuples(chunk, &mut each)?;
            carry.extend_from_slice(&chunk[used..]);
        } else {
            carry.extend_from_slice(chunk);
            let used = state.take_tuples(&carry, &mut each)?;
            carry.drain(..used);
        }
        copy.consume(size);
    }
    if state.ended { Ok(()) } else { Err(Error::retry("the server's answer ended early")) }
}

struct Stream {
    /// Bytes of the head that are still to come.
    head: usize,
    ended: bool,
}

impl Stream {
    /// Takes whole tuples from the front, and says how many bytes they were.
    fn take_tuples(&mut self, bytes: &[u8], each: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<usize> {
        let mut at = self.head.min(bytes.len());
        self.head -= at;
        while let Some(count) = bytes.get(at..at + 2).map(|c| i16::from_be_bytes([c[0], c[1]])) {
            let Ok(count) = usize::try_from(count) else {
                self.ended = true;
                return Ok(bytes.len());
            };
            let Some(end) = tuple_end(bytes, at + 2, count) else { break };
            each(&bytes[at + 2..end])?;
            at = end;
        }
        Ok(at)
    }
}

/// Where `count` fields from `at` on end; None when they are not all there.
fn tuple_end(bytes: &[u8], mut at: usize, count: usize) -> Option<usize> {
    for _ in 0..count {
        at += 4 + field_length(bytes.get(at..)?)?;
    }
    (at <= bytes.len()).then_some(at)
}

/// Puts what PostgreSQL sends into the form that is compared; keeps its buffers from one row to the next.
#[derive(Debug, Default)]
pub(crate) struct Normaliser {
    row: Vec<u8>,
    scratch: Vec<u8>,
    canon: Canon,
}

impl Normaliser {
    /// The fields of `tuple` that `pair` compares, and what follows them.
    pub(crate) fn split_tuple<'t>(
        &'t mut self,
        tuple: &'t [u8],
        pair: &TablePair,
        plain: bool,
    ) -> (RowBytes<'t>, &'t [u8]) {
        let size = split_fields(tuple).take(pair.columns.len()).map(<[u8]>::len).sum();
        let (own, rest) = tuple.split_at(size);
        if plain {
            return (RowBytes::new(own, pair.key), rest);
        }
        self.row.clear();
        for (field, column) in split_fields(own).zip(&pair.columns) {
            self.put_field(field, column);
        }
        (RowBytes::new(&self.row, pair.key), rest)
    }

    fn put_field(&mut self, field: &[u8], column: &PairColumn) {
        let form = column.form;
        if form.is_plain() || field.starts_with(&[0xFF]) {
            return self.row.extend_from_slice(field);
        }
        let start = self.row.len();
        self.row.extend_from_slice(&[0; 4]);
        self.put_bytes(&field[4..], form);
        if matches!(form, Form::Numeric | Form::Money) && column.rule == Rule::Auto {
            let _ = decimal::shorten_double(&mut self.row, start + 4, &mut self.scratch);
        }
        let length = u32::try_from(self.row.len() - start - 4).unwrap_or(u32::MAX);
        self.row[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }

    fn put_bytes(&mut self, bytes: &[u8], form: Form) {
        match form {
            Form::Numeric | Form::Money => decimal::from_wire(bytes, &mut self.row),
            Form::Array(element) => {
                if json::array_of_literal(bytes, element, &mut self.row).is_none() {
                    self.row.extend_from_slice(bytes);
                }
            }
            Form::Float4 => self.put_float4(bytes),
            Form::Padded => self.row.extend_from_slice(trim_blanks(bytes)),
            Form::Jsonb => {
                // One byte of version stands before the text.
                let text = bytes.get(1..).unwrap_or(&[]);
                if self.canon.write_canonical(text, &mut self.row).is_none() {
                    self.row.extend_from_slice(text);
                }
            }
            _ => self.row.extend_from_slice(bytes),
        }
    }

    /// The double that the shortest digits of the float name.
    fn put_float4(&mut self, bytes: &[u8]) {
        let single = bytes.first_chunk::<4>().map_or(f32::NAN, |b| f32::from_be_bytes(*b));
        self.scratch.clear();
        let _ = write!(self.scratch, "{single:e}");
        let double = std::str::from_utf8(&self.scratch).ok().and_then(|t| t.parse().ok());
        self.row.extend_from_slice(&double.unwrap_or(f64::NAN).to_bits().to_be_bytes());
    }
}

fn trim_blanks(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|b| *b != b' ').map_or(0, |at| at + 1);
    &bytes[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn parts(first: i64, last: i64) -> Vec<TablePart> {
        let pair = TablePair {
            source: "t".into(),
            schema: "public".into(),
            target: "t".into(),
            columns: vec![],
            key: 0,
            rowid: Some("rowid".into()),
            numbered: true,
            bounds: Some((first, last)),
            blocks: None,
            action: crate::model::Action::Refuse,
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
                let TablePart::Numbers(from, to) = part else { panic!("{part:?}") };
                assert_eq!(Some(*from), expected);
                assert!(from <= to);
                expected = to.checked_add(1);
            }
            assert_eq!(expected, last.checked_add(1));
        }
    }

    /// Two tuples: (1, NULL) and ('ab').
    fn stream() -> Vec<u8> {
        let mut bytes = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
        bytes.extend_from_slice(&[0, 2, 0, 0, 0, 1, 7, 0xFF, 0xFF, 0xFF, 0xFF]);
        bytes.extend_from_slice(&[0, 1, 0, 0, 0, 2, b'a', b'b', 0xFF, 0xFF]);
        bytes
    }

    #[test]
    fn tuples_are_found_however_they_are_cut() {
        for size in 1..50 {
            let mut seen: Vec<Vec<u8>> = Vec::new();
            let cut = BufReader::with_capacity(size, &stream()[..]).into_inner().to_vec();
            let reader = BufReader::with_capacity(size, &cut[..]);
            for_each_tuple(reader, |t| {
                seen.push(t.to_vec());
                Ok(())
            })
            .expect("whole");
            assert_eq!(seen, [&[0, 0, 0, 1, 7, 255, 255, 255, 255][..], &[0, 0, 0, 2, 97, 98]], "{size}");
        }
    }

    #[test]
    fn an_early_end_is_an_error() {
        let bytes = stream();
        assert!(for_each_tuple(&bytes[..bytes.len() - 2], |_| Ok(())).is_err());
        assert!(for_each_tuple(&bytes[..25], |_| Ok(())).is_err());
    }

    #[test]
    fn the_key_ends_where_its_fields_do() {
        let row = [0, 0, 0, 1, 7, 255, 255, 255, 255, 0, 0, 0, 0];
        assert_eq!([0, 1, 2, 3].map(|n| RowBytes::new(&row, n).key), [0, 5, 9, 13]);
    }
}
