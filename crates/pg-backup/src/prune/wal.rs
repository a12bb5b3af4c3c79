//! `prune`, of the WAL: what no kept backup needs goes, with the tails and the records of gaps that lie there.
//!
//! Recovery reads forward from where its backup begins, on whatever timeline: what lies before the beginning of every
//! kept backup is needed by none. Where no backup is kept it is not known what is needed, and nothing is removed: the WAL
//! may belong to base backups of another program.

use super::{Action, PruneStep, Pruning};
use crate::format::backup::{BackupCatalog, StoredBackup};
use crate::format::id::Id;
use crate::format::order::Taken;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use toban_core::config::Keep;
use toban_core::repo::Repo;
use toban_core::repo::archive::Archive;
use toban_core::repo::keys::System;
use toban_core::repo::verified;
use toban_core::store::{Key, Object, read_small};
use toban_core::wal::{Timeline, WalName};
use toban_core::{Record, Result, out};

/// What becomes of the WAL of one timeline.
#[derive(Serialize)]
pub(super) struct PrunedWal {
    repo: String,
    system: u64,
    timeline: Timeline,
    action: Action,
    first: String,
    last: String,
    objects: usize,
    bytes: u64,
    why: String,
}

impl Record for PrunedWal {
    const SCHEMA: &'static str = "pg-backup.prune-wal/1";
    const HEAD: &'static [&'static str] =
        &["repo", "wal", "timeline", "first", "last", "action", "objects", "stored", "why"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.repo.clone(),
            "wal".into(),
            self.timeline.to_string(),
            self.first.clone(),
            self.last.clone(),
            self.action.to_string(),
            self.objects.to_string(),
            out::bytes(self.bytes),
            self.why.clone(),
        ]
    }
}

/// What is kept of one repository's backups, and by what.
pub(super) struct KeptBackups<'a> {
    pub(super) catalog: &'a BackupCatalog,
    pub(super) ids: &'a BTreeSet<Id>,
    pub(super) keep: &'a Keep,
    pub(super) as_of: Timestamp,
}

/// From here on the WAL of one system is needed.
#[derive(Debug, PartialEq, Eq)]
struct NeededWal {
    /// The number of the first segment.
    from: u64,
    size: u64,
    why: String,
}

impl NeededWal {
    /// Whether the segment lies before all that is needed.
    fn is_after(&self, name: &WalName) -> bool {
        name.segment(self.size).is_some_and(|segment| segment.number < self.from)
    }
}

/// What becomes of the WAL of every system in the repository; whether any of it may be removed is for
/// [`KeptBackups`] to tell.
pub(super) fn plan_wal(pruning: &Pruning<'_>, kept: &KeptBackups<'_>) -> Result<Vec<PruneStep<PrunedWal>>> {
    let (repo, mut steps) = (pruning.repo, Vec::new());
    for system in System::all(&*repo.store, pruning.cluster)? {
        let found = list_wal(repo, &system)?;
        if found.is_empty() {
            continue;
        }
        let needed = kept.needed_wal(&system);
        if needed.is_none() {
            log::info!(
                "{}: no backup of system {} is kept, so which WAL is needed is not known: it stays",
                repo.name,
                system.identifier
            );
        }
        steps.extend(plan_system(repo, &system, found, needed.as_ref()));
        steps.extend(plan_records(repo, &system, needed.as_ref())?);
    }
    Ok(steps)
}

impl KeptBackups<'_> {
    /// Pure. None where it is not known: no backup is kept, or the manifest of one does not read.
    fn needed_wal(&self, system: &System) -> Option<NeededWal> {
        // Its start is not known: any of the WAL may be what it needs.
        if !self.catalog.damaged.is_empty() {
            return None;
        }
        let own = self.catalog.stored.iter().filter(|s| s.manifest.is_of(system));
        let kept: Vec<&StoredBackup> = own.filter(|s| self.ids.contains(&s.manifest.id)).collect();
        let oldest = kept.iter().min_by_key(|s| s.manifest.start_lsn)?;
        let window = self.keep.wal.and_then(|span| {
            let length = i64::try_from(span.0.as_secs()).unwrap_or(i64::MAX);
            let begin = self.as_of.as_second().saturating_sub(length);
            // The newest that ended before the window begins: its targets need all WAL from there on.
            let before = |s: &&&StoredBackup| {
                s.is_whole() && matches!(s.taken, Taken::At(at) if at.as_second() <= begin)
            };
            let base = kept.iter().rfind(before)?;
            Some((base, format!("the window of {span} begins with backup {}", base.manifest.id)))
        });
        let (stored, why) =
            window.unwrap_or_else(|| (oldest, format!("backup {} needs it", oldest.manifest.id)));
        let size = stored.manifest.wal_segment_size.max(1);
        Some(NeededWal { from: stored.manifest.start_lsn.0 / size, size, why })
    }
}

