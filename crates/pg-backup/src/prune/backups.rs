//! `prune`, of physical backups. A backup is deleted by a mark that holds its manifest, and can be put back until its
//! objects go, days later. An object goes only when no manifest names it, no mark that can be undone, and no run that
//! is under way may use it: backups share packs.

use super::leftovers::{self, Leftovers};
use super::moments;
use super::runs::Runs;
use super::wal::{self, PrunedWal};
use super::window::{NeededWal, SystemWal, WindowBackup, find_bases, list_window_backups};
use super::{Action, MARK_AGE, NewMark, PruneRecord, PruneStep, Pruning, name_span};
use crate::format::backup::{BackupCatalog, BackupManifest, StoredBackup};
use crate::format::catalog::{Manifest, Note, Part};
use crate::format::id::Id;
use crate::format::mark::{MarkedAt, Marks};
use crate::format::verdict::Verdicts;
use crate::machine;
use crate::retention::{self, Candidate, Flaw};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use toban_core::config::Span;
use toban_core::repo::Repo;
use toban_core::repo::drills;
use toban_core::repo::keys::System;
use toban_core::store::{Key, read_small};
use toban_core::{Out, Record, Result, out};

const LARGEST_PROOF: u64 = 16 << 20;
/// Bytes of a segment where no backup tells.
const SEGMENT_SIZE: u64 = 16 << 20;

/// What becomes of one backup, or of what is left of one.
#[derive(Clone, Debug, Serialize)]
pub(super) struct PrunedBackup {
    pub(super) repo: String,
    pub(super) id: Id,
    pub(super) action: Action,
    pub(super) why: Vec<String>,
    pub(super) bytes: u64,
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

impl PruneRecord for PrunedBackup {
    fn leave(&mut self, why: String) {
        (self.action, self.why) = (Action::Keep, vec![why]);
    }
}

/// Prunes the backups of one repository and their WAL; how many manifests are damaged there.
pub(super) fn prune_backups(pruning: &Pruning<'_>, out: &mut Out<'_>) -> Result<usize> {
    let catalog = BackupCatalog::read(pruning.repo, pruning.cluster, pruning.as_of)?;
    let facts = BackupFacts::read(pruning, &catalog)?;
    facts.warn_of_holds(pruning.repo);
    let plan = plan_backups(pruning, &catalog, &facts)?;
    let kept = plan.kept.clone();
    let (needed, damaged) = (plan.needed, catalog.damaged.len() + facts.marks.unread.len());
    // Backups before the WAL: a prune that dies in between leaves WAL that nobody needs, which the next one
    // removes, and never a backup that is listed and lacks its WAL.
    pruning.carry_out(pruning.leave_locked(plan.steps)?, out)?;
    let wal = plan.wal.into_iter().map(|step| wal::leave_locked(pruning, step));
    let wal = wal.collect::<Result<Vec<_>>>()?;
    pruning.carry_out(wal.into_iter().flatten().collect(), out)?;
    if pruning.dry_run {
        moments::emit_moments(pruning, &catalog, &moments::AfterPrune { kept, needed }, out)?;
    }
    Ok(damaged)
}

/// What besides the manifests decides.
pub(super) struct BackupFacts {
    pub(super) marks: Marks<BackupManifest>,
    pub(super) runs: Runs,
    /// How the drills of each backup ended.
    drills: BTreeMap<(System, Id), Verdicts>,
    pub(super) wal: BTreeMap<System, SystemWal>,
    /// Systems of which a manifest or mark does not read, and which: any object may be what it needs.
    unread: BTreeMap<System, String>,
}

impl BackupFacts {
    pub(super) fn read(pruning: &Pruning<'_>, catalog: &BackupCatalog) -> Result<BackupFacts> {
        let repo = pruning.repo;
        let marks = Marks::read(repo, catalog)?;
        let runs = Runs::read(repo, catalog, &marks, |at| pruning.is_garbage(at))?;
        let mut unread = BTreeMap::new();
        for (system, id) in catalog.unread() {
            unread.insert(system, format!("the manifest of {id} does not read"));
        }
        for (system, e) in &marks.unread {
            unread.insert(system.clone(), e.chain());
        }
        let mut drills = BTreeMap::new();
        let mut wal = BTreeMap::new();
        for system in System::all(&*repo.store, pruning.cluster)? {
            let sizes = catalog.stored.iter().filter(|s| s.manifest.is_of(&system));
            let size = sizes.map(|s| s.manifest.wal_segment_size.max(1)).next().unwrap_or(SEGMENT_SIZE);
            wal.insert(system.clone(), SystemWal::read(repo, &system, size)?);
            drills.extend(read_drills(pruning, &system)?);
        }
        Ok(BackupFacts { marks, runs, drills, wal, unread })
    }

