//! The WAL goes over, and what was recorded of it: histories first, then the files in their order, so that whatever
//! is over there has all before it that the source has.

use super::CopyJob;
use super::object::{Content, ObjectCopy, ObjectEnd, explain_difference, is_same_wal};
use super::turns::{CopyTurn, Turns};
use crate::machine::in_parallel;
use std::collections::{BTreeMap, BTreeSet};
use toban_core::progress::Progress;
use toban_core::repo::archive::Archive;
use toban_core::repo::keys::System;
use toban_core::store::{Key, Store};
use toban_core::wal::{Timeline, WalName};
use toban_core::{Error, Result};

/// A file of the WAL, or a tail of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ArchivedObject {
    pub(super) name: WalName,
    pub(super) key: Key,
    pub(super) bytes: u64,
}

/// What of one system's WAL goes over, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct WalPlan {
    /// Gaps, what was acknowledged of them, and proofs of drills.
    pub(super) records: Vec<Key>,
    pub(super) histories: Vec<ArchivedObject>,
    pub(super) files: Vec<ArchivedObject>,
    /// Of segments that are not whole over there then.
    pub(super) tails: Vec<ArchivedObject>,
    /// What `verify` found of the WAL; only into a repository that has no verdict of its own.
    pub(super) verdicts: Vec<Key>,
    /// Those that are over there in another size: they may be compressed in another way.
    pub(super) doubtful: Vec<ArchivedObject>,
}

impl WalPlan {
    pub(super) fn bytes(&self) -> u64 {
        [&self.histories, &self.files, &self.tails].into_iter().flatten().map(|o| o.bytes).sum()
    }

    /// The first and the last file, by timeline.
    pub(super) fn ranges(&self) -> BTreeMap<Timeline, Vec<&ArchivedObject>> {
        let mut ranges: BTreeMap<Timeline, Vec<&ArchivedObject>> = BTreeMap::new();
        for object in self.histories.iter().chain(&self.files).chain(&self.tails) {
            ranges.entry(object.name.timeline()).or_default().push(object);
        }
        ranges
    }
}

/// What a repository holds of one system's WAL and its records.
#[derive(Clone, Debug, Default)]
pub(super) struct WalListing {
    /// Files and tails, in no order.
    pub(super) files: Vec<ArchivedObject>,
    pub(super) tails: Vec<ArchivedObject>,
    pub(super) records: BTreeSet<Key>,
    pub(super) verdicts: BTreeSet<Key>,
}

impl WalListing {
    /// Lists a repository.
    ///
    /// # Errors
    /// When the store could not be asked.
    pub(super) fn list_wal(store: &dyn Store, system: &System) -> Result<WalListing> {
        let below = |folder: &str| store.list(&format!("{}{folder}", system.root()));
        // In this order: a segment that becomes whole meanwhile has its tails still.
        let segment = |key: &Key| key.as_str().rsplit('/').nth(1)?.parse().ok();
        let tails = below("wal-tail/")?.into_iter();
        let tails =
            tails.filter_map(|o| Some(ArchivedObject { name: segment(&o.key)?, key: o.key, bytes: o.size }));
        let tails: Vec<ArchivedObject> = tails.collect();
        let files = Archive::new(store, system.clone()).files()?;
        let files =
            files.into_iter().map(|(name, o)| ArchivedObject { name, key: o.key, bytes: o.size }).collect();
        let mut records = BTreeSet::new();
        for folder in ["gap/", "gap-acknowledged/", "proof/drill."] {
            records.extend(below(folder)?.into_iter().map(|o| o.key));
        }
        let verdicts = below("proof/wal.")?.into_iter().map(|o| o.key).collect();
        Ok(WalListing { files, tails, records, verdicts })
    }
}

/// From which segment on the WAL is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WalStart {
    pub(super) number: u64,
    /// Bytes of a segment.
    pub(super) size: u64,
}

