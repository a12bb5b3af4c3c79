//! What the values of one column are, counted in one pass.

use super::declared_type::DeclaredType;
use crate::load::encode::Encoder;
use crate::load::json;
use crate::model::{Conversion, Profile};
use migrate::number::Decimal;
use migrate::timestamp::TimestampForm;
use migrate::types::WireType;
use migrate::{text, timestamp};
use rusqlite::types::ValueRef;

/// Keys that are kept of each kind of mismatch.
const SAMPLES: usize = 10;

/// A kind of value that may not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mismatch {
    Integer,
    Real,
    Text,
    Blob,
    Nul,
    NotUtf8,
    NotTime,
    Rounded,
    NotBool,
    NotJson,
    NotUuid,
    Null,
}

impl Mismatch {
    const COUNT: usize = 12;

    /// In words, after a number: `3 ` + "values of class text".
    pub(crate) fn text(self) -> &'static str {
        match self {
            Mismatch::Integer => "of class integer",
            Mismatch::Real => "of class real",
            Mismatch::Text => "of class text",
            Mismatch::Blob => "of class blob",
            Mismatch::Nul => "with a NUL byte",
            Mismatch::NotUtf8 => "not UTF-8",
            Mismatch::NotTime => "not a time",
            Mismatch::Rounded => "finer than a microsecond",
            Mismatch::NotBool => "neither 0 nor 1",
            Mismatch::NotJson => "not JSON that jsonb holds",
            Mismatch::NotUuid => "not a UUID",
            Mismatch::Null => "NULL",
        }
    }
}

/// Counters of one column.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ColumnStats {
    pub(crate) declared_type: DeclaredType,
    pub(crate) profile: Profile,
    pub(crate) bytes: u64,
    /// The least and the greatest real.
    pub(crate) reals: Option<(f64, f64)>,
    pub(crate) infinite: u64,
    pub(crate) whole_reals: u64,
    /// Integers beyond 2^53.
    pub(crate) inexact: u64,
    /// Integers that are no whole microseconds when they count nanoseconds, or 100 nanoseconds.
    pub(crate) fine_nanos: u64,
    pub(crate) fine_ticks: u64,
    /// Integers 0 or 1.
    pub(crate) bits: u64,
    pub(crate) words: u64,
    pub(crate) days: u64,
    pub(crate) zoned: u64,
    pub(crate) local: u64,
    pub(crate) clocks: u64,
    pub(crate) json: u64,
    pub(crate) jsonb: u64,
    /// Blobs that are SQLite's binary JSON.
    pub(crate) json_blobs: u64,
    pub(crate) uuids: u64,
    pub(crate) uuid_blobs: u64,
    pub(crate) clean_blobs: u64,
    /// Digits before and after the point that numbers need; only counted for numerics.
    pub(crate) digits: (i32, i32),
    counts: [u64; Mismatch::COUNT],
    samples: [Vec<String>; Mismatch::COUNT],
}

impl ColumnStats {
    pub(crate) fn new(wish: DeclaredType) -> ColumnStats {
        ColumnStats { declared_type: wish, ..ColumnStats::default() }
    }

    /// Counts one value; `key` names its row, should it be a mismatch.
    pub(crate) fn add_value(&mut self, value: ValueRef<'_>, key: &dyn Fn() -> String) {
        match value {
            ValueRef::Null => {
                self.profile.nulls += 1;
                self.note_mismatch(Mismatch::Null, key);
            }
            ValueRef::Integer(n) => self.add_integer(n, key),
            ValueRef::Real(n) => self.add_real(n, key),
            ValueRef::Text(text) => self.add_text(text, key),
            ValueRef::Blob(blob) => self.add_blob(blob, key),
        }
    }