    fn warn_of_holds(&self, repo: &Repo) {
        for (system, why) in &self.unread {
            log::warn!(
                "{}: system {}: {why}: it may need any of the packs and of the WAL, and none was removed",
                repo.name,
                system.identifier
            );
        }
    }

    /// Why none of the packs of a system may go.
    pub(super) fn hold_of(&self, system: &System) -> Option<&String> {
        self.unread.get(system).or_else(|| self.runs.unknown.get(system))
    }
}

/// How the drills of each backup of `system` ended, by the proofs that the repository has of them.
fn read_drills(pruning: &Pruning<'_>, system: &System) -> Result<BTreeMap<(System, Id), Verdicts>> {
    #[derive(Deserialize)]
    struct Proof {
        backup: Option<Id>,
    }
    let store = &*pruning.repo.store;
    let drills = drills::list_drills(store, system)?;
    let read = machine::in_parallel(&drills, 8, |drill| read_small(store, &drill.key, LARGEST_PROOF))?;
    let mut verdicts: BTreeMap<(System, Id), Verdicts> = BTreeMap::new();
    for (drill, json) in drills.iter().zip(read) {
        let Some(json) = json else { continue };
        let Ok(Proof { backup: Some(id) }) = serde_json::from_slice(&json) else { continue };
        let verdict = verdicts.entry((system.clone(), id)).or_default();
        verdict.add_verdict(drill.passed, drill.at, pruning.as_of);
    }
    Ok(verdicts)
}

pub(super) type BackupSteps = Vec<PruneStep<PrunedBackup>>;

/// All that a prune of backups does, in its order.
pub(super) struct BackupPlan {
    pub(super) steps: BackupSteps,
    pub(super) wal: Vec<PruneStep<PrunedWal>>,
    /// Backups that stay.
    pub(super) kept: BTreeSet<(System, Id)>,
    /// From where on the WAL of each system stays; of one that is not among them all of it.
    pub(super) needed: BTreeMap<System, NeededWal>,
}

/// Keeps the newest backup in the order of the WAL, which is that of `candidates`. The rules count by time: the only backup of a
/// server that was just rebuilt, and whose clock was wrong, would be older than all those of the server before.
fn keep_newest(candidates: &[Candidate], reasons: &mut [Vec<String>]) {
    let newest = candidates.iter().zip(reasons).rfind(|(candidate, _)| candidate.is_usable());
    if let Some((_, why)) = newest.filter(|(_, why)| why.is_empty()) {
        why.push("newest in the order of the WAL".into());
    }
}

/// Pure: every step, in the order to take them.
pub(super) fn plan_backups(
    pruning: &Pruning<'_>,
    catalog: &BackupCatalog,
    facts: &BackupFacts,
) -> Result<BackupPlan> {
    let candidate = |s: &StoredBackup| -> Result<Candidate> {
        let candidate = Candidate::from_stored(s, pruning.as_of.min(pruning.clock));
        let of = (s.manifest.system()?, s.manifest.id.clone());
        let drills = facts.drills.get(&of).copied().unwrap_or_default();
        let failed = drills.damaged().is_some() && candidate.flaw != Some(Flaw::Damaged);
        let flaw = if failed { Some(Flaw::FailedDrill) } else { candidate.flaw };
        Ok(Candidate { flaw, proven: drills.verified().is_some(), ..candidate })
    };
    let candidates = catalog.stored.iter().map(candidate).collect::<Result<Vec<_>>>()?;
    let mut reasons = retention::keep_reasons(&candidates, pruning.as_of, pruning.keep);
    keep_newest(&candidates, &mut reasons);
    let usable: BTreeSet<(System, Id)> = catalog
        .stored
        .iter()
        .zip(&candidates)
        .filter(|(_, candidate)| candidate.is_usable())
        .map(|(s, _)| Ok((s.manifest.system()?, s.manifest.id.clone())))
        .collect::<Result<_>>()?;
    let windows = Windows { pruning, catalog, facts, usable };
    windows.add_reasons(&mut reasons)?;
    let (mut steps, mut kept) = (Vec::new(), BTreeSet::new());
    for (stored, why) in catalog.stored.iter().zip(reasons) {
        if !why.is_empty() {
            kept.insert((stored.manifest.system()?, stored.manifest.id.clone()));
        }
        steps.push(plan_backup(pruning, catalog, stored, why)?);
    }
    let Leftovers { removed, reported } = leftovers::plan_leftovers(pruning, catalog, facts)?;
    let needed = windows.find_needed_wal(&kept);
    let wal = facts.wal.iter();
    let wal =
        wal.flat_map(|(system, wal)| wal::plan_wal(pruning.repo, system, wal, needed.get(system))).collect();
    // What goes goes first: on a full disk there is no room for a mark before.
    let steps = removed.into_iter().chain(steps).chain(reported).collect();
    Ok(BackupPlan { steps, wal, kept, needed })
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
        let mut keys = catalog.replaced_verdicts(manifest)?;
        keys.extend(find_spent(pruning, catalog, manifest)?);
        return Ok(PruneStep { keys, ..PruneStep::report(record) });
    }
    let mark =
        NewMark { key: manifest.note_key(Note::Mark, pruning.clock)?, of: Some(manifest.manifest_key()?) };
    // The manifest alone goes now. Later backups may name the packs, and `prune --undo` needs them: they go
    // by a later prune, when no manifest and no mark that can be undone names them.
    Ok(PruneStep { mark: Some(mark), keys: vec![manifest.manifest_key()?], ..PruneStep::report(record) })
}

