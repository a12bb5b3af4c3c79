//! From SQLite's values to the bytes that PostgreSQL would send for them. Shares nothing with the code that loads.

use super::json::Canon;
use super::time::{self, DAY, ParsedTimestamp};
use super::{array, decimal, interval};
use crate::model::{Conversion, Policy};
use crate::verify::pair::{ColumnBounds, Form, PairColumn, Rule};
use rusqlite::types::ValueRef;
use std::io::Write;

/// The length that no field of a COPY has: a value that does not fit equals nothing.
const NEVER: i32 = -2;

/// Whether a row is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowStatus {
    Compared,
    /// The plan left it out, because of a value that does not fit.
    Rejected,
}

/// Converts; keeps its buffers from one value to the next.
#[derive(Debug, Default)]
pub(crate) struct Converter {
    scratch: Vec<u8>,
    canon: Canon,
    /// Values in whose place another was put, as the plan says.
    pub(crate) replaced: u64,
}

impl Converter {
    /// Appends length and bytes of `value`; -1 and nothing for NULL.
    pub(crate) fn convert_field(
        &mut self,
        value: ValueRef<'_>,
        column: &PairColumn,
        out: &mut Vec<u8>,
    ) -> RowStatus {
        let start = out.len();
        out.extend_from_slice(&(-1_i32).to_be_bytes());
        if matches!(value, ValueRef::Null) {
            return RowStatus::Compared;
        }
        if self.put_bytes(value, column, out).is_some() && self.fits_bounds(column, &out[start + 4..]) {
            return put_size(start, out);
        }
        out.truncate(start + 4);
        let loses = match column.policy {
            Policy::Null | Policy::Replace => true,
            Policy::Cp1252 => value.as_bytes().is_ok_and(|b| memchr::memchr(0, b).is_some()),
            _ => false,
        };
        self.replaced += u64::from(loses);
        let rounds = matches!(column.form, Form::Timestamp | Form::TimestampTz | Form::Time | Form::Interval);
        match column.policy {
            Policy::Round if rounds && self.put_nearest(value, column, out).is_some() => {
                return put_size(start, out);
            }
            Policy::Cp1252 if is_broken(value) && self.put_nearest(value, column, out).is_some() => {
                return put_size(start, out);
            }
            Policy::Stop | Policy::Round | Policy::Cp1252 => {
                out.truncate(start + 4);
                out[start..].copy_from_slice(&NEVER.to_be_bytes());
            }
            Policy::Reject => return RowStatus::Rejected,
            Policy::Replace if self.put_nearest(value, column, out).is_some() => {
                return put_size(start, out);
            }
            Policy::Null | Policy::Replace if column.bounds.not_null => return RowStatus::Rejected,
            Policy::Null | Policy::Replace => out.truncate(start + 4),
        }
        RowStatus::Compared
    }

    /// Whether the declaration lets the value in; where nothing else could become of it, it is not asked.
    fn fits_bounds(&mut self, column: &PairColumn, bytes: &[u8]) -> bool {
        let length = |most: usize| {
            bytes.len() <= most || std::str::from_utf8(bytes).is_ok_and(|t| t.chars().count() <= most)
        };
        let micros = || bytes.first_chunk::<8>().map_or(0, |b| i64::from_be_bytes(*b));
        match (column.policy, column.bounds) {
            (Policy::Stop, _) => true,
            (_, ColumnBounds { length: Some(most), .. }) => length(most),
            (_, ColumnBounds { digits: Some((precision, scale)), .. }) => {
                decimal::fits_numeric(bytes, precision, scale)
            }
            (_, ColumnBounds { step: Some(step), .. }) => micros() % step == 0,
            _ => true,
        }
    }

    /// What [`Policy::Replace`] puts in the place of a value that does not fit.
    fn put_nearest(&mut self, value: ValueRef<'_>, column: &PairColumn, out: &mut Vec<u8>) -> Option<()> {
        let start = out.len();
        match (column.form, value) {
            (Form::Jsonb, ValueRef::Text(t)) if column.rule == Rule::Plan(Conversion::Tagged) => {
                let text = storable_text(t, column.policy);
                self.canon
                    .write_canonical(tagged_json(ValueRef::Text(text.as_bytes()))?.as_bytes(), out)
                    .map(drop)
            }
            (Form::Text | Form::Padded | Form::Printed, ValueRef::Text(t) | ValueRef::Blob(t)) => {
                out.extend_from_slice(storable_text(t, column.policy).as_bytes());
                self.fits_bounds(column, &out[start..]).then_some(())
            }
            (Form::Timestamp | Form::TimestampTz, _) => {
                put_fixed(round_to_step(nearest_micros(value, column.rule)?, column).to_be_bytes(), out)
            }
            (Form::Time, ValueRef::Text(t)) => {
                let (micros, beyond) = time::parse_clock(t)?;
                put_fixed(round_to_step(micros + i64::from(beyond == Some(true)), column).to_be_bytes(), out)
            }
            (Form::Interval, _) => {
                let mut length = interval::interval_of(value, column.rule)?;
                length.micros = round_to_step(length.micros + i64::from(length.beyond == Some(true)), column);
                length.put(out);
                Some(())
            }
            _ => None,
        }
    }

