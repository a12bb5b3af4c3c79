//! A column of times, whatever its type: timestamptz, timestamp, date, epoch seconds or milliseconds, ISO text.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// What a cell says of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
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

impl Moment {
    /// Reads a cell; a time without an offset is `zone`'s.
    pub(crate) fn read(cell: Option<&str>, zone: &TimeZone) -> Moment {
        let text = cell.map(str::trim).unwrap_or_default();
        if text.is_empty() {
            return Moment::Never;
        }
        if is_never(text) {
            return Moment::Impossible;
        }
        if is_forever(text) {
            return Moment::Forever;
        }
        match number(text).or_else(|| iso(text, zone)) {
            // Nothing was run before 1971: it is a default that somebody stored for "never".
            Some(at) if at.as_second() > 365 * 86400 => Moment::At(at),
            Some(_) => Moment::Impossible,
            None => Moment::Unreadable,
        }
    }

    /// Whether there is something, and it is no time in a life.
    pub(crate) fn is_wrong(self) -> bool {
        matches!(self, Moment::Impossible | Moment::Forever | Moment::Unreadable)
    }

    /// The later of two; what cannot be read hides what cannot be, and that what is not there.
    pub(crate) fn later(self, other: Moment) -> Moment {
        match (self, other) {
            (Moment::At(a), Moment::At(b)) => Moment::At(a.max(b)),
            (Moment::At(_), _) | (_, Moment::Never) => self,
            (Moment::Unreadable, Moment::Impossible | Moment::Forever) => self,
            _ => other,
        }
    }

    /// The time, if there is one.
    pub(crate) fn time(self) -> Option<Timestamp> {
        match self {
            Moment::At(at) => Some(at),
            _ => None,
        }
    }
}

fn is_never(text: &str) -> bool {
    let negative = text.strip_prefix('-').is_some_and(|n| n.parse::<f64>().is_ok_and(f64::is_finite));
    negative || text.ends_with("BC") || text.starts_with("0000-") || text.eq_ignore_ascii_case("-infinity")
}

fn is_forever(text: &str) -> bool {
    let year = text.split_once('-').and_then(|(year, _)| year.parse::<u32>().ok());
    text.eq_ignore_ascii_case("infinity") || year.is_some_and(|y| y >= 9999)
}

/// Epoch in seconds, milliseconds, microseconds or nanoseconds: by size, they are a thousand years apart. What lies
/// between counts from another year (Windows', .NET's), and is no epoch of ours.
fn number(text: &str) -> Option<Timestamp> {
    if !text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    let microseconds = match value {
        v if v < 1e11 => v * 1e6,
        v if v < 1e14 => v * 1e3,
        v if v < 4e15 => v,
        v if (1e18..4e18).contains(&v) => v / 1e3,
        _ => return None,
    };
    Timestamp::from_microsecond(microseconds as i64).ok()
}

fn iso(text: &str, zone: &TimeZone) -> Option<Timestamp> {
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

    fn read(text: &str) -> Moment {
        Moment::read(Some(text), &TimeZone::get("Europe/Berlin").expect("a zone"))
    }

    fn at(text: &str) -> Moment {
        Moment::At(text.parse().expect("a time"))
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
        assert_eq!(Moment::read(None, &TimeZone::UTC), Moment::Never);
        assert_eq!(read(""), Moment::Never);
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
            assert_eq!(read(text), Moment::Impossible, "{text}");
        }
        for text in ["infinity", "9999-12-31 23:59:59+00", "9999-12-31", "294276-12-31 00:00:00"] {
            assert_eq!(read(text), Moment::Forever, "{text}");
        }
        for text in ["yesterday", "2026-02-30", "1.2.3", ".", "20.11.2026 08:00", "133765437000000000"] {
            assert_eq!(read(text), Moment::Unreadable, "{text}");
        }
        assert_eq!(read("1774778400000000000"), at("2026-03-29T10:00:00Z"), "nanoseconds");
    }

    #[test]
    fn the_hour_that_a_clock_change_skips_or_repeats_is_a_time() {
        assert_eq!(read("2026-03-29 02:30:00"), at("2026-03-29T01:30:00Z"));
        assert_eq!(read("2026-10-25 02:30:00"), at("2026-10-25T00:30:00Z"));
    }
}
