//! `prune`, of physical backups, in two phases: what no manifest needs is marked, and removed by a later prune when
//! the mark is a day old.

use super::wal::{self, KeptBackups};
use super::{Action, PruneStep, Pruning};
use crate::format::backup::{BackupCatalog, LARGEST, StoredBackup, mark_key};
use crate::format::catalog::{Manifest, Part};
use crate::format::id::Id;
use crate::format::order::Taken;
use crate::machine;
use crate::retention::{self, Candidate};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use toban_core::repo::Repo;
use toban_core::repo::drills;
use toban_core::repo::keys::System;
use toban_core::store::{Key, Object, read_small};
use toban_core::{Out, Record, Result, out};

/// How long a mark stands before what it marks is removed.
const MARK_AGE: Duration = Duration::from_secs(86400);
const LARGEST_PROOF: u64 = 16 << 20;

/// What becomes of one backup, or of what is left of one.
#[derive(Serialize)]
struct PrunedBackup {
    repo: String,
    id: Id,
    action: Action,
    why: Vec<String>,
    bytes: u64,
}

impl Record for PrunedBackup {
    const SCHEMA: &'static str = "pg-backup.prune-backup/1";
    const HEAD: &'static [&'static str] = &["repo", "backup", "id", "action", "stored", "why"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.repo.clone(),
            "cluster".into(),
            self.id.to_string(),
            self.action.to_string(),
            out::bytes(self.bytes),
            self.why.join(", "),
        ]
    }
}

/// Prunes the backups of one repository and their WAL; how many manifests are damaged there.
pub(super) fn prune_backups(pruning: &Pruning<'_>, out: &mut Out<'_>) -> Result<usize> {
    let catalog = BackupCatalog::read(pruning.repo, pruning.cluster, pruning.as_of)?;
    let facts = BackupFacts::read(pruning.repo, &catalog)?;
    let (steps, kept) = plan_backups(pruning, &catalog, &facts)?;
    pruning.carry_out(steps, out)?;
    // The manifests went first: no backup ever lacks WAL that it needs.
    let kept = KeptBackups { catalog: &catalog, ids: &kept, keep: pruning.keep, as_of: pruning.as_of };
    pruning.carry_out(wal::plan_wal(pruning, &kept)?, out)?;
    if !catalog.damaged.is_empty() {
        log::warn!("{}: a damaged manifest may need any of the WAL: none was removed", pruning.repo.name);
    }
    Ok(catalog.damaged.len())
}

/// What besides the manifests decides.
#[derive(Default)]
struct BackupFacts {
    /// Backups whose last drill failed: they do not count as backups.
    failed: BTreeSet<Id>,
    /// Runs that died on this machine.
    dead: BTreeSet<Id>,
    /// Systems that have WAL beside their backups.
    with_wal: BTreeSet<System>,
}

impl BackupFacts {
    fn read(repo: &Repo, catalog: &BackupCatalog) -> Result<BackupFacts> {
        let mut facts = BackupFacts { dead: find_dead_runs(repo, catalog)?, ..BackupFacts::default() };
        let systems: BTreeSet<System> =
            catalog.stored.iter().filter_map(|s| s.manifest.system().ok()).collect();
        for system in systems {
            facts.failed.extend(find_failed_drills(repo, &system)?);
            if !repo.store.folders(&format!("{}wal/", system.root()))?.is_empty() {
                facts.with_wal.insert(system);
            }
        }
        Ok(facts)
    }
}

/// Backups of `system` whose last drill failed, by the proofs that the repository has of drills.
fn find_failed_drills(repo: &Repo, system: &System) -> Result<BTreeSet<Id>> {
    #[derive(Deserialize)]
    struct Proof {
        backup: Option<Id>,
    }
    let mut failed = BTreeSet::new();
    let drills = drills::list_drills(&*repo.store, system)?;
    // Most never fail, and then no proof need be read.
    if drills.iter().all(|d| d.passed) {
        return Ok(failed);
    }
    for drill in drills {
        let Some(json) = read_small(&*repo.store, &drill.key, LARGEST_PROOF)? else { continue };
        let Ok(Proof { backup: Some(id) }) = serde_json::from_slice(&json) else { continue };
        match drill.passed {
            true => failed.remove(&id),
            false => failed.insert(id),
        };
    }
    Ok(failed)
}

