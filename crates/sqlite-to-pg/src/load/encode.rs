//! One value of SQLite to one field of PostgreSQL's binary COPY: chosen once per column, no allocation per value.

pub(crate) use super::kinds::{Bounds, Misfit, Wire};
use super::moment::{self, DAY, Unit};
use super::number::{Decimal, Digits, put_infinity};
use super::{array, interval, words};
use crate::plan::{Conversion, Policy};
use rusqlite::types::ValueRef;

/// Integers up to this amount are doubles too.
const EXACT: u64 = 1 << 53;

/// How one column's values are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encoder {
    pub(crate) wire: Wire,
    pub(crate) conversion: Conversion,
    pub(crate) policy: Policy,
    pub(crate) bounds: Bounds,
    pub(crate) not_null: bool,
}

type Done = Result<(), Misfit>;

impl Encoder {
    /// Appends the field, its length first. When it does not fit, what was appended is to be cut off by the caller.
    pub(crate) fn put(&self, value: ValueRef<'_>, buf: &mut Vec<u8>) -> Done {
        if matches!(value, ValueRef::Null) {
            return if self.not_null { Err(Misfit::Null) } else { null(buf) };
        }
        match self.conversion {
            Conversion::Integer => self.integer(value, buf),
            Conversion::Text => self.text(value, buf),
            Conversion::Float => self.float(value, buf),
            Conversion::Numeric => self.numeric(value, buf),
            Conversion::Bytes => bytes(value, buf),
            Conversion::Bool | Conversion::BoolWords => self.boolean(value, buf),
            Conversion::Json => self.json(value, buf),
            Conversion::Uuid | Conversion::Guid => self.uuid(value, buf),
            Conversion::Tagged => tagged(value, buf),
            Conversion::Time => self.clock(value, buf),
            Conversion::Array => self.array(value, buf),
            c if c.is_interval() => self.interval(value, buf),
            _ => self.time(value, buf),
        }
    }

    /// Appends the nearest that fits, or NULL.
    ///
    /// # Errors
    /// When the target forbids that NULL.
    pub(crate) fn put_nearest(&self, value: ValueRef<'_>, buf: &mut Vec<u8>) -> Done {
        let start = buf.len();
        let near = match (self.conversion, value) {
            (Conversion::Text, ValueRef::Text(t) | ValueRef::Blob(t)) => {
                let text = words::nearest(t);
                self.fits_length(&text).and_then(|()| field(text.as_bytes(), buf))
            }
            (Conversion::Time, ValueRef::Text(t)) => match moment::time(t) {
                Some((micros, _)) => field(&self.rounded(micros).to_be_bytes(), buf),
                None => Err(Misfit::NotTime),
            },
            (c, ValueRef::Text(t)) if c.is_moment() => match moment::moment(t) {
                Some(m) => self.put_moment(self.rounded(m.local), self.rounded(m.utc()), buf),
                None => Err(Misfit::NotTime),
            },
            (Conversion::EpochNs, ValueRef::Integer(n)) => {
                self.put_unit(Unit::Micros.of_integer(halves_up(n, 1000)).map(|m| self.rounded(m)), buf)
            }
            (Conversion::Filetime, ValueRef::Integer(n)) => {
                self.put_unit(Unit::Webkit.of_integer(halves_up(n, 10)).map(|m| self.rounded(m)), buf)
            }
            (c, ValueRef::Integer(_) | ValueRef::Real(_)) if c.is_moment() => {
                let micros = self.unit().ok().and_then(|unit| match value {
                    ValueRef::Integer(n) => unit.of_integer(n),
                    ValueRef::Real(n) => unit.of_real(n),
                    _ => None,
                });
                self.put_unit(micros.map(|m| self.rounded(m)), buf)
            }
            (c, value) if c.is_interval() => match self.length(value) {
                Ok(length) => put_interval(self.rounded(length.micros), &length, buf),
                Err(misfit) => Err(misfit),
            },
            (Conversion::Tagged, ValueRef::Text(t)) => {
                tagged(ValueRef::Text(words::nearest(t).as_bytes()), buf)
            }
            _ => Err(Misfit::Class),
        };
        near.or_else(|_| {
            buf.truncate(start);
            if self.not_null { Err(Misfit::Null) } else { null(buf) }
        })
    }

