//! `list`, of physical backups.

use super::catalog::{Contents, Stored};
use super::reach::{Missing, Reached, Ways};
use crate::list::shown;
use crate::manifest::Id;
use jiff::Timestamp;
use serde::Serialize;
use toban_core::wal::{Lsn, Timeline};
use toban_core::{Out, Record, Result, out};

/// One backup in one repository.
#[derive(Serialize)]
struct Row {
    repo: String,
    id: Id,
    label: Option<String>,
    system_identifier: String,
    started: Timestamp,
    seconds: f64,
    bytes: u64,
    stored_bytes: u64,
    timeline: Timeline,
    start_lsn: Lsn,
    stop_lsn: Lsn,
    major: u32,
    standby: bool,
    damaged_pages: u64,
    verified: Option<Timestamp>,
    damaged: Option<Timestamp>,
    /// How far recovery comes with the WAL in this repository.
    reaches: Option<Lsn>,
    /// What is missing there, though there is more behind it.
    hole: Option<Missing>,
}

impl Row {
    fn of(stored: &Stored, reached: Option<Reached>) -> Row {
        let b = &stored.backup;
        Row {
            repo: stored.repo.name.clone(),
            id: b.id.clone(),
            label: b.label.clone(),
            system_identifier: b.system_identifier.clone(),
            started: b.started,
            seconds: b.seconds(),
            bytes: b.bytes,
            stored_bytes: b.stored_bytes(),
            timeline: b.timeline,
            start_lsn: b.start_lsn,
            stop_lsn: b.stop_lsn,
            major: b.major,
            standby: b.standby,
            damaged_pages: b.damage.pages,
            verified: stored.verified,
            damaged: stored.damaged,
            reaches: reached.as_ref().map(|r| r.to),
            hole: reached.and_then(|r| r.hole),
        }
    }
}

impl Row {
    fn reaches(&self) -> String {
        match (&self.reaches, &self.hole) {
            (None, _) => "-".into(),
            (Some(to), None) => to.to_string(),
            (Some(to), Some(_)) => format!("{to}, then a hole"),
        }
    }
}

impl Record for Row {
    const SCHEMA: &'static str = "pg-backup.list-backup/1";
    const HEAD: &'static [&'static str] = &[
        "repo",
        "backup",
        "id",
        "label",
        "size",
        "stored",
        "seconds",
        "timeline",
        "from",
        "until",
        "reaches",
        "pg",
        "bad pages",
        "verified",
    ];
    fn cells(&self) -> Vec<String> {
        vec![
            self.repo.clone(),
            "cluster".into(),
            self.id.to_string(),
            self.label.clone().unwrap_or("-".into()),
            out::bytes(self.bytes),
            out::bytes(self.stored_bytes),
            format!("{:.1}", self.seconds),
            self.timeline.to_string(),
            self.start_lsn.to_string(),
            self.stop_lsn.to_string(),
            self.reaches(),
            self.major.to_string(),
            self.damaged_pages.to_string(),
            shown(self.damaged, self.verified),
        ]
    }
}

/// Lists a repository's backups.
///
/// # Errors
/// When stdout cannot be written.
pub(crate) fn emit(contents: &Contents, ways: &Ways, out: &mut Out<'_>) -> Result<()> {
    contents.backups.iter().try_for_each(|stored| out.emit(&Row::of(stored, ways.of(&stored.backup))))
}
