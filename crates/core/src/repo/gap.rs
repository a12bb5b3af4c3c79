//! Recorded gaps: WAL that a repository did not get, and why. The record is in every repository that could take it;
//! the gap is closed when the segment is there after all.

use super::archive::Inventory;
use super::keys::System;
use crate::error::{Context, Error, Result};
use crate::store::{Attrs, Store, read_small};
use crate::wal::WalName;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The version of a record that this program writes.
const FORMAT: u32 = 1;
const LARGEST: u64 = 64 << 10;

/// One record, `gap/<segment>.<time>.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    format: u32,
    /// The first segment that is missing.
    pub first: String,
    /// The last.
    pub last: String,
    /// The repository that lacks it, by its name in the configuration or its URL; none: every repository.
    pub repo: Option<String>,
    /// When it was found.
    pub at: Timestamp,
    /// What was said.
    pub why: String,
}

impl Gap {
    /// That the segments `first` to `last` are not in `repo`.
    pub fn new(first: WalName, last: WalName, repo: Option<&str>, at: Timestamp, why: String) -> Gap {
        let repo = repo.map(String::from);
        Gap { format: FORMAT, first: first.to_string(), last: last.to_string(), repo, at, why }
    }

    /// Stores it.
    ///
    /// # Errors
    /// Those of the store.
    pub fn record(&self, store: &dyn Store, system: &System) -> Result<()> {
        let at = self.at.strftime("%Y%m%dT%H%M%S%6fZ");
        let key = system.key(&format!("gap/{}.{at}.json", self.first))?;
        let json = serde_json::to_vec(self).doing(|| format!("write {key}"))?;
        store.put(&key, &mut &json[..], &Attrs::new()).map(drop)
    }

    /// Whether a file of it is missing still, in an archive of segments of `size` bytes.
    pub fn is_open(&self, inventory: &Inventory, size: u64) -> bool {
        if let Ok(WalName::History(timeline)) = self.first.parse() {
            return !inventory.histories.contains(&timeline);
        }
        let segment = |name: &str| name.parse::<WalName>().ok()?.segment(size);
        let (Some(first), Some(last)) = (segment(&self.first), segment(&self.last)) else { return true };
        let within = |s: &crate::wal::Segment| (s.number < last.number).then(|| s.next());
        std::iter::successors(Some(first), within).any(|s| !inventory.has(&s))
    }
}

/// Every record that `store` has.
///
/// # Errors
/// When it could not be asked; Corrupt for one that does not parse.
pub fn all(store: &dyn Store, system: &System) -> Result<Vec<Gap>> {
    let mut gaps = Vec::new();
    for object in store.list(&format!("{}gap/", system.root()))? {
        let Some(json) = read_small(store, &object.key, LARGEST)? else { continue };
        let damaged = |e| Error::corrupt(format!("{} does not parse", object.key)).because(e);
        gaps.push(serde_json::from_slice(&json).map_err(damaged)?);
    }
    Ok(gaps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Dir;

    #[test]
    fn a_gap_is_open_until_every_segment_is_there() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Dir::open(&dir.path().display().to_string()).expect("a store");
        let system = System { cluster: "main".into(), identifier: 7 };
        let name = |text: &str| text.parse::<WalName>().expect("a name");
        let (first, last) = ("0000000100000000000000FF", "000000010000000100000000");
        let gap = Gap::new(name(first), name(last), Some("far"), Timestamp::UNIX_EPOCH, "it is away".into());
        gap.record(&store, &system).expect("stored");
        gap.record(&store, &system).expect("the same again");
        assert_eq!(all(&store, &system).expect("read"), std::slice::from_ref(&gap));
        let open = |names: &[&str]| {
            let inventory = Inventory::of(names.iter().map(|n| (name(n), 1, Timestamp::UNIX_EPOCH)));
            gap.is_open(&inventory, 16 << 20)
        };
        assert!(open(&[]) && open(&[first]) && !open(&[first, last]));
        let history = name("00000002.history");
        let gap = Gap::new(history, history, Some("far"), Timestamp::UNIX_EPOCH, "it is away".into());
        let with = |names: &[WalName]| Inventory::of(names.iter().map(|n| (*n, 1, Timestamp::UNIX_EPOCH)));
        assert!(gap.is_open(&with(&[]), 16 << 20) && !gap.is_open(&with(&[history]), 16 << 20));
    }
}
