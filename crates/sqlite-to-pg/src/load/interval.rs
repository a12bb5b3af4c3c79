//! Lengths of time as people and programs write them, to PostgreSQL's months, days and microseconds.

use crate::model::Conversion;

const HOUR: i64 = 3_600_000_000;

/// A length of time, as an interval has it: days and months have no fixed length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct IntervalParts {
    pub(crate) months: i32,
    pub(crate) days: i32,
    pub(crate) micros: i64,
    /// Digits beyond the microsecond that are not zero; `micros` is rounded.
    pub(crate) rounded: bool,
}

/// An integer by the unit of its conversion; none when it is out of range or finer than a microsecond.
pub(crate) fn from_integer(n: i64, conversion: Conversion) -> Option<IntervalParts> {
    let (micros, rest) = match conversion {
        Conversion::IntervalS => (n.checked_mul(1_000_000)?, 0),
        Conversion::IntervalMs => (n.checked_mul(1000)?, 0),
        Conversion::IntervalUs => (n, 0),
        Conversion::IntervalTicks => (n.div_euclid(10) + i64::from(n.rem_euclid(10) >= 5), n.rem_euclid(10)),
        _ => return None,
    };
    Some(IntervalParts { micros, rounded: rest != 0, ..IntervalParts::default() })
}

/// A real, where programs use them.
pub(crate) fn from_real(n: f64, conversion: Conversion) -> Option<IntervalParts> {
    let micros = match conversion {
        Conversion::IntervalS => (n * 1e6).round(),
        Conversion::IntervalMs => (n * 1e3).round(),
        _ => return None,
    };
    // Beyond 2^53 a double has no single microseconds any more.
    (micros.abs() < 9_007_199_254_740_992.0)
        .then_some(IntervalParts { micros: micros as i64, ..IntervalParts::default() })
}

/// Reads `[-][D.]HH:MM[:SS[.digits]]`, `1 year 2 mons 3 days 04:05:06`, `1 day, 4:05:06`, and ISO 8601.
pub(crate) fn from_text(text: &[u8]) -> Option<IntervalParts> {
    let text = std::str::from_utf8(text).ok()?;
    match text.strip_prefix('P') {
        Some(iso) => from_iso(iso),
        None => from_words(text),
    }
}

fn from_words(text: &str) -> Option<IntervalParts> {
    let mut words = text.split([' ', ',']).filter(|w| !w.is_empty());
    let mut length = IntervalParts::default();
    let mut any = false;
    while let Some(word) = words.next() {
        if word.contains(':') {
            // A clock is the last, and of .NET's with days the only word.
            add_clock(word, any, &mut length)?;
            return words.next().is_none().then_some(length);
        }
        let unit = words.next()?;
        add_unit(&mut length, word, unit.strip_suffix('s').unwrap_or(unit))?;
        any = true;
    }
    any.then_some(length)
}

/// Adds a number of units; only seconds have a fraction.
fn add_unit(length: &mut IntervalParts, number: &str, unit: &str) -> Option<()> {
    if matches!(unit, "second" | "sec") {
        let (micros, rounded) = parse_seconds(number)?;
        length.micros = length.micros.checked_add(micros)?;
        length.rounded |= rounded;
        return Some(());
    }
    let n: i32 = number.parse().ok()?;
    let (months, days, micros) = match unit {
        "year" => (n.checked_mul(12)?, 0, 0),
        "month" | "mon" => (n, 0, 0),
        "week" => (0, n.checked_mul(7)?, 0),
        "day" => (0, n, 0),
        "hour" => (0, 0, i64::from(n) * HOUR),
        "minute" | "min" => (0, 0, i64::from(n) * 60_000_000),
        _ => return None,
    };
    length.months = length.months.checked_add(months)?;
    length.days = length.days.checked_add(days)?;
    length.micros = length.micros.checked_add(micros)?;
    Some(())
}

