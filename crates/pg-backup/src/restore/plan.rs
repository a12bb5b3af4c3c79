//! `restore --target…`: the right backup for a recovery target, which targets can be reached, and the settings that the server needs.

use super::archives::Archives;
use super::choose::{self, ChosenBackup, UsableBackups};
use super::recovery_target::RecoveryTarget;
use super::restore_command::{self, ServerEnvironment, Wanted};
use super::wal_effects::{self, ReplayEnd, WalEffects};
use crate::cli;
use crate::format::backup::{BackupManifest, StoredBackup, unlock_backup};
use crate::format::id::Id;
use crate::format::outline::{self, Outline};
use jiff::Timestamp;
use serde::Serialize;
use std::cell::Cell;
use toban_core::config::Config;
use toban_core::pg::quote_setting;
use toban_core::repo::Repos;
use toban_core::repo::recovery_path::Reach;
use toban_core::wal::{History, Lsn, Record as WalRecord, Timeline, What};
use toban_core::{Error, Record, Result};

/// Segments before the target in which a transaction ends as a rule.
const NEAR: u64 = 4;

/// What will be done.
pub(super) struct RecoveryPlan {
    pub(super) stored: StoredBackup,
    pub(super) archives: Archives,
    pub(super) history: History,
    pub(super) reach: Reach,
    timeline: Timeline,
    /// None: recovery runs to the end of the WAL.
    stop: Option<RecoveryTarget>,
    /// The record that it stops at or before.
    stop_at: Option<Lsn>,
    exclusive: bool,
    action: cli::TargetAction,
    command: String,
    reachable: Reachable,
    pub(super) outline: Outline,
    pub(super) effects: WalEffects,
}

/// Which targets can be reached from the backup, and which one is meant: printed before anything is written.
#[derive(Clone, Serialize)]
pub(crate) struct Reachable {
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
    const SCHEMA: &'static str = "pg-backup.recovery-target/1";
    const HEAD: &'static [&'static str] =
        &["backup", "in", "timeline", "reaches from", "from time", "to", "to time", "stops at"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.repo.clone(),
            self.timeline.to_string(),
            self.from_lsn.to_string(),
            format_time(self.from_time),
            self.to_lsn.to_string(),
            format_time(self.to_time),
            self.stops_at.clone(),
        ]
    }
}

/// A time for people, in UTC and to the millisecond.
pub(super) fn format_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Chooses the backup and the settings for `target`; nothing is written.
///
/// # Errors
/// Failed for a target that cannot be reached, with the nearest that can; Retry when a repository that may decide it
/// could not be asked.
pub(super) fn plan_recovery(
    args: &cli::Restore,
    config: &Config,
    repos: &Repos,
    target: RecoveryTarget,
) -> Result<RecoveryPlan> {
    let UsableBackups { backups, repos: asked } = choose::find_usable(repos, &args.repos.cluster, &args.id)?;
    // The one that is away may have WAL that no other has. Recovery would end before it and promote, and the
    // transactions in it would be lost without a message.
    if target == RecoveryTarget::Latest && asked.len() < repos.len() {
        let e = Error::retry("a repository cannot be asked: what is the latest is not known");
        return Err(e.hint("name those that answer by --repo, to take what they have"));
    }
    let archives = Archives::open(&asked, &backups)?;
    let ChosenBackup { stored, history, follows: timeline, reach, stop, stop_at } =
        choose::choose_backup(args, &backups, &archives, &target)?;
    let stored = unlock_backup(stored)?;
    let wanted = Wanted { system: stored.manifest.system()?, timeline };
    let command = restore_command::build_command(args, config, &asked, &wanted)?;
    let stops_at = match &stop {
        None => "the end of the WAL".to_string(),
        Some(stop) => stop.describe(args.to.target_exclusive),
    };
    let reachable = Reachable {
        id: stored.manifest.id.clone(),
        repo: stored.repo.name.clone(),
        timeline,
        from_lsn: stored.manifest.stop_lsn,
        from_time: stored.manifest.finished,
        to_lsn: reach.to,
        to_time: archives.newest_written(&history, &stored.manifest, &reach)?,
        stops_at,
    };
    let (exclusive, action) = (args.to.target_exclusive, args.to.target_action);
    if stop.is_none() && action != cli::TargetAction::Promote {
        log::warn!("at the end of the WAL the server is promoted whatever --target-action says");
    }
    let outline = outline::read_outline(&stored)?;
    let end = ReplayEnd { to: reach.to, stop: stop.as_ref(), exclusive };
    let effects =
        wal_effects::read_effects(&stored, &outline, &|lsn| archives.read_segment(&history, lsn), &end)?;
    Ok(RecoveryPlan {
        stored,
        archives,
        history,
        reach,
        timeline,
        stop,
        stop_at,
        exclusive,
        action,
        command,
        reachable,
        outline,
        effects,
    })
}

