//! Object Lock: what a backup or dump needs is locked for as long as its manifest, in repositories that lock objects.

use crate::format::catalog::{Manifest, Stored};
use crate::format::id::Id;
use crate::machine::in_parallel;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use toban_core::repo::Repo;
use toban_core::stamp::iso_seconds;
use toban_core::store::Key;
use toban_core::sum::Sum;
use toban_core::{Error, Result};

/// How many objects are asked about at a time.
pub(crate) const THREADS: usize = 8;

/// A manifest is written after the locks of what it names are renewed, and is locked so much longer.
const RENEWALS: SignedDuration = SignedDuration::from_hours(1);

/// Renews the locks of what a manifest names (`objects`) and of what recovery reads beside that (`beside`), as far as it
/// is there. Nothing where the repository locks no objects.
///
/// # Errors
/// Retry when an object that the manifest names is gone; those of the store.
pub(crate) fn renew_locks(repo: &Repo, objects: &[(Key, Sum)], beside: &[Key]) -> Result<()> {
    if repo.store.lock().is_none() {
        return Ok(());
    }
    // Before the manifest: a pack of an earlier backup may lose its lock soon, and the manifest promises all that it
    // names for as long as it is locked itself.
    in_parallel(objects, THREADS, |(key, _)| match repo.store.renew_lock(key)? {
        true => Ok(()),
        false => Err(Error::retry(format!("{key} is not there any more")).hint("run it again")),
    })?;
    in_parallel(beside, THREADS, |key| repo.store.renew_lock(key)).map(drop)
}

/// A backup or dump that is locked, and what it needs.
struct LockedItem {
    id: Id,
    until: Timestamp,
    needs: BTreeSet<Key>,
}

/// When the lock of each object ends; none: it has no lock. What is not there is not in it.
type LockEnds = BTreeMap<Key, Option<Timestamp>>;

/// The locks of backups, or of dumps, and of what they need.
#[derive(Default)]
pub(crate) struct LockSurvey {
    /// In the order in which they were given; none: it is locked no longer.
    items: Vec<Option<LockedItem>>,
    ends: LockEnds,
}

impl LockSurvey {
    /// Asks for all of them; for none where the repository locks no objects.
    ///
    /// # Errors
    /// When the store could not be asked.
    pub(crate) fn read<M: Manifest + Sync>(
        repo: &Repo,
        stored: &[Stored<M>],
        now: Timestamp,
    ) -> Result<LockSurvey> {
        if repo.store.lock().is_none() {
            return Ok(LockSurvey::default());
        }
        let items = in_parallel(stored, THREADS, |Stored { manifest, .. }| {
            let until = repo.store.locked_until(&manifest.manifest_key()?)?;
            let Some(until) = until.filter(|until| *until > now) else { return Ok(None) };
            let objects = manifest.objects()?.into_iter().map(|(key, _)| key);
            let needs = objects.chain(manifest.beside()?).collect();
            Ok(Some(LockedItem { id: manifest.id().clone(), until, needs }))
        })?;
        let ends = read_ends(repo, items.iter().flatten().flat_map(|item| &item.needs).collect())?;
        Ok(LockSurvey { items, ends })
    }

    /// When the lock of each ends, in the order in which they were given; none: it is locked no longer.
    pub(crate) fn list_ends(&self) -> Vec<Option<Timestamp>> {
        self.items.iter().map(|item| item.as_ref().map(|item| item.until)).collect()
    }

    /// Those of which something loses its lock before, and what to say of it.
    pub(crate) fn list_short(&self) -> Vec<(usize, String)> {
        let described = |item: &Option<LockedItem>| describe_short(item.as_ref()?, &self.ends);
        self.items.iter().enumerate().filter_map(|(number, item)| Some((number, described(item)?))).collect()
    }
}

/// Each is asked for once: backups share packs.
fn read_ends(repo: &Repo, keys: BTreeSet<&Key>) -> Result<LockEnds> {
    let keys: Vec<&Key> = keys.into_iter().collect();
    let ends = in_parallel(&keys, THREADS, |key| {
        let end = repo.store.locked_until(key)?;
        // WAL may be archived elsewhere, and what a manifest names and lacks is another finding.
        Ok(if end.is_some() || repo.store.stat(key)?.is_some() { Some(end) } else { None })
    })?;
    let there = keys.into_iter().zip(ends).filter_map(|(key, end)| Some((key.clone(), end?)));
    Ok(there.collect())
}

/// Pure: what of it loses its lock first, if anything does.
fn describe_short(item: &LockedItem, ends: &LockEnds) -> Option<String> {
    let is_short = |end: Option<Timestamp>| end.is_none_or(|end| item.until.duration_since(end) > RENEWALS);
    let needed = item.needs.iter().filter_map(|key| Some((key, *ends.get(key)?)));
    let short: Vec<(&Key, Option<Timestamp>)> = needed.filter(|(_, end)| is_short(*end)).collect();
    let (first, end) = short.first()?;
    let end = end.map_or("not at all".into(), |end| format!("until {}", iso_seconds(end)));
    Some(format!(
        "{} is locked until {}, and {} of what it needs not so long: {first} {end}",
        item.id,
        iso_seconds(item.until),
        short.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_loses_its_lock_before_its_backup_is_named() {
        let at = |minutes: i64| Timestamp::from_second(1_800_000_000 + minutes * 60).expect("in range");
        let key = |name: &str| name.parse::<Key>().expect("a key");
        let id: Id = "20261121T030000Z-120034".parse().expect("an ID");
        let needs = BTreeSet::from([key("index"), key("pack"), key("wal")]);
        let item = LockedItem { id, until: at(600), needs };
        let text = |ends: &[(&str, Option<i64>)]| {
            let ends = ends.iter().map(|(name, end)| (key(name), end.map(at))).collect();
            describe_short(&item, &ends)
        };
        assert_eq!(
            text(&[("index", Some(600)), ("pack", Some(900))]),
            None,
            "what is not there is no matter"
        );
        assert_eq!(text(&[("index", Some(541)), ("other", None)]), None, "renewals take their time");
        let short = text(&[("index", Some(600)), ("pack", Some(539)), ("wal", None)]).expect("a finding");
        assert!(
            short.contains(" 2 of what it needs not so long: pack until 2027-01-15T16:59:00Z"),
            "{short}"
        );
        assert!(text(&[("wal", None)]).expect("a finding").ends_with("wal not at all"));
    }
}