/// Pure: what of the source's goes over. Without a start all of it.
pub(super) fn plan_wal(source: &WalListing, target: &WalListing, start: Option<WalStart>) -> WalPlan {
    let wanted = |o: &&ArchivedObject| {
        start.is_none_or(|s| o.name.segment(s.size).is_none_or(|segment| segment.number >= s.number))
    };
    let there: BTreeMap<&Key, u64> =
        target.files.iter().chain(&target.tails).map(|o| (&o.key, o.bytes)).collect();
    let mut plan = WalPlan::default();
    for object in source.files.iter().filter(wanted) {
        match there.get(&object.key) {
            Some(bytes) if *bytes == object.bytes => {}
            Some(_) => plan.doubtful.push(object.clone()),
            None if matches!(object.name, WalName::History(_)) => plan.histories.push(object.clone()),
            None => plan.files.push(object.clone()),
        }
    }
    // A tail is garbage once its segment is whole.
    let whole: BTreeSet<WalName> = source.files.iter().chain(&target.files).map(|o| o.name).collect();
    let begun = |o: &&ArchivedObject| !whole.contains(&o.name) && !there.contains_key(&o.key);
    plan.tails = source.tails.iter().filter(wanted).filter(begun).cloned().collect();
    let place = |o: &ArchivedObject| {
        (o.name.timeline(), o.name.segment_no().map(|no| (no.unit, no.segment)), o.key.clone())
    };
    [&mut plan.histories, &mut plan.files, &mut plan.tails]
        .into_iter()
        .for_each(|all| all.sort_by_key(place));
    plan.records = source.records.difference(&target.records).cloned().collect();
    // One of its own would be hidden by a later one of the source's, and with it what it found damaged over there.
    if target.verdicts.is_empty() {
        plan.verdicts = source.verdicts.iter().cloned().collect();
    }
    plan
}

/// What went over of the WAL, and what of it could not.
#[derive(Default)]
pub(super) struct CopiedWal {
    pub(super) copied: BTreeMap<Timeline, Vec<ArchivedObject>>,
    pub(super) records: usize,
    pub(super) failed: Vec<Error>,
}

impl CopyJob<'_> {
    /// Carries the plan of one system out.
    ///
    /// # Errors
    /// Where a repository is away or takes nothing; what is wrong with single files is in the answer.
    pub(super) fn copy_wal(&self, plan: &WalPlan, progress: &Progress) -> Result<CopiedWal> {
        let mut end = CopiedWal::default();
        for object in &plan.doubtful {
            let attrs = self.pair.from.store.stat(&object.key)?.map(|o| o.attrs).unwrap_or_default();
            if !is_same_wal(&*self.pair.to.store, &object.key, &attrs)? {
                end.failed.push(explain_difference(&object.key, self.pair));
            }
        }
        // Before the files: what follows a gap must not be over there without the record of it.
        self.copy_records(&plan.records, progress, &mut end)?;
        // Recovery asks for histories by number until one is absent: whoever finds WAL of a timeline finds its history.
        self.copy_in_order(&plan.histories, progress, &mut end)?;
        self.copy_in_order(&plan.files, progress, &mut end)?;
        self.copy_in_order(&plan.tails, progress, &mut end)?;
        self.copy_records(&plan.verdicts, progress, &mut end)?;
        Ok(end)
    }

    /// Copies files at the same time and names them one after the other: a copy that is killed leaves no range missing
    /// with others after it.
    fn copy_in_order(
        &self,
        objects: &[ArchivedObject],
        progress: &Progress,
        end: &mut CopiedWal,
    ) -> Result<()> {
        let turns = Turns::default();
        // Readers at the same time, since one connection does not fill a line; ends in order, since `check` and
        // recovery take a missing range for a loss.
        let numbered: Vec<(usize, &ArchivedObject)> = objects.iter().enumerate().collect();
        let done = in_parallel(&numbered, self.jobs, |(number, object)| {
            let turn = CopyTurn::new(&turns, *number);
            let (key, content) = (&object.key, Content::Wal);
            let copy = ObjectCopy { pair: self.pair, key, content, progress, turn: Some(&turn) };
            // What follows an object that a store did not take must not be named before it.
            copy.copy_object().map_err(|e| {
                turns.break_off(e);
                Error::retry("the copy was broken off")
            })
        });
        turns.finish()?;
        for (object, done) in objects.iter().zip(done?) {
            if end.take_end(done) {
                end.copied.entry(object.name.timeline()).or_default().push(object.clone());
            }
        }
        Ok(())
    }

    fn copy_records(&self, keys: &[Key], progress: &Progress, end: &mut CopiedWal) -> Result<()> {
        let done = in_parallel(keys, self.jobs, |key| {
            ObjectCopy { pair: self.pair, key, content: Content::Record, progress, turn: None }.copy_object()
        })?;
        for done in done {
            let copied = end.take_end(done);
            end.records += usize::from(copied);
        }
        Ok(())
    }
}

