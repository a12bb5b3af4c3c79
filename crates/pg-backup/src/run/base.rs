//! The backup that a run builds on: the newest one that is usable in every repository, where the state directory knows
//! its blocks or the repository has their digests. What a run cannot build on is a reason, never a guess: then everything
//! is stored.

use super::block_map::{BlockMap, DigestKey};
use super::digests::rebuild_map;
use super::source::SourceServer;
use crate::cli;
use crate::format::backup::{BackupCatalog, BackupManifest, BuiltOn, DigestSum, PackSum, StoredBackup};
use crate::format::id::Id;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::path::PathBuf;
use toban_core::age::Recipients;
use toban_core::config::Span;
use toban_core::durable::state_dir;
use toban_core::repo::Repos;
use toban_core::repo::keys::System;
use toban_core::sum::{hex, sha256};
use toban_core::{Error, Result};

/// Packs that a manifest may name before the next backup is a full one: the manifest stays small, and so does the
/// number of objects that one restore depends on.
const MOST_PACKS: usize = 1000;

/// The backup that a run builds on.
pub(super) struct Base {
    pub(super) manifest: BackupManifest,
    pub(super) map: BlockMap,
    /// Pages that are as they were need not be judged again.
    pub(super) trusted: bool,
}

/// What a run builds on, or why it stores everything.
pub(super) enum Foundation {
    Base(Box<Base>),
    Full(String),
}

impl Foundation {
    pub(super) fn base(&self) -> Option<&Base> {
        match self {
            Foundation::Base(base) => Some(base),
            Foundation::Full(_) => None,
        }
    }

    /// The key of this run's digests: that of the base, with whose digests they are compared.
    pub(super) fn digest_key(&self) -> Result<DigestKey> {
        self.base().map_or_else(DigestKey::random, |base| Ok(base.map.key.clone()))
    }
}

impl Base {
    /// What the manifest says of it.
    pub(super) fn built_on(&self) -> BuiltOn {
        let id = self.manifest.id.clone();
        let full = self.manifest.built_on.as_ref().map_or_else(|| id.clone(), |b| b.full.clone());
        BuiltOn { id, full }
    }

    /// Every backup in whose folder packs lie that the run may name.
    pub(super) fn folders(&self) -> BTreeSet<Id> {
        let owners = self.manifest.packs.iter().filter_map(|pack| pack.of.clone());
        owners.chain([self.manifest.id.clone()]).collect()
    }

    /// Its packs among `used`, as a later backup names them.
    pub(super) fn shared_packs(&self, used: &BTreeSet<u32>) -> Vec<PackSum> {
        let used = self.manifest.packs.iter().filter(|pack| used.contains(&pack.number));
        used.map(|pack| PackSum { of: self.owner_of(pack.of.as_ref()), ..pack.clone() }).collect()
    }

    /// The digests of the blocks in `packs`, which are of earlier backups, as a later backup names them.
    pub(super) fn shared_digests(&self, packs: &[PackSum]) -> Vec<DigestSum> {
        let all = self.manifest.digests.iter();
        let all = all.map(|d| DigestSum { of: self.owner_of(d.of.as_ref()), sum: d.sum.clone() });
        all.filter(|d| packs.iter().any(|pack| pack.of == d.of)).collect()
    }

    /// In whose folder an object lies, as a later backup names it.
    fn owner_of(&self, of: Option<&Id>) -> Option<Id> {
        Some(of.unwrap_or(&self.manifest.id).clone())
    }

    /// The number of a run's first own pack.
    pub(super) fn next_number(&self) -> u32 {
        self.manifest.packs.last().map_or(0, |pack| pack.number + 1)
    }
}

/// Whether the digests beside a backup can take the place of the map: those that are encrypted cannot, since a run has no
/// key.
fn has_readable_digests(backup: &BackupManifest) -> bool {
    !backup.digests.is_empty() && backup.recipients.is_empty()
}

/// The repositories of a run, and what is backed up into them.
pub(super) struct BaseSearch<'a> {
    pub(super) args: &'a cli::Run,
    /// How often a backup is a full one.
    pub(super) full_every: Span,
    pub(super) source: &'a SourceServer,
    pub(super) repos: &'a Repos,
    pub(super) system: &'a System,
    pub(super) now: Timestamp,
}

