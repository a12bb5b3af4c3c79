//! Wall clocks and instants, in microseconds since 2000-01-01.

use jiff::Timestamp;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use migrate::timestamp::TO_1970;

/// A time zone of the IANA database.
#[derive(Clone, Debug)]
pub(crate) struct Zone(TimeZone);

/// Why a wall clock's time is no instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoInstant {
    /// The clock jumped over it.
    Gap,
    /// The clock showed it twice.
    Overlap,
    /// Beyond the years that are known.
    Range,
}

impl Zone {
    /// The zone of this name.
    ///
    /// # Errors
    /// What a name is.
    pub(crate) fn parse_zone(name: &str) -> Result<Zone, String> {
        let zone = TimeZone::get(name)
            .map_err(|_| format!("{name} is no time zone: Asia/Tokyo, UTC, Europe/Paris"))?;
        Ok(Zone(zone))
    }

    pub(crate) fn utc() -> Zone {
        Zone(TimeZone::UTC)
    }

    /// The instant that this wall clock's time is.
    ///
    /// # Errors
    /// Where it is none, or one of two.
    pub(crate) fn instant_of(&self, local: i64) -> Result<i64, NoInstant> {
        let clock = timestamp(local).map(|t| Offset::UTC.to_datetime(t)).ok_or(NoInstant::Range)?;
        // Neither of two instants is chosen, nor one near a gap, as libraries do when they are not asked: it would be
        // a silent change of data.
        match self.0.to_ambiguous_timestamp(clock).offset() {
            AmbiguousOffset::Unambiguous { offset } => Ok(local - i64::from(offset.seconds()) * 1_000_000),
            AmbiguousOffset::Gap { .. } => Err(NoInstant::Gap),
            AmbiguousOffset::Fold { .. } => Err(NoInstant::Overlap),
        }
    }

    /// What the zone's clocks show at an instant.
    pub(crate) fn clock_at(&self, utc: i64) -> i64 {
        let offset = timestamp(utc).map_or(0, |t| self.0.to_offset(t).seconds());
        utc + i64::from(offset) * 1_000_000
    }
}

fn timestamp(micros: i64) -> Option<Timestamp> {
    Timestamp::from_microsecond(micros.checked_add(TO_1970)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use migrate::timestamp::parse_timestamp;

    fn local(text: &str) -> i64 {
        parse_timestamp(text.as_bytes()).expect("a time").local
    }

    #[test]
    fn clocks_and_instants() {
        let tokyo = Zone::parse_zone("Asia/Tokyo").expect("a zone");
        let utc = tokyo.instant_of(local("2026-01-07T09:00:00")).expect("an instant");
        assert_eq!(utc, local("2026-01-07T00:00:00"));
        assert_eq!(tokyo.clock_at(utc), local("2026-01-07T09:00:00"));
        let paris = Zone::parse_zone("Europe/Paris").expect("a zone");
        assert_eq!(paris.instant_of(local("2026-03-29T02:30:00")), Err(NoInstant::Gap));
        assert_eq!(paris.instant_of(local("2026-10-25T02:30:00")), Err(NoInstant::Overlap));
        assert!(Zone::parse_zone("Nowhere").is_err());
    }
}
