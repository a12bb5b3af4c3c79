//! The physical backups that a repository holds.

use super::backup::{self, Backup, MANIFEST, Named};
use crate::catalog::{LATEST, Proven, Search, note, verdict};
use crate::manifest::Id;
use crate::order::{self, Dated, Taken};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use toban_core::repo::Repo;
use toban_core::repo::keys::System;
use toban_core::store::{Key, Object};
use toban_core::{Error, Kind, Result, shutdown};

/// A backup in a repository.
#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) repo: Repo,
    pub(crate) backup: Backup,
    /// When verify found it whole, if it has not found it damaged since.
    pub(crate) verified: Option<Timestamp>,
    /// When verify found it damaged, if it has not found it whole since.
    pub(crate) damaged: Option<Timestamp>,
    /// When it was taken, as far as that can be known.
    pub(crate) taken: Taken,
    /// An object that its manifest names, and that is not there or of another size.
    pub(crate) lacks: Option<String>,
}

impl Stored {
    /// Whether it counts as a backup: nothing is known to be wrong with it.
    pub(crate) fn is_whole(&self) -> bool {
        self.damaged.is_none() && self.lacks.is_none()
    }
}

/// All objects of a cluster's physical backups in one repository.
pub(crate) struct Contents {
    /// By system identifier, timeline and position: never by a clock.
    pub(crate) backups: Vec<Stored>,
    /// Every object and what its name tells.
    pub(crate) objects: Vec<(System, Named, Object)>,
    /// Manifests that do not read: their backups are neither usable nor garbage.
    pub(crate) damaged: Vec<Error>,
}

/// Lists a repository and reads its manifests, as of now.
///
/// # Errors
/// When the store cannot be asked.
pub(crate) fn read(repo: &Repo, cluster: &str) -> Result<Contents> {
    read_as_of(repo, cluster, Timestamp::now())
}

/// The same as of another moment: what is dated behind it is dated in the future.
///
/// # Errors
/// When the store cannot be asked.
pub(crate) fn read_as_of(repo: &Repo, cluster: &str, now: Timestamp) -> Result<Contents> {
    let objects = objects(repo, cluster)?;
    let proofs = proofs(&objects, now);
    let sizes: BTreeMap<&Key, u64> = objects.iter().map(|(_, _, o)| (&o.key, o.size)).collect();
    let (mut backups, mut damaged) = (Vec::new(), Vec::new());
    for (system, named, object) in &objects {
        let Named::Part(id, part) = named else { continue };
        if part != MANIFEST {
            continue;
        }
        shutdown::check()?;
        match one(repo, system, id, object) {
            Ok(Some(backup)) => {
                let (verified, damaged) = verdict(proofs.get(id).copied().unwrap_or_default());
                let (taken, lacks) = (Taken::Unknown, lacks(&backup, &sizes)?);
                backups.push(Stored { repo: repo.clone(), backup, verified, damaged, taken, lacks });
            }
            // Pruned between the listing and now: gone is fine.
            Ok(None) => {}
            Err(e) if [Kind::Corrupt, Kind::Usage].contains(&e.kind()) => damaged.push(e),
            Err(e) => return Err(e),
        }
    }
    backups.sort_by_key(|s| by_place(&s.backup));
    let dated = |b: &Backup| Dated {
        at: b.started,
        server: None,
        place: Some((b.system_identifier.clone(), b.timeline, b.start_lsn)),
    };
    let dates: Vec<Dated> = backups.iter().map(|s| dated(&s.backup)).collect();
    backups.iter_mut().zip(order::taken(&dates, now)).for_each(|(stored, taken)| stored.taken = taken);
    Ok(Contents { backups, objects, damaged })
}

/// What lies in the folders of backups: below the same root there may be millions of WAL segments.
fn objects(repo: &Repo, cluster: &str) -> Result<Vec<(System, Named, Object)>> {
    let mut objects = Vec::new();
    for system in System::all(&*repo.store, cluster)? {
        for folder in backup::FOLDERS {
            let listed = repo.store.list(&format!("{}{folder}/", system.root()))?;
            let named = |o: Object| {
                let (system, name) = System::parse(cluster, &o.key)?;
                Some((system, backup::parse(name)?, o))
            };
            objects.extend(listed.into_iter().filter_map(named));
        }
    }
    Ok(objects)
}

fn by_place(backup: &Backup) -> (u64, u32, u64, Id) {
    let system = backup.system().map_or(0, |s| s.identifier);
    (system, backup.timeline.0, backup.start_lsn.0, backup.id.clone())
}

