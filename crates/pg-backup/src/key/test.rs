//! `key test`: whether the identity at hand opens what is newest.

use crate::cli::KeyTest;
use crate::format::backup::{BackupCatalog, StoredBackup, unlock_backup};
use crate::format::dump::{DumpCatalog, StoredDump, unlock_dump};
use crate::format::outline::read_outline;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Read};
use toban_core::config::Config;
use toban_core::repo::archive::Archive;
use toban_core::repo::keys::System;
use toban_core::repo::{Repo, RepoResults};
use toban_core::store::Key;
use toban_core::wal::WalName;
use toban_core::{Context, Error, Kind, Out, Record, Result};

/// Of large objects so much is read.
const BEGINNING: u64 = 1 << 20;

/// What was opened.
#[derive(Serialize)]
struct Opened {
    repo: String,
    /// `backup`, `wal` or `dump`.
    kind: &'static str,
    name: String,
    encrypted: bool,
}

impl Record for Opened {
    const SCHEMA: &'static str = "pg-backup.key-test/1";
    const HEAD: &'static [&'static str] = &["repo", "kind", "name", "opened"];
    fn cells(&self) -> Vec<String> {
        let opened = if self.encrypted { "yes" } else { "it is not encrypted" };
        vec![self.repo.clone(), self.kind.into(), self.name.clone(), opened.into()]
    }
}

/// Opens what is newest in each repository.
pub(super) fn test_identity(args: &KeyTest, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let (mut results, mut opened) = (RepoResults::default(), 0);
    for repo in &args.repos.open_to_read(config, &args.identity)? {
        let newest = NewestContent::find(repo, &args.repos.cluster);
        let Some(newest) = results.start_item(newest) else { continue };
        for tested in newest.open_each(repo) {
            if let Some(record) = results.start_item(tested) {
                opened += usize::from(record.encrypted);
                out.emit(&record)?;
            }
        }
    }
    results.verdict("tests")?;
    match opened {
        0 => Err(Error::new(
            Kind::Findings,
            "nothing was opened: no repository has anything that is encrypted",
        )),
        _ => Ok(()),
    }
}

/// The newest of each kind in one repository.
struct NewestContent {
    backup: Option<StoredBackup>,
    /// Of each system.
    wal: Vec<(System, WalName)>,
    /// Of each database.
    dumps: Vec<StoredDump>,
}

impl NewestContent {
    fn find(repo: &Repo, cluster: &str) -> Result<NewestContent> {
        let now = Timestamp::now();
        let backup = BackupCatalog::read(repo, cluster, now)?.stored.pop();
        let mut wal = Vec::new();
        for system in System::all(&*repo.store, cluster)? {
            let files = Archive::new(&*repo.store, system.clone()).files()?;
            let segments = files.into_iter().map(|(name, _)| name);
            let newest =
                segments.filter(|name| matches!(name, WalName::Segment(..))).max_by_key(ToString::to_string);
            wal.extend(newest.map(|name| (system, name)));
        }
        // The oldest first: of each database the last one stays.
        let dumps = DumpCatalog::read(repo, cluster, now)?.stored.into_iter();
        let dumps: BTreeMap<String, StoredDump> =
            dumps.map(|stored| (stored.manifest.database.name.clone(), stored)).collect();
        Ok(NewestContent { backup, wal, dumps: dumps.into_values().collect() })
    }

    fn open_each(self, repo: &Repo) -> Vec<Result<Opened>> {
        let NewestContent { backup, wal, dumps } = self;
        let backups = backup.into_iter().map(open_backup);
        let wal = wal.into_iter().map(|(system, name)| open_segment(repo, system, name));
        backups.chain(wal).chain(dumps.into_iter().map(open_dump)).collect()
    }
}

fn open_backup(stored: StoredBackup) -> Result<Opened> {
    let stored = unlock_backup(stored)?;
    // Manifest, list of files and packs are encrypted each by itself: that one opens says nothing of the others.
    read_outline(&stored)?;
    let backup = &stored.manifest;
    for pack in backup.packs.iter().take(1) {
        read_beginning(&stored.repo, &backup.pack_key(pack)?)?;
    }
    let (repo, name) = (stored.repo.name.clone(), backup.id.to_string());
    Ok(Opened { repo, kind: "backup", name, encrypted: !backup.recipients.is_empty() })
}

fn open_segment(repo: &Repo, system: System, name: WalName) -> Result<Opened> {
    let archive = Archive::new(&*repo.store, system);
    let encrypted = repo.store.stat(&archive.key(name))?.is_some_and(|object| object.key.is_encrypted());
    archive.get(name, &mut io::sink())?;
    Ok(Opened { repo: repo.name.clone(), kind: "wal", name: name.to_string(), encrypted })
}

fn open_dump(stored: StoredDump) -> Result<Opened> {
    let stored = unlock_dump(stored)?;
    let dump = &stored.manifest;
    for suffix in dump.parts.keys() {
        read_beginning(&stored.repo, &dump.key(suffix)?)?;
    }
    let name = format!("{} {}", dump.database.name, dump.id);
    Ok(Opened { repo: stored.repo.name.clone(), kind: "dump", name, encrypted: !dump.recipients.is_empty() })
}

fn read_beginning(repo: &Repo, content: &Key) -> Result<()> {
    let doing = || format!("read {content}");
    let body = repo.store.get(content, 0)?.ok_or_else(|| Error::corrupt(format!("{content} is missing")))?;
    io::copy(&mut body.take(BEGINNING), &mut io::sink()).map(drop).doing(doing)
}