/// Runs whose intent says that they were of this machine, and that are not there any more.
fn find_dead_runs(repo: &Repo, catalog: &BackupCatalog) -> Result<BTreeSet<Id>> {
    let mut dead = BTreeSet::new();
    for (named, object) in catalog.objects.iter().filter(|(named, _)| named.part == Part::Intent) {
        let Some(json) = read_small(&*repo.store, &object.key, LARGEST)? else { continue };
        if machine::process_of_intent(&json).is_some_and(|p| p.is_gone()) {
            dead.insert(named.id.clone());
        }
    }
    Ok(dead)
}

type BackupSteps = Vec<PruneStep<PrunedBackup>>;

/// Pure: every step, in the order to take them, and which backups are kept.
fn plan_backups(
    pruning: &Pruning<'_>,
    catalog: &BackupCatalog,
    facts: &BackupFacts,
) -> Result<(BackupSteps, BTreeSet<Id>)> {
    let candidate = |s: &StoredBackup| {
        let candidate = Candidate::from_stored(s);
        Candidate { whole: candidate.whole && !facts.failed.contains(&s.manifest.id), ..candidate }
    };
    let candidates: Vec<Candidate> = catalog.stored.iter().map(candidate).collect();
    let mut reasons = retention::keep_reasons(&candidates, pruning.as_of, pruning.keep);
    if let Some((i, reason)) = keep_before_window(pruning, catalog, &candidates, facts) {
        reasons[i].push(reason);
    }
    let (mut steps, mut kept) = (Vec::new(), BTreeSet::new());
    for (stored, why) in catalog.stored.iter().zip(reasons) {
        if !why.is_empty() {
            kept.insert(stored.manifest.id.clone());
        }
        steps.push(plan_backup(pruning, catalog, stored, why)?);
    }
    // What a dead run left goes first: on a full disk there is no room for a mark before.
    let (freed, mut marked) = plan_leftovers(pruning, catalog, &kept, &facts.dead)?;
    marked.sort_by_key(|s| s.record.action != Action::Remove);
    Ok((freed.into_iter().chain(steps).chain(marked).collect(), kept))
}

/// A target at the beginning of the window of --keep-within is restored from the backup before it.
fn keep_before_window(
    pruning: &Pruning<'_>,
    catalog: &BackupCatalog,
    candidates: &[Candidate],
    facts: &BackupFacts,
) -> Option<(usize, String)> {
    let span = pruning.keep.within?;
    let begins = i64::try_from(span.0.as_secs()).unwrap_or(i64::MAX);
    let is_before = |at: Timestamp| pruning.as_of.as_second().saturating_sub(at.as_second()) > begins;
    let serves = |(stored, candidate): (&StoredBackup, &Candidate)| {
        matches!(stored.taken, Taken::At(at) if is_before(at))
            && candidate.whole
            && stored.manifest.system().is_ok_and(|system| facts.with_wal.contains(&system))
    };
    let i = (0..candidates.len()).rev().find(|i| serves((&catalog.stored[*i], &candidates[*i])))?;
    Some((i, format!("the window of {span} begins with it")))
}

fn plan_backup(
    pruning: &Pruning<'_>,
    catalog: &BackupCatalog,
    stored: &StoredBackup,
    why: Vec<String>,
) -> Result<PruneStep<PrunedBackup>> {
    let manifest = &stored.manifest;
    let delete = why.is_empty();
    let record = PrunedBackup {
        repo: stored.repo.name.clone(),
        id: manifest.id.clone(),
        action: if delete { Action::Delete } else { Action::Keep },
        why: if delete { vec!["no rule keeps it".into()] } else { why },
        bytes: manifest.stored_bytes(),
    };
    if !delete {
        return Ok(PruneStep { record, mark: None, keys: catalog.replaced_verdicts(manifest)? });
    }
    let mark = mark_key(&manifest.system()?, &manifest.id, pruning.clock);
    Ok(PruneStep { record, mark: Some(mark), keys: vec![manifest.manifest_key()?] })
}

