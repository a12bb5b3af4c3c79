//! One part of one table: rows of SQLite into bytes of COPY.

use super::encode::{Encoder, Remedy, encoder};
use super::rejects::{KeyValue, Reject, Rejects, original_bytes};
use crate::model::{Column, Policy, Table};
use crate::source::orphans::orphan_sql;
use crate::source::ranges::{Query, RowidRange};
use crate::source::{display_value, open, quote_name};
use migrate::copy::{SIGNATURE, TRAILER, put_null};
use migrate::invalid::Invalid;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use std::ops::Range;
use std::path::Path;
use toban_core::{Error, Result, shutdown};

/// Bytes that are sent at a time.
pub(crate) const CHUNK: usize = 256 << 10;

/// Bytes of one message of the protocol, which has at most 1 GB.
pub(crate) const PIECE: usize = 8 << 20;

/// Where the rows of a part go.
pub(crate) struct Output<'a> {
    pub(crate) rejects: &'a Rejects,
    /// Takes bytes, and how many rows of the part there are with them.
    pub(crate) send: &'a mut dyn FnMut(&[u8], u64) -> Result<()>,
}

/// How the rows of one table are read and written: chosen once.
pub(crate) struct TableStream<'p> {
    pub(crate) table: &'p Table,
    pub(crate) encoders: Vec<Encoder>,
    path: &'p Path,
    /// What a query must ask for: the values, then what names the row.
    pub(crate) columns: Vec<String>,
    /// Where the key's columns are in the query's result.
    key: Range<usize>,
    /// What is asked of each row beside its columns.
    expressions: Vec<String>,
    /// Rules for rows without a parent, each of which has one of the expressions.
    orphans: Vec<OrphanFields>,
}

/// The fields that a rule for orphans is about.
struct OrphanFields {
    remedy: Remedy,
    /// Where the row's answer is in the query's result.
    answer: usize,
    fields: Vec<usize>,
}

/// What a part held.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moved {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

/// A field that does not become one of its type.
struct InvalidField {
    at: usize,
    why: Invalid,
    remedy: Remedy,
}

