//! `prune`, of the WAL: what no kept backup needs goes, with the tails and the records of gaps that lie there.
//!
//! Recovery reads forward from where its backup begins, on whatever timeline: what lies before the beginning of every
//! kept backup is needed by none. Where no backup is kept nothing tells what is needed, and nothing is removed: the WAL
//! may belong to base backups of another program.

use super::catalog::{Contents, Stored};
use crate::cli;
use crate::manifest::Id;
use crate::order::Taken;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use toban_core::config::Keep;
use toban_core::repo::Repo;
use toban_core::repo::archive::Archive;
use toban_core::repo::keys::System;
use toban_core::repo::verified;
use toban_core::store::{Key, Object};
use toban_core::wal::{Timeline, WalName};
use toban_core::{Record, Result, out, shutdown};

/// What becomes of the WAL of one timeline.
#[derive(Serialize)]
pub(super) struct Step {
    repo: String,
    system: u64,
    timeline: Timeline,
    /// `keep` or `remove`.
    action: &'static str,
    first: String,
    last: String,
    objects: usize,
    bytes: u64,
    why: String,
    /// In the order to remove them: the oldest first, so that a prune that dies leaves no hole.
    #[serde(skip)]
    keys: Vec<Key>,
}

impl Record for Step {
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
            self.action.into(),
            self.objects.to_string(),
            out::bytes(self.bytes),
            self.why.clone(),
        ]
    }
}

impl Step {
    /// Does it.
    ///
    /// # Errors
    /// When the store refuses.
    pub(super) fn act(&self, repo: &Repo) -> Result<()> {
        self.keys.iter().try_for_each(|key| {
            shutdown::check()?;
            repo.store.remove(key)
        })
    }
}

/// What is kept of one repository's backups, and by what.
pub(super) struct Kept<'a> {
    pub(super) contents: &'a Contents,
    pub(super) ids: &'a BTreeSet<Id>,
    pub(super) keep: &'a Keep,
    pub(super) now: Timestamp,
}

/// From here on the WAL of one system is needed.
#[derive(Debug, PartialEq, Eq)]
struct Needed {
    /// The number of the first segment.
    from: u64,
    size: u64,
    why: String,
}

/// Systems in the repository whose folders hold WAL; whether anything of it may be removed is [`Kept`]'s to say.
///
/// # Errors
/// When the store could not be asked.
pub(super) fn plan(args: &cli::Prune, repo: &Repo, kept: &Kept<'_>) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for system in System::all(&*repo.store, &args.repos.cluster)? {
        let found = objects(repo, &system)?;
        if found.is_empty() {
            continue;
        }
        let needed = kept.needed(&system);
        if needed.is_none() {
            log::info!(
                "{}: no backup of system {} is kept, so nothing tells which WAL is needed: it stays",
                repo.name,
                system.identifier
            );
        }
        steps.extend(of_system(repo, &system, found, needed.as_ref()));
        steps.extend(records(repo, &system, needed.as_ref())?);
    }
    Ok(steps)
}

impl Kept<'_> {
    /// Pure. None where nothing tells: no backup is kept, or the manifest of one does not read.
    fn needed(&self, system: &System) -> Option<Needed> {
        let own = |s: &&Stored| s.backup.system().is_ok_and(|s| s == *system);
        let kept: Vec<&Stored> =
            self.contents.backups.iter().filter(own).filter(|s| self.ids.contains(&s.backup.id)).collect();
        if !self.contents.damaged.is_empty() {
            return None;
        }
        let oldest = kept.iter().min_by_key(|s| s.backup.start_lsn)?;
        let window = self.keep.wal.and_then(|span| {
            let end =
                self.now.as_second().saturating_sub(i64::try_from(span.0.as_secs()).unwrap_or(i64::MAX));
            // The newest that ended before the window begins: its moments need all WAL from there on.
            let before =
                |s: &&&Stored| s.is_whole() && matches!(s.taken, Taken::At(at) if at.as_second() <= end);
            let base = kept.iter().rfind(before)?;
            Some((base, format!("the window of {span} begins with backup {}", base.backup.id)))
        });
        let (backup, why) =
            window.unwrap_or_else(|| (oldest, format!("backup {} needs it", oldest.backup.id)));
        let size = backup.backup.wal_segment_size.max(1);
        Some(Needed { from: backup.backup.start_lsn.0 / size, size, why })
    }
}

