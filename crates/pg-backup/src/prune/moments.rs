//! `prune --dry-run`: the moments that can be reached now, and those that can be reached after it.

use super::Pruning;
use super::window::NeededWal;
use crate::format::backup::{BackupCatalog, BackupManifest};
use crate::format::catalog::Manifest;
use crate::format::id::Id;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use toban_core::repo::archive::Archive;
use toban_core::repo::keys::System;
use toban_core::repo::recovery_path::RecoveryPath;
use toban_core::stamp::iso_seconds;
use toban_core::wal::{Lsn, Timeline};
use toban_core::{Kind, Out, Record, Result};

/// A stretch of one timeline in which every position can be reached.
#[derive(Clone, Debug, Serialize)]
struct ReachedMoments {
    repo: String,
    system: u64,
    when: &'static str,
    timeline: Timeline,
    from: Lsn,
    /// When the backup ended with which it begins.
    from_time: Timestamp,
    to: Lsn,
    backup: Id,
}

impl Record for ReachedMoments {
    const SCHEMA: &'static str = "pg-backup.prune-moments/1";
    const HEAD: &'static [&'static str] =
        &["repo", "can be reached", "timeline", "from", "of", "to", "by backup"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.repo.clone(),
            self.when.into(),
            self.timeline.to_string(),
            self.from.to_string(),
            iso_seconds(self.from_time),
            self.to.to_string(),
            self.backup.to_string(),
        ]
    }
}

/// What a prune leaves.
pub(super) struct AfterPrune {
    pub(super) kept: BTreeSet<(System, Id)>,
    pub(super) needed: BTreeMap<System, NeededWal>,
}

/// Emits, for each system and timeline, what can be reached before and after.
pub(super) fn emit_moments(
    pruning: &Pruning<'_>,
    catalog: &BackupCatalog,
    after: &AfterPrune,
    out: &mut Out<'_>,
) -> Result<()> {
    let whole: Vec<&BackupManifest> =
        catalog.stored.iter().filter(|s| s.is_whole()).map(|s| &s.manifest).collect();
    for system in System::all(&*pruning.repo.store, pruning.cluster)? {
        let own: Vec<&BackupManifest> = whole.iter().copied().filter(|b| b.is_of(&system)).collect();
        let Some(size) = own.first().map(|b| b.wal_segment_size) else { continue };
        let archive = Archive::new(&*pruning.repo.store, system.clone());
        let mut path = match RecoveryPath::from_archives(size, &[archive]) {
            Err(e) if e.kind() == Kind::Corrupt => {
                log::warn!("{}: {}: what can be reached is not known", pruning.repo.name, e.chain());
                continue;
            }
            path => path?,
        };
        // Without an archive each backup restores to its own end, and nowhere else.
        if path.inventory.timelines.is_empty() && path.partial_segments.is_empty() {
            continue;
        }
        let emit = |when, stretches: Vec<Stretch<'_>>, out: &mut Out<'_>| {
            stretches.iter().try_for_each(|s| out.emit(&s.make_record(pruning, &system, when)))
        };
        emit("before", find_stretches(&path, &own), out)?;
        if let Some(needed) = after.needed.get(&system) {
            path.forget_before(needed.from);
        }
        let kept = |b: &&BackupManifest| after.kept.contains(&(system.clone(), b.id().clone()));
        let kept: Vec<&BackupManifest> = own.iter().copied().filter(kept).collect();
        emit("after", find_stretches(&path, &kept), out)?;
    }
    Ok(())
}

/// Positions of one timeline that can be reached, and the backup that they begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch<'a> {
    pub(super) timeline: Timeline,
    pub(super) from: Lsn,
    pub(super) to: Lsn,
    backup: &'a Id,
    ended: Timestamp,
}

impl Stretch<'_> {
    fn make_record(&self, pruning: &Pruning<'_>, system: &System, when: &'static str) -> ReachedMoments {
        ReachedMoments {
            repo: pruning.repo.name.clone(),
            system: system.identifier,
            when,
            timeline: self.timeline,
            from: self.from,
            from_time: self.ended,
            to: self.to,
            backup: self.backup.clone(),
        }
    }
}

/// Pure: the positions that each timeline adds to the ones before it, as far as `backups` and the WAL of `path` lead.
pub(super) fn find_stretches<'a>(path: &RecoveryPath, backups: &[&'a BackupManifest]) -> Vec<Stretch<'a>> {
    let of_wal = path.inventory.timelines.keys().chain(path.histories.keys()).copied();
    let timelines: BTreeSet<Timeline> = of_wal.chain(backups.iter().map(|b| b.timeline)).collect();
    let mut stretches = Vec::new();
    for timeline in timelines {
        let history = path.history_of(timeline);
        let begins = history.switches.last().map_or(Lsn(0), |switch| switch.end);
        let reach = |b: &&'a BackupManifest| {
            let to = path.reach(&history, &b.wal_range())?.to;
            let from = b.stop_lsn.max(begins);
            (to >= from).then_some(Stretch { timeline, from, to, backup: &b.id, ended: b.finished })
        };
        let mut own: Vec<Stretch<'a>> = backups.iter().filter_map(reach).collect();
        own.sort_by_key(|s| (s.from, s.to));
        stretches.extend(own.into_iter().fold(Vec::new(), join_stretch));
    }
    stretches
}

/// Adds a stretch to those before it, of one timeline and in order: where it begins in the last it makes that longer.
fn join_stretch<'a>(mut joined: Vec<Stretch<'a>>, next: Stretch<'a>) -> Vec<Stretch<'a>> {
    match joined.last_mut() {
        Some(last) if next.from <= last.to => last.to = last.to.max(next.to),
        _ => joined.push(next),
    }
    joined
}