/// `[-][D.]HH:MM[:SS[.digits]]`.
fn add_clock(word: &str, days_before: bool, length: &mut IntervalParts) -> Option<()> {
    let (sign, word) = match word.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, word.strip_prefix('+').unwrap_or(word)),
    };
    let mut parts = word.splitn(3, ':');
    let (hours, minutes) = (parts.next()?, parts.next()?);
    let (days, hours) = match hours.split_once('.') {
        Some((days, hours)) if !days_before => (whole_number(days)?, hours),
        Some(_) => return None,
        None => (0, hours),
    };
    let (hours, minutes) = (whole_number(hours)?, whole_number(minutes).filter(|m| *m < 60)?);
    let (micros, rounded) = match parts.next() {
        Some(text) => {
            parse_seconds(text).filter(|(m, _)| (0..=60_000_000).contains(m) && text.as_bytes()[0] != b'-')?
        }
        None => (0, false),
    };
    let clock = hours.checked_mul(HOUR)?.checked_add(minutes * 60_000_000 + micros)?;
    length.days = length.days.checked_add(i32::try_from(sign * days).ok()?)?;
    length.micros = length.micros.checked_add(sign * clock)?;
    length.rounded |= rounded;
    Some(())
}

fn whole_number(text: &str) -> Option<i64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// `[-]digits[.digits]` as microseconds, and whether they are rounded (half away from zero).
fn parse_seconds(text: &str) -> Option<(i64, bool)> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole_part, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole_part.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (kept, rest) = fraction.split_at(fraction.len().min(6));
    let micros: i64 = if kept.is_empty() { 0 } else { format!("{kept:0<6}").parse().ok()? };
    let up = i64::from(rest.bytes().next().is_some_and(|b| b >= b'5'));
    let all = whole_number(whole_part)?.checked_mul(1_000_000)?.checked_add(micros + up)?;
    Some((sign * all, rest.bytes().any(|b| b != b'0')))
}

/// `nYnMnWnDTnHnMnS` after the P.
fn from_iso(text: &str) -> Option<IntervalParts> {
    let (date, time) = match text.split_once('T') {
        Some((_, "")) => return None,
        Some((date, time)) => (date, time),
        None => (text, ""),
    };
    let mut length = IntervalParts::default();
    for (part, units) in [(date, "YMWD"), (time, "HMS")] {
        let mut rest = part;
        while let Some(at) = rest.find(|c: char| c.is_ascii_alphabetic()) {
            let unit = match (rest.as_bytes()[at], units) {
                (b'Y', "YMWD") => "year",
                (b'M', "YMWD") => "month",
                (b'W', "YMWD") => "week",
                (b'D', "YMWD") => "day",
                (b'H', "HMS") => "hour",
                (b'M', "HMS") => "minute",
                (b'S', "HMS") => "second",
                _ => return None,
            };
            add_unit(&mut length, &rest[..at], unit)?;
            rest = &rest[at + 1..];
        }
        if !rest.is_empty() {
            return None;
        }
    }
    (!date.is_empty() || !time.is_empty()).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_in_many_words() {
        let second = 1_000_000;
        for (text, months, days, micros) in [
            ("00:30:00", 0, 0, 1800 * second),
            ("26:03:04", 0, 0, (26 * 3600 + 184) * second),
            ("10:20", 0, 0, (10 * 3600 + 1200) * second),
            ("-00:00:00.5", 0, 0, -second / 2),
            ("1.02:03:04.5000000", 0, 1, 7_384_500_000),
            ("-1.00:00:01", 0, -1, -second),
            ("1 day, 4:05:06", 0, 1, 14_706 * second),
            ("-1 day, 23:59:59.999999", 0, -1, 86_399_999_999),
            ("1 year 2 mons 3 days 04:05:06", 14, 3, 14_706 * second),
            ("2 weeks", 0, 14, 0),
            ("1.5 seconds", 0, 0, 1_500_000),
            ("P1Y2M3DT4H5M6.5S", 14, 3, 14_706_500_000),
            ("PT0S", 0, 0, 0),
            ("P-1D", 0, -1, 0),
        ] {
            let expected = IntervalParts { months, days, micros, rounded: false };
            assert_eq!(from_text(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_length() {
        for text in [
            "",
            "90",
            "1.5",
            "P",
            "PT",
            "P1",
            "abc",
            "1 parsec",
            "1:60",
            "1:2:61",
            "1 day 2",
            "1.5 days",
            "01:00 ago",
            "1:2:3:4",
            "1 day 1.02:03",
        ] {
            assert_eq!(from_text(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn digits_beyond_the_microsecond_are_told() {
        let length = from_text(b"00:00:00.1234567").expect("a length");
        assert_eq!((length.micros, length.rounded), (123_457, true));
        assert_eq!(
            from_integer(15, Conversion::IntervalTicks).map(|l| (l.micros, l.rounded)),
            Some((2, true))
        );
        assert_eq!(
            from_integer(90_061_500_000, Conversion::IntervalUs).map(|l| l.micros),
            Some(90_061_500_000)
        );
    }
}
