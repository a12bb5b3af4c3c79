//! What lies in the folders of backups that have no manifest: of deleted ones, and of runs that did not finish. Pure.

use super::backups::{BackupFacts, BackupSteps, PrunedBackup, describe_pin, is_undoable};
use super::runs::{FolderGuard, Guard};
use super::{Action, MARK_AGE, NewMark, PruneStep, Pruning};
use crate::format::backup::{BackupCatalog, BackupManifest, mark_key};
use crate::format::catalog::{Manifest, Part};
use crate::format::id::Id;
use crate::format::mark::MarkedAt;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use toban_core::Result;
use toban_core::repo::keys::System;
use toban_core::stamp::iso_seconds;
use toban_core::store::{Key, Object};

/// How many names a reason lists.
const NAMED: usize = 3;

/// The steps for what has no manifest.
#[derive(Default)]
pub(super) struct Leftovers {
    /// What goes.
    pub(super) removed: BackupSteps,
    /// What stays for now, and what is marked.
    pub(super) reported: BackupSteps,
}

/// What becomes of every folder without a manifest.
pub(super) fn plan_leftovers(
    pruning: &Pruning<'_>,
    catalog: &BackupCatalog,
    facts: &BackupFacts,
) -> Result<Leftovers> {
    let mut folders: BTreeMap<(System, Id), BackupFolder<'_>> = BTreeMap::new();
    for (named, object) in &catalog.objects {
        let of = (named.series.clone(), named.id.clone());
        let folder = folders.entry(of).or_insert_with(|| BackupFolder::new(&named.series, &named.id));
        folder.add_object(&named.part, object);
    }
    let context = LeftoverPlanner { pruning, catalog, facts, named: name_objects(pruning, catalog, facts)? };
    let mut leftovers = Leftovers::default();
    folders.values().filter(|f| !f.manifest).for_each(|f| context.plan_folder(f, &mut leftovers));
    Ok(leftovers)
}

/// Every object that a manifest names, of a backup that is there or that can be put back, and the names of these.
fn name_objects(
    pruning: &Pruning<'_>,
    catalog: &BackupCatalog,
    facts: &BackupFacts,
) -> Result<BTreeMap<Key, Vec<Id>>> {
    let needs = |mark: &&MarkedAt<BackupManifest>| {
        // A mark stands for a day even where nothing can be undone: a restore may be reading.
        is_undoable(pruning, catalog, mark) || pruning.age(mark.at) < MARK_AGE.as_secs()
    };
    let marked = facts.marks.all.values().filter(needs);
    let marked = marked.filter_map(|mark| mark.deleted.as_ref()).map(|deleted| &deleted.manifest);
    let mut named: BTreeMap<Key, Vec<Id>> = BTreeMap::new();
    for manifest in catalog.stored.iter().map(|s| &s.manifest).chain(marked) {
        for (key, _) in manifest.objects()? {
            named.entry(key).or_default().push(manifest.id.clone());
        }
    }
    Ok(named)
}

/// What lies in the folder of one backup, with its marks, intent, pins and verdicts.
struct BackupFolder<'a> {
    of: (System, Id),
    objects: Vec<&'a Object>,
    beside: Vec<&'a Object>,
    intents: Vec<&'a Object>,
    /// The newest sign of life.
    touched: Option<Timestamp>,
    manifest: bool,
}

impl<'a> BackupFolder<'a> {
    fn new(system: &System, id: &Id) -> BackupFolder<'a> {
        let of = (system.clone(), id.clone());
        BackupFolder {
            of,
            objects: Vec::new(),
            beside: Vec::new(),
            intents: Vec::new(),
            touched: None,
            manifest: false,
        }
    }

    fn add_object(&mut self, part: &Part, object: &'a Object) {
        match part {
            Part::Manifest => self.manifest = true,
            Part::Content(_) => {
                self.objects.push(object);
                self.touched = self.touched.max(Some(object.modified));
            }
            Part::Intent => {
                self.intents.push(object);
                self.touched = self.touched.max(Some(object.modified));
            }
            Part::Mark(_) | Part::Pin(_) | Part::Verdict { .. } | Part::Signature(_) => {
                self.beside.push(object);
            }
        }
    }
}

struct LeftoverPlanner<'a> {
    pruning: &'a Pruning<'a>,
    catalog: &'a BackupCatalog,
    facts: &'a BackupFacts,
    /// Objects that must stay, and for which backups.
    named: BTreeMap<Key, Vec<Id>>,
}

