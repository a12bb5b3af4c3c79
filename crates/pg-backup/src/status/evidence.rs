//! What repositories, proofs and the server say of what is protected.

use crate::format::backup::{BackupCatalog, StoredBackup};
use crate::format::catalog::Manifest;
use crate::format::dump::DumpCatalog;
use crate::format::order::Taken;
use crate::reach::RecoveryPaths;
use jiff::Timestamp;
use postgres::Client;
use serde::Deserialize;
use std::collections::BTreeMap;
use toban_core::repo::drills::{self, Drills};
use toban_core::repo::keys::System;
use toban_core::repo::{Repo, verified};
use toban_core::store::read_small;
use toban_core::wal::{Lsn, Timeline};
use toban_core::{Context, Kind, Result};

/// Bytes of the largest proof of a drill.
const LARGEST_PROOF: u64 = 4 << 20;

/// Where a restore can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RestorePoint {
    pub(super) timeline: Timeline,
    pub(super) to: Lsn,
    /// Every commit before it is there; none: not known.
    pub(super) at: Option<Timestamp>,
}

/// A backup that nothing is known to be wrong with.
#[derive(Clone, Debug)]
pub(super) struct BackupEvidence {
    pub(super) id: String,
    /// It had ended by then, even if a clock was wrong.
    pub(super) ended: Timestamp,
    pub(super) bytes: u64,
    /// Recipients; empty where it is not encrypted.
    pub(super) recipients: Vec<String>,
    pub(super) point: RestorePoint,
    /// WAL is missing after it, with more behind.
    pub(super) broken: bool,
}

/// A drill that passed, as its proof tells.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct DrillEvidence {
    pub(super) bytes: u64,
    pub(super) recovery_seconds: Option<f64>,
    pub(super) opened_by: Vec<String>,
}

/// What one repository proves.
#[derive(Clone, Debug, Default)]
pub(super) struct RepoEvidence {
    pub(super) name: String,
    /// The system in service.
    pub(super) system: Option<u64>,
    /// Of the system in service, oldest first.
    pub(super) backups: Vec<BackupEvidence>,
    /// Of each database when its newest dump was begun.
    pub(super) dumps: BTreeMap<String, Timestamp>,
    /// When `verify` last found a backup or dump whole that is whole still.
    pub(super) verified: Option<Timestamp>,
    /// Backups that are damaged or lack something.
    pub(super) damaged: usize,
    pub(super) wal_verified: Option<Timestamp>,
    pub(super) wal_damaged: usize,
    /// There is WAL.
    pub(super) archived: bool,
    pub(super) drills: Drills,
    /// The last one that passed.
    pub(super) drill: Option<DrillEvidence>,
    /// Whether it locks its objects, and until when the newest backup is.
    pub(super) locks: bool,
    pub(super) locked_until: Option<Timestamp>,
    /// Manifests and proofs that do not read.
    pub(super) unread: Vec<String>,
}

/// How far the server has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) system: u64,
    pub(super) timeline: Timeline,
    pub(super) to: Lsn,
    pub(super) segment_size: u64,
}

impl RepoEvidence {
    /// Reads what is there of the cluster.
    ///
    /// # Errors
    /// When the store could not be asked; what does not read is in the answer.
    pub(super) fn read(repo: &Repo, cluster: &str, now: Timestamp) -> Result<RepoEvidence> {
        let catalog = BackupCatalog::read(repo, cluster, now)?;
        let dumps = DumpCatalog::read(repo, cluster, now)?;
        let mut evidence = RepoEvidence { name: repo.name.clone(), ..RepoEvidence::default() };
        evidence.unread =
            catalog.damaged.iter().chain(&dumps.damaged).map(toban_core::Error::chain).collect();
        evidence.locks = repo.store.lock().is_some();
        for dump in dumps.stored.iter().filter(|s| s.is_whole() && !s.manifest.is_safety()) {
            // Its snapshot was taken after it began: what was committed before is in it.
            if let Taken::At(at) = dump.taken {
                let newest = evidence.dumps.entry(dump.manifest.database.name.clone()).or_insert(at);
                *newest = at.max(*newest);
            }
            evidence.verified = evidence.verified.max(dump.verified);
        }
        // Identifiers begin with the time of initdb: the largest is that of the server that is in service.
        if let Some(system) = System::all(&*repo.store, cluster)?.into_iter().max() {
            evidence.system = Some(system.identifier);
            evidence.read_system(repo, &system, &catalog, now)?;
        }
        Ok(evidence)
    }

    fn read_system(
        &mut self,
        repo: &Repo,
        system: &System,
        catalog: &BackupCatalog,
        now: Timestamp,
    ) -> Result<()> {
        match RecoveryPaths::read(repo, catalog) {
            Ok(paths) => self.add_backups(repo, system, catalog, &paths)?,
            // A history that does not read: where backups lead to is not known, and nothing is claimed.
            Err(e) if e.kind() == Kind::Corrupt => self.unread.push(e.chain()),
            Err(e) => return Err(e),
        }
        self.drills = drills::read_drills(&*repo.store, system, now)?;
        if let Some(passed) = self.drills.passed {
            self.read_drill(repo, system, passed)?;
        }
        match verified::newest(&*repo.store, system, now) {
            Ok(Some(last)) => (self.wal_verified, self.wal_damaged) = (Some(last.at), last.damaged.len()),
            Ok(None) => {}
            Err(e) if e.kind() == Kind::Corrupt => self.unread.push(e.chain()),
            Err(e) => return Err(e),
        }
        Ok(())
    }

