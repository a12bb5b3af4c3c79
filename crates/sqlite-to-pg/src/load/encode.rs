//! One value of SQLite to one field of PostgreSQL's binary COPY: chosen once per column, no allocation per value.

use super::{array, interval};
use crate::model::types::wire_of;
use crate::model::{Column, Conversion, Policy};
use migrate::copy::{field_length, put_field, put_null};
use migrate::invalid::Invalid;
use migrate::number::{Decimal, Digits, put_infinity};
use migrate::text;
use migrate::timestamp::{self, DAY, Unit};
use migrate::types::{TypeBounds, WireType};
use rusqlite::types::ValueRef;
use std::borrow::Cow;

/// Integers up to this amount are doubles too.
const EXACT: u64 = 1 << 53;

/// How one column's values are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encoder {
    pub(crate) wire: WireType,
    pub(crate) conversion: Conversion,
    pub(crate) policy: Policy,
    pub(crate) bounds: TypeBounds,
    pub(crate) not_null: bool,
}

/// The encoder of a column; none for a type that is not known here, or to which the conversion does not lead.
pub(crate) fn encoder(column: &Column, not_null: bool) -> Option<Encoder> {
    let (wire, bounds) = wire_of(column)?;
    Some(Encoder { wire, conversion: column.conversion, policy: column.policy, bounds, not_null })
}

type Encoded = Result<(), Invalid>;

/// What the policy makes of a value that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// The run ends.
    Stop,
    /// Its row is left out, and the value is a reject.
    LeaveOut,
    /// NULL in its place, and the value is a reject.
    Null,
    /// The nearest in its place; where that loses something, the value is a reject.
    Nearest { loses: bool },
}

impl Encoder {
    /// What becomes of a value that does not fit for this reason.
    pub(crate) fn remedy(&self, why: Invalid, value: ValueRef<'_>) -> Remedy {
        let has_nul = || value.as_bytes().is_ok_and(|b| memchr::memchr(0, b).is_some());
        let is_text = matches!(self.conversion, Conversion::Text | Conversion::Tagged);
        match (self.policy, why) {
            (Policy::Round, why) if why.is_fine() => Remedy::Nearest { loses: false },
            (Policy::Cp1252, Invalid::NotUtf8 | Invalid::Nul) if is_text => {
                Remedy::Nearest { loses: has_nul() }
            }
            (Policy::Stop | Policy::Round | Policy::Cp1252, _) => Remedy::Stop,
            (Policy::Reject, _) => Remedy::LeaveOut,
            (Policy::Null, _) => Remedy::Null,
            (Policy::Replace, _) => Remedy::Nearest { loses: true },
        }
    }

    /// Appends the field, its length first. When it does not fit, what was appended is to be cut off by the caller.
    pub(crate) fn put(&self, value: ValueRef<'_>, buf: &mut Vec<u8>) -> Encoded {
        if matches!(value, ValueRef::Null) {
            return self.put_null(buf);
        }
        match self.conversion {
            Conversion::Integer => self.put_integer(value, buf),
            Conversion::Text => self.put_text(value, buf),
            Conversion::Float => self.put_float(value, buf),
            Conversion::Numeric => self.put_numeric(value, buf),
            Conversion::Bytes => put_bytes(value, buf),
            Conversion::Bool | Conversion::BoolWords => self.put_boolean(value, buf),
            Conversion::Json => self.put_json(value, buf),
            Conversion::Uuid | Conversion::Guid => self.put_uuid(value, buf),
            Conversion::Tagged => put_tagged(value, buf),
            Conversion::Time => self.put_clock(value, buf),
            Conversion::Array => self.put_array(value, buf),
            c if c.is_interval() => self.put_interval_value(value, buf),
            _ => self.put_time(value, buf),
        }
    }

    /// Appends NULL.
    ///
    /// # Errors
    /// When the target forbids it.
    pub(crate) fn put_null(&self, buf: &mut Vec<u8>) -> Encoded {
        if self.not_null { Err(Invalid::Null) } else { put_null(buf) }
    }

