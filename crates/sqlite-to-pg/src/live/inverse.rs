//! A value of PostgreSQL as SQLite had such values (pure): the inverse of the conversion by which it came, in the
//! form of the values that the column already holds.

use crate::model::{Column, Conversion};
use rusqlite::types::Value;
use toban_core::pg::Ident;

/// Microseconds from 1601 and from 1970 to 2001.
const WEBKIT: i64 = 11_644_473_600_000_000;
const COCOA: i64 = 978_307_200_000_000;
/// Microseconds of a second and of a day; the Julian day of 1970.
const SECOND: i64 = 1_000_000;
const DAY: f64 = 86_400e6;
const EPOCH: f64 = 2_440_587.5;

/// How one column's values are asked for, and made into values of SQLite's.
#[derive(Clone, Debug)]
pub(super) struct InverseColumn {
    conversion: Conversion,
    form: TextForm,
}

/// The form of the texts that a column holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct TextForm {
    /// A sample, empty where there is none.
    sample: String,
    /// Values are blobs.
    blob: bool,
}

impl InverseColumn {
    /// Of a column of which SQLite holds such a value, if any.
    pub(super) fn new(column: &Column, sample: Option<&Value>) -> InverseColumn {
        let form = match sample {
            Some(Value::Text(text)) => TextForm { sample: text.clone(), blob: false },
            Some(Value::Blob(_)) => TextForm { sample: String::new(), blob: true },
            _ => TextForm::default(),
        };
        InverseColumn { conversion: column.conversion, form }
    }

    /// The expression, of type text, that asks for the column's value; `name` is quoted.
    pub(super) fn select_sql(&self, name: &str) -> String {
        use Conversion as C;
        match self.conversion {
            C::Bool | C::BoolWords => format!("({name})::int::text"),
            C::Date => format!("to_char({name}, 'YYYY-MM-DD')"),
            C::Timestamp => format!("to_char({name}, 'YYYY-MM-DD HH24:MI:SS.US')"),
            C::Interval | C::Time => format!("({name})::text"),
            c if c.is_moment() || c.is_interval() => {
                format!("round(extract(epoch from {name}) * 1000000)::bigint::text")
            }
            _ => format!("({name})::text"),
        }
    }

    /// The value of that text; none for one that SQLite cannot hold.
    pub(super) fn value_of(&self, text: Option<&str>) -> Option<Value> {
        use Conversion as C;
        let Some(text) = text else { return Some(Value::Null) };
        let micros = || text.parse::<i64>().ok();
        match self.conversion {
            C::Integer | C::Bool | C::BoolWords => text.parse().ok().map(Value::Integer),
            C::Float => real_of(text),
            C::Numeric => number_of(text),
            C::Bytes => bytes_of(text).map(Value::Blob),
            C::Timestamp => Some(Value::Text(self.form.time_text(text))),
            C::EpochS | C::IntervalS => Some(parts_of(micros()?, SECOND)),
            C::EpochMs | C::IntervalMs => Some(parts_of(micros()?, 1000)),
            C::EpochUs | C::IntervalUs => micros().map(Value::Integer),
            C::EpochNs => micros()?.checked_mul(1000).map(Value::Integer),
            C::IntervalTicks => micros()?.checked_mul(10).map(Value::Integer),
            C::WebkitUs => micros()?.checked_add(WEBKIT).map(Value::Integer),
            C::CocoaS => Some(parts_of(micros()?.checked_sub(COCOA)?, SECOND)),
            C::Filetime => micros()?.checked_add(WEBKIT)?.checked_mul(10).map(Value::Integer),
            C::Julian => Some(Value::Real(micros()? as f64 / DAY + EPOCH)),
            C::Uuid | C::Guid => self.uuid_of(text),
            C::Tagged => tagged_of(text),
            C::Text | C::Date | C::Time | C::Interval | C::Array | C::Json => Some(Value::Text(text.into())),
        }
    }