    fn put_bytes(&mut self, value: ValueRef<'_>, column: &PairColumn, out: &mut Vec<u8>) -> Option<()> {
        let auto = column.rule == Rule::Auto;
        match column.form {
            Form::Int2 => put_fixed::<2>(i16::try_from(read_integer(value, auto)?).ok()?.to_be_bytes(), out),
            Form::Int4 => put_fixed::<4>(i32::try_from(read_integer(value, auto)?).ok()?.to_be_bytes(), out),
            Form::Int8 => put_fixed::<8>(read_integer(value, auto)?.to_be_bytes(), out),
            Form::Float4 | Form::Float8 => {
                put_fixed::<8>(read_float(value, auto)?.to_bits().to_be_bytes(), out)
            }
            Form::Numeric | Form::Money => {
                let start = out.len();
                self.put_numeric(value, out)?;
                if auto {
                    let _ = decimal::shorten_double(out, start, &mut self.scratch);
                }
                Some(())
            }
            Form::Interval => {
                let length = interval::interval_of(value, column.rule).filter(|l| l.beyond.is_none())?;
                length.put(out);
                Some(())
            }
            Form::Array(element) => array::array_of_source(value, element, out),
            Form::Bool => put_fixed::<1>([u8::from(read_boolean(value, column.rule)?)], out),
            Form::Text | Form::Printed => self.put_text(value, column.policy, out),
            Form::Padded => {
                let start = out.len();
                self.put_text(value, column.policy, out)?;
                let end = out[start..].iter().rposition(|b| *b != b' ').map_or(start, |at| start + at + 1);
                out.truncate(end);
                Some(())
            }
            Form::Bytes => put_bytea(value, out),
            Form::Timestamp | Form::TimestampTz => {
                put_fixed::<8>(read_micros(value, column.rule)?.to_be_bytes(), out)
            }
            Form::Date => put_fixed::<4>(read_day(value, column.rule)?.to_be_bytes(), out),
            Form::Time => {
                let (micros, beyond) = time::parse_clock(value.as_bytes().ok()?)?;
                beyond.is_none().then_some(())?;
                put_fixed::<8>(micros.to_be_bytes(), out)
            }
            Form::Uuid => put_uuid(value, column.rule, out),
            Form::Json => self.json_text(value, column, out),
            Form::Jsonb => self.put_jsonb(value, column.rule, out),
        }
    }

    fn put_numeric(&mut self, value: ValueRef<'_>, out: &mut Vec<u8>) -> Option<()> {
        match value {
            ValueRef::Integer(n) => {
                decimal::put_integer(n, &mut self.scratch, out);
                Some(())
            }
            ValueRef::Real(r) => decimal::put_real(r, &mut self.scratch, out),
            ValueRef::Text(t) => decimal::put_literal(t, &mut self.scratch, out),
            _ => None,
        }
    }

    fn put_text(&mut self, value: ValueRef<'_>, policy: Policy, out: &mut Vec<u8>) -> Option<()> {
        match value {
            ValueRef::Text(t) if policy == Policy::Stop => out.extend_from_slice(t),
            ValueRef::Text(t) | ValueRef::Blob(t) => {
                (memchr::memchr(0, t).is_none() && std::str::from_utf8(t).is_ok()).then_some(())?;
                out.extend_from_slice(t);
            }
            ValueRef::Integer(n) => write!(out, "{n}").ok()?,
            ValueRef::Real(r) => write!(out, "{r:?}").ok()?,
            ValueRef::Null => return None,
        }
        Some(())
    }

    /// A json column keeps what it was given, byte for byte.
    fn json_text(&mut self, value: ValueRef<'_>, column: &PairColumn, out: &mut Vec<u8>) -> Option<()> {
        if column.policy != Policy::Stop {
            self.scratch.clear();
            let mut aside = std::mem::take(&mut self.scratch);
            let valid = self.canon.write_canonical(value.as_bytes().ok()?, &mut aside);
            self.scratch = aside;
            valid?;
        }
        self.put_text(value, Policy::Stop, out)
    }

