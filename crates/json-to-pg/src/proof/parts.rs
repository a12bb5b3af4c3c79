//! A record in parts that can be compared: one for each column, list of rows and list of names, equal when the bytes are.

use super::rebuild::is_rebuilt;
use crate::json::canonical::{put_number, put_text, put_value};
use crate::json::{Parser, Shape, Value};
use crate::load::encode::{ValueEncoder, WireField, Zones, decimal, find_member};
use crate::load::misfit::Misfit;
use crate::load::rows::{constant_json, find_first};
use crate::model::{ColumnSource, FieldForm, FilledColumn, FilledTable};
use migrate::invalid::Invalid;
use migrate::timestamp;
use migrate::types::WireType;

/// Bytes with the ends of their parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) bytes: Vec<u8>,
    pub(crate) ends: Vec<usize>,
}

impl Parts {
    fn end_part(&mut self) {
        self.ends.push(self.bytes.len());
    }

    /// One part.
    pub(crate) fn part(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.bytes[start..self.ends[at]]
    }
}

/// How records of one table are put into parts.
pub(crate) struct RecordForm<'t> {
    table: &'t FilledTable,
    zones: &'t Zones,
    /// The part of each constant.
    constants: Vec<Vec<u8>>,
    children: Vec<RecordForm<'t>>,
}

impl<'t> RecordForm<'t> {
    pub(crate) fn new(table: &'t FilledTable, zones: &'t Zones) -> RecordForm<'t> {
        let constant = |column: &FilledColumn| {
            let mut out = Vec::new();
            if let ColumnSource::Constant(text) = &column.source {
                let text = constant_json(text);
                if let Ok(value) = Parser::default().parse_text(text.as_bytes()) {
                    // That it fits was seen when the rows were written.
                    let _ = put_expected(column, zones, value, &mut out);
                }
            }
            out
        };
        let constants = table.columns.iter().map(constant).collect();
        let children = table.children.iter().map(|c| RecordForm::new(&c.table, zones)).collect();
        RecordForm { table, zones, constants, children }
    }

    /// The label of each part.
    pub(crate) fn labels(&self) -> Vec<&'t str> {
        let columns = self.table.columns.iter().filter(|c| is_rebuilt(c)).map(|c| c.label.as_str());
        let children = self.table.children.iter().map(|c| c.label.as_str());
        columns.chain(children).chain(self.table.links.iter().map(|l| l.label.as_str())).collect()
    }

    /// Whether the values of a part are not shown.
    pub(crate) fn is_secret(&self, part: usize) -> bool {
        self.table.columns.iter().filter(|c| is_rebuilt(c)).nth(part).is_some_and(|c| c.secret)
    }

    /// The parts of a record of the file.
    ///
    /// # Errors
    /// When a value does not fit its column; such a record was not loaded.
    pub(crate) fn put_file_record(
        &self,
        object: Value<'_>,
        ordinal: u64,
        out: &mut Parts,
    ) -> Result<(), Misfit> {
        for (at, column) in self.table.columns.iter().enumerate().filter(|(_, c)| is_rebuilt(c)) {
            match &column.source {
                ColumnSource::Constant(_) => out.bytes.extend_from_slice(&self.constants[at]),
                ColumnSource::Ordinal => put_number(ordinal.to_string().as_bytes(), &mut out.bytes),
                ColumnSource::Members(members) => match find_first(object, members)? {
                    Some(value) => put_expected(column, self.zones, value, &mut out.bytes)?,
                    None => out.bytes.push(b'n'),
                },
                ColumnSource::Above(_) => {}
            }
            out.end_part();
        }
        for (child, form) in self.table.children.iter().zip(&self.children) {
            let items = find_member(object, &child.member).into_iter().flat_map(|list| list.items());
            let mut inner = Parts::default();
            for (ordinal, item) in (1..).zip(items) {
                form.put_file_record(item, ordinal, &mut inner)?;
            }
            put_inner(&inner, out);
        }
        for link in &self.table.links {
            let items = find_member(object, &link.member).into_iter().flat_map(|list| list.items());
            let mut names: Vec<String> = items.map(|i| i.nearest_text_or_raw()).collect();
            names.sort();
            names.dedup();
            names.iter().for_each(|name| put_text(name, &mut out.bytes));
            out.end_part();
        }
        Ok(())
    }

    /// The parts of an object that PostgreSQL rebuilt.
    pub(crate) fn put_rebuilt(&self, object: Value<'_>, out: &mut Parts) {
        for (at, column) in self.table.columns.iter().enumerate().filter(|(_, c)| is_rebuilt(c)) {
            match object.get(&format!("c{at}")) {
                Some(value) => put_actual(column, value, &mut out.bytes),
                // PostgreSQL gave no such column: that is equal to no value of a file.
                None => out.bytes.push(b'?'),
            }
            out.end_part();
        }
        for (at, form) in self.children.iter().enumerate() {
            let mut inner = Parts::default();
            let list = object.get(&format!("r{at}"));
            list.into_iter().flat_map(|l| l.items()).for_each(|item| form.put_rebuilt(item, &mut inner));
            put_inner(&inner, out);
        }
        for at in 0..self.table.links.len() {
            let list = object.get(&format!("l{at}"));
            list.into_iter()
                .flat_map(|l| l.items())
                .for_each(|item| put_text(&item.nearest_text(), &mut out.bytes));
            out.end_part();
        }
    }
}

