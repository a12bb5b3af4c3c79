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
    /// No time at which anything happened in an application: infinity, year 1, epoch 0, words.
    Impossible,
}

impl Moment {
    /// Reads a cell; a time without an offset is `zone`'s.
    pub(crate) fn read(cell: Option<&str>, zone: &TimeZone) -> Moment {
        let text = cell.map(str::trim).unwrap_or_default();
        if text.is_empty() {
            return Moment::Never;
        }
        match number(text).or_else(|| iso(text, zone)) {
            // Nothing was run before 1971: it is a default that somebody stored for "never".
            Some(at) if at.as_second() > 365 * 86400 => Moment::At(at),
            _ => Moment::Impossible,
        }
    }

    /// The later of two; what cannot be hides what is not there.
    pub(crate) fn later(self, other: Moment) -> Moment {
        match (self, other) {
            (Moment::At(a), Moment::At(b)) => Moment::At(a.max(b)),
            (Moment::At(_), _) | (_, Moment::Never) => self,
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

/// Epoch in seconds, milliseconds or microseconds: by size, they are a thousand years apart.
fn number(text: &str) -> Option<Timestamp> {
    if !text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    let microseconds = match value {
        v if v < 1e11 => v * 1e6,
        v if v < 1e14 => v * 1e3,
        v => v,
    };
    Timestamp::from_microsecond(microseconds as i64).ok()
}

fn iso(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    if text.ends_with("BC") {
        return None;
    }
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
        for text in ["infinity", "-infinity", "0001-01-01 00:00:00+00", "0001-01-01 00:00:00+00 BC", "0"] {
            assert_eq!(read(text), Moment::Impossible, "{text}");
        }
        for text in ["yesterday", "1970-01-01T00:00:00Z", "2026-02-30", "1.2.3", "."] {
            assert_eq!(read(text), Moment::Impossible, "{text}");
        }
    }

    #[test]
    fn the_hour_that_a_clock_change_skips_or_repeats_is_a_time() {
        assert_eq!(read("2026-03-29 02:30:00"), at("2026-03-29T01:30:00Z"));
        assert_eq!(read("2026-10-25 02:30:00"), at("2026-10-25T00:30:00Z"));
    }
}
