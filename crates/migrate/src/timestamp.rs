//! Times as people and programs write them, to microseconds since 2000-01-01 as PostgreSQL's wire has them.

/// Microseconds of a day.
pub const DAY: i64 = 86_400_000_000;
/// From 1970-01-01 to 2000-01-01, in microseconds.
pub const TO_1970: i64 = 10_957 * DAY;
/// From 1601-01-01 to 1970-01-01, in microseconds.
const TO_1601: i64 = 134_774 * DAY;
/// From 1970-01-01 to 2001-01-01, in microseconds.
const TO_2001: i64 = 11_323 * DAY;
/// What PostgreSQL's timestamps hold: 4713 BC to 294276 AD, microseconds since 2000.
const LEAST: i64 = -211_813_488_000_000_000;
const GREATEST: i64 = 9_223_371_331_200_000_000 - 1;

/// A text that is a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTimestamp {
    /// Microseconds since 2000-01-01 00:00, of the wall clock that was written.
    pub local: i64,
    /// East of UTC, in seconds; none when no zone is written.
    pub zone: Option<i32>,
    /// Only a day is written.
    pub day_only: bool,
    /// Digits beyond the microsecond that are not zero; `local` is rounded half up.
    pub rounded: bool,
}

impl LocalTimestamp {
    /// Microseconds since 2000 in UTC; what has no zone is in UTC.
    pub fn utc(&self) -> i64 {
        self.local - i64::from(self.zone.unwrap_or(0)) * 1_000_000
    }
}

/// Reads `YYYY-MM-DD[( |T)HH:MM[:SS[.digits]]][ ][Z|±HH[[:]MM]]`; none when it is anything else, or no day of the calendar.
pub fn parse_timestamp(text: &[u8]) -> Option<LocalTimestamp> {
    let day = parse_day(text.get(..10)?)?;
    let rest = &text[10..];
    if rest.is_empty() {
        return Some(LocalTimestamp { local: day * DAY, zone: None, day_only: true, rounded: false });
    }
    let rest =
        rest.strip_prefix(b" ").or_else(|| rest.strip_prefix(b"T")).or_else(|| rest.strip_prefix(b"t"))?;
    let (micros, rounded, rest) = read_clock(rest)?;
    let zone = read_zone(rest)?;
    Some(LocalTimestamp { local: day * DAY + micros, zone, day_only: false, rounded })
}

/// How much of a moment a text names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampForm {
    Day,
    /// Day and time, and the zone.
    Zoned,
    /// Day and time.
    Local,
}

/// The form of a text that [`parse_timestamp`] reads.
pub fn form_of(text: &[u8]) -> TimestampForm {
    match text.get(16..) {
        None => TimestampForm::Day,
        Some(rest) if rest.iter().any(|b| matches!(b, b'Z' | b'z' | b'+' | b'-')) => TimestampForm::Zoned,
        Some(_) => TimestampForm::Local,
    }
}

/// Reads `HH:MM[:SS[.digits]]`: microseconds since midnight, and whether they are rounded.
pub fn parse_clock(text: &[u8]) -> Option<(i64, bool)> {
    let (micros, rounded, rest) = read_clock(text)?;
    // What is rounded may come to the day's end, which a time of PostgreSQL can be.
    (rest.is_empty() && (micros < DAY || rounded)).then_some((micros, rounded))
}

fn parse_digits(text: &[u8]) -> Option<i64> {
    let mut n = 0;
    for b in text {
        n = n * 10 + i64::from(b.is_ascii_digit().then(|| b - b'0')?);
    }
    Some(n)
}

