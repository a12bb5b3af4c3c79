//! `--cold`: objects that a bucket keeps in an archive are named, with what a restore of them needs, and those whose lock
//! ends too early.

use super::Verification;
use super::wal::HeldWal;
use crate::format::backup::BackupCatalog;
use crate::format::dump::DumpCatalog;
use crate::lock::LockSurvey;
use jiff::Timestamp;
use serde::Serialize;
use toban_core::repo::Repo;
use toban_core::store::Object;
use toban_core::{Error, Kind, Record, Result, out};

/// An object that cannot be read before it is brought back.
#[derive(Serialize)]
struct ColdObject {
    repo: String,
    key: String,
    class: String,
    bytes: u64,
}

impl Record for ColdObject {
    const SCHEMA: &'static str = "pg-backup.verify-cold/1";
    const HEAD: &'static [&'static str] = &["cold", "class", "in", "size"];
    fn cells(&self) -> Vec<String> {
        vec![self.key.clone(), self.class.clone(), self.repo.clone(), out::bytes(self.bytes)]
    }
}

impl Verification<'_, '_> {
    /// Names them, and says once what they need.
    pub(super) fn name_cold_objects(
        &mut self,
        repo: &Repo,
        backups: &BackupCatalog,
        dumps: &DumpCatalog,
        wal: &[HeldWal],
    ) -> Result<()> {
        let backups = backups.objects.iter().map(|(_, o)| o);
        let dumps = dumps.objects.iter().map(|(_, o)| o);
        let wal = wal.iter().flat_map(|w| &w.files).map(|(_, o)| o);
        let cold: Vec<&Object> = backups.chain(dumps).chain(wal).filter(|o| o.is_cold()).collect();
        for object in &cold {
            self.out.emit(&ColdObject {
                repo: repo.name.clone(),
                key: object.key.to_string(),
                class: object.class.clone().unwrap_or_default(),
                bytes: object.size,
            })?;
        }
        if !cold.is_empty() {
            let text = format!(
                "{} objects in {} are in an archive class: before a restore each needs `aws s3api restore-object`, \
                 which takes 3 to 5 hours from GLACIER and 12 to 48 from DEEP_ARCHIVE",
                cold.len(),
                repo.name
            );
            log::warn!("{text}");
            self.report.note(text);
        }
        Ok(())
    }

    /// Names backups and dumps of which something loses its lock before they do.
    pub(super) fn name_short_locks(
        &mut self,
        repo: &Repo,
        backups: &BackupCatalog,
        dumps: &DumpCatalog,
    ) -> Result<()> {
        let now = Timestamp::now();
        let short = LockSurvey::read(repo, &backups.stored, now)?.list_short().into_iter();
        for (_, text) in short.chain(LockSurvey::read(repo, &dumps.stored, now)?.list_short()) {
            let e = Error::new(Kind::Findings, format!("{}: {text}", repo.name));
            self.results.add_item::<()>(Err(e.hint("take a new backup: it renews what it needs")));
        }
        Ok(())
    }
}