impl<'p> TableStream<'p> {
    /// Of a table of the plan, in the file `path`.
    ///
    /// # Errors
    /// Usage for a type that is not known here.
    pub(crate) fn new(table: &'p Table, path: &'p Path) -> Result<TableStream<'p>> {
        let encoder = |column: &Column| {
            encoder(column, column.not_null).ok_or_else(|| {
                let name = format!("{}.{}", table.source, column.source);
                let conversion = column.conversion.name();
                Error::usage(format!("{name}: the conversion {conversion} does not give {}", column.pg_type))
                    .hint("name another conversion, or make it text and alter the column afterwards")
            })
        };
        let encoders: Vec<Encoder> = table.copied_columns().map(encoder).collect::<Result<_>>()?;
        let mut columns: Vec<String> = table.copied_columns().map(|c| c.source.clone()).collect();
        // What names a row comes after the values: columns of the key, else the rowid.
        match (table.key.is_empty(), &table.rowid) {
            (true, Some(rowid)) => columns.push(rowid.clone()),
            _ => columns.extend(table.key.iter().cloned()),
        }
        let key = encoders.len()..columns.len();
        let orphans = (0..table.orphans.len()).map(|rule| orphan_fields(table, rule, key.end)).collect();
        let expressions = (0..table.orphans.len()).map(|rule| orphan_sql(table, rule)).collect();
        Ok(TableStream { table, path, encoders, columns, key, expressions, orphans })
    }

    /// Asks for the rowid of each row too, where there is one; the answer is its place in a row.
    pub(crate) fn ask_for_rowid(&mut self) -> Option<usize> {
        self.expressions.extend(self.table.rowid.as_deref().map(quote_name));
        self.table.rowid.as_ref().map(|_| self.columns.len() + self.expressions.len() - 1)
    }

    /// Gives each row of a part to `each`.
    pub(crate) fn for_each_row(
        &self,
        reader: &Connection,
        range: RowidRange,
        each: impl FnMut(&Row<'_>) -> Result<()>,
    ) -> Result<()> {
        let rowid = self.table.rowid.as_deref();
        let (table, columns, expressions) = (&self.table.source, &self.columns, &self.expressions);
        Query { table, columns, expressions, rowid, range, limit: None }.for_each(reader, self.path, each)
    }

    /// Reads a part and writes it to `out`, header and trailer included, each time with the rows so far.
    ///
    /// # Errors
    /// Those of SQLite and of `out`; Failed for a value whose policy is to stop; Retry when told to stop.
    pub(crate) fn copy_part(&self, reader: &Connection, range: RowidRange, out: Output<'_>) -> Result<Moved> {
        let mut buf = Vec::with_capacity(CHUNK + (CHUNK >> 2));
        buf.extend_from_slice(SIGNATURE);
        let mut moved = Moved::default();
        self.for_each_row(reader, range, |row| {
            moved.rows += u64::from(self.put_row(row, &mut buf, out.rejects)?);
            // Between rows, so that a chunk never ends inside one and what is sent is what was counted.
            if buf.len() >= CHUNK {
                shutdown::check()?;
                send_chunk(&mut buf, &mut moved, out.send)?;
            }
            Ok(())
        })?;
        buf.extend_from_slice(&TRAILER);
        send_chunk(&mut buf, &mut moved, out.send)?;
        Ok(moved)
    }

    /// Appends a row; false, and nothing of it, when one of its values does not fit.
    pub(crate) fn put_fitting_row(&self, row: &Row<'_>, buf: &mut Vec<u8>) -> Result<bool> {
        let start = buf.len();
        self.begin_row(buf);
        for (at, encoder) in self.encoders.iter().enumerate() {
            if encoder.put(self.value(row, at)?, buf).is_err() {
                buf.truncate(start);
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn begin_row(&self, buf: &mut Vec<u8>) {
        let width = i16::try_from(self.encoders.len()).unwrap_or(i16::MAX);
        buf.extend_from_slice(&width.to_be_bytes());
    }

    /// Appends a row; false when it is left out.
    pub(crate) fn put_row(&self, row: &Row<'_>, buf: &mut Vec<u8>, rejects: &Rejects) -> Result<bool> {
        let start = buf.len();
        self.begin_row(buf);
        for (at, encoder) in self.encoders.iter().enumerate() {
            let (field, value) = (buf.len(), self.value(row, at)?);
            let invalid = match self.orphan_remedy(row, at)? {
                Some(remedy) => Some(InvalidField { at, why: Invalid::Orphan, remedy }),
                None => match encoder.put(value, buf) {
                    Ok(()) => None,
                    Err(why) => Some(InvalidField { at, why, remedy: encoder.remedy(why, value) }),
                },
            };
            if let Some(invalid) = invalid {
                buf.truncate(field);
                if !self.put_instead(row, &invalid, buf, rejects)? {
                    buf.truncate(start);
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// The value of a column.
    pub(crate) fn value<'r>(&self, row: &'r Row<'_>, at: usize) -> Result<ValueRef<'r>> {
        row.get_ref(at).map_err(|e| open::explain_error(e, self.path))
    }

    /// What becomes of a field of a row whose foreign key has no parent; nothing where it has one.
    pub(crate) fn orphan_remedy(&self, row: &Row<'_>, at: usize) -> Result<Option<Remedy>> {
        for rule in self.orphans.iter().filter(|rule| rule.fields.contains(&at)) {
            if self.is_orphan(row, rule)? {
                return Ok(Some(rule.remedy));
            }
        }
        Ok(None)
    }

    /// Whether a row is left out because its foreign key has no parent.
    pub(crate) fn is_left_out(&self, row: &Row<'_>) -> Result<bool> {
        for rule in self.orphans.iter().filter(|rule| rule.remedy == Remedy::LeaveOut) {
            if self.is_orphan(row, rule)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_orphan(&self, row: &Row<'_>, rule: &OrphanFields) -> Result<bool> {
        Ok(!matches!(self.value(row, rule.answer)?, ValueRef::Integer(0)))
    }

    /// Does what the policy says; false when the whole row is left out.
    #[cold]
    fn put_instead(
        &self,
        row: &Row<'_>,
        invalid: &InvalidField,
        buf: &mut Vec<u8>,
        rejects: &Rejects,
    ) -> Result<bool> {
        let InvalidField { at, why, remedy } = *invalid;
        let encoder = &self.encoders[at];
        let (value, column, field) = (self.value(row, at)?, &self.columns[at], buf.len());
        let (class, bytes) = original_bytes(value);
        let place = format!("{}.{column} of row {}", self.table.source, self.row_name(row));
        let refused = |why: Invalid| Error::failed(format!("{place}: {}", why.text()));
        let unfit = |why: Invalid| {
            Err(Error::failed(format!("{place}: {}: {class} {}", why.text(), display_value(value)))
            .hint("set a policy or another conversion for this column in the plan; or run without --plan, and the types are chosen anew"))
        };
        if remedy == Remedy::Stop {
            return unfit(why);
        }
        let loses = remedy != Remedy::Nearest { loses: false };
        if loses {
            let policy = match remedy {
                Remedy::LeaveOut => Policy::Reject,
                Remedy::Null => Policy::Null,
                _ => encoder.policy,
            };
            rejects.add_reject(&Reject {
                table: self.table.source.clone(),
                key: self.row_name(row),
                place: self.key_values(row),
                column: column.clone(),
                reason: why.text().into(),
                policy,
                class: class.into(),
                bytes,
            })?;
        }
        match remedy {
            Remedy::LeaveOut => return Ok(false),
            Remedy::Nearest { .. } => match encoder.put_nearest(value, buf) {
                Err(why) if !loses => return unfit(why),
                Err(_) => {
                    buf.truncate(field);
                    encoder.put_null(buf)
                }
                Ok(()) => Ok(()),
            },
            _ => put_null(buf),
        }
        .map(|()| true)
        .map_err(refused)
    }

    /// What names a row to people: its key, or its rowid.
    pub(crate) fn row_name(&self, row: &Row<'_>) -> String {
        let parts: Vec<String> =
            self.key.clone().filter_map(|at| row.get_ref(at).ok()).map(display_value).collect();
        parts.join(", ")
    }

    fn key_values(&self, row: &Row<'_>) -> Vec<KeyValue> {
        let one =
            |at: usize| row.get_ref(at).ok().map(|value| KeyValue::from_value(&self.columns[at], value));
        self.key.clone().filter_map(one).collect()
    }
}

/// The fields of a rule; its answer comes after `before` columns of the query. A row that is left out is told by the first of
/// its key that is copied.
fn orphan_fields(table: &Table, rule: usize, before: usize) -> OrphanFields {
    let (answer, rule) = (before + rule, &table.orphans[rule]);
    let place = |name: &String| table.copied_columns().position(|c| c.source == *name);
    let fields = match rule.leaves_out() {
        true => vec![rule.columns.iter().find_map(place).unwrap_or(0)],
        false => rule.nulled.iter().filter_map(place).collect(),
    };
    OrphanFields { remedy: if rule.leaves_out() { Remedy::LeaveOut } else { Remedy::Null }, answer, fields }
}

fn send_chunk(
    buf: &mut Vec<u8>,
    moved: &mut Moved,
    send: &mut dyn FnMut(&[u8], u64) -> Result<()>,
) -> Result<()> {
    moved.bytes += buf.len() as u64;
    for piece in buf.chunks(PIECE) {
        send(piece, moved.rows)?;
    }
    buf.clear();
    // A large value's room is given back.
    buf.shrink_to(CHUNK * 2);
    Ok(())
}