/// What lies in the folder of a backup that no manifest needs, with its mark, intent and verdicts.
#[derive(Default)]
struct Leftover<'a> {
    objects: Vec<&'a Object>,
    beside: Vec<&'a Object>,
    marked: Option<Timestamp>,
    /// The newest sign of life.
    touched: Option<Timestamp>,
    manifest: bool,
}

/// Pure: what is removed because its run is dead, and what is marked or removed by its age.
fn plan_leftovers(
    pruning: &Pruning<'_>,
    catalog: &BackupCatalog,
    kept: &BTreeSet<Id>,
    dead: &BTreeSet<Id>,
) -> Result<(BackupSteps, BackupSteps)> {
    let mut leftovers: BTreeMap<(&System, &Id), Leftover<'_>> = BTreeMap::new();
    for (named, object) in &catalog.objects {
        leftovers.entry((&named.series, &named.id)).or_default().add_object(&named.part, object);
    }
    let (mut freed, mut aged) = (Vec::new(), Vec::new());
    for ((system, id), leftover) in leftovers {
        if leftover.manifest || kept.contains(id) {
            continue;
        }
        match dead.contains(id) {
            true => freed.push(leftover.plan_dead(pruning, id)),
            false => aged.extend(leftover.plan_by_age(pruning, system, id)?),
        }
    }
    Ok((freed, aged))
}

impl<'a> Leftover<'a> {
    fn add_object(&mut self, part: &Part, object: &'a Object) {
        match part {
            Part::Manifest | Part::Content(_) => {
                self.manifest |= *part == Part::Manifest;
                self.objects.push(object);
                self.touched = self.touched.max(Some(object.modified));
            }
            Part::Intent => {
                self.beside.push(object);
                self.touched = self.touched.max(Some(object.modified));
            }
            Part::Mark(at) => {
                self.beside.push(object);
                self.marked = Some(self.marked.map_or(*at, |m| m.min(*at)));
            }
            Part::Verdict { .. } => self.beside.push(object),
        }
    }

    fn make_step(
        &self,
        pruning: &Pruning<'_>,
        id: &Id,
        action: Action,
        why: &str,
    ) -> PruneStep<PrunedBackup> {
        let record = PrunedBackup {
            repo: pruning.repo.name.clone(),
            id: id.clone(),
            action,
            why: vec![why.to_string()],
            bytes: self.objects.iter().map(|o| o.size).sum(),
        };
        // The intent and the marks go last: a prune that dies in between finds the rest again.
        let all = self.objects.iter().chain(&self.beside).map(|o| o.key.clone());
        let keys: Vec<Key> = if action == Action::Remove { all.collect() } else { Vec::new() };
        PruneStep { record, mark: None, keys }
    }

    /// Of a run that is known to be dead.
    fn plan_dead(&self, pruning: &Pruning<'_>, id: &Id) -> PruneStep<PrunedBackup> {
        self.make_step(pruning, id, Action::Remove, "left by a run that died on this machine")
    }

    fn plan_by_age(
        &self,
        pruning: &Pruning<'_>,
        system: &System,
        id: &Id,
    ) -> Result<Option<PruneStep<PrunedBackup>>> {
        let now = pruning.as_of.min(pruning.clock);
        let age = |at: Timestamp| now.as_second().saturating_sub(at.as_second()).max(0).unsigned_abs();
        match self.marked {
            Some(at) if age(at) >= MARK_AGE.as_secs() => {
                let why = "no backup needs it since it was marked";
                Ok(Some(self.make_step(pruning, id, Action::Remove, why)))
            }
            Some(_) => Ok(None),
            // A run that is under way has no manifest yet.
            None if self.touched.is_some_and(|at| !pruning.is_garbage(at)) => Ok(None),
            None => {
                let step = self.make_step(pruning, id, Action::Mark, "left by a run that did not finish");
                Ok(Some(PruneStep { mark: Some(mark_key(system, id, pruning.clock)), ..step }))
            }
        }
    }
}
