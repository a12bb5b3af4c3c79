//! What a copy reports: a record for each dump, backup and timeline, notes, metrics.

use super::RepoPair;
use super::item::ItemEnd;
use super::plan::PlannedItem;
use super::wal::ArchivedObject;
use serde::Serialize;
use toban_core::run::Report;
use toban_core::wal::Timeline;
use toban_core::{Record, out};

/// What kind of thing went over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum CopiedKind {
    Backup,
    Dump,
    /// A timeline's.
    Wal,
    /// Gaps, acknowledgements, proofs of drills and of the WAL.
    Records,
}

/// What went over of one dump, backup or timeline.
#[derive(Clone, Debug, Serialize)]
pub(super) struct CopiedItem {
    from: String,
    to: String,
    kind: CopiedKind,
    /// The database, of a dump.
    database: Option<String>,
    /// Of the dump or backup; of WAL the first and the last file.
    id: String,
    pub(super) objects: usize,
    bytes: u64,
}

impl CopiedItem {
    /// What went over of a dump or a backup.
    pub(super) fn of_item(pair: &RepoPair, item: &PlannedItem, end: ItemEnd) -> CopiedItem {
        CopiedItem {
            from: pair.from.name.clone(),
            to: pair.to.name.clone(),
            kind: if item.database.is_some() { CopiedKind::Dump } else { CopiedKind::Backup },
            database: item.database.clone(),
            id: item.id.to_string(),
            objects: end.objects,
            bytes: end.bytes,
        }
    }

    /// The WAL of one timeline.
    pub(super) fn of_wal(pair: &RepoPair, timeline: Timeline, objects: &[&ArchivedObject]) -> CopiedItem {
        let name = |o: Option<&&ArchivedObject>| o.map(|o| o.name.to_string()).unwrap_or_default();
        CopiedItem {
            from: pair.from.name.clone(),
            to: pair.to.name.clone(),
            kind: CopiedKind::Wal,
            database: None,
            id: match objects {
                [] => format!("timeline {timeline}"),
                [one] => one.name.to_string(),
                all => format!("{} to {}", name(all.first()), name(all.last())),
            },
            objects: objects.len(),
            bytes: objects.iter().map(|o| o.bytes).sum(),
        }
    }

    /// Records of the WAL and of drills.
    pub(super) fn of_records(pair: &RepoPair, system: u64, objects: usize) -> CopiedItem {
        CopiedItem {
            from: pair.from.name.clone(),
            to: pair.to.name.clone(),
            kind: CopiedKind::Records,
            database: None,
            id: format!("system {system}"),
            objects,
            bytes: 0,
        }
    }

    /// For the run record.
    pub(super) fn describe(&self) -> String {
        let of = self.database.as_ref().map(|d| format!(" of {d}")).unwrap_or_default();
        let what = match self.kind {
            CopiedKind::Backup => "backup",
            CopiedKind::Dump => "dump",
            CopiedKind::Wal => "WAL",
            CopiedKind::Records => "records of",
        };
        let size = out::bytes(self.bytes);
        format!("{what} {}{of} from {} to {}: {} objects, {size}", self.id, self.from, self.to, self.objects)
    }

    fn name(&self) -> String {
        match self.kind {
            CopiedKind::Backup => "cluster".into(),
            CopiedKind::Dump => self.database.clone().unwrap_or_default(),
            CopiedKind::Wal => "wal".into(),
            CopiedKind::Records => "records".into(),
        }
    }
}

impl Record for CopiedItem {
    const SCHEMA: &'static str = "pg-backup.copy/1";
    const HEAD: &'static [&'static str] = &["copied", "id", "from", "to", "objects", "bytes"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.name(),
            self.id.clone(),
            self.from.clone(),
            self.to.clone(),
            self.objects.to_string(),
            out::bytes(self.bytes),
        ]
    }
}

/// The same, of what would go over.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct PlannedCopyItem(pub(super) CopiedItem);

impl Record for PlannedCopyItem {
    const SCHEMA: &'static str = "pg-backup.copy-plan/1";
    const HEAD: &'static [&'static str] = &["would copy", "id", "from", "to", "objects", "bytes"];
    fn cells(&self) -> Vec<String> {
        self.0.cells()
    }
}

/// What a copy from one repository to another came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CopyTotals {
    pub(super) objects: usize,
    pub(super) bytes: u64,
    /// Dumps, backups and files of the WAL that could not go over.
    pub(super) failed: usize,
}

impl CopyTotals {
    pub(super) fn add_item(&mut self, item: &CopiedItem) {
        self.objects += item.objects;
        self.bytes += item.bytes;
    }

    pub(super) fn report_totals(self, pair: &RepoPair, report: &mut Report) {
        let labels = [("from", pair.from.name.as_str()), ("to", pair.to.name.as_str())];
        let gauges = [
            ("copy_objects", "Objects that the last copy moved", self.objects as f64),
            ("copy_bytes", "Bytes that the last copy moved", self.bytes as f64),
            (
                "copy_failed",
                "Dumps, backups and files of the WAL that could not be copied",
                self.failed as f64,
            ),
        ];
        gauges.iter().for_each(|(name, help, value)| report.gauge(name, help, &labels, *value));
        if self.objects == 0 && self.failed == 0 {
            report.note(format!("{} lacks nothing of {}", pair.to.name, pair.from.name));
        }
    }
}
