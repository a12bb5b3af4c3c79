//! Lengths of time: from text and from numbers to what PostgreSQL's interval holds, months, days and microseconds.

use crate::model::Conversion;
use crate::verify::pair::Rule;
use rusqlite::types::ValueRef;

/// A length of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interval {
    months: i64,
    days: i64,
    pub(crate) micros: i64,
    /// Digits beyond the microsecond: nothing, or whether they round up.
    pub(crate) beyond: Option<bool>,
}

impl Interval {
    /// Appends microseconds, days, months.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let narrow = |n: i64| i32::try_from(n).unwrap_or(i32::MAX).to_be_bytes();
        out.extend_from_slice(&self.micros.to_be_bytes());
        out.extend_from_slice(&narrow(self.days));
        out.extend_from_slice(&narrow(self.months));
    }
}

/// What a value of SQLite says; a number only when the plan names its unit.
pub(crate) fn interval_of(value: ValueRef<'_>, rule: Rule) -> Option<Interval> {
    use Conversion as C;
    let length = |micros| Interval { micros, ..Interval::default() };
    let unit = match rule {
        Rule::Plan(conversion) => Some(conversion),
        Rule::Auto => None,
    };
    Some(match (value, unit) {
        (ValueRef::Text(t), _) => parse_interval(t)?,
        (ValueRef::Integer(n), Some(C::IntervalS)) => length(n.checked_mul(1_000_000)?),
        (ValueRef::Integer(n), Some(C::IntervalMs)) => length(n.checked_mul(1000)?),
        (ValueRef::Integer(n), Some(C::IntervalUs)) => length(n),
        (ValueRef::Integer(n), Some(C::IntervalTicks)) => Interval {
            micros: n.div_euclid(10),
            beyond: (n % 10 != 0).then(|| n.rem_euclid(10) >= 5),
            ..Interval::default()
        },
        (ValueRef::Real(r), Some(C::IntervalS)) => length((r * 1e6).round() as i64),
        (ValueRef::Real(r), Some(C::IntervalMs)) => length((r * 1e3).round() as i64),
        _ => return None,
    })
}

/// Numbers, each with what follows it: a colon, a unit as a word, or one of ISO 8601's letters.
fn parse_interval(text: &[u8]) -> Option<Interval> {
    let mut found = Interval::default();
    let iso = text.first() == Some(&b'P');
    let mut style = if iso { UnitStyle::IsoDate } else { UnitStyle::Words };
    let (mut at, mut seen) = (usize::from(iso), false);
    while at < text.len() {
        match text[at] {
            b' ' | b',' if !iso => at += 1,
            b'T' if style == UnitStyle::IsoDate => (style, at) = (UnitStyle::IsoTime, at + 1),
            _ => {
                let rest = &text[at..];
                let end = rest
                    .iter()
                    .position(|b| if iso { b.is_ascii_alphabetic() } else { matches!(b, b' ' | b',') });
                let word = &rest[..end.unwrap_or(rest.len())];
                if word.contains(&b':') && !iso {
                    interval_clock(word, &mut found)?;
                    at += word.len();
                } else {
                    let after = &rest[word.len()..];
                    let skip = usize::from(!iso);
                    let unit = after.get(skip..)?;
                    let long =
                        if iso { 1 } else { unit.iter().take_while(|b| b.is_ascii_alphabetic()).count() };
                    add_unit(word, unit.get(..long)?, style, &mut found)?;
                    at += word.len() + skip + long;
                }
                seen = true;
            }
        }
    }
    seen.then_some(found)
}

/// How units are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum UnitStyle {
    Words,
    /// One letter of ISO 8601, before and after its T.
    IsoDate,
    IsoTime,
}