    fn add_backups(
        &mut self,
        repo: &Repo,
        system: &System,
        catalog: &BackupCatalog,
        paths: &RecoveryPaths,
    ) -> Result<()> {
        let mut times = BTreeMap::new();
        for stored in catalog.stored.iter().filter(|s| s.manifest.is_of(system)) {
            if !stored.is_whole() {
                self.damaged += 1;
                continue;
            }
            let backup = read_backup(stored, paths, &mut times)?;
            self.archived |= backup.point.to > stored.manifest.stop_lsn;
            self.verified = self.verified.max(stored.verified);
            self.backups.push(backup);
        }
        let newest = catalog.stored.iter().rfind(|s| s.manifest.is_of(system) && s.is_whole());
        if let Some(newest) = newest.filter(|_| self.locks) {
            self.locked_until = repo.store.locked_until(&newest.manifest.manifest_key()?)?;
        }
        Ok(())
    }

    fn read_drill(&mut self, repo: &Repo, system: &System, passed: Timestamp) -> Result<()> {
        let key = system.key(&drills::proof_path(passed, true));
        let Some(json) = read_small(&*repo.store, &key, LARGEST_PROOF)? else { return Ok(()) };
        match serde_json::from_slice(&json) {
            Ok(drill) => self.drill = Some(drill),
            Err(e) => self.unread.push(format!("{key} does not parse: {e}")),
        }
        Ok(())
    }
}

/// Evidence of the newest system alone: what another repository has of an earlier one protects nothing now.
pub(super) fn of_newest_system(mut repos: Vec<RepoEvidence>) -> Vec<RepoEvidence> {
    let newest = repos.iter().filter_map(|repo| repo.system).max();
    for repo in repos.iter_mut().filter(|repo| repo.system != newest) {
        let RepoEvidence { name, dumps, unread, .. } = std::mem::take(repo);
        *repo = RepoEvidence { name, dumps, unread, ..RepoEvidence::default() };
    }
    repos
}

/// When a backup had ended, and how far the WAL after it leads.
fn read_backup(
    stored: &StoredBackup,
    paths: &RecoveryPaths,
    times: &mut BTreeMap<Lsn, Option<Timestamp>>,
) -> Result<BackupEvidence> {
    let backup = &stored.manifest;
    let took = backup.finished.duration_since(backup.started).max(jiff::SignedDuration::ZERO);
    // The latest that it can have begun, and as long as it took: to claim less than can be restored does no harm, to claim
    // more does.
    let ended = stored.latest.checked_add(took).unwrap_or(stored.latest);
    let own = RestorePoint {
        timeline: backup.timeline,
        to: backup.stop_lsn,
        // By a clock that contradicts the WAL nothing is claimed.
        at: match stored.taken {
            Taken::At(at) if stored.sure => Some(at),
            _ => None,
        },
    };
    let reached = paths.of(backup).filter(|reached| reached.to > backup.stop_lsn);
    let point = match &reached {
        None => own,
        Some(reached) => {
            let at = match times.get(&reached.to) {
                Some(at) => *at,
                None => paths.last_written(&stored.repo, backup, reached.to)?,
            };
            times.insert(reached.to, at);
            RestorePoint { timeline: reached.timeline, to: reached.to, at }
        }
    };
    Ok(BackupEvidence {
        id: backup.id.to_string(),
        ended,
        bytes: backup.bytes,
        recipients: backup.recipients.clone(),
        point,
        broken: reached.is_some_and(|r| r.missing.is_some()),
    })
}

/// Asks the server how far it has written.
///
/// # Errors
/// Those of the server; of a standby nothing is asked.
pub(super) fn read_written(client: &mut Client) -> Result<Option<Written>> {
    // Of the name only the timeline is used: which segment it names for a position between two is not the same in all
    // releases (release notes of 17, pg_walfile_name()).
    let sql = "select (select system_identifier::text from pg_control_system()), \
               ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int, \
               pg_current_wal_lsn()::text, pg_size_bytes(current_setting('wal_segment_size')) \
               where not pg_is_in_recovery()";
    let doing = || "ask the server how far it has written".to_string();
    let Some(row) = client.query_opt(sql, &[]).doing(doing)? else { return Ok(None) };
    Ok(Some(Written {
        system: row.get::<_, String>(0).parse().doing(doing)?,
        timeline: Timeline(row.get::<_, i32>(1).unsigned_abs()),
        to: row.get::<_, String>(2).parse().doing(doing)?,
        segment_size: row.get::<_, i64>(3).unsigned_abs(),
    }))
}