/// Days from 2000-01-01 to `YYYY-MM-DD`.
fn parse_day(text: &[u8]) -> Option<i64> {
    if text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    let (year, month, day) =
        (parse_digits(&text[..4])?, parse_digits(&text[5..7])?, parse_digits(&text[8..10])?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    // The year 0 is none: what SQLite counts as 0000 is 1 BC, which no program writes on purpose.
    (year > 0 && (1..=length).contains(&day)).then(|| days_from_civil(year, month, day) - 10_957)
}

/// Days since 1970-01-01 of a day of the Gregorian calendar (Howard Hinnant's days_from_civil).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// `HH:MM[:SS[.digits]]`: microseconds, whether rounded, what follows.
fn read_clock(text: &[u8]) -> Option<(i64, bool, &[u8])> {
    let (hour, minute) = (parse_digits(text.get(..2)?)?, parse_digits(text.get(3..5)?)?);
    if text[2] != b':' || hour > 23 || minute > 59 {
        return None;
    }
    let minutes = (hour * 60 + minute) * 60_000_000;
    let Some(rest) = text[5..].strip_prefix(b":") else { return Some((minutes, false, &text[5..])) };
    let second = parse_digits(rest.get(..2)?)?;
    if second > 59 {
        return None;
    }
    let (fraction, rounded, rest) = read_fraction(&rest[2..])?;
    Some((minutes + second * 1_000_000 + fraction, rounded, rest))
}

/// `[.digits]`: microseconds rounded half up, whether anything was rounded, what follows.
fn read_fraction(text: &[u8]) -> Option<(i64, bool, &[u8])> {
    let Some(text) = text.strip_prefix(b".") else { return Some((0, false, text)) };
    let end = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    if end == 0 {
        return None;
    }
    let kept = end.min(6);
    let micros = parse_digits(&text[..kept])? * 10_i64.pow(u32::try_from(6 - kept).ok()?);
    let rest = &text[kept..end];
    let rounded = rest.iter().any(|b| *b != b'0');
    // Half up, as PostgreSQL rounds the text of a timestamp; the caller learns of it and decides by the policy.
    let up = i64::from(rest.first().is_some_and(|b| *b >= b'5'));
    Some((micros + up, rounded, &text[end..]))
}

/// `[ ][Z|±HH[[:]MM]]` to the end of the text; the outer `None` is what is no zone.
fn read_zone(text: &[u8]) -> Option<Option<i32>> {
    if text.is_empty() {
        return Some(None);
    }
    let text = text.strip_prefix(b" ").unwrap_or(text);
    if text == b"Z" || text == b"z" {
        return Some(Some(0));
    }
    let sign = match text.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = match text.len() {
        3 => (parse_digits(&text[1..3])?, 0),
        5 => (parse_digits(&text[1..3])?, parse_digits(&text[3..5])?),
        6 if text[3] == b':' => (parse_digits(&text[1..3])?, parse_digits(&text[4..6])?),
        _ => return None,
    };
    let seconds = i32::try_from(hours * 3600 + minutes * 60).ok()?;
    // As far as PostgreSQL takes an offset (MAX_TZDISP_HOUR in `datetime.h`).
    (hours < 16 && minutes < 60).then_some(Some(sign * seconds))
}

/// What PostgreSQL can hold.
pub fn within_range(micros: i128) -> Option<i64> {
    i64::try_from(micros).ok().filter(|m| (LEAST..=GREATEST).contains(m))
}

/// Units in which programs count time, with where zero is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    Millis,
    Micros,
    Nanos,
    Webkit,
    Cocoa,
    Filetime,
    Julian,
}

impl Unit {
    /// Microseconds since 2000 of `n` units; none when it is out of range or finer than a microsecond.
    pub fn micros_of_integer(self, n: i64) -> Option<i64> {
        let n = i128::from(n);
        let whole = |parts: i128| (n % parts == 0).then_some(n / parts);
        let (to_1970, to_1601, to_2001) = (i128::from(TO_1970), i128::from(TO_1601), i128::from(TO_2001));
        within_range(match self {
            Unit::Seconds => n * 1_000_000 - to_1970,
            Unit::Millis => n * 1000 - to_1970,
            Unit::Micros => n - to_1970,
            Unit::Nanos => whole(1000)? - to_1970,
            Unit::Webkit => n - to_1601 - to_1970,
            Unit::Cocoa => n * 1_000_000 + to_2001 - to_1970,
            Unit::Filetime => whole(10)? - to_1601 - to_1970,
            Unit::Julian => return self.micros_of_real(n as f64),
        })
    }

