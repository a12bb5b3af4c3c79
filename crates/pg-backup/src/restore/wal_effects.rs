//! What the WAL up to the target does outside of the data directory: the tablespaces that it creates. And which tables it
//! leaves locked where recovery pauses.

use super::recovery_target::RecoveryTarget;
use crate::format::backup::BackupManifest;
use crate::format::backup::StoredBackup;
use crate::format::frames::Frames;
use crate::format::outline::Outline;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use toban_core::wal::{Change, Lsn, Record, Records, Segment, What};
use toban_core::{Result, shutdown};

/// A tablespace that replay creates.
#[derive(Clone, Debug)]
pub(super) struct CreatedTablespace {
    pub(super) oid: u32,
    /// Where; empty: inside the data directory.
    pub(super) location: String,
    pub(super) lsn: Lsn,
    /// What makes of the record one of a tablespace inside the data directory: then replay takes the link that is there.
    pub(super) in_place: Vec<Change>,
}

/// A table that cannot be read until a transaction ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LockedTable {
    pub(super) database: u32,
    pub(super) table: u32,
    pub(super) lsn: Lsn,
}

/// What was found on the way.
#[derive(Clone, Debug, Default)]
pub(super) struct WalEffects {
    pub(super) created: Vec<CreatedTablespace>,
    /// By transaction: those that have not ended at the target.
    pub(super) locked: BTreeMap<u32, LockedTable>,
}

/// Where recovery ends.
pub(super) struct ReplayEnd<'a> {
    /// The WAL is read no further.
    pub(super) to: Lsn,
    /// None: at `to`.
    pub(super) stop: Option<&'a RecoveryTarget>,
    pub(super) exclusive: bool,
}

impl ReplayEnd<'_> {
    /// The backup's own: all of its WAL.
    pub(super) fn of_backup(backup: &BackupManifest) -> ReplayEnd<'static> {
        let last = backup.stop_lsn.0.div_ceil(backup.wal_segment_size);
        ReplayEnd { to: Lsn(last.saturating_mul(backup.wal_segment_size)), stop: None, exclusive: false }
    }
}

/// The segment that recovery reads at a position, and its content.
pub(super) type Content<'a> = &'a dyn Fn(Lsn) -> Result<Option<(Segment, Vec<u8>)>>;

/// Reads the WAL that recovery will replay: the backup's own, then the `archive`'s.
pub(super) fn read_effects(
    stored: &StoredBackup,
    outline: &Outline,
    archive: Content<'_>,
    end: &ReplayEnd<'_>,
) -> Result<WalEffects> {
    let backup = &stored.manifest;
    let size = backup.wal_segment_size;
    let mut frames = Frames::new(&*stored.repo.store, backup)?;
    let mut own = |number: u64| -> Result<Option<(Segment, Vec<u8>)>> {
        let Some(entry) = outline.wal.get(&number) else { return Ok(None) };
        let segment = Segment { timeline: backup.timeline, number, size };
        Ok(Some((segment, frames.read_file(entry)?)))
    };
    let (mut found, mut records) = (WalEffects::default(), Records::default());
    let last = backup.stop_lsn.0 / size;
    for number in backup.start_lsn.0 / size..end.to.0.div_ceil(size) {
        shutdown::check()?;
        // A standby's last segment may be cut off in the backup, and whole in the archive.
        let content = match number < last {
            true => own(number)?.map_or_else(|| archive(Lsn(number * size)), |c| Ok(Some(c)))?,
            false => archive(Lsn(number * size))?.map_or_else(|| own(number), |c| Ok(Some(c)))?,
        };
        let Some((segment, bytes)) = content else {
            records = Records::default();
            continue;
        };
        let mut each = |record: Record| match record.lsn < backup.start_lsn {
            true => ControlFlow::Continue(()),
            false => found.add_record(record, backup.stop_lsn, end),
        };
        if records.read_records(&segment, &bytes, &mut each).is_break() {
            break;
        }
    }
    Ok(found)
}

