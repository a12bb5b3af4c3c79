//! `verify`, of physical backups: every object is there, of its size, and holds what was written.

use super::Verification;
use super::due::DueSet;
use super::readings::Readings;
use super::wal;
use crate::format::backup::{BackupCatalog, StoredBackup};
use crate::format::catalog::Manifest;
use crate::format::frames::Frames;
use crate::format::id::Id;
use crate::format::outline::{self, read_entries};
use crate::format::verdict::{FoundWhole, VerifyMode, verify_object};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;
use toban_core::repo::Repo;
use toban_core::store::NoIdentity;
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
    pub(super) fn verify_backups(
        &mut self,
        repo: &Repo,
        catalog: &mut BackupCatalog,
        due: Option<&DueSet>,
    ) -> Result<()> {
        catalog.damaged.drain(..).for_each(|e| self.add_damaged(e));
        let newest = catalog.stored.last().map(|s| s.manifest.id.clone());
        let mut readings = Readings::new(due);
        let mut others = Vec::new();
        let mut all: Vec<&StoredBackup> = catalog.stored.iter().collect();
        if due.is_some() {
            // Where the time does not suffice, what was looked at last is what waits.
            all.sort_by_key(|stored| stored.verified.max(stored.damaged));
        }
        for stored in all {
            let id = &stored.manifest.id;
            if !self.is_wanted(id, newest.as_ref() == Some(id)) {
                others.push(stored);
                continue;
            }
            self.seen.push(id.to_string());
            if due.is_some_and(|due| !due.has_backup(id) || self.leaves_for_later()) {
                others.push(stored);
                continue;
            }
            let verified = verify_backup(stored, self.mode, &mut readings);
            self.add(verified, format!("{id} in {}: whole", repo.name))?;
        }
        // What shares a damaged pack is damaged too, though nobody asked for it: its last proof would say otherwise.
        for stored in others.into_iter().filter(|s| s.damaged.is_none()) {
            if let Some(text) = readings.damage_of(stored)? {
                let e = Error::corrupt(format!("{} in {}: {text}", stored.manifest.id, repo.name));
                stored.record_damage(self.mode.signer);
                self.add_damaged(e);
            }
        }
        Ok(())
    }

    pub(super) fn verify_wal(
        &mut self,
        systems: &[wal::HeldWal],
        reading: &wal::WalReading<'_>,
    ) -> Result<()> {
        let wal = wal::verify_wal(systems, reading);
        let Some(wal) = self.results.start_item(wal) else {
            return Ok(());
        };
        self.left += wal.left;
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

fn verify_backup(
    stored: &StoredBackup,
    mode: VerifyMode<'_>,
    readings: &mut Readings,
) -> Result<Option<VerifiedBackup>> {
    let (manifest, fast) = (&stored.manifest, mode.fast);
    let found = stored.verify_by(mode, || {
        let checked = check_objects(stored, fast, readings);
        let checked = checked.doing(|| format!("verify {} in {}", manifest.id, stored.repo.name));
        checked.map(|at| FoundWhole { at, restored_tables: None })
    })?;
    let objects = manifest.objects()?.len() + 1;
    Ok(found.map(|_| VerifiedBackup {
        repo: stored.repo.name.clone(),
        id: manifest.id.clone(),
        files: manifest.files,
        objects,
        bytes: manifest.stored_bytes(),
        fast,
    }))
}

/// The index comes first, then the packs in the manifest's order. When the first of them was read.
fn check_objects(stored: &StoredBackup, fast: bool, readings: &mut Readings) -> Result<Timestamp> {
    let mut first = Timestamp::now();
    for (i, (key, sum)) in stored.manifest.objects()?.iter().enumerate() {
        shutdown::check()?;
        let pack = i.checked_sub(1).and_then(|i| Some(stored.manifest.packs.get(i)?.number));
        let read = match fast {
            true => verify_object(&stored.repo, key, sum, true).map(|()| first),
            false => readings.read_object(&stored.repo, key, sum),
        };
        // A pack that several backups share may have been read before this one's turn. The verdict is dated
        // by the oldest reading, or it would claim that every object was whole later than it was looked at.
        first = first.min(read.map_err(|e| name_lost_files(stored, pack, e))?);
    }
    if !fast {
        // The sum of the index proves that it is what was written, and not that it makes sense: it is parsed
        // as well, where it can be read.
        match outline::read_outline(stored) {
            Err(e) if NoIdentity::caused(&e) => {}
            read => drop(read?),
        }
    }
    Ok(first)
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
