//! Recorded gaps: WAL that a repository did not get, and why. The record is in every repository that could take it;
//! the gap is closed when the segment is there after all.

use super::archive::Inventory;
use super::keys::System;
use crate::error::{Context, Error, Result};
use crate::stamp::stamp_micros;
use crate::store::{Attrs, Key, Store, read_small};
use crate::wal::WalName;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The version of a record that this program writes.
const FORMAT: u32 = 1;
const LARGEST: u64 = 64 << 10;
const FOLDER: &str = "gap/";
const ACKNOWLEDGED: &str = "gap-acknowledged/";

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

    /// Whether `store` has a record of the same segments already: whoever finds it again has nothing to add.
    ///
    /// # Errors
    /// Those of [`read_gaps`].
    pub fn is_recorded(&self, store: &dyn Store, system: &System) -> Result<bool> {
        let same = |g: &Gap| g.first == self.first && g.last == self.last && g.repo == self.repo;
        Ok(read_gaps(store, system)?.0.iter().any(same))
    }

    /// Stores it.
    ///
    /// # Errors
    /// Those of the store.
    pub fn store_record(&self, store: &dyn Store, system: &System) -> Result<()> {
        // Two hosts may find the same gap at once: with the time in its name each record has a name of its own, and
        // none is written over the other.
        let name = format!("{FOLDER}{}.{}.json", self.first, stamp_micros(self.at));
        put_record(store, &system.key(&name), self)
    }

    /// Whether a file of it is missing still, in an archive of segments of `size` bytes.
    pub fn is_open(&self, inventory: &Inventory, size: u64) -> bool {
        if let Ok(WalName::History(timeline)) = self.first.parse() {
            return !inventory.histories.contains(&timeline);
        }
        let segment = |name: &str| name.parse::<WalName>().ok()?.segment(size);
        let (Some(first), Some(last)) = (segment(&self.first), segment(&self.last)) else { return true };
        // Both ends belong to it, and each segment is asked for by itself: what comes later may close a gap from its
        // middle.
        let within = |s: &crate::wal::Segment| (s.number < last.number).then(|| s.next());
        std::iter::successors(Some(first), within).any(|s| !inventory.has(&s))
    }
}

/// WAL that is known to be lost: somebody looked, and says that nothing need be done about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    format: u32,
    /// The first file.
    pub first: String,
    /// The last.
    pub last: String,
    /// When it was said.
    pub at: Timestamp,
    /// Why nothing need be done.
    pub reason: String,
}

impl Acknowledged {
    /// That `first` to `last` are lost for good.
    pub fn new(first: WalName, last: WalName, at: Timestamp, reason: String) -> Acknowledged {
        Acknowledged { format: FORMAT, first: first.to_string(), last: last.to_string(), at, reason }
    }

    /// Stores it.
    ///
    /// # Errors
    /// Those of the store.
    pub fn store_record(&self, store: &dyn Store, system: &System) -> Result<()> {
        let name = format!("{ACKNOWLEDGED}{}.{}.json", self.first, stamp_micros(self.at));
        put_record(store, &system.key(&name), self)
    }

    /// Whether it speaks of all of the files `first` to `last`, in an archive of segments of `size` bytes.
    pub fn covers_range(&self, first: WalName, last: WalName, size: u64) -> bool {
        let (Ok(from), Ok(to)) = (self.first.parse::<WalName>(), self.last.parse::<WalName>()) else {
            return false;
        };
        match (from.segment(size), to.segment(size), first.segment(size), last.segment(size)) {
            // A gap may lead over a promotion: then each end is of a timeline of its own.
            (Some(from), Some(to), Some(first), Some(last)) => {
                let timelines = from.timeline.min(to.timeline)..=from.timeline.max(to.timeline);
                let inside = |s: &crate::wal::Segment| timelines.contains(&s.timeline);
                inside(&first) && inside(&last) && from.number <= first.number && last.number <= to.number
            }
            _ => (from, to) == (first, last),
        }
    }
}

