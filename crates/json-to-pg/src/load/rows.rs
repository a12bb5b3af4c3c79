//! One record to the rows of its table, of the tables below it, and of link tables.

use super::encode::{ValueEncoder, Zones, find_member};
use super::lookup::Lookups;
use super::misfit::Misfit;
use crate::json::{Parser, Shape, Value};
use crate::model::compiled::field_of;
use crate::model::{Child, ColumnSource, FilledColumn, FilledTable, Link};
use migrate::copy::put_null;
use migrate::invalid::Invalid;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use toban_core::{Context, Error, Result};

/// Bytes of rows that wait in memory.
const SPILL: usize = 1 << 20;

/// A value that does not fit.
#[derive(Clone, Debug)]
pub(crate) struct BadValue {
    /// Its path.
    pub(crate) label: String,
    pub(crate) why: Misfit,
    /// The value for people; empty where it is secret.
    pub(crate) shown: String,
    /// Bytes of the record before it.
    pub(crate) offset: usize,
}

/// Writes rows of one table and of those below it; its buffers are emptied by whoever sends them.
pub(crate) struct RowWriter<'t> {
    pub(crate) table: &'t FilledTable,
    columns: Vec<ColumnWriter<'t>>,
    pub(crate) children: Vec<(&'t Child, RowWriter<'t>)>,
    pub(crate) links: Vec<LinkWriter<'t>>,
    pub(crate) buf: Vec<u8>,
    pub(crate) spool: RowSpool,
    pub(crate) rows: u64,
    /// Where the fields of the last row are.
    fields: Vec<Range<usize>>,
    mark: Mark,
}

/// Rows that wait in a temporary file without a name.
#[derive(Debug, Default)]
pub(crate) struct RowSpool {
    pub(crate) file: Option<File>,
}

impl RowSpool {
    fn spill(&mut self, buf: &mut Vec<u8>) -> Result<()> {
        if buf.len() < SPILL {
            return Ok(());
        }
        let doing = || "write rows that wait to a temporary file".to_string();
        if self.file.is_none() {
            // A file without a name: no other user can open it, and it is gone with the process, after kill -9 too.
            // The rows may hold password hashes.
            self.file = Some(tempfile::tempfile().doing(doing)?);
        }
        if let Some(file) = &mut self.file {
            file.write_all(buf).doing(doing)?;
        }
        buf.clear();
        Ok(())
    }
}

/// What a record's first byte finds.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    bytes: usize,
    rows: u64,
}

struct ColumnWriter<'t> {
    column: &'t FilledColumn,
    encoder: ValueEncoder<'t>,
    /// The field of a constant.
    constant: Vec<u8>,
}

/// Writes rows of a link table.
pub(crate) struct LinkWriter<'t> {
    pub(crate) link: &'t Link,
    own: usize,
    pub(crate) buf: Vec<u8>,
    pub(crate) spool: RowSpool,
    pub(crate) rows: u64,
    /// Names that stand twice in a list: one row each.
    pub(crate) repeated: u64,
    mark: Mark,
}

/// What one row is made of.
#[derive(Clone, Copy)]
struct RowInput<'a> {
    object: Value<'a>,
    ordinal: u64,
    above: RowAbove<'a>,
    lookups: &'a Lookups,
}

/// The row above, for columns that are taken from it.
#[derive(Clone, Copy)]
struct RowAbove<'a> {
    buf: &'a [u8],
    fields: &'a [Range<usize>],
}

