//! What the values of one column are, counted in one pass.

use super::wish::Wish;
use crate::load::number::Decimal;
use crate::load::{json, moment, words};
use crate::plan::{Census, Conversion};
use rusqlite::types::ValueRef;

/// Keys that are kept of each kind of trouble.
const SAMPLES: usize = 10;

/// A kind of value that may not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Odd {
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

impl Odd {
    const COUNT: usize = 12;

    /// In words, after a number: `3 ` + "values of class text".
    pub(crate) fn words(self) -> &'static str {
        match self {
            Odd::Integer => "of class integer",
            Odd::Real => "of class real",
            Odd::Text => "of class text",
            Odd::Blob => "of class blob",
            Odd::Nul => "with a NUL byte",
            Odd::NotUtf8 => "not UTF-8",
            Odd::NotTime => "not a time",
            Odd::Rounded => "finer than a microsecond",
            Odd::NotBool => "neither 0 nor 1",
            Odd::NotJson => "not JSON that jsonb holds",
            Odd::NotUuid => "not a UUID",
            Odd::Null => "NULL",
        }
    }
}

/// Counters of one column.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) wish: Wish,
    pub(crate) census: Census,
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
    counts: [u64; Odd::COUNT],
    samples: [Vec<String>; Odd::COUNT],
}

impl Tally {
    pub(crate) fn new(wish: Wish) -> Tally {
        Tally { wish, ..Tally::default() }
    }

    /// Counts one value; `key` names its row, should it be odd.
    pub(crate) fn add(&mut self, value: ValueRef<'_>, key: &dyn Fn() -> String) {
        match value {
            ValueRef::Null => {
                self.census.nulls += 1;
                self.odd(Odd::Null, key);
            }
            ValueRef::Integer(n) => self.integer(n, key),
            ValueRef::Real(n) => self.real(n, key),
            ValueRef::Text(text) => self.text(text, key),
            ValueRef::Blob(blob) => self.blob(blob, key),
        }
    }

    fn odd(&mut self, odd: Odd, key: &dyn Fn() -> String) {
        let at = odd as usize;
        self.counts[at] += 1;
        if self.samples[at].len() < SAMPLES {
            self.samples[at].push(key());
        }
    }

    /// How many there are of a kind, and keys of the first.
    pub(crate) fn of(&self, odd: Odd) -> (u64, &[String]) {
        (self.counts[odd as usize], &self.samples[odd as usize])
    }

    fn integer(&mut self, n: i64, key: &dyn Fn() -> String) {
        let census = &mut self.census;
        census.integers += 1;
        census.min = Some(census.min.map_or(n, |m| m.min(n)));
        census.max = Some(census.max.map_or(n, |m| m.max(n)));
        self.bytes += 8;
        self.bits += u64::from(n == 0 || n == 1);
        self.inexact += u64::from(n.unsigned_abs() > 1 << 53);
        self.fine_nanos += u64::from(n % 1000 != 0);
        self.fine_ticks += u64::from(n % 10 != 0);
        self.measure(|| Some(Decimal::of_integer(n)));
        if !matches!(self.wish, Wish::Integer | Wish::Numeric) {
            self.odd(Odd::Integer, key);
        }
        if self.wish == Wish::Bool && n != 0 && n != 1 {
            self.odd(Odd::NotBool, key);
        }
    }

    fn real(&mut self, n: f64, key: &dyn Fn() -> String) {
        self.census.reals += 1;
        self.bytes += 8;
        self.infinite += u64::from(n.is_infinite());
        self.whole_reals += u64::from(n.fract() == 0.0);
        self.measure(|| Decimal::of_real(n));
        let (low, high) = self.reals.unwrap_or((n, n));
        self.reals = Some((low.min(n), high.max(n)));
        if !matches!(self.wish, Wish::Real | Wish::Numeric) {
            self.odd(Odd::Real, key);
        }
    }

    fn measure(&mut self, decimal: impl FnOnce() -> Option<Decimal>) {
        if self.wish != Wish::Numeric {
            return;
        }
        let Some(decimal) = decimal() else { return };
        let digits = decimal.digits();
        self.digits = (self.digits.0.max(digits.whole()), self.digits.1.max(digits.scale()));
    }