/// The intent of a backup whose manifest is there, and marks of before it was put back.
fn find_spent(pruning: &Pruning<'_>, catalog: &BackupCatalog, manifest: &BackupManifest) -> Result<Vec<Key>> {
    let is_spent = |part: &Part| match part {
        Part::Intent => true,
        // Another prune may have set a younger one a moment ago, and be about to remove the manifest.
        Part::Mark(at) => pruning.age(*at) >= MARK_AGE.as_secs(),
        _ => false,
    };
    let own = catalog.objects_of(manifest)?.into_iter();
    Ok(own.filter(|(named, _)| is_spent(&named.part)).map(|(_, object)| object.key.clone()).collect())
}

/// Whether what is marked can be put back, so that all it needs must stay.
pub(super) fn is_undoable(
    pruning: &Pruning<'_>,
    catalog: &BackupCatalog,
    mark: &MarkedAt<BackupManifest>,
) -> bool {
    let pinned = |manifest: &BackupManifest| describe_pin(pruning, catalog, manifest).is_some();
    mark.deleted.as_ref().is_some_and(|d| pruning.is_undoable(mark.at) || pinned(&d.manifest))
}

/// Why a deleted backup is pinned all the same: the pin came while it was being deleted.
pub(super) fn describe_pin(
    pruning: &Pruning<'_>,
    catalog: &BackupCatalog,
    manifest: &BackupManifest,
) -> Option<String> {
    let of = (manifest.system().ok()?, manifest.id.clone());
    catalog.pins.get(&of)?.describe(pruning.as_of.min(pruning.clock))
}

/// The rules that promise moments.
struct Windows<'a> {
    pruning: &'a Pruning<'a>,
    catalog: &'a BackupCatalog,
    facts: &'a BackupFacts,
    /// Backups that are there and of which nothing bad is known.
    usable: BTreeSet<(System, Id)>,
}

