//! Reading both sides, in pieces, by as many threads as there are connections; PostgreSQL's by its binary COPY.

use super::wire::{Normaliser, RowBytes, for_each_tuple};
use crate::model::Conversion;
use crate::verify::pair::{Form, PairColumn, Rule, TablePair, print_beginning_sql};
use crate::verify::source::{self, explain_error};
use crate::verify::values::convert::{Converter, RowStatus};
use postgres::Client;
use rusqlite::types::ValueRef;
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
    // Not more than 64 pieces however wide the range is: rowids may be sparse, and each piece is a query.
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
        // Whoever is free takes the next: rows are of different size, so equal shares would leave threads waiting. The
        // order does not matter, since sums are added.
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
    let reader = RowReader { pair, answers: pair.columns.len() + usize::from(scan.located) };
    while let Some(row) = rows.next().map_err(wrong)? {
        seen += 1;
        if seen % 4096 == 0 {
            shutdown::check()?;
        }
        buffer.clear();
        match reader.convert_row(&mut converter, row, &mut buffer).map_err(wrong)? {
            RowStatus::Compared => each(RowBytes::new(&buffer, pair.key), row)?,
            RowStatus::Rejected => rejected += 1,
        }
    }
    Ok(LeftOut { rows: rejected, values: converter.replaced })
}

/// How rows of the source are read.
struct RowReader<'a> {
    pair: &'a TablePair,
    /// Where the answers of the rules for orphans begin in a row.
    answers: usize,
}

impl RowReader<'_> {
    fn convert_row(
        &self,
        converter: &mut Converter,
        row: &Row<'_>,
        out: &mut Vec<u8>,
    ) -> rusqlite::Result<RowStatus> {
        let TablePair { columns, orphans, .. } = self.pair;
        let mut of_row = Vec::new();
        for (at, rule) in orphans.iter().enumerate() {
            of_row.extend(row.get::<_, bool>(self.answers + at)?.then_some(rule));
        }
        if of_row.iter().any(|rule| rule.nulled.is_empty()) {
            return Ok(RowStatus::Rejected);
        }
        for (i, column) in columns.iter().enumerate() {
            let nulled = of_row.iter().any(|rule| rule.nulls(column));
            converter.replaced += u64::from(nulled);
            let value = if nulled { ValueRef::Null } else { row.get_ref(i)? };
            if converter.convert_field(value, column, out) == RowStatus::Rejected {
                return Ok(RowStatus::Rejected);
            }
        }
        Ok(RowStatus::Compared)
    }
}

fn source_sql(pair: &TablePair, scan: &PartScan) -> String {
    let mut columns: Vec<String> = pair.columns.iter().map(selected_sql).collect();
    let rowid = pair.rowid.as_deref().map_or("null".into(), |name| Ident::new(name).to_string());
    columns.extend(scan.located.then(|| rowid.clone()));
    columns.extend(pair.orphans.iter().map(|o| o.sql.clone()));
    let filter = match (scan.part, &pair.filter) {
        (TablePart::Numbers(from, to), _) => format!(" where {rowid} between {from} and {to}"),
        (_, Some(filter)) => format!(" where {}", filter.source),
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
        TablePart::All => pair.filter.as_ref().map(|f| format!(" where {}", f.target)).unwrap_or_default(),
        TablePart::Numbers(from, to) => format!(" where {key} between {from} and {to}"),
        // A TID range scan reads just these pages (PostgreSQL 14, release notes); the last one has no end, so that
        // pages which were added since are in it.
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
    // Some rows alone are read in one piece.
    if let Some(rowid) = pair.rowid.as_ref().filter(|_| pair.filter.is_none()) {
        pair.bounds = source::rowid_bounds(connection, &pair.source, rowid)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
            orphans: Vec::new(),
            filter: None,
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
}