    fn text(&mut self, text: &[u8], key: &dyn Fn() -> String) {
        self.census.texts += 1;
        self.size(text.len());
        match words::clean(text) {
            Ok(clean) => self.clean_text(clean, key),
            Err(crate::load::encode::Misfit::Nul) => self.odd(Odd::Nul, key),
            Err(_) => self.odd(Odd::NotUtf8, key),
        }
        if matches!(
            self.wish,
            Wish::Integer | Wish::Real | Wish::Numeric | Wish::Bytes | Wish::Bool | Wish::Any
        ) {
            self.odd(Odd::Text, key);
        }
    }

    fn clean_text(&mut self, text: &str, key: &dyn Fn() -> String) {
        match self.wish {
            Wish::Moment | Wish::Day | Wish::Clock => self.time(text.as_bytes(), key),
            Wish::Bool => match words::truth(text.as_bytes()) {
                Some(_) => self.words += 1,
                None => self.odd(Odd::NotBool, key),
            },
            Wish::Json => {
                let strict = json::fits_jsonb(text);
                self.jsonb += u64::from(strict);
                self.json += u64::from(strict || json::is_json(text));
                if !strict {
                    self.odd(Odd::NotJson, key);
                }
            }
            Wish::Uuid => match words::uuid(text.as_bytes()) {
                Some(_) => self.uuids += 1,
                None => self.odd(Odd::NotUuid, key),
            },
            _ => {}
        }
    }

    fn time(&mut self, text: &[u8], key: &dyn Fn() -> String) {
        let Some(m) = moment::moment(text) else {
            match moment::time(text) {
                Some((_, rounded)) => {
                    self.clocks += 1;
                    if rounded {
                        self.odd(Odd::Rounded, key);
                    }
                }
                None => self.odd(Odd::NotTime, key),
            }
            return;
        };
        if m.rounded {
            self.odd(Odd::Rounded, key);
        }
        match (m.day_only, m.zone) {
            (true, _) => self.days += 1,
            (false, Some(_)) => self.zoned += 1,
            (false, None) => self.local += 1,
        }
    }

    fn blob(&mut self, blob: &[u8], key: &dyn Fn() -> String) {
        self.census.blobs += 1;
        self.size(blob.len());
        self.uuid_blobs += u64::from(blob.len() == 16);
        if self.wish == Wish::Json {
            let text = json::of_jsonb(blob);
            self.jsonb += u64::from(text.as_ref().is_some_and(|t| json::fits_jsonb(t)));
            self.json_blobs += u64::from(text.is_some());
        }
        if self.wish != Wish::Bytes {
            self.clean_blobs += u64::from(words::clean(blob).is_ok());
            self.odd(Odd::Blob, key);
        }
    }

    fn size(&mut self, len: usize) {
        self.bytes += len as u64;
        self.census.longest = self.census.longest.max(len as u64);
    }

    /// Adds what another thread counted of the rows after ours.
    pub(crate) fn join(&mut self, other: &Tally) {
        let (ours, theirs) = (&mut self.census, &other.census);
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

    fn join_counts(&mut self, other: &Tally) {
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
        for at in 0..Odd::COUNT {
            self.counts[at] += other.counts[at];
            let room = SAMPLES.saturating_sub(self.samples[at].len());
            self.samples[at].extend(other.samples[at].iter().take(room).cloned());
        }
    }

    /// Times that are finer than a microsecond, when numbers count as `conversion` says.
    pub(crate) fn fine(&self, conversion: Conversion) -> u64 {
        let numbers = match conversion {
            Conversion::EpochNs => self.fine_nanos,
            Conversion::Filetime => self.fine_ticks,
            _ => 0,
        };
        self.of(Odd::Rounded).0 + numbers
    }

    /// Values that are not NULL.
    pub(crate) fn values(&self) -> u64 {
        let c = &self.census;
        c.integers + c.reals + c.texts + c.blobs
    }

    /// Texts that no text of PostgreSQL can hold.
    pub(crate) fn broken(&self) -> u64 {
        self.counts[Odd::Nul as usize] + self.counts[Odd::NotUtf8 as usize]
    }

    /// Texts that are days or moments.
    pub(crate) fn moments(&self) -> u64 {
        self.days + self.zoned + self.local
    }
}
