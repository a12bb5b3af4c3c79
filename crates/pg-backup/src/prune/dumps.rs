//! `prune`, of dumps.
//!
//! A dump is deleted by a mark that holds its manifest; then the manifest goes, and the dump is not there. Its parts go
//! with a later prune, when it can be put back no longer. What has neither manifest nor mark goes when it is a week
//! old: a dump that is being written has no manifest yet.

use super::runs::Guard;
use super::{Action, MARK_AGE, NewMark, PruneRecord, PruneStep, Pruning};
use crate::format::catalog::{Manifest, NamedObject, Note, Part};
use crate::format::dump::{DumpCatalog, DumpManifest, StoredDump};
use crate::format::id::Id;
use crate::format::mark::{MarkedAt, Marks};
use crate::retention::{self, Candidate};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use toban_core::stamp::iso_seconds;
use toban_core::store::Key;
use toban_core::{Out, Record, Result, out};

/// What becomes of one dump, or of one object that belongs to none.
#[derive(Clone, Debug, Serialize)]
struct PrunedDump {
    repo: String,
    database: String,
    id: Id,
    action: Action,
    /// What keeps it, or why it goes.
    why: Vec<String>,
    bytes: u64,
}

impl Record for PrunedDump {
    const SCHEMA: &'static str = "pg-backup.prune/1";
    const HEAD: &'static [&'static str] = &["repo", "database", "id", "action", "stored", "why"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.repo.clone(),
            self.database.clone(),
            self.id.to_string(),
            self.action.to_string(),
            out::bytes(self.bytes),
            self.why.join(", "),
        ]
    }
}

impl PruneRecord for PrunedDump {
    fn leave(&mut self, why: String) {
        (self.action, self.why) = (Action::Keep, vec![why]);
    }
}

/// Prunes the dumps of one repository; how many manifests are damaged there.
pub(super) fn prune_dumps(pruning: &Pruning<'_>, out: &mut Out<'_>) -> Result<usize> {
    let catalog = DumpCatalog::read(pruning.repo, pruning.cluster, pruning.as_of)?;
    let marks = Marks::read(pruning.repo, &catalog)?;
    for (_, e) in &marks.unread {
        log::warn!("{}: {}: what it marks was left alone", pruning.repo.name, e.chain());
    }
    // What goes goes first: on a full disk there is no room for a mark before.
    let mut steps = plan_leftovers(pruning, &catalog, &marks)?;
    steps.extend(plan_dumps(pruning, &catalog)?);
    pruning.carry_out(pruning.leave_locked(steps)?, out)?;
    Ok(catalog.damaged.len() + marks.unread.len())
}

/// Pure: what becomes of every dump.
fn plan_dumps(pruning: &Pruning<'_>, catalog: &DumpCatalog) -> Result<Vec<PruneStep<PrunedDump>>> {
    // Safety dumps are a series of their own: they must not push a nightly dump out.
    let mut series: BTreeMap<(&str, bool), Vec<&StoredDump>> = BTreeMap::new();
    for stored in &catalog.stored {
        let of = (stored.manifest.database.name.as_str(), stored.manifest.is_safety());
        series.entry(of).or_default().push(stored);
    }
    let mut steps = Vec::new();
    for dumps in series.values() {
        let candidates: Vec<Candidate> =
            dumps.iter().map(|s| Candidate::from_stored(s, pruning.as_of.min(pruning.clock))).collect();
        let reasons = retention::keep_reasons(&candidates, pruning.as_of, pruning.keep);
        for (stored, why) in dumps.iter().zip(reasons) {
            steps.push(plan_dump(pruning, catalog, stored, why)?);
        }
    }
    Ok(steps)
}

fn plan_dump(
    pruning: &Pruning<'_>,
    catalog: &DumpCatalog,
    stored: &StoredDump,
    why: Vec<String>,
) -> Result<PruneStep<PrunedDump>> {
    let manifest = &stored.manifest;
    let delete = why.is_empty();
    let record = PrunedDump {
        repo: stored.repo.name.clone(),
        database: manifest.database.name.clone(),
        id: manifest.id.clone(),
        action: if delete { Action::Delete } else { Action::Keep },
        why: if delete { vec!["no rule keeps it".into()] } else { why },
        bytes: manifest.stored_bytes(),
    };
    let step = PruneStep::report(record);
    if !delete {
        // Marks of before it was put back; another prune may have set a younger one a moment ago.
        let is_old = |part: &Part| matches!(part, Part::Mark(at) if pruning.age(*at) >= MARK_AGE.as_secs());
        let own = catalog.objects_of(manifest)?.into_iter();
        let marks = own.filter(|(named, _)| is_old(&named.part)).map(|(_, object)| object.key.clone());
        let keys = catalog.replaced_verdicts(manifest)?.into_iter().chain(marks).collect();
        return Ok(PruneStep { keys, ..step });
    }
    if pruning.undelete().is_zero() {
        let mut objects = catalog.objects_of(manifest)?;
        // The manifest first: a prune that dies in between leaves parts without a manifest, which is garbage, and
        // never a manifest without its parts, which would be a damaged dump.
        objects.sort_by_key(|(named, _)| named.part != Part::Manifest);
        let keys = objects.into_iter().map(|(_, object)| object.key.clone()).collect();
        return Ok(PruneStep { keys, ..step });
    }
    let mark =
        NewMark { key: manifest.note_key(Note::Mark, pruning.clock)?, of: Some(manifest.manifest_key()?) };
    Ok(PruneStep { mark: Some(mark), keys: vec![manifest.manifest_key()?], ..step })
}

