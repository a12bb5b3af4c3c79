//! What the archives of several repositories say together: how far they reach, and when what was written.

use crate::format::backup::BackupManifest;
use crate::format::backup::StoredBackup;
use jiff::Timestamp;
use std::ops::{ControlFlow, Range};
use toban_core::repo::Repos;
use toban_core::repo::archive::{Archive, TailGone, cover};
use toban_core::repo::keys::System;
use toban_core::repo::recovery_path::{PartialSegment, Reach, RecoveryPath};
use toban_core::wal::{History, Lsn, Record, Records, Segment, WalName};
use toban_core::{Error, Result, shutdown};

/// The WAL of one system in all repositories.
pub(super) struct Archives {
    repos: Repos,
    system: System,
    pub(super) path: RecoveryPath,
}

impl Archives {
    /// Lists the WAL of the system that `backups` are of.
    pub(super) fn open(repos: &Repos, backups: &[StoredBackup]) -> Result<Archives> {
        let backup = &backups.first().ok_or_else(|| Error::usage("there is no backup"))?.manifest;
        let system = backup.system()?;
        let archives: Vec<Archive<'_>> =
            repos.iter().map(|r| Archive::new(&*r.store, system.clone())).collect();
        let path = RecoveryPath::from_archives(backup.wal_segment_size, &archives)?;
        Ok(Archives { repos: repos.clone(), system, path })
    }

    /// When the newest WAL that can be reached was written, by the server's clock; of a backup after which there is
    /// none, when it ended.
    pub(super) fn newest_written(
        &self,
        history: &History,
        backup: &BackupManifest,
        reach: &Reach,
    ) -> Result<Timestamp> {
        let written = self.written_at(history, reach.to.before())?;
        Ok(written.map_or(backup.finished, |at| at.max(backup.finished)))
    }

    /// When the server wrote the last of what recovery reads of the segment at `lsn`.
    fn written_at(&self, history: &History, lsn: Lsn) -> Result<Option<Timestamp>> {
        match (self.path.partial_segment_at(history, lsn), self.path.segment_at(history, lsn)) {
            (Some(begun), _) => self.ask_archives(|archive| {
                begun.tails.last().map_or(Ok(None), |tail| archive.tail_written(tail))
            }),
            (None, Some(segment)) => self.ask_archives(|archive| archive.written(WalName::from(segment))),
            (None, None) => Ok(None),
        }
    }

    /// The answer of the first archive that has one.
    fn ask_archives<T>(&self, ask: impl Fn(&Archive<'_>) -> Result<Option<T>>) -> Result<Option<T>> {
        self.repos.find_first(|repo| ask(&Archive::new(&*repo.store, self.system.clone())))
    }

    /// The beginning of the first segment that may hold something as young as `at`.
    pub(super) fn find_since(&self, history: &History, from: Lsn, to: Lsn, at: Timestamp) -> Result<Lsn> {
        let size = self.path.size;
        let (mut low, mut high) = (from.0 / size, to.0 / size);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.written_at(history, Lsn(middle * size))? {
                Some(written) if written >= at => high = middle,
                _ => low = middle + 1,
            }
        }
        // One more: the file's time is taken a moment later than that of the last record in it.
        Ok(Lsn((low.saturating_sub(1) * size).max(from.0)))
    }

    /// The first record of the range that `wanted` takes. Segments that only the backup has are passed over.
    pub(super) fn find_record<T>(
        &self,
        history: &History,
        range: Range<Lsn>,
        wanted: &dyn Fn(&Record) -> Option<T>,
    ) -> Result<Option<T>> {
        let (size, mut records) = (self.path.size, Records::default());
        for number in range.start.0 / size..range.end.0.div_ceil(size) {
            shutdown::check()?;
            let Some((segment, bytes)) = self.read_segment(history, Lsn(number * size))? else {
                records = Records::default();
                continue;
            };
            let mut each = |record: Record| match wanted(&record).filter(|_| record.lsn >= range.start) {
                Some(found) => ControlFlow::Break(found),
                None => ControlFlow::Continue(()),
            };
            if let ControlFlow::Break(found) = records.read_records(&segment, &bytes, &mut each) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The segment that recovery reads at `lsn`, and what is in it.
    pub(super) fn read_segment(&self, history: &History, lsn: Lsn) -> Result<Option<(Segment, Vec<u8>)>> {
        if let Some(begun) = self.path.partial_segment_at(history, lsn) {
            return Ok(Some((begun.segment, self.assemble_tails(&begun)?)));
        }
        self.path.segment_at(history, lsn).map(|s| Ok((s, self.read_whole(s)?))).transpose()
    }

    /// With zeros after the tails, as `wal-shipper fetch` gives it to recovery.
    fn assemble_tails(&self, begun: &PartialSegment<'_>) -> Result<Vec<u8>> {
        let (segment, bytes) = (begun.segment, begun.to.0 - begun.segment.start().0);
        let found = self.ask_archives(|archive| {
            let mut content = Vec::new();
            match archive.assemble(begun.tails, bytes, segment.size, &mut content) {
                Err(e) if TailGone::caused(&e) => read_replaced(archive, segment, bytes),
                assembled => assembled.map(|()| Some(content)),
            }
        })?;
        found.ok_or_else(|| segment_gone(segment))
    }

    fn read_whole(&self, segment: Segment) -> Result<Vec<u8>> {
        let found = self.ask_archives(|archive| {
            let mut bytes = Vec::new();
            Ok(archive.get(WalName::from(segment), &mut bytes)?.map(|_| bytes))
        })?;
        found.ok_or_else(|| segment_gone(segment))
    }
}

/// The first `bytes` bytes of a segment whose tails a stream replaced since they were listed, and zeros: by longer ones, or by
/// the whole segment.
fn read_replaced(archive: &Archive<'_>, segment: Segment, bytes: u64) -> Result<Option<Vec<u8>>> {
    let cover = cover(&archive.tails(WalName::from(segment))?);
    let mut content = Vec::new();
    if cover.last().is_some_and(|tail| tail.end() >= bytes) {
        archive.assemble(&cover, bytes, segment.size, &mut content)?;
        return Ok(Some(content));
    }
    let whole = archive.get(WalName::from(segment), &mut content)?;
    let rest = usize::try_from(bytes).unwrap_or(usize::MAX).min(content.len());
    content[rest..].fill(0);
    Ok(whole.map(|_| content))
}

fn segment_gone(segment: Segment) -> Error {
    Error::retry(format!("{} is not there any more", segment.name()))
}