impl BaseSearch<'_> {
    /// Where the map of blocks is kept: one for each set of repositories, which have the same backups. By their places: a
    /// timer may call them by their names, and somebody at the command line by their URLs.
    pub(super) fn map_path(&self) -> PathBuf {
        let places: BTreeSet<&str> = self.repos.iter().map(|r| r.url.as_str()).collect();
        let places: Vec<&str> = places.into_iter().collect();
        let set = hex(&sha256(places.join("\n").as_bytes())[..8]);
        let folder = state_dir().join("blocks").join(&self.system.cluster);
        folder.join(format!("{}-{set}.blocks", self.system.identifier))
    }

    /// Finds what to build on.
    pub(super) fn find(&self) -> Foundation {
        let find = || {
            let usable = self.find_usable()?;
            // Not what the rules say: the state directory is another one, was lost, or is damaged.
            let map = self.open_map(&usable).inspect_err(|e| {
                let id = &usable[0].manifest.id;
                log::warn!(
                    "everything is stored, since the blocks of {id} are not known here: {}",
                    e.chain()
                );
            })?;
            let manifest = usable.into_iter().next().expect("one at least was found").manifest;
            // A page that read badly then may be as it was now, and is judged again.
            let trusted = map.clean && (manifest.checksums || !self.source.checksums);
            Ok(Base { manifest, map, trusted })
        };
        find().map_or_else(|e: Error| Foundation::Full(e.chain()), |base| Foundation::Base(Box::new(base)))
    }

    /// What [`BaseSearch::find`] would find, without making a map: the backup.
    ///
    /// # Errors
    /// Why everything would be stored.
    pub(super) fn foresee(&self) -> Result<Id> {
        let manifest = self.find_usable()?.swap_remove(0).manifest;
        if !has_readable_digests(&manifest) {
            BlockMap::open(&self.map_path(), &manifest.id, &manifest.index)?;
        }
        Ok(manifest.id)
    }

    /// The map of blocks of what is `usable`: that of the state directory, or a new one.
    fn open_map(&self, usable: &[StoredBackup]) -> Result<BlockMap> {
        let path = self.map_path();
        let BackupManifest { id, index, .. } = &usable[0].manifest;
        let mut done = BlockMap::open(&path, id, index);
        for stored in usable.iter().filter(|stored| has_readable_digests(&stored.manifest)) {
            let Err(e) = &done else { break };
            log::info!("{}: the map of blocks is made anew from {}", e.chain(), stored.repo.name);
            done = rebuild_map(stored, &path).and_then(|()| BlockMap::open(&path, id, index));
        }
        done
    }

    /// The newest usable backup as each repository has it, if this run may build on it.
    fn find_usable(&self) -> Result<Vec<StoredBackup>> {
        if self.args.full {
            return Err(Error::failed("--full"));
        }
        let newest = self.newest_common()?;
        let manifest = &newest[0].manifest;
        // A manifest has one codec for all packs that it names, shared ones too: their names end with its
        // suffix, and their frames are unpacked by it.
        if manifest.codec != self.args.compress.codec() {
            return Err(Error::failed(format!("{} is compressed otherwise", manifest.id)));
        }
        // Who could read the base could read what is shared with it, and who was added since could not.
        let recipients = self.repos.recipients()?.map(Recipients::names).unwrap_or_default();
        if manifest.recipients != recipients {
            return Err(Error::failed(format!(
                "{} is encrypted to other recipients, or to none",
                manifest.id
            )));
        }
        if manifest.packs.len() > MOST_PACKS {
            return Err(Error::failed(format!("{} lies in {} packs", manifest.id, manifest.packs.len())));
        }
        let full = manifest.built_on.as_ref().map_or(&manifest.id, |b| &b.full);
        let age = self.now.as_second().saturating_sub(full.began().as_second());
        if age.unsigned_abs() >= self.full_every.0.as_secs() {
            return Err(Error::failed(format!(
                "the last full backup is {full}, and --full-every is {}",
                self.full_every
            )));
        }
        Ok(newest)
    }

    /// The newest usable backup, if every repository that can be asked has it as its newest; of one at least.
    fn newest_common(&self) -> Result<Vec<StoredBackup>> {
        let mut newest: Vec<StoredBackup> = Vec::new();
        for repo in self.repos {
            let catalog = match BackupCatalog::read(repo, &self.system.cluster, self.now) {
                Ok(catalog) => catalog,
                Err(e) => {
                    log::warn!("repository {}: {}", repo.name, e.chain());
                    continue;
                }
            };
            let usable = catalog.stored.into_iter().rfind(|s| s.is_whole() && s.manifest.is_of(self.system));
            let found = usable.ok_or_else(|| Error::failed(format!("{} has no usable backup", repo.name)))?;
            let of = |s: &StoredBackup| (s.manifest.id.clone(), s.manifest.index.clone());
            // A shared pack must be in every repository that gets the manifest. The ID is made of a time, and
            // two machines may have made the same one: that the index is the same proves that the backup is.
            if newest.first().is_some_and(|other| of(other) != of(&found)) {
                let e =
                    format!("the newest backup is {} in {}, and not in all", found.manifest.id, repo.name);
                return Err(Error::failed(e).hint("`pg-backup copy` brings what a repository lacks"));
            }
            newest.push(found);
        }
        match newest.is_empty() {
            true => Err(Error::failed("no repository can be asked")),
            false => Ok(newest),
        }
    }
}
