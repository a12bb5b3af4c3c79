//! What `--within` reads: what was not proven within that time, the longest ago first, as far as the limit goes. Pure.

use super::wal::HeldWal;
use crate::format::backup::{BackupCatalog, StoredBackup};
use crate::format::catalog::Manifest;
use crate::format::dump::DumpCatalog;
use crate::format::id::Id;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use toban_core::Result;
use toban_core::store::Key;
use toban_core::wal::WalName;

/// What is verified together: a backup, a dump, or a file of the WAL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum DueUnit {
    Backup(Id),
    Dump(String, Id),
    Wal(u64, WalName),
}

/// One that is due.
struct DueItem {
    unit: DueUnit,
    /// When it was last looked at, with whatever result: what is damaged must not keep the others from being read.
    looked_at: Option<Timestamp>,
    /// What must be read of it, and the bytes of each.
    objects: Vec<(Key, u64)>,
}

/// What a run with `--within` is to read of one repository.
#[derive(Debug, Default)]
pub(super) struct DueSet {
    chosen: BTreeSet<DueUnit>,
    /// Objects that another backup's proof covers, and when they were read.
    pub(super) proven: BTreeMap<Key, Timestamp>,
    /// How many are due and must wait for a later run.
    pub(super) left: usize,
}

/// What a repository holds.
pub(super) struct HeldItems<'a> {
    pub(super) backups: &'a BackupCatalog,
    pub(super) dumps: &'a DumpCatalog,
    pub(super) wal: &'a [HeldWal],
}

/// Until when a run begins to read something.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeLimit(Option<Instant>);

impl TimeLimit {
    /// So long from now on; for ever without a length.
    pub(super) fn begin(length: Option<Duration>) -> TimeLimit {
        TimeLimit(length.and_then(|length| Instant::now().checked_add(length)))
    }

    pub(super) fn is_over(self) -> bool {
        self.0.is_some_and(|end| Instant::now() >= end)
    }
}

/// How long a proof counts, and how much is read in one run.
#[derive(Clone, Copy, Debug)]
pub(super) struct DueRule {
    pub(super) within: Duration,
    pub(super) limit_bytes: Option<u64>,
}

impl DueSet {
    /// Chooses as of `now`.
    ///
    /// # Errors
    /// When a manifest names what can be no object.
    pub(super) fn choose_due(held: &HeldItems<'_>, rule: DueRule, now: Timestamp) -> Result<DueSet> {
        let span = i64::try_from(rule.within.as_secs()).unwrap_or(i64::MAX);
        let limit = Timestamp::from_second(now.as_second().saturating_sub(span)).unwrap_or(Timestamp::MIN);
        let is_due = |at: Option<Timestamp>| at.is_none_or(|at| at < limit);
        let mut proven = proven_objects(&held.backups.stored)?;
        proven.retain(|_, at| *at >= limit);
        let mut items = Vec::new();
        for stored in held.backups.stored.iter().filter(|s| is_due(s.verified)) {
            let objects = stored.manifest.objects()?.into_iter();
            let unread =
                objects.filter(|(key, _)| !proven.contains_key(key)).map(|(key, sum)| (key, sum.bytes));
            let (unit, objects) = (DueUnit::Backup(stored.manifest.id.clone()), unread.collect());
            items.push(DueItem { unit, looked_at: stored.verified.max(stored.damaged), objects });
        }
        for stored in held.dumps.stored.iter().filter(|s| is_due(s.verified)) {
            let objects = stored.manifest.objects()?.into_iter().map(|(key, sum)| (key, sum.bytes)).collect();
            let unit = DueUnit::Dump(stored.manifest.database.name.clone(), stored.manifest.id.clone());
            items.push(DueItem { unit, looked_at: stored.verified.max(stored.damaged), objects });
        }
        for wal in held.wal {
            for (name, object) in &wal.files {
                let at = wal.proven_at(*name, object);
                if is_due(at) {
                    let unit = DueUnit::Wal(wal.system.identifier, *name);
                    let objects = vec![(object.key.clone(), object.size)];
                    items.push(DueItem { unit, looked_at: at, objects });
                }
            }
        }
        let (chosen, left) = take_oldest(items, rule.limit_bytes);
        Ok(DueSet { chosen, proven, left })
    }

    pub(super) fn has_backup(&self, id: &Id) -> bool {
        self.chosen.contains(&DueUnit::Backup(id.clone()))
    }

    pub(super) fn has_dump(&self, database: &str, id: &Id) -> bool {
        self.chosen.contains(&DueUnit::Dump(database.into(), id.clone()))
    }