    fn uuid_of(&self, text: &str) -> Option<Value> {
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        if self.form.blob {
            let mut bytes = bytes_of(&format!("\\x{digits}"))?;
            if self.conversion == Conversion::Guid {
                bytes.get_mut(..4)?.reverse();
                bytes.get_mut(4..6)?.reverse();
                bytes.get_mut(6..8)?.reverse();
            }
            return Some(Value::Blob(bytes));
        }
        let made = if self.form.sample.len() == 32 { digits } else { text.to_string() };
        let upper = self.form.sample.chars().any(|c| c.is_ascii_uppercase());
        Some(Value::Text(if upper { made.to_ascii_uppercase() } else { made }))
    }
}

impl TextForm {
    /// `YYYY-MM-DD HH:MM:SS.ffffff` in the form of the sample: its separator, as many digits at least, its zone when
    /// that is UTC.
    fn time_text(&self, text: &str) -> String {
        let Some((head, fraction)) = text.rsplit_once('.') else { return text.to_string() };
        let sample = self.sample.as_str();
        let own = sample.get(19..).and_then(|rest| rest.strip_prefix('.')).unwrap_or_default();
        let own = own.find(|c: char| !c.is_ascii_digit()).unwrap_or(own.len()).min(6);
        let used = fraction.trim_end_matches('0').len();
        let digits = match used.max(own) {
            0 => String::new(),
            n if n == own => format!(".{}", &fraction[..own]),
            // In steps as programs print them: milliseconds, else all six.
            n if n <= 3 && own > 0 => format!(".{}", &fraction[..3]),
            n => format!(".{}", &fraction[..n]),
        };
        if sample.len() == 10 && used == 0 && head.ends_with(" 00:00:00") {
            return head[..head.len() - 9].to_string();
        }
        let head =
            if sample.get(10..11) == Some("T") { head.replacen(' ', "T", 1) } else { head.to_string() };
        format!("{head}{digits}{}", zone_of(sample))
    }
}

/// What stands for UTC after a time of this form.
fn zone_of(sample: &str) -> &'static str {
    let rest = sample.get(16..).unwrap_or_default();
    match (rest.ends_with(['Z', 'z']), rest.contains(['+', '-']), rest.contains(' ')) {
        (true, _, _) => "Z",
        (_, true, true) => " +00:00",
        (_, true, false) => "+00:00",
        _ => "",
    }
}

/// So many of a unit: an integer when it is whole.
fn parts_of(micros: i64, unit: i64) -> Value {
    match micros % unit {
        0 => Value::Integer(micros / unit),
        _ => Value::Real(micros as f64 / unit as f64),
    }
}

fn real_of(text: &str) -> Option<Value> {
    // SQLite stores NaN as NULL.
    text.parse::<f64>().ok().filter(|n| !n.is_nan()).map(Value::Real)
}

/// An integer, a real that has just these digits, or the digits as a text.
fn number_of(text: &str) -> Option<Value> {
    if let Ok(n) = text.parse() {
        return Some(Value::Integer(n));
    }
    let real: f64 = text.parse().ok()?;
    match real.is_nan() {
        true => None,
        false if real.is_infinite() && text.ends_with("nfinity") => Some(Value::Real(real)),
        false if format!("{real}") == text => Some(Value::Real(real)),
        false => Some(Value::Text(text.into())),
    }
}

/// Of bytea's hexadecimal form.
fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("\\x")?;
    let byte = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// Of `{"t": …, "v": …}`.
fn tagged_of(text: &str) -> Option<Value> {
    let tagged: serde_json::Value = serde_json::from_str(text).ok()?;
    let value = tagged.get("v")?;
    match tagged.get("t")?.as_str()? {
        "integer" => value.as_i64().map(Value::Integer),
        "real" => value.as_str().and_then(real_of),
        "text" => value.as_str().map(|t| Value::Text(t.into())),
        "blob" => bytes_of(&format!("\\x{}", value.as_str()?)).map(Value::Blob),
        _ => None,
    }
}

