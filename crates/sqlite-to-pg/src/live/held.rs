//! What SQLite cannot hold of what PostgreSQL can (pure): by column, before anything goes back.

use crate::model::{Column, Conversion, Plan};
use migrate::number::{Decimal, Digits};
use migrate::types::parse_type;
use serde::Serialize;
use std::collections::BTreeMap;
use toban_core::Record;

/// What SQLite makes of a value that is stored in a column (<https://sqlite.org/datatype3.html#determination_of_column_affinity>).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Affinity {
    Text,
    /// A text that is a number becomes one, and a whole number an integer: INTEGER and NUMERIC.
    Numeric,
    /// The same, and every number becomes a real.
    Real,
    /// Values stay as they are.
    #[default]
    Blob,
}

impl Affinity {
    /// By the type that is declared.
    pub(super) fn of(declared: &str) -> Affinity {
        let name = declared.to_ascii_uppercase();
        let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
        match () {
            () if has(&["INT"]) => Affinity::Numeric,
            () if has(&["CHAR", "CLOB", "TEXT"]) => Affinity::Text,
            () if name.trim().is_empty() || has(&["BLOB"]) => Affinity::Blob,
            () if has(&["REAL", "FLOA", "DOUB"]) => Affinity::Real,
            () => Affinity::Numeric,
        }
    }

    /// Whether a text that is a number becomes one.
    pub(super) fn makes_numbers(self) -> bool {
        matches!(self, Affinity::Numeric | Affinity::Real)
    }

    /// Whether SQLite makes a number of this text.
    pub(super) fn is_number(self, text: &str) -> bool {
        self.makes_numbers() && number_text(text).is_some()
    }

    /// Whether this text stays a text that gives the same again, where numbers are read as their digits.
    pub(super) fn keeps_text(self, text: &str) -> bool {
        let Some(real) = number_text(text).filter(|_| self.makes_numbers()) else { return true };
        let mut stored = Vec::new();
        match text.parse() {
            Ok(n) if self == Affinity::Numeric => migrate::text::push_integer(n, &mut stored),
            // A whole number becomes an integer, and its point is gone.
            _ if self == Affinity::Numeric && real.fract() == 0.0 => return false,
            _ => migrate::text::push_real(real, &mut stored),
        }
        stored == text.as_bytes()
    }
}

/// The number that SQLite reads in a text; none where it stays a text.
fn number_text(text: &str) -> Option<f64> {
    let bare = text.trim_matches(|c: char| c.is_ascii_whitespace());
    let is_written = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
    bare.parse().ok().filter(|_| bare.chars().all(is_written))
}

/// The real of just these decimal digits, as it is written back.
pub(super) fn exact_real(text: &str) -> Option<f64> {
    let real: f64 = text.parse().ok()?;
    let mut room = Vec::new();
    let (mut given, mut made) = (Vec::new(), Vec::new());
    Digits::from_text(text.as_bytes(), &mut room)?.put_numeric(&mut given);
    Decimal::from_real(real)?.digits().put_numeric(&mut made);
    (given == made).then_some(real)
}

/// Values that cannot go back, or not as they were, and where they may be met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct WayBackLimit {
    /// Which values.
    values: &'static str,
    /// What becomes of them: `refused`, or the form in which they come back.
    fate: &'static str,
    columns: Vec<String>,
}

impl Record for WayBackLimit {
    const SCHEMA: &'static str = "sqlite-to-pg.way-back/1";
    const HEAD: &'static [&'static str] = &["on the way back", "become", "columns"];

    fn cells(&self) -> Vec<String> {
        vec![self.values.into(), self.fate.into(), self.columns.join(", ")]
    }
}

impl WayBackLimit {
    /// In a line.
    pub(super) fn describe(&self) -> String {
        format!("{}: {} ({})", self.values, self.fate, self.columns.join(", "))
    }
}

/// What a fallback refuses by its row when it meets it.
const REFUSED: &str = "refused";

/// Of all columns that are copied, by the values.
pub(super) fn limits_of(plan: &Plan) -> Vec<WayBackLimit> {
    let mut found: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for table in &plan.tables {
        for column in table.copied_columns() {
            for limit in column_limits(column) {
                found.entry(limit).or_default().push(format!("{}.{}", table.source, column.source));
            }
        }
    }
    found.into_iter().map(|((values, fate), columns)| WayBackLimit { values, fate, columns }).collect()
}