fn put_record(store: &dyn Store, key: &Key, record: &impl Serialize) -> Result<()> {
    let json = serde_json::to_vec(record).doing(|| format!("write {key}"))?;
    store.put(key, &mut &json[..], &Attrs::new()).map(drop)
}

/// What is read of one folder of records: those that parse, and an error for each that does not.
pub type Read<T> = (Vec<T>, Vec<Error>);

/// Every recorded gap that `store` has.
///
/// # Errors
/// When it could not be asked.
pub fn read_gaps(store: &dyn Store, system: &System) -> Result<Read<Gap>> {
    read_records(store, &format!("{}{FOLDER}", system.root()))
}

/// What somebody acknowledged.
///
/// # Errors
/// When the store could not be asked.
pub fn read_acknowledged(store: &dyn Store, system: &System) -> Result<Read<Acknowledged>> {
    read_records(store, &format!("{}{ACKNOWLEDGED}", system.root()))
}

/// One damaged record must not hide the others, nor the rest of what is asked.
fn read_records<T: serde::de::DeserializeOwned>(store: &dyn Store, folder: &str) -> Result<Read<T>> {
    let (mut records, mut damaged) = (Vec::new(), Vec::new());
    for object in store.list(folder)? {
        let json = match read_small(store, &object.key, LARGEST) {
            Ok(Some(json)) => json,
            Ok(None) => continue,
            Err(e) if e.kind() == crate::Kind::Corrupt => {
                damaged.push(e);
                continue;
            }
            Err(e) => return Err(e),
        };
        match serde_json::from_slice(&json) {
            Ok(record) => records.push(record),
            Err(e) => damaged.push(Error::corrupt(format!("{} does not parse", object.key)).because(e)),
        }
    }
    Ok((records, damaged))
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
        gap.store_record(&store, &system).expect("stored");
        gap.store_record(&store, &system).expect("the same again");
        let (gaps, damaged) = read_gaps(&store, &system).expect("read");
        assert_eq!((&gaps[..], damaged.len()), (std::slice::from_ref(&gap), 0));
        let open = |names: &[&str]| {
            let inventory =
                Inventory::from_listing(names.iter().map(|n| (name(n), 1, Timestamp::UNIX_EPOCH)));
            gap.is_open(&inventory, 16 << 20)
        };
        assert!(open(&[]) && open(&[first]) && !open(&[first, last]));
        std::fs::write(dir.path().join("main/7/gap/x.json"), "{").expect("damage a record");
        let (gaps, damaged) = read_gaps(&store, &system).expect("read");
        assert_eq!((gaps.len(), damaged.len()), (1, 1), "a damaged record hides no other");

        let history = name("00000002.history");
        let gap = Gap::new(history, history, Some("far"), Timestamp::UNIX_EPOCH, "it is away".into());
        let with =
            |names: &[WalName]| Inventory::from_listing(names.iter().map(|n| (*n, 1, Timestamp::UNIX_EPOCH)));
        assert!(gap.is_open(&with(&[]), 16 << 20) && !gap.is_open(&with(&[history]), 16 << 20));
    }

    #[test]
    fn what_is_acknowledged_covers_what_lies_in_it() {
        let name = |text: &str| text.parse::<WalName>().expect("a name");
        let known = |a: &str, b: &str| {
            Acknowledged::new(name(a), name(b), Timestamp::UNIX_EPOCH, "the disk is gone".into())
        };
        let (two, three, four) =
            ("000000010000000000000002", "000000010000000000000003", "000000010000000000000004");
        let covers = |k: &Acknowledged, a: &str, b: &str| k.covers_range(name(a), name(b), 16 << 20);
        assert!(covers(&known(two, four), three, three) && covers(&known(two, four), two, four));
        assert!(!covers(&known(two, three), three, four) && !covers(&known(three, four), two, two));
        assert!(!covers(&known(two, four), "000000020000000000000003", "000000020000000000000003"));
        assert!(covers(&known(two, "000000020000000000000004"), three, three), "over a promotion");
        assert!(covers(
            &known("00000002.history", "00000002.history"),
            "00000002.history",
            "00000002.history"
        ));
        assert!(!covers(&known(two, four), "00000002.history", "00000002.history"));
    }
}
