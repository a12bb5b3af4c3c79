//! What a repository holds of dumps or of backups: those whose manifest is there, and what verify found of them.

use super::id::Id;
use super::order::{Dated, Placed, Taken, order_by_wal};
use super::pin::{self, PinRecord};
use super::verdict::Verdicts;
use crate::machine;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use toban_core::repo::{Repo, Repos};
use toban_core::store::{Key, Object, Store};
use toban_core::sum::Sum;
use toban_core::{Error, Kind, Result};

/// What stands for the ID of the newest.
pub(crate) const LATEST: &str = "latest";

/// The manifest of a dump or of a backup, written last: no manifest, no dump.
pub(crate) trait Manifest: Clone + Send + DeserializeOwned {
    /// Within which an ID is unique: the dumps of one database, the backups of one system.
    type Series: Clone + Ord + Send + Sync;

    /// Every object of the cluster's in the repository, with what its name means.
    fn list_objects(repo: &Repo, cluster: &str) -> Result<Vec<(Named<Self::Series>, Object)>>;
    /// Reads the manifest at `key`; `None` when it is not there.
    fn read(store: &dyn Store, key: &Key) -> Result<Option<Self>>;
    fn id(&self) -> &Id;
    fn series(&self) -> Result<Self::Series>;
    /// When it was taken, by the clocks and by the WAL.
    fn dated(&self) -> Dated;
    /// Names of those whom its content is encrypted to; empty: it is not.
    fn recipients(&self) -> &[String];
    /// Every object but the manifest itself, and its sum as stored.
    fn objects(&self) -> Result<Vec<(Key, Sum)>>;
    /// What a restore may read beside its objects, where it is there.
    fn beside(&self) -> Result<Vec<Key>> {
        Ok(Vec::new())
    }
    /// The key of the manifest.
    fn manifest_key(&self) -> Result<Key>;
    /// The key of a verdict of `verify`.
    fn verdict_key(&self, whole: bool, at: Timestamp) -> Result<Key>;
    /// The key of the mark by which `prune` deletes it, or of a pin.
    fn note_key(&self, note: Note, at: Timestamp) -> Result<Key>;
    /// The order of a catalog, oldest first.
    fn compare(a: &Stored<Self>, b: &Stored<Self>) -> Ordering;

    /// Bytes that it added to a repository, without the manifest.
    fn stored_bytes(&self) -> u64;
    /// A size that can be compared with others of the same kind.
    fn comparable_size(&self) -> (String, u64);
}

/// One object, by its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named<S> {
    pub(crate) series: S,
    pub(crate) id: Id,
    pub(crate) part: Part,
}

/// One object, and what its key says.
pub(crate) type NamedObject<M> = (Named<<M as Manifest>::Series>, Object);

/// A record that is written beside a dump or a backup, not by `verify`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    Mark,
    Pin,
}

/// What an object is to its dump or backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Manifest,
    /// What the manifest names, by the end of its key.
    Content(String),
    /// A run has begun.
    Intent,
    /// `prune` deleted it, or found that no manifest needs it.
    Mark(Timestamp),
    /// Somebody keeps it whatever the rules say, or no longer.
    Pin(Timestamp),
    /// `verify` found it whole, or damaged.
    Verdict {
        whole: bool,
        at: Timestamp,
    },
    /// The signature of the verdict of that time.
    Signature(Timestamp),
}

/// A dump or a backup in a repository.
#[derive(Clone)]
pub(crate) struct Stored<M> {
    pub(crate) repo: Repo,
    pub(crate) manifest: M,
    /// When verify found it whole, if it has not found it damaged since.
    pub(crate) verified: Option<Timestamp>,
    /// When verify found it damaged, if it has not found it whole since.
    pub(crate) damaged: Option<Timestamp>,
    /// When it was taken, as far as that can be known.
    pub(crate) taken: Taken,
    /// It was not taken later than this, whatever a clock said.
    pub(crate) latest: Timestamp,
    /// Whether its date fits the order of the WAL.
    pub(crate) sure: bool,
    /// The newest pin.
    pub(crate) pin: Option<PinRecord>,
    /// An object that its manifest names, and that is not there or of another size.
    pub(crate) lacks: Option<String>,
}

impl<M> Stored<M> {
    /// Whether it counts: nothing is known to be wrong with it.
    pub(crate) fn is_whole(&self) -> bool {
        self.damaged.is_none() && self.lacks.is_none()
    }
}

