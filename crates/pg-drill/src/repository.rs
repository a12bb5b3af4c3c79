//! What the repositories recorded when they were written: where each backup ended, and how far the WAL goes.

use crate::control::Control;
use crate::findings::{DrillFindings, severity};
use crate::recovered::Recovered;
use crate::rulebook;
use crate::sandbox::Inspected;
use toban_core::check::Finding;
use toban_core::repo::archive::{Archive, Inventory, Tail, TimelineSegments, covers};
use toban_core::repo::backups::{self, BaseBackup};
use toban_core::repo::keys::System;
use toban_core::repo::{Repo, Repos};
use toban_core::wal::{Lsn, Timeline, WalName};
use toban_core::{Context, Error, Result, Severity, shutdown};

/// One system in one repository.
pub(crate) struct Recorded {
    repo: Repo,
    system: System,
    backups: Vec<BaseBackup>,
    wal: Inventory,
    tails: Vec<Tail>,
}

/// Reads what is there before the restore begins: what comes later no drill is to blame for.
///
/// # Errors
/// When a repository cannot be asked.
pub(crate) fn read_repositories(repos: &Repos, cluster: &str) -> Result<Vec<Recorded>> {
    let mut recorded = Vec::new();
    for repo in repos {
        for system in System::all(&*repo.store, cluster)? {
            shutdown::check()?;
            let backups = backups::read_all(&*repo.store, &system);
            let backups = backups.doing(|| format!("look into repository {}", repo.name))?;
            let (wal, tails) = wal(repo, &system)?;
            recorded.push(Recorded { repo: repo.clone(), system, backups, wal, tails });
        }
    }
    Ok(recorded)
}

fn wal(repo: &Repo, system: &System) -> Result<(Inventory, Vec<Tail>)> {
    let archive = Archive::new(&*repo.store, system.clone());
    // In this order: a segment that becomes whole meanwhile has its tails still.
    let tails = archive.all_tails()?;
    Ok((archive.inventory()?, tails))
}

/// Compares how far recovery came with what was recorded; the backup that was restored, where it is known.
pub(crate) fn compare(
    recorded: &[Recorded],
    control: &Control,
    (seen, whole_way): (&Inspected, bool),
    recovered: &Recovered,
    findings: &mut DrillFindings,
) -> Option<BaseBackup> {
    let own: Vec<&Recorded> = recorded.iter().filter(|r| r.system.identifier == control.system).collect();
    if own.is_empty() && !recorded.is_empty() {
        findings.failed(
            &rulebook::SYSTEM,
            format!("no repository holds system {}, which was restored", control.system),
        );
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
            findings.judge(&rulebook::POSITION, recovered.lsn >= backup.stop_lsn, text);
            restored = Some(backup.clone());
        }
        if whole_way && seen.recovers {
            archive(one, control.segment, recovered, findings);
        }
    }
    if whole_way && seen.recovers {
        level(recorded, control.system, control.segment, findings);
    }
    restored
}

/// The end of the newest timeline that a repository has WAL of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct End {
    timeline: Timeline,
    lsn: Lsn,
}

fn end(wal: &Inventory, tails: &[Tail], size: u64) -> Option<End> {
    let last = |(timeline, line): (&Timeline, &TimelineSegments)| {
        let (_, last) = line.ranges(*timeline, size).pop()?;
        Some(End { timeline: *timeline, lsn: last.end() })
    };
    let begun = |(name, cover): (WalName, Vec<Tail>)| {
        let segment = name.segment(size)?;
        Some(End { timeline: segment.timeline, lsn: Lsn(segment.start().0 + cover.last()?.end()) })
    };
    wal.lines.iter().filter_map(last).chain(covers(tails).into_iter().filter_map(begun)).max()
}