    fn integer(&self, value: ValueRef<'_>, buf: &mut Vec<u8>) -> Done {
        let n = match value {
            ValueRef::Integer(n) => n,
            ValueRef::Text(t) => words::whole(t)?,
            _ => return Err(Misfit::Class),
        };
        match self.wire {
            Wire::Int4 => field(&i32::try_from(n).map_err(|_| Misfit::Range)?.to_be_bytes(), buf),
            Wire::Int2 => field(&i16::try_from(n).map_err(|_| Misfit::Range)?.to_be_bytes(), buf),
            _ => {
                buf.extend_from_slice(&[0, 0, 0, 8]);
                buf.extend_from_slice(&n.to_be_bytes());
                Ok(())
            }
        }
    }

    fn float(&self, value: ValueRef<'_>, buf: &mut Vec<u8>) -> Done {
        let real = match value {
            ValueRef::Real(n) => n,
            ValueRef::Integer(n) if n.unsigned_abs() <= EXACT => n as f64,
            ValueRef::Integer(_) => return Err(Misfit::Range),
            ValueRef::Text(t) => text_of_real(t)?,
            _ => return Err(Misfit::Class),
        };
        if self.wire == Wire::Float4 {
            let narrow = real as f32;
            // 0.1 is 0.1 in either width: what both are written as.
            let same = f64::from(narrow) == real || format!("{narrow:e}").parse() == Ok(real);
            return if same { field(&narrow.to_be_bytes(), buf) } else { Err(Misfit::Digits) };
        }
        field(&real.to_be_bytes(), buf)
    }

    fn numeric(&self, value: ValueRef<'_>, buf: &mut Vec<u8>) -> Done {
        match value {
            ValueRef::Integer(n) => self.digits(&Decimal::of_integer(n).digits(), buf),
            ValueRef::Real(n) if n.is_infinite() && self.bounds.digits.is_none() => {
                put_infinity(n, buf);
                Ok(())
            }
            ValueRef::Real(n) => self.digits(&Decimal::of_real(n).ok_or(Misfit::Range)?.digits(), buf),
            ValueRef::Text(t) => {
                let mut room = Vec::new();
                let digits = Digits::of_text(t, &mut room).ok_or(Misfit::NotNumber)?;
                self.digits(&digits, buf)
            }
            _ => Err(Misfit::Class),
        }
    }

    fn digits(&self, digits: &Digits<'_>, buf: &mut Vec<u8>) -> Done {
        if !digits.fits() {
            return Err(Misfit::Range);
        }
        if let Some((precision, scale)) = self.bounds.digits
            && (digits.scale() > scale || digits.whole() > precision - scale)
        {
            return Err(Misfit::Digits);
        }
        digits.put(buf);
        Ok(())
    }

    fn text(&self, value: ValueRef<'_>, buf: &mut Vec<u8>) -> Done {
        match value {
            ValueRef::Text(t) | ValueRef::Blob(t) => {
                let text = words::clean(t)?;
                self.fits_length(text)?;
                field(t, buf)
            }
            ValueRef::Integer(n) => self.shown(buf, |out| words::integer(n, out)),
            ValueRef::Real(n) => self.shown(buf, |out| words::real(n, out)),
            ValueRef::Null => null(buf),
        }
    }