    /// Counts a value that `encoder` has taken as it is: what that says of it is not found out once more.
    pub(crate) fn add_fitting_value(
        &mut self,
        value: ValueRef<'_>,
        encoder: &Encoder,
        key: &dyn Fn() -> String,
    ) {
        let ValueRef::Text(text) = value else { return self.add_value(value, key) };
        let known = match (self.declared_type, encoder.conversion) {
            (DeclaredType::Text, Conversion::Text) => true,
            (DeclaredType::Clock, Conversion::Time) => {
                self.clocks += 1;
                true
            }
            (DeclaredType::Moment | DeclaredType::Day, c) if c.is_moment() || c == Conversion::Date => {
                match timestamp::form_of(text) {
                    TimestampForm::Day => self.days += 1,
                    TimestampForm::Zoned => self.zoned += 1,
                    TimestampForm::Local => self.local += 1,
                }
                true
            }
            (DeclaredType::Json, Conversion::Json) if encoder.wire == WireType::Jsonb => {
                self.json += 1;
                self.jsonb += 1;
                true
            }
            (DeclaredType::Uuid, Conversion::Uuid) => {
                self.uuids += 1;
                true
            }
            _ => false,
        };
        match known {
            true => {
                self.profile.texts += 1;
                self.add_size(text.len());
            }
            false => self.add_text(text, key),
        }
    }

    fn note_mismatch(&mut self, mismatch: Mismatch, key: &dyn Fn() -> String) {
        let at = mismatch as usize;
        self.counts[at] += 1;
        if self.samples[at].len() < SAMPLES {
            self.samples[at].push(key());
        }
    }

    /// How many there are of a kind, and keys of the first.
    pub(crate) fn mismatched(&self, mismatch: Mismatch) -> (u64, &[String]) {
        (self.counts[mismatch as usize], &self.samples[mismatch as usize])
    }

    fn add_integer(&mut self, n: i64, key: &dyn Fn() -> String) {
        let census = &mut self.profile;
        census.integers += 1;
        census.min = Some(census.min.map_or(n, |m| m.min(n)));
        census.max = Some(census.max.map_or(n, |m| m.max(n)));
        self.bytes += 8;
        self.bits += u64::from(n == 0 || n == 1);
        // A column of reals may hold integers, which SQLite stores as such where nothing is lost; above 2^53 a double
        // cannot hold them all.
        self.inexact += u64::from(n.unsigned_abs() > 1 << 53);
        self.fine_nanos += u64::from(n % 1000 != 0);
        self.fine_ticks += u64::from(n % 10 != 0);
        self.measure_digits(|| Some(Decimal::from_integer(n)));
        if !matches!(self.declared_type, DeclaredType::Integer | DeclaredType::Numeric) {
            self.note_mismatch(Mismatch::Integer, key);
        }
        if self.declared_type == DeclaredType::Bool && n != 0 && n != 1 {
            self.note_mismatch(Mismatch::NotBool, key);
        }
    }

    fn add_real(&mut self, n: f64, key: &dyn Fn() -> String) {
        self.profile.reals += 1;
        self.bytes += 8;
        self.infinite += u64::from(n.is_infinite());
        self.whole_reals += u64::from(n.fract() == 0.0);
        self.measure_digits(|| Decimal::from_real(n));
        let (low, high) = self.reals.unwrap_or((n, n));
        self.reals = Some((low.min(n), high.max(n)));
        if !matches!(self.declared_type, DeclaredType::Real | DeclaredType::Numeric) {
            self.note_mismatch(Mismatch::Real, key);
        }
    }

    fn measure_digits(&mut self, decimal: impl FnOnce() -> Option<Decimal>) {
        if self.declared_type != DeclaredType::Numeric {
            return;
        }
        let Some(decimal) = decimal() else { return };
        let digits = decimal.digits();
        self.digits = (self.digits.0.max(digits.whole_digits()), self.digits.1.max(digits.scale_digits()));
    }

    fn add_text(&mut self, text: &[u8], key: &dyn Fn() -> String) {
        self.profile.texts += 1;
        self.add_size(text.len());
        match text::clean_text(text) {
            Ok(clean) => self.clean_text(clean, key),
            Err(migrate::invalid::Invalid::Nul) => self.note_mismatch(Mismatch::Nul, key),
            Err(_) => self.note_mismatch(Mismatch::NotUtf8, key),
        }
        if matches!(
            self.declared_type,
            DeclaredType::Integer
                | DeclaredType::Real
                | DeclaredType::Numeric
                | DeclaredType::Bytes
                | DeclaredType::Bool
                | DeclaredType::Any
        ) {
            self.note_mismatch(Mismatch::Text, key);
        }
    }

