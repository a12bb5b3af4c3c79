//! The physical backups that a repository holds.

use super::backup::{self, Backup, MANIFEST, Named};
use crate::manifest::Id;
use jiff::Timestamp;
use std::collections::BTreeMap;
use toban_core::repo::Repo;
use toban_core::repo::keys::System;
use toban_core::store::Object;
use toban_core::{Error, Kind, Result, stop};

/// A backup in a repository.
#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) repo: Repo,
    pub(crate) backup: Backup,
    /// When verify last found it whole.
    pub(crate) verified: Option<Timestamp>,
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

/// Lists a repository and reads its manifests.
///
/// # Errors
/// When the store cannot be asked.
pub(crate) fn read(repo: &Repo, cluster: &str) -> Result<Contents> {
    let listed = repo.store.list(&format!("{cluster}/"))?;
    let named = |o: Object| {
        let (system, name) = System::parse(cluster, &o.key)?;
        let named = backup::parse(name)?;
        Some((system, named, o))
    };
    let objects: Vec<(System, Named, Object)> = listed.into_iter().filter_map(named).collect();
    let proofs = proofs(&objects);
    let (mut backups, mut damaged) = (Vec::new(), Vec::new());
    for (system, named, object) in &objects {
        let Named::Part(id, part) = named else { continue };
        if part != MANIFEST {
            continue;
        }
        stop::check()?;
        match one(repo, system, id, object) {
            Ok(Some(backup)) => {
                let verified = proofs.get(id).copied();
                backups.push(Stored { repo: repo.clone(), backup, verified });
            }
            // Pruned between the listing and now: gone is fine.
            Ok(None) => {}
            Err(e) if [Kind::Corrupt, Kind::Usage].contains(&e.kind()) => damaged.push(e),
            Err(e) => return Err(e),
        }
    }
    backups.sort_by_key(|s| order(&s.backup));
    Ok(Contents { backups, objects, damaged })
}

fn order(backup: &Backup) -> (u64, u32, u64, Id) {
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

/// The newest proof of each backup, by the time in its name.
fn proofs(objects: &[(System, Named, Object)]) -> BTreeMap<Id, Timestamp> {
    let mut newest = BTreeMap::new();
    for (_, named, _) in objects {
        if let Named::Proof(id, at) = named {
            let seen = newest.entry(id.clone()).or_insert(*at);
            *seen = (*seen).max(*at);
        }
    }
    newest
}

/// Finds one backup: by its ID, or the newest for `latest`. The first repository that has it serves it; one that
/// cannot be asked is passed over with a warning while others can.
///
/// # Errors
/// Usage when there is none, or `latest` could be of two systems.
pub(crate) fn find(repos: &[Repo], cluster: &str, id: &str) -> Result<Stored> {
    let mut trouble = None;
    for repo in repos {
        let contents = match read(repo, cluster) {
            Ok(contents) => contents,
            Err(e) => {
                log::warn!("repository {}: {}", repo.name, e.chain());
                trouble = Some(e);
                continue;
            }
        };
        if let Some(found) = pick(contents.backups, id)? {
            return Ok(found);
        }
        trouble = trouble.or(contents.damaged.into_iter().next());
    }
    Err(trouble.unwrap_or_else(|| {
        let places: Vec<&str> = repos.iter().map(|r| r.name.as_str()).collect();
        let e = Error::usage(format!("no backup {id} of cluster {cluster} in {}", places.join(", ")));
        e.hint("`pg-backup list` shows what there is")
    }))
}

fn pick(mut backups: Vec<Stored>, id: &str) -> Result<Option<Stored>> {
    if id != "latest" {
        return Ok(backups.into_iter().find(|s| s.backup.id.to_string() == id));
    }
    let systems: std::collections::BTreeSet<&str> =
        backups.iter().map(|s| s.backup.system_identifier.as_str()).collect();
    if systems.len() > 1 {
        let all: Vec<&str> = systems.into_iter().collect();
        let e = Error::usage(format!("the repository holds backups of several systems: {}", all.join(", ")));
        return Err(e.hint("give the ID of the backup; `pg-backup list` shows them"));
    }
    Ok(backups.pop())
}