    fn put_jsonb(&mut self, value: ValueRef<'_>, rule: Rule, out: &mut Vec<u8>) -> Option<()> {
        if rule == Rule::Plan(Conversion::Tagged) {
            return self.canon.write_canonical(tagged_json(value)?.as_bytes(), out).map(drop);
        }
        match value {
            ValueRef::Text(t) => {
                let doubles = self.canon.write_canonical(t, out)?;
                (rule == Rule::Auto || !doubles).then_some(())
            }
            // A column declared json has numeric affinity: the document 12 lies there as a number.
            ValueRef::Integer(_) | ValueRef::Real(_) if rule == Rule::Auto => {
                let mut digits = std::mem::take(&mut self.scratch);
                digits.clear();
                self.put_text(value, Policy::Stop, &mut digits)?;
                let written = self.canon.write_canonical(&digits, out);
                self.scratch = digits;
                written.map(drop)
            }
            _ => None,
        }
    }
}

/// Writes the length of what follows it.
fn put_size(start: usize, out: &mut [u8]) -> RowStatus {
    let length = i32::try_from(out.len() - start - 4).unwrap_or(NEVER);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    RowStatus::Compared
}

fn put_fixed<const N: usize>(bytes: [u8; N], out: &mut Vec<u8>) -> Option<()> {
    out.extend_from_slice(&bytes);
    Some(())
}

fn trimmed_text(text: &[u8]) -> Option<&str> {
    std::str::from_utf8(text).ok().map(str::trim)
}

fn read_integer(value: ValueRef<'_>, auto: bool) -> Option<i64> {
    match value {
        ValueRef::Integer(n) => Some(n),
        // 2^63 has no double below it but 2^63 - 1024: within this bound the cast is exact.
        ValueRef::Real(r) if auto && r.fract() == 0.0 && r.abs() < 9.2e18 => Some(r as i64),
        ValueRef::Text(t) => trimmed_text(t)?.parse().ok(),
        _ => None,
    }
}

fn read_float(value: ValueRef<'_>, auto: bool) -> Option<f64> {
    match value {
        ValueRef::Real(r) => Some(r),
        ValueRef::Integer(n) => {
            // Above 2^53 not every integer is a double (IEEE 754, binary64): one that would change equals nothing.
            (n.unsigned_abs() <= 1 << 53 || (auto && n as f64 as i128 == i128::from(n))).then_some(n as f64)
        }
        ValueRef::Text(t) => trimmed_text(t)?.parse().ok(),
        _ => None,
    }
}

fn read_boolean(value: ValueRef<'_>, rule: Rule) -> Option<bool> {
    match value {
        ValueRef::Integer(n @ (0 | 1)) => Some(n == 1),
        ValueRef::Text(t) if rule != Rule::Plan(Conversion::Bool) => {
            match t.to_ascii_lowercase().as_slice() {
                b"true" | b"t" | b"yes" | b"y" | b"on" | b"1" => Some(true),
                b"false" | b"f" | b"no" | b"n" | b"off" | b"0" => Some(false),
                _ => None,
            }
        }
        _ => None,
    }
}

fn put_bytea(value: ValueRef<'_>, out: &mut Vec<u8>) -> Option<()> {
    let (ValueRef::Blob(bytes) | ValueRef::Text(bytes)) = value else { return None };
    out.extend_from_slice(bytes);
    Some(())
}

/// Microseconds since 2000. A zone that the target cannot keep still tells the moment, so it is UTC that is stored.
fn read_micros(value: ValueRef<'_>, rule: Rule) -> Option<i64> {
    match value {
        ValueRef::Text(t) => {
            time::parse_timestamp(t).filter(|m| m.beyond.is_none()).and_then(ParsedTimestamp::utc)
        }
        ValueRef::Integer(n) => time::from_integer(n, unit_of_rule(rule).unwrap_or_else(|| time::unit_of(n))),
        ValueRef::Real(r) => time::from_real(r, unit_of_rule(rule).unwrap_or_else(|| time::unit_of_real(r))),
        _ => None,
    }
}

fn unit_of_rule(rule: Rule) -> Option<Conversion> {
    match rule {
        Rule::Auto => None,
        Rule::Plan(conversion) => Some(conversion),
    }
}

/// Days since 2000 of a day, or of its midnight.
fn read_day(value: ValueRef<'_>, rule: Rule) -> Option<i32> {
    let micros = match value {
        // In another zone it would be another day.
        ValueRef::Text(t) => {
            time::parse_timestamp(t).filter(|m| m.beyond.is_none() && m.ahead.unwrap_or(0) == 0)?.micros
        }
        _ => read_micros(value, rule)?,
    };
    (micros % DAY == 0).then(|| i32::try_from(micros / DAY).ok())?
}

