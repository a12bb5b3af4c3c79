//! The records of `run`.

use super::backup::Backup;
use super::source::Source;
use super::{source, walk};
use crate::manifest::Id;
use postgres::Client;
use serde::Serialize;
use toban_core::repo::Repo;
use toban_core::wal::{Lsn, Timeline};
use toban_core::{Out, Record, Result, out};

/// What would be backed up.
#[derive(Serialize)]
struct Planned {
    data_dir: String,
    files: u64,
    bytes: u64,
    tablespaces: usize,
    checksums: bool,
    standby: bool,
    repos: Vec<String>,
}

impl Record for Planned {
    const SCHEMA: &'static str = "pg-backup.run-plan/1";
    const HEAD: &'static [&'static str] =
        &["would back up", "files", "size", "tablespaces", "page checksums", "to"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.data_dir.clone(),
            self.files.to_string(),
            out::bytes(self.bytes),
            self.tablespaces.to_string(),
            if self.checksums { "compared" } else { "none" }.into(),
            self.repos.join(" "),
        ]
    }
}

/// Prints what a run would do.
///
/// # Errors
/// When the data directory cannot be read.
pub(crate) fn emit(source: &Source, repos: &[Repo], client: &mut Client, out: &mut Out<'_>) -> Result<()> {
    let listed = walk::walk(&source.data_dir, &source.version_folder)?;
    out.emit(&Planned {
        data_dir: source.data_dir.display().to_string(),
        files: listed.len() as u64,
        bytes: walk::bytes(&listed),
        tablespaces: source::tablespaces(client)?.len(),
        checksums: source.checksums,
        standby: source.standby,
        repos: repos.iter().map(|r| r.name.clone()).collect(),
    })
}

/// A backup in a repository.
#[derive(Serialize)]
pub(crate) struct Made {
    repo: String,
    id: Id,
    files: u64,
    bytes: u64,
    stored_bytes: u64,
    start_lsn: Lsn,
    stop_lsn: Lsn,
    timeline: Timeline,
    damaged_pages: u64,
    seconds: f64,
}

impl Made {
    pub(crate) fn of(backup: &Backup, repo: &Repo) -> Made {
        Made {
            repo: repo.name.clone(),
            id: backup.id.clone(),
            files: backup.files,
            bytes: backup.bytes,
            stored_bytes: backup.stored_bytes(),
            start_lsn: backup.start_lsn,
            stop_lsn: backup.stop_lsn,
            timeline: backup.timeline,
            damaged_pages: backup.damage.pages,
            seconds: backup.seconds(),
        }
    }
}

impl Record for Made {
    const SCHEMA: &'static str = "pg-backup.run/1";
    const HEAD: &'static [&'static str] =
        &["backed up", "to", "files", "size", "stored", "from", "until", "seconds"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.repo.clone(),
            self.files.to_string(),
            out::bytes(self.bytes),
            out::bytes(self.stored_bytes),
            self.start_lsn.to_string(),
            self.stop_lsn.to_string(),
            format!("{:.1}", self.seconds),
        ]
    }
}