    pub(super) fn has_wal(&self, system: u64, name: WalName) -> bool {
        self.chosen.contains(&DueUnit::Wal(system, name))
    }
}

/// When each object of the backups was last read whole: a proof of any backup that names it is one of it. What a backup
/// was found damaged after proves nothing of its objects.
fn proven_objects(backups: &[StoredBackup]) -> Result<BTreeMap<Key, Timestamp>> {
    let (mut proven, mut damaged) = (BTreeMap::new(), BTreeMap::new());
    for stored in backups {
        for (key, _) in stored.manifest.objects()? {
            let newest = |times: &mut BTreeMap<Key, Timestamp>, at: Timestamp| {
                times.entry(key.clone()).and_modify(|old| *old = at.max(*old)).or_insert(at);
            };
            stored.verified.iter().for_each(|at| newest(&mut proven, *at));
            stored.damaged.iter().for_each(|at| newest(&mut damaged, *at));
        }
    }
    proven.retain(|key, at| damaged.get(key).is_none_or(|damaged| *damaged < *at));
    Ok(proven)
}

/// The oldest first, until the limit is reached; one at least, or what is larger than the limit would never be read. How
/// many are left.
fn take_oldest(mut items: Vec<DueItem>, limit: Option<u64>) -> (BTreeSet<DueUnit>, usize) {
    items.sort_by(|a, b| (a.looked_at, &a.unit).cmp(&(b.looked_at, &b.unit)));
    let (all, mut bytes) = (items.len(), 0_u64);
    let (mut read, mut chosen) = (BTreeSet::new(), BTreeSet::new());
    for item in items {
        // A pack that several name is read once.
        let more: u64 = item.objects.iter().filter(|(key, _)| !read.contains(key)).map(|(_, n)| n).sum();
        if limit.is_some_and(|limit| bytes.saturating_add(more) > limit) && !chosen.is_empty() {
            break;
        }
        bytes = bytes.saturating_add(more);
        read.extend(item.objects.into_iter().map(|(key, _)| key));
        chosen.insert(item.unit);
    }
    let left = all - chosen.len();
    (chosen, left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: i64 = 86_400;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + day * DAY).expect("in range")
    }

    fn unit(n: usize) -> DueUnit {
        DueUnit::Dump(format!("{n:03}"), Id::new(at(0)))
    }

    fn key(n: u64) -> Key {
        format!("pack/{n}").parse().expect("a key")
    }

    #[test]
    fn the_oldest_first_and_one_at_least() {
        let item = |n: usize, looked_at, bytes| DueItem {
            unit: unit(n),
            looked_at,
            objects: vec![(key(n as u64), bytes)],
        };
        let all = || vec![item(1, Some(at(2)), 10), item(2, Some(at(1)), 10), item(3, None, 10)];
        assert_eq!(take_oldest(all(), None), ([unit(1), unit(2), unit(3)].into(), 0));
        assert_eq!(take_oldest(all(), Some(25)), ([unit(2), unit(3)].into(), 1));
        assert_eq!(
            take_oldest(all(), Some(0)),
            ([unit(3)].into(), 2),
            "larger than the limit, and read all the same"
        );
        let mut shared = all();
        shared.iter_mut().for_each(|i| i.objects = vec![(key(0), 10)]);
        assert_eq!(take_oldest(shared, Some(10)).1, 0, "what all name is read once");
    }

    proptest! {
        /// Night after night with a limit that suffices for a month: nothing is ever older than a month and a night.
        #[test]
        fn a_nightly_run_goes_round(sizes in proptest::collection::vec(1_u64..1000, 1..60)) {
            let mut proven: Vec<Option<i64>> = vec![None; sizes.len()];
            let largest = sizes.iter().max().copied().unwrap_or(0);
            let limit = sizes.iter().sum::<u64>() / 25 + largest;
            for night in 0..90 {
                let due = |at: &Option<i64>| at.is_none_or(|at| at < night - 30);
                let items = proven.iter().enumerate().filter(|(_, at)| due(at)).map(|(n, proven)| DueItem {
                    unit: unit(n),
                    looked_at: proven.map(at),
                    objects: vec![(key(n as u64), sizes[n])],
                });
                let (chosen, _) = take_oldest(items.collect(), Some(limit));
                (0..sizes.len()).filter(|n| chosen.contains(&unit(*n))).for_each(|n| proven[n] = Some(night));
                if night > 30 {
                    let oldest = proven.iter().map(|at| at.unwrap_or(-1000)).min().unwrap_or(night);
                    prop_assert!(night - oldest <= 31, "night {night}: {proven:?}");
                }
            }
        }
    }
}