impl<'t> RowWriter<'t> {
    /// For rows of `table`.
    ///
    /// # Errors
    /// Usage for a constant that its column does not take.
    pub(crate) fn new(table: &'t FilledTable, zones: &'t Zones) -> Result<RowWriter<'t>> {
        let columns = table.columns.iter().map(|c| ColumnWriter::new(c, zones)).collect::<Result<_>>()?;
        let children = table.children.iter();
        let children =
            children.map(|child| Ok((child, RowWriter::new(&child.table, zones)?))).collect::<Result<_>>()?;
        let key = table.key.first().copied();
        let links =
            table.links.iter().map(|link| LinkWriter::new(link, table, key)).collect::<Result<_>>()?;
        Ok(RowWriter {
            table,
            columns,
            children,
            links,
            buf: Vec::new(),
            spool: RowSpool::default(),
            rows: 0,
            fields: Vec::new(),
            mark: Mark::default(),
        })
    }

    /// Appends the rows of a record, or nothing at all.
    ///
    /// # Errors
    /// The first value that does not fit.
    pub(crate) fn put_record(
        &mut self,
        record: Value<'_>,
        ordinal: u64,
        lookups: &Lookups,
    ) -> Result<(), BadValue> {
        self.set_marks();
        let above = RowAbove { buf: &[], fields: &[] };
        // A record may fail in a row far below, when rows above it stand in other buffers already. All are cut off
        // where they were; `spill_rows` comes between records alone, so that the marks are still inside of the
        // buffers.
        let put = self.put_row(RowInput { object: record, ordinal, above, lookups });
        if put.is_err() {
            self.cut_to_marks();
        }
        put
    }

    /// Puts away the rows of tables that are copied later: one session copies into one table at a time.
    ///
    /// # Errors
    /// When the temporary file cannot be written.
    pub(crate) fn spill_rows(&mut self) -> Result<()> {
        for link in &mut self.links {
            link.spool.spill(&mut link.buf)?;
        }
        for (_, child) in &mut self.children {
            child.spool.spill(&mut child.buf)?;
            child.spill_rows()?;
        }
        Ok(())
    }

    /// Gives every value of a record that does not fit its column to `each`; nothing is kept.
    pub(crate) fn for_each_misfit(&mut self, object: Value<'_>, each: &mut impl FnMut(BadValue)) {
        let lookups = Lookups::default();
        let above = RowAbove { buf: &[], fields: &[] };
        let row = RowInput { object, ordinal: 1, above, lookups: &lookups };
        for writer in self.columns.iter().filter(|w| matches!(w.column.source, ColumnSource::Members(_))) {
            if let Err(bad) = writer.put_field(row, &mut self.buf) {
                each(bad);
            }
            self.buf.clear();
        }
        for (child, writer) in &mut self.children {
            let items = find_member(object, &child.member).into_iter().flat_map(|list| list.items());
            items.for_each(|item| writer.for_each_misfit(item, each));
        }
    }

    /// Forgets all rows.
    pub(crate) fn clear_rows(&mut self) {
        self.buf.clear();
        self.links.iter_mut().for_each(|l| l.buf.clear());
        self.children.iter_mut().for_each(|(_, child)| child.clear_rows());
    }

    fn set_marks(&mut self) {
        self.mark = Mark { bytes: self.buf.len(), rows: self.rows };
        self.links.iter_mut().for_each(|l| l.mark = Mark { bytes: l.buf.len(), rows: l.rows });
        self.children.iter_mut().for_each(|(_, child)| child.set_marks());
    }

    fn cut_to_marks(&mut self) {
        self.buf.truncate(self.mark.bytes);
        self.rows = self.mark.rows;
        for link in &mut self.links {
            link.buf.truncate(link.mark.bytes);
            link.rows = link.mark.rows;
        }
        self.children.iter_mut().for_each(|(_, child)| child.cut_to_marks());
    }

    fn put_row(&mut self, row: RowInput<'_>) -> Result<(), BadValue> {
        let RowInput { object, lookups, .. } = row;
        // Before each row COPY wants the number of its fields (manual, "COPY", "Binary Format").
        let width = i16::try_from(self.columns.len()).unwrap_or(i16::MAX);
        self.buf.extend_from_slice(&width.to_be_bytes());
        self.fields.clear();
        for writer in &self.columns {
            let start = self.buf.len();
            writer.put_field(row, &mut self.buf)?;
            self.fields.push(start..self.buf.len());
        }
        self.rows += 1;
        let own = RowAbove { buf: &self.buf, fields: &self.fields };
        for link in &mut self.links {
            link.put_rows(object, own, lookups)?;
        }
        for (child, writer) in &mut self.children {
            let Some(list) = find_member(object, &child.member) else { continue };
            let bad = |value: Value<'_>, why| bad_value(&child.label, false, value, why);
            match list.shape() {
                Shape::Null => continue,
                Shape::Array => {}
                shape => return Err(bad(list, shape.into())),
            }
            for (ordinal, item) in (1..).zip(list.items()) {
                if item.shape() != Shape::Object {
                    return Err(bad(item, item.shape().into()));
                }
                writer.put_row(RowInput { object: item, ordinal, above: own, lookups })?;
            }
        }
        Ok(())
    }
}

fn bad_value(label: &str, secret: bool, value: Value<'_>, why: Misfit) -> BadValue {
    let shown = if secret { String::new() } else { show_value(value) };
    BadValue { label: label.into(), why, shown, offset: value.offset() }
}

/// A value for people, cut where it is long.
pub(crate) fn show_value(value: Value<'_>) -> String {
    let text = String::from_utf8_lossy(value.raw());
    let cut = text.floor_char_boundary(60);
    if cut < text.len() { format!("{}…", &text[..cut]) } else { text.into_owned() }
}

