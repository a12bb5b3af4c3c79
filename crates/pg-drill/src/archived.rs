//! What the repositories recorded when they were written: where each backup ended, and how far the WAL goes.

use crate::control::Control;
use crate::finding::Findings;
use crate::inspect::Inspected;
use crate::recovered::Recovered;
use jiff::Timestamp;
use serde::Deserialize;
use toban_core::repo::Repo;
use toban_core::repo::archive::{Archive, Inventory};
use toban_core::repo::keys::System;
use toban_core::store::{Key, read_small};
use toban_core::wal::{Lsn, Timeline};
use toban_core::{Context, Error, Result, stop};

const MANIFEST: &str = "/backup.json";
const LARGEST: u64 = 64 << 10;

/// What a drill needs of a backup.json (docs/FORMATS.md).
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Backup {
    pub(crate) id: String,
    pub(crate) timeline: Timeline,
    pub(crate) start_lsn: Lsn,
    pub(crate) stop_lsn: Lsn,
    pub(crate) finished: Timestamp,
}

/// One system in one repository.
pub(crate) struct Recorded {
    pub(crate) repo: String,
    system: System,
    backups: Vec<Backup>,
    wal: Inventory,
}

/// Reads what is there before the restore begins: what comes later no drill is to blame for.
///
/// # Errors
/// When a repository cannot be asked.
pub(crate) fn read(repos: &[Repo], cluster: &str) -> Result<Vec<Recorded>> {
    let mut recorded = Vec::new();
    for repo in repos {
        for system in System::all(&*repo.store, cluster)? {
            stop::check()?;
            let backups = backups(repo, &system).doing(|| format!("look into repository {}", repo.name))?;
            let wal = Archive::new(&*repo.store, system.clone()).inventory()?;
            recorded.push(Recorded { repo: repo.name.clone(), system, backups, wal });
        }
    }
    Ok(recorded)
}

fn backups(repo: &Repo, system: &System) -> Result<Vec<Backup>> {
    let folder = format!("{}backup/", system.root());
    let mut backups = Vec::new();
    for id in repo.store.folders(&folder)? {
        let key: Key = format!("{folder}{id}{MANIFEST}").parse()?;
        let Some(json) = read_small(&*repo.store, &key, LARGEST)? else { continue };
        match serde_json::from_slice::<Backup>(&json) {
            Ok(backup) => backups.push(backup),
            Err(e) => log::warn!("{key} does not read: {e}"),
        }
    }
    backups.sort_by_key(|b| (b.timeline, b.start_lsn));
    Ok(backups)
}

/// Compares how far recovery came with what was recorded; the backup that was restored, where it is known.
pub(crate) fn compare(
    recorded: &[Recorded],
    control: &Control,
    (seen, whole_way): (&Inspected, bool),
    recovered: &Recovered,
    findings: &mut Findings,
) -> Option<Backup> {
    let own: Vec<&Recorded> = recorded.iter().filter(|r| r.system.identifier == control.system).collect();
    if own.is_empty() && !recorded.is_empty() {
        findings
            .failed("system", format!("no repository holds system {}, which was restored", control.system));
    }
    let mut restored = None;
    for one in own {
        let backup = one.backups.iter().find(|b| Some(b.start_lsn) == seen.backup_start);
        if let Some(backup) = backup {
            findings.compared += 1;
            let text = format!(
                "backup {} ended at {}; recovery reached {}",
                backup.id, backup.stop_lsn, recovered.lsn
            );
            findings.judge("position", recovered.lsn >= backup.stop_lsn, text);
            restored = Some(backup.clone());
        }
        if whole_way && seen.recovers {
            archive(one, control.segment, recovered, findings);
        }
    }
    restored
}

/// Recovery to the end of what there is must come into the last segment of the newest timeline.
fn archive(one: &Recorded, size: u64, recovered: &Recovered, findings: &mut Findings) {
    let last = |(timeline, line): (&Timeline, &toban_core::repo::archive::Line)| {
        line.ranges(*timeline, size).last().map(|(_, last)| *last)
    };
    let Some(last) = one.wal.lines.iter().rev().find_map(last) else { return };
    findings.compared += 1;
    let (timeline, check) = (last.timeline, format!("archive in {}", one.repo));
    if recovered.timeline < timeline.0 {
        let known = one.wal.histories.contains(&timeline);
        let why = if known { "" } else { ", whose history is missing" };
        let text = format!(
            "recovery ended on timeline {}; the archive goes on to timeline {timeline}{why}",
            recovered.timeline
        );
        findings.failed(&check, text);
        return;
    }
    let fine = recovered.timeline > timeline.0 || recovered.lsn >= last.start();
    let text = format!(
        "its last segment is {}, from {}; recovery reached {}",
        last.name(),
        last.start(),
        recovered.lsn
    );
    findings.judge(&check, fine, text);
}

/// The system that the repositories hold, for errors.
pub(crate) fn none_of(recorded: &[Recorded], repos: &[Repo]) -> Option<Error> {
    let empty = recorded.iter().all(|r| r.backups.is_empty());
    let names: Vec<&str> = repos.iter().map(|r| r.name.as_str()).collect();
    empty.then(|| crate::finding::found(format!("there is no backup in {}", names.join(", "))))
}
