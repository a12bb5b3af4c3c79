//! What the archives of several repositories say together: how far they reach, and when what was written.

use crate::format::backup::BackupManifest;
use crate::format::backup::StoredBackup;
use jiff::Timestamp;
use std::ops::ControlFlow;
use toban_core::repo::Repo;
use toban_core::repo::archive::Archive;
use toban_core::repo::recovery_path::{PartialSegment, Reach, RecoveryPath};
use toban_core::wal::{History, Lsn, Record, Records, Segment, WalName};
use toban_core::{Error, Result, shutdown};

/// The WAL of one system in all repositories.
pub(super) struct Archives<'r> {
    archives: Vec<Archive<'r>>,
    pub(super) path: RecoveryPath,
}

impl<'r> Archives<'r> {
    /// Lists the WAL of the system that `backups` are of.
    ///
    /// # Errors
    /// When a store could not be asked.
    pub(super) fn open(repos: &'r [Repo], backups: &[StoredBackup]) -> Result<Archives<'r>> {
        let backup = &backups.first().ok_or_else(|| Error::usage("there is no backup"))?.manifest;
        let system = backup.system()?;
        let archives: Vec<Archive<'r>> =
            repos.iter().map(|r| Archive::new(&*r.store, system.clone())).collect();
        let path = RecoveryPath::from_archives(backup.wal_segment_size, &archives)?;
        Ok(Archives { archives, path })
    }

    /// When the newest WAL that can be reached was written, by the server's clock; of a backup behind which there is
    /// none, when it ended.
    ///
    /// # Errors
    /// When no store could be asked.
    pub(super) fn newest(
        &self,
        history: &History,
        backup: &BackupManifest,
        reach: &Reach,
    ) -> Result<Timestamp> {
        let written = self.written(history, reach.to.before())?;
        Ok(written.map_or(backup.finished, |at| at.max(backup.finished)))
    }

    /// When the server wrote the last of what recovery reads of the segment at `lsn`.
    fn written(&self, history: &History, lsn: Lsn) -> Result<Option<Timestamp>> {
        match (self.path.partial_segment_at(history, lsn), self.path.segment_at(history, lsn)) {
            (Some(begun), _) => self.ask(|archive| archive.tail_written(begun.tails.last()?).transpose()),
            (None, Some(segment)) => self.ask(|archive| archive.written(WalName::from(segment)).transpose()),
            (None, None) => Ok(None),
        }
    }

    /// The first answer; `None` when nobody has one, and nobody could not be asked.
    fn ask<T>(&self, each: impl Fn(&Archive<'_>) -> Option<Result<T>>) -> Result<Option<T>> {
        let mut trouble = None;
        for archive in &self.archives {
            match each(archive) {
                None => {}
                Some(Ok(found)) => return Ok(Some(found)),
                Some(Err(e)) => trouble = Some(e),
            }
        }
        trouble.map_or(Ok(None), Err)
    }

    /// The beginning of the first segment that may hold something as young as `at`.
    ///
    /// # Errors
    /// When no store could be asked.
    pub(super) fn since(&self, history: &History, from: Lsn, to: Lsn, at: Timestamp) -> Result<Lsn> {
        let size = self.path.size;
        let (mut low, mut high) = (from.0 / size, to.0 / size);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.written(history, Lsn(middle * size))? {
                Some(written) if written >= at => high = middle,
                _ => low = middle + 1,
            }
        }
        // One more: the file's time is taken a moment later than that of the last record in it.
        Ok(Lsn((low.saturating_sub(1) * size).max(from.0)))
    }

    /// The first record from `from` to `to` that `wanted` takes. Segments that only the backup has are passed over.
    ///
    /// # Errors
    /// When a segment cannot be read from any store.
    pub(super) fn find<T>(
        &self,
        history: &History,
        (from, to): (Lsn, Lsn),
        wanted: &dyn Fn(&Record) -> Option<T>,
    ) -> Result<Option<T>> {
        let (size, mut records) = (self.path.size, Records::default());
        for number in from.0 / size..to.0.div_ceil(size) {
            shutdown::check()?;
            let Some((segment, bytes)) = self.content(history, Lsn(number * size))? else {
                records = Records::default();
                continue;
            };
            let mut each = |record: Record| match wanted(&record).filter(|_| record.lsn >= from) {
                Some(found) => ControlFlow::Break(found),
                None => ControlFlow::Continue(()),
            };
            if let ControlFlow::Break(found) = records.read(&segment, &bytes, &mut each) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The segment that recovery reads at `lsn`, and what is in it.
    pub(super) fn content(&self, history: &History, lsn: Lsn) -> Result<Option<(Segment, Vec<u8>)>> {
        if let Some(begun) = self.path.partial_segment_at(history, lsn) {
            return Ok(Some((begun.segment, self.assembled(&begun)?)));
        }
        self.path.segment_at(history, lsn).map(|s| Ok((s, self.bytes(s)?))).transpose()
    }

    /// With zeros behind the tails, as `wal-shipper fetch` gives it to recovery.
    fn assembled(&self, begun: &PartialSegment<'_>) -> Result<Vec<u8>> {
        let (segment, bytes) = (begun.segment, begun.to.0 - begun.segment.start().0);
        let found = self.ask(|archive| {
            let mut content = Vec::new();
            let done = archive.assemble(begun.tails, bytes, segment.size, &mut content);
            Some(done.map(|()| content))
        })?;
        found.ok_or_else(|| gone(segment))
    }

    fn bytes(&self, segment: Segment) -> Result<Vec<u8>> {
        let found = self.ask(|archive| {
            let mut bytes = Vec::new();
            let got = archive.get(WalName::from(segment), &mut bytes).transpose()?;
            Some(got.map(|_| bytes))
        })?;
        found.ok_or_else(|| gone(segment))
    }
}

fn gone(segment: Segment) -> Error {
    Error::retry(format!("{} is not there any more", segment.name()))
}
