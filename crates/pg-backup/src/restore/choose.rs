//! The backup for a moment, or why there is none.

use super::archives::Archives;
use super::plan::shown;
use super::recovery_target::RecoveryTarget;
use crate::cli::{self, TargetTimeline};
use crate::format::backup::{BackupCatalog, BackupManifest, StoredBackup, check_one_system};
use crate::format::catalog::{LATEST, Manifest};
use jiff::Timestamp;
use toban_core::repo::Repo;
use toban_core::repo::recovery_path::Reach;
use toban_core::wal::{History, Lsn, Record, Timeline, What};
use toban_core::{Error, Result};

/// What fits.
pub(super) struct Choice {
    pub(super) stored: StoredBackup,
    /// The way to the newest timeline that was asked for.
    pub(super) history: History,
    /// The timeline on it where recovery ends, which the server is told to follow.
    pub(super) follows: Timeline,
    pub(super) reach: Reach,
    /// None: recovery runs to the end of the WAL.
    pub(super) stop: Option<RecoveryTarget>,
}

/// A backup on the way, and how far it reaches.
struct Candidate<'a> {
    stored: &'a StoredBackup,
    reach: Reach,
}

impl Candidate<'_> {
    fn backup(&self) -> &BackupManifest {
        &self.stored.manifest
    }
}

/// Every backup that a moment can be restored from, oldest first: all of one system, or only that of `id`; each from
/// the first repository that has it whole. And the repositories that could be asked.
///
/// # Errors
/// Usage when there is none, or they are of several systems; that of the first repository when none could be asked.
pub(super) fn find_usable(repos: &[Repo], cluster: &str, id: &str) -> Result<(Vec<StoredBackup>, Vec<Repo>)> {
    let (mut found, mut asked, mut failure) = (Vec::<StoredBackup>::new(), Vec::new(), None);
    for repo in repos {
        let catalog = match BackupCatalog::read(repo, cluster, Timestamp::now()) {
            Ok(catalog) => catalog,
            Err(e) => {
                log::warn!("repository {}: {}; recovery will do without it", repo.name, e.chain());
                failure = failure.or(Some(e));
                continue;
            }
        };
        catalog.damaged.iter().for_each(|e| log::warn!("repository {}: {}", repo.name, e.chain()));
        asked.push(repo.clone());
        let wanted = |s: &StoredBackup| match id {
            LATEST => s.damaged.is_none(),
            id => s.manifest.id.to_string() == id,
        };
        for stored in catalog.stored.into_iter().filter(wanted) {
            if found.iter().all(|s| s.manifest.id != stored.manifest.id) {
                found.push(stored);
            }
        }
    }
    found.sort_by(BackupManifest::compare);
    match (check_one_system(&found)?, found.is_empty(), failure) {
        ((), false, _) => Ok((found, asked)),
        ((), true, Some(e)) => Err(e),
        ((), true, None) => {
            let e = Error::usage(format!("no backup {id} of cluster {cluster}"));
            Err(e.hint("`pg-backup list` shows what there is"))
        }
    }
}