impl<'t> ColumnWriter<'t> {
    fn new(column: &'t FilledColumn, zones: &'t Zones) -> Result<ColumnWriter<'t>> {
        let encoder = ValueEncoder::of(column, zones);
        let mut constant = Vec::new();
        if let ColumnSource::Constant(text) = &column.source {
            let text = constant_json(text);
            let mut parser = Parser::default();
            let put = match parser.parse_text(text.as_bytes()) {
                Ok(value) => encoder.put_value(value, &mut constant).map_err(Misfit::text),
                Err(e) => Err(e.what),
            };
            put.map_err(|why| {
                Error::usage(format!("the value {text} of {} is no {}: {why}", column.name, column.pg_type))
            })?;
        }
        Ok(ColumnWriter { column, encoder, constant })
    }

    fn put_field(&self, row: RowInput<'_>, buf: &mut Vec<u8>) -> Result<(), BadValue> {
        let RowInput { object, ordinal, above, lookups } = row;
        match &self.column.source {
            ColumnSource::Members(members) => {
                let value = find_first(object, members).map_err(|why| self.bad(object, why))?;
                match value.filter(|v| v.shape() != Shape::Null) {
                    None if self.column.not_null => {
                        Err(self.bad(value.unwrap_or(object), Invalid::Null.into()))
                    }
                    None => put_null(buf).map_err(|why| self.bad(object, why.into())),
                    Some(value) => self.put_present(value, lookups, buf).map_err(|why| self.bad(value, why)),
                }
            }
            ColumnSource::Constant(_) => {
                buf.extend_from_slice(&self.constant);
                Ok(())
            }
            ColumnSource::Above(at) => {
                buf.extend_from_slice(&above.buf[above.fields[*at].clone()]);
                Ok(())
            }
            ColumnSource::Ordinal => {
                buf.extend_from_slice(&8_i32.to_be_bytes());
                buf.extend_from_slice(&ordinal.to_be_bytes());
                Ok(())
            }
        }
    }

    fn put_present(&self, value: Value<'_>, lookups: &Lookups, buf: &mut Vec<u8>) -> Result<(), Misfit> {
        let Some(lookup) = &self.column.lookup else { return self.encoder.put_value(value, buf) };
        buf.extend_from_slice(lookups.find_key(lookup, &value.nearest_text_or_raw())?);
        Ok(())
    }

    fn bad(&self, value: Value<'_>, why: Misfit) -> BadValue {
        let is_whole_record = value.shape() == Shape::Object && why == Invalid::Null.into();
        bad_value(&self.column.label, self.column.secret || is_whole_record, value, why)
    }
}

/// The JSON of a constant: what is none is a text.
pub(crate) fn constant_json(text: &str) -> String {
    if Parser::default().parse_text(text.as_bytes()).is_ok() {
        return text.to_string();
    }
    let mut writer = crate::write::JsonWriter::default();
    writer.put_string(text);
    writer.text
}

/// The first member that is there and not null; of alternatives at most one may be.
///
/// # Errors
/// When two are.
pub(crate) fn find_first<'v>(
    object: Value<'v>,
    members: &[Vec<String>],
) -> Result<Option<Value<'v>>, Misfit> {
    let mut found: Option<Value<'v>> = None;
    for names in members {
        let Some(value) = find_member(object, names) else { continue };
        match found {
            Some(first) if first.shape() != Shape::Null && value.shape() != Shape::Null => {
                return Err(Misfit::Both);
            }
            Some(first) if first.shape() != Shape::Null => {}
            _ => found = Some(value),
        }
    }
    Ok(found)
}

impl<'t> LinkWriter<'t> {
    fn new(link: &'t Link, table: &FilledTable, key: Option<usize>) -> Result<LinkWriter<'t>> {
        let own =
            key.ok_or_else(|| Error::usage(format!("{}: links need the key of their record", link.label)))?;
        if field_of(&link.own_type) != table.columns[own].field {
            let (link, column) = (&link.table, &table.columns[own].name);
            return Err(Error::usage(format!("{link} refers to {}.{column} by another type", table.name)));
        }
        Ok(LinkWriter {
            link,
            own,
            buf: Vec::new(),
            spool: RowSpool::default(),
            rows: 0,
            repeated: 0,
            mark: Mark::default(),
        })
    }

    fn put_rows(&mut self, object: Value<'_>, own: RowAbove<'_>, lookups: &Lookups) -> Result<(), BadValue> {
        let Some(list) = find_member(object, &self.link.member) else { return Ok(()) };
        let bad = |value: Value<'_>, why| bad_value(&self.link.label, false, value, why);
        match list.shape() {
            Shape::Null => return Ok(()),
            Shape::Array => {}
            shape => return Err(bad(list, shape.into())),
        }
        let mut seen = BTreeSet::new();
        for item in list.items() {
            let name = item.nearest_text_or_raw();
            let key = lookups.find_key(&self.link.lookup, &name).map_err(|why| bad(item, why))?;
            if !seen.insert(name) {
                self.repeated += 1;
                continue;
            }
            self.buf.extend_from_slice(&2_i16.to_be_bytes());
            self.buf.extend_from_slice(&own.buf[own.fields[self.own].clone()]);
            self.buf.extend_from_slice(key);
            self.rows += 1;
        }
        Ok(())
    }
}