/// The column as a query names it.
pub(super) fn column_name(column: &Column, table: &str) -> String {
    format!("{table}.{}", Ident::new(&*column.target))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inverse(conversion: Conversion, sample: Option<Value>) -> InverseColumn {
        InverseColumn::new(&Column { conversion, ..Column::default() }, sample.as_ref())
    }

    #[test]
    fn times_have_the_form_that_the_column_has() {
        let noon = "2024-05-06 12:00:00.000000";
        let fine = "2024-05-06 12:00:00.120000";
        for (sample, text, expected) in [
            ("", noon, "2024-05-06 12:00:00"),
            ("2020-01-01 00:00:00", fine, "2024-05-06 12:00:00.12"),
            ("2020-01-01 00:00:00.000 +00:00", noon, "2024-05-06 12:00:00.000 +00:00"),
            ("2020-01-01T00:00:00Z", noon, "2024-05-06T12:00:00Z"),
            ("2020-01-01T00:00:00.123456+09:00", fine, "2024-05-06T12:00:00.120000+00:00"),
            ("2020-01-01", "2024-05-06 00:00:00.000000", "2024-05-06"),
            ("2020-01-01", noon, "2024-05-06 12:00:00"),
        ] {
            let column = inverse(Conversion::Timestamp, Some(Value::Text(sample.into())));
            assert_eq!(column.value_of(Some(text)), Some(Value::Text(expected.into())), "{sample}");
        }
    }

    #[test]
    fn each_conversion_goes_back() {
        use Conversion as C;
        let blob = |b: &[u8]| Some(Value::Blob(b.to_vec()));
        let text = |t: &str| Some(Value::Text(t.into()));
        for (conversion, given, expected) in [
            (C::Integer, "-5", Some(Value::Integer(-5))),
            (C::Bool, "1", Some(Value::Integer(1))),
            (C::Float, "0.1", Some(Value::Real(0.1))),
            (C::Float, "NaN", None),
            (C::Float, "-Infinity", Some(Value::Real(f64::NEG_INFINITY))),
            (C::Numeric, "12", Some(Value::Integer(12))),
            (C::Numeric, "12.5", Some(Value::Real(12.5))),
            (C::Numeric, "12.50", text("12.50")),
            (C::Numeric, "0.1000000000000000000001", text("0.1000000000000000000001")),
            (C::Bytes, "\\x00ff", blob(&[0, 255])),
            (C::EpochS, "1500000000000000", Some(Value::Integer(1_500_000_000))),
            (C::EpochS, "1500000000500000", Some(Value::Real(1_500_000_000.5))),
            (C::EpochMs, "1500000000500000", Some(Value::Integer(1_500_000_000_500))),
            (C::CocoaS, "978307200000000", Some(Value::Integer(0))),
            (C::Filetime, "0", Some(Value::Integer(116_444_736_000_000_000))),
            (C::Julian, "0", Some(Value::Real(2_440_587.5))),
            (C::Tagged, "{\"t\": \"blob\", \"v\": \"00ff\"}", blob(&[0, 255])),
            (C::Tagged, "{\"t\": \"real\", \"v\": \"1.5\"}", Some(Value::Real(1.5))),
            (C::Uuid, "00112233-4455-6677-8899-aabbccddeeff", text("00112233-4455-6677-8899-aabbccddeeff")),
        ] {
            assert_eq!(inverse(conversion, None).value_of(Some(given)), expected, "{conversion:?} {given}");
            assert_eq!(inverse(conversion, None).value_of(None), Some(Value::Null));
        }
        let guid = inverse(C::Guid, Some(Value::Blob(vec![0; 16])));
        let bytes = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
        assert_eq!(guid.value_of(Some("00010203-0405-0607-0809-0a0b0c0d0e0f")), blob(&bytes));
    }
}