impl WalEffects {
    fn add_record(&mut self, record: Record, from: Lsn, end: &ReplayEnd<'_>) -> ControlFlow<()> {
        let ends = record.lsn >= from && end.stop.is_some_and(|stop| is_stop(&record, stop, end.exclusive));
        let before = ends && (end.exclusive || matches!(end.stop, Some(RecoveryTarget::Time(_))));
        if !before {
            self.apply_record(record);
        }
        if ends { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn apply_record(&mut self, record: Record) {
        let lsn = record.lsn;
        match record.what {
            What::TablespaceCreated { oid, location, in_place } => {
                self.created.push(CreatedTablespace { oid, location, lsn, in_place });
            }
            What::TableLocked { xid, database, table } => {
                self.locked.entry(xid).or_insert(LockedTable { database, table, lsn });
            }
            What::End { xid, .. } => _ = self.locked.remove(&xid),
            // Numbers of transactions go round: the difference tells which is the older.
            What::EndedBelow(xid) => self.locked.retain(|locking, _| locking.wrapping_sub(xid) < 1 << 31),
            _ => {}
        }
    }
}

/// Whether recovery stops at this record, or before it.
fn is_stop(record: &Record, stop: &RecoveryTarget, exclusive: bool) -> bool {
    match (stop, &record.what) {
        (RecoveryTarget::Lsn(lsn), _) => record.lsn >= *lsn,
        (RecoveryTarget::Time(at), What::End { at: ended, .. }) => ended > at || (exclusive && ended == at),
        (RecoveryTarget::Name(name), What::Point { name: n, .. }) => n == name,
        (RecoveryTarget::Xid(xid), What::End { xid: x, .. }) => x == xid,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(lsn: u64, what: What) -> Record {
        Record { lsn: Lsn(lsn), what }
    }

    fn created(lsn: u64) -> Record {
        record(lsn, What::TablespaceCreated { oid: 1, location: "/x".into(), in_place: Vec::new() })
    }

    fn lock(lsn: u64, xid: u32) -> Record {
        record(lsn, What::TableLocked { xid, database: 5, table: 16384 })
    }

    fn end(lsn: u64, xid: u32, second: i64) -> Record {
        let at = jiff::Timestamp::from_second(second).expect("a time");
        record(lsn, What::End { xid, at, committed: true, parts: Vec::new() })
    }

    fn found(records: &[Record], stop: Option<&RecoveryTarget>, exclusive: bool) -> WalEffects {
        let (mut found, end) = (WalEffects::default(), ReplayEnd { to: Lsn(1000), stop, exclusive });
        for record in records {
            if found.add_record(record.clone(), Lsn(0), &end).is_break() {
                break;
            }
        }
        found
    }

    #[test]
    fn what_is_replayed_counts_and_nothing_behind() {
        let records = [created(10), end(20, 7, 100), created(30), end(40, 8, 200), created(50)];
        let time = |second| RecoveryTarget::Time(jiff::Timestamp::from_second(second).expect("a time"));
        let count =
            |stop: Option<RecoveryTarget>, exclusive| found(&records, stop.as_ref(), exclusive).created.len();
        assert_eq!(count(None, false), 3);
        assert_eq!(
            (
                count(Some(RecoveryTarget::Lsn(Lsn(30))), false),
                count(Some(RecoveryTarget::Lsn(Lsn(30))), true)
            ),
            (2, 1)
        );
        assert_eq!((count(Some(time(100)), false), count(Some(time(100)), true)), (2, 1));
        assert_eq!((count(Some(time(99)), false), count(Some(time(300)), false)), (1, 3));
        assert_eq!(
            (count(Some(RecoveryTarget::Xid(7)), false), count(Some(RecoveryTarget::Xid(8)), true)),
            (1, 2)
        );
    }

    #[test]
    fn a_lock_lasts_until_its_transaction_ends() {
        let xids = |records: &[Record]| found(records, None, false).locked.into_keys().collect::<Vec<_>>();
        assert_eq!(xids(&[lock(10, 7), lock(20, 8), end(30, 7, 1)]), [8]);
        assert_eq!(xids(&[lock(10, 7), lock(20, 8), record(30, What::EndedBelow(8))]), [8]);
        assert_eq!(xids(&[lock(10, u32::MAX), record(30, What::EndedBelow(3))]), [0; 0]);
        let before = found(&[lock(10, 7), end(20, 7, 1)], Some(&RecoveryTarget::Xid(7)), true);
        assert_eq!(before.locked[&7], LockedTable { database: 5, table: 16384, lsn: Lsn(10) });
    }
}
