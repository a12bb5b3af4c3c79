//! `verify`, of the WAL: every segment, history and tail reads, holds what was written, and is what its name says.

use super::due::{DueSet, TimeLimit};
use crate::format::backup::BackupCatalog;
use crate::format::verdict::VerifyMode;
use crate::machine;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use toban_core::repo::Repo;
use toban_core::repo::archive::{Archive, Tail};
use toban_core::repo::cluster;
use toban_core::repo::keys::System;
use toban_core::repo::verified::{self, ProvenFile, Verified};
use toban_core::store::{NoIdentity, Object};
use toban_core::wal::{Header, History, Timeline, WalName};
use toban_core::{Context, Error, Kind, Record, Result, out};

/// The WAL of one timeline that was found whole.
#[derive(Serialize)]
pub(super) struct VerifiedWal {
    repo: String,
    system: u64,
    timeline: Timeline,
    first: String,
    last: String,
    files: usize,
    tails: usize,
    bytes: u64,
    /// Presence and sizes only.
    fast: bool,
}

impl Record for VerifiedWal {
    const SCHEMA: &'static str = "pg-backup.verify-wal/1";
    const HEAD: &'static [&'static str] =
        &["verified", "timeline", "in", "first", "last", "files", "tails", "read"];
    fn cells(&self) -> Vec<String> {
        let read = if self.fast { "sizes only".into() } else { out::bytes(self.bytes) };
        vec![
            "wal".into(),
            self.timeline.to_string(),
            self.repo.clone(),
            self.first.clone(),
            self.last.clone(),
            self.files.to_string(),
            self.tails.to_string(),
            read,
        ]
    }
}

/// A file of the WAL or a stretch of one.
#[derive(Clone, Copy, Debug)]
enum WalItem {
    File(WalName, u64),
    Tail(Tail),
}

impl WalItem {
    fn name(&self) -> WalName {
        match self {
            WalItem::File(name, _) => *name,
            WalItem::Tail(tail) => tail.segment,
        }
    }

    /// What a verdict calls it.
    fn verdict_name(&self) -> String {
        match self {
            WalItem::File(name, _) => name.to_string(),
            WalItem::Tail(tail) => format!("{}/{:08X}-{:08X}", tail.segment, tail.offset, tail.length),
        }
    }
}

/// The WAL of one system in one repository.
pub(super) struct HeldWal {
    pub(super) system: System,
    pub(super) files: Vec<(WalName, Object)>,
    tails: Vec<Tail>,
    /// What was found last.
    last: Option<Verified>,
}

impl HeldWal {
    /// Lists every system's.
    ///
    /// # Errors
    /// When the store could not be asked.
    pub(super) fn list_systems(repo: &Repo, cluster: &str) -> Result<Vec<HeldWal>> {
        let list = |system: System| {
            let archive = Archive::new(&*repo.store, system.clone());
            // The tails first: a segment that becomes whole between the two listings is in the second one.
            // The other way round it could be missing in both, with its tails removed in between.
            let (tails, files) = (archive.all_tails()?, archive.files()?);
            // One that does not read hides nothing: then it is not known what was read before.
            let last = verified::newest(&*repo.store, &system, Timestamp::now()).ok().flatten();
            Ok(HeldWal { system, files, tails, last })
        };
        System::all(&*repo.store, cluster)?.into_iter().map(list).collect()
    }

    /// When a file was last read whole; none where that is not known.
    pub(super) fn proven_at(&self, name: WalName, object: &Object) -> Option<Timestamp> {
        self.last.as_ref()?.proven_at(name, object.modified)
    }
}

/// What of the WAL is read.
pub(super) enum WalWanted<'a> {
    All,
    /// What the newest backup of this catalog needs.
    Newest(&'a BackupCatalog),
    /// What is due, and all tails.
    Due(&'a DueSet),
}

/// How the WAL of one repository is read.
#[derive(Clone, Copy)]
pub(super) struct WalReading<'a> {
    pub(super) repo: &'a Repo,
    pub(super) wanted: &'a WalWanted<'a>,
    pub(super) mode: VerifyMode<'a>,
    pub(super) limit: TimeLimit,
}

/// Reads the WAL of every system in one repository.
///
/// # Errors
/// When the store could not be asked; damage is in the answer.
pub(super) fn verify_wal(systems: &[HeldWal], reading: &WalReading<'_>) -> Result<WalFound> {
    let mut all = WalFound::default();
    for wal in systems {
        let found = WalVerifier { reading: *reading, wal, began: Timestamp::now() }.verify()?;
        all.whole.extend(found.whole);
        all.damaged.extend(found.damaged);
        all.left += found.left;
    }
    Ok(all)
}

/// What was found in one repository.
#[derive(Default)]
pub(super) struct WalFound {
    pub(super) whole: Vec<VerifiedWal>,
    /// The name of each file that is damaged, and how.
    pub(super) damaged: Vec<(String, Error)>,
    /// How many files were due when the time was over.
    pub(super) left: usize,
}

