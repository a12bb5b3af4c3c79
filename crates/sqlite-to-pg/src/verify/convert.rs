//! From SQLite's values to the bytes that PostgreSQL would send for them. Shares nothing with the code that loads.

use super::form::Form;
use super::json::Canon;
use super::moment::{self, DAY, Moment};
use super::pair::{Bounds, Column, Rule};
use super::{array, decimal, interval};
use crate::plan::{Conversion, Policy};
use rusqlite::types::ValueRef;
use std::io::Write;

/// The length that no field of a COPY has: a value that does not fit equals nothing.
const NEVER: i32 = -2;

/// Whether a row is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Compared,
    /// The plan left it behind, because of a value that does not fit.
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
    pub(crate) fn field(&mut self, value: ValueRef<'_>, column: &Column, out: &mut Vec<u8>) -> Fate {
        let start = out.len();
        out.extend_from_slice(&(-1_i32).to_be_bytes());
        if matches!(value, ValueRef::Null) {
            return Fate::Compared;
        }
        if self.bytes(value, column, out).is_some() && self.within(column, &out[start + 4..]) {
            return sized(start, out);
        }
        out.truncate(start + 4);
        self.replaced += u64::from(matches!(column.policy, Policy::Null | Policy::Replace));
        let rounds = matches!(column.form, Form::Timestamp | Form::TimestampTz | Form::Time | Form::Interval);
        match column.policy {
            Policy::Round if rounds && self.nearest(value, column, out).is_some() => {
                return sized(start, out);
            }
            Policy::Stop | Policy::Round => {
                out.truncate(start + 4);
                out[start..].copy_from_slice(&NEVER.to_be_bytes());
            }
            Policy::Reject => return Fate::Rejected,
            Policy::Replace if self.nearest(value, column, out).is_some() => return sized(start, out),
            Policy::Null | Policy::Replace if column.bounds.not_null => return Fate::Rejected,
            Policy::Null | Policy::Replace => out.truncate(start + 4),
        }
        Fate::Compared
    }

    /// Whether the declaration lets the value in; where nothing else could become of it nobody asks.
    fn within(&mut self, column: &Column, bytes: &[u8]) -> bool {
        let length = |most: usize| {
            bytes.len() <= most || std::str::from_utf8(bytes).is_ok_and(|t| t.chars().count() <= most)
        };
        let micros = || bytes.first_chunk::<8>().map_or(0, |b| i64::from_be_bytes(*b));
        match (column.policy, column.bounds) {
            (Policy::Stop, _) => true,
            (_, Bounds { length: Some(most), .. }) => length(most),
            (_, Bounds { digits: Some(bounds), .. }) => decimal::fits(bytes, bounds),
            (_, Bounds { step: Some(step), .. }) => micros() % step == 0,
            _ => true,
        }
    }

    /// What [`Policy::Replace`] puts in the place of a value that does not fit.
    fn nearest(&mut self, value: ValueRef<'_>, column: &Column, out: &mut Vec<u8>) -> Option<()> {
        let start = out.len();
        match (column.form, value) {
            (Form::Jsonb, ValueRef::Text(t)) if column.rule == Rule::Plan(Conversion::Tagged) => {
                let mended = mended(t);
                self.canon.write(tagged(ValueRef::Text(mended.as_bytes()))?.as_bytes(), out).map(drop)
            }
            (Form::Text | Form::Padded | Form::Printed, ValueRef::Text(t) | ValueRef::Blob(t)) => {
                out.extend_from_slice(mended(t).as_bytes());
                self.within(column, &out[start..]).then_some(())
            }
            (Form::Timestamp | Form::TimestampTz, _) => {
                whole(stepped(rounded(value, column.rule)?, column).to_be_bytes(), out)
            }
            (Form::Time, ValueRef::Text(t)) => {
                let (micros, beyond) = moment::clock(t)?;
                whole(stepped(micros + i64::from(beyond == Some(true)), column).to_be_bytes(), out)
            }
            (Form::Interval, _) => {
                let mut length = interval::of(value, column.rule)?;
                length.micros = stepped(length.micros + i64::from(length.beyond == Some(true)), column);
                length.put(out);
                Some(())
            }
            _ => None,
        }
    }

    fn bytes(&mut self, value: ValueRef<'_>, column: &Column, out: &mut Vec<u8>) -> Option<()> {
        let auto = column.rule == Rule::Auto;
        match column.form {
            Form::Int2 => whole::<2>(i16::try_from(integer(value, auto)?).ok()?.to_be_bytes(), out),
            Form::Int4 => whole::<4>(i32::try_from(integer(value, auto)?).ok()?.to_be_bytes(), out),
            Form::Int8 => whole::<8>(integer(value, auto)?.to_be_bytes(), out),
            Form::Float4 | Form::Float8 => whole::<8>(float(value, auto)?.to_bits().to_be_bytes(), out),
            Form::Numeric | Form::Money => {
                let start = out.len();
                self.numeric(value, out)?;
                if auto {
                    let _ = decimal::shorten(out, start, &mut self.scratch);
                }
                Some(())
            }
            Form::Interval => {
                let length = interval::of(value, column.rule).filter(|l| l.beyond.is_none())?;
                length.put(out);
                Some(())
            }
            Form::Array(element) => array::of_source(value, element, out),
            Form::Bool => whole::<1>([u8::from(boolean(value, column.rule)?)], out),
            Form::Text | Form::Printed => self.text(value, column.policy, out),
            Form::Padded => {
                let start = out.len();
                self.text(value, column.policy, out)?;
                let end = out[start..].iter().rposition(|b| *b != b' ').map_or(start, |at| start + at + 1);
                out.truncate(end);
                Some(())
            }
            Form::Bytes => bytea(value, out),
            Form::Timestamp | Form::TimestampTz => whole::<8>(micros(value, column.rule)?.to_be_bytes(), out),
            Form::Date => whole::<4>(day(value, column.rule)?.to_be_bytes(), out),
            Form::Time => {
                let (micros, beyond) = moment::clock(value.as_bytes().ok()?)?;
                beyond.is_none().then_some(())?;
                whole::<8>(micros.to_be_bytes(), out)
            }
            Form::Uuid => uuid(value, column.rule, out),
            Form::Json => self.json_text(value, column, out),
            Form::Jsonb => self.jsonb(value, column.rule, out),
        }
    }

    fn numeric(&mut self, value: ValueRef<'_>, out: &mut Vec<u8>) -> Option<()> {
        match value {
            ValueRef::Integer(n) => {
                decimal::integer(n, &mut self.scratch, out);
                Some(())
            }
            ValueRef::Real(r) => decimal::real(r, &mut self.scratch, out),
            ValueRef::Text(t) => decimal::literal(t, &mut self.scratch, out),
            _ => None,
        }
    }

    fn text(&mut self, value: ValueRef<'_>, policy: Policy, out: &mut Vec<u8>) -> Option<()> {
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
    fn json_text(&mut self, value: ValueRef<'_>, column: &Column, out: &mut Vec<u8>) -> Option<()> {
        if column.policy != Policy::Stop {
            self.scratch.clear();
            let mut aside = std::mem::take(&mut self.scratch);
            let valid = self.canon.write(value.as_bytes().ok()?, &mut aside);
            self.scratch = aside;
            valid?;
        }
        self.text(value, Policy::Stop, out)
    }

    fn jsonb(&mut self, value: ValueRef<'_>, rule: Rule, out: &mut Vec<u8>) -> Option<()> {
        if rule == Rule::Plan(Conversion::Tagged) {
            return self.canon.write(tagged(value)?.as_bytes(), out).map(drop);
        }
        match value {
            ValueRef::Text(t) => {
                let doubles = self.canon.write(t, out)?;
                (rule == Rule::Auto || !doubles).then_some(())
            }
            // A column declared json has numeric affinity: the document 12 lies there as a number.
            ValueRef::Integer(_) | ValueRef::Real(_) if rule == Rule::Auto => {
                let mut digits = std::mem::take(&mut self.scratch);
                digits.clear();
                self.text(value, Policy::Stop, &mut digits)?;
                let written = self.canon.write(&digits, out);
                self.scratch = digits;
                written.map(drop)
            }
            _ => None,
        }
    }
}

