//! What a repository has, whole segments and tails together, and what it is for.

use super::server::Server;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use toban_core::repo::archive::{Archive, MissingRange, StoredWal, Tail, cover};
use toban_core::repo::backups::{self, BaseBackup};
use toban_core::repo::cluster::{self, Cluster};
use toban_core::repo::gap::{self, Acknowledged, Gap};
use toban_core::repo::keys::System;
use toban_core::repo::recovery_path::RecoveryPath;
use toban_core::repo::{Repo, is_future};
use toban_core::wal::{History, Lsn, Segment, Timeline, WalName};
use toban_core::{Error, Kind, Result};

/// What a repository has.
pub(super) struct RepoWal {
    pub(super) path: RecoveryPath,
    pub(super) tails: Vec<Tail>,
    pub(super) gaps: Vec<Gap>,
    pub(super) acknowledged: Vec<Acknowledged>,
    pub(super) backups: Vec<BaseBackup>,
    pub(super) cluster: Option<Cluster>,
    /// The newest date of an object, where that lies in the future.
    pub(super) future: Option<Timestamp>,
    /// Histories, gaps and a cluster.json that do not read.
    pub(super) damaged: Vec<Error>,
}

impl RepoWal {
    /// Everything that is checked of one repository.
    ///
    /// # Errors
    /// When the store could not be asked; what is damaged there is in the answer.
    pub(super) fn read(repo: &Repo, system: &System, size: u64, now: Timestamp) -> Result<RepoWal> {
        let archive = Archive::new(&*repo.store, system.clone());
        let mut damaged = Vec::new();
        let StoredWal { inventory, tails } = archive.stored_wal()?;
        let mut path = RecoveryPath::new(size);
        path.add_tails(&tails);
        path.histories = read_histories(&archive, &inventory.histories, &mut damaged)?;
        path.inventory = inventory;
        let (gaps, bad) = gap::read_gaps(&*repo.store, system)?;
        damaged.extend(bad);
        let (acknowledged, bad) = gap::read_acknowledged(&*repo.store, system)?;
        damaged.extend(bad);
        let cluster = match cluster::of(&*repo.store, system) {
            Err(e) if [Kind::Corrupt, Kind::Usage].contains(&e.kind()) => {
                damaged.push(e);
                None
            }
            other => other?,
        };
        let dates = path.inventory.timelines.values().filter_map(|l| l.newest);
        let newest = dates.chain(tails.iter().map(|t| t.modified)).max();
        let backups = backups::whole(&*repo.store, system, now)?;
        let future = newest.filter(|at| is_future(*at, now));
        Ok(RepoWal { path, tails, gaps, acknowledged, backups, cluster, future, damaged })
    }

    pub(super) fn is_whole(&self, segment: WalName) -> bool {
        segment.segment(self.path.size).is_some_and(|s| self.path.inventory.has(&s))
    }

    /// Up to where the server's timeline is there, and when the newest of it came; `None` when nothing of it is.
    pub(super) fn reach(&self, server: &Server) -> Option<Reached> {
        let (timeline, size) = (server.id.timeline, server.id.segment_size);
        let line = self.path.inventory.timelines.get(&timeline);
        let whole = line.and_then(|l| {
            let to = l.ranges(timeline, size).pop()?.1.end();
            Some(Reached { to, came: l.newest, whole: true })
        });
        let of = |t: &&Tail| t.segment.timeline() == timeline && !self.is_whole(t.segment);
        let newest = self.tails.iter().filter(of).map(|t| t.segment).max();
        let tails: Vec<Tail> = self.tails.iter().filter(|t| Some(t.segment) == newest).copied().collect();
        let part = newest.and_then(|n| n.segment(size)).and_then(|segment| {
            let to = Lsn(segment.start().0 + cover(&tails).last()?.end());
            Some(Reached { to, came: tails.iter().map(|t| t.modified).max(), whole: false })
        });
        whole.into_iter().chain(part).max_by_key(|r| r.to)
    }

