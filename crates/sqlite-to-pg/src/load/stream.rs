//! One part of one table: rows of SQLite into bytes of COPY.

use super::encode::{Encoder, Misfit, null};
use super::rejects::{Place, Reject, Rejects, original, reason};
use crate::plan::{Policy, Table};
use crate::source::catalog;
use crate::source::open;
use crate::source::ranges::Range;
use crate::target::wire;
use rusqlite::{Connection, Row};
use std::path::Path;
use toban_core::{Error, Result, shutdown};

/// Bytes that are sent at a time.
const CHUNK: usize = 256 << 10;
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Takes bytes, and how many rows of the part there are with them.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(&[u8], u64) -> Result<()>;

/// How the rows of one table are read and written: chosen once.
pub(crate) struct Shape<'p> {
    pub(crate) table: &'p Table,
    encoders: Vec<Encoder>,
    columns: Vec<String>,
    /// Where the key's columns are in the query's result.
    key: Vec<usize>,
}

/// What a part held.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moved {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

impl<'p> Shape<'p> {
    /// Of a table of the plan.
    ///
    /// # Errors
    /// Usage for a type that is not known here.
    pub(crate) fn new(table: &'p Table) -> Result<Shape<'p>> {
        let mut encoders = Vec::new();
        for column in table.copied() {
            let encoder = wire::encoder(column, column.not_null).ok_or_else(|| {
                Error::usage(format!(
                    "{}.{}: the conversion {} does not give {}",
                    table.source,
                    column.source,
                    crate::census::judge::word(column.conversion),
                    column.pg_type
                ))
                .hint("name another conversion, or make it text and alter the column afterwards")
            })?;
            encoders.push(encoder);
        }
        let mut columns: Vec<String> = table.copied().map(|c| c.source.clone()).collect();
        // What names a row comes after the values: columns of the key, else the rowid.
        let key = columns.len()..columns.len() + table.key.len().max(usize::from(table.rowid.is_some()));
        match (table.key.is_empty(), &table.rowid) {
            (true, Some(rowid)) => columns.push(rowid.clone()),
            _ => columns.extend(table.key.iter().cloned()),
        }
        let key = key.filter(|at| *at < columns.len()).collect();
        Ok(Shape { table, encoders, columns, key })
    }

    /// Reads a part and gives its bytes to `sink`, header and trailer included, each time with the rows so far.
    ///
    /// # Errors
    /// Those of SQLite and of `sink`; Failed for a value whose policy is to stop; Retry when told to stop.
    pub(crate) fn stream(
        &self,
        (reader, path): (&Connection, &Path),
        range: Range,
        rejects: &Rejects,
        sink: Sink<'_>,
    ) -> Result<Moved> {
        let explain = |e| open::explain(e, path);
        let rowid = self.table.rowid.as_deref();
        let sql = catalog::select(&self.table.source, &self.columns, rowid, range.is_some());
        let mut statement = reader.prepare(&sql).map_err(explain)?;
        if let Some((low, high)) = range {
            statement.raw_bind_parameter(1, low).map_err(explain)?;
            statement.raw_bind_parameter(2, high).map_err(explain)?;
        }
        let mut buf = Vec::with_capacity(CHUNK + (CHUNK >> 2));
        buf.extend_from_slice(SIGNATURE);
        let mut moved = Moved::default();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(explain)? {
            moved.rows += u64::from(self.put(row, &mut buf, rejects)?);
            if buf.len() >= CHUNK {
                shutdown::check()?;
                send(&mut buf, &mut moved, sink)?;
            }
        }
        buf.extend_from_slice(&(-1_i16).to_be_bytes());
        send(&mut buf, &mut moved, sink)?;
        Ok(moved)
    }

    /// Appends a row; false when it stays behind.
    fn put(&self, row: &Row<'_>, buf: &mut Vec<u8>, rejects: &Rejects) -> Result<bool> {
        let start = buf.len();
        let width = i16::try_from(self.encoders.len()).unwrap_or(i16::MAX);
        buf.extend_from_slice(&width.to_be_bytes());
        for (at, encoder) in self.encoders.iter().enumerate() {
            let field = buf.len();
            let value = row.get_ref(at).map_err(|e| open::explain(e, Path::new(&self.table.source)))?;
            if let Err(misfit) = encoder.put(value, buf) {
                buf.truncate(field);
                if !self.misfit(row, (at, misfit), buf, rejects)? {
                    buf.truncate(start);
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Does what the policy says; false when the whole row stays behind.
    #[cold]
    fn misfit(
        &self,
        row: &Row<'_>,
        (at, misfit): (usize, Misfit),
        buf: &mut Vec<u8>,
        rejects: &Rejects,
    ) -> Result<bool> {
        let encoder = &self.encoders[at];
        let value = row.get_ref(at).map_err(|e| open::explain(e, Path::new(&self.table.source)))?;
        let key = self.name_of(row);
        let (class, bytes) = original(value);
        let place = format!("{}.{} of row {key}", self.table.source, self.columns[at]);
        if encoder.policy == Policy::Round && misfit.is_fine() {
            let put = encoder.put_nearest(value, buf);
            return put.map(|()| true).map_err(|m| Error::failed(format!("{place}: {}", m.words())));
        }
        if matches!(encoder.policy, Policy::Stop | Policy::Round) {
            return Err(Error::failed(format!("{place}: {}: {class} {}", misfit.words(), crate::census::scan::show(value)))
                .hint("a policy or another conversion in the plan settles it; or run without --plan, and types are chosen anew"));
        }
        rejects.add(&Reject {
            table: self.table.source.clone(),
            key,
            place: self.place_of(row),
            column: self.columns[at].clone(),
            reason: reason(misfit),
            policy: encoder.policy,
            class: class.into(),
            bytes,
        })?;
        let put = match encoder.policy {
            Policy::Reject => return Ok(false),
            Policy::Replace => encoder.put_nearest(value, buf),
            _ => null(buf),
        };
        put.map(|()| true).map_err(|m| Error::failed(format!("{place}: {}", m.words())))
    }

    fn name_of(&self, row: &Row<'_>) -> String {
        let parts: Vec<String> =
            self.key.iter().filter_map(|at| row.get_ref(*at).ok()).map(crate::census::scan::show).collect();
        parts.join(", ")
    }

    fn place_of(&self, row: &Row<'_>) -> Vec<Place> {
        let one = |at: &usize| row.get_ref(*at).ok().map(|value| Place::of(&self.columns[*at], value));
        self.key.iter().filter_map(one).collect()
    }
}

/// A message of the protocol has at most 1 GB.
fn send(buf: &mut Vec<u8>, moved: &mut Moved, sink: Sink<'_>) -> Result<()> {
    moved.bytes += buf.len() as u64;
    for piece in buf.chunks(8 << 20) {
        sink(piece, moved.rows)?;
    }
    buf.clear();
    // A large value's room is given back.
    buf.shrink_to(CHUNK * 2);
    Ok(())
}