fn one(repo: &Repo, system: &System, id: &Id, object: &Object) -> Result<Option<Backup>> {
    let Some(backup) = Backup::read(&*repo.store, &object.key)? else { return Ok(None) };
    if backup.id == *id && backup.system()? == *system {
        return Ok(Some(backup));
    }
    Err(Error::corrupt(format!("{} is the manifest of another backup, {}", object.key, backup.id)))
}

/// The first object that is not there, or of another size than the manifest says.
fn lacks(backup: &Backup, sizes: &BTreeMap<&Key, u64>) -> Result<Option<String>> {
    let mut named = vec![(backup.index_key()?, backup.index.bytes)];
    for pack in &backup.packs {
        named.push((backup.pack_key(pack)?, pack.sum.bytes));
    }
    Ok(named.into_iter().find_map(|(key, bytes)| match sizes.get(&key) {
        None => Some(format!("{key} is missing")),
        Some(there) if *there != bytes => Some(format!("{key} has {there} bytes, not {bytes}")),
        Some(_) => None,
    }))
}

/// The newest proofs of each backup, by the times in their names.
fn proofs(objects: &[(System, Named, Object)], now: Timestamp) -> BTreeMap<Id, Proven> {
    let mut newest: BTreeMap<Id, Proven> = BTreeMap::new();
    for (_, named, _) in objects {
        let (Named::Proof(id, at) | Named::Damage(id, at)) = named else { continue };
        note(newest.entry(id.clone()).or_default(), matches!(named, Named::Proof(..)), *at, now);
    }
    newest
}

/// Finds one backup: by its ID, from the first repository that has it; or for `latest` the newest that any of them
/// has.
///
/// # Errors
/// Usage when there is none, or `latest` could be of two systems.
pub(crate) fn find(repos: &[Repo], cluster: &str, id: &str) -> Result<Stored> {
    let search = Search {
        read: &|repo| read(repo, cluster).map(|c| (c.backups, c.damaged)),
        pick: &|backups| pick(backups, id),
        newer: &newer,
        absent: &|places| {
            let e = Error::usage(format!("no backup {id} of cluster {cluster} in {places}"));
            e.hint("`pg-backup list` shows what there is")
        },
    };
    search.run(repos, id)
}

/// Every backup that a moment can be restored from, oldest first: all of one system, or only that of `id`; each from
/// the first repository that has it whole. And the repositories that could be asked.
///
/// # Errors
/// Usage when there is none, or they are of several systems; that of the first repository when none could be asked.
pub(crate) fn every(repos: &[Repo], cluster: &str, id: &str) -> Result<(Vec<Stored>, Vec<Repo>)> {
    let (mut found, mut asked, mut trouble) = (Vec::<Stored>::new(), Vec::new(), None);
    for repo in repos {
        let contents = match read(repo, cluster) {
            Ok(contents) => contents,
            Err(e) => {
                log::warn!("repository {}: {}; recovery will do without it", repo.name, e.chain());
                trouble = trouble.or(Some(e));
                continue;
            }
        };
        contents.damaged.iter().for_each(|e| log::warn!("repository {}: {}", repo.name, e.chain()));
        asked.push(repo.clone());
        let wanted = |s: &Stored| match id {
            LATEST => s.damaged.is_none(),
            id => s.backup.id.to_string() == id,
        };
        for stored in contents.backups.into_iter().filter(wanted) {
            if found.iter().all(|s| s.backup.id != stored.backup.id) {
                found.push(stored);
            }
        }
    }
    found.sort_by_key(|s| by_place(&s.backup));
    match (one_system(&found)?, found.is_empty(), trouble) {
        ((), false, _) => Ok((found, asked)),
        ((), true, Some(e)) => Err(e),
        ((), true, None) => {
            let e = Error::usage(format!("no backup {id} of cluster {cluster}"));
            Err(e.hint("`pg-backup list` shows what there is"))
        }
    }
}

/// Of the same backup in two repositories the first: it is named first because it is near.
fn newer(a: Stored, b: Stored) -> Stored {
    if by_place(&a.backup) < by_place(&b.backup) { b } else { a }
}

fn pick(mut backups: Vec<Stored>, id: &str) -> Result<Option<Stored>> {
    if id != LATEST {
        return Ok(backups.into_iter().find(|s| s.backup.id.to_string() == id));
    }
    one_system(&backups)?;
    Ok(backups.pop())
}

fn one_system(backups: &[Stored]) -> Result<()> {
    let systems: BTreeSet<&str> = backups.iter().map(|s| s.backup.system_identifier.as_str()).collect();
    if systems.len() <= 1 {
        return Ok(());
    }
    let all: Vec<&str> = systems.into_iter().collect();
    let e = Error::usage(format!("the repository holds backups of several systems: {}", all.join(", ")));
    Err(e.hint("give the ID of the backup; `pg-backup list` shows them"))
}