    /// A number's digits, with their length put in afterwards.
    fn shown(&self, buf: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> Done {
        let start = buf.len();
        buf.extend_from_slice(&[0; 4]);
        write(buf);
        let len = buf.len() - start - 4;
        if self.bounds.length.is_some_and(|most| len > most) {
            return Err(Misfit::TooLong);
        }
        buf[start..start + 4].copy_from_slice(&length(len)?.to_be_bytes());
        Ok(())
    }

    fn fits_length(&self, text: &str) -> Done {
        match self.bounds.length {
            Some(most) if text.len() > most && text.chars().count() > most => Err(Misfit::TooLong),
            _ => Ok(()),
        }
    }

    fn boolean(&self, value: ValueRef<'_>, buf: &mut Vec<u8>) -> Done {
        let truth = match value {
            ValueRef::Integer(n @ (0 | 1)) => n == 1,
            ValueRef::Text(t) if self.conversion == Conversion::BoolWords => {
                words::truth(t).ok_or(Misfit::NotBool)?
            }
            _ => return Err(Misfit::NotBool),
        };
        field(&[u8::from(truth)], buf)
    }

    fn json(&self, value: ValueRef<'_>, buf: &mut Vec<u8>) -> Done {
        let own;
        let t = match value {
            ValueRef::Text(t) => t,
            ValueRef::Blob(b) => {
                own = super::json::of_jsonb(b).ok_or(Misfit::NotJson)?;
                own.as_bytes()
            }
            _ => return Err(Misfit::Class),
        };
        let text = words::clean(t).map_err(|_| Misfit::NotJson)?;
        let binary = self.wire == Wire::Jsonb;
        let fits = if binary { super::json::fits_jsonb(text) } else { super::json::is_json(text) };
        if !fits {
            return Err(Misfit::NotJson);
        }
        let extra = usize::from(binary);
        buf.extend_from_slice(&length(t.len() + extra)?.to_be_bytes());
        if binary {
            buf.push(1);
        }
        buf.extend_from_slice(t);
        Ok(())
    }

    fn uuid(&self, value: ValueRef<'_>, buf: &mut Vec<u8>) -> Done {
        let uuid = match value {
            ValueRef::Text(t) => words::uuid(t).ok_or(Misfit::NotUuid)?,
            ValueRef::Blob(b) => {
                let mut uuid = <[u8; 16]>::try_from(b).map_err(|_| Misfit::NotUuid)?;
                if self.conversion == Conversion::Guid {
                    uuid[..4].reverse();
                    uuid[4..6].reverse();
                    uuid[6..8].reverse();
                }
                uuid
            }
            _ => return Err(Misfit::Class),
        };
        field(&uuid, buf)
    }

    fn time(&self, value: ValueRef<'_>, buf: &mut Vec<u8>) -> Done {
        match value {
            ValueRef::Text(t) => {
                let m = moment::moment(t).ok_or(Misfit::NotTime)?;
                if m.rounded {
                    return Err(Misfit::Rounded);
                }
                self.put_moment(m.local, m.utc(), buf)
            }
            ValueRef::Integer(n) => {
                let unit = self.unit()?;
                let fine = (unit == Unit::Nanos && n % 1000 != 0) || (unit == Unit::Filetime && n % 10 != 0);
                if fine { Err(Misfit::Rounded) } else { self.put_unit(unit.of_integer(n), buf) }
            }
            ValueRef::Real(n) => self.put_unit(self.unit()?.of_real(n), buf),
            _ => Err(Misfit::Class),
        }
    }

    fn unit(&self) -> Result<Unit, Misfit> {
        Ok(match self.conversion {
            Conversion::EpochS => Unit::Seconds,
            Conversion::EpochMs => Unit::Millis,
            Conversion::EpochUs => Unit::Micros,
            Conversion::EpochNs => Unit::Nanos,
            Conversion::WebkitUs => Unit::Webkit,
            Conversion::CocoaS => Unit::Cocoa,
            Conversion::Filetime => Unit::Filetime,
            Conversion::Julian => Unit::Julian,
            _ => return Err(Misfit::Class),
        })
    }

    /// Microseconds rounded to the digits of a second that the type keeps.
    fn rounded(&self, micros: i64) -> i64 {
        let step = self.bounds.step();
        halves_up(micros, step).saturating_mul(step)
    }

    fn kept(&self, micros: i64) -> Done {
        if micros % self.bounds.step() == 0 { Ok(()) } else { Err(Misfit::Finer) }
    }

    fn clock(&self, value: ValueRef<'_>, buf: &mut Vec<u8>) -> Done {
        let ValueRef::Text(t) = value else { return Err(Misfit::Class) };
        match moment::time(t) {
            Some((_, true)) => Err(Misfit::Rounded),
            Some((micros, false)) => {
                self.kept(micros)?;
                field(&micros.to_be_bytes(), buf)
            }
            None => Err(Misfit::NotTime),
        }
    }

    fn interval(&self, value: ValueRef<'_>, buf: &mut Vec<u8>) -> Done {
        let length = self.length(value)?;
        if length.rounded {
            return Err(Misfit::Rounded);
        }
        self.kept(length.micros)?;
        put_interval(length.micros, &length, buf)
    }

    fn length(&self, value: ValueRef<'_>) -> Result<interval::Length, Misfit> {
        match value {
            ValueRef::Text(t) => interval::of_text(t).ok_or(Misfit::NotInterval),
            ValueRef::Integer(_) | ValueRef::Real(_) if self.conversion == Conversion::Interval => {
                Err(Misfit::Unit)
            }
            ValueRef::Integer(n) => interval::of_integer(n, self.conversion).ok_or(Misfit::Range),
            ValueRef::Real(n) => interval::of_real(n, self.conversion).ok_or(Misfit::Class),
            _ => Err(Misfit::Class),
        }
    }

    /// An array as the server reads it from a text.
    fn array(&self, value: ValueRef<'_>, buf: &mut Vec<u8>) -> Done {
        let ValueRef::Text(t) = value else { return Err(Misfit::NotArray) };
        field(array::literal(words::clean(t)?).ok_or(Misfit::NotArray)?.as_bytes(), buf)
    }

    fn put_unit(&self, micros: Option<i64>, buf: &mut Vec<u8>) -> Done {
        let micros = micros.ok_or(Misfit::Range)?;
        self.put_moment(micros, micros, buf)
    }

    /// A timestamp without zone keeps the wall clock when the text names no zone, else it is UTC.
    fn put_moment(&self, local: i64, utc: i64, buf: &mut Vec<u8>) -> Done {
        match self.wire {
            Wire::Timestamp | Wire::Timestamptz => {
                self.kept(utc)?;
                field(&utc.to_be_bytes(), buf)
            }
            Wire::Date if local.rem_euclid(DAY) == 0 && local == utc => {
                let day = i32::try_from(local.div_euclid(DAY)).map_err(|_| Misfit::Range)?;
                field(&day.to_be_bytes(), buf)
            }
            _ => Err(Misfit::NotTime),
        }
    }
}

/// Quotient of a division, halves up.
fn halves_up(n: i64, by: i64) -> i64 {
    n.div_euclid(by) + i64::from(n.rem_euclid(by) >= by - by / 2 && by > 1)
}

fn put_interval(micros: i64, length: &interval::Length, buf: &mut Vec<u8>) -> Done {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&micros.to_be_bytes());
    bytes[8..12].copy_from_slice(&length.days.to_be_bytes());
    bytes[12..].copy_from_slice(&length.months.to_be_bytes());
    field(&bytes, buf)
}