/// Every repository with WAL must by now have what any of them had when the drill began: recovery takes each file from
/// whoever has it, so it succeeds though one of them alone would restore an older state.
fn level(recorded: &[Recorded], system: u64, size: u64, findings: &mut DrillFindings) {
    let own = || recorded.iter().filter(|r| r.system.identifier == system);
    let had = own().filter_map(|r| Some((end(&r.wal, &r.tails, size)?, r)));
    let Some((goal, best)) = had.max_by_key(|(end, _)| *end) else { return };
    // Of the segment that was being written one may have less: it is stored when it is whole.
    let whole = Lsn(goal.lsn.0 - goal.lsn.0 % size.max(1));
    for one in own().filter(|r| end(&r.wal, &r.tails, size).is_some()) {
        let (wal, tails) = match wal(&one.repo, &one.system) {
            Ok(now) => now,
            Err(e) => {
                findings.add(of_archive(one, Severity::Unknown, e.chain()));
                continue;
            }
        };
        let Some(now) = end(&wal, &tails, size) else { continue };
        let history = goal.timeline.0 <= 1 || wal.histories.contains(&goal.timeline);
        let there = now.timeline > goal.timeline || (now.timeline == goal.timeline && now.lsn >= whole);
        if !history {
            let text = format!(
                "the history of timeline {} is missing; {} goes on to it",
                goal.timeline, best.repo.name
            );
            findings.add(of_archive(one, Severity::Critical, text));
        } else if !there {
            let text = format!(
                "it ends at {} on timeline {}; when the drill began, {} had the WAL up to {} on timeline {}",
                now.lsn, now.timeline, best.repo.name, goal.lsn, goal.timeline
            );
            findings.add(of_archive(one, Severity::Critical, text));
        }
    }
}

fn of_archive(recorded: &Recorded, severity: Severity, text: String) -> Finding {
    Finding::new(&rulebook::ARCHIVE, severity).about(&recorded.repo.name).says(text)
}

/// Recovery to the end of what there is must come into the last segment of the newest timeline.
fn archive(one: &Recorded, size: u64, recovered: &Recovered, findings: &mut DrillFindings) {
    let last = |(timeline, line): (&Timeline, &TimelineSegments)| {
        line.ranges(*timeline, size).last().map(|(_, last)| *last)
    };
    let Some(last) = one.wal.lines.iter().rev().find_map(last) else { return };
    findings.compared += 1;
    let timeline = last.timeline;
    if recovered.timeline < timeline.0 {
        let known = one.wal.histories.contains(&timeline);
        let why = if known { "" } else { ", whose history is missing" };
        let text = format!(
            "recovery ended on timeline {}; the archive goes on to timeline {timeline}{why}",
            recovered.timeline
        );
        findings.add(of_archive(one, Severity::Critical, text));
        return;
    }
    let fine = recovered.timeline > timeline.0 || recovered.lsn >= last.start();
    let text = format!(
        "its last segment is {}, from {}; recovery reached {}",
        last.name(),
        last.start(),
        recovered.lsn
    );
    findings.add(of_archive(one, severity(fine), text));
}

/// The system that the repositories hold, for errors.
pub(crate) fn no_backup(recorded: &[Recorded], repos: &Repos) -> Option<Error> {
    let empty = recorded.iter().all(|r| r.backups.is_empty());
    empty.then(|| crate::findings::found(format!("there is no backup in {}", repos.names())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use toban_core::config::Keep;
    use toban_core::store::{Attrs, Dir, Store};

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
                let key = system.key(&key).expect("a key");
                store.put(&key, &mut &b"1\t0/5000000\tx\n"[..], &Attrs::new()).expect("stored");
            }
            Repo { name: name.into(), required: true, keep: Keep::default(), store: Arc::new(store) }
        };
        let recorded =
            read_repositories(&Repos::new(vec![repo("near", near), repo("far", far)]), "main").expect("read");
        let mut findings = DrillFindings::default();
        level(&recorded, 7, SIZE, &mut findings);
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
