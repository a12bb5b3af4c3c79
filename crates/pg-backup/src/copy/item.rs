//! One dump or backup goes over: its objects, then its pins and what was verified of it, and last its manifest.

use super::CopyJob;
use super::object::{Content, ObjectCopy, explain_difference};
use super::plan::PlannedItem;
use crate::lock::renew_locks;
use crate::machine::in_parallel;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use toban_core::progress::Progress;
use toban_core::repo::sealed::is_sealed;
use toban_core::store::{Attrs, Key, Stored, read_small};
use toban_core::sum::Sum;
use toban_core::{Error, Result, shutdown};

/// Bytes of the largest manifest, of a dump.
const LARGEST: u64 = 1 << 20;
/// How often what a prune over there took away meanwhile is copied again.
const ROUNDS: usize = 3;

/// How one dump or backup ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ItemEnd {
    /// Objects that went over, and their bytes.
    pub(super) objects: usize,
    pub(super) bytes: u64,
}

/// What went over; none where the source's prune removed it meanwhile. An inner error is of this one alone.
pub(super) type ItemResult = Result<Option<ItemEnd>>;

impl CopyJob<'_> {
    /// Whether the manifests of both are the same, of those that are over there; by a few threads, since both may be far.
    pub(super) fn compare_manifests(&self, items: &[PlannedItem]) -> Result<Vec<Result<()>>> {
        in_parallel(items, 8, |item| {
            if !item.listed {
                return Ok(Ok(()));
            }
            let ours = read_small(&*self.pair.from.store, &item.manifest, LARGEST)?;
            let theirs = read_small(&*self.pair.to.store, &item.manifest, LARGEST)?;
            // What one of them pruned meanwhile is not compared.
            let same = ours.is_none() || theirs.is_none() || ours == theirs;
            Ok(if same { Ok(()) } else { Err(explain_difference(&item.manifest, self.pair)) })
        })
    }

    /// Copies what is missing of one; `there` has what is over there, and gets what comes.
    ///
    /// # Errors
    /// Where a repository is away or takes nothing.
    pub(super) fn copy_item(
        &self,
        item: &PlannedItem,
        there: &mut BTreeMap<Key, u64>,
        progress: &Progress,
    ) -> Result<ItemResult> {
        if let Some(key) = item.find_differing(there) {
            return Ok(Err(explain_difference(key, self.pair)));
        }
        let missing = item.find_missing(there);
        let mut end = match self.copy_objects(item, &missing, progress)? {
            Ok(Some(bytes)) => ItemEnd { objects: missing.len(), bytes },
            unfinished => return Ok(unfinished.map(|_| None)),
        };
        there.extend(missing.into_iter().map(|(key, sum)| (key, sum.bytes)));
        // Before the manifest: what is pinned is never listed over there without its pin.
        for key in &item.records {
            let content = Content::Record;
            match (ObjectCopy { pair: self.pair, key, content, progress, turn: None }).copy_object()? {
                Ok(bytes) => end = end.add_object(bytes),
                Err(e) => return Ok(Err(e)),
            }
        }
        if item.listed {
            return Ok(Ok(Some(end)));
        }
        // Every object is looked at once more: what was there when it was listed may have been pruned since, and a
        // manifest must name nothing that is not there.
        match self.fill_gaps(item, progress)? {
            Ok(Some(filled)) => end.bytes += filled,
            unfinished => return Ok(unfinished.map(|_| None)),
        }
        renew_locks(&self.pair.to, &item.objects, &item.beside)?;
        match self.commit_manifest(item)? {
            Ok(Some(bytes)) => end = end.add_object(Some(bytes)),
            unfinished => return Ok(unfinished.map(|_| None)),
        }
        // And after it: a prune that listed the repository before the manifest came may not have known of it.
        let filled = self.fill_gaps(item, progress)?;
        Ok(filled.map(|_| Some(end)))
    }

    /// Copies these by some threads; their bytes, or none where the item was pruned in the source.
    fn copy_objects(
        &self,
        item: &PlannedItem,
        objects: &[(Key, Sum)],
        progress: &Progress,
    ) -> Result<Result<Option<u64>>> {
        let failed = AtomicBool::new(false);
        let ends = in_parallel(objects, self.jobs, |(key, sum)| {
            // The others of this one would be copied in vain.
            if failed.load(Ordering::SeqCst) {
                return Ok(Ok(Some(0)));
            }
            let content = Content::Summed(sum);
            let end = ObjectCopy { pair: self.pair, key, content, progress, turn: None }.copy_object()?;
            if !matches!(end, Ok(Some(_))) {
                failed.store(true, Ordering::SeqCst);
            }
            Ok(end)
        })?;
        let mut bytes = 0;
        for (end, (key, _)) in ends.into_iter().zip(objects) {
            let from = &self.pair.from.name;
            match end {
                Ok(Some(n)) => bytes += n,
                // Prune removes the manifest first: where it is gone, what is missing is no damage.
                _ if self.is_pruned(item)? => return Ok(Ok(None)),
                Ok(None) => return Ok(Err(Error::corrupt(format!("{key} is missing in {from}")))),
                Err(e) => return Ok(Err(e)),
            }
        }
        Ok(Ok(Some(bytes)))
    }

    fn is_pruned(&self, item: &PlannedItem) -> Result<bool> {
        Ok(self.pair.from.store.stat(&item.manifest)?.is_none())
    }

    /// Copies again what is not over there any more; its bytes.
    fn fill_gaps(&self, item: &PlannedItem, progress: &Progress) -> Result<Result<Option<u64>>> {
        let mut filled = 0;
        for _ in 0..ROUNDS {
            let missing = match self.look_for_missing(item)? {
                Ok(missing) if missing.is_empty() => return Ok(Ok(Some(filled))),
                Ok(missing) => missing,
                Err(e) => return Ok(Err(e)),
            };
            match self.copy_objects(item, &missing, progress)? {
                Ok(Some(bytes)) => filled += bytes,
                unfinished => return Ok(unfinished),
            }
        }
        let e = format!("objects of {} disappear from {} again and again", item.title(), self.pair.to.name);
        Err(Error::retry(e).hint("wait until the prune there has ended"))
    }

    /// What the store over there says is missing, each asked for by itself.
    fn look_for_missing(&self, item: &PlannedItem) -> Result<Result<Vec<(Key, Sum)>>> {
        let store = &*self.pair.to.store;
        let sizes = in_parallel(&item.objects, 8, |(key, _)| Ok(store.stat(key)?.map(|o| o.size)))?;
        let mut missing = Vec::new();
        for ((key, sum), size) in item.objects.iter().zip(sizes) {
            match size {
                None => missing.push((key.clone(), sum.clone())),
                Some(size) if size != sum.bytes => return Ok(Err(explain_difference(key, self.pair))),
                Some(_) => {}
            }
        }
        Ok(Ok(missing))
    }

    /// Stores the manifest, byte by byte what the source has; none where that is gone.
    fn commit_manifest(&self, item: &PlannedItem) -> Result<Result<Option<u64>>> {
        shutdown::check()?;
        let (from, to) = (&*self.pair.from.store, &*self.pair.to.store);
        let Some(json) = read_small(from, &item.manifest, LARGEST)? else { return Ok(Ok(None)) };
        if !is_sealed(&json) {
            return Ok(Err(Error::corrupt(format!("{} does not match its own sum", item.manifest))));
        }
        // The manifest is the commit point, and create-if-absent: what another writer put there first stays, and is
        // fine when it is the same.
        let is_same = || Ok::<_, Error>(read_small(to, &item.manifest, LARGEST)?.as_ref() == Some(&json));
        match to.put(&item.manifest, &mut &json[..], &Attrs::new())? {
            Stored::New => Ok(Ok(Some(json.len() as u64))),
            Stored::Exists if is_same()? => Ok(Ok(Some(0))),
            Stored::Exists => Ok(Err(explain_difference(&item.manifest, self.pair))),
        }
    }
}

impl ItemEnd {
    fn add_object(self, bytes: Option<u64>) -> ItemEnd {
        match bytes {
            Some(n) if n > 0 => ItemEnd { objects: self.objects + 1, bytes: self.bytes + n },
            _ => self,
        }
    }
}