/// The double that a text is the digits of.
fn text_of_real(text: &[u8]) -> Result<f64, Misfit> {
    let mut room = Vec::new();
    let digits = Digits::of_text(text, &mut room).ok_or(Misfit::NotNumber)?;
    let real: f64 = std::str::from_utf8(text).ok().and_then(|t| t.parse().ok()).ok_or(Misfit::NotNumber)?;
    match (real.is_finite(), digits.are_of(real)) {
        (false, _) => Err(Misfit::Range),
        (_, false) => Err(Misfit::Digits),
        _ => Ok(real),
    }
}

fn bytes(value: ValueRef<'_>, buf: &mut Vec<u8>) -> Done {
    match value {
        ValueRef::Blob(b) | ValueRef::Text(b) => field(b, buf),
        _ => Err(Misfit::Class),
    }
}

/// `{"t": …, "v": …}` as jsonb.
fn tagged(value: ValueRef<'_>, buf: &mut Vec<u8>) -> Done {
    let start = buf.len();
    buf.extend_from_slice(&[0, 0, 0, 0, 1]);
    match value {
        ValueRef::Integer(n) => {
            buf.extend_from_slice(br#"{"t":"integer","v":"#);
            words::integer(n, buf);
        }
        ValueRef::Real(n) => {
            buf.extend_from_slice(br#"{"t":"real","v":""#);
            words::real(n, buf);
            buf.push(b'"');
        }
        ValueRef::Text(t) => {
            buf.extend_from_slice(br#"{"t":"text","v":"#);
            let text = words::clean(t)?;
            serde_json::to_writer(&mut *buf, text).map_err(|_| Misfit::NotJson)?;
        }
        ValueRef::Blob(b) => {
            buf.extend_from_slice(br#"{"t":"blob","v":""#);
            words::hex(b, buf);
            buf.push(b'"');
        }
        ValueRef::Null => return Err(Misfit::Null),
    }
    buf.push(b'}');
    let len = length(buf.len() - start - 4)?;
    buf[start..start + 4].copy_from_slice(&len.to_be_bytes());
    Ok(())
}

/// NULL.
pub(crate) fn null(buf: &mut Vec<u8>) -> Done {
    buf.extend_from_slice(&[0xff; 4]);
    Ok(())
}

fn field(bytes: &[u8], buf: &mut Vec<u8>) -> Done {
    buf.extend_from_slice(&length(bytes.len())?.to_be_bytes());
    buf.extend_from_slice(bytes);
    Ok(())
}

/// PostgreSQL's varlena header has 30 bits.
fn length(len: usize) -> Result<i32, Misfit> {
    i32::try_from(len).ok().filter(|n| *n < (1 << 30) - 64).ok_or(Misfit::TooLarge)
}
