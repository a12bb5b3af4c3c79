//! What the archives of several repositories say together: how far they reach, and when what was written.

use crate::physical::backup::Backup;
use crate::physical::catalog::Stored;
use jiff::Timestamp;
use std::ops::ControlFlow;
use toban_core::repo::Repo;
use toban_core::repo::archive::Archive;
use toban_core::repo::way::{Reach, Way};
use toban_core::wal::{History, Lsn, Record, Records, Segment, WalName};
use toban_core::{Error, Result, stop};

/// The WAL of one system in all repositories.
pub(super) struct Reading<'r> {
    archives: Vec<Archive<'r>>,
    pub(super) way: Way,
}

impl<'r> Reading<'r> {
    /// Lists the WAL of the system that `backups` are of.
    ///
    /// # Errors
    /// When a store could not be asked.
    pub(super) fn open(repos: &'r [Repo], backups: &[Stored]) -> Result<Reading<'r>> {
        let backup = &backups.first().ok_or_else(|| Error::usage("there is no backup"))?.backup;
        let system = backup.system()?;
        let archives: Vec<Archive<'r>> =
            repos.iter().map(|r| Archive::new(&*r.store, system.clone())).collect();
        let mut way = Way::new(backup.wal_segment_size);
        archives.iter().try_for_each(|archive| way.read(archive))?;
        Ok(Reading { archives, way })
    }

    /// When the newest WAL that can be reached was written, by the server's clock; of a backup behind which there is
    /// none, when it ended.
    ///
    /// # Errors
    /// When no store could be asked.
    pub(super) fn newest(&self, history: &History, backup: &Backup, reach: &Reach) -> Result<Timestamp> {
        let last = self.way.segment(history, Lsn(reach.to.0.saturating_sub(1)));
        let written = last.map(|s| self.written(s)).transpose()?.flatten();
        Ok(written.map_or(backup.finished, |at| at.max(backup.finished)))
    }

    fn written(&self, segment: Segment) -> Result<Option<Timestamp>> {
        let mut trouble = None;
        for archive in &self.archives {
            match archive.written(WalName::from(segment)) {
                Ok(None) => {}
                Ok(found) => return Ok(found),
                Err(e) => trouble = Some(e),
            }
        }
        trouble.map_or(Ok(None), Err)
    }

    /// The beginning of the first segment that may hold something as young as `at`.
    ///
    /// # Errors
    /// When no store could be asked.
    pub(super) fn since(&self, history: &History, from: Lsn, to: Lsn, at: Timestamp) -> Result<Lsn> {
        let size = self.way.size;
        let (mut low, mut high) = (from.0 / size, to.0 / size);
        while low < high {
            let middle = low + (high - low) / 2;
            let segment = self.way.segment(history, Lsn(middle * size));
            match segment.map(|s| self.written(s)).transpose()?.flatten() {
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
        let (size, mut records) = (self.way.size, Records::default());
        for number in from.0 / size..to.0.div_ceil(size) {
            stop::check()?;
            let Some(segment) = self.way.segment(history, Lsn(number * size)) else {
                records = Records::default();
                continue;
            };
            let bytes = self.bytes(segment)?;
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

    fn bytes(&self, segment: Segment) -> Result<Vec<u8>> {
        let mut trouble = None;
        for archive in &self.archives {
            let mut bytes = Vec::new();
            match archive.get(WalName::from(segment), &mut bytes) {
                Ok(Some(_)) => return Ok(bytes),
                Ok(None) => {}
                Err(e) => trouble = Some(e),
            }
        }
        Err(trouble.unwrap_or_else(|| Error::retry(format!("{} is not there any more", segment.name()))))
    }
}