/// All dumps, or all backups, of a cluster in one repository.
pub(crate) struct Catalog<M: Manifest> {
    /// The oldest first; where the position is known, by the WAL and by no clock.
    pub(crate) stored: Vec<Stored<M>>,
    /// Every object and what its name means.
    pub(crate) objects: Vec<NamedObject<M>>,
    /// The newest pin of each that has one, also of those that are deleted.
    pub(crate) pins: BTreeMap<(M::Series, Id), PinRecord>,
    /// Manifests that do not read: what they are of is neither usable nor garbage.
    pub(crate) damaged: Vec<Error>,
}

impl<M: Manifest> Catalog<M> {
    /// Lists a repository and reads its manifests, as of `now`: what is dated later is dated in the future.
    ///
    /// # Errors
    /// When the store cannot be asked; a manifest that does not read is in the catalog.
    pub(crate) fn read(repo: &Repo, cluster: &str, now: Timestamp) -> Result<Catalog<M>> {
        let objects = M::list_objects(repo, cluster)?;
        let verdicts = newest_verdicts::<M>(&objects, now);
        let sizes: BTreeMap<&Key, u64> = objects.iter().map(|(_, o)| (&o.key, o.size)).collect();
        let pins = pin::read_newest::<M>(repo, &objects)?;
        let (mut stored, mut damaged) = (Vec::new(), Vec::new());
        for read in read_manifests::<M>(repo, &objects)? {
            match read {
                Ok(manifest) => {
                    let of = (manifest.series()?, manifest.id().clone());
                    let verdict = verdicts.get(&of).copied().unwrap_or_default();
                    let (verified, damaged) = (verdict.verified(), verdict.damaged());
                    let lacks = find_lacking(&manifest, &sizes)?;
                    stored.push(Stored {
                        repo: repo.clone(),
                        manifest,
                        verified,
                        damaged,
                        taken: Taken::Unknown,
                        latest: now,
                        sure: false,
                        pin: pins.get(&of).cloned(),
                        lacks,
                    });
                }
                Err(e) => damaged.push(e),
            }
        }
        let dates: Vec<Dated> = stored.iter().map(|s: &Stored<M>| s.manifest.dated()).collect();
        for (stored, Placed { taken, latest, sure }) in stored.iter_mut().zip(order_by_wal(&dates, now)) {
            (stored.taken, stored.latest, stored.sure) = (taken, latest, sure);
        }
        stored.sort_by(M::compare);
        Ok(Catalog { stored, objects, pins, damaged })
    }

    /// Bytes of every object of the cluster's that was listed.
    pub(crate) fn sizes(&self) -> BTreeMap<&Key, u64> {
        self.objects.iter().map(|(_, o)| (&o.key, o.size)).collect()
    }

    /// What has a manifest that did not read, or that went while the others were read.
    pub(crate) fn unread(&self) -> BTreeSet<(M::Series, Id)> {
        let of = |(named, _): &NamedObject<M>| (named.series.clone(), named.id.clone());
        let manifests = self.objects.iter().filter(|(named, _)| named.part == Part::Manifest);
        let mut unread: BTreeSet<(M::Series, Id)> = manifests.map(of).collect();
        for Stored { manifest, .. } in &self.stored {
            if let Ok(series) = manifest.series() {
                unread.remove(&(series, manifest.id().clone()));
            }
        }
        unread
    }

    /// The objects of one dump or backup.
    pub(crate) fn objects_of(&self, manifest: &M) -> Result<Vec<&NamedObject<M>>> {
        let series = manifest.series()?;
        let own = |named: &Named<M::Series>| named.id == *manifest.id() && named.series == series;
        Ok(self.objects.iter().filter(|(named, _)| own(named)).collect())
    }

    /// Verdicts that a newer one replaced: it covers all that they do.
    pub(crate) fn replaced_verdicts(&self, manifest: &M) -> Result<Vec<Key>> {
        let verdicts =
            self.objects_of(manifest)?.into_iter().filter_map(|(named, object)| match named.part {
                Part::Verdict { at, .. } | Part::Signature(at) => Some((at, &object.key)),
                _ => None,
            });
        let verdicts: Vec<(Timestamp, &Key)> = verdicts.collect();
        let newest = verdicts.iter().map(|(at, _)| *at).max();
        let older = verdicts.into_iter().filter(|(at, _)| Some(*at) < newest);
        Ok(older.map(|(_, key)| key.clone()).collect())
    }
}

