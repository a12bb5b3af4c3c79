//! `restore --target…`: the right backup for a moment, which moments can be reached, and what the server must be told.

mod choose;
mod reading;
mod shipper;

use super::super::catalog::{self, Stored};
use super::super::outline::{self, Outline};
use super::created::{self, OnTheWay};
use super::target::Target;
use crate::cli;
use crate::manifest::Id;
use crate::physical::backup::Backup;
use crate::physical::reach::own;
use choose::Choice;
use jiff::Timestamp;
use jiff::civil::DateTime;
use reading::Reading;
use serde::Serialize;
use shipper::Wanted;
use toban_core::config::Config;
use toban_core::pg::setting;
use toban_core::repo::Repo;
use toban_core::wal::{Lsn, Timeline};
use toban_core::{Error, Record, Result};

/// The moment that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// The end of what the repositories have.
    Latest,
    Time(Timestamp),
    Lsn(Lsn),
    Name(String),
    Xid(u32),
}

impl Moment {
    /// None: the end of the backup, from its own WAL.
    ///
    /// # Errors
    /// Usage for a time that could be meant in several zones.
    pub(super) fn of(to: &cli::To) -> Result<Option<Moment>> {
        if let Some(text) = &to.target_time {
            return time(text, to.utc).map(|at| Some(Moment::Time(at)));
        }
        let latest = (to.target == Some(cli::Stop::Latest)).then_some(Moment::Latest);
        // PostgreSQL shows them with an epoch in front, and compares without.
        let xid = || to.target_xid.map(|x| Moment::Xid(u32::try_from(x & 0xFFFF_FFFF).unwrap_or_default()));
        let name = || to.target_name.clone().map(Moment::Name);
        Ok(latest.or_else(|| to.target_lsn.map(Moment::Lsn)).or_else(name).or_else(xid))
    }
}

fn time(text: &str, utc: bool) -> Result<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let bad = |e| Error::usage(format!("{text:?} is not a time")).because(e);
    let civil: DateTime = text.parse().map_err(|e| bad(e).hint("as 2026-11-21T03:00:00+01:00"))?;
    if utc {
        return Ok(civil.to_zoned(jiff::tz::TimeZone::UTC).map_err(bad)?.timestamp());
    }
    let e = Error::usage(format!("{text:?} has no time zone"));
    Err(e.hint(format!("write {text}Z, {text}+01:00, or give --utc")))
}

/// What will be done.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) stored: Stored,
    timeline: Timeline,
    /// None: recovery runs to the end of the WAL.
    stop: Option<Moment>,
    exclusive: bool,
    action: cli::Action,
    command: String,
    reachable: Reachable,
    pub(super) outline: Outline,
    pub(super) way: OnTheWay,
}

/// Which moments can be restored from the backup, and which one will be: said before anything is written.
#[derive(Clone, Serialize)]
pub(super) struct Reachable {
    id: Id,
    repo: String,
    timeline: Timeline,
    from_lsn: Lsn,
    from_time: Timestamp,
    to_lsn: Lsn,
    to_time: Timestamp,
    /// Where recovery will end.
    stops_at: String,
}

impl Record for Reachable {
    const SCHEMA: &'static str = "pg-backup.restore-moment/1";
    const HEAD: &'static [&'static str] =
        &["backup", "in", "timeline", "reaches from", "from time", "to", "to time", "stops at"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.repo.clone(),
            self.timeline.to_string(),
            self.from_lsn.to_string(),
            shown(self.from_time),
            self.to_lsn.to_string(),
            shown(self.to_time),
            self.stops_at.clone(),
        ]
    }
}