    /// The history of the server's timeline, where it is known.
    pub(super) fn history(&self, timeline: Timeline) -> Option<History> {
        let root = (timeline.0 == 1).then(|| History::without_switches(timeline));
        self.path.histories.get(&timeline).cloned().or(root)
    }

    /// The newest backup that lies on the recovery path of `history`.
    pub(super) fn newest_backup(&self, history: &History) -> Option<&BaseBackup> {
        let on = |b: &&BaseBackup| self.path.reach(history, &b.wal_range()).is_some();
        self.backups.iter().filter(on).max_by_key(|b| b.stop_lsn)
    }

    /// What is missing on the recovery path of `history` between what is there; from the end of `backup`, where one is given.
    pub(super) fn missing_ranges(&self, history: &History, backup: Option<&BaseBackup>) -> Vec<MissingRange> {
        let (inventory, size) = (&self.path.inventory, self.path.size);
        let newest = |number| {
            let segment = Segment { timeline: history.timeline, number, size };
            Segment { timeline: history.segment_timeline(&segment), ..segment }
        };
        let on = |s: &Segment| {
            history.timeline_at(s.start()) == s.timeline || history.segment_timeline(s) == s.timeline
        };
        let lines = inventory.timelines.iter().flat_map(|(t, l)| l.ranges(*t, size));
        let whole = lines.flat_map(|(a, b)| (a.number..=b.number).map(move |number| Segment { number, ..a }));
        let there: BTreeSet<u64> =
            whole.chain(self.path.partial_segments.keys().copied()).filter(on).map(|s| s.number).collect();
        let Some(last) = there.last().copied() else { return Vec::new() };
        let first = backup.map(|b| first_needed(b, size)).or(there.first().copied()).unwrap_or(last);
        // The last may be begun: more of it comes.
        let missing = (first..last).filter(|n| !inventory.has(&newest(*n)));
        let mut ranges: Vec<MissingRange> = Vec::new();
        for number in missing {
            match ranges.last_mut() {
                Some(range) if range.last.number + 1 == number => range.last = newest(number),
                _ => ranges.push(MissingRange { first: newest(number), last: newest(number) }),
            }
        }
        ranges
    }

    /// What is missing of every timeline by itself, for a server whose timeline's history is not known.
    pub(super) fn missing_anywhere(&self) -> Vec<MissingRange> {
        let lines = self.path.inventory.timelines.iter();
        lines.flat_map(|(timeline, line)| line.missing_ranges(*timeline, self.path.size)).collect()
    }

    /// The reason, where these files are acknowledged as lost for good.
    pub(super) fn acknowledged_reason(&self, first: WalName, last: WalName) -> Option<&str> {
        let covers = |a: &&Acknowledged| a.covers_range(first, last, self.path.size);
        self.acknowledged.iter().find(covers).map(|a| a.reason.as_str())
    }
}

/// Up to where a timeline is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reached {
    pub(super) to: Lsn,
    /// When the newest came, by the store's clock.
    pub(super) came: Option<Timestamp>,
    /// To the end of a whole segment, not by tails.
    pub(super) whole: bool,
}

/// The number of the first segment that recovery from `backup` needs of the archive.
pub(super) fn first_needed(backup: &BaseBackup, size: u64) -> u64 {
    let last = backup.stop_lsn.0.saturating_sub(1) / size.max(1);
    if backup.standby { last } else { last + 1 }
}

fn read_histories(
    archive: &Archive<'_>,
    names: &BTreeSet<Timeline>,
    damaged: &mut Vec<Error>,
) -> Result<BTreeMap<Timeline, History>> {
    let mut histories = BTreeMap::new();
    for timeline in names {
        let mut text = Vec::new();
        let read = archive.get(WalName::History(*timeline), &mut text);
        let parsed = read.and_then(|_| History::parse_history(*timeline, &String::from_utf8_lossy(&text)));
        match parsed {
            Ok(history) => _ = histories.insert(*timeline, history),
            Err(e) if e.kind() == Kind::Corrupt => damaged.push(e),
            Err(e) => return Err(e),
        }
    }
    Ok(histories)
}