/// Chooses among `backups`, which are of one system and sorted.
///
/// # Errors
/// Failed, with the nearest moments that can be reached.
pub(super) fn choose(
    args: &cli::Restore,
    backups: &[StoredBackup],
    reading: &Archives<'_>,
    moment: &RecoveryTarget,
) -> Result<Choice> {
    let history = reading.path.history_of(timeline(args, backups, reading)?);
    let reach = |stored: &StoredBackup| reading.path.reach(&history, &stored.manifest.wal_range());
    let candidates = backups.iter().filter_map(|stored| Some(Candidate { stored, reach: reach(stored)? }));
    let candidates: Vec<Candidate<'_>> = candidates.collect();
    if candidates.is_empty() {
        let e = Error::failed(format!("no backup lies on the path to timeline {}", history.timeline));
        return Err(e.hint(format!("follow another: --target-timeline {}", timelines(backups))));
    }
    stray(args, backups, &candidates, moment)?;
    let search =
        Search { reading, history: &history, candidates: &candidates, exclusive: args.to.target_exclusive };
    let (candidate, at) = match moment {
        RecoveryTarget::Latest => (search.latest()?, None),
        RecoveryTarget::Lsn(lsn) => search.lsn(*lsn)?,
        RecoveryTarget::Time(at) => search.time(*at)?,
        RecoveryTarget::Name(name) => {
            let named =
                |r: &Record| matches!(&r.what, What::Point { name: n, .. } if n == name).then_some(r.lsn);
            search.mark(&named, &format!("restore point {name:?}"))?
        }
        RecoveryTarget::Xid(xid) => {
            let ended = |r: &Record| matches!(r.what, What::End { xid: x, .. } if x == *xid).then_some(r.lsn);
            search.mark(&ended, &format!("end of transaction {xid}"))?
        }
    };
    let follows = search.follows(candidate, at);
    let (stored, reach) = (candidate.stored.clone(), candidate.reach);
    Ok(Choice { stored, follows, reach, stop: at.map(|_| moment.clone()), history })
}

/// Two servers may have gone on from one: that of the newest timeline is not the one that is meant when the newest
/// backup is of the other.
///
/// # Errors
/// Failed, with both timelines, when nobody said which.
fn stray(
    args: &cli::Restore,
    backups: &[StoredBackup],
    on: &[Candidate<'_>],
    moment: &RecoveryTarget,
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
    let said = format!(
        "the newest backup, {} of {}, is of timeline {} and not on the path to the newest timeline",
        other.id,
        shown(other.finished),
        other.timeline
    );
    if *moment != RecoveryTarget::Latest {
        log::warn!(
            "{said}: a moment after the two went apart is another on each; --target-timeline says which is meant"
        );
        return Ok(());
    }
    let e = Error::failed(format!("{said}: two servers wrote into this repository"));
    Err(e.hint(format!(
        "say which is meant: --target-timeline {}, or the number of the other",
        other.timeline
    )))
}

fn timelines(backups: &[StoredBackup]) -> String {
    let mut all: Vec<u32> = backups.iter().map(|s| s.manifest.timeline.0).collect();
    all.dedup();
    all.iter().map(u32::to_string).collect::<Vec<_>>().join(" or ")
}

/// The timeline to follow. The latest is that of the whole archive, not of some backup: if none leads there, that is
/// said instead of an older one being restored.
fn timeline(args: &cli::Restore, backups: &[StoredBackup], reading: &Archives<'_>) -> Result<Timeline> {
    let newest = &backups.last().ok_or_else(|| Error::usage("there is no backup"))?.manifest;
    match args.to.target_timeline {
        TargetTimeline::Number(number) => Ok(number),
        TargetTimeline::Current => Ok(newest.timeline),
        TargetTimeline::Latest if args.id != LATEST => reading.path.newest_timeline(&newest.wal_range()),
        TargetTimeline::Latest => {
            let known = reading.path.histories.keys().max().copied().unwrap_or(newest.timeline);
            let taken = backups.iter().map(|s| s.manifest.timeline).max().unwrap_or(known);
            // Asked of the newest backup for its complaint about histories that are missing.
            Ok(reading.path.newest_timeline(&newest.wal_range())?.max(known).max(taken))
        }
    }
}

struct Search<'a> {
    reading: &'a Archives<'a>,
    history: &'a History,
    /// Oldest first.
    candidates: &'a [Candidate<'a>],
    exclusive: bool,
}

impl<'a> Search<'a> {
    fn latest(&self) -> Result<&'a Candidate<'a>> {
        let newest = self.candidates.last().expect("there is one");
        match newest.reach.missing {
            None => Ok(newest),
            Some(_) => Err(self.unreachable("the end of the WAL", newest)?),
        }
    }

