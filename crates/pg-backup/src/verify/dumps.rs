//! `verify`, of dumps: every part is there and holds what was written; with `--deep` the newest restores.

use super::Verification;
use super::due::DueSet;
use crate::format::catalog::Manifest;
use crate::format::dump::{DumpCatalog, StoredDump};
use crate::format::id::Id;
use crate::format::verdict::{FoundWhole, VerifyMode, verify_object};
use crate::restore_dump::test_restore;
use crate::server::Server;
use crate::{cli, machine};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use toban_core::config::Config;
use toban_core::repo::Repo;
use toban_core::{Context, Record, Result, out};

/// A dump that was found whole.
#[derive(Serialize)]
struct VerifiedDump {
    repo: String,
    database: String,
    id: Id,
    bytes: u64,
    /// Tables whose rows were compared in a scratch database, with `--deep`.
    restored_tables: Option<u64>,
}

impl Record for VerifiedDump {
    const SCHEMA: &'static str = "pg-backup.verify/1";
    const HEAD: &'static [&'static str] = &["verified", "id", "in", "read", "restored"];
    fn cells(&self) -> Vec<String> {
        let restored = self.restored_tables.map_or("-".into(), |n| format!("{n} tables"));
        vec![self.database.clone(), self.id.to_string(), self.repo.clone(), out::bytes(self.bytes), restored]
    }
}

/// The server of `--deep`, and the database to work from.
pub(super) struct ScratchServer {
    server: Server,
    maintenance: String,
}

impl ScratchServer {
    pub(super) fn connect(args: &cli::Verify, config: &Config) -> Result<ScratchServer> {
        let section = config.cluster.get(&args.repos.cluster);
        // The lock on the scratch database is of one database: all must take it in the same.
        let (server, _) = Server::reach_in(&args.server, section, "postgres")
            .or_else(|_| Server::connect(&args.server, section))?;
        let maintenance = server.conn.dbname().to_string();
        Ok(ScratchServer { server, maintenance })
    }
}

/// Which dumps are verified, and where the newest is restored.
#[derive(Clone, Copy)]
pub(super) struct ChosenDumps<'a> {
    pub(super) scratch: Option<&'a ScratchServer>,
    /// With `--within`.
    pub(super) due: Option<&'a DueSet>,
}

impl Verification<'_, '_> {
    pub(super) fn verify_dumps(
        &mut self,
        repo: &Repo,
        catalog: DumpCatalog,
        chosen: ChosenDumps<'_>,
    ) -> Result<()> {
        let ChosenDumps { scratch, due } = chosen;
        catalog.damaged.into_iter().for_each(|e| self.add_damaged(e));
        let newest = find_newest(&catalog.stored);
        for stored in catalog.stored {
            let manifest = &stored.manifest;
            let is_newest = newest.get(&manifest.database.name) == Some(&manifest.id);
            if self.is_wanted(&manifest.id, is_newest) {
                self.seen.push(manifest.id.to_string());
                let is_due = |due: &DueSet| due.has_dump(&manifest.database.name, &manifest.id);
                if due.is_some_and(|due| !is_due(due) || self.leaves_for_later()) {
                    continue;
                }
                let note = format!("{} {} in {}: whole", manifest.database.name, manifest.id, repo.name);
                let verified = verify_dump(stored, scratch.filter(|_| is_newest), self.mode);
                self.add(verified, note)?;
            }
        }
        Ok(())
    }
}

/// Of each database the newest dump, safety dumps aside.
fn find_newest(dumps: &[StoredDump]) -> BTreeMap<String, Id> {
    let nightly = dumps.iter().map(|s| &s.manifest).filter(|m| !m.is_safety());
    // Sorted by time: the last of each name wins.
    nightly.map(|m| (m.database.name.clone(), m.id.clone())).collect()
}

fn verify_dump(
    stored: StoredDump,
    scratch: Option<&ScratchServer>,
    mode: VerifyMode<'_>,
) -> Result<Option<VerifiedDump>> {
    let name = format!("{} {}", stored.manifest.database.name, stored.manifest.id);
    let found = stored.verify_by(mode, || {
        let at = Timestamp::now();
        for (key, sum) in stored.manifest.objects()? {
            let done = verify_object(&stored.repo, &key, &sum, mode.fast);
            done.doing(|| format!("verify {name} in {}", stored.repo.name))?;
        }
        // After the sums: what is damaged in the store must not be taken for a dump that does not load.
        let jobs = machine::worker_count(None);
        let restore = |s: &ScratchServer| test_restore(&s.server, &s.maintenance, stored.clone(), jobs);
        let restored = scratch.map(restore).transpose();
        let restored_tables = restored.doing(|| format!("restore {name} into a scratch database"))?;
        Ok(FoundWhole { at, restored_tables })
    })?;
    Ok(found.map(|found| VerifiedDump {
        repo: stored.repo.name.clone(),
        database: stored.manifest.database.name.clone(),
        id: stored.manifest.id.clone(),
        bytes: stored.manifest.stored_bytes(),
        restored_tables: found.restored_tables,
    }))
}