    /// Appends the nearest that fits.
    ///
    /// # Errors
    /// When there is none; what was appended is to be cut off by the caller.
    pub(crate) fn put_nearest(&self, value: ValueRef<'_>, buf: &mut Vec<u8>) -> Encoded {
        match (self.conversion, value) {
            (Conversion::Text, ValueRef::Text(t) | ValueRef::Blob(t)) => {
                let text = self.nearest_text(t);
                self.fits_length(&text).and_then(|()| put_field(text.as_bytes(), buf))
            }
            (Conversion::Time, ValueRef::Text(t)) => match timestamp::parse_clock(t) {
                Some((micros, _)) => put_field(&self.round_to_step(micros).to_be_bytes(), buf),
                None => Err(Invalid::NotTime),
            },
            (c, ValueRef::Text(t)) if c.is_moment() => match timestamp::parse_timestamp(t) {
                Some(m) => self.put_moment(self.round_to_step(m.local), self.round_to_step(m.utc()), buf),
                None => Err(Invalid::NotTime),
            },
            (Conversion::EpochNs, ValueRef::Integer(n)) => self.put_unit(
                Unit::Micros.micros_of_integer(halves_up(n, 1000)).map(|m| self.round_to_step(m)),
                buf,
            ),
            (Conversion::Filetime, ValueRef::Integer(n)) => self.put_unit(
                Unit::Webkit.micros_of_integer(halves_up(n, 10)).map(|m| self.round_to_step(m)),
                buf,
            ),
            (c, ValueRef::Integer(_) | ValueRef::Real(_)) if c.is_moment() => {
                let micros = self.epoch_unit().ok().and_then(|unit| match value {
                    ValueRef::Integer(n) => unit.micros_of_integer(n),
                    ValueRef::Real(n) => unit.micros_of_real(n),
                    _ => None,
                });
                self.put_unit(micros.map(|m| self.round_to_step(m)), buf)
            }
            (c, value) if c.is_interval() => match self.interval_of(value) {
                Ok(length) => put_interval(self.round_to_step(length.micros), &length, buf),
                Err(invalid) => Err(invalid),
            },
            (Conversion::Tagged, ValueRef::Text(t)) => {
                put_tagged(ValueRef::Text(self.nearest_text(t).as_bytes()), buf)
            }
            _ => Err(Invalid::Class),
        }
    }