fn column_limits(column: &Column) -> Vec<(&'static str, &'static str)> {
    use Conversion as C;
    let numeric = Affinity::of(&column.declared).makes_numbers();
    let profile = &column.profile;
    let refused: &[&str] = match column.conversion {
        C::Integer if is_fine_numeric(column) => &["numbers with more digits than a double has"],
        C::Numeric if numeric && is_fine_numeric(column) => {
            &["NaN", "numbers with more digits than a double has"]
        }
        C::Float | C::Numeric => &["NaN"],
        C::Timestamp | C::Date => &["infinity, and years outside of 1 to 9999"],
        C::Julian => &["infinity", "times finer than a millisecond"],
        c if c.is_moment() => &["infinity"],
        C::Interval => &[],
        c if c.is_interval() => &["intervals with days or months"],
        C::Text if numeric => &["texts that SQLite stores as another number, as 007"],
        C::Json if numeric => &["a number that is the whole of a JSON value"],
        _ => &[],
    };
    let mut limits: Vec<_> = refused.iter().map(|values| (*values, REFUSED)).collect();
    match column.conversion {
        C::Text if !numeric && profile.integers + profile.reals > 0 => {
            limits.push(("numbers in a column of texts", "texts"));
        }
        C::Text if profile.blobs > 0 => limits.push(("blobs in a column of texts", "texts")),
        C::Bytes if profile.texts > 0 => limits.push(("texts in a column of blobs", "blobs")),
        C::Json if profile.blobs > 0 => limits.push(("JSONB", "texts of JSON")),
        _ => {}
    }
    limits
}

/// Whether the type holds numbers that no double does. Up to 15 digits each is one (IEEE 754, binary64).
fn is_fine_numeric(column: &Column) -> bool {
    match parse_type(&column.pg_type) {
        Some((_, bounds)) if column.pg_type.starts_with("numeric") => {
            bounds.digits.is_none_or(|(precision, _)| precision > 15)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Profile, Table};
    use rusqlite::Connection;
    use rusqlite::types::Value;

    /// SQLite itself is the judge.
    #[test]
    fn texts_stay_as_sqlite_says() {
        let db = Connection::open_in_memory().expect("open");
        let types = ["int", "varchar(9)", "", "blob", "real", "string", "datetime", "decimal(9,2)"];
        let texts = [
            "7",
            "007",
            "1.5",
            "1.50",
            "1.0",
            " 7",
            "1e3",
            "0x10",
            "abc",
            "",
            "inf",
            "-0",
            "9e999",
            "1_0",
            "+5",
            "12345678901234567890",
            "2024-01-02",
            "0.1",
        ];
        for declared in types {
            db.execute_batch(&format!("drop table if exists t; create table t (x {declared})"))
                .expect("make");
            for text in texts {
                db.execute("insert into t values (?1)", [text]).expect("insert");
                let stored: Value = db.query_row("select x from t", [], |r| r.get(0)).expect("read");
                db.execute_batch("delete from t").expect("clear");
                let mut printed = Vec::new();
                match stored {
                    Value::Text(t) => printed = t.into_bytes(),
                    Value::Integer(n) => migrate::text::push_integer(n, &mut printed),
                    Value::Real(n) => migrate::text::push_real(n, &mut printed),
                    other => panic!("{other:?}"),
                }
                let same = printed == text.as_bytes();
                assert_eq!(Affinity::of(declared).keeps_text(text), same, "{declared} {text}");
            }
        }
    }

    #[test]
    fn reals_of_just_these_digits() {
        for (text, exact) in [
            ("12.50", true),
            ("0.1", true),
            ("0.30000000000000004", true),
            ("0.3000000000000000444", false),
            ("0.1000000000000000000001", false),
            ("123456789012345678", false),
            ("1e20", true),
            ("100000000000000000000", true),
            ("-0", true),
            ("NaN", false),
            ("Infinity", false),
        ] {
            assert_eq!(exact_real(text).is_some(), exact, "{text}");
        }
    }

    #[test]
    fn columns_are_told_by_what_cannot_go_back() {
        let column = |source: &str, declared: &str, pg_type: &str, conversion| Column {
            source: source.into(),
            declared: declared.into(),
            pg_type: pg_type.into(),
            conversion,
            ..Column::default()
        };
        use Conversion as C;
        let columns = vec![
            column("price", "decimal", "numeric", C::Numeric),
            column("small", "decimal", "numeric(10,2)", C::Numeric),
            column("digits", "text", "numeric", C::Numeric),
            column("at", "datetime", "timestamptz", C::Timestamp),
            column("name", "varchar(9)", "text", C::Text),
            column("code", "string", "text", C::Text),
            Column {
                profile: Profile { integers: 1, ..Profile::default() },
                ..column("any", "", "text", C::Text)
            },
        ];
        let plan = Plan {
            tables: vec![Table { source: "t".into(), columns, ..Table::default() }],
            ..toml::from_str("format = 1\nschema = 'public'\nmode = 'create'\n[source]\npath = ''\nbytes = 0\nschema_version = 0\nschema_sum = ''\nencoding = ''")
                .expect("a plan")
        };
        let told: Vec<String> = limits_of(&plan).iter().map(WayBackLimit::describe).collect();
        assert_eq!(
            told,
            [
                "NaN: refused (t.price, t.small, t.digits)",
                "infinity, and years outside of 1 to 9999: refused (t.at)",
                "numbers in a column of texts: texts (t.any)",
                "numbers with more digits than a double has: refused (t.price)",
                "texts that SQLite stores as another number, as 007: refused (t.code)",
            ]
        );
    }
}
