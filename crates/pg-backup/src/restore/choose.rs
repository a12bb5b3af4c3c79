//! The backup for a target, or why there is none.

use super::archives::Archives;
use super::plan::format_time;
use super::recovery_target::RecoveryTarget;
use crate::cli::{self, TargetTimeline};
use crate::format::backup::{BackupCatalog, BackupManifest, StoredBackup, check_one_system};
use crate::format::catalog::{LATEST, Manifest};
use jiff::Timestamp;
use toban_core::repo::recovery_path::Reach;
use toban_core::repo::{Reached, Repos};
use toban_core::wal::{History, Lsn, Record, Timeline, What};
use toban_core::{Error, Result};

/// What fits.
pub(super) struct ChosenBackup {
    pub(super) stored: StoredBackup,
    /// The path to the newest timeline that was asked for.
    pub(super) history: History,
    /// The timeline on it where recovery ends, which the server is set to follow.
    pub(super) follows: Timeline,
    pub(super) reach: Reach,
    /// None: recovery runs to the end of the WAL.
    pub(super) stop: Option<RecoveryTarget>,
    /// The record that it stops at or before.
    pub(super) stop_at: Option<Lsn>,
}

/// A backup on the path, and how far it reaches.
struct Candidate<'a> {
    stored: &'a StoredBackup,
    reach: Reach,
}

impl Candidate<'_> {
    fn backup(&self) -> &BackupManifest {
        &self.stored.manifest
    }
}

/// What a recovery target can be restored from.
pub(super) struct UsableBackups {
    /// Oldest first: all of one system, or only the one that was named; each from the first repository that has it
    /// whole.
    pub(super) backups: Vec<StoredBackup>,
    /// The repositories that could be asked.
    pub(super) repos: Repos,
}

/// Finds them.
///
/// # Errors
/// Usage when there is none, or they are of several systems; that of the first repository when none could be asked.
pub(super) fn find_usable(repos: &Repos, cluster: &str, id: &str) -> Result<UsableBackups> {
    let read = repos.ask_each(|repo| BackupCatalog::read(repo, cluster, Timestamp::now()));
    let Reached { answers, unreached } = read.reached()?;
    unreached.iter().for_each(|(_, e)| log::warn!("{}; recovery will do without it", e.chain()));
    let (mut backups, mut asked) = (Vec::<StoredBackup>::new(), Vec::new());
    for (repo, catalog) in answers {
        catalog.damaged.iter().for_each(|e| log::warn!("repository {}: {}", repo.name, e.chain()));
        asked.push(repo.clone());
        let wanted = |s: &StoredBackup| match id {
            LATEST => s.damaged.is_none(),
            id => s.manifest.id.to_string() == id,
        };
        for stored in catalog.stored.into_iter().filter(wanted) {
            if backups.iter().all(|s| s.manifest.id != stored.manifest.id) {
                backups.push(stored);
            }
        }
    }
    backups.sort_by(BackupManifest::compare);
    check_one_system(&backups)?;
    match (backups.is_empty(), unreached.into_iter().next()) {
        (false, _) => Ok(UsableBackups { backups, repos: Repos::new(asked) }),
        (true, Some((_, e))) => Err(e),
        (true, None) => {
            let e = Error::usage(format!("no backup {id} of cluster {cluster}"));
            Err(e.hint("`pg-backup list` shows what there is"))
        }
    }
}

/// Chooses among `backups`, which are of one system and sorted.
///
/// # Errors
/// Failed, with the nearest targets that can be reached.
pub(super) fn choose_backup(
    args: &cli::Restore,
    backups: &[StoredBackup],
    archives: &Archives,
    target: &RecoveryTarget,
) -> Result<ChosenBackup> {
    let history = archives.path.history_of(choose_timeline(args, backups, archives)?);
    let reach = |stored: &StoredBackup| archives.path.reach(&history, &stored.manifest.wal_range());
    let candidates = backups.iter().filter_map(|stored| Some(Candidate { stored, reach: reach(stored)? }));
    let candidates: Vec<Candidate<'_>> = candidates.collect();
    if candidates.is_empty() {
        let e = Error::failed(format!("no backup lies on the path to timeline {}", history.timeline));
        return Err(e.hint(format!("follow another: --target-timeline {}", list_timelines(backups))));
    }
    check_branches(args, backups, &candidates, target)?;
    let search = TargetSearch {
        archives,
        history: &history,
        candidates: &candidates,
        exclusive: args.to.target_exclusive,
    };
    let (candidate, at) = match target {
        RecoveryTarget::Latest => (search.find_latest()?, None),
        RecoveryTarget::Lsn(lsn) => search.find_lsn(*lsn)?,
        RecoveryTarget::Time(at) => search.find_time(*at)?,
        RecoveryTarget::Name(name) => {
            let named =
                |r: &Record| matches!(&r.what, What::Point { name: n, .. } if n == name).then_some(r.lsn);
            search.find_mark(&named, &format!("restore point {name:?}"))?
        }
        RecoveryTarget::Xid(xid) => {
            let ended = |r: &Record| matches!(r.what, What::End { xid: x, .. } if x == *xid).then_some(r.lsn);
            search.find_mark(&ended, &format!("end of transaction {xid}"))?
        }
    };
    let follows = search.find_timeline(candidate, at);
    let (stored, reach) = (candidate.stored.clone(), candidate.reach);
    Ok(ChosenBackup { stored, follows, reach, stop: at.map(|_| target.clone()), stop_at: at, history })
}

