//! The windows in which every moment can be reached: the backups that they begin with, and from where on WAL is
//! needed. Pure but for [`SystemWal::read`].

use crate::format::backup::{BackupCatalog, BackupManifest};
use crate::format::catalog::Manifest;
use crate::format::id::Id;
use crate::format::mark::Marks;
use crate::format::order::{Dated, order_by_wal};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use toban_core::repo::archive::{Archive, Inventory};
use toban_core::repo::keys::System;
use toban_core::repo::recovery_path::{RecoveryPath, leads_through};
use toban_core::repo::verified::StoredVerdict;
use toban_core::repo::{Repo, verified};
use toban_core::store::{Key, Object, read_small};
use toban_core::wal::{History, Timeline, WalName};
use toban_core::{Error, Kind, Result};

/// Bytes of the largest record of a gap.
const LARGEST_RECORD: u64 = 64 << 10;

/// The WAL of one system in a repository, and the records about it.
#[derive(Default)]
pub(super) struct SystemWal {
    /// Every object but the histories: they are small, and show where later timelines came from.
    pub(super) objects: Vec<(WalName, Object)>,
    /// How its timelines hang together; none where a history does not read.
    pub(super) path: Option<RecoveryPath>,
    /// Records of gaps, from which segment to which.
    pub(super) gaps: Vec<(WalName, WalName, Key)>,
    /// Verdicts of `verify` on the WAL, the oldest first.
    pub(super) verdicts: Vec<StoredVerdict>,
}

impl SystemWal {
    /// Lists it; histories are read where there are any.
    ///
    /// # Errors
    /// When the store could not be asked.
    pub(super) fn read(repo: &Repo, system: &System, segment_size: u64) -> Result<SystemWal> {
        let archive = Archive::new(&*repo.store, system.clone());
        // In this order: a segment that becomes whole meanwhile has its tails still.
        let tails = repo.store.list(&format!("{}wal-tail/", system.root()))?;
        let segment = |o: &Object| o.key.as_str().rsplit('/').nth(1)?.parse().ok();
        let tails = tails.into_iter().filter_map(|o| Some((segment(&o)?, o)));
        let (mut objects, mut histories) = (Vec::new(), Vec::new());
        for (name, object) in archive.files()? {
            match name {
                WalName::History(timeline) => histories.push(timeline),
                _ => objects.push((name, object)),
            }
        }
        objects.extend(tails);
        let path = match read_histories(&archive, &histories) {
            // Tails are left out: at worst a backup more is kept, as if a segment were missing.
            Ok(histories) => {
                let mut path = RecoveryPath::from_histories(segment_size, histories);
                let listed = objects.iter().filter(|(_, o)| !o.key.as_str().contains("/wal-tail/"));
                path.inventory = Inventory::from_listing(listed.map(|(name, o)| (*name, o.size, o.modified)));
                Some(path)
            }
            Err(e) if e.kind() == Kind::Corrupt => {
                log::warn!("{}: {}: none of the WAL is removed", repo.name, e.chain());
                None
            }
            Err(e) => return Err(e),
        };
        let verdicts = verified::list_verdicts(&*repo.store, system)?;
        Ok(SystemWal { objects, path, gaps: read_gaps(repo, system)?, verdicts })
    }

    /// Timelines of which something came at `begin` or later, by the store's clock; all where none did.
    fn timelines_since(&self, begin: Timestamp) -> BTreeSet<Timeline> {
        let all = || self.objects.iter().map(|(name, object)| (name.timeline(), object.modified));
        let recent: BTreeSet<Timeline> = all().filter(|(_, at)| *at >= begin).map(|(t, _)| t).collect();
        if recent.is_empty() { all().map(|(t, _)| t).collect() } else { recent }
    }

    /// Whether there is any moment at `begin` or later.
    pub(super) fn has_moments_since(&self, begin: Timestamp) -> bool {
        self.objects.iter().any(|(_, object)| object.modified >= begin)
    }
}

fn read_histories(archive: &Archive<'_>, timelines: &[Timeline]) -> Result<Vec<History>> {
    let mut histories = Vec::new();
    for timeline in timelines {
        let Some(text) = archive.history(*timeline)? else { continue };
        let bad = |e| Error::corrupt(format!("{} does not read", WalName::History(*timeline))).because(e);
        histories.push(History::parse_history(*timeline, &text).map_err(bad)?);
    }
    Ok(histories)
}

/// The records of gaps, open and acknowledged.
fn read_gaps(repo: &Repo, system: &System) -> Result<Vec<(WalName, WalName, Key)>> {
    #[derive(serde::Deserialize)]
    struct Last {
        last: String,
    }
    let mut gaps = Vec::new();
    for folder in ["gap", "gap-acknowledged"] {
        for object in repo.store.list(&format!("{}{folder}/", system.root()))? {
            let name = object.key.as_str().rsplit('/').next().and_then(|n| n.split('.').next());
            let Some(first) = name.and_then(|n| n.parse::<WalName>().ok()) else { continue };
            let Some(json) = read_small(&*repo.store, &object.key, LARGEST_RECORD)? else { continue };
            // A gap ends where its record says; one that does not read stays.
            let last =
                serde_json::from_slice::<Last>(&json).ok().and_then(|l| l.last.parse::<WalName>().ok());
            gaps.extend(last.map(|last| (first, last, object.key)));
        }
    }
    Ok(gaps)
}