/// The first object that is not there, or of another size than the manifest says.
pub(crate) fn find_lacking(manifest: &impl Manifest, sizes: &BTreeMap<&Key, u64>) -> Result<Option<String>> {
    let lacking = |(key, sum): (Key, Sum)| match sizes.get(&key) {
        None => Some(format!("{key} is missing")),
        Some(bytes) if *bytes != sum.bytes => Some(format!("{key} has {bytes} bytes, not {}", sum.bytes)),
        Some(_) => None,
    };
    Ok(manifest.objects()?.into_iter().find_map(lacking))
}

/// Reads manifests by a few threads: a year of nights in a bucket is hundreds of small requests.
fn read_manifests<M: Manifest>(repo: &Repo, objects: &[NamedObject<M>]) -> Result<Vec<Result<M>>> {
    let manifests: Vec<_> = objects.iter().filter(|(named, _)| named.part == Part::Manifest).collect();
    let read = machine::in_parallel(&manifests, 8, |(named, object)| {
        match read_manifest(repo, named, &object.key).transpose() {
            Some(Err(e)) if e.kind() != Kind::Corrupt && e.kind() != Kind::Usage => Err(e),
            // None was pruned between the listing and now: gone is fine.
            read => Ok(read),
        }
    })?;
    Ok(read.into_iter().flatten().collect())
}

/// A manifest is trusted only where its own words name the place it lies in: a copy under another name would be
/// restored, and pruned, as what it is not.
fn read_manifest<M: Manifest>(repo: &Repo, named: &Named<M::Series>, key: &Key) -> Result<Option<M>> {
    let Some(manifest) = M::read(&*repo.store, key)? else { return Ok(None) };
    if *manifest.id() == named.id && manifest.series()? == named.series {
        return Ok(Some(manifest));
    }
    Err(Error::corrupt(format!("{key} is the manifest of another one, {}", manifest.id())))
}

fn newest_verdicts<M: Manifest>(
    objects: &[NamedObject<M>],
    now: Timestamp,
) -> BTreeMap<(M::Series, Id), Verdicts> {
    let mut newest: BTreeMap<(M::Series, Id), Verdicts> = BTreeMap::new();
    for (named, _) in objects {
        let Part::Verdict { whole, at } = named.part else { continue };
        newest.entry((named.series.clone(), named.id.clone())).or_default().add_verdict(whole, at, now);
    }
    newest
}

/// Finds one in several repositories: by `id` from the first that has it; for `latest` the newest that any of them
/// has. `pick` chooses in one repository. `None`: no repository has it, and all could be asked.
///
/// # Errors
/// That of `pick`; when nothing was found, and a repository could not be asked or has a manifest that does not read.
pub(crate) fn find_stored<M: Manifest>(
    repos: &Repos,
    cluster: &str,
    id: &str,
    pick: impl Fn(Vec<Stored<M>>) -> Result<Option<Stored<M>>>,
) -> Result<Option<Stored<M>>> {
    let ask = |repo: &Repo| {
        let Catalog { stored, mut damaged, .. } = Catalog::<M>::read(repo, cluster, Timestamp::now())?;
        let picked = pick(stored).transpose();
        // Where a manifest does not read, it may be the one: that there is no other proves nothing.
        let unread = if picked.is_none() && !damaged.is_empty() { Some(damaged.remove(0)) } else { None };
        damaged.iter().for_each(|e| log::warn!("repository {}: {}", repo.name, e.chain()));
        unread.map_or(Ok(picked), Err)
    };
    let found = match id {
        LATEST => repos.find_best(ask, |a, b| a.and_then(|a| Ok(choose_newer(a, b?))))?,
        _ => repos.find_first(ask)?,
    };
    found.transpose()
}

/// Of the same one in two repositories the first: it is named first because it is near.
fn choose_newer<M: Manifest>(a: Stored<M>, b: Stored<M>) -> Stored<M> {
    let by_wal = match (a.manifest.dated().position, b.manifest.dated().position) {
        // A quiet server is at one position for days: then the times decide.
        (Some(a), Some(b)) if a.system == b.system && a != b => Some(a < b),
        _ => None,
    };
    let by_time = || (a.taken, a.manifest.id()) < (b.taken, b.manifest.id());
    if by_wal.unwrap_or_else(by_time) { b } else { a }
}