impl LeftoverPlanner<'_> {
    fn plan_folder(&self, folder: &BackupFolder<'_>, plan: &mut Leftovers) {
        let of = &folder.of;
        match self.facts.marks.all.get(of) {
            Some(mark) => self.plan_marked(folder, mark, plan),
            None if self.facts.runs.dead.contains(of) => {
                self.plan_removal(folder, "left by a run that died on this machine", plan);
            }
            // A run that is under way has no manifest yet.
            None if self.facts.runs.alive.contains(of) => {}
            // Its process cannot be looked at, as of a run of another machine: only age tells that it is
            // over. The newest object counts, so a run that stores pack after pack does not grow old.
            None if folder.touched.is_some_and(|at| !self.pruning.is_garbage(at)) => {}
            None => {
                let why = "left by a run that did not finish".into();
                // Marked and not removed at once: a run that is under way all the same, say where a clock is
                // wrong, has another day to end. Once its manifest is there, the mark says nothing any more.
                let record = self.make_record(&of.1, Action::Mark, vec![why], &folder.objects);
                let mark = NewMark { key: mark_key(&of.0, &of.1, self.pruning.clock), of: None };
                plan.reported.push(PruneStep { mark: Some(mark), ..PruneStep::report(record) });
            }
        }
    }

    fn plan_marked(&self, folder: &BackupFolder<'_>, mark: &MarkedAt<BackupManifest>, plan: &mut Leftovers) {
        if is_undoable(self.pruning, self.catalog, mark) {
            let until = iso_seconds(self.pruning.undo_ends(mark.at));
            let deleted = mark.deleted.as_ref();
            let why = deleted
                .and_then(|d| describe_pin(self.pruning, self.catalog, &d.manifest))
                .unwrap_or_else(|| format!("`prune --undo` puts it back until {until}"));
            let record = self.make_record(&folder.of.1, Action::Deleted, vec![why], &folder.objects);
            plan.reported.push(PruneStep::report(record));
        } else if self.pruning.age(mark.at) >= MARK_AGE.as_secs() {
            self.plan_removal(folder, "no backup needs it since it was marked", plan);
        }
    }

    /// Of what lies in the folder goes what nothing needs; what is beside it when nothing is left.
    fn plan_removal(&self, folder: &BackupFolder<'_>, why: &str, plan: &mut Leftovers) {
        let of = &folder.of;
        let (system, id) = of;
        let held = self.facts.hold_of(system).cloned();
        let used = self.facts.runs.used.get(of).map(|run| format!("run {run} may use its packs"));
        if let Some(hold) = held.or(used) {
            let record = self.make_record(id, Action::Keep, vec![hold], &folder.objects);
            return plan.reported.push(PruneStep::report(record));
        }
        let (stay, go): (Vec<&Object>, Vec<&Object>) =
            folder.objects.iter().copied().partition(|o| self.named.contains_key(&o.key));
        if !stay.is_empty() {
            let record = self.make_record(id, Action::Keep, vec![self.name_users(&stay)], &stay);
            plan.reported.push(PruneStep::report(record));
        }
        // The intent and the marks go last: a prune that dies in between finds the rest again, and takes it for no run
        // that is under way.
        // The intent of a run whose manifest was there once is spent.
        let spent = self.facts.marks.all.get(of).is_some_and(|mark| mark.deleted.is_some());
        let intents = folder.intents.iter().filter(|_| stay.is_empty() || spent);
        let beside = intents.chain(folder.beside.iter().filter(|_| stay.is_empty())).copied();
        let keys: Vec<Key> = go.iter().copied().chain(beside).map(|o| o.key.clone()).collect();
        if !keys.is_empty() {
            let record = self.make_record(id, Action::Remove, vec![why.to_string()], &go);
            let guard = Some(Guard::Folder(Box::new(self.make_guard(system, id))));
            plan.removed.push(PruneStep { keys, guard, ..PruneStep::report(record) });
        }
    }

    /// `backups 20261121T030000Z-120034 and 4 others use its packs`.
    fn name_users(&self, objects: &[&Object]) -> String {
        let users: BTreeSet<&Id> = objects.iter().filter_map(|o| self.named.get(&o.key)).flatten().collect();
        let names: Vec<String> = users.iter().take(NAMED).map(ToString::to_string).collect();
        let more = match users.len().saturating_sub(NAMED) {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        format!("backups use its packs: {}{more}", names.join(" "))
    }

    fn make_guard(&self, system: &System, id: &Id) -> FolderGuard {
        let own = || self.catalog.objects.iter().filter(|(named, _)| named.series == *system);
        let known =
            own().filter(|(named, _)| named.part == Part::Manifest).map(|(named, _)| named.id.clone());
        let intents = own().filter(|(named, _)| named.part == Part::Intent).map(|(_, o)| o.key.clone());
        FolderGuard {
            system: system.clone(),
            id: id.clone(),
            known: known.collect(),
            intents: intents.collect(),
        }
    }

    fn make_record(&self, id: &Id, action: Action, why: Vec<String>, objects: &[&Object]) -> PrunedBackup {
        let bytes = objects.iter().map(|o| o.size).sum();
        PrunedBackup { repo: self.pruning.repo.name.clone(), id: id.clone(), action, why, bytes }
    }
}