/// Every object of the WAL of a system, its histories aside: they are small, and show where later timelines came from.
fn list_wal(repo: &Repo, system: &System) -> Result<Vec<(WalName, Object)>> {
    let archive = Archive::new(&*repo.store, system.clone());
    // In this order: a segment that becomes whole meanwhile has its tails still.
    let tails = repo.store.list(&format!("{}wal-tail/", system.root()))?;
    let segment = |o: &Object| o.key.as_str().rsplit('/').nth(1)?.parse().ok();
    let tails = tails.into_iter().filter_map(|o| Some((segment(&o)?, o)));
    let files = archive.files()?.into_iter().filter(|(name, _)| !matches!(name, WalName::History(_)));
    Ok(files.chain(tails).collect())
}

/// Pure: what goes and what stays of each timeline.
fn plan_system(
    repo: &Repo,
    system: &System,
    objects: Vec<(WalName, Object)>,
    needed: Option<&NeededWal>,
) -> Vec<PruneStep<PrunedWal>> {
    let goes = |name: &WalName| needed.is_some_and(|n| n.is_after(name));
    let mut lines: BTreeMap<(Timeline, bool), Vec<(WalName, Object)>> = BTreeMap::new();
    for (name, object) in objects {
        lines.entry((name.timeline(), !goes(&name))).or_default().push((name, object));
    }
    let step = |((timeline, stays), mut objects): ((Timeline, bool), Vec<(WalName, Object)>)| {
        // The oldest first: a prune that dies in between leaves no range missing in the middle.
        objects.sort_by(|a, b| (a.0, &a.1.key).cmp(&(b.0, &b.1.key)));
        let name = |at: Option<&(WalName, Object)>| at.map(|(n, _)| n.to_string()).unwrap_or_default();
        let why = match (stays, needed) {
            (false, _) => "no kept backup needs it".to_string(),
            (true, Some(needed)) => needed.why.clone(),
            (true, None) => "no backup tells what is needed".into(),
        };
        let record = PrunedWal {
            repo: repo.name.clone(),
            system: system.identifier,
            timeline,
            action: if stays { Action::Keep } else { Action::Remove },
            first: name(objects.first()),
            last: name(objects.last()),
            objects: objects.len(),
            bytes: objects.iter().map(|(_, o)| o.size).sum(),
            why,
        };
        let keys = if stays { Vec::new() } else { objects.into_iter().map(|(_, o)| o.key).collect() };
        PruneStep { record, mark: None, keys }
    };
    lines.into_iter().map(step).collect()
}

/// Records of gaps, and what was acknowledged of them, in WAL that is gone; and verdicts that a newer one replaced.
fn plan_records(
    repo: &Repo,
    system: &System,
    needed: Option<&NeededWal>,
) -> Result<Option<PruneStep<PrunedWal>>> {
    let mut keys = Vec::new();
    for folder in ["gap", "gap-acknowledged"] {
        for object in repo.store.list(&format!("{}{folder}/", system.root()))? {
            let name = object.key.as_str().rsplit('/').next().and_then(|n| n.split('.').next());
            let first = name.and_then(|n| n.parse::<WalName>().ok());
            let (Some(first), Some(needed)) = (first, needed) else { continue };
            // A gap ends where its record says; one that begins long before what is needed and ends in it is kept.
            if needed.is_after(&first) && ends_before(repo, &object.key, needed)? {
                keys.push(object.key);
            }
        }
    }
    let mut verdicts = verified::keys(&*repo.store, system)?;
    verdicts.pop();
    keys.extend(verdicts.into_iter().map(|(_, key)| key));
    let record = PrunedWal {
        repo: repo.name.clone(),
        system: system.identifier,
        timeline: Timeline(0),
        action: Action::Remove,
        first: "-".into(),
        last: "-".into(),
        objects: keys.len(),
        bytes: 0,
        why: "records of gaps in WAL that is gone, and of earlier verifications".into(),
    };
    Ok((!keys.is_empty()).then_some(PruneStep { record, mark: None, keys }))
}

fn ends_before(repo: &Repo, key: &Key, needed: &NeededWal) -> Result<bool> {
    #[derive(serde::Deserialize)]
    struct Last {
        last: String,
    }
    let Some(json) = read_small(&*repo.store, key, 64 << 10)? else { return Ok(false) };
    let last = serde_json::from_slice::<Last>(&json).ok().and_then(|l| l.last.parse::<WalName>().ok());
    Ok(last.is_some_and(|last| needed.is_after(&last)))
}