/// The rows below as one part; lengths keep two rows apart from one.
fn put_inner(inner: &Parts, out: &mut Parts) {
    for at in 0..inner.ends.len() {
        out.bytes.extend_from_slice(&(inner.part(at).len() as u64).to_be_bytes());
        out.bytes.extend_from_slice(inner.part(at));
    }
    out.end_part();
}

/// What the file says of a column.
fn put_expected(
    column: &FilledColumn,
    zones: &Zones,
    value: Value<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Misfit> {
    if value.shape() == Shape::Null {
        out.push(b'n');
        return Ok(());
    }
    if column.lookup.is_some() {
        put_text(&value.nearest_text_or_raw(), out);
        return Ok(());
    }
    let encoder = ValueEncoder::of(column, zones);
    match column.field {
        FieldForm::Plain(wire, bounds) => {
            put_expected_plain(&encoder, value, WireField { wire, bounds }, out)
        }
        FieldForm::List(wire, bounds, _) => {
            out.push(b'[');
            for item in value.items() {
                match item.shape() {
                    Shape::Null => out.push(b'n'),
                    _ => put_expected_plain(&encoder, item, WireField { wire, bounds }, out)?,
                }
            }
            out.push(b']');
            Ok(())
        }
        FieldForm::Cast => {
            put_text(&encoder.text_of(value)?, out);
            Ok(())
        }
    }
}

fn put_expected_plain(
    encoder: &ValueEncoder<'_>,
    value: Value<'_>,
    to: WireField,
    out: &mut Vec<u8>,
) -> Result<(), Misfit> {
    match to.wire {
        WireType::Int2 | WireType::Int4 | WireType::Int8 => {
            put_number(encoder.integer_of(value)?.to_string().as_bytes(), out);
        }
        WireType::Numeric | WireType::Float4 | WireType::Float8 => {
            let text = value.nearest_text_or_raw();
            out.extend_from_slice(&decimal(text.as_bytes()));
        }
        WireType::Bool | WireType::Json | WireType::Jsonb => put_value(value, out),
        WireType::Timestamp | WireType::Timestamptz | WireType::Date => {
            put_moment(encoder.moment_of(value, to)?, out);
        }
        WireType::Time => {
            let clock = timestamp::parse_clock(encoder.text_of(value)?.as_bytes()).ok_or(Invalid::NotTime)?;
            put_moment(clock.0, out);
        }
        WireType::Uuid => {
            let text = encoder.text_of(value)?;
            out.extend_from_slice(&migrate::text::parse_uuid(text.as_bytes()).ok_or(Invalid::NotUuid)?);
        }
        WireType::Text | WireType::Bytea | WireType::Interval => put_text(&encoder.text_of(value)?, out),
    }
    Ok(())
}

/// What PostgreSQL says of it.
fn put_actual(column: &FilledColumn, value: Value<'_>, out: &mut Vec<u8>) {
    match (value.shape(), column.field) {
        (Shape::Null, _) => out.push(b'n'),
        _ if column.lookup.is_some() => put_text(&value.nearest_text_or_raw(), out),
        (_, FieldForm::Plain(wire, _)) => put_actual_plain(wire, value, out),
        (_, FieldForm::List(wire, ..)) => {
            out.push(b'[');
            for item in value.items() {
                match item.shape() {
                    Shape::Null => out.push(b'n'),
                    _ => put_actual_plain(wire, item, out),
                }
            }
            out.push(b']');
        }
        (_, FieldForm::Cast) => put_text(&value.nearest_text_or_raw(), out),
    }
}

fn put_actual_plain(wire: WireType, value: Value<'_>, out: &mut Vec<u8>) {
    let text = value.nearest_text_or_raw();
    let parsed = match wire {
        WireType::Json | WireType::Jsonb => return put_value(value, out),
        WireType::Text => return put_text(&text, out),
        WireType::Timestamp | WireType::Date => timestamp::parse_timestamp(text.as_bytes()).map(|t| t.local),
        WireType::Timestamptz => timestamp::parse_timestamp(text.as_bytes()).map(|t| t.utc()),
        WireType::Time => timestamp::parse_clock(text.as_bytes()).map(|(micros, _)| micros),
        WireType::Uuid => {
            match migrate::text::parse_uuid(text.as_bytes()) {
                Some(uuid) => out.extend_from_slice(&uuid),
                None => put_text(&text, out),
            }
            return;
        }
        _ => return put_value(value, out),
    };
    match parsed {
        Some(micros) => put_moment(micros, out),
        // infinity, or a year that JSON's times do not have.
        None => put_text(&text, out),
    }
}

fn put_moment(micros: i64, out: &mut Vec<u8>) {
    out.push(b'm');
    out.extend_from_slice(&micros.to_be_bytes());
}