    /// The timeline to follow: the one on which recovery ends. A server that is told a later one and stops before that
    /// began would write into its history that it came from there.
    fn follows(&self, candidate: &Candidate<'_>, at: Option<Lsn>) -> Timeline {
        let (history, path) = (self.history, &self.reading.path);
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

    fn lsn(&self, lsn: Lsn) -> Result<(&'a Candidate<'a>, Option<Lsn>)> {
        let Some(candidate) = self.candidates.iter().rev().find(|c| c.backup().stop_lsn <= lsn) else {
            return Err(self.too_early(&format!("position {lsn}")));
        };
        let range = (lsn, candidate.reach.to);
        let there = match lsn < candidate.reach.to {
            true => self.reading.find(self.history, range, &|r| (r.lsn >= lsn).then_some(r.lsn))?,
            false => None,
        };
        self.stop(candidate, RecoveryTarget::Lsn(lsn), there, lsn <= candidate.reach.to)
    }

    fn time(&self, at: jiff::Timestamp) -> Result<(&'a Candidate<'a>, Option<Lsn>)> {
        let Some(candidate) = self.candidates.iter().rev().find(|c| c.backup().finished <= at) else {
            return Err(self.too_early(&format!("time {at}")));
        };
        let (from, to) = (candidate.backup().stop_lsn, candidate.reach.to);
        let from = self.reading.since(self.history, from, to, at)?;
        let later = |r: &Record| match r.what {
            What::End { at: ended, .. } if ended > at || (self.exclusive && ended == at) => Some(r.lsn),
            _ => None,
        };
        let there = self.reading.find(self.history, (from, to), &later)?;
        let newest = self.reading.newest(self.history, candidate.backup(), &candidate.reach)?;
        self.stop(candidate, RecoveryTarget::Time(at), there, at <= newest)
    }

    /// `there`: the record that PostgreSQL finds to stop at. Without one it would end with an error at the end of the WAL,
    /// though everything up to the moment is `shipped`.
    fn stop(
        &self,
        candidate: &'a Candidate<'a>,
        moment: RecoveryTarget,
        there: Option<Lsn>,
        shipped: bool,
    ) -> Result<(&'a Candidate<'a>, Option<Lsn>)> {
        if there.is_some() {
            return Ok((candidate, there));
        }
        let said = moment.describe(self.exclusive);
        if !shipped || candidate.reach.missing.is_some() {
            return Err(self.unreachable(&said, candidate)?);
        }
        log::warn!(
            "nothing is committed or written behind {said}: recovery runs to the end of the WAL, which is the same"
        );
        Ok((candidate, None))
    }

    /// The newest backup behind which recovery meets the record.
    fn mark(
        &self,
        wanted: &dyn Fn(&Record) -> Option<Lsn>,
        what: &str,
    ) -> Result<(&'a Candidate<'a>, Option<Lsn>)> {
        let mut end = Lsn(u64::MAX);
        for candidate in self.candidates.iter().rev() {
            let stop = candidate.backup().stop_lsn;
            let range = (stop, candidate.reach.to.min(end));
            if let Some(at) = self.reading.find(self.history, range, wanted)? {
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

    /// Beyond what was shipped, or in WAL that is missing.
    fn unreachable(&self, what: &str, candidate: &Candidate<'_>) -> Result<Error> {
        let newest = self.reading.newest(self.history, candidate.backup(), &candidate.reach)?;
        let to = candidate.reach.to;
        let near = format!("the nearest before it that can be reached: {} (position {to})", shown(newest));
        let Some(missing) = candidate.reach.missing else {
            return Ok(
                Error::failed(format!("{what} lies behind the newest WAL in the repositories")).hint(near)
            );
        };
        let (first, last) = (missing.first.name(), missing.last.name());
        let e = Error::failed(format!("{what} cannot be reached: {first} to {last} are missing"));
        let next = self.candidates.iter().map(Candidate::backup).find(|b| b.stop_lsn >= to);
        Ok(match next {
            Some(b) => e.hint(format!("{near}; behind it: {} (position {})", b.finished, b.stop_lsn)),
            None => e.hint(near),
        })
    }
}
