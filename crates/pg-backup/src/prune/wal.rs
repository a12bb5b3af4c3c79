//! `prune`, of the WAL: what no kept backup needs goes, with the tails and the records of gaps that lie there.
//!
//! Recovery reads forward from where its backup begins, on whatever timeline: what lies before the beginning of every
//! backup that is kept, or can be put back, is needed by none. Where no backup is kept it is not known what is needed,
//! and nothing is removed: the WAL may belong to base backups of another program.

use super::window::{NeededWal, SystemWal};
use super::{Action, PruneStep, Pruning, describe_lock};
use serde::Serialize;
use std::collections::BTreeMap;
use toban_core::repo::Repo;
use toban_core::repo::keys::System;
use toban_core::store::Object;
use toban_core::wal::{Timeline, WalName};
use toban_core::{Record, Result, out};

/// How many files are asked about before it is clear whether the next are.
const CHUNK: usize = 64;

/// What becomes of the WAL of one timeline.
#[derive(Clone, Serialize)]
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
    /// Each of its files, and its bytes.
    #[serde(skip)]
    files: Vec<(WalName, u64)>,
}

impl PrunedWal {
    /// The same of these files.
    fn with_files(self, files: &[(WalName, u64)]) -> PrunedWal {
        let name = |at: Option<&(WalName, u64)>| at.map(|(n, _)| n.to_string()).unwrap_or_default();
        PrunedWal {
            first: name(files.first()),
            last: name(files.last()),
            objects: files.len(),
            bytes: files.iter().map(|(_, bytes)| bytes).sum(),
            files: files.to_vec(),
            ..self
        }
    }
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

/// Pure: what becomes of the WAL of one system; where `needed` is not known it stays.
pub(super) fn plan_wal(
    repo: &Repo,
    system: &System,
    wal: &SystemWal,
    needed: Option<&NeededWal>,
) -> Vec<PruneStep<PrunedWal>> {
    if wal.objects.is_empty() {
        return Vec::new();
    }
    if needed.is_none() {
        log::info!(
            "{}: which WAL of system {} is needed is not known: it stays",
            repo.name,
            system.identifier
        );
    }
    let mut steps = plan_system(repo, system, wal.objects.clone(), needed);
    steps.extend(plan_records(repo, system, wal, needed));
    steps
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
            first: String::new(),
            last: String::new(),
            objects: 0,
            bytes: 0,
            why,
            files: Vec::new(),
        };
        let files: Vec<(WalName, u64)> = objects.iter().map(|(name, o)| (*name, o.size)).collect();
        let record = record.with_files(&files);
        let keys = if stays { Vec::new() } else { objects.into_iter().map(|(_, o)| o.key).collect() };
        PruneStep { keys, ..PruneStep::report(record) }
    };
    lines.into_iter().map(step).collect()
}

/// Records of gaps, and what was acknowledged of them, in WAL that is gone; and verdicts that a newer one replaced.
fn plan_records(
    repo: &Repo,
    system: &System,
    wal: &SystemWal,
    needed: Option<&NeededWal>,
) -> Option<PruneStep<PrunedWal>> {
    // A gap that begins long before what is needed and ends in it is kept.
    let gaps = wal
        .gaps
        .iter()
        .filter(|(first, last, _)| needed.is_some_and(|n| n.is_after(first) && n.is_after(last)));
    let gaps = gaps.map(|(_, _, key)| key);
    let replaced = wal.verdicts.split_last().map_or(&[][..], |(_, older)| older);
    let replaced = replaced.iter().flat_map(|verdict| [Some(&verdict.key), verdict.signature.as_ref()]);
    let keys: Vec<_> = gaps.chain(replaced.flatten()).cloned().collect();
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
        files: Vec::new(),
    };
    (!keys.is_empty()).then_some(PruneStep { keys, ..PruneStep::report(record) })
}

/// Divides a step where the store itself still locks a file: what lies before it goes, and the rest with a later prune. So
/// no range is missing in the middle.
///
/// # Errors
/// When the store could not be asked.
pub(super) fn leave_locked(
    pruning: &Pruning<'_>,
    step: PruneStep<PrunedWal>,
) -> Result<Vec<PruneStep<PrunedWal>>> {
    let (mut free, mut end) = (0, None);
    for some in step.keys.chunks(CHUNK) {
        let ends = pruning.list_lock_ends(some)?;
        let locked = ends.iter().position(Option::is_some);
        free += locked.unwrap_or(some.len());
        end = locked.and_then(|at| ends[at]);
        if end.is_some() {
            break;
        }
    }
    let (Some(end), files) = (end, step.record.files.clone()) else { return Ok(vec![step]) };
    let mut rest = step.record.clone().with_files(files.get(free..).unwrap_or_default());
    (rest.action, rest.why) = (Action::Keep, describe_lock(end));
    let mut steps = vec![PruneStep::report(rest)];
    if free > 0 {
        let record = step.record.with_files(files.get(..free).unwrap_or_default());
        steps.insert(0, PruneStep { keys: step.keys[..free].to_vec(), ..PruneStep::report(record) });
    }
    Ok(steps)
}