/// Pure: what becomes of dumps that have no manifest: deleted ones, and those of runs that died.
fn plan_leftovers(
    pruning: &Pruning<'_>,
    catalog: &DumpCatalog,
    marks: &Marks<DumpManifest>,
) -> Result<Vec<PruneStep<PrunedDump>>> {
    let mut leftovers: BTreeMap<(String, Id), Vec<&NamedObject<DumpManifest>>> = BTreeMap::new();
    for object in &catalog.objects {
        leftovers.entry((object.0.series.clone(), object.0.id.clone())).or_default().push(object);
    }
    leftovers.retain(|_, objects| objects.iter().all(|(named, _)| named.part != Part::Manifest));
    // The mark of one of them does not read: what it holds may be any of that database.
    let unread: BTreeSet<&String> = marks.unread.iter().map(|(series, _)| series).collect();
    leftovers.retain(|(series, _), _| !unread.contains(series));
    let mut steps = Vec::new();
    for (of, objects) in leftovers {
        match marks.all.get(&of).and_then(|mark| Some((mark, mark.deleted.as_ref()?))) {
            Some((mark, deleted)) => {
                let step = Leftover { pruning, catalog, of: &of, objects };
                steps.push(step.plan_deleted(mark, &deleted.manifest)?);
            }
            None => steps.extend(Leftover { pruning, catalog, of: &of, objects }.plan_garbage()),
        }
    }
    Ok(steps)
}

/// What is there of a dump without a manifest.
struct Leftover<'a> {
    pruning: &'a Pruning<'a>,
    catalog: &'a DumpCatalog,
    of: &'a (String, Id),
    objects: Vec<&'a NamedObject<DumpManifest>>,
}

impl Leftover<'_> {
    fn make_record(&self, action: Action, why: String) -> PrunedDump {
        let bytes = self.objects.iter().filter(|(named, _)| matches!(named.part, Part::Content(_)));
        PrunedDump {
            repo: self.pruning.repo.name.clone(),
            database: self.of.0.clone(),
            id: self.of.1.clone(),
            action,
            why: vec![why],
            bytes: bytes.map(|(_, object)| object.size).sum(),
        }
    }

    fn plan_deleted(
        mut self,
        mark: &MarkedAt<DumpManifest>,
        manifest: &DumpManifest,
    ) -> Result<PruneStep<PrunedDump>> {
        let now = self.pruning.as_of.min(self.pruning.clock);
        let pinned = self.catalog.pins.get(self.of).and_then(|pin| pin.describe(now));
        let record = |leftover: &Leftover<'_>, action, why| PrunedDump {
            database: manifest.database.name.clone(),
            ..leftover.make_record(action, why)
        };
        if pinned.is_some() || self.pruning.is_undoable(mark.at) {
            let until = iso_seconds(self.pruning.undo_ends(mark.at));
            let why = pinned.unwrap_or_else(|| format!("`prune --undo` puts it back until {until}"));
            return Ok(PruneStep::report(record(&self, Action::Deleted, why)));
        }
        // The mark last: a prune that dies in between finds the rest again.
        self.objects.sort_by_key(|(named, _)| matches!(named.part, Part::Mark(_)));
        let keys: Vec<Key> = self.objects.iter().map(|(_, object)| object.key.clone()).collect();
        let guard = Some(Guard::Manifest(manifest.manifest_key()?));
        let why = "it can be put back no longer".to_string();
        Ok(PruneStep { keys, guard, ..PruneStep::report(record(&self, Action::Remove, why)) })
    }

    fn plan_garbage(&self) -> Vec<PruneStep<PrunedDump>> {
        let old = self.objects.iter().filter(|(_, object)| self.pruning.is_garbage(object.modified));
        let step = |(named, object): &&NamedObject<DumpManifest>| {
            let record = self.make_record(Action::Delete, "left by a run that did not finish".into());
            let record = PrunedDump { bytes: object.size, ..record };
            let manifest = object.key.as_str().rsplit_once('/').map(|(folder, _)| folder);
            let manifest = manifest.and_then(|folder| format!("{folder}/{}.json", named.id).parse().ok());
            PruneStep {
                keys: vec![object.key.clone()],
                guard: manifest.map(Guard::Manifest),
                ..PruneStep::report(record)
            }
        };
        old.map(step).collect()
    }
}