/// Two servers may have gone on from one: that of the newest timeline is not the one that is meant when the newest
/// backup is of the other.
///
/// # Errors
/// Failed, with both timelines, when no flag says which.
fn check_branches(
    args: &cli::Restore,
    backups: &[StoredBackup],
    on: &[Candidate<'_>],
    target: &RecoveryTarget,
) -> Result<()> {
    if args.to.target_timeline != TargetTimeline::Latest || args.id != LATEST {
        return Ok(());
    }
    let newest = on.iter().map(|c| c.backup().finished).max();
    let elsewhere = |s: &&StoredBackup| on.iter().all(|c| c.backup().id != s.manifest.id);
    let other = backups.iter().filter(elsewhere).max_by_key(|s| s.manifest.finished);
    let Some(other) = other.filter(|s| Some(s.manifest.finished) > newest).map(|s| &s.manifest) else {
        return Ok(());
    };
    let stray = format!(
        "the newest backup, {} of {}, is of timeline {} and not on the path to the newest timeline",
        other.id,
        format_time(other.finished),
        other.timeline
    );
    if *target != RecoveryTarget::Latest {
        log::warn!(
            "{stray}: a time after the two went apart means another state on each; --target-timeline says which is meant"
        );
        return Ok(());
    }
    let e = Error::failed(format!("{stray}: two servers wrote into this repository"));
    Err(e.hint(format!(
        "say which is meant: --target-timeline {}, or the number of the other",
        other.timeline
    )))
}

fn list_timelines(backups: &[StoredBackup]) -> String {
    let mut all: Vec<u32> = backups.iter().map(|s| s.manifest.timeline.0).collect();
    all.dedup();
    all.iter().map(u32::to_string).collect::<Vec<_>>().join(" or ")
}

/// The timeline to follow. The latest is that of the whole archive, not of some backup: if none leads there, that is
/// said instead of an older one being restored.
fn choose_timeline(args: &cli::Restore, backups: &[StoredBackup], archives: &Archives) -> Result<Timeline> {
    let newest = &backups.last().ok_or_else(|| Error::usage("there is no backup"))?.manifest;
    match args.to.target_timeline {
        TargetTimeline::Number(number) => Ok(number),
        TargetTimeline::Current => Ok(newest.timeline),
        TargetTimeline::Latest if args.id != LATEST => archives.path.newest_timeline(&newest.wal_range()),
        TargetTimeline::Latest => {
            let known = archives.path.histories.keys().max().copied().unwrap_or(newest.timeline);
            let taken = backups.iter().map(|s| s.manifest.timeline).max().unwrap_or(known);
            // Asked of the newest backup for its complaint about histories that are missing.
            Ok(archives.path.newest_timeline(&newest.wal_range())?.max(known).max(taken))
        }
    }
}

struct TargetSearch<'a> {
    archives: &'a Archives,
    history: &'a History,
    /// Oldest first.
    candidates: &'a [Candidate<'a>],
    exclusive: bool,
}

impl<'a> TargetSearch<'a> {
    fn find_latest(&self) -> Result<&'a Candidate<'a>> {
        let newest = self.candidates.last().expect("there is one");
        match newest.reach.missing {
            None => Ok(newest),
            Some(_) => Err(self.explain_unreachable("the end of the WAL", newest)?),
        }
    }

    /// The timeline to follow: the one on which recovery ends. A server that is set to a later one and stops before that
    /// began would write into its history that it came from there.
    fn find_timeline(&self, candidate: &Candidate<'_>, at: Option<Lsn>) -> Timeline {
        let (history, path) = (self.history, &self.archives.path);
        let end = at.unwrap_or(candidate.reach.to);
        let older = history.timeline_at(end);
        let on_it = history.ancestor(older).and_then(|h| path.reach(&h, &candidate.backup().wal_range()));
        // The older timeline's own copy of its last segment may be missing.
        let follows = match on_it {
            Some(reach) if reach.to > end || at.is_none() && reach.to == end => older,
            _ => history.timeline,
        };
        let begins = history.switches.last().map(|s| s.end).filter(|begins| at.is_none() && *begins > end);
        if let Some(begins) = begins {
            log::warn!(
                "timeline {} begins at {begins}, and nothing of it is in the repositories: recovery ends before it, at {end}",
                history.timeline
            );
        }
        follows
    }