/// Every object of the WAL of a system, its histories aside: they are small, and tell where later timelines came from.
fn objects(repo: &Repo, system: &System) -> Result<Vec<(WalName, Object)>> {
    let archive = Archive::new(&*repo.store, system.clone());
    // In this order: a segment that becomes whole meanwhile has its tails still.
    let tails = repo.store.list(&format!("{}wal-tail/", system.root()))?;
    let segment = |o: &Object| o.key.as_str().rsplit('/').nth(1)?.parse().ok();
    let tails = tails.into_iter().filter_map(|o| Some((segment(&o)?, o)));
    let files = archive.files()?.into_iter().filter(|(name, _)| !matches!(name, WalName::History(_)));
    Ok(files.chain(tails).collect())
}

/// Pure: what goes and what stays of each timeline.
fn of_system(
    repo: &Repo,
    system: &System,
    objects: Vec<(WalName, Object)>,
    needed: Option<&Needed>,
) -> Vec<Step> {
    let goes = |name: &WalName| {
        needed.is_some_and(|n| name.segment(n.size).is_some_and(|segment| segment.number < n.from))
    };
    let mut lines: BTreeMap<(Timeline, bool), Vec<(WalName, Object)>> = BTreeMap::new();
    for (name, object) in objects {
        lines.entry((name.timeline(), !goes(&name))).or_default().push((name, object));
    }
    let step = |((timeline, stays), mut objects): ((Timeline, bool), Vec<(WalName, Object)>)| {
        objects.sort_by(|a, b| (a.0, &a.1.key).cmp(&(b.0, &b.1.key)));
        let name = |at: Option<&(WalName, Object)>| at.map(|(n, _)| n.to_string()).unwrap_or_default();
        let why = match (stays, needed) {
            (false, _) => "no kept backup needs it".to_string(),
            (true, Some(needed)) => needed.why.clone(),
            (true, None) => "no backup tells what is needed".into(),
        };
        Step {
            repo: repo.name.clone(),
            system: system.identifier,
            timeline,
            action: if stays { "keep" } else { "remove" },
            first: name(objects.first()),
            last: name(objects.last()),
            objects: objects.len(),
            bytes: objects.iter().map(|(_, o)| o.size).sum(),
            why,
            keys: if stays { Vec::new() } else { objects.into_iter().map(|(_, o)| o.key).collect() },
        }
    };
    lines.into_iter().map(step).collect()
}

/// Records of gaps, and what was acknowledged of them, in WAL that is gone; and verdicts that a newer one replaced.
fn records(repo: &Repo, system: &System, needed: Option<&Needed>) -> Result<Vec<Step>> {
    let mut keys = Vec::new();
    for folder in ["gap", "gap-acknowledged"] {
        for object in repo.store.list(&format!("{}{folder}/", system.root()))? {
            let name = object.key.as_str().rsplit('/').next().and_then(|n| n.split('.').next());
            let first = name.and_then(|n| n.parse::<WalName>().ok());
            let number = |n: &Needed| first?.segment(n.size).map(|s| s.number);
            // A gap ends where its record says; one that begins long before what is needed and ends in it is kept.
            let before = needed.is_some_and(|n| number(n).is_some_and(|number| number < n.from));
            if before && ends_before(repo, &object.key, needed)? {
                keys.push(object.key);
            }
        }
    }
    let mut verdicts = verified::keys(&*repo.store, system)?;
    verdicts.pop();
    keys.extend(verdicts.into_iter().map(|(_, key)| key));
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![Step {
        repo: repo.name.clone(),
        system: system.identifier,
        timeline: Timeline(0),
        action: "remove",
        first: "-".into(),
        last: "-".into(),
        objects: keys.len(),
        bytes: 0,
        why: "records of gaps in WAL that is gone, and of earlier verifications".into(),
        keys,
    }])
}

fn ends_before(repo: &Repo, key: &Key, needed: Option<&Needed>) -> Result<bool> {
    #[derive(serde::Deserialize)]
    struct Last {
        last: String,
    }
    let Some(json) = toban_core::store::read_small(&*repo.store, key, 64 << 10)? else { return Ok(false) };
    let last = serde_json::from_slice::<Last>(&json).ok().and_then(|l| l.last.parse::<WalName>().ok());
    let number = |n: &Needed| Some(last?.segment(n.size)?.number);
    Ok(needed.is_some_and(|n| number(n).is_some_and(|number| number < n.from)))
}
