//! How far the WAL in a repository carries each of its backups: for `list` and `check`.

use crate::format::backup::BackupManifest;
use crate::format::backup::{BackupCatalog, StoredBackup};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use toban_core::Result;
use toban_core::repo::Repo;
use toban_core::repo::archive::{Archive, MissingRange};
use toban_core::repo::recovery_path::{Reach, RecoveryPath};
use toban_core::wal::{Lsn, Timeline};

/// The end of what can be restored from a backup.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Reached {
    /// The newest timeline that goes on from it.
    pub(crate) timeline: Timeline,
    pub(crate) to: Lsn,
    /// Segments that are missing there, though there are others after them.
    pub(crate) missing: Option<MissingSegments>,
}

/// The names of the first and last segment of a missing range.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct MissingSegments {
    pub(crate) first: String,
    pub(crate) last: String,
}

impl Reached {
    fn new(timeline: Timeline, reach: Reach) -> Reached {
        let missing = |h: MissingRange| MissingSegments { first: h.first.name(), last: h.last.name() };
        Reached { timeline, to: reach.to, missing: reach.missing.map(missing) }
    }
}

/// The WAL of every system in a repository.
pub(crate) struct RecoveryPaths(BTreeMap<String, RecoveryPath>);

impl RecoveryPaths {
    /// Lists the WAL of the systems that have backups.
    pub(crate) fn read(repo: &Repo, catalog: &BackupCatalog) -> Result<RecoveryPaths> {
        let mut ways = BTreeMap::new();
        for StoredBackup { manifest: backup, .. } in &catalog.stored {
            if !ways.contains_key(&backup.system_identifier) {
                let archive = Archive::new(&*repo.store, backup.system()?);
                ways.insert(
                    backup.system_identifier.clone(),
                    RecoveryPath::from_archives(backup.wal_segment_size, &[archive])?,
                );
            }
        }
        Ok(RecoveryPaths(ways))
    }

    /// Along the newest timeline that goes on from it; `None` where there is no archive.
    pub(crate) fn of(&self, backup: &BackupManifest) -> Option<Reached> {
        let path = self
            .0
            .get(&backup.system_identifier)
            .filter(|w| !w.inventory.timelines.is_empty() || !w.partial_segments.is_empty())?;
        let own = backup.wal_range();
        // A history that is missing is a finding of `wal-shipper check`; here the backup's own timeline is judged.
        let timeline = path.newest_timeline(&own).unwrap_or(own.timeline);
        path.reach(&path.history_of(timeline), &own).map(|reach| Reached::new(timeline, reach))
    }

    /// When the server wrote the last of the WAL up to `to`, as the repository has recorded it.
    pub(crate) fn last_written(
        &self,
        repo: &Repo,
        backup: &BackupManifest,
        to: Lsn,
    ) -> Result<Option<Timestamp>> {
        let Some(path) = self.0.get(&backup.system_identifier) else { return Ok(None) };
        let own = backup.wal_range();
        let history = path.history_of(path.newest_timeline(&own).unwrap_or(own.timeline));
        let archive = Archive::new(&*repo.store, backup.system()?);
        let last = to.before();
        match (path.segment_at(&history, last), path.partial_segment_at(&history, last)) {
            (Some(segment), _) => archive.written(segment.name().parse()?),
            (None, Some(begun)) => begun.tails.last().map_or(Ok(None), |tail| archive.tail_written(tail)),
            (None, None) => Ok(None),
        }
    }
}