    fn find_lsn(&self, lsn: Lsn) -> Result<(&'a Candidate<'a>, Option<Lsn>)> {
        let Some(candidate) = self.candidates.iter().rev().find(|c| c.backup().stop_lsn <= lsn) else {
            return Err(self.too_early(&format!("position {lsn}")));
        };
        let range = lsn..candidate.reach.to;
        let there = match lsn < candidate.reach.to {
            true => self.archives.find_record(self.history, range, &|r| (r.lsn >= lsn).then_some(r.lsn))?,
            false => None,
        };
        self.choose_stop(candidate, RecoveryTarget::Lsn(lsn), there, lsn <= candidate.reach.to)
    }

    fn find_time(&self, at: jiff::Timestamp) -> Result<(&'a Candidate<'a>, Option<Lsn>)> {
        let Some(candidate) = self.candidates.iter().rev().find(|c| c.backup().finished <= at) else {
            return Err(self.too_early(&format!("time {at}")));
        };
        let (from, to) = (candidate.backup().stop_lsn, candidate.reach.to);
        let from = self.archives.find_since(self.history, from, to, at)?;
        let later = |r: &Record| match r.what {
            What::End { at: ended, .. } if ended > at || (self.exclusive && ended == at) => Some(r.lsn),
            _ => None,
        };
        let there = self.archives.find_record(self.history, from..to, &later)?;
        let newest = self.archives.newest_written(self.history, candidate.backup(), &candidate.reach)?;
        self.choose_stop(candidate, RecoveryTarget::Time(at), there, at <= newest)
    }

    /// `there`: the record that PostgreSQL finds to stop at. Without one it would end with an error at the end of the WAL,
    /// though everything up to the target is `shipped`.
    fn choose_stop(
        &self,
        candidate: &'a Candidate<'a>,
        target: RecoveryTarget,
        there: Option<Lsn>,
        shipped: bool,
    ) -> Result<(&'a Candidate<'a>, Option<Lsn>)> {
        if there.is_some() {
            return Ok((candidate, there));
        }
        let described = target.describe(self.exclusive);
        if !shipped || candidate.reach.missing.is_some() {
            return Err(self.explain_unreachable(&described, candidate)?);
        }
        log::warn!(
            "nothing is committed or written after {described}: recovery runs to the end of the WAL, which is the same"
        );
        Ok((candidate, None))
    }

    /// The newest backup after whose end recovery meets the record.
    fn find_mark(
        &self,
        wanted: &dyn Fn(&Record) -> Option<Lsn>,
        what: &str,
    ) -> Result<(&'a Candidate<'a>, Option<Lsn>)> {
        let mut end = Lsn(u64::MAX);
        for candidate in self.candidates.iter().rev() {
            let stop = candidate.backup().stop_lsn;
            let range = stop..candidate.reach.to.min(end);
            if let Some(at) = self.archives.find_record(self.history, range, wanted)? {
                return Ok((candidate, Some(at)));
            }
            end = stop;
        }
        let oldest = &self.candidates[0];
        let e = Error::failed(format!(
            "no {what} in the WAL on the path to timeline {}, from {} on",
            self.history.timeline,
            oldest.backup().stop_lsn
        ));
        Err(e.hint("is it of another timeline (--target-timeline), or not shipped yet? `wal-shipper list` shows what there is"))
    }

    fn too_early(&self, what: &str) -> Error {
        let oldest = self.candidates[0].backup();
        let e = Error::failed(format!("{what} lies before the end of the oldest backup"));
        e.hint(format!("the nearest that can be reached: {} (position {})", oldest.finished, oldest.stop_lsn))
    }

    /// Beyond what was shipped, or in a missing range.
    fn explain_unreachable(&self, what: &str, candidate: &Candidate<'_>) -> Result<Error> {
        let newest = self.archives.newest_written(self.history, candidate.backup(), &candidate.reach)?;
        let to = candidate.reach.to;
        let near =
            format!("the nearest before it that can be reached: {} (position {to})", format_time(newest));
        let Some(hole) = candidate.reach.missing else {
            return Ok(
                Error::failed(format!("{what} is later than the newest WAL in the repositories")).hint(near)
            );
        };
        let (first, last) = (hole.first.name(), hole.last.name());
        let e = Error::failed(format!("{what} cannot be reached: {first} to {last} are missing"));
        let next = self.candidates.iter().map(Candidate::backup).find(|b| b.stop_lsn >= to);
        Ok(match next {
            Some(b) => e.hint(format!("{near}; after it: {} (position {})", b.finished, b.stop_lsn)),
            None => e.hint(near),
        })
    }
}
