//! What was counted of one path's values.

use super::forms;
use super::secrets;
use crate::json::canonical::hash_bytes;
use crate::json::{Shape, Value};
use migrate::number::Digits;
use std::collections::{BTreeMap, HashSet};

/// Different values of a path that are remembered, by their hash.
const DISTINCT: usize = 10_000;
/// Forms of times that are remembered.
const FORMS: usize = 6;

/// Counts of one path.
#[derive(Clone, Debug, Default)]
pub(crate) struct PathStats {
    /// Times that it was there, null included.
    pub(crate) present: u64,
    pub(crate) nulls: u64,
    pub(crate) booleans: u64,
    /// Whole numbers, however they are written.
    pub(crate) integers: u64,
    /// Whole numbers beyond bigint.
    pub(crate) huge: u64,
    /// Numbers with a fraction.
    pub(crate) fractions: u64,
    pub(crate) strings: u64,
    pub(crate) arrays: u64,
    pub(crate) objects: u64,
    pub(crate) empty: u64,
    pub(crate) least: Option<i64>,
    pub(crate) greatest: Option<i64>,
    pub(crate) most_chars: usize,
    pub(crate) most_bytes: usize,
    /// Times without and with a zone, and days; how they are written.
    pub(crate) naive: u64,
    pub(crate) zoned: u64,
    pub(crate) days: u64,
    pub(crate) forms: BTreeMap<String, u64>,
    /// Texts that are meant as times and cannot be read as such.
    pub(crate) bad_times: u64,
    /// UUIDs as PostgreSQL writes them, and in other forms.
    pub(crate) uuids: u64,
    pub(crate) other_uuids: u64,
    pub(crate) digits: u64,
    pub(crate) printed: u64,
    /// Strings with `\u0000` or half a surrogate pair.
    pub(crate) bad_text: u64,
    /// Schemes of password hashes.
    pub(crate) schemes: BTreeMap<&'static str, u64>,
    pub(crate) distinct: HashSet<u64>,
    /// There are more than were remembered.
    pub(crate) more_distinct: bool,
    /// Lists that hold null, or values of several kinds.
    pub(crate) mixed_lists: u64,
    /// The record where it was seen first.
    pub(crate) first_record: u64,
}

impl PathStats {
    /// Counts a value; a scalar's hash is remembered when `keeps_distinct`.
    pub(crate) fn count_value(&mut self, value: Value<'_>, keeps_distinct: bool) {
        self.present += 1;
        match value.shape() {
            Shape::Null => self.nulls += 1,
            Shape::True | Shape::False => self.booleans += 1,
            Shape::Number => self.count_number(value),
            Shape::String => {
                self.strings += 1;
                self.count_text(&value.nearest_text());
                self.bad_text += u64::from(value.find_bad_text().is_some());
            }
            Shape::Array => self.arrays += 1,
            Shape::Object => self.objects += 1,
        }
        if keeps_distinct && let Some(hash) = scalar_hash(value) {
            match self.distinct.len() < DISTINCT {
                true => drop(self.distinct.insert(hash)),
                false => self.more_distinct |= !self.distinct.contains(&hash),
            }
        }
    }

    fn count_number(&mut self, value: Value<'_>) {
        let raw = value.raw();
        let number =
            std::str::from_utf8(raw).ok().filter(|_| value.is_whole()).and_then(|t| t.parse::<i64>().ok());
        if let Some(n) = number {
            self.integers += 1;
            self.least = Some(self.least.map_or(n, |l| l.min(n)));
            self.greatest = Some(self.greatest.map_or(n, |g| g.max(n)));
            return;
        }
        let mut room = Vec::new();
        match Digits::from_text(raw, &mut room) {
            Some(digits) if digits.scale_digits() == 0 && digits.whole_digits() <= 18 => self.integers += 1,
            Some(digits) if digits.scale_digits() == 0 => {
                self.integers += 1;
                self.huge += 1;
            }
            _ => self.fractions += 1,
        }
    }