    fn clean_text(&mut self, text: &str, key: &dyn Fn() -> String) {
        match self.declared_type {
            DeclaredType::Moment | DeclaredType::Day | DeclaredType::Clock => {
                self.add_time(text.as_bytes(), key);
            }
            DeclaredType::Bool => match text::parse_truth(text.as_bytes()) {
                Some(_) => self.words += 1,
                None => self.note_mismatch(Mismatch::NotBool, key),
            },
            DeclaredType::Json => {
                let strict = json::fits_jsonb(text);
                self.jsonb += u64::from(strict);
                self.json += u64::from(strict || json::is_json(text));
                if !strict {
                    self.note_mismatch(Mismatch::NotJson, key);
                }
            }
            DeclaredType::Uuid => match text::parse_uuid(text.as_bytes()) {
                Some(_) => self.uuids += 1,
                None => self.note_mismatch(Mismatch::NotUuid, key),
            },
            _ => {}
        }
    }

    fn add_time(&mut self, text: &[u8], key: &dyn Fn() -> String) {
        let Some(m) = timestamp::parse_timestamp(text) else {
            match timestamp::parse_clock(text) {
                Some((_, rounded)) => {
                    self.clocks += 1;
                    if rounded {
                        self.note_mismatch(Mismatch::Rounded, key);
                    }
                }
                None => self.note_mismatch(Mismatch::NotTime, key),
            }
            return;
        };
        if m.rounded {
            self.note_mismatch(Mismatch::Rounded, key);
        }
        match (m.day_only, m.zone) {
            (true, _) => self.days += 1,
            (false, Some(_)) => self.zoned += 1,
            (false, None) => self.local += 1,
        }
    }

    fn add_blob(&mut self, blob: &[u8], key: &dyn Fn() -> String) {
        self.profile.blobs += 1;
        self.add_size(blob.len());
        self.uuid_blobs += u64::from(blob.len() == 16);
        if self.declared_type == DeclaredType::Json {
            let text = json::text_of_jsonb(blob);
            self.jsonb += u64::from(text.as_ref().is_some_and(|t| json::fits_jsonb(t)));
            self.json_blobs += u64::from(text.is_some());
        }
        if self.declared_type != DeclaredType::Bytes {
            // Programs bind texts as blobs by mistake: a column of which all are texts can be one.
            self.clean_blobs += u64::from(text::clean_text(blob).is_ok());
            self.note_mismatch(Mismatch::Blob, key);
        }
    }

    fn add_size(&mut self, len: usize) {
        self.bytes += len as u64;
        self.profile.longest = self.profile.longest.max(len as u64);
    }

