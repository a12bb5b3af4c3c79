//! A value of PostgreSQL as SQLite had such values (pure): the inverse of the conversion by which it came, in the
//! form of the values that the column already holds.

use super::held::{Affinity, exact_real};
use crate::model::types::staged_type;
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
/// What is written for false and for true.
const WORDS: [[&str; 2]; 6] =
    [["false", "true"], ["f", "t"], ["no", "yes"], ["n", "y"], ["off", "on"], ["0", "1"]];

/// How one column's values are asked for, and made into values of SQLite's.
#[derive(Clone, Debug)]
pub(super) struct InverseColumn {
    conversion: Conversion,
    /// The type in PostgreSQL.
    pg_type: String,
    /// The one that the values were sent in, which is another where the application's table has one of its own.
    sent_type: String,
    affinity: Affinity,
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
        InverseColumn {
            conversion: column.conversion,
            pg_type: column.pg_type.clone(),
            sent_type: staged_type(column),
            affinity: Affinity::of(&column.declared),
            form,
        }
    }

    /// The expression, of type text, that asks for the column's value; `name` is quoted. A value that its form cannot
    /// show is asked for as PostgreSQL writes it, and is none of SQLite's: to_char gives NULL for infinity, and leaves the
    /// BC of a year out.
    pub(super) fn select_sql(&self, name: &str) -> String {
        use Conversion as C;
        let conversion = self.conversion;
        let is_time = conversion.is_moment() || conversion.is_interval() || conversion == C::Date;
        let of_other = self.sent_type != self.pg_type && (is_time || conversion == C::Numeric);
        let name = if of_other { format!("({name})::{}", self.sent_type) } else { name.to_string() };
        let within = |years: &str, form: String| {
            format!("case when extract(year from {name}) {years} then {form} else ({name})::text end")
        };
        let micros = || format!("round(extract(epoch from {name}) * 1000000)::bigint::text");
        match conversion {
            C::Date => within("between 1 and 9999", format!("to_char({name}, 'YYYY-MM-DD')")),
            C::Timestamp => {
                within("between 1 and 9999", format!("to_char({name}, 'YYYY-MM-DD HH24:MI:SS.US')"))
            }
            c if c.is_moment() => within("between -4712 and 290000", micros()),
            C::Interval => format!("({name})::text"),
            c if c.is_interval() => within(
                &format!("= 0 and extract(month from {name}) = 0 and extract(day from {name}) = 0"),
                micros(),
            ),
            C::Array if self.pg_type.ends_with("[]") && self.form.is_json() => {
                format!("array_to_json({name})::text")
            }
            _ => format!("({name})::text"),
        }
    }

    /// The value of that text; none for one that SQLite cannot hold.
    pub(super) fn value_of(&self, text: Option<&str>) -> Option<Value> {
        let Some(text) = text else { return Some(Value::Null) };
        let value = self.make_value(text)?;
        match &value {
            Value::Text(made) if !self.keeps(made) => None,
            _ => Some(value),
        }
    }

    fn make_value(&self, text: &str) -> Option<Value> {
        use Conversion as C;
        let micros = || text.parse::<i64>().ok();
        match self.conversion {
            C::Integer => self.number_of(text),
            C::Bool | C::BoolWords => self.truth_of(text),
            C::Float => real_of(text),
            C::Numeric => self.number_of(text),
            C::Bytes => bytes_of(text).map(Value::Blob),
            C::Timestamp if is_iso(text) => Some(Value::Text(self.form.time_text(text))),
            C::Date if is_iso(text) => Some(Value::Text(text.into())),
            C::Timestamp | C::Date => None,
            C::EpochS | C::IntervalS => Some(parts_of(micros()?, SECOND)),
            C::EpochMs | C::IntervalMs => Some(parts_of(micros()?, 1000)),
            C::EpochUs | C::IntervalUs => micros().map(Value::Integer),
            C::EpochNs => micros()?.checked_mul(1000).map(Value::Integer),
            C::IntervalTicks => micros()?.checked_mul(10).map(Value::Integer),
            C::WebkitUs => micros()?.checked_add(WEBKIT).map(Value::Integer),
            C::CocoaS => Some(parts_of(micros()?.checked_sub(COCOA)?, SECOND)),
            C::Filetime => micros()?.checked_add(WEBKIT)?.checked_mul(10).map(Value::Integer),
            // SQLite rounds such a day to milliseconds.
            C::Julian if micros()? % 1000 == 0 => Some(Value::Real(micros()? as f64 / DAY + EPOCH)),
            C::Julian => None,
            C::Uuid | C::Guid => self.uuid_of(text),
            C::Tagged => tagged_of(text),
            C::Interval | C::Time if text.ends_with("infinity") || text.starts_with("24:") => None,
            C::Text | C::Time | C::Interval | C::Array | C::Json => Some(Value::Text(text.into())),
        }
    }

    /// Whether SQLite stores the text as it is, or as a number that the column's conversion reads as the same.
    fn keeps(&self, text: &str) -> bool {
        use Conversion as C;
        match self.conversion {
            C::Integer | C::Numeric | C::Tagged => true,
            C::Text => self.affinity.keeps_text(text),
            _ => !self.affinity.is_number(text),
        }
    }

    /// 0 or 1; words where the column has words.
    fn truth_of(&self, text: &str) -> Option<Value> {
        let truth = migrate::text::parse_truth(text.as_bytes())?;
        let sample = self.form.sample.to_ascii_lowercase();
        let pair = WORDS.iter().find(|pair| pair.contains(&sample.as_str()));
        let Some(pair) = pair.filter(|_| self.conversion == Conversion::BoolWords) else {
            return Some(Value::Integer(i64::from(truth)));
        };
        let word = pair[usize::from(truth)];
        let upper = |c: Option<char>| c.is_some_and(|c| c.is_ascii_uppercase());
        let made = match (upper(self.form.sample.chars().next()), upper(self.form.sample.chars().last())) {
            (true, true) => word.to_ascii_uppercase(),
            (true, false) => word[..1].to_ascii_uppercase() + &word[1..],
            _ => word.to_string(),
        };
        Some(Value::Text(made))
    }

    /// The digits, where the column holds such; an integer, or a real of just these digits; else the digits, where SQLite
    /// leaves them as they are.
    fn number_of(&self, text: &str) -> Option<Value> {
        if text == "NaN" {
            return None;
        }
        let infinite = text.ends_with("nfinity");
        if !infinite && (self.affinity == Affinity::Text || !self.form.sample.is_empty()) {
            let own = Value::Text(text.into());
            return (!self.affinity.makes_numbers() || self.converts(text)).then_some(own);
        }
        if let Ok(n) = text.parse() {
            return Some(Value::Integer(n));
        }
        if infinite {
            return real_of(text).filter(|_| self.conversion == Conversion::Numeric);
        }
        match exact_real(text) {
            // Of a column of integers in SQLite, which has a type with a point in PostgreSQL.
            Some(real)
                if self.conversion == Conversion::Integer && real.fract() == 0.0 && real.abs() < 9e15 =>
            {
                Some(Value::Integer(real as i64))
            }
            Some(real) => Some(Value::Real(real)),
            None => (!self.affinity.makes_numbers()).then(|| Value::Text(text.into())),
        }
    }

    /// Whether the number that SQLite makes of these digits is the same number.
    fn converts(&self, text: &str) -> bool {
        (text.parse::<i64>().is_ok() && self.affinity == Affinity::Numeric) || exact_real(text).is_some()
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
    /// Texts are JSON, or there are none yet.
    fn is_json(&self) -> bool {
        self.sample.is_empty() || self.sample.trim_start().starts_with('[')
    }

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

/// Whether a time is as to_char wrote it: others begin otherwise, have more digits, or end with BC.
fn is_iso(text: &str) -> bool {
    text.as_bytes().get(4) == Some(&b'-')
        && text.starts_with(|c: char| c.is_ascii_digit())
        && !text.ends_with("BC")
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

    /// What SQLite would store otherwise does not go back; what it holds as a text stays one.
    #[test]
    fn the_declared_type_decides_what_is_kept() {
        use Conversion as C;
        let text = |t: &str| Some(Value::Text(t.into()));
        for (declared, conversion, sample, given, expected) in [
            ("decimal(30,20)", C::Numeric, None, "0.1000000000000000000001", None),
            ("decimal(30,20)", C::Numeric, None, "0.5000", Some(Value::Real(0.5))),
            ("decimal(30,20)", C::Numeric, text("1.5"), "0.1000000000000000000001", None),
            ("text", C::Numeric, None, "0.1000000000000000000001", text("0.1000000000000000000001")),
            ("varchar(20)", C::Numeric, text("1.50"), "2.50", text("2.50")),
            ("string", C::Text, text("x"), "007", None),
            ("string", C::Text, text("x"), "7", text("7")),
            ("varchar(9)", C::Text, text("x"), "007", text("007")),
            ("json", C::Json, text("{}"), "5", None),
            ("text", C::Json, text("{}"), "5", text("5")),
            (
                "uuid",
                C::Uuid,
                text("0123456789abcdef0123456789abcdef"),
                "11111111-1111-1111-1111-111111111111",
                None,
            ),
            (
                "char(32)",
                C::Uuid,
                text("0123456789abcdef0123456789abcdef"),
                "11111111-1111-1111-1111-111111111111",
                text("11111111111111111111111111111111"),
            ),
            ("text", C::BoolWords, text("True"), "false", text("False")),
            ("text", C::BoolWords, text("N"), "t", text("Y")),
            ("text", C::BoolWords, text("off"), "true", text("on")),
        ] {
            let column = Column { conversion, declared: declared.into(), ..Column::default() };
            let inverse = InverseColumn::new(&column, sample.as_ref());
            assert_eq!(inverse.value_of(Some(given)), expected, "{declared} {conversion:?} {given}");
        }
        let array = Column { conversion: C::Array, pg_type: "integer[]".into(), ..Column::default() };
        assert!(InverseColumn::new(&array, None).select_sql("a").starts_with("array_to_json"));
        assert!(InverseColumn::new(&array, text("{1,2}").as_ref()).select_sql("a").starts_with("(a)::text"));
        let money = Column { conversion: C::Numeric, pg_type: "money".into(), ..Column::default() };
        assert_eq!(InverseColumn::new(&money, None).select_sql("m"), "((m)::numeric(17,2))::text");
    }

    #[test]
    fn each_conversion_goes_back() {
        use Conversion as C;
        let blob = |b: &[u8]| Some(Value::Blob(b.to_vec()));
        let text = |t: &str| Some(Value::Text(t.into()));
        for (conversion, given, expected) in [
            (C::Integer, "-5", Some(Value::Integer(-5))),
            (C::Integer, "5.00", Some(Value::Integer(5))),
            (C::Integer, "5.25", Some(Value::Real(5.25))),
            (C::Bool, "true", Some(Value::Integer(1))),
            (C::BoolWords, "false", Some(Value::Integer(0))),
            (C::Timestamp, "infinity", None),
            (C::Timestamp, "0044-03-15 00:00:00 BC", None),
            (C::Timestamp, "10000-01-01 00:00:00+00", None),
            (C::Date, "-infinity", None),
            (C::Date, "2024-01-02", text("2024-01-02")),
            (C::EpochMs, "infinity", None),
            (C::IntervalS, "1 day", None),
            (C::Julian, "1234", None),
            (C::Time, "24:00:00", None),
            (C::Float, "0.1", Some(Value::Real(0.1))),
            (C::Float, "NaN", None),
            (C::Float, "-Infinity", Some(Value::Real(f64::NEG_INFINITY))),
            (C::Numeric, "12", Some(Value::Integer(12))),
            (C::Numeric, "12.5", Some(Value::Real(12.5))),
            (C::Numeric, "12.50", Some(Value::Real(12.5))),
            (C::Numeric, "NaN", None),
            (C::Numeric, "Infinity", Some(Value::Real(f64::INFINITY))),
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
