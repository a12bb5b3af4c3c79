//! Times: from text and from numbers to what PostgreSQL counts, microseconds since 2000.

use crate::model::Conversion;

/// 2000-01-01 in seconds, and in days, since 1970.
const EPOCH: i64 = 946_684_800;
const EPOCH_DAYS: i64 = 10_957;
pub(crate) const DAY: i64 = 86_400_000_000;

/// What a text says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ParsedTimestamp {
    /// Microseconds since 2000-01-01 on the clock that the text shows.
    pub(crate) micros: i64,
    /// Seconds that this clock is ahead of UTC.
    pub(crate) ahead: Option<i64>,
    /// Digits beyond the microsecond: nothing, or whether they round up.
    pub(crate) beyond: Option<bool>,
}

impl ParsedTimestamp {
    /// The same in UTC; a text without zone is UTC.
    pub(crate) fn utc(self) -> Option<i64> {
        self.micros.checked_sub(self.ahead.unwrap_or(0) * 1_000_000)
    }
}

/// Reads `YYYY-MM-DD[( |T)HH:MM[:SS[.digits]]][ ][Z|±HH[:]MM]`. None: it says something else, or no day of the
/// calendar.
pub(crate) fn parse_timestamp(text: &[u8]) -> Option<ParsedTimestamp> {
    let mut rest = Cursor(text);
    let year = rest.read_number(4)?;
    rest.read_byte(b'-')?;
    let month = rest.read_number(2)?;
    rest.read_byte(b'-')?;
    let day = days_from_civil(year, month, rest.read_number(2)?)?;
    let (micros, beyond) = match rest.0.first() {
        Some(b' ' | b'T' | b't') if rest.0.get(1).is_some_and(u8::is_ascii_digit) => {
            rest.0 = &rest.0[1..];
            rest.read_clock()?
        }
        _ => (0, None),
    };
    let ahead = rest.read_zone()?;
    Some(ParsedTimestamp { micros: (day - EPOCH_DAYS) * DAY + micros, ahead, beyond })
}

/// Reads `HH:MM[:SS[.digits]]`, in microseconds since midnight.
pub(crate) fn parse_clock(text: &[u8]) -> Option<(i64, Option<bool>)> {
    let mut rest = Cursor(text);
    let time = rest.read_clock()?;
    rest.0.is_empty().then_some(time)
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn read_number(&mut self, digits: usize) -> Option<i64> {
        let (head, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        head.iter().try_fold(0, |sum, d| d.is_ascii_digit().then(|| sum * 10 + i64::from(d - b'0')))
    }

    fn read_byte(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }

    fn read_clock(&mut self) -> Option<(i64, Option<bool>)> {
        let hour = self.read_number(2)?;
        self.read_byte(b':')?;
        let minute = self.read_number(2)?;
        let mut micros = (hour * 60 + minute) * 60_000_000;
        let mut beyond = None;
        let mut second = 0;
        if self.read_byte(b':').is_some() {
            second = self.read_number(2)?;
            if self.read_byte(b'.').is_some() {
                let fraction;
                (fraction, beyond) = self.read_fraction()?;
                micros += fraction;
            }
        }
        (hour < 24 && minute < 60 && second < 60).then_some((micros + second * 1_000_000, beyond))
    }

    /// Digits after the point: microseconds, and what lies beyond.
    fn read_fraction(&mut self) -> Option<(i64, Option<bool>)> {
        let length = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(length);
        self.0 = rest;
        let micros = (0..6).fold(0, |sum, i| sum * 10 + digits.get(i).map_or(0, |d| i64::from(d - b'0')));
        let further = digits.get(6..).unwrap_or(&[]);
        let beyond = further.iter().any(|d| *d != b'0').then(|| further[0] >= b'5');
        (length > 0).then_some((micros, beyond))
    }

    /// Nothing, Z, or an offset in seconds; then the end.
    #[expect(clippy::option_option, reason = "no zone and no text of ours are two things")]
    fn read_zone(&mut self) -> Option<Option<i64>> {
        let blank = self.read_byte(b' ').is_some();
        let sign = match self.0.first() {
            None if !blank => return Some(None),
            Some(b'Z' | b'z') if self.0.len() == 1 => return Some(Some(0)),
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return None,
        };
        self.0 = &self.0[1..];
        let hours = self.read_number(2)?;
        let minutes = match self.0.is_empty() {
            true => 0,
            false => {
                let _ = self.read_byte(b':');
                self.read_number(2)?
            }
        };
        // As far as PostgreSQL takes an offset (MAX_TZDISP_HOUR in `datetime.h`).
        let fits = self.0.is_empty() && hours < 16 && minutes < 60;
        fits.then_some(Some(sign * (hours * 60 + minutes) * 60))
    }
}

/// Days since 1970 of a day that the calendar has (Howard Hinnant's days_from_civil).
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        1..=12 => 31,
        _ => return None,
    };
    // Years begin in March here, so that the leap day is the last of one.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + (153 * m + 2) / 5 + day - 1;
    (year > 0 && (1..=length).contains(&day)).then_some(era * 146_097 + doe - 719_468)
}