    /// Adds what another thread counted of the rows after ours.
    pub(crate) fn join_stats(&mut self, other: &ColumnStats) {
        let (ours, theirs) = (&mut self.profile, &other.profile);
        ours.nulls += theirs.nulls;
        ours.integers += theirs.integers;
        ours.reals += theirs.reals;
        ours.texts += theirs.texts;
        ours.blobs += theirs.blobs;
        ours.min = [ours.min, theirs.min].into_iter().flatten().min();
        ours.max = [ours.max, theirs.max].into_iter().flatten().max();
        ours.longest = ours.longest.max(theirs.longest);
        self.reals = match (self.reals, other.reals) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (a, b) => a.or(b),
        };
        self.digits = (self.digits.0.max(other.digits.0), self.digits.1.max(other.digits.1));
        self.join_counts(other);
    }

    fn join_counts(&mut self, other: &ColumnStats) {
        let pairs = [
            (&mut self.bytes, other.bytes),
            (&mut self.infinite, other.infinite),
            (&mut self.whole_reals, other.whole_reals),
            (&mut self.inexact, other.inexact),
            (&mut self.fine_nanos, other.fine_nanos),
            (&mut self.fine_ticks, other.fine_ticks),
            (&mut self.bits, other.bits),
            (&mut self.words, other.words),
            (&mut self.days, other.days),
            (&mut self.zoned, other.zoned),
            (&mut self.local, other.local),
            (&mut self.clocks, other.clocks),
            (&mut self.json, other.json),
            (&mut self.jsonb, other.jsonb),
            (&mut self.json_blobs, other.json_blobs),
            (&mut self.uuids, other.uuids),
            (&mut self.uuid_blobs, other.uuid_blobs),
            (&mut self.clean_blobs, other.clean_blobs),
        ];
        pairs.into_iter().for_each(|(ours, theirs)| *ours += theirs);
        for at in 0..Mismatch::COUNT {
            self.counts[at] += other.counts[at];
            let room = SAMPLES.saturating_sub(self.samples[at].len());
            self.samples[at].extend(other.samples[at].iter().take(room).cloned());
        }
    }

    /// Times that are finer than a microsecond, when numbers count as `conversion` says.
    pub(crate) fn count_fine(&self, conversion: Conversion) -> u64 {
        let numbers = match conversion {
            Conversion::EpochNs => self.fine_nanos,
            Conversion::Filetime => self.fine_ticks,
            _ => 0,
        };
        self.mismatched(Mismatch::Rounded).0 + numbers
    }

    /// Values that are not NULL.
    pub(crate) fn count_values(&self) -> u64 {
        let c = &self.profile;
        c.integers + c.reals + c.texts + c.blobs
    }

    /// Texts that no text of PostgreSQL can hold.
    pub(crate) fn count_broken(&self) -> u64 {
        self.counts[Mismatch::Nul as usize] + self.counts[Mismatch::NotUtf8 as usize]
    }

    /// Texts that are days or moments.
    pub(crate) fn count_timestamps(&self) -> u64 {
        self.days + self.zoned + self.local
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::encode::encoder;
    use crate::model::Column;
    use crate::profile::declared_type::parse_declared;

    /// Whatever the encoder takes is counted as it is without one.
    #[test]
    fn what_fits_is_counted_as_it_is_by_itself() {
        let texts = [
            "x",
            "7",
            "2024-01-02",
            "2024-01-02 03:04:05",
            "2024-01-02T03:04:05.5Z",
            "2024-01-02 00:00",
            "10:20",
            "{\"a\":1}",
            "{\"a\":1,\"a\":2}",
            "00112233-4455-6677-8899-aabbccddeeff",
            "true",
            "",
            "1 day",
        ];
        let mut values: Vec<ValueRef<'_>> = texts.iter().map(|t| ValueRef::Text(t.as_bytes())).collect();
        values.extend([
            ValueRef::Null,
            ValueRef::Integer(1),
            ValueRef::Integer(1_700_000_000_000),
            ValueRef::Real(0.5),
        ]);
        values.extend([
            ValueRef::Blob(b"\xff"),
            ValueRef::Blob(&[7; 16]),
            ValueRef::Text(b"a\0b"),
            ValueRef::Text(b"\xff"),
        ]);
        let declared = [
            "text",
            "datetime",
            "date",
            "time",
            "json",
            "uuid",
            "int",
            "real",
            "decimal(5,2)",
            "blob",
            "boolean",
            "",
        ];
        let types = [
            "text",
            "timestamptz",
            "timestamp",
            "date",
            "time",
            "jsonb",
            "json",
            "uuid",
            "bigint",
            "double precision",
            "numeric",
            "bytea",
            "boolean",
        ];
        let conversions: Vec<Conversion> = [
            "text",
            "timestamp",
            "epoch-ms",
            "date",
            "time",
            "json",
            "uuid",
            "integer",
            "float",
            "numeric",
            "bytes",
            "bool",
            "bool-words",
            "tagged",
        ]
        .iter()
        .map(|name| serde_json::from_value((*name).into()).expect("a conversion"))
        .collect();
        let mut taken = 0;
        for (declared, pg_type) in declared.iter().flat_map(|d| types.iter().map(move |t| (d, t))) {
            for conversion in &conversions {
                let column =
                    Column { pg_type: (*pg_type).into(), conversion: *conversion, ..Column::default() };
                let Some(encoder) = encoder(&column, false) else { continue };
                for value in values.iter().filter(|v| encoder.put(**v, &mut Vec::new()).is_ok()) {
                    let (mut alone, mut beside) = (
                        ColumnStats::new(parse_declared(declared)),
                        ColumnStats::new(parse_declared(declared)),
                    );
                    alone.add_value(*value, &|| "1".into());
                    beside.add_fitting_value(*value, &encoder, &|| "1".into());
                    assert_eq!(alone, beside, "{declared} {pg_type} {conversion:?} {value:?}");
                    taken += 1;
                }
            }
        }
        assert!(taken > 1000, "{taken}");
    }
}
