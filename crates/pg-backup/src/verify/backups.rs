//! `verify`, of physical backups: every object is there, of its size, and holds what was written.

use super::Verification;
use super::wal;
use crate::format::backup::{BackupCatalog, StoredBackup};
use crate::format::catalog::Manifest;
use crate::format::frames::Frames;
use crate::format::id::Id;
use crate::format::outline::{self, read_entries};
use crate::format::verdict::verify_object;
use serde::Serialize;
use std::collections::BTreeSet;
use toban_core::repo::Repo;
use toban_core::{Context, Error, Kind, Record, Result, out, shutdown};

/// A backup that was found whole.
#[derive(Serialize)]
struct VerifiedBackup {
    repo: String,
    id: Id,
    files: u64,
    objects: usize,
    bytes: u64,
    /// Presence and sizes only.
    fast: bool,
}

impl Record for VerifiedBackup {
    const SCHEMA: &'static str = "pg-backup.verify-backup/1";
    const HEAD: &'static [&'static str] = &["verified", "id", "in", "objects", "files", "read"];
    fn cells(&self) -> Vec<String> {
        let read = if self.fast { "sizes only".into() } else { out::bytes(self.bytes) };
        let (objects, files) = (self.objects.to_string(), self.files.to_string());
        vec!["cluster".into(), self.id.to_string(), self.repo.clone(), objects, files, read]
    }
}

impl Verification<'_, '_> {
    pub(super) fn verify_backups(&mut self, repo: &Repo, mut catalog: BackupCatalog) -> Result<()> {
        catalog.damaged.drain(..).for_each(|e| self.add_damaged(e));
        let newest = catalog.stored.last().map(|s| s.manifest.id.clone());
        for stored in &catalog.stored {
            let id = &stored.manifest.id;
            if self.is_wanted(id, newest.as_ref() == Some(id)) {
                self.seen.push(id.to_string());
                self.add(verify_backup(stored, self.args.fast), format!("{id} in {}: whole", repo.name))?;
            }
        }
        // Whoever names a backup asks for that one alone.
        if self.args.ids.is_empty() { self.verify_wal(&catalog, repo) } else { Ok(()) }
    }

    fn verify_wal(&mut self, catalog: &BackupCatalog, repo: &Repo) -> Result<()> {
        let Some(wal) = self.results.start_item(wal::verify_wal(self.args, catalog, repo)) else {
            return Ok(());
        };
        for (name, e) in wal.damaged {
            self.seen.push(name);
            self.add_damaged(e);
        }
        for record in wal.whole {
            let note = record.describe_whole();
            self.seen.push(note.clone());
            self.add(Ok(Some(record)), note)?;
        }
        Ok(())
    }
}

fn verify_backup(stored: &StoredBackup, fast: bool) -> Result<Option<VerifiedBackup>> {
    let manifest = &stored.manifest;
    let found = stored.verify_by(fast, || {
        let checked = check_objects(stored, fast);
        checked.doing(|| format!("verify {} in {}", manifest.id, stored.repo.name)).map(|()| None)
    })?;
    Ok(found.map(|_| VerifiedBackup {
        repo: stored.repo.name.clone(),
        id: manifest.id.clone(),
        files: manifest.files,
        objects: manifest.packs.len() + 2,
        bytes: manifest.stored_bytes(),
        fast,
    }))
}

/// The index comes first, then the packs in the manifest's order.
fn check_objects(stored: &StoredBackup, fast: bool) -> Result<()> {
    for (i, (key, sum)) in stored.manifest.objects()?.iter().enumerate() {
        shutdown::check()?;
        let pack = i.checked_sub(1).and_then(|i| Some(stored.manifest.packs.get(i)?.number));
        verify_object(&stored.repo, key, sum, fast).map_err(|e| name_lost_files(stored, pack, e))?;
    }
    if fast { Ok(()) } else { outline::read_outline(stored).map(drop) }
}

/// The same error with the files that lie in the damaged frames, so that one knows what is lost.
fn name_lost_files(stored: &StoredBackup, pack: Option<u32>, e: Error) -> Error {
    let Some(pack) = pack.filter(|_| e.kind() == Kind::Corrupt) else { return e };
    match find_lost_files(stored, pack) {
        Ok(files) if !files.is_empty() => {
            let shown: Vec<&str> = files.iter().take(5).map(String::as_str).collect();
            let more = files.len().saturating_sub(5);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            Error::corrupt(format!("damaged: {}{more}", shown.join(", "))).because(e)
        }
        _ => e,
    }
}

fn find_lost_files(stored: &StoredBackup, pack: u32) -> Result<BTreeSet<String>> {
    let mut frames = Frames::new(&*stored.repo.store, &stored.manifest)?;
    let mut lost = BTreeSet::new();
    for entry in read_entries(stored)? {
        let entry = entry?;
        for piece in entry.pieces.iter().filter(|p| p.pack == pack) {
            if frames.read_piece(piece, &entry.path).is_err() {
                lost.insert(entry.path.to_display());
            }
        }
    }
    Ok(lost)
}