    /// The same of a real, where programs use them.
    pub fn micros_of_real(self, n: f64) -> Option<i64> {
        if !n.is_finite() || n.abs() > 1e17 {
            return None;
        }
        let micros = |n: f64, factor: f64| (n * factor).round() as i128;
        let (to_1970, to_2001) = (i128::from(TO_1970), i128::from(TO_2001));
        within_range(match self {
            Unit::Seconds => micros(n, 1e6) - to_1970,
            Unit::Millis => micros(n, 1e3) - to_1970,
            Unit::Cocoa => micros(n, 1e6) + to_2001 - to_1970,
            // SQLite's own arithmetic: whole milliseconds since noon of -4713-11-24 (date.c).
            Unit::Julian => ((n * 86_400_000.0 + 0.5) as i128 - 210_866_760_000_000) * 1000 - to_1970,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> Option<i64> {
        parse_timestamp(text.as_bytes()).map(|m| m.utc())
    }

    #[test]
    fn the_same_moment_in_many_words() {
        let same = [
            "2024-01-02 03:04:05",
            "2024-01-02T03:04:05Z",
            "2024-01-02 03:04:05.000 +00:00",
            "2024-01-02T05:04:05+02:00",
            "2024-01-02T05:04:05.0000000+0200",
            "2024-01-02 02:04:05-01",
            "2024-01-02t03:04:05z",
        ];
        let expected = utc("2024-01-02 03:04:05");
        assert_eq!(expected, Some((24 * 365 + 6 + 1) * DAY + (3 * 3600 + 4 * 60 + 5) * 1_000_000));
        same.iter().for_each(|text| assert_eq!(utc(text), expected, "{text}"));
    }

    #[test]
    fn the_form_is_that_of_the_whole_parser() {
        for text in [
            "2024-01-02",
            "2024-01-02 03:04",
            "2024-01-02 03:04Z",
            "2024-01-02 03:04 +01",
            "2024-01-02 03:04:05.123",
            "2024-01-02T03:04:05.123 -01:00",
            "2024-01-02t03:04:05z",
        ] {
            let read = parse_timestamp(text.as_bytes()).expect(text);
            let form = match (read.day_only, read.zone) {
                (true, _) => TimestampForm::Day,
                (false, Some(_)) => TimestampForm::Zoned,
                (false, None) => TimestampForm::Local,
            };
            assert_eq!(form_of(text.as_bytes()), form, "{text}");
        }
    }

    #[test]
    fn what_is_no_time() {
        let no = [
            "0000-00-00",
            "2024-02-30",
            "2023-02-29",
            "2024-13-01",
            "2024-01-01 24:00:00",
            "now",
            "",
            "2024-1-1",
            "2024-01-01 10:00:60",
            "2024-01-01 10:00:00.",
            "2024-01-01 10:00:00 x",
            "2024-01-01 10",
            "20240101",
            "2024-01-01 10:00:00+99",
            "2024-01-01  ",
        ];
        no.iter().for_each(|text| assert_eq!(parse_timestamp(text.as_bytes()), None, "{text}"));
    }

    #[test]
    fn digits_beyond_the_microsecond_are_told() {
        let m = parse_timestamp(b"2000-01-01 00:00:00.123456789Z").expect("a time");
        assert_eq!((m.local, m.rounded), (123_457, true));
        assert!(!parse_timestamp(b"2000-01-01 00:00:00.123456000").expect("a time").rounded);
        assert_eq!(parse_timestamp(b"2000-01-01").map(|m| m.day_only), Some(true));
    }

    #[test]
    fn units_agree_on_one_moment() {
        let expected = utc("2024-01-02 03:04:05").expect("a time");
        let s = 1_704_164_645;
        let cases = [
            (Unit::Seconds, s),
            (Unit::Millis, s * 1000),
            (Unit::Micros, s * 1_000_000),
            (Unit::Nanos, s * 1_000_000_000),
            (Unit::Webkit, (s + 11_644_473_600) * 1_000_000),
            (Unit::Cocoa, s - 978_307_200),
            (Unit::Filetime, (s + 11_644_473_600) * 10_000_000),
        ];
        cases.iter().for_each(|(unit, n)| assert_eq!(unit.micros_of_integer(*n), Some(expected), "{unit:?}"));
        assert_eq!(Unit::Julian.micros_of_real(2_460_311.627_835_648), Some(expected));
        assert_eq!(Unit::Nanos.micros_of_integer(1), None);
        assert_eq!(Unit::Seconds.micros_of_integer(i64::MAX), None);
    }
}