    /// The nearest text that PostgreSQL can hold, by the encoding that the policy names.
    fn nearest_text<'t>(&self, bytes: &'t [u8]) -> Cow<'t, str> {
        if self.policy == Policy::Cp1252 && std::str::from_utf8(bytes).is_err() {
            return Cow::Owned(text::decode_windows_1252(bytes).replace('\0', "\u{2400}"));
        }
        text::nearest_text(bytes)
    }

    fn put_integer(&self, value: ValueRef<'_>, buf: &mut Vec<u8>) -> Encoded {
        let n = match value {
            ValueRef::Integer(n) => n,
            ValueRef::Text(t) => text::parse_integer(t)?,
            _ => return Err(Invalid::Class),
        };
        match self.wire {
            WireType::Int4 => put_field(&i32::try_from(n).map_err(|_| Invalid::Range)?.to_be_bytes(), buf),
            WireType::Int2 => put_field(&i16::try_from(n).map_err(|_| Invalid::Range)?.to_be_bytes(), buf),
            _ => {
                buf.extend_from_slice(&[0, 0, 0, 8]);
                buf.extend_from_slice(&n.to_be_bytes());
                Ok(())
            }
        }
    }

    fn put_float(&self, value: ValueRef<'_>, buf: &mut Vec<u8>) -> Encoded {
        let real = match value {
            ValueRef::Real(n) => n,
            // Every integer up to 2^53 is a double (IEEE 754, binary64); above that some are not, and would change.
            ValueRef::Integer(n) if n.unsigned_abs() <= EXACT => n as f64,
            ValueRef::Integer(_) => return Err(Invalid::Range),
            ValueRef::Text(t) => text_of_real(t)?,
            _ => return Err(Invalid::Class),
        };
        if self.wire == WireType::Float4 {
            let narrow = real as f32;
            // 0.1 is 0.1 in either width: what both are written as.
            let same = f64::from(narrow) == real || format!("{narrow:e}").parse() == Ok(real);
            return if same { put_field(&narrow.to_be_bytes(), buf) } else { Err(Invalid::Digits) };
        }
        put_field(&real.to_be_bytes(), buf)
    }

    fn put_numeric(&self, value: ValueRef<'_>, buf: &mut Vec<u8>) -> Encoded {
        match value {
            ValueRef::Integer(n) => self.put_digits(&Decimal::from_integer(n).digits(), buf),
            ValueRef::Real(n) if n.is_infinite() && self.bounds.digits.is_none() => {
                put_infinity(n, buf);
                Ok(())
            }
            ValueRef::Real(n) => self.put_digits(&Decimal::from_real(n).ok_or(Invalid::Range)?.digits(), buf),
            ValueRef::Text(t) => {
                let mut room = Vec::new();
                let digits = Digits::from_text(t, &mut room).ok_or(Invalid::NotNumber)?;
                self.put_digits(&digits, buf)
            }
            _ => Err(Invalid::Class),
        }
    }

    fn put_digits(&self, digits: &Digits<'_>, buf: &mut Vec<u8>) -> Encoded {
        if !digits.fits_numeric() {
            return Err(Invalid::Range);
        }
        if let Some((precision, scale)) = self.bounds.digits
            && (digits.scale_digits() > scale || digits.whole_digits() > precision - scale)
        {
            return Err(Invalid::Digits);
        }
        digits.put_numeric(buf);
        Ok(())
    }

    fn put_text(&self, value: ValueRef<'_>, buf: &mut Vec<u8>) -> Encoded {
        match value {
            ValueRef::Text(t) | ValueRef::Blob(t) => {
                let text = text::clean_text(t)?;
                self.fits_length(text)?;
                put_field(t, buf)
            }
            ValueRef::Integer(n) => self.put_number_text(buf, |out| text::push_integer(n, out)),
            ValueRef::Real(n) => self.put_number_text(buf, |out| text::push_real(n, out)),
            ValueRef::Null => put_null(buf),
        }
    }

    /// A number's digits, with their length put in afterwards.
    fn put_number_text(&self, buf: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> Encoded {
        let start = buf.len();
        buf.extend_from_slice(&[0; 4]);
        write(buf);
        let len = buf.len() - start - 4;
        if self.bounds.length.is_some_and(|most| len > most) {
            return Err(Invalid::TooLong);
        }
        buf[start..start + 4].copy_from_slice(&field_length(len)?.to_be_bytes());
        Ok(())
    }

    fn fits_length(&self, text: &str) -> Encoded {
        match self.bounds.length {
            Some(most) if text.len() > most && text.chars().count() > most => Err(Invalid::TooLong),
            _ => Ok(()),
        }
    }

    fn put_boolean(&self, value: ValueRef<'_>, buf: &mut Vec<u8>) -> Encoded {
        let truth = match value {
            ValueRef::Integer(n @ (0 | 1)) => n == 1,
            ValueRef::Text(t) if self.conversion == Conversion::BoolWords => {
                text::parse_truth(t).ok_or(Invalid::NotBool)?
            }
            _ => return Err(Invalid::NotBool),
        };
        put_field(&[u8::from(truth)], buf)
    }

    fn put_json(&self, value: ValueRef<'_>, buf: &mut Vec<u8>) -> Encoded {
        let own;
        let t = match value {
            ValueRef::Text(t) => t,
            ValueRef::Blob(b) => {
                own = super::json::text_of_jsonb(b).ok_or(Invalid::NotJson)?;
                own.as_bytes()
            }
            _ => return Err(Invalid::Class),
        };
        let text = text::clean_text(t).map_err(|_| Invalid::NotJson)?;
        let binary = self.wire == WireType::Jsonb;
        let fits = if binary { super::json::fits_jsonb(text) } else { super::json::is_json(text) };
        if !fits {
            return Err(Invalid::NotJson);
        }
        let extra = usize::from(binary);
        buf.extend_from_slice(&field_length(t.len() + extra)?.to_be_bytes());
        // jsonb's binary form is a version before the text (`jsonb_recv`); there has been no other than 1.
        if binary {
            buf.push(1);
        }
        buf.extend_from_slice(t);
        Ok(())
    }

    fn put_uuid(&self, value: ValueRef<'_>, buf: &mut Vec<u8>) -> Encoded {
        let uuid = match value {
            ValueRef::Text(t) => text::parse_uuid(t).ok_or(Invalid::NotUuid)?,
            ValueRef::Blob(b) => {
                let mut uuid = <[u8; 16]>::try_from(b).map_err(|_| Invalid::NotUuid)?;
                if self.conversion == Conversion::Guid {
                    // .NET's Guid.ToByteArray() has its first three fields in little-endian order; the text form does
                    // not.
                    uuid[..4].reverse();
                    uuid[4..6].reverse();
                    uuid[6..8].reverse();
                }
                uuid
            }
            _ => return Err(Invalid::Class),
        };
        put_field(&uuid, buf)
    }

    fn put_time(&self, value: ValueRef<'_>, buf: &mut Vec<u8>) -> Encoded {
        match value {
            ValueRef::Text(t) => {
                let m = timestamp::parse_timestamp(t).ok_or(Invalid::NotTime)?;
                if m.rounded {
                    return Err(Invalid::Rounded);
                }
                self.put_moment(m.local, m.utc(), buf)
            }
            ValueRef::Integer(n) => {
                let unit = self.epoch_unit()?;
                let fine = (unit == Unit::Nanos && n % 1000 != 0) || (unit == Unit::Filetime && n % 10 != 0);
                if fine { Err(Invalid::Rounded) } else { self.put_unit(unit.micros_of_integer(n), buf) }
            }
            ValueRef::Real(n) => self.put_unit(self.epoch_unit()?.micros_of_real(n), buf),
            _ => Err(Invalid::Class),
        }
    }

    fn epoch_unit(&self) -> Result<Unit, Invalid> {
        Ok(match self.conversion {
            Conversion::EpochS => Unit::Seconds,
            Conversion::EpochMs => Unit::Millis,
            Conversion::EpochUs => Unit::Micros,
            Conversion::EpochNs => Unit::Nanos,
            Conversion::WebkitUs => Unit::Webkit,
            Conversion::CocoaS => Unit::Cocoa,
            Conversion::Filetime => Unit::Filetime,
            Conversion::Julian => Unit::Julian,
            _ => return Err(Invalid::Class),
        })
    }

    /// Microseconds rounded to the digits of a second that the type keeps.
    fn round_to_step(&self, micros: i64) -> i64 {
        let step = self.bounds.least_step();
        halves_up(micros, step).saturating_mul(step)
    }

    fn check_step(&self, micros: i64) -> Encoded {
        if micros % self.bounds.least_step() == 0 { Ok(()) } else { Err(Invalid::Finer) }
    }

    fn put_clock(&self, value: ValueRef<'_>, buf: &mut Vec<u8>) -> Encoded {
        let ValueRef::Text(t) = value else { return Err(Invalid::Class) };
        match timestamp::parse_clock(t) {
            Some((_, true)) => Err(Invalid::Rounded),
            Some((micros, false)) => {
                self.check_step(micros)?;
                put_field(&micros.to_be_bytes(), buf)
            }
            None => Err(Invalid::NotTime),
        }
    }

    fn put_interval_value(&self, value: ValueRef<'_>, buf: &mut Vec<u8>) -> Encoded {
        let length = self.interval_of(value)?;
        if length.rounded {
            return Err(Invalid::Rounded);
        }
        self.check_step(length.micros)?;
        put_interval(length.micros, &length, buf)
    }

    fn interval_of(&self, value: ValueRef<'_>) -> Result<interval::IntervalParts, Invalid> {
        match value {
            ValueRef::Text(t) => interval::from_text(t).ok_or(Invalid::NotInterval),
            ValueRef::Integer(_) | ValueRef::Real(_) if self.conversion == Conversion::Interval => {
                Err(Invalid::Unit)
            }
            ValueRef::Integer(n) => interval::from_integer(n, self.conversion).ok_or(Invalid::Range),
            ValueRef::Real(n) => interval::from_real(n, self.conversion).ok_or(Invalid::Class),
            _ => Err(Invalid::Class),
        }
    }

    /// An array as the server reads it from a text.
    fn put_array(&self, value: ValueRef<'_>, buf: &mut Vec<u8>) -> Encoded {
        let ValueRef::Text(t) = value else { return Err(Invalid::NotArray) };
        put_field(array::array_literal(text::clean_text(t)?).ok_or(Invalid::NotArray)?.as_bytes(), buf)
    }

    fn put_unit(&self, micros: Option<i64>, buf: &mut Vec<u8>) -> Encoded {
        let micros = micros.ok_or(Invalid::Range)?;
        self.put_moment(micros, micros, buf)
    }

    /// A timestamp without zone keeps the wall clock when the text names no zone, else it is UTC.
    fn put_moment(&self, local: i64, utc: i64, buf: &mut Vec<u8>) -> Encoded {
        match self.wire {
            WireType::Timestamp | WireType::Timestamptz => {
                self.check_step(utc)?;
                put_field(&utc.to_be_bytes(), buf)
            }
            WireType::Date if local.rem_euclid(DAY) == 0 && local == utc => {
                let day = i32::try_from(local.div_euclid(DAY)).map_err(|_| Invalid::Range)?;
                put_field(&day.to_be_bytes(), buf)
            }
            _ => Err(Invalid::NotTime),
        }
    }
}

