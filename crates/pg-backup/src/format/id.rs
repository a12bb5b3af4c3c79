//! Names of dumps and backups.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use toban_core::stamp::{parse_stamp, stamp};
use toban_core::{Error, Result};

/// Names a dump or a backup by when it began, in UTC, to the microsecond: `20261121T030000Z-120034`. Ids sort by time;
/// a clash would be refused by the store.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Id(String);

impl Id {
    /// The id of what begins at this time.
    pub(crate) fn new(at: Timestamp) -> Id {
        Id(format!("{}-{:06}", stamp(at), at.subsec_microsecond()))
    }

    /// When it began, to the second; 1970 where the digits are no date.
    pub(crate) fn began(&self) -> Timestamp {
        parse_stamp(&self.0[..16]).unwrap_or_default()
    }
}

impl FromStr for Id {
    type Err = Error;

    fn from_str(text: &str) -> Result<Id> {
        let digits = |r: std::ops::Range<usize>| text.as_bytes()[r].iter().all(u8::is_ascii_digit);
        let fits = text.len() == 23 && text.is_ascii() && digits(0..8) && digits(9..15) && digits(17..23);
        if fits && &text[8..9] == "T" && &text[15..17] == "Z-" {
            return Ok(Id(text.to_string()));
        }
        Err(Error::usage(format!("{text:?} is not the ID of a dump")).hint("`pg-backup list` shows the IDs"))
    }
}

impl TryFrom<String> for Id {
    type Error = Error;

    fn try_from(text: String) -> Result<Id> {
        text.parse()
    }
}

impl From<Id> for String {
    fn from(id: Id) -> String {
        id.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_only_ids_parse() {
        let at = |us| Timestamp::from_microsecond(us).expect("in range");
        assert_eq!(Id::new(at(1_795_316_400_000_042)).to_string(), "20261122T030000Z-000042");
        assert!(Id::new(at(100_999_999)) < Id::new(at(101_000_000)));
        for bad in
            ["", "20261121T030000Z-12345", "20261121T030000Z1234567", "2026-11-21", "20261121T030000Z-1234é"]
        {
            assert!(bad.parse::<Id>().is_err(), "{bad}");
        }
    }
}