/// Microseconds since 2000 of an integer in this unit.
pub(crate) fn from_integer(n: i64, unit: Conversion) -> Option<i64> {
    const WEBKIT: i128 = 11_644_473_600_000_000;
    let n = i128::from(n);
    let unix = match unit {
        Conversion::EpochS => n * 1_000_000,
        Conversion::EpochMs => n * 1000,
        Conversion::EpochUs => n,
        Conversion::EpochNs if n % 1000 == 0 => n / 1000,
        Conversion::WebkitUs => n - WEBKIT,
        Conversion::CocoaS => (n + 978_307_200) * 1_000_000,
        Conversion::Filetime if n % 10 == 0 => n / 10 - WEBKIT,
        Conversion::Julian => n * i128::from(DAY) - 210_866_760_000_000_000,
        _ => return None,
    };
    i64::try_from(unix - i128::from(EPOCH) * 1_000_000).ok()
}

/// The same of a real.
pub(crate) fn from_real(r: f64, unit: Conversion) -> Option<i64> {
    let unix = match unit {
        Conversion::EpochS => (r * 1e6).round(),
        Conversion::EpochMs => (r * 1e3).round(),
        Conversion::CocoaS => ((r + 978_307_200.0) * 1e6).round(),
        // As SQLite reckons: whole milliseconds of the julian day, half up.
        Conversion::Julian => ((r * 86_400_000.0 + 0.5).floor() - 210_866_760_000_000.0) * 1000.0,
        _ => return None,
    };
    (unix.abs() < 9e18).then_some(unix as i64 - EPOCH * 1_000_000)
}

/// The unit that an integer's size speaks for: seconds until the year 5138, then milli-, micro- and nanoseconds.
pub(crate) fn unit_of(n: i64) -> Conversion {
    // A column of julian days has numeric affinity: each noon lies there as an integer, of 1970 to 2100 here.
    if (2_440_588..2_488_070).contains(&n) {
        return Conversion::Julian;
    }
    match n.unsigned_abs() {
        0..100_000_000_000 => Conversion::EpochS,
        100_000_000_000..100_000_000_000_000 => Conversion::EpochMs,
        100_000_000_000_000..100_000_000_000_000_000 => Conversion::EpochUs,
        _ => Conversion::EpochNs,
    }
}

/// The same of a real; SQLite's own functions take numbers of this size for julian days.
pub(crate) fn unit_of_real(r: f64) -> Conversion {
    match (1_721_059.5..5_373_484.5).contains(&r) {
        true => Conversion::Julian,
        false if r.abs() < 1e11 => Conversion::EpochS,
        false => Conversion::EpochMs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> Option<i64> {
        parse_timestamp(text.as_bytes()).and_then(ParsedTimestamp::utc)
    }

    #[test]
    fn every_spelling_of_a_moment() {
        let noon = utc("2000-01-02 12:00:00").expect("a time");
        assert_eq!(noon, DAY * 3 / 2);
        for same in [
            "2000-01-02T12:00",
            "2000-01-02 12:00:00.000 +00:00",
            "2000-01-02T12:00:00Z",
            "2000-01-02 14:30:00+0230",
            "2000-01-02 07:00-05",
            "2000-01-02 12:00:00.0000000",
        ] {
            assert_eq!(utc(same), Some(noon), "{same}");
        }
        assert_eq!(utc("2000-01-01"), Some(0));
        assert_eq!(utc("1970-01-01"), Some(-EPOCH * 1_000_000));
        assert_eq!(utc("2024-02-29 00:00:00.123456"), Some(762_480_000_123_456));
    }

    #[test]
    fn what_is_no_moment() {
        for text in [
            "",
            "now",
            "0000-00-00",
            "2024-02-30",
            "2023-02-29",
            "2024-1-1",
            "2024-01-01 24:00:00",
            "2024-01-01 12:60",
            "2024-01-01 12:00:00 ",
            "2024-01-01x",
            "2024-01-01 12:00:00.",
            "12:00",
        ] {
            assert_eq!(parse_timestamp(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn digits_beyond_the_microsecond_are_told() {
        let beyond = |text: &str| parse_timestamp(text.as_bytes()).expect(text).beyond;
        assert_eq!(beyond("2024-01-01 12:00:00.1234567"), Some(true));
        assert_eq!(beyond("2024-01-01 12:00:00.1234561"), Some(false));
        assert_eq!(beyond("2024-01-01 12:00:00.1234560"), None);
    }

    #[test]
    fn numbers_in_every_unit() {
        let at = utc("2021-07-26T07:05:06Z").expect("a time");
        for (n, unit) in [
            (1_627_283_106, Conversion::EpochS),
            (1_627_283_106_000, Conversion::EpochMs),
            (1_627_283_106_000_000, Conversion::EpochUs),
            (1_627_283_106_000_000_000, Conversion::EpochNs),
        ] {
            assert_eq!(from_integer(n, unit), Some(at));
            assert_eq!(unit_of(n), unit);
        }
        assert_eq!(from_integer(13_271_756_706_000_000, Conversion::WebkitUs), Some(at));
        assert_eq!(from_integer(648_975_906, Conversion::CocoaS), Some(at));
        assert_eq!(from_integer(132_717_567_060_000_000, Conversion::Filetime), Some(at));
        assert_eq!(from_real(2_451_545.0, Conversion::Julian), Some(DAY / 2));
        assert_eq!(unit_of_real(2_451_545.0), Conversion::Julian);
        assert_eq!(from_real(946_684_800.25, unit_of_real(946_684_800.25)), Some(250_000));
    }
}
