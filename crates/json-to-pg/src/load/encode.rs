//! One value of a record to one field of PostgreSQL's binary COPY.

use super::misfit::Misfit;
use super::whole::parse_whole;
use crate::json::canonical::put_number;
use crate::json::{Shape, Value};
use crate::model::{FieldForm, FilledColumn, ValueConversion, Zone};
use crate::write::write_value;
use migrate::copy::{field_length, put_field, put_null};
use migrate::invalid::Invalid;
use migrate::number::Digits;
use migrate::timestamp::{self, DAY, LocalTimestamp, Unit};
use migrate::types::{TypeBounds, WireType};
use std::borrow::Cow;

/// Zones of a run.
#[derive(Clone, Debug)]
pub(crate) struct Zones {
    /// Of times in the files that name none.
    pub(crate) naive: Zone,
    /// Of columns of type timestamp.
    pub(crate) column: Zone,
}

/// How a column's values are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ValueEncoder<'a> {
    pub(crate) field: FieldForm,
    pub(crate) convert: Option<ValueConversion>,
    pub(crate) labels: &'a [String],
    pub(crate) zones: &'a Zones,
}

impl<'a> ValueEncoder<'a> {
    /// Of a column.
    pub(crate) fn of(column: &'a FilledColumn, zones: &'a Zones) -> ValueEncoder<'a> {
        ValueEncoder { field: column.field, convert: column.convert, labels: &column.labels, zones }
    }

    /// Appends the field, its length first. When it does not fit, what was appended is to be cut off by the caller.
    ///
    /// # Errors
    /// Why it does not fit.
    pub(crate) fn put_value(&self, value: Value<'_>, buf: &mut Vec<u8>) -> Result<(), Misfit> {
        match (value.shape(), self.field) {
            (Shape::Null, _) => Ok(put_null(buf)?),
            (_, FieldForm::Plain(wire, bounds)) => self.put_plain(value, WireField { wire, bounds }, buf),
            (Shape::Array, FieldForm::List(wire, bounds, oid)) => {
                self.put_list(value, ListOf { item: WireField { wire, bounds }, oid }, buf)
            }
            (shape, FieldForm::List(..)) => Err(shape.into()),
            (_, FieldForm::Cast) => {
                let text = self.text_of(value)?;
                if !self.labels.is_empty() && !self.labels.iter().any(|l| *l == text) {
                    return Err(Misfit::Label);
                }
                Ok(put_field(text.as_bytes(), buf)?)
            }
        }
    }

    fn put_plain(&self, value: Value<'_>, to: WireField, buf: &mut Vec<u8>) -> Result<(), Misfit> {
        match to.wire {
            WireType::Int2 | WireType::Int4 | WireType::Int8 => self.put_integer(value, to.wire, buf),
            WireType::Numeric => self.put_numeric(value, to.bounds, buf),
            WireType::Float4 | WireType::Float8 => self.put_float(value, to.wire, buf),
            WireType::Bool => match value.shape() {
                Shape::True => Ok(put_field(&[1], buf)?),
                Shape::False => Ok(put_field(&[0], buf)?),
                shape => Err(shape.into()),
            },
            WireType::Json | WireType::Jsonb => self.put_json(value, to.wire, buf),
            WireType::Uuid => {
                let text = self.text_of(value)?;
                Ok(put_field(&migrate::text::parse_uuid(text.as_bytes()).ok_or(Invalid::NotUuid)?, buf)?)
            }
            WireType::Time => {
                let text = self.text_of(value)?;
                match timestamp::parse_clock(text.as_bytes()) {
                    Some((micros, false)) if micros % to.bounds.least_step() == 0 => {
                        Ok(put_field(&micros.to_be_bytes(), buf)?)
                    }
                    Some(_) => Err(Invalid::Finer.into()),
                    None => Err(Invalid::NotTime.into()),
                }
            }
            WireType::Timestamp | WireType::Timestamptz | WireType::Date => {
                let micros = self.moment_of(value, to)?;
                match to.wire {
                    WireType::Date => {
                        let day = i32::try_from(micros / DAY).map_err(|_| Invalid::Range)?;
                        Ok(put_field(&day.to_be_bytes(), buf)?)
                    }
                    _ => Ok(put_field(&micros.to_be_bytes(), buf)?),
                }
            }
            WireType::Text | WireType::Bytea | WireType::Interval => {
                let text = self.text_of(value)?;
                match to.bounds.length {
                    // varchar(n) counts characters and not bytes (manual, "Character Types"), of which there are
                    // never fewer.
                    Some(most) if text.len() > most && text.chars().count() > most => {
                        Err(Invalid::TooLong.into())
                    }
                    _ => Ok(put_field(text.as_bytes(), buf)?),
                }
            }
        }
    }

    /// The text of a number, also of one in a string where the plan says so.
    fn number_of<'v>(&self, value: Value<'v>) -> Result<Cow<'v, [u8]>, Misfit> {
        match value.shape() {
            Shape::Number => Ok(Cow::Borrowed(value.raw())),
            Shape::String => {
                let text = value.text()?;
                let is_number = Digits::from_text(text.as_bytes(), &mut Vec::new()).is_some();
                match (is_number, self.convert) {
                    (true, Some(ValueConversion::Numbers)) => Ok(Cow::Owned(text.into_owned().into_bytes())),
                    (true, _) => Err(Misfit::Digits),
                    (false, _) => Err(Invalid::NotNumber.into()),
                }
            }
            shape => Err(shape.into()),
        }
    }

    /// The text of a string, also of a number or boolean where the plan says so.
    pub(crate) fn text_of<'v>(&self, value: Value<'v>) -> Result<Cow<'v, str>, Misfit> {
        match (value.shape(), self.convert) {
            (Shape::String, Some(ValueConversion::Replace)) => Ok(value.nearest_text()),
            (Shape::String, _) => Ok(value.text()?),
            (Shape::Number | Shape::True | Shape::False, Some(ValueConversion::Text)) => {
                Ok(String::from_utf8_lossy(value.raw()))
            }
            (shape, _) => Err(shape.into()),
        }
    }

    fn put_integer(&self, value: Value<'_>, wire: WireType, buf: &mut Vec<u8>) -> Result<(), Misfit> {
        let n = self.integer_of(value)?;
        match wire {
            WireType::Int2 => put_field(&i16::try_from(n).map_err(|_| Invalid::Range)?.to_be_bytes(), buf)?,
            WireType::Int4 => put_field(&i32::try_from(n).map_err(|_| Invalid::Range)?.to_be_bytes(), buf)?,
            _ => put_field(&n.to_be_bytes(), buf)?,
        }
        Ok(())
    }

    /// The whole number that a value is.
    pub(crate) fn integer_of(&self, value: Value<'_>) -> Result<i64, Misfit> {
        let text = self.number_of(value)?;
        parse_whole(text.strip_prefix(b"+").unwrap_or(&text), self.convert == Some(ValueConversion::Round))
    }

    fn put_numeric(&self, value: Value<'_>, bounds: TypeBounds, buf: &mut Vec<u8>) -> Result<(), Misfit> {
        let (text, mut room) = (self.number_of(value)?, Vec::new());
        let digits = Digits::from_text(&text, &mut room).ok_or(Invalid::Range)?;
        if !digits.fits_numeric() {
            return Err(Invalid::Range.into());
        }
        if let Some((precision, scale)) = bounds.digits
            && (digits.scale_digits() > scale || digits.whole_digits() > precision - scale)
        {
            return Err(Invalid::Digits.into());
        }
        digits.put_numeric(buf);
        Ok(())
    }

    fn put_float(&self, value: Value<'_>, wire: WireType, buf: &mut Vec<u8>) -> Result<(), Misfit> {
        let text = self.number_of(value)?;
        let shown = std::str::from_utf8(&text).map_err(|_| Invalid::NotUtf8)?;
        // Only what the shortest digits of the double give back: JSON's numbers are decimals, and more digits than that
        // would be lost without a word.
        let (bytes, shortest): (Vec<u8>, String) = match wire {
            WireType::Float4 => {
                let real: f32 = shown.parse().ok().filter(|n: &f32| n.is_finite()).ok_or(Invalid::Range)?;
                (real.to_be_bytes().to_vec(), format!("{real:e}"))
            }
            _ => {
                let real: f64 = shown.parse().ok().filter(|n: &f64| n.is_finite()).ok_or(Invalid::Range)?;
                (real.to_be_bytes().to_vec(), format!("{real:e}"))
            }
        };
        if decimal(&text) != decimal(shortest.as_bytes()) {
            return Err(Invalid::Digits.into());
        }
        Ok(put_field(&bytes, buf)?)
    }

    fn put_json(&self, value: Value<'_>, wire: WireType, buf: &mut Vec<u8>) -> Result<(), Misfit> {
        let own;
        let text = match (value.find_bad_text(), self.convert) {
            // As it was written: json keeps white space, the order of keys and keys that stand twice, and jsonb the
            // digits of a number (manual, "JSON Types").
            (None, _) => value.raw(),
            (Some(_), Some(ValueConversion::Replace)) => {
                own = write_value(value);
                own.as_bytes()
            }
            (Some(bad), _) => return Err(bad.into()),
        };
        if !value.fits_numeric() {
            return Err(Invalid::Range.into());
        }
        let binary = wire == WireType::Jsonb;
        buf.extend_from_slice(&field_length(text.len() + usize::from(binary))?.to_be_bytes());
        // jsonb's binary form is a version before the text (`jsonb_recv`); there has been no other than 1.
        if binary {
            buf.push(1);
        }
        buf.extend_from_slice(text);
        Ok(())
    }

    /// Microseconds since 2000 as the column has them: of the instant for timestamptz, of its zone's clock for timestamp,
    /// of midnight for date.
    pub(crate) fn moment_of(&self, value: Value<'_>, to: WireField) -> Result<i64, Misfit> {
        let instant = match (value.shape(), self.convert) {
            (Shape::Number, Some(unit @ (ValueConversion::EpochMs | ValueConversion::EpochS))) => {
                let unit = if unit == ValueConversion::EpochMs { Unit::Millis } else { Unit::Seconds };
                unit.micros_of_integer(parse_whole(value.raw(), false)?).ok_or(Invalid::Range)?
            }
            (Shape::String, _) => {
                let text = value.text()?;
                let time = timestamp::parse_timestamp(text.as_bytes()).ok_or(Invalid::NotTime)?;
                if time.rounded && self.convert != Some(ValueConversion::Round) {
                    return Err(Invalid::Rounded.into());
                }
                match to.wire {
                    WireType::Date if time.day_only => return Ok(time.local),
                    WireType::Date => return Err(Invalid::NotTime.into()),
                    _ => self.instant_of(&time)?,
                }
            }
            (shape, _) => return Err(shape.into()),
        };
        let micros = match to.wire {
            WireType::Timestamp => self.zones.column.clock_at(instant),
            _ => instant,
        };
        let step = to.bounds.least_step();
        match (micros % step == 0, self.convert) {
            (true, _) => Ok(micros),
            (false, Some(ValueConversion::Round)) => Ok((micros + step / 2).div_euclid(step) * step),
            (false, _) => Err(Invalid::Finer.into()),
        }
    }

    fn instant_of(&self, time: &LocalTimestamp) -> Result<i64, Misfit> {
        match time.zone {
            Some(_) => Ok(time.utc()),
            None => Ok(self.zones.naive.instant_of(time.local)?),
        }
    }

    /// An array of PostgreSQL's: dimensions, whether there are nulls, the type of the items, their number, the first index
    /// (array_recv() of arrayfuncs.c).
    fn put_list(&self, value: Value<'_>, list: ListOf, buf: &mut Vec<u8>) -> Result<(), Misfit> {
        let start = buf.len();
        buf.extend_from_slice(&[0; 4]);
        let (count, nulls) =
            value.items().fold((0_i32, false), |(n, nulls), v| (n + 1, nulls || v.shape() == Shape::Null));
        let head = [i32::from(count > 0), i32::from(nulls), list.oid];
        head.iter().for_each(|n| buf.extend_from_slice(&n.to_be_bytes()));
        if count > 0 {
            [count, 1].iter().for_each(|n: &i32| buf.extend_from_slice(&n.to_be_bytes()));
        }
        for element in value.items() {
            match element.shape() {
                Shape::Null => put_null(buf)?,
                _ => self.put_plain(element, list.item, buf)?,
            }
        }
        let length = field_length(buf.len() - start - 4)?;
        buf[start..start + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }
}

/// A type with its bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WireField {
    pub(crate) wire: WireType,
    pub(crate) bounds: TypeBounds,
}

/// What a list's items are, and the number of their type.
#[derive(Clone, Copy, Debug)]
struct ListOf {
    item: WireField,
    oid: i32,
}

/// The value of a number's text, in one form.
pub(crate) fn decimal(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_number(text.strip_prefix(b"+").unwrap_or(text), &mut out);
    out
}

/// The member at the end of these names; none where it, or one on the way, is not there.
pub(crate) fn find_member<'v>(value: Value<'v>, names: &[String]) -> Option<Value<'v>> {
    names.iter().try_fold(value, |value, name| value.get(name))
}
