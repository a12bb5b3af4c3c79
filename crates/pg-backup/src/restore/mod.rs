//! `restore`: a backup becomes a data directory that recovers by itself when a server is started in it.
//!
//! pg_control comes last, after everything else is durable: until then no server starts there.

mod archives;
mod backup_manifest;
mod batch;
mod choose;
mod conf;
mod debian;
mod delta;
mod files;
mod finish;
mod own_paths;
mod partial;
mod plan;
mod recovery_target;
mod restore_command;
mod tablespaces;
mod target;
mod timelines;
mod wal_effects;

pub(crate) use partial::PartialRestore;

use crate::cli;
use crate::format::backup::{BackupManifest, StoredBackup, find_backup, unlock_backup};
use crate::format::id::Id;
use crate::format::outline;
use plan::RecoveryPlan;
use recovery_target::RecoveryTarget;
use restore_command::ServerEnvironment;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;
use target::{Known, Target};
use toban_core::config::Config;
use toban_core::repo::Repos;
use toban_core::{Out, Record, Result, out};

/// What was restored, or would be.
#[derive(Serialize)]
struct RestoredBackup {
    id: Id,
    repo: String,
    pgdata: String,
    files: u64,
    bytes: u64,
    /// Bytes that were written; with --delta the rest was there already.
    written_bytes: u64,
    /// Where recovery ends: the backup's end, or the target that was asked for.
    recovers_to: String,
    seconds: f64,
}

impl Record for RestoredBackup {
    const SCHEMA: &'static str = "pg-backup.restore/1";
    const HEAD: &'static [&'static str] =
        &["restored", "from", "into", "files", "size", "written", "recovers to", "seconds"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.repo.clone(),
            self.pgdata.clone(),
            self.files.to_string(),
            out::bytes(self.bytes),
            out::bytes(self.written_bytes),
            self.recovers_to.clone(),
            format!("{:.1}", self.seconds),
        ]
    }
}

/// Runs the verb.
pub(crate) fn run(args: &cli::Restore, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let repos = args.repos.open_to_read(config, &args.identity)?;
    let plan = match RecoveryTarget::from_args(&args.to)? {
        Some(target) => Some(plan::plan_recovery(args, config, &repos, target)?),
        None => None,
    };
    let stored = match &plan {
        Some(plan) => plan.stored.clone(),
        None => unlock_backup(find_backup(&repos, &args.repos.cluster, &args.id)?)?,
    };
    let begun = Instant::now();
    let own;
    let (outline, effects) = match &plan {
        Some(plan) => (&plan.outline, &plan.effects),
        None => {
            let outline = outline::read_outline(&stored)?;
            let end = wal_effects::ReplayEnd::of_backup(&stored.manifest);
            own = (wal_effects::read_effects(&stored, &outline, &|_| Ok(None), &end)?, outline);
            (&own.1, &own.0)
        }
    };
    // All that can be refused is refused from here to the first write: places that are taken, links, space, a
    // restore_command that does not work. A restore that was begun has no reason of ours to end half-way.
    let known = Known { backup: &stored.manifest, outline, effects, left_out: &BTreeSet::new() };
    let mut target = Target::check_all(args, &known)?;
    if !target.changes.is_empty() {
        target.version_folder = outline.version_folder(&stored)?;
    }
    if let Some(plan) = &plan {
        plan.try_command(&ServerEnvironment::find(args, &target))?;
        plan.tell_locks();
        out.emit(plan.reachable())?;
        out.flush()?;
    } else {
        plan::tell_more(args, &repos, &stored);
    }
    warn_of_differences(&stored.manifest);
    let work = RestoreWork { args, repos: &repos, stored: &stored, target: &target, plan: plan.as_ref() };
    let written = if args.dry.dry_run { 0 } else { work.restore_files()?.written };
    if !args.dry.dry_run {
        tell_what_is_off(args, &stored.manifest, &target);
    }
    let recovers_to = match &plan {
        Some(plan) => plan.describe_end(),
        None => format!("{}, then promotes", stored.manifest.stop_lsn),
    };
    out.emit(&RestoredBackup {
        id: stored.manifest.id.clone(),
        repo: stored.repo.name.clone(),
        pgdata: target.dir.display().to_string(),
        files: stored.manifest.files,
        bytes: stored.manifest.bytes,
        written_bytes: written,
        recovers_to,
        seconds: begun.elapsed().as_secs_f64(),
    })
}

/// Bytes of files that were written, and what was read of packs for them.
pub(crate) struct MovedBytes {
    pub(crate) written: u64,
    pub(crate) read: u64,
}

/// What is restored, and where to.
struct RestoreWork<'a> {
    args: &'a cli::Restore,
    repos: &'a Repos,
    stored: &'a StoredBackup,
    target: &'a Target,
    plan: Option<&'a RecoveryPlan>,
}

impl RestoreWork<'_> {
    /// Does it.
    fn restore_files(&self) -> Result<MovedBytes> {
        let (backup, target) = (&self.stored.manifest, self.target);
        target.prepare_folders()?;
        let written = files::write_files(self.args, self.stored, target)?;
        let moved = MovedBytes { written: written.written, read: written.read };
        if target.delta {
            delta::remove_extra(target, &written.names)?;
        }
        // After all files and before the server can start: what `finish_restore` writes last is pg_control.
        let follows = self.plan.map_or(backup.timeline, RecoveryPlan::timeline);
        timelines::reserve_timelines(self.repos, backup, target, follows)?;
        finish::finish_restore(self, written)?;
        Ok(moved)
    }
}

/// What the server will miss or do otherwise here.
fn warn_of_differences(backup: &BackupManifest) {
    crate::data_dir::host::find_differences(&backup.host).iter().for_each(|line| log::warn!("{line}"));
    if !backup.host.preload.is_empty() {
        log::info!("the server loads {} at its start; they must be installed here", backup.host.preload);
    }
    if backup.damage.pages > 0 {
        log::warn!("{} pages were damaged in the source when this backup was taken", backup.damage.pages);
    }
}

/// What of the old server the new one must not do, and does not; and how it is switched on again.
fn tell_what_is_off(args: &cli::Restore, backup: &BackupManifest, target: &Target) {
    for created in target.linked_by_replay.iter().filter_map(|oid| target.tablespaces.get(oid)) {
        log::info!("recovery creates a tablespace in {}, where it was", display_path(created));
    }
    if args.keep_archiving {
        return;
    }
    let jobs = finish::find_job_libraries(&backup.host.preload);
    let off = if jobs.is_empty() { String::new() } else { format!(", or run jobs by {}", jobs.join(", ")) };
    log::info!(
        "the restored server does not archive or subscribe{off}; where it takes the old one's place: alter system reset \
         archive_mode, max_logical_replication_workers and shared_preload_libraries, then restart"
    );
}

/// The error of the reader of the index when all workers have ended; theirs is the error to report.
const UNSERVED: &str = "no worker is left";

/// For messages.
fn display_path(path: &Path) -> String {
    path.display().to_string()
}