fn add_unit(number: &[u8], unit: &[u8], style: UnitStyle, found: &mut Interval) -> Option<()> {
    let (whole, fraction, beyond) = parse_decimal(number)?;
    let singular = unit.strip_suffix(b"s").unwrap_or(unit);
    let (months, days, seconds) = match (singular, style) {
        (b"Y", UnitStyle::IsoDate) | (b"year", UnitStyle::Words) => (12, 0, 0),
        (b"M", UnitStyle::IsoDate) | (b"mon" | b"month", UnitStyle::Words) => (1, 0, 0),
        (b"W", UnitStyle::IsoDate) | (b"week", UnitStyle::Words) => (0, 7, 0),
        (b"D", UnitStyle::IsoDate) | (b"day", UnitStyle::Words) => (0, 1, 0),
        (b"H", UnitStyle::IsoTime) | (b"hour", UnitStyle::Words) => (0, 0, 3600),
        (b"M", UnitStyle::IsoTime) | (b"min" | b"minute", UnitStyle::Words) => (0, 0, 60),
        (b"S", UnitStyle::IsoTime) | (b"sec" | b"second", UnitStyle::Words) => (0, 0, 1),
        _ => return None,
    };
    // A fraction of a day or month spills over into smaller units by rules that differ from one program to the next.
    if seconds != 1 && (fraction != 0 || beyond.is_some()) {
        return None;
    }
    found.months += whole.checked_mul(months)?;
    found.days += whole.checked_mul(days)?;
    found.micros = found
        .micros
        .checked_add(whole.checked_mul(seconds)?.checked_mul(1_000_000)?)?
        .checked_add(fraction)?;
    found.beyond = found.beyond.or(beyond);
    Some(())
}

/// `[+-]digits[.digits]`: the whole, the microseconds of the rest with the same sign, and what is beyond them.
fn parse_decimal(number: &[u8]) -> Option<(i64, i64, Option<bool>)> {
    let text = std::str::from_utf8(number).ok()?;
    let minus = text.starts_with('-');
    let text = text.trim_start_matches(['-', '+']);
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    if !rest.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let micros =
        rest.bytes().chain(std::iter::repeat(b'0')).take(6).fold(0, |n, b| n * 10 + i64::from(b - b'0'));
    let beyond = rest.get(6..).filter(|r| r.bytes().any(|b| b != b'0')).map(|r| r.as_bytes()[0] >= b'5');
    let sign = if minus { -1 } else { 1 };
    let whole: i64 = whole.bytes().all(|b| b.is_ascii_digit()).then(|| whole.parse().ok())??;
    Some((sign * whole, sign * micros, beyond))
}

/// `[-][D.]HH:MM[:SS[.digits]]`.
fn interval_clock(word: &[u8], found: &mut Interval) -> Option<()> {
    let minus = word.first() == Some(&b'-');
    let word = word.strip_prefix(b"-").or_else(|| word.strip_prefix(b"+")).unwrap_or(word);
    let mut parts = word.split(|b| *b == b':');
    let mut first = parts.next()?.split(|b| *b == b'.').rev();
    let hours = parse_decimal(first.next()?)?.0;
    let days = first.next().map_or(Some(0), |d| Some(parse_decimal(d)?.0))?;
    let minutes = parse_decimal(parts.next()?)?.0;
    let (seconds, micros, beyond) = parts.next().map_or(Some((0, 0, None)), parse_decimal)?;
    let all = (hours.checked_mul(3600)? + minutes * 60 + seconds).checked_mul(1_000_000)? + micros;
    let sign = if minus { -1 } else { 1 };
    found.days += sign * days;
    found.micros = found.micros.checked_add(sign * all)?;
    found.beyond = found.beyond.or(beyond);
    (parts.next().is_none() && first.next().is_none()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_length_are_one() {
        let of = |t: &str| parse_interval(t.as_bytes());
        for same in [
            &[
                "1 day 02:03:04.5",
                "1.02:03:04.5000000",
                "1 day, 2:03:04.5",
                "P1DT2H3M4.5S",
                "1 days 2 hours 3 mins 4.5 secs",
            ][..],
            &["14 mons", "1 year 2 mons", "P1Y2M", "1 year, 2 months"],
            &["-00:00:01", "-1 seconds", "PT-1S"],
            &["2 weeks", "14 days", "P2W"],
        ] {
            assert!(of(same[0]).is_some(), "{}", same[0]);
            same.iter().for_each(|s| assert_eq!(of(s), of(same[0]), "{s}"));
        }
        assert_ne!(of("24:00:00"), of("1 day"));
        for no in ["", "90", "P", "1 parsec", "1.5 days", "1:2:3:4", "abc"] {
            assert_eq!(of(no), None, "{no}");
        }
    }
}