/// A time for people, in UTC and to the millisecond.
fn shown(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Chooses the backup and the settings for `moment`; nothing is written.
///
/// # Errors
/// Failed for a moment that cannot be reached, with the nearest that can; Retry when a repository that may decide it
/// could not be asked.
pub(super) fn plan(args: &cli::Restore, config: &Config, repos: &[Repo], moment: Moment) -> Result<Plan> {
    let (backups, asked) = catalog::every(repos, &args.repos.cluster, &args.id)?;
    if moment == Moment::Latest && asked.len() < repos.len() {
        let e = Error::retry("a repository cannot be asked: what is the latest is not known");
        return Err(e.hint("name those that answer by --repo, to take what they have"));
    }
    let reading = Reading::open(&asked, &backups)?;
    let Choice { stored, history, follows: timeline, reach, stop } =
        choose::choose(args, &backups, &reading, &moment)?;
    let wanted = Wanted { system: stored.backup.system()?, timeline };
    let command = shipper::command(args, config, &asked, &wanted)?;
    let stops_at = match &stop {
        None => "the end of the WAL".to_string(),
        Some(stop) => said(stop, args.to.target_exclusive),
    };
    let reachable = Reachable {
        id: stored.backup.id.clone(),
        repo: stored.repo.name.clone(),
        timeline,
        from_lsn: stored.backup.stop_lsn,
        from_time: stored.backup.finished,
        to_lsn: reach.to,
        to_time: reading.newest(&history, &stored.backup, &reach)?,
        stops_at,
    };
    let (exclusive, action) = (args.to.target_exclusive, args.to.target_action);
    if stop.is_none() && action != cli::Action::Promote {
        log::warn!("at the end of the WAL the server is promoted whatever --target-action says");
    }
    let outline = outline::read(&stored)?;
    let end = created::End { to: reach.to, stop: stop.as_ref(), exclusive };
    let way = created::read(&stored, &outline, &|lsn| reading.content(&history, lsn), &end)?;
    Ok(Plan { stored, timeline, stop, exclusive, action, command, reachable, outline, way })
}

/// Says when the repositories have WAL behind the end of the backup, which a restore without a moment leaves out.
pub(super) fn tell_more(args: &cli::Restore, repos: &[Repo], stored: &Stored) {
    if args.to.immediate() {
        return;
    }
    let backup = &stored.backup;
    let more = || -> Result<Option<(Lsn, Timestamp)>> {
        let reading = Reading::open(repos, std::slice::from_ref(stored))?;
        let own = own(backup);
        let history = reading.way.history(reading.way.newest(&own)?);
        let reach = reading.way.reach(&history, &own).filter(|reach| goes_further(backup, reach.to));
        reach.map(|reach| Ok((reach.to, reading.newest(&history, backup, &reach)?))).transpose()
    };
    match more() {
        Ok(None) => {}
        Ok(Some((to, at))) => log::warn!(
            "this restores to the end of the backup, {} ({}); the repositories have WAL up to {} ({to}), which is left \
             out: add --target latest to have it, or --target immediate to say that it is meant",
            shown(backup.finished),
            backup.stop_lsn,
            shown(at)
        ),
        Err(e) => log::warn!("whether there is WAL behind the end of the backup is not known: {}", e.chain()),
    }
}

/// Beyond the segment that the backup ended.
fn goes_further(backup: &Backup, to: Lsn) -> bool {
    to.0 > backup.stop_lsn.0.div_ceil(backup.wal_segment_size) * backup.wal_segment_size
}

fn said(stop: &Moment, exclusive: bool) -> String {
    let what = match stop {
        Moment::Latest => "the end of the WAL".into(),
        Moment::Time(at) => format!("time {at}"),
        Moment::Lsn(lsn) => format!("position {lsn}"),
        Moment::Name(name) => format!("restore point {name}"),
        Moment::Xid(xid) => format!("transaction {xid}"),
    };
    if exclusive { format!("{what}, exclusive") } else { what }
}

impl Plan {
    /// What is said before the first write.
    pub(super) fn reachable(&self) -> &Reachable {
        &self.reachable
    }

    /// Where recovery ends, and what the server does then.
    pub(super) fn ends(&self) -> String {
        let action = if self.stop.is_none() { cli::Action::Promote } else { self.action };
        format!("{}, then {}s", self.reachable.stops_at, action.word())
    }

    /// The timeline that recovery follows.
    pub(super) fn timeline(&self) -> Timeline {
        self.timeline
    }

    /// Tries the restore_command as the server will run it.
    ///
    /// # Errors
    /// Failed when it does not do what recovery needs, with what it said.
    pub(super) fn try_command(&self, args: &cli::Restore, target: &Target) -> Result<()> {
        shipper::attempt(&self.command, &shipper::Around::of(args, target))
    }

    /// Says which tables nobody can read while recovery pauses.
    pub(super) fn tell_locks(&self) {
        if self.stop.is_none() || self.action != cli::Action::Pause {
            return;
        }
        for (xid, locked) in &self.way.locked {
            log::warn!(
                "at that moment transaction {xid} holds table {} of database {} (their OIDs) locked, as DROP and ALTER do: \
                 a query of it waits until recovery goes on; to read it, pause before the lock: --target-lsn {} --target-exclusive",
                locked.table,
                locked.database,
                locked.lsn
            );
        }
    }

    /// The settings of recovery, for postgresql.auto.conf; with `changes` in the WAL.
    pub(super) fn settings(&self, changes: bool) -> String {
        let changes = if changes { format!(" --changes {}", super::finish::CHANGES) } else { String::new() };
        let mut text = format!("restore_command = {}\n", setting(&format!("{}{changes}", self.command)));
        // A number, not `latest`: recovery follows the timeline that was promised, and no other.
        text += &format!("recovery_target_timeline = '{}'\n", self.timeline);
        let target = match &self.stop {
            None | Some(Moment::Latest) => return text,
            Some(Moment::Time(at)) => ("time", at.strftime("%Y-%m-%d %H:%M:%S%.6f+00").to_string()),
            Some(Moment::Lsn(lsn)) => ("lsn", lsn.to_string()),
            Some(Moment::Name(name)) => ("name", name.clone()),
            Some(Moment::Xid(xid)) => ("xid", xid.to_string()),
        };
        text += &format!("recovery_target_{} = {}\n", target.0, setting(&target.1));
        text += &format!("recovery_target_action = '{}'\n", self.action.word());
        if self.exclusive {
            text += "recovery_target_inclusive = 'off'\n";
        }
        if self.stored.backup.major >= 15 {
            // It asks for the segment behind the target, and a hole there would end recovery before the target.
            text += "recovery_prefetch = 'off'\n";
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_needs_a_zone() {
        let of = |text: &str, utc| time(text, utc).map(|at| at.to_string()).map_err(|e| e.chain());
        let three = Ok("2026-11-21T03:00:00Z".to_string());
        for text in ["2026-11-21T03:00:00Z", "2026-11-21 04:00:00+01", "2026-11-21T04:00+01:00[Europe/Paris]"]
        {
            assert_eq!((of(text, false), of(text, true)), (three.clone(), three.clone()), "{text}");
        }
        assert_eq!(of("2026-11-21 03:00:00", true), three);
        for text in ["2026-11-21 03:00:00", "2026-11-21"] {
            assert!(of(text, false).expect_err("refused").contains("no time zone"), "{text}");
        }
        assert!(of("yesterday", true).is_err());
    }
}