fn put_uuid(value: ValueRef<'_>, rule: Rule, out: &mut Vec<u8>) -> Option<()> {
    match value {
        ValueRef::Blob(b) => {
            let mut bytes: [u8; 16] = b.try_into().ok()?;
            if rule == Rule::Plan(Conversion::Guid) {
                // .NET's Guid.ToByteArray() writes its first three fields in little-endian order.
                bytes[..4].reverse();
                bytes[4..6].reverse();
                bytes[6..8].reverse();
            }
            put_fixed(bytes, out)
        }
        ValueRef::Text(t) => {
            let t = t.strip_prefix(b"{").and_then(|t| t.strip_suffix(b"}")).unwrap_or(t);
            let hyphens = [8, 13, 18, 23];
            let hyphened = t.len() == 36 && hyphens.iter().all(|at| t[*at] == b'-');
            (hyphened || t.len() == 32).then_some(())?;
            let mut digits = t.iter().enumerate().filter(|(i, _)| !hyphened || !hyphens.contains(i));
            let mut digit = || digits.next().and_then(|(_, d)| char::from(*d).to_digit(16)).map(|d| d as u8);
            let mut bytes = [0; 16];
            for byte in &mut bytes {
                *byte = digit()? << 4 | digit()?;
            }
            put_fixed(bytes, out)
        }
        _ => None,
    }
}

/// `{"t": "integer", "v": 1}`: any value, as the plan writes it where a column holds all classes.
fn tagged_json(value: ValueRef<'_>) -> Option<String> {
    Some(match value {
        ValueRef::Integer(n) => format!(r#"{{"t":"integer","v":{n}}}"#),
        ValueRef::Real(r) => format!(r#"{{"t":"real","v":"{r:?}"}}"#),
        ValueRef::Text(t) => {
            let text = std::str::from_utf8(t).ok().filter(|t| !t.contains('\0'))?;
            format!(r#"{{"t":"text","v":{}}}"#, serde_json::to_string(text).ok()?)
        }
        ValueRef::Blob(b) => format!(r#"{{"t":"blob","v":"{}"}}"#, toban_core::sum::hex(b)),
        ValueRef::Null => return None,
    })
}

/// Whether PostgreSQL has no text of these bytes.
fn is_broken(value: ValueRef<'_>) -> bool {
    value.as_bytes().is_ok_and(|b| b.contains(&0) || std::str::from_utf8(b).is_err())
}

/// Text that PostgreSQL can hold: U+2400 for each NUL byte, and for what is not UTF-8 U+FFFD, or its characters in
/// Windows-1252 (<https://www.unicode.org/Public/MAPPINGS/VENDORS/MICSFT/WINDOWS/CP1252.TXT>).
fn storable_text(bytes: &[u8], policy: Policy) -> String {
    const HIGH: [u16; 32] = [
        0x20ac, 0x81, 0x201a, 0x192, 0x201e, 0x2026, 0x2020, 0x2021, 0x2c6, 0x2030, 0x160, 0x2039, 0x152,
        0x8d, 0x17d, 0x8f, 0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x2dc, 0x2122,
        0x161, 0x203a, 0x153, 0x9d, 0x17e, 0x178,
    ];
    let character = |b: &u8| match b.checked_sub(0x80).and_then(|at| HIGH.get(usize::from(at))) {
        Some(code) => char::from_u32(u32::from(*code)).unwrap_or(char::REPLACEMENT_CHARACTER),
        None => char::from(*b),
    };
    let text = match std::str::from_utf8(bytes) {
        Err(_) if policy == Policy::Cp1252 => bytes.iter().map(character).collect(),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    };
    text.replace('\0', "\u{2400}")
}

/// A moment to the nearest microsecond.
fn nearest_micros(value: ValueRef<'_>, rule: Rule) -> Option<i64> {
    match (value, rule) {
        (ValueRef::Text(t), _) => {
            let moment = time::parse_timestamp(t)?;
            Some(moment.utc()? + i64::from(moment.beyond == Some(true)))
        }
        (ValueRef::Integer(n), Rule::Plan(Conversion::EpochNs)) => {
            time::from_integer(divide_half_up(n, 1000), Conversion::EpochUs)
        }
        (ValueRef::Integer(n), Rule::Plan(Conversion::Filetime)) => {
            time::from_integer(divide_half_up(n, 10), Conversion::WebkitUs)
        }
        _ => read_micros(value, rule),
    }
}

/// The quotient, halves up.
fn divide_half_up(n: i64, by: i64) -> i64 {
    let (quotient, rest) = (n.div_euclid(by), n.rem_euclid(by));
    if rest * 2 >= by { quotient + 1 } else { quotient }
}

/// A time in steps of what its type keeps, halves up.
fn round_to_step(micros: i64, column: &PairColumn) -> i64 {
    column.bounds.step.map_or(micros, |step| divide_half_up(micros, step) * step)
}
