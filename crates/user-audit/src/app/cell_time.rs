//! A column of times, whatever its type: timestamptz, timestamp, date, epoch seconds or milliseconds, ISO text.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// What a cell says of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CellTime {
    /// NULL or empty: it never happened, or nobody knows.
    Never,
    At(Timestamp),
    /// What applications store for "never": year 1, epoch 0, minus infinity.
    Impossible,
    /// Infinity, or the last year that a calendar has: it has no end.
    Forever,
    /// Something is there, and it is no time that we can read: nothing may be judged by it.
    Unreadable,
}

impl CellTime {
    /// Reads a cell; a time without an offset is `zone`'s.
    pub(crate) fn parse_cell(cell: Option<&str>, zone: &TimeZone) -> CellTime {
        let text = cell.map(str::trim).unwrap_or_default();
        if text.is_empty() {
            return CellTime::Never;
        }
        if is_never(text) {
            return CellTime::Impossible;
        }
        if is_forever(text) {
            return CellTime::Forever;
        }
        match parse_number(text).or_else(|| parse_iso(text, zone)) {
            // Nothing was run before 1971: it is a default that somebody stored for "never".
            Some(at) if at.as_second() > 365 * 86400 => CellTime::At(at),
            Some(_) => CellTime::Impossible,
            None => CellTime::Unreadable,
        }
    }

    /// Whether there is something, and it is no time in a life.
    pub(crate) fn is_wrong(self) -> bool {
        matches!(self, CellTime::Impossible | CellTime::Forever | CellTime::Unreadable)
    }

    /// The later of two; what cannot be read hides what cannot be, and that what is not there.
    pub(crate) fn latest_of(self, other: CellTime) -> CellTime {
        match (self, other) {
            (CellTime::At(a), CellTime::At(b)) => CellTime::At(a.max(b)),
            (CellTime::At(_), _) | (_, CellTime::Never) => self,
            (CellTime::Unreadable, CellTime::Impossible | CellTime::Forever) => self,
            _ => other,
        }
    }

    /// The time, if there is one.
    pub(crate) fn time(self) -> Option<Timestamp> {
        match self {
            CellTime::At(at) => Some(at),
            _ => None,
        }
    }
}

fn is_never(text: &str) -> bool {
    // PostgreSQL writes years before Christ behind, SQLite's programs a zero; what is negative counts from before any
    // of them.
    let negative = text.strip_prefix('-').is_some_and(|n| n.parse::<f64>().is_ok_and(f64::is_finite));
    negative || text.ends_with("BC") || text.starts_with("0000-") || text.eq_ignore_ascii_case("-infinity")
}

fn is_forever(text: &str) -> bool {
    let year = text.split_once('-').and_then(|(year, _)| year.parse::<u32>().ok());
    text.eq_ignore_ascii_case("infinity") || year.is_some_and(|y| y >= 9999)
}

/// Epoch in seconds, milliseconds, microseconds or nanoseconds: by size, they are a thousand years apart. What lies
/// between counts from another year (Windows', .NET's), and is no epoch of ours.
fn parse_number(text: &str) -> Option<Timestamp> {
    if !text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    let microseconds = match value {
        // Seconds up to the year 5138; what is larger counts in smaller units.
        v if v < 1e11 => v * 1e6,
        v if v < 1e14 => v * 1e3,
        v if v < 4e15 => v,
        // Nanoseconds of the years 2001 to 2096; FILETIME and .NET's ticks lie below.
        v if (1e18..4e18).contains(&v) => v / 1e3,
        _ => return None,
    };
    Timestamp::from_microsecond(microseconds as i64).ok()
}

fn parse_iso(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    // Sequelize writes a blank before the offset.
    let tight =
        text.rsplit_once(' ').filter(|(_, o)| o.starts_with(['+', '-'])).map(|(t, o)| format!("{t}{o}"));
    let text = tight.as_deref().unwrap_or(text);
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    let civil: DateTime = text.parse().ok()?;
    zone.to_timestamp(civil).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> CellTime {
        CellTime::parse_cell(Some(text), &TimeZone::get("Europe/Berlin").expect("a zone"))
    }

    fn at(text: &str) -> CellTime {
        CellTime::At(text.parse().expect("a time"))
    }

    #[test]
    fn every_type_that_columns_have() {
        let same = at("2026-03-29T10:00:00Z");
        for text in [
            "2026-03-29 10:00:00+00",
            "2026-03-29 10:00:00.000 +00:00",
            "2026-03-29T12:00:00+02:00",
            "2026-03-29 12:00:00",
            "1774778400",
            "1774778400000",
            "1774778400000000",
            "1774778400.0",
            " 2026-03-29T10:00:00Z ",
        ] {
            assert_eq!(read(text), same, "{text}");
        }
        assert_eq!(read("2026-01-31"), at("2026-01-30T23:00:00Z"));
    }

    #[test]
    fn what_never_happened_and_what_cannot_have() {
        assert_eq!(CellTime::parse_cell(None, &TimeZone::UTC), CellTime::Never);
        assert_eq!(read(""), CellTime::Never);
        for text in [
            "-infinity",
            "0001-01-01 00:00:00+00",
            "0001-01-01 00:00:00+00 BC",
            "0",
            "-1",
            "-62135596800",
            "0000-00-00 00:00:00",
            "1970-01-01T00:00:00Z",
        ] {
            assert_eq!(read(text), CellTime::Impossible, "{text}");
        }
        for text in ["infinity", "9999-12-31 23:59:59+00", "9999-12-31", "294276-12-31 00:00:00"] {
            assert_eq!(read(text), CellTime::Forever, "{text}");
        }
        for text in ["yesterday", "2026-02-30", "1.2.3", ".", "20.11.2026 08:00", "133765437000000000"] {
            assert_eq!(read(text), CellTime::Unreadable, "{text}");
        }
        assert_eq!(read("1774778400000000000"), at("2026-03-29T10:00:00Z"), "nanoseconds");
    }

    #[test]
    fn the_hour_that_a_clock_change_skips_or_repeats_is_a_time() {
        assert_eq!(read("2026-03-29 02:30:00"), at("2026-03-29T01:30:00Z"));
        assert_eq!(read("2026-10-25 02:30:00"), at("2026-10-25T00:30:00Z"));
    }
}