/// Writes the length of what stands behind it.
fn sized(start: usize, out: &mut [u8]) -> Fate {
    let length = i32::try_from(out.len() - start - 4).unwrap_or(NEVER);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Fate::Compared
}

fn whole<const N: usize>(bytes: [u8; N], out: &mut Vec<u8>) -> Option<()> {
    out.extend_from_slice(&bytes);
    Some(())
}

fn words(text: &[u8]) -> Option<&str> {
    std::str::from_utf8(text).ok().map(str::trim)
}

fn integer(value: ValueRef<'_>, auto: bool) -> Option<i64> {
    match value {
        ValueRef::Integer(n) => Some(n),
        ValueRef::Real(r) if auto && r.fract() == 0.0 && r.abs() < 9.2e18 => Some(r as i64),
        ValueRef::Text(t) => words(t)?.parse().ok(),
        _ => None,
    }
}

fn float(value: ValueRef<'_>, auto: bool) -> Option<f64> {
    match value {
        ValueRef::Real(r) => Some(r),
        ValueRef::Integer(n) => {
            (n.unsigned_abs() <= 1 << 53 || (auto && n as f64 as i128 == i128::from(n))).then_some(n as f64)
        }
        ValueRef::Text(t) => words(t)?.parse().ok(),
        _ => None,
    }
}