    fn count_text(&mut self, text: &str) {
        self.empty += u64::from(text.is_empty());
        self.most_bytes = self.most_bytes.max(text.len());
        if text.len() > self.most_chars {
            self.most_chars = self.most_chars.max(text.chars().count());
        }
        match text.as_bytes().first() {
            Some(b'0'..=b'9' | b'-') => self.count_figures(text),
            Some(b'{' | b'[' | b'n' | b'N' | b'u') => {
                self.printed += u64::from(forms::is_printed_value(text));
            }
            // The first byte of 令, 平 and 昭.
            Some(0xe4..=0xe6) => self.bad_times += u64::from(forms::looks_like_time(text)),
            _ => {}
        }
        if (32..=38).contains(&text.len()) && migrate::text::parse_uuid(text.as_bytes()).is_some() {
            match forms::is_canonical_uuid(text) {
                true => self.uuids += 1,
                false => self.other_uuids += 1,
            }
        }
    }

    fn count_figures(&mut self, text: &str) {
        self.digits += u64::from(forms::is_digits(text));
        let Some(time) = forms::parse_time(text) else {
            self.bad_times += u64::from(forms::looks_like_time(text));
            return;
        };
        match (time.day_only, time.zone) {
            (true, _) => self.days += 1,
            (false, Some(_)) => self.zoned += 1,
            (false, None) => self.naive += 1,
        }
        let form = forms::time_form(text);
        if self.forms.contains_key(&form) || self.forms.len() < FORMS {
            *self.forms.entry(form).or_default() += 1;
        }
    }

    /// Remembers how a password is hashed.
    pub(crate) fn count_scheme(&mut self, value: Value<'_>) {
        let scheme = match value.shape() {
            Shape::String => secrets::hash_scheme(&value.nearest_text()),
            Shape::Null => "empty",
            _ => "plain",
        };
        *self.schemes.entry(scheme).or_default() += 1;
    }

    /// Texts that are times, of whatever form.
    pub(crate) fn times(&self) -> u64 {
        self.naive + self.zoned + self.days
    }

    /// Kinds of values that are there beside null, in words with their counts.
    pub(crate) fn kinds(&self) -> Vec<(&'static str, u64)> {
        let all = [
            ("boolean", self.booleans),
            ("integer", self.integers),
            ("fraction", self.fractions),
            ("string", self.strings),
            ("list", self.arrays),
            ("object", self.objects),
        ];
        all.into_iter().filter(|(_, n)| *n > 0).collect()
    }

    /// The classes of values that a plan was made for: one more at the final run is a difference.
    pub(crate) fn classes(&self) -> Vec<String> {
        // Only where nothing but UUIDs stands: elsewhere the column is text, which keeps each as it is written.
        let other_uuids = if self.uuids + self.other_uuids == self.strings { self.other_uuids } else { 0 };
        let mut classes: Vec<String> = self.kinds().iter().map(|(kind, _)| (*kind).to_string()).collect();
        let more = [
            ("null", self.nulls),
            ("empty", self.empty),
            ("naive time", self.naive),
            ("zoned time", self.zoned),
            ("day", self.days),
            ("unreadable time", self.bad_times),
            ("beyond bigint", self.huge),
            ("no text", self.bad_text),
            ("UUID in another form", other_uuids),
        ];
        classes.extend(more.iter().filter(|(_, n)| *n > 0).map(|(class, _)| (*class).to_string()));
        classes
    }
}

/// A hash by which a scalar is known, the same for `1` and `"1"`; none for null, lists and objects.
pub(crate) fn scalar_hash(value: Value<'_>) -> Option<u64> {
    match value.shape() {
        Shape::Number | Shape::True | Shape::False => Some(hash_bytes(value.raw())),
        Shape::String => Some(hash_bytes(value.nearest_text().as_bytes())),
        _ => None,
    }
}
