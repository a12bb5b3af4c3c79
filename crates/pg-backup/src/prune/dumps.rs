//! `prune`, of dumps.
//!
//! The manifest goes first: from then on the dump is not there, and its parts are garbage that any later prune
//! collects. Garbage is collected only when it is a week old: a dump that is being written has no manifest yet.

use super::{Action, PruneStep, Pruning};
use crate::format::catalog::Manifest;
use crate::format::catalog::{Named, Part};
use crate::format::dump::{DumpCatalog, StoredDump};
use crate::format::id::Id;
use crate::retention::{self, Candidate};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use toban_core::store::Object;
use toban_core::{Out, Record, Result, out};

/// What becomes of one dump, or of one object that belongs to none.
#[derive(Serialize)]
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

/// Prunes the dumps of one repository; how many manifests are damaged there.
pub(super) fn prune_dumps(pruning: &Pruning<'_>, out: &mut Out<'_>) -> Result<usize> {
    let catalog = DumpCatalog::read(pruning.repo, pruning.cluster, pruning.as_of)?;
    let mut steps = plan_dumps(pruning, &catalog)?;
    steps.extend(plan_garbage(pruning, &catalog));
    pruning.carry_out(steps, out)?;
    Ok(catalog.damaged.len())
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
        let candidates: Vec<Candidate> = dumps.iter().map(|s| Candidate::from_stored(s)).collect();
        let reasons = retention::keep_reasons(&candidates, pruning.as_of, pruning.keep);
        for (stored, why) in dumps.iter().zip(reasons) {
            steps.push(plan_dump(catalog, stored, why)?);
        }
    }
    Ok(steps)
}

fn plan_dump(catalog: &DumpCatalog, stored: &StoredDump, why: Vec<String>) -> Result<PruneStep<PrunedDump>> {
    let manifest = &stored.manifest;
    let delete = why.is_empty();
    let keys = match delete {
        true => {
            let mut objects = catalog.objects_of(manifest)?;
            // The manifest first: a prune that dies in between leaves parts without a manifest, which is garbage, and
            // never a manifest without its parts, which would be a damaged dump.
            objects.sort_by_key(|(named, _)| named.part != Part::Manifest);
            objects.into_iter().map(|(_, object)| object.key.clone()).collect()
        }
        false => catalog.replaced_verdicts(manifest)?,
    };
    let record = PrunedDump {
        repo: stored.repo.name.clone(),
        database: manifest.database.name.clone(),
        id: manifest.id.clone(),
        action: if delete { Action::Delete } else { Action::Keep },
        why: if delete { vec!["no rule keeps it".into()] } else { why },
        bytes: manifest.stored_bytes(),
    };
    Ok(PruneStep { record, mark: None, keys })
}

/// Pure: objects of dumps that have no manifest, of runs that died or of a prune that did.
fn plan_garbage(pruning: &Pruning<'_>, catalog: &DumpCatalog) -> Vec<PruneStep<PrunedDump>> {
    let is_manifest = |(named, _): &&(Named<String>, Object)| named.part == Part::Manifest;
    let of = |named: &'_ Named<String>| (named.series.clone(), named.id.clone());
    let whole: BTreeSet<(String, Id)> =
        catalog.objects.iter().filter(is_manifest).map(|(named, _)| of(named)).collect();
    let orphaned = |(named, object): &&(Named<String>, Object)| {
        !whole.contains(&of(named)) && pruning.is_garbage(object.modified)
    };
    let step = |(named, object): &(Named<String>, Object)| PruneStep {
        record: PrunedDump {
            repo: pruning.repo.name.clone(),
            database: named.series.clone(),
            id: named.id.clone(),
            action: Action::Delete,
            why: vec!["left by a run that did not finish".into()],
            bytes: object.size,
        },
        mark: None,
        keys: vec![object.key.clone()],
    };
    catalog.objects.iter().filter(orphaned).map(step).collect()
}