fn boolean(value: ValueRef<'_>, rule: Rule) -> Option<bool> {
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

fn bytea(value: ValueRef<'_>, out: &mut Vec<u8>) -> Option<()> {
    let (ValueRef::Blob(bytes) | ValueRef::Text(bytes)) = value else { return None };
    out.extend_from_slice(bytes);
    Some(())
}

/// Microseconds since 2000. A zone that the target cannot keep still tells the moment, so it is UTC that is stored.
fn micros(value: ValueRef<'_>, rule: Rule) -> Option<i64> {
    match value {
        ValueRef::Text(t) => moment::iso(t).filter(|m| m.beyond.is_none()).and_then(Moment::utc),
        ValueRef::Integer(n) => moment::from_integer(n, unit(rule).unwrap_or_else(|| moment::unit_of(n))),
        ValueRef::Real(r) => moment::from_real(r, unit(rule).unwrap_or_else(|| moment::unit_of_real(r))),
        _ => None,
    }
}

fn unit(rule: Rule) -> Option<Conversion> {
    match rule {
        Rule::Auto => None,
        Rule::Plan(conversion) => Some(conversion),
    }
}

/// Days since 2000 of a day, or of its midnight.
fn day(value: ValueRef<'_>, rule: Rule) -> Option<i32> {
    let micros = match value {
        // In another zone it would be another day.
        ValueRef::Text(t) => {
            moment::iso(t).filter(|m| m.beyond.is_none() && m.ahead.unwrap_or(0) == 0)?.micros
        }
        _ => micros(value, rule)?,
    };
    (micros % DAY == 0).then(|| i32::try_from(micros / DAY).ok())?
}

fn uuid(value: ValueRef<'_>, rule: Rule, out: &mut Vec<u8>) -> Option<()> {
    match value {
        ValueRef::Blob(b) => {
            let mut bytes: [u8; 16] = b.try_into().ok()?;
            if rule == Rule::Plan(Conversion::Guid) {
                bytes[..4].reverse();
                bytes[4..6].reverse();
                bytes[6..8].reverse();
            }
            whole(bytes, out)
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
            whole(bytes, out)
        }
        _ => None,
    }
}

/// `{"t": "integer", "v": 1}`: any value, as the plan writes it where a column holds all classes.
fn tagged(value: ValueRef<'_>) -> Option<String> {
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

/// Text that PostgreSQL can hold: U+2400 for each NUL byte, U+FFFD for what is not UTF-8.
fn mended(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\0', "\u{2400}")
}

/// A moment to the nearest microsecond.
fn rounded(value: ValueRef<'_>, rule: Rule) -> Option<i64> {
    match (value, rule) {
        (ValueRef::Text(t), _) => {
            let moment = moment::iso(t)?;
            Some(moment.utc()? + i64::from(moment.beyond == Some(true)))
        }
        (ValueRef::Integer(n), Rule::Plan(Conversion::EpochNs)) => {
            moment::from_integer(nearest(n, 1000), Conversion::EpochUs)
        }
        (ValueRef::Integer(n), Rule::Plan(Conversion::Filetime)) => {
            moment::from_integer(nearest(n, 10), Conversion::WebkitUs)
        }
        _ => micros(value, rule),
    }
}

/// The quotient, halves up.
fn nearest(n: i64, by: i64) -> i64 {
    let (quotient, rest) = (n.div_euclid(by), n.rem_euclid(by));
    if rest * 2 >= by { quotient + 1 } else { quotient }
}

/// A time in steps of what its type keeps, halves up.
fn stepped(micros: i64, column: &Column) -> i64 {
    column.bounds.step.map_or(micros, |step| nearest(micros, step) * step)
}