/// Quotient of a division, halves up.
fn halves_up(n: i64, by: i64) -> i64 {
    n.div_euclid(by) + i64::from(n.rem_euclid(by) >= by - by / 2 && by > 1)
}

fn put_interval(micros: i64, length: &interval::IntervalParts, buf: &mut Vec<u8>) -> Encoded {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&micros.to_be_bytes());
    bytes[8..12].copy_from_slice(&length.days.to_be_bytes());
    bytes[12..].copy_from_slice(&length.months.to_be_bytes());
    put_field(&bytes, buf)
}

/// The double that a text is the digits of.
fn text_of_real(text: &[u8]) -> Result<f64, Invalid> {
    let mut room = Vec::new();
    let digits = Digits::from_text(text, &mut room).ok_or(Invalid::NotNumber)?;
    let real: f64 = std::str::from_utf8(text).ok().and_then(|t| t.parse().ok()).ok_or(Invalid::NotNumber)?;
    match (real.is_finite(), digits.are_of(real)) {
        (false, _) => Err(Invalid::Range),
        (_, false) => Err(Invalid::Digits),
        _ => Ok(real),
    }
}

fn put_bytes(value: ValueRef<'_>, buf: &mut Vec<u8>) -> Encoded {
    match value {
        ValueRef::Blob(b) | ValueRef::Text(b) => put_field(b, buf),
        _ => Err(Invalid::Class),
    }
}

