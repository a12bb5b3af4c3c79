//! What the repositories recorded when they were written: where each backup ended, and how far the WAL goes.

use crate::findings::{DrillFindings, severity};
use crate::recovered::{Recovered, RecoveredServer};
use crate::rulebook;
use toban_core::check::Finding;
use toban_core::repo::archive::{Archive, StoredWal, TimelineSegments};
use toban_core::repo::backups::{self, BaseBackup};
use toban_core::repo::keys::System;
use toban_core::repo::{Repo, Repos};
use toban_core::wal::{Lsn, Timeline};
use toban_core::{Context, Error, Result, Severity, shutdown};

/// One system in one repository.
pub(crate) struct RecordedSystem {
    repo: Repo,
    system: System,
    backups: Vec<BaseBackup>,
    wal: StoredWal,
}

/// Reads what is there before the restore begins: what comes later no drill is to blame for.
///
/// # Errors
/// When a repository cannot be asked.
pub(crate) fn read_repositories(repos: &Repos, cluster: &str) -> Result<Vec<RecordedSystem>> {
    // Before the restore: a drill that found less than this would restore less than what was safe when it began.
    let mut recorded = Vec::new();
    for repo in repos {
        for system in System::all(&*repo.store, cluster)? {
            shutdown::check()?;
            let backups = backups::read_all(&*repo.store, &system);
            let backups = backups.doing(|| format!("look into repository {}", repo.name))?;
            let wal = read_wal(repo, &system)?;
            recorded.push(RecordedSystem { repo: repo.clone(), system, backups, wal });
        }
    }
    Ok(recorded)
}

fn read_wal(repo: &Repo, system: &System) -> Result<StoredWal> {
    Archive::new(&*repo.store, system.clone()).stored_wal()
}

/// Compares how far recovery came with what was recorded; the backup that was restored, where it is known.
pub(crate) fn compare_with_recorded(
    recorded: &[RecordedSystem],
    restored: &RecoveredServer,
    findings: &mut DrillFindings,
) -> Option<BaseBackup> {
    let RecoveredServer { control, inspected, recovered, .. } = restored;
    let is_own = |r: &&RecordedSystem| r.system.identifier == control.system;
    let own: Vec<&RecordedSystem> = recorded.iter().filter(is_own).collect();
    // Of a recovery with a target, or without an archive, nothing more than its backup can be expected.
    let follows_archive = restored.to_the_end && inspected.recovers;
    if own.is_empty() && !recorded.is_empty() {
        findings.failed(
            &rulebook::SYSTEM,
            format!("no repository holds system {}, which was restored", control.system),
        );
    }
    let mut backup_used = None;
    for one in &own {
        // By the position where it began, which backup_label holds: the command may be any program and say no ID.
        let backup = one.backups.iter().find(|b| Some(b.start_lsn) == inspected.backup_start);
        if let Some(backup) = backup {
            findings.compared += 1;
            let text = format!(
                "backup {} ended at {}; recovery reached {}",
                backup.id, backup.stop_lsn, recovered.lsn
            );
            findings.judge(&rulebook::POSITION, recovered.lsn >= backup.stop_lsn, text);
            backup_used = Some(backup.clone());
        }
        if follows_archive {
            compare_with_archive(one, control.segment, recovered, findings);
        }
    }
    if follows_archive {
        compare_repositories(&own, control.segment, findings);
    }
    backup_used
}

/// The end of the newest timeline that a repository has WAL of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct WalEnd {
    timeline: Timeline,
    lsn: Lsn,
}

fn wal_end(wal: &StoredWal, size: u64) -> Option<WalEnd> {
    let last = |(timeline, line): (&Timeline, &TimelineSegments)| {
        let (_, last) = line.ranges(*timeline, size).pop()?;
        Some(WalEnd { timeline: *timeline, lsn: last.end() })
    };
    let begun = wal.begun_segments(size).into_iter();
    let begun = begun.map(|(segment, lsn)| WalEnd { timeline: segment.timeline, lsn });
    wal.inventory.timelines.iter().filter_map(last).chain(begun).max()
}

/// Every repository with WAL must by now have what any of them had when the drill began: recovery takes each file from
/// the first that has it, so it succeeds though one of them alone would restore an older state.
fn compare_repositories(own: &[&RecordedSystem], size: u64, findings: &mut DrillFindings) {
    let had = own.iter().filter_map(|r| Some((wal_end(&r.wal, size)?, r)));
    let Some((goal, best)) = had.max_by_key(|(end, _)| *end) else { return };
    // Of the segment that was being written one may have less: it is stored when it is whole.
    let whole = Lsn(goal.lsn.0 - goal.lsn.0 % size.max(1));
    for one in own.iter().filter(|r| wal_end(&r.wal, size).is_some()) {
        let wal = match read_wal(&one.repo, &one.system) {
            Ok(now) => now,
            Err(e) => {
                findings.add(archive_finding(one, Severity::Unknown, e.chain()));
                continue;
            }
        };
        let Some(now) = wal_end(&wal, size) else { continue };
        let history = goal.timeline.0 <= 1 || wal.inventory.histories.contains(&goal.timeline);
        let there = now.timeline > goal.timeline || (now.timeline == goal.timeline && now.lsn >= whole);
        if !history {
            let text = format!(
                "the history of timeline {} is missing; {} goes on to it",
                goal.timeline, best.repo.name
            );
            findings.add(archive_finding(one, Severity::Critical, text));
        } else if !there {
            let text = format!(
                "it ends at {} on timeline {}; when the drill began, {} had the WAL up to {} on timeline {}",
                now.lsn, now.timeline, best.repo.name, goal.lsn, goal.timeline
            );
            findings.add(archive_finding(one, Severity::Critical, text));
        }
    }
}