/// A backup that is there or that can be put back, as far as windows need it.
pub(super) struct WindowBackup<'a> {
    pub(super) manifest: &'a BackupManifest,
    /// It had ended by this time, whatever a clock said.
    pub(super) ended: Timestamp,
    /// Whether it was deleted.
    pub(super) deleted: bool,
}

/// The backups of one system that are there and those that marks hold, in the order of the WAL, as of `now`.
pub(super) fn list_window_backups<'a>(
    catalog: &'a BackupCatalog,
    marks: &'a Marks<BackupManifest>,
    system: &System,
    now: Timestamp,
) -> Vec<WindowBackup<'a>> {
    let there = catalog.stored.iter().map(|s| (&s.manifest, false));
    let marked = marks.all.values().filter_map(|m| m.deleted.as_ref()).map(|d| (&d.manifest, true));
    let own: Vec<(&BackupManifest, bool)> =
        there.chain(marked).filter(|(manifest, _)| manifest.is_of(system)).collect();
    let dates: Vec<Dated> = own.iter().map(|(manifest, _)| manifest.dated()).collect();
    let placed = own.into_iter().zip(order_by_wal(&dates, now));
    let mut backups: Vec<WindowBackup<'a>> = placed
        .map(|((manifest, deleted), placed)| {
            let took = manifest.finished.as_second().saturating_sub(manifest.started.as_second()).max(0);
            let took = std::time::Duration::from_secs(took.unsigned_abs());
            WindowBackup { manifest, ended: super::add_span(placed.latest, took), deleted }
        })
        .collect();
    backups.sort_by_key(|b| (b.manifest.timeline, b.manifest.start_lsn, b.manifest.id.clone()));
    backups
}

/// Which of `backups`, all of them usable, every moment from `begin` on needs: for each timeline that has moments in it
/// the newest on its path that ended before, or the oldest where none did; and after WAL that is missing the next one.
pub(super) fn find_bases<'b>(
    begin: Timestamp,
    backups: &[&'b WindowBackup<'b>],
    wal: &SystemWal,
) -> Vec<&'b WindowBackup<'b>> {
    let Some(path) = &wal.path else {
        // Which backup leads to which timeline is not known: the oldest leads to whatever can be reached.
        return backups.first().copied().into_iter().collect();
    };
    let mut bases: BTreeMap<Id, &'b WindowBackup<'b>> = BTreeMap::new();
    // The end of a backup is a moment too, where nothing of its timeline was archived.
    let mut timelines = wal.timelines_since(begin);
    timelines.extend(backups.iter().filter(|b| b.ended > begin).map(|b| b.manifest.timeline));
    for timeline in timelines {
        let history = path.history_of(timeline);
        // Where a timeline came from that has no history is not known: any older backup may lead to it.
        let unknown = timeline > Timeline(1) && !path.histories.contains_key(&timeline);
        let leads = |b: &WindowBackup<'_>| match unknown {
            true => b.manifest.timeline <= timeline,
            false => leads_through(&history, &b.manifest.wal_range()),
        };
        let on_path: Vec<&&'b WindowBackup<'b>> = backups.iter().filter(|b| leads(b)).collect();
        let ended = on_path.iter().rfind(|b| !unknown && b.ended <= begin);
        let mut next = ended.or_else(|| on_path.first());
        while let Some(base) = next {
            bases.insert(base.manifest.id.clone(), base);
            let to =
                path.reach(&history, &base.manifest.wal_range()).map_or(base.manifest.stop_lsn, |r| r.to);
            next = on_path.iter().find(|b| b.manifest.stop_lsn > to.max(base.manifest.stop_lsn));
        }
    }
    bases.into_values().collect()
}

/// From here on the WAL of one system is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NeededWal {
    /// The number of the first segment.
    pub(super) from: u64,
    pub(super) size: u64,
    pub(super) why: String,
}

impl NeededWal {
    /// Whether the segment lies before all that is needed.
    pub(super) fn is_after(&self, name: &WalName) -> bool {
        name.segment(self.size).is_some_and(|segment| segment.number < self.from)
    }

    /// All from the oldest of `backups` on.
    pub(super) fn of_all(backups: &[&WindowBackup<'_>]) -> Option<NeededWal> {
        let oldest = backups.iter().min_by_key(|b| b.manifest.start_lsn)?;
        Some(NeededWal::from_backup(oldest, format!("backup {} needs it", oldest.manifest.id)))
    }

    /// What the window from `begin` on needs: from its bases on, and from whatever backup began in it, since the WAL of
    /// a later timeline may lie before that of an earlier one.
    pub(super) fn of_window(
        begin: Timestamp,
        backups: &[&WindowBackup<'_>],
        wal: &SystemWal,
        name: &str,
    ) -> Option<NeededWal> {
        let bases = find_bases(begin, backups, wal);
        let inside = backups.iter().copied().filter(|b| b.ended > begin);
        let first = bases.into_iter().chain(inside).min_by_key(|b| b.manifest.start_lsn)?;
        Some(NeededWal::from_backup(
            first,
            format!("the window of {name} begins with backup {}", first.manifest.id),
        ))
    }

    fn from_backup(backup: &WindowBackup<'_>, why: String) -> NeededWal {
        let size = backup.manifest.wal_segment_size.max(1);
        NeededWal { from: backup.manifest.start_lsn.0 / size, size, why }
    }
}
