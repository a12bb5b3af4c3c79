//! What `verify` last found of the stored WAL (docs/FORMATS.md, "Proofs of the WAL").

use super::keys::System;
use super::signed::{put_signed, signature_key};
use super::{CLOCK_TOLERANCE, is_future};
use crate::error::{Context, Error, Result};
use crate::sign::Signer;
use crate::stamp::{parse_stamp, stamp_micros};
use crate::store::{Key, Store, read_small};
use crate::wal::{Timeline, WalName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

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
    /// Which files were last read whole, and when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proven: Vec<ProvenWal>,
}

/// Files of one timeline that were read whole at one time: all between two that were in the archive then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenWal {
    /// The first, by its name.
    pub first: String,
    /// The last.
    pub last: String,
    /// When the reading began.
    pub at: Timestamp,
}

impl Verified {
    /// What was found at a time.
    pub fn new(at: Timestamp, damaged: Vec<String>) -> Verified {
        Verified { format: FORMAT, at, damaged, proven: Vec::new() }
    }

    /// When `name`, which came into the archive at `stored`, was last read whole, if that is known. What came later than a
    /// range was read was not in it.
    pub fn proven_at(&self, name: WalName, stored: Timestamp) -> Option<Timestamp> {
        if self.damaged.contains(&name.to_string()) {
            return None;
        }
        let own = place(name);
        let covers = |range: &&ProvenWal| {
            let (Ok(first), Ok(last)) = (range.first.parse(), range.last.parse()) else { return false };
            // The store's clock and ours differ by less than this.
            let there = stored.as_second() + CLOCK_TOLERANCE.as_secs().cast_signed() < range.at.as_second();
            there && place(first) <= own && own <= place(last)
        };
        self.proven.iter().filter(covers).map(|range| range.at).max()
    }

    /// Keeps which files were read whole at which time; `files` in any order.
    pub fn set_proven(&mut self, mut files: Vec<ProvenFile>) {
        files.sort_by_key(|file| place(file.name));
        let mut last: Option<ProvenFile> = None;
        self.proven.clear();
        for file in files {
            let follows =
                last.is_some_and(|last| last.at == file.at && last.name.timeline() == file.name.timeline());
            match (file.at, self.proven.last_mut().filter(|_| follows)) {
                // By ranges and not by names: months of WAL are a hundred thousand files, and a verdict is one
                // object.
                (Some(_), Some(range)) => range.last = file.name.to_string(),
                (Some(at), None) => {
                    let name = file.name.to_string();
                    self.proven.push(ProvenWal { first: name.clone(), last: name, at });
                }
                // Of what was not read it ends the range: it lies between two.
                (None, _) => {}
            }
            last = Some(file);
        }
    }

    /// Stores it, signed where somebody signs.
    ///
    /// # Errors
    /// Those of the store, and of the key.
    pub fn record(&self, store: &dyn Store, system: &System, signer: Option<&Signer>) -> Result<()> {
        let key = system.key(&format!("{FOLDER}{}.json", stamp_micros(self.at)));
        let json = serde_json::to_vec(self).doing(|| format!("write {key}"))?;
        put_signed(store, &key, &json, signer)
    }
}

/// A file of the archive, and when it was last read whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProvenFile {
    /// Its name.
    pub name: WalName,
    /// None: never, or it is damaged.
    pub at: Option<Timestamp>,
}

/// The order of files: by timeline and position, a history first.
fn place(name: WalName) -> (Timeline, Option<(u32, u32)>, String) {
    (name.timeline(), name.segment_no().map(|no| (no.unit, no.segment)), name.to_string())
}

/// A verdict in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredVerdict {
    /// When the WAL was read.
    pub at: Timestamp,
    /// Its object.
    pub key: Key,
    /// That of its signature.
    pub signature: Option<Key>,
}