/// Says when the repositories have WAL after the end of the backup, which a restore without a target leaves out.
pub(super) fn tell_more(args: &cli::Restore, repos: &Repos, stored: &StoredBackup) {
    if args.to.is_immediate() {
        return;
    }
    let backup = &stored.manifest;
    let more = || -> Result<Option<(Lsn, Timestamp)>> {
        let archives = Archives::open(repos, std::slice::from_ref(stored))?;
        let own = backup.wal_range();
        let history = archives.path.history_of(archives.path.newest_timeline(&own)?);
        let reach = archives.path.reach(&history, &own).filter(|reach| goes_further(backup, reach.to));
        reach.map(|reach| Ok((reach.to, archives.newest_written(&history, backup, &reach)?))).transpose()
    };
    match more() {
        Ok(None) => {}
        Ok(Some((to, at))) => log::warn!(
            "this restores to the end of the backup, {} ({}); the repositories have WAL up to {} ({to}), which is left \
             out: add --target latest to have it, or --target immediate to say that it is meant",
            format_time(backup.finished),
            backup.stop_lsn,
            format_time(at)
        ),
        Err(e) => log::warn!("whether there is WAL after the end of the backup is not known: {}", e.chain()),
    }
}

/// Beyond the segment that the backup ended.
fn goes_further(backup: &BackupManifest, to: Lsn) -> bool {
    to.0 > backup.stop_lsn.0.div_ceil(backup.wal_segment_size) * backup.wal_segment_size
}

impl RecoveryPlan {
    /// What is printed before the first write.
    pub(super) fn reachable(&self) -> &Reachable {
        &self.reachable
    }

    /// Lets recovery end right after the last transaction that ended before the target, where it would stop before the end of a
    /// later one. What that one has done before its end would be replayed: the lock of a DROP or TRUNCATE, and the removal of
    /// a database's files, which no abort undoes (dropdb in dbcommands.c).
    ///
    /// # Errors
    /// Those of the repositories.
    pub(super) fn end_with_last_transaction(&mut self) -> Result<()> {
        let by_time = matches!(self.stop, Some(RecoveryTarget::Time(_)));
        let by_transaction = self.exclusive && matches!(self.stop, Some(RecoveryTarget::Xid(_)));
        let Some(stop_at) = self.stop_at.filter(|_| by_time || by_transaction) else { return Ok(()) };
        let last = Cell::new(None);
        let note = |record: &WalRecord| -> Option<()> {
            if record.lsn < stop_at && matches!(record.what, What::End { .. }) {
                last.set(Some(record.lsn));
            }
            None
        };
        let begin = self.stored.manifest.stop_lsn;
        // It lies near as a rule; else all is read again.
        let near = Lsn(stop_at.0.saturating_sub(NEAR * self.archives.path.size)).max(begin);
        for from in [near, begin] {
            if last.get().is_none() {
                self.archives.find_record(&self.history, from..stop_at, &note)?;
            }
        }
        let end = last.get().unwrap_or(begin);
        (self.stop, self.exclusive) = (Some(RecoveryTarget::Lsn(end)), last.get().is_none());
        self.effects.locked.retain(|_, locked| locked.lsn <= end);
        Ok(())
    }

    /// Where recovery ends, and what the server does then.
    pub(super) fn describe_end(&self) -> String {
        let action = if self.stop.is_none() { cli::TargetAction::Promote } else { self.action };
        format!("{}, then {}s", self.reachable.stops_at, action.word())
    }

    /// The timeline that recovery follows.
    pub(super) fn timeline(&self) -> Timeline {
        self.timeline
    }

    /// Tries the restore_command as the server will run it.
    ///
    /// # Errors
    /// Failed when it does not do what recovery needs, with what it printed.
    pub(super) fn try_command(&self, around: &ServerEnvironment) -> Result<()> {
        restore_command::try_command(&self.command, around)
    }

    /// Says which tables cannot be read while recovery pauses.
    pub(super) fn tell_locks(&self) {
        if self.stop.is_none() || self.action != cli::TargetAction::Pause {
            return;
        }
        for (xid, locked) in &self.effects.locked {
            log::warn!(
                "at the target transaction {xid} holds table {} of database {} (their OIDs) locked, as DROP and ALTER do: \
                 a query of it waits until recovery goes on; to read it, pause before the lock: --target-lsn {} --target-exclusive",
                locked.table,
                locked.database,
                locked.lsn
            );
        }
    }

    /// The settings of recovery, for postgresql.auto.conf; with `changes` in the WAL.
    pub(super) fn recovery_settings(&self, changes: bool) -> String {
        let changes = if changes { format!(" --changes {}", super::finish::CHANGES) } else { String::new() };
        let mut text =
            format!("restore_command = {}\n", quote_setting(&format!("{}{changes}", self.command)));
        // A number, not `latest`: recovery follows the timeline that was promised, and no other.
        text += &format!("recovery_target_timeline = '{}'\n", self.timeline);
        let target = match &self.stop {
            None | Some(RecoveryTarget::Latest) => return text,
            Some(RecoveryTarget::Time(at)) => ("time", at.strftime("%Y-%m-%d %H:%M:%S%.6f+00").to_string()),
            Some(RecoveryTarget::Lsn(lsn)) => ("lsn", lsn.to_string()),
            Some(RecoveryTarget::Name(name)) => ("name", name.clone()),
            Some(RecoveryTarget::Xid(xid)) => ("xid", xid.to_string()),
        };
        text += &format!("recovery_target_{} = {}\n", target.0, quote_setting(&target.1));
        text += &format!("recovery_target_action = '{}'\n", self.action.word());
        if self.exclusive {
            text += "recovery_target_inclusive = 'off'\n";
        }
        if self.stored.manifest.major >= 15 {
            // It asks for the segment after the target, and where that is missing it would end recovery before the target.
            text += "recovery_prefetch = 'off'\n";
        }
        text
    }
}