impl VerifiedWal {
    pub(super) fn describe_whole(&self) -> String {
        format!("WAL {} to {} in {}: whole", self.first, self.last, self.repo)
    }
}

struct WalVerifier<'a> {
    reading: WalReading<'a>,
    wal: &'a HeldWal,
    began: Timestamp,
}

impl WalVerifier<'_> {
    /// The number of the segment where the newest backup of the system begins.
    fn newest_backup_segment(&self, catalog: &BackupCatalog) -> Option<u64> {
        let newest = catalog.stored.iter().rfind(|s| s.manifest.is_of(&self.wal.system))?;
        Some(newest.manifest.start_lsn.0 / newest.manifest.wal_segment_size.max(1))
    }

    fn verify(&self) -> Result<WalFound> {
        let wanted = self.reading.wanted;
        let HeldWal { system, files, tails, .. } = self.wal;
        let archive = Archive::new(&*self.reading.repo.store, system.clone());
        let known = match cluster::of(&*self.reading.repo.store, system)? {
            Some(known) => known,
            None if files.is_empty() && tails.is_empty() => {
                return Ok(WalFound::default());
            }
            None => {
                let e = Error::corrupt(format!("cluster.json of system {} is missing", system.identifier));
                return Err(e.hint("the next `wal-shipper push` or `stream` writes it"));
            }
        };
        let size = known.wal_segment_size;
        let all = files
            .iter()
            .map(|(name, o)| WalItem::File(*name, o.size))
            .chain(tails.iter().map(|t| WalItem::Tail(*t)));
        let from = match wanted {
            WalWanted::Newest(catalog) => self.newest_backup_segment(catalog),
            WalWanted::All | WalWanted::Due(_) => None,
        };
        let wanted = |item: &WalItem| match (wanted, from, item.name().segment(size)) {
            // Tails come and go within a day: they are read each time.
            (WalWanted::Due(due), ..) => {
                matches!(item, WalItem::Tail(_)) || due.has_wal(system.identifier, item.name())
            }
            (_, Some(from), Some(segment)) => segment.number >= from,
            _ => true,
        };
        let (items, mut others): (Vec<WalItem>, Vec<WalItem>) = all.partition(wanted);
        let verdicts = self.verify_items(&archive, &items, size)?;
        let (read, unread): (Vec<_>, Vec<_>) =
            items.into_iter().zip(verdicts).partition(|(_, verdict)| verdict.is_some());
        let left = unread.len();
        others.extend(unread.into_iter().map(|(item, _)| item));
        let (items, verdicts): (Vec<WalItem>, Vec<Result<u64>>) =
            read.into_iter().filter_map(|(item, verdict)| Some((item, verdict?))).unzip();
        let damaged: Vec<(String, Error)> = verdicts
            .iter()
            .zip(&items)
            .filter_map(|(v, item)| match v {
                Err(e) => Some((item.verdict_name(), Error::corrupt(e.chain()))),
                Ok(_) => None,
            })
            .collect();
        if !self.reading.mode.fast && !items.is_empty() {
            self.record_verdict(&damaged, &others);
        }
        Ok(WalFound { whole: self.make_records(&items, &verdicts), damaged, left })
    }

    /// Reads them by a few threads; the bytes of each that is whole, 0 for one that is gone meanwhile, none for one of
    /// which the time was over.
    fn verify_items(
        &self,
        archive: &Archive<'_>,
        items: &[WalItem],
        size: u64,
    ) -> Result<Vec<Option<Result<u64>>>> {
        let threads = usize::try_from(machine::worker_count(None)).unwrap_or(1);
        machine::in_parallel(items, threads, |item| {
            if self.reading.limit.is_over() {
                return Ok(None);
            }
            let done = match self.reading.mode.fast {
                true => check_size(item),
                false => match self.verify_item(archive, item, size) {
                    Err(e) if NoIdentity::caused(&e) => verify_encrypted(archive, item),
                    done => done,
                },
            };
            match done.doing(|| format!("verify {} in {}", item.verdict_name(), self.reading.repo.name)) {
                Err(e) if e.kind() != Kind::Corrupt => Err(e),
                done => Ok(Some(done)),
            }
        })
    }

    fn verify_item(&self, archive: &Archive<'_>, item: &WalItem, size: u64) -> Result<u64> {
        let mut head = HeadBytes::default();
        let name = match item {
            WalItem::Tail(tail) => {
                let Some(sum) = archive.get_tail(tail, &mut head)? else { return Ok(0) };
                if tail.offset == 0 && head.bytes.len() >= Header::BYTES {
                    self.check_segment(tail.segment, &head.bytes, size)?;
                }
                return Ok(sum.bytes);
            }
            WalItem::File(name, _) => *name,
        };
        let Some(sum) = archive.get(name, &mut head)? else { return Ok(0) };
        match name {
            WalName::Segment(..) | WalName::Partial(..) if sum.bytes != size => {
                return Err(Error::corrupt(format!("{name} has {} bytes, not {size}", sum.bytes)));
            }
            WalName::Segment(..) | WalName::Partial(..) => self.check_segment(name, &head.bytes, size)?,
            WalName::History(timeline) => {
                let text = String::from_utf8_lossy(&head.bytes).into_owned();
                History::parse_history(timeline, &text)?;
            }
            WalName::Backup(..) => {}
        }
        Ok(sum.bytes)
    }

    /// The first page of a segment is of this system and of this position.
    fn check_segment(&self, name: WalName, head: &[u8], size: u64) -> Result<()> {
        let header = Header::read_header(head)
            .map_err(|e| Error::corrupt(format!("{name} begins with no WAL")).because(e))?;
        let segment = name.segment(size).ok_or_else(|| Error::corrupt(format!("{name} is no segment")))?;
        // A file that was stored under another segment's name has sums that hold. The long header of its
        // first page has the position, the segment size and the system (XLogLongPageHeaderData in
        // xlog_internal.h).
        header.check_segment(&segment).map_err(|e| Error::corrupt(e.chain()))?;
        if header.system == self.wal.system.identifier {
            return Ok(());
        }
        Err(Error::corrupt(format!("{name} is of system {}", header.system)))
    }

    /// Keeps the verdict: `check` reports what is damaged until a later one has found it whole, or it is gone.
    fn record_verdict(&self, damaged: &[(String, Error)], unread: &[WalItem]) {
        let at = Timestamp::now();
        let before = verified::newest(&*self.reading.repo.store, &self.wal.system, at).ok().flatten();
        let unread: BTreeSet<String> = unread.iter().map(WalItem::verdict_name).collect();
        let before = before.as_ref();
        // What was damaged and has not been read this time is damaged still: a verdict on a part must not hide it.
        let still =
            before.into_iter().flat_map(|v| &v.damaged).filter(|name| unread.contains(*name)).cloned();
        let all: BTreeSet<String> = damaged.iter().map(|(name, _)| name.clone()).chain(still).collect();
        // What was read before and has not been this time was read when it was.
        let proven = |(name, object): &(WalName, Object)| {
            let text = name.to_string();
            let at = match unread.contains(&text) {
                true => before.and_then(|v| v.proven_at(*name, object.modified)),
                false => Some(self.began),
            };
            ProvenFile { name: *name, at: at.filter(|_| !all.contains(&text)) }
        };
        let proven = self.wal.files.iter().map(proven).collect();
        let mut verdict = Verified::new(at, all.into_iter().collect());
        verdict.set_proven(proven);
        if let Err(e) = verdict.record(&*self.reading.repo.store, &self.wal.system, self.reading.mode.signer)
        {
            // A credential that may only read can verify all the same.
            log::warn!(
                "the verdict on the WAL could not be stored in {}: {}",
                self.reading.repo.name,
                e.chain()
            );
        }
    }

    fn make_records(&self, items: &[WalItem], verdicts: &[Result<u64>]) -> Vec<VerifiedWal> {
        let mut lines: BTreeMap<Timeline, Vec<(&WalItem, u64)>> = BTreeMap::new();
        for (item, verdict) in items.iter().zip(verdicts) {
            if let Ok(bytes) = verdict {
                lines.entry(item.name().timeline()).or_default().push((item, *bytes));
            }
        }
        let record = |(timeline, items): (Timeline, Vec<(&WalItem, u64)>)| {
            let names = || items.iter().map(|(i, _)| i.name());
            let tails = items.iter().filter(|(i, _)| matches!(i, WalItem::Tail(_))).count();
            VerifiedWal {
                repo: self.reading.repo.name.clone(),
                system: self.wal.system.identifier,
                timeline,
                first: names().min().map(|n| n.to_string()).unwrap_or_default(),
                last: names().max().map(|n| n.to_string()).unwrap_or_default(),
                files: items.len() - tails,
                tails,
                bytes: items.iter().map(|(_, bytes)| bytes).sum(),
                fast: self.reading.mode.fast,
            }
        };
        lines.into_iter().map(record).collect()
    }
}

/// What cannot be read is compared as it is stored.
fn verify_encrypted(archive: &Archive<'_>, item: &WalItem) -> Result<u64> {
    let verified = match item {
        WalItem::Tail(tail) => archive.verify_encrypted_tail(tail),
        WalItem::File(name, _) => archive.verify_encrypted(*name),
    };
    verified.map(Option::unwrap_or_default)
}

fn check_size(item: &WalItem) -> Result<u64> {
    match item {
        WalItem::File(name, 0) => Err(Error::corrupt(format!("{name} is empty"))),
        WalItem::File(_, bytes) => Ok(*bytes),
        WalItem::Tail(tail) => Ok(tail.length),
    }
}

/// Keeps the beginning of what is written to it.
#[derive(Default)]
struct HeadBytes {
    bytes: Vec<u8>,
}

/// A history is small; of a segment the first page's header is enough.
const HEAD: usize = 64 << 10;

impl Write for HeadBytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = HEAD.saturating_sub(self.bytes.len()).min(bytes.len());
        self.bytes.extend_from_slice(&bytes[..room]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
