//! What runs that are under way build on, and what must not have changed when something is removed.

use crate::format::backup::{BackupCatalog, BackupManifest, LARGEST, manifest_key};
use crate::format::catalog::Part;
use crate::format::id::Id;
use crate::format::mark::Marks;
use crate::machine::{self, Life};
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use toban_core::Result;
use toban_core::repo::Repo;
use toban_core::repo::keys::System;
use toban_core::store::{Key, read_small};

/// What intents say, of all systems.
#[derive(Clone, Default, Debug)]
pub(super) struct Runs {
    /// Runs of this machine that are not there any more.
    pub(super) dead: BTreeSet<(System, Id)>,
    /// Runs of this machine that are there.
    pub(super) alive: BTreeSet<(System, Id)>,
    /// Folders of which a run may use packs, and which run.
    pub(super) used: BTreeMap<(System, Id), Id>,
    /// Systems of which a run uses nobody knows what, and why.
    pub(super) unknown: BTreeMap<System, String>,
}

/// The member of an intent that matters here.
#[derive(Deserialize)]
struct BuildsOn {
    #[serde(default)]
    builds_on: Vec<Id>,
}

/// An intent, and when it was written.
struct IntentObject<'a> {
    system: &'a System,
    id: &'a Id,
    key: &'a Key,
    modified: Timestamp,
}

impl Runs {
    /// Reads the intents that `catalog` lists, but those of backups whose manifest is there or in a mark: they are spent.
    ///
    /// # Errors
    /// When the store could not be asked.
    pub(super) fn read(
        repo: &Repo,
        catalog: &BackupCatalog,
        marks: &Marks<BackupManifest>,
        is_old: impl Fn(Timestamp) -> bool,
    ) -> Result<Runs> {
        let manifests = catalog.objects.iter().filter(|(named, _)| named.part == Part::Manifest);
        let manifests = manifests.map(|(named, _)| (&named.series, &named.id));
        let deleted = marks.all.iter().filter(|(_, mark)| mark.deleted.is_some()).map(|((s, id), _)| (s, id));
        let ended: BTreeSet<(&System, &Id)> = manifests.chain(deleted).collect();
        let mut runs = Runs::default();
        for (named, object) in catalog.objects.iter().filter(|(named, _)| named.part == Part::Intent) {
            if !ended.contains(&(&named.series, &named.id)) {
                let (system, id) = (&named.series, &named.id);
                let intent = IntentObject { system, id, key: &object.key, modified: object.modified };
                runs.add_intent(repo, &intent, &is_old)?;
            }
        }
        Ok(runs)
    }

    fn add_intent(
        &mut self,
        repo: &Repo,
        intent: &IntentObject<'_>,
        is_old: impl Fn(Timestamp) -> bool,
    ) -> Result<()> {
        let of = (intent.system.clone(), intent.id.clone());
        let Some(json) = read_small(&*repo.store, intent.key, LARGEST)? else {
            // It ended after the intents were listed: its manifest may be younger than our list of manifests.
            self.unknown.insert(of.0, format!("run {} ended just now", intent.id));
            return Ok(());
        };
        let life = machine::process_of_intent(&json).map_or(Life::Unknown, |process| process.life());
        match life {
            Life::Gone => _ = self.dead.insert(of.clone()),
            Life::Here => _ = self.alive.insert(of.clone()),
            Life::Unknown => {}
        }
        // Of a run of another machine nothing but its age tells whether it is over.
        if life == Life::Gone || (life == Life::Unknown && is_old(intent.modified)) {
            return Ok(());
        }
        match serde_json::from_slice::<BuildsOn>(&json) {
            Ok(BuildsOn { builds_on }) => {
                let folder = |id: Id| ((of.0.clone(), id), of.1.clone());
                self.used.extend(builds_on.into_iter().map(folder));
            }
            Err(_) => _ = self.unknown.insert(of.0, format!("{} does not read", intent.key)),
        }
        Ok(())
    }
}

/// What a removal was planned upon: that this folder is of no use to anybody. Looked at again right before, since a run
/// or a copy may have come meanwhile.
#[derive(Clone, Debug)]
pub(super) enum Guard {
    /// This manifest is not there.
    Manifest(Key),
    /// Of a backup's folder, whose packs any backup of its system may name.
    Folder(Box<FolderGuard>),
}

/// That no backup came since, and no run that may use the folder's packs.
#[derive(Clone, Debug)]
pub(super) struct FolderGuard {
    pub(super) system: System,
    pub(super) id: Id,
    /// Backups whose manifests were taken into account.
    pub(super) known: BTreeSet<Id>,
    /// Intents that were taken into account.
    pub(super) intents: BTreeSet<Key>,
}

impl Guard {
    /// Whether it is as it was planned.
    ///
    /// # Errors
    /// When the store could not be asked.
    pub(super) fn holds(&self, repo: &Repo) -> Result<bool> {
        match self {
            Guard::Manifest(key) => Ok(repo.store.stat(key)?.is_none()),
            Guard::Folder(folder) => folder.holds(repo),
        }
    }

    /// What it is about.
    pub(super) fn name(&self) -> String {
        match self {
            Guard::Manifest(key) => key.to_string(),
            Guard::Folder(folder) => folder.id.to_string(),
        }
    }
}

impl FolderGuard {
    fn holds(&self, repo: &Repo) -> Result<bool> {
        // Intents first: a run removes its own when its manifest is there, so one of the two is seen.
        let root = self.system.root();
        let intents = repo.store.list(&format!("{root}intent/"))?;
        if intents.iter().any(|o| !self.intents.contains(&o.key)) {
            return Ok(false);
        }
        for name in repo.store.folders(&format!("{root}backup/"))? {
            let Ok(id) = name.parse::<Id>() else { continue };
            if !self.known.contains(&id) && repo.store.stat(&manifest_key(&self.system, &id))?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