impl Windows<'_> {
    /// Adds that a window begins with a backup: a target at its beginning is restored from it.
    fn add_reasons(&self, reasons: &mut [Vec<String>]) -> Result<()> {
        let (within, wal) = (self.pruning.keep.within, self.pruning.keep.wal);
        let mut spans: Vec<Span> = within.into_iter().chain(wal).collect();
        spans.dedup();
        for (system, wal) in &self.facts.wal {
            let all = list_window_backups(self.catalog, &self.facts.marks, system, self.pruning.as_of);
            let usable: Vec<&WindowBackup<'_>> = all.iter().filter(|b| self.is_usable(system, b)).collect();
            for span in &spans {
                let begin = self.pruning.before_now(span.0);
                // The end of a backup is a moment too, where nothing was archived.
                if !wal.has_moments_since(begin) && !usable.iter().any(|b| b.ended > begin) {
                    continue;
                }
                let bases: BTreeSet<Id> =
                    find_bases(begin, &usable, wal).iter().map(|b| b.manifest.id.clone()).collect();
                for (stored, why) in self.catalog.stored.iter().zip(reasons.iter_mut()) {
                    if bases.contains(&stored.manifest.id) && stored.manifest.is_of(system) {
                        why.push(format!("the window of {span} needs it"));
                    }
                }
            }
        }
        Ok(())
    }

    fn is_usable(&self, system: &System, backup: &WindowBackup<'_>) -> bool {
        !backup.deleted && self.usable.contains(&(system.clone(), backup.manifest.id.clone()))
    }

    /// From where on the WAL of each system is needed. It goes later than it falls out of its window, by as long as
    /// deleted backups can be put back: these find the WAL that they had.
    fn find_needed_wal(&self, kept: &BTreeSet<(System, Id)>) -> BTreeMap<System, NeededWal> {
        let mut needed = BTreeMap::new();
        for (system, wal) in &self.facts.wal {
            // Where a manifest begins that does not read is not known: any of the WAL may be what it needs.
            if self.facts.unread.contains_key(system) || wal.path.is_none() {
                continue;
            }
            let all = list_window_backups(self.catalog, &self.facts.marks, system, self.pruning.as_of);
            let stays = |b: &&WindowBackup<'_>| self.can_be_restored(system, kept, b);
            let stay: Vec<&WindowBackup<'_>> = all.iter().filter(stays).collect();
            let usable = |b: &&&WindowBackup<'_>| {
                b.deleted || self.usable.contains(&(system.clone(), b.manifest.id.clone()))
            };
            let usable: Vec<&WindowBackup<'_>> = stay.iter().filter(usable).copied().collect();
            // What is there must do without what is deleted, and that must find the WAL that it had.
            let is_there = |b: &&&WindowBackup<'_>| {
                !b.deleted && kept.contains(&(system.clone(), b.manifest.id.clone()))
            };
            let there: Vec<&WindowBackup<'_>> = usable.iter().filter(is_there).copied().collect();
            let of_window = self.pruning.keep.wal.and_then(|span| {
                let longer = span.0.saturating_add(self.pruning.undelete());
                let first = |span, backups: &[&WindowBackup<'_>]| {
                    NeededWal::of_window(self.pruning.before_now(span), backups, wal, &name_span(span))
                };
                [first(span.0, &there), first(longer, &usable)].into_iter().flatten().min_by_key(|n| n.from)
            });
            // Where no backup stays that could be the first of a window, whatever stays may need the WAL.
            let is_kept = stay.iter().any(|b| is_there(&b));
            let of_all = || NeededWal::of_all(&stay);
            needed.extend(of_window.or_else(of_all).filter(|_| is_kept).map(|n| (system.clone(), n)));
        }
        needed
    }

    /// Whether it is there after this prune, or can be put back.
    fn can_be_restored(
        &self,
        system: &System,
        kept: &BTreeSet<(System, Id)>,
        backup: &WindowBackup<'_>,
    ) -> bool {
        let of = (system.clone(), backup.manifest.id.clone());
        match (backup.deleted, self.facts.marks.all.get(&of)) {
            (true, Some(mark)) => is_undoable(self.pruning, self.catalog, mark),
            (true, None) => false,
            (false, _) => kept.contains(&of) || !self.pruning.undelete().is_zero(),
        }
    }
}
