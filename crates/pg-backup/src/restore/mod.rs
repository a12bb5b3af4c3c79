//! `restore`: a backup becomes a data directory that recovers by itself when a server is started in it.
//!
//! pg_control comes last, after everything else is durable: until then no server starts there.

mod archives;
mod backup_manifest;
mod choose;
mod conf;
mod debian;
mod delta;
mod files;
mod finish;
mod links;
mod plan;
mod recovery_target;
mod restore_command;
mod tablespaces;
mod target;
mod timelines;
mod wal_effects;

use crate::cli;
use crate::format::backup::{BackupManifest, StoredBackup, find_backup};
use crate::format::id::Id;
use crate::format::outline;
use plan::RecoveryPlan;
use recovery_target::RecoveryTarget;
use serde::Serialize;
use std::path::Path;
use std::time::Instant;
use target::{Known, Target};
use toban_core::config::Config;
use toban_core::repo::Repo;
use toban_core::{Out, Record, Result, out};

/// What was restored, or would be.
#[derive(Serialize)]
struct Restored {
    id: Id,
    repo: String,
    pgdata: String,
    files: u64,
    bytes: u64,
    /// Bytes that were written; with --delta the rest was there already.
    written_bytes: u64,
    /// Where recovery ends: the backup's end, or the moment that was asked for.
    recovers_to: String,
    seconds: f64,
}

impl Record for Restored {
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
    let repos = args.repos.open(config)?;
    let plan = match RecoveryTarget::from_args(&args.to)? {
        Some(target) => Some(plan::plan(args, config, &repos, target)?),
        None => None,
    };
    let stored = match &plan {
        Some(plan) => plan.stored.clone(),
        None => find_backup(&repos, &args.repos.cluster, &args.id)?,
    };
    let begun = Instant::now();
    let own;
    let (outline, way) = match &plan {
        Some(plan) => (&plan.outline, &plan.path),
        None => {
            let outline = outline::read(&stored)?;
            let end = wal_effects::ReplayEnd::of_backup(&stored.manifest);
            own = (wal_effects::read(&stored, &outline, &|_| Ok(None), &end)?, outline);
            (&own.1, &own.0)
        }
    };
    let known = Known { backup: &stored.manifest, outline, way };
    let mut target = Target::plan(args, &known)?;
    if !target.changes.is_empty() {
        target.version_folder = outline.version_folder(&stored)?;
    }
    if let Some(plan) = &plan {
        plan.try_command(args, &target)?;
        plan.tell_locks();
        out.emit(plan.reachable())?;
        out.flush()?;
    } else {
        plan::tell_more(args, &repos, &stored);
    }
    warn(&stored.manifest);
    let work = Work { args, repos: &repos, stored: &stored, target: &target, plan: plan.as_ref() };
    let written = if args.dry.dry_run { 0 } else { work.act()? };
    let recovers_to = match &plan {
        Some(plan) => plan.ends(),
        None => format!("{}, then promotes", stored.manifest.stop_lsn),
    };
    out.emit(&Restored {
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

/// What is restored, and where to.
struct Work<'a> {
    args: &'a cli::Restore,
    repos: &'a [Repo],
    stored: &'a StoredBackup,
    target: &'a Target,
    plan: Option<&'a RecoveryPlan>,
}

impl Work<'_> {
    /// Does it; the bytes that were written.
    fn act(&self) -> Result<u64> {
        let (backup, target) = (&self.stored.manifest, self.target);
        target.prepare()?;
        let fetched = files::all(self.args, self.stored, target)?;
        let written = fetched.written;
        if target.delta {
            delta::extra(target, &fetched.names)?;
        }
        let follows = self.plan.map_or(backup.timeline, RecoveryPlan::timeline);
        timelines::reserve(self.repos, backup, target, follows)?;
        finish::finish(self.args, backup, target, fetched, self.plan)?;
        tell(self.args, backup, target);
        Ok(written)
    }
}

/// What the server will miss or do otherwise here.
fn warn(backup: &BackupManifest) {
    crate::data_dir::host::find_differences(&backup.host).iter().for_each(|line| log::warn!("{line}"));
    if !backup.host.preload.is_empty() {
        log::info!("the server loads {} at its start; they must be installed here", backup.host.preload);
    }
    if backup.damage.pages > 0 {
        log::warn!("{} pages were damaged in the source when this backup was taken", backup.damage.pages);
    }
}

/// What of the old server the new one must not do, and does not; and how it is switched on again.
fn tell(args: &cli::Restore, backup: &BackupManifest, target: &Target) {
    for created in target.linked_by_replay.iter().filter_map(|oid| target.tablespaces.get(oid)) {
        log::info!("recovery creates a tablespace in {}, where it was", shown(created));
    }
    if args.keep_archiving {
        return;
    }
    let jobs = finish::jobs(&backup.host.preload);
    let off = if jobs.is_empty() { String::new() } else { format!(", or run jobs by {}", jobs.join(", ")) };
    log::info!(
        "the restored server does not archive or subscribe{off}; where it takes the old one's place: alter system reset \
         archive_mode, max_logical_replication_workers and shared_preload_libraries, then restart"
    );
}

/// What the reader of the index says when all workers are gone; theirs is the error to tell.
const UNSERVED: &str = "no worker is left";

/// For messages.
fn shown(path: &Path) -> String {
    path.display().to_string()
}