/// `{"t": …, "v": …}` as jsonb.
fn put_tagged(value: ValueRef<'_>, buf: &mut Vec<u8>) -> Encoded {
    let start = buf.len();
    buf.extend_from_slice(&[0, 0, 0, 0, 1]);
    match value {
        ValueRef::Integer(n) => {
            buf.extend_from_slice(br#"{"t":"integer","v":"#);
            text::push_integer(n, buf);
        }
        ValueRef::Real(n) => {
            buf.extend_from_slice(br#"{"t":"real","v":""#);
            text::push_real(n, buf);
            buf.push(b'"');
        }
        ValueRef::Text(t) => {
            buf.extend_from_slice(br#"{"t":"text","v":"#);
            let text = text::clean_text(t)?;
            serde_json::to_writer(&mut *buf, text).map_err(|_| Invalid::NotJson)?;
        }
        ValueRef::Blob(b) => {
            buf.extend_from_slice(br#"{"t":"blob","v":""#);
            text::push_hex(b, buf);
            buf.push(b'"');
        }
        ValueRef::Null => return Err(Invalid::Null),
    }
    buf.push(b'}');
    let len = field_length(buf.len() - start - 4)?;
    buf[start..start + 4].copy_from_slice(&len.to_be_bytes());
    Ok(())
}