impl CopiedWal {
    /// Whether it went over: what was pruned in the source meanwhile, or put there by another, did not.
    fn take_end(&mut self, done: ObjectEnd) -> bool {
        let bytes = done.map_err(|e| self.failed.push(e)).ok().flatten();
        bytes.is_some_and(|n| n > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "main/7/";

    fn object(path: &str, bytes: u64) -> ArchivedObject {
        let key: Key = format!("{ROOT}{path}").parse().expect("a key");
        let mut parts = key.as_str().rsplit('/');
        let last = parts.next().expect("a name");
        let name = last.parse().or_else(|_| parts.next().expect("a folder").parse()).expect("a name");
        ArchivedObject { name, key, bytes }
    }

    fn file(name: &str) -> ArchivedObject {
        let path = name.parse::<WalName>().expect("a name").path();
        object(&path, 10)
    }

    fn names(objects: &[ArchivedObject]) -> Vec<&str> {
        objects.iter().filter_map(|o| o.key.as_str().rsplit('/').next()).collect()
    }

    #[test]
    fn files_go_in_the_order_of_timeline_and_position() {
        let source = WalListing {
            files: ["000000020000000000000003", "00000002.history", "000000010000000000000003.partial"]
                .into_iter()
                .chain(["0000000100000001000000FF", "000000010000000000000002", "000000010000000100000000"])
                .map(file)
                .collect(),
            ..WalListing::default()
        };
        let plan = plan_wal(&source, &WalListing::default(), None);
        assert_eq!(names(&plan.histories), ["00000002.history"]);
        let ordered = [
            "000000010000000000000002",
            "000000010000000000000003.partial",
            "000000010000000100000000",
            "0000000100000001000000FF",
            "000000020000000000000003",
        ];
        assert_eq!(names(&plan.files), ordered);
        let start = Some(WalStart { number: 3, size: 16 << 20 });
        assert_eq!(names(&plan_wal(&source, &WalListing::default(), start).files), ordered[1..]);
        let target = WalListing {
            files: vec![file(ordered[0]), object(&source.files[0].key.as_str()[7..], 9)],
            ..source.clone()
        };
        let plan = plan_wal(&source, &target, None);
        assert_eq!(names(&plan.doubtful), [ordered[4]], "another size is looked at");
        assert_eq!(names(&plan.files), ordered[1..4]);
    }

    #[test]
    fn tails_go_while_their_segment_is_not_whole_and_verdicts_to_who_has_none() {
        let tail = |segment: &str| object(&format!("wal-tail/00000001/{segment}/00000000-00001000"), 5);
        let key = |name: &str| format!("{ROOT}{name}").parse::<Key>().expect("a key");
        let whole = "000000010000000000000002";
        let source = WalListing {
            files: vec![file(whole)],
            tails: vec![tail(whole), tail("000000010000000000000003"), tail("000000010000000000000004")],
            records: [key("gap/a.json"), key("proof/drill.x.json")].into(),
            verdicts: [key("proof/wal.1.json")].into(),
        };
        let mut target =
            WalListing { files: vec![file("000000010000000000000004")], ..WalListing::default() };
        target.records.insert(key("gap/a.json"));
        let plan = plan_wal(&source, &target, None);
        assert_eq!(plan.tails, [tail("000000010000000000000003")]);
        assert_eq!(plan.records, [key("proof/drill.x.json")]);
        assert_eq!(plan.verdicts, [key("proof/wal.1.json")]);
        target.verdicts.insert(key("proof/wal.0.json"));
        assert_eq!(plan_wal(&source, &target, None).verdicts, []);
    }
}
