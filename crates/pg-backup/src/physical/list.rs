//! `list`, of physical backups.

use super::catalog::{Contents, Stored};
use super::reach::{Missing, Reached, Ways};
use crate::list::{age, local, shown};
use crate::manifest::Id;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
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
    age_seconds: i64,
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
    /// When the server wrote the last of that WAL.
    reaches_at: Option<Timestamp>,
    /// What is missing there, though there is more behind it.
    hole: Option<Missing>,
}

impl Row {
    fn of(stored: &Stored, reached: Option<Reached>, at: Option<Timestamp>, now: Timestamp) -> Row {
        let b = &stored.backup;
        Row {
            repo: stored.repo.name.clone(),
            id: b.id.clone(),
            label: b.label.clone(),
            system_identifier: b.system_identifier.clone(),
            started: b.started,
            age_seconds: now.as_second() - b.started.as_second(),
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
            reaches_at: at,
            hole: reached.and_then(|r| r.hole),
        }
    }
}

impl Row {
    /// `2026-11-21 04:00 +01:00 (0/5000000)`, and whether that is the end of a stretch only.
    fn reaches(&self) -> String {
        let Some(to) = self.reaches else { return "-".into() };
        let lsn = self.reaches_at.map_or(to.to_string(), |at| format!("{} ({to})", local(at)));
        if self.hole.is_some() { format!("{lsn}, then a hole") } else { lsn }
    }
}

impl Record for Row {
    const SCHEMA: &'static str = "pg-backup.list-backup/1";
    const HEAD: &'static [&'static str] = &[
        "repo",
        "backup",
        "id",
        "taken",
        "age",
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
            local(self.started),
            age(self.age_seconds),
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
/// When the store could not be asked, or stdout cannot be written.
pub(crate) fn emit(contents: &Contents, ways: &Ways, now: Timestamp, out: &mut Out<'_>) -> Result<()> {
    // Most backups reach the same end.
    let mut times = BTreeMap::new();
    for stored in &contents.backups {
        let reached = ways.of(&stored.backup);
        let at = match reached.as_ref().map(|r| (stored.backup.system_identifier.clone(), r.to)) {
            None => None,
            Some(end) => match times.get(&end) {
                Some(at) => *at,
                None => {
                    let at = ways.written(&stored.repo, &stored.backup, end.1)?;
                    times.insert(end, at);
                    at
                }
            },
        };
        out.emit(&Row::of(stored, reached, at, now))?;
    }
    Ok(())
}
