//! What `verify` last found of the stored WAL (docs/FORMATS.md, "Proofs of the WAL").

use super::is_future;
use super::keys::System;
use crate::error::{Context, Error, Result};
use crate::stamp::{parse_stamp, stamp_micros};
use crate::store::{Attrs, Key, Store, read_small};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

const FORMAT: u32 = 1;
const FOLDER: &str = "proof/wal.";
const LARGEST: u64 = 16 << 20;

/// The verdict on the WAL of one system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    format: u32,
    /// When it was read.
    pub at: Timestamp,
    /// Files that are damaged, as far as anybody knows: found now, or found before and not read since.
    pub damaged: Vec<String>,
}

impl Verified {
    /// What was found at a time.
    pub fn new(at: Timestamp, damaged: Vec<String>) -> Verified {
        Verified { format: FORMAT, at, damaged }
    }

    /// Stores it.
    ///
    /// # Errors
    /// Those of the store.
    pub fn record(&self, store: &dyn Store, system: &System) -> Result<()> {
        let key = system.key(&format!("{FOLDER}{}.json", stamp_micros(self.at)));
        let json = serde_json::to_vec(self).doing(|| format!("write {key}"))?;
        store.put(&key, &mut &json[..], &Attrs::new()).map(drop)
    }
}

/// The keys of all verdicts, the oldest first.
///
/// # Errors
/// When the store could not be asked.
pub fn keys(store: &dyn Store, system: &System) -> Result<Vec<(Timestamp, Key)>> {
    let prefix = format!("{}{FOLDER}", system.root());
    let time = |key: &Key| parse_stamp(key.as_str().strip_prefix(&prefix)?.strip_suffix(".json")?);
    let listed = store.list(&prefix)?.into_iter();
    let mut keys: Vec<(Timestamp, Key)> = listed.filter_map(|o| Some((time(&o.key)?, o.key))).collect();
    keys.sort();
    Ok(keys)
}

/// The newest verdict as of `now`; one that is dated in the future proves nothing.
///
/// # Errors
/// When the store could not be asked; Corrupt when the verdict does not parse.
pub fn newest(store: &dyn Store, system: &System, now: Timestamp) -> Result<Option<Verified>> {
    let keys = keys(store, system)?;
    let Some((_, key)) = keys.iter().rev().find(|(at, _)| !is_future(*at, now)) else { return Ok(None) };
    let Some(json) = read_small(store, key, LARGEST)? else { return Ok(None) };
    let damaged = |e| Error::corrupt(format!("{key} does not parse")).because(e);
    serde_json::from_slice(&json).map(Some).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Dir;

    #[test]
    fn the_newest_counts_and_none_of_the_future() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Dir::open(&dir.path().display().to_string()).expect("a store");
        let system = System { cluster: "main".into(), identifier: 7 };
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let now = at("2026-11-21T12:00:00Z");
        assert_eq!(newest(&store, &system, now).expect("asked"), None);
        let first = Verified::new(at("2026-11-20T00:00:00Z"), vec!["000000010000000000000002".into()]);
        first.record(&store, &system).expect("stored");
        let same_second = Verified::new(at("2026-11-20T00:00:00.000007Z"), vec!["x".into()]);
        same_second.record(&store, &system).expect("stored");
        Verified::new(at("2099-11-20T00:00:00Z"), Vec::new()).record(&store, &system).expect("stored");
        assert_eq!(newest(&store, &system, now).expect("asked"), Some(same_second));
    }
}
