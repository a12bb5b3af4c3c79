//! A point in time of any year that a certificate can name.

use serde::{Serialize, Serializer};

/// Seconds since 1970, UTC. (A time stamp of jiff ends some hours before 9999-12-31T23:59:59Z, "no expiry".)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) i64);

impl Moment {
    /// The second that `at` lies in.
    pub(crate) fn of(at: jiff::Timestamp) -> Moment {
        Moment(at.as_second())
    }

    /// Seconds from `earlier` to this; negative when it is before.
    pub(crate) fn since(self, earlier: Moment) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&pkix::format_time(self.0))
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// A length of time for people, in its largest two units: `24 d 3 h`, `5 min`; "-" before one that is over.
pub(crate) fn span(seconds: i64) -> String {
    let minus = if seconds < 0 { "-" } else { "" };
    let s = seconds.unsigned_abs();
    let (days, hours, minutes) = (s / 86400, s % 86400 / 3600, s % 3600 / 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{minus}{s} s"),
        (0, 0, m) => format!("{minus}{m} min"),
        (0, h, m) => format!("{minus}{h} h {m} min"),
        (d, h, _) if d < 10 => format!("{minus}{d} d {h} h"),
        (d, ..) => format!("{minus}{d} d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        let known = [(59, "59 s"), (3600, "1 h 0 min"), (90_000, "1 d 1 h"), (-86_400 * 30, "-30 d")];
        for (seconds, text) in known {
            assert_eq!(span(seconds), text);
        }
    }
}