/// All verdicts, the oldest first.
///
/// # Errors
/// When the store could not be asked.
pub fn list_verdicts(store: &dyn Store, system: &System) -> Result<Vec<StoredVerdict>> {
    let prefix = format!("{}{FOLDER}", system.root());
    let time = |key: &Key| parse_stamp(key.as_str().strip_prefix(&prefix)?.strip_suffix(".json")?);
    let listed: BTreeSet<Key> = store.list(&prefix)?.into_iter().map(|o| o.key).collect();
    let verdict = |key: &Key| {
        let signature = signature_key(key).ok().filter(|signature| listed.contains(signature));
        Some(StoredVerdict { at: time(key)?, key: key.clone(), signature })
    };
    let mut verdicts: Vec<StoredVerdict> = listed.iter().filter_map(verdict).collect();
    verdicts.sort_by(|a, b| (a.at, &a.key).cmp(&(b.at, &b.key)));
    Ok(verdicts)
}

/// The newest verdict as of `now`; one that is dated in the future proves nothing.
///
/// # Errors
/// When the store could not be asked; Corrupt when the verdict does not parse.
pub fn newest(store: &dyn Store, system: &System, now: Timestamp) -> Result<Option<Verified>> {
    let verdicts = list_verdicts(store, system)?;
    let Some(StoredVerdict { key, .. }) = verdicts.iter().rev().find(|v| !is_future(v.at, now)) else {
        return Ok(None);
    };
    let Some(json) = read_small(store, key, LARGEST)? else { return Ok(None) };
    let damaged = |e| Error::corrupt(format!("{key} does not parse")).because(e);
    serde_json::from_slice(&json).map(Some).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Dir;

    #[test]
    fn ranges_tell_what_was_read_and_when() {
        let name = |n: u32| format!("0000000100000000{n:08X}").parse::<WalName>().expect("a name");
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).expect("in range");
        let file = |n, second: Option<i64>| ProvenFile { name: name(n), at: second.map(at) };
        let mut verdict = Verified::new(at(9000), vec![name(8).to_string()]);
        let other =
            ProvenFile { name: "000000020000000000000003".parse().expect("a name"), at: Some(at(5000)) };
        let files = vec![
            file(3, Some(5000)),
            file(2, Some(5000)),
            file(4, None),
            file(5, Some(5000)),
            file(6, Some(7000)),
            file(8, Some(7000)),
            other,
        ];
        verdict.set_proven(files);
        assert_eq!(verdict.proven.len(), 4, "{:?}", verdict.proven);
        let proven = |n, stored| verdict.proven_at(name(n), at(stored));
        assert_eq!(
            (proven(2, 0), proven(3, 0), proven(6, 0)),
            (Some(at(5000)), Some(at(5000)), Some(at(7000)))
        );
        assert_eq!(proven(4, 0), None, "what was not read ends a range");
        assert_eq!(proven(7, 0), Some(at(7000)), "it lies between two that were read");
        assert_eq!(proven(7, 6900), None, "and came after they were");
        assert_eq!(proven(8, 0), None, "damaged");
        assert_eq!(verdict.proven_at(other.name, at(0)), Some(at(5000)));
    }

    #[test]
    fn the_newest_counts_and_none_of_the_future() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Dir::open(&dir.path().display().to_string()).expect("a store");
        let system = System { cluster: "main".into(), identifier: 7 };
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let now = at("2026-11-21T12:00:00Z");
        assert_eq!(newest(&store, &system, now).expect("asked"), None);
        let first = Verified::new(at("2026-11-20T00:00:00Z"), vec!["000000010000000000000002".into()]);
        first.record(&store, &system, None).expect("stored");
        let same_second = Verified::new(at("2026-11-20T00:00:00.000007Z"), vec!["x".into()]);
        same_second.record(&store, &system, None).expect("stored");
        Verified::new(at("2099-11-20T00:00:00Z"), Vec::new()).record(&store, &system, None).expect("stored");
        assert_eq!(newest(&store, &system, now).expect("asked"), Some(same_second));
    }
}
