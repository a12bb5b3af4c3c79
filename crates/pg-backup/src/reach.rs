//! How far the WAL in a repository carries each of its backups: for `list` and `check`.

use crate::format::backup::BackupManifest;
use crate::format::backup::{BackupCatalog, StoredBackup};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use toban_core::Result;
use toban_core::repo::Repo;
use toban_core::repo::archive::{Archive, Hole};
use toban_core::repo::recovery_path::{Reach, RecoveryPath};
use toban_core::wal::Lsn;

/// The end of what can be restored from a backup.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Reached {
    pub(crate) to: Lsn,
    /// Segments that are missing there, though there are others behind them.
    pub(crate) hole: Option<Missing>,
}

/// The names of the first and last segment of a hole.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Missing {
    pub(crate) first: String,
    pub(crate) last: String,
}

impl From<Reach> for Reached {
    fn from(reach: Reach) -> Reached {
        let missing = |h: Hole| Missing { first: h.first.name(), last: h.last.name() };
        Reached { to: reach.to, hole: reach.hole.map(missing) }
    }
}

/// The WAL of every system in a repository.
pub(crate) struct RecoveryPaths(BTreeMap<String, RecoveryPath>);

impl RecoveryPaths {
    /// Lists the WAL of the systems that have backups.
    ///
    /// # Errors
    /// When the store could not be asked.
    pub(crate) fn read(repo: &Repo, catalog: &BackupCatalog) -> Result<RecoveryPaths> {
        let mut ways = BTreeMap::new();
        for StoredBackup { manifest: backup, .. } in &catalog.stored {
            if !ways.contains_key(&backup.system_identifier) {
                let archive = Archive::new(&*repo.store, backup.system()?);
                ways.insert(
                    backup.system_identifier.clone(),
                    RecoveryPath::of(backup.wal_segment_size, &[archive])?,
                );
            }
        }
        Ok(RecoveryPaths(ways))
    }

    /// Along the newest timeline that goes on from it; `None` where there is no archive.
    pub(crate) fn of(&self, backup: &BackupManifest) -> Option<Reached> {
        let way = self
            .0
            .get(&backup.system_identifier)
            .filter(|w| !w.inventory.lines.is_empty() || !w.begun.is_empty())?;
        let own = backup.wal_range();
        // A history that is missing is a finding of `wal-shipper check`; here the backup's own timeline is judged.
        let timeline = way.newest(&own).unwrap_or(own.timeline);
        way.reach(&way.history(timeline), &own).map(Reached::from)
    }

    /// When the server wrote the last of the WAL up to `to`, as the repository has recorded it.
    ///
    /// # Errors
    /// When the store could not be asked.
    pub(crate) fn written(&self, repo: &Repo, backup: &BackupManifest, to: Lsn) -> Result<Option<Timestamp>> {
        let Some(way) = self.0.get(&backup.system_identifier) else { return Ok(None) };
        let own = backup.wal_range();
        let history = way.history(way.newest(&own).unwrap_or(own.timeline));
        let archive = Archive::new(&*repo.store, backup.system()?);
        let last = Lsn(to.0.saturating_sub(1));
        match (way.segment(&history, last), way.begun(&history, last)) {
            (Some(segment), _) => archive.written(segment.name().parse()?),
            (None, Some(begun)) => begun.tails.last().map_or(Ok(None), |tail| archive.tail_written(tail)),
            (None, None) => Ok(None),
        }
    }
}