fn archive_finding(recorded: &RecordedSystem, severity: Severity, text: String) -> Finding {
    Finding::new(&rulebook::ARCHIVE, severity).about(&recorded.repo.name).says(text)
}

/// Recovery to the end of what there is must come into the last segment of the newest timeline.
fn compare_with_archive(
    one: &RecordedSystem,
    size: u64,
    recovered: &Recovered,
    findings: &mut DrillFindings,
) {
    let last = |(timeline, line): (&Timeline, &TimelineSegments)| {
        line.ranges(*timeline, size).last().map(|(_, last)| *last)
    };
    let Some(last) = one.wal.inventory.timelines.iter().rev().find_map(last) else { return };
    findings.compared += 1;
    let timeline = last.timeline;
    if recovered.timeline < timeline.0 {
        let known = one.wal.inventory.histories.contains(&timeline);
        let why = if known { "" } else { ", whose history is missing" };
        let text = format!(
            "recovery ended on timeline {}; the archive goes on to timeline {timeline}{why}",
            recovered.timeline
        );
        findings.add(archive_finding(one, Severity::Critical, text));
        return;
    }
    let fine = recovered.timeline > timeline.0 || recovered.lsn >= last.start();
    let text = format!(
        "its last segment is {}, from {}; recovery reached {}",
        last.name(),
        last.start(),
        recovered.lsn
    );
    findings.add(archive_finding(one, severity(fine), text));
}

/// The finding where no repository has a backup.
pub(crate) fn no_backup(recorded: &[RecordedSystem], repos: &Repos) -> Option<Error> {
    let empty = recorded.iter().all(|r| r.backups.is_empty());
    empty.then(|| crate::findings::found(format!("there is no backup in {}", repos.names())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use toban_core::config::Keep;
    use toban_core::store::{Attrs, Dir, Store};
    use toban_core::wal::WalName;

    const SIZE: u64 = 16 << 20;

    /// What a drill of two repositories says, where the far one has `far` of what the near one has.
    fn said(near: &[&str], far: &[&str]) -> Vec<String> {
        let dir = tempfile::tempdir().expect("a folder");
        let system = System { cluster: "main".into(), identifier: 7 };
        let repo = |name: &str, objects: &[&str]| {
            let root = dir.path().join(name).display().to_string();
            let store = Dir::open(&root).expect("a store");
            for object in objects {
                let key = match object.split_once('/') {
                    Some((segment, tail)) => format!("wal-tail/{}/{segment}/{tail}", &segment[..8]),
                    None => object.parse::<WalName>().expect("a name").path(),
                };
                let key = system.key(&key);
                store.put(&key, &mut &b"1\t0/5000000\tx\n"[..], &Attrs::new()).expect("stored");
            }
            Repo {
                name: name.into(),
                url: String::new(),
                required: true,
                keep: Keep::default(),
                hides_names: false,
                store: Arc::new(store),
            }
        };
        let recorded =
            read_repositories(&Repos::new(vec![repo("near", near), repo("far", far)]), "main").expect("read");
        let mut findings = DrillFindings::default();
        compare_repositories(&recorded.iter().collect::<Vec<_>>(), SIZE, &mut findings);
        findings.all.iter().map(|f| format!("archive in {}: {}", f.object, f.text)).collect()
    }

    #[test]
    fn a_repository_that_lacks_the_newest_timeline_is_told() {
        let (one, two) = ("000000010000000000000004", "000000010000000000000005");
        let (new, history) = ("000000020000000000000005", "00000002.history");
        let all = [one, two, new, history];
        assert_eq!(said(&all, &all), Vec::<String>::new());
        let lacks = said(&all, &[one, two]);
        assert!(
            lacks.len() == 1 && lacks[0].starts_with("archive in far: the history of timeline 2"),
            "{lacks:?}"
        );
        let lacks = said(&all, &[one, two, history]);
        assert!(lacks[0].starts_with("archive in far: it ends at 0/6000000 on timeline 1"), "{lacks:?}");
        assert_eq!(said(&[one, two], &[one]).len(), 1, "a whole segment that is missing");
        assert_eq!(said(&[one, "000000010000000000000005/00000000-00000100"], &[one]), Vec::<String>::new());
        let later = "000000010000000000000006/00000000-00000100";
        assert_eq!(said(&[one, two, later], &[one]).len(), 1, "more than the segment that was being written");
        assert_eq!(said(&all, &[]), Vec::<String>::new(), "one that holds no WAL is meant for other things");
    }
}
