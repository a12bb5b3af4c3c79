//! The recovery target that was asked for.

use crate::cli;
use jiff::Timestamp;
use jiff::civil::DateTime;
use toban_core::wal::Lsn;
use toban_core::{Error, Result};

/// Where recovery ends, when that is not the end of the backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RecoveryTarget {
    /// The end of what the repositories have.
    Latest,
    Time(Timestamp),
    Lsn(Lsn),
    Name(String),
    Xid(u32),
}

impl RecoveryTarget {
    /// None: the end of the backup, from its own WAL.
    ///
    /// # Errors
    /// Usage for a time that could be meant in several zones.
    pub(super) fn from_args(to: &cli::RecoveryTargetArgs) -> Result<Option<RecoveryTarget>> {
        if let Some(text) = &to.target_time {
            return parse_time(text, to.utc).map(|at| Some(RecoveryTarget::Time(at)));
        }
        let latest = (to.target == Some(cli::TargetKeyword::Latest)).then_some(RecoveryTarget::Latest);
        // PostgreSQL shows them with an epoch in front, and compares without.
        let xid =
            || to.target_xid.map(|x| RecoveryTarget::Xid(u32::try_from(x & 0xFFFF_FFFF).unwrap_or_default()));
        let name = || to.target_name.clone().map(RecoveryTarget::Name);
        Ok(latest.or_else(|| to.target_lsn.map(RecoveryTarget::Lsn)).or_else(name).or_else(xid))
    }

    /// In words, for people.
    pub(super) fn describe(&self, exclusive: bool) -> String {
        let what = match self {
            RecoveryTarget::Latest => "the end of the WAL".into(),
            RecoveryTarget::Time(at) => format!("time {at}"),
            RecoveryTarget::Lsn(lsn) => format!("position {lsn}"),
            RecoveryTarget::Name(name) => format!("restore point {name}"),
            RecoveryTarget::Xid(xid) => format!("transaction {xid}"),
        };
        if exclusive { format!("{what}, exclusive") } else { what }
    }
}

fn parse_time(text: &str, utc: bool) -> Result<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let bad = |e| Error::usage(format!("{text:?} is not a time")).because(e);
    let civil: DateTime = text.parse().map_err(|e| bad(e).hint("as 2026-11-21T03:00:00+01:00"))?;
    if utc {
        return Ok(civil.to_zoned(jiff::tz::TimeZone::UTC).map_err(bad)?.timestamp());
    }
    let e = Error::usage(format!("{text:?} has no time zone"));
    Err(e.hint(format!("write {text}Z, {text}+01:00, or give --utc")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_needs_a_zone() {
        let of = |text: &str, utc| parse_time(text, utc).map(|at| at.to_string()).map_err(|e| e.chain());
        let three = Ok("2026-11-21T03:00:00Z".to_string());
        for text in ["2026-11-21T03:00:00Z", "2026-11-21 04:00:00+01", "2026-11-21T04:00+01:00[Europe/Paris]"]
        {
            assert_eq!((of(text, false), of(text, true)), (three.clone(), three.clone()), "{text}");
        }
        assert_eq!(of("2026-11-21 03:00:00", true), three);
        for text in ["2026-11-21 03:00:00", "2026-11-21"] {
            assert!(of(text, false).expect_err("refused").contains("no time zone"), "{text}");
        }
        assert!(of("yesterday", true).is_err());
    }
}
