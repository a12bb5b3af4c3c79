//! How far the WAL in a repository carries each of its backups: for `list` and `check`.

use super::backup::Backup;
use super::catalog::{Contents, Stored};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use toban_core::Result;
use toban_core::repo::Repo;
use toban_core::repo::archive::{Archive, Hole};
use toban_core::repo::recovery_path::{BackupRange, Reach, RecoveryPath};
use toban_core::wal::Lsn;

/// What a backup brings along to recovery.
pub(crate) fn own(backup: &Backup) -> BackupRange {
    BackupRange { timeline: backup.timeline, stop: backup.stop_lsn, whole: !backup.standby }
}

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
pub(crate) struct Ways(BTreeMap<String, RecoveryPath>);

impl Ways {
    /// Lists the WAL of the systems that have backups.
    ///
    /// # Errors
    /// When the store could not be asked.
    pub(crate) fn read(repo: &Repo, contents: &Contents) -> Result<Ways> {
        let mut ways = BTreeMap::new();
        for Stored { backup, .. } in &contents.backups {
            if !ways.contains_key(&backup.system_identifier) {
                let archive = Archive::new(&*repo.store, backup.system()?);
                ways.insert(
                    backup.system_identifier.clone(),
                    RecoveryPath::of(backup.wal_segment_size, &[archive])?,
                );
            }
        }
        Ok(Ways(ways))
    }

    /// Along the newest timeline that goes on from it; `None` where there is no archive.
    pub(crate) fn of(&self, backup: &Backup) -> Option<Reached> {
        let way = self
            .0
            .get(&backup.system_identifier)
            .filter(|w| !w.inventory.lines.is_empty() || !w.begun.is_empty())?;
        let own = own(backup);
        // A history that is missing is a finding of `wal-shipper check`; here the backup's own timeline is judged.
        let timeline = way.newest(&own).unwrap_or(own.timeline);
        way.reach(&way.history(timeline), &own).map(Reached::from)
    }

    /// When the server wrote the last of the WAL up to `to`, as the repository has recorded it.
    ///
    /// # Errors
    /// When the store could not be asked.
    pub(crate) fn written(&self, repo: &Repo, backup: &Backup, to: Lsn) -> Result<Option<Timestamp>> {
        let Some(way) = self.0.get(&backup.system_identifier) else { return Ok(None) };
        let own = own(backup);
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
