//! The index of a backup, read once before anything is restored: whether it is whole, and what a plan needs of it.

use super::backup::{BackupManifest, PG_CONTROL, StoredBackup};
use super::frames::Frames;
use super::index::{self, EntryKind, IndexEntry, Piece};
use crate::format::content::open_content;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use toban_core::store::Key;
use toban_core::wal::WalName;
use toban_core::{Context, Error, Kind as ErrorKind, Result, shutdown};

/// What is without these is no cluster: recovery begins where backup_label says, and would begin elsewhere without it.
const NEEDED: [&str; 3] = ["PG_VERSION", "backup_label", PG_CONTROL];

/// Frames are of 1 MiB: a larger one would only take memory.
const LARGEST_FRAME: u32 = 64 << 20;

/// What of the index a plan needs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outline {
    /// The segments of the backup's own WAL, by number.
    pub(crate) wal: BTreeMap<u64, IndexEntry>,
    control: Option<IndexEntry>,
    /// Tablespaces outside the data directory that have files or folders in the backup.
    pub(crate) tablespaces: BTreeSet<u32>,
    /// Bytes of the files of each database, by its OID.
    pub(crate) databases: BTreeMap<u32, u64>,
}

/// The database whose file a path below the data directory is ("Database File Layout").
pub(crate) fn database_of(path: &str) -> Option<u32> {
    let below = match path.strip_prefix("pg_tblspc/") {
        Some(space) => space.split_once("/PG_")?.1.split_once('/')?.1,
        None => path.strip_prefix("base/")?,
    };
    below.split_once('/')?.0.parse().ok()
}

/// Reads the index to its end.
///
/// # Errors
/// Corrupt unless it is whole: the files that the manifest counts, each made up by its pieces, and none that is needed
/// is missing.
pub(crate) fn read_outline(stored: &StoredBackup) -> Result<Outline> {
    check_lines(stored).map_err(|e| name_index_damage(stored, e))
}

fn check_lines(stored: &StoredBackup) -> Result<Outline> {
    let mut outline = Outline::default();
    let mut needed = BTreeSet::from(NEEDED);
    let (mut files, mut bytes) = (0, 0);
    // Nothing of the index is used before it was read to its end, where its sum is compared.
    for entry in read_entries(stored)? {
        shutdown::check()?;
        let entry = entry?;
        made_up(&entry, &stored.manifest)?;
        needed.remove(entry.path.text());
        files += u64::from(entry.kind == EntryKind::File);
        bytes = entry.size.saturating_add(bytes);
        outline.add_entry(entry, &stored.manifest);
    }
    let (wanted, of) = ((stored.manifest.files, stored.manifest.bytes), &stored.manifest.id);
    if (files, bytes) != wanted {
        let e =
            format!("the index of {of} has {files} files of {bytes} bytes, not {} of {}", wanted.0, wanted.1);
        return Err(Error::corrupt(e));
    }
    match needed.first() {
        None => Ok(outline),
        Some(name) => Err(Error::corrupt(format!("the index of {of} has no {name}"))),
    }
}

/// The lines of a backup's index, compared with its sum at their end.
pub(crate) fn read_entries(stored: &StoredBackup) -> Result<impl Iterator<Item = Result<IndexEntry>>> {
    let (key, body) = index_of(stored)?;
    let entries = index::read_index(body)?;
    Ok(entries.map(move |entry| entry.doing(|| format!("read {key}"))))
}

/// The stored index, compared with its sum at its end.
fn index_of(stored: &StoredBackup) -> Result<(Key, Box<dyn Read + Send + '_>)> {
    let (backup, store) = (&stored.manifest, &stored.repo.store);
    let key = backup.stored_key(backup.index_key()?)?;
    let content = open_content(&**store, &key, &backup.index)?;
    Ok((key, content))
}

/// A damaged index that still parses tells lies about everything else; then it is the index that is named.
pub(crate) fn name_index_damage(stored: &StoredBackup, e: Error) -> Error {
    let whole = || {
        let (key, body) = index_of(stored)?;
        std::io::copy(&mut { body }, &mut std::io::sink()).doing(|| format!("read {key}"))
    };
    if e.kind() == ErrorKind::Corrupt { whole().err().unwrap_or(e) } else { e }
}

/// Whether the pieces make up the file and lie in packs that there are.
fn made_up(entry: &IndexEntry, backup: &BackupManifest) -> Result<()> {
    entry.path.path()?;
    let bytes: u64 = entry.pieces.iter().map(|p| u64::from(p.bytes)).sum();
    let inside = |p: &Piece| {
        let pack = backup.pack(p.pack);
        let small = p.plain.max(p.stored) <= LARGEST_FRAME;
        small && pack.is_some_and(|k| p.at.checked_add(p.stored.into()).is_some_and(|end| end <= k.sum.bytes))
    };
    if bytes == entry.size && entry.pieces.iter().all(inside) {
        return Ok(());
    }
    Err(Error::corrupt(format!("the index does not make up {}", entry.path.to_display())))
}

impl Outline {
    fn add_entry(&mut self, entry: IndexEntry, backup: &BackupManifest) {
        let name = entry.path.text();
        if let Some(oid) = database_of(name) {
            *self.databases.entry(oid).or_default() += entry.size;
        }
        if name == PG_CONTROL {
            self.control = Some(entry);
        } else if let Some(wal) = name.strip_prefix("pg_wal/").and_then(|n| n.parse::<WalName>().ok()) {
            let segment =
                wal.segment(backup.wal_segment_size).filter(|_| matches!(wal, WalName::Segment(..)));
            self.wal.extend(segment.map(|s| (s.number, entry)));
        } else if let Some((oid, below)) = name.strip_prefix("pg_tblspc/").and_then(|n| n.split_once('/')) {
            let oid = oid.parse::<u32>().ok().filter(|_| below.starts_with("PG_"));
            self.tablespaces.extend(oid);
        }
    }

    /// The folder of this server in each tablespace: `PG_15_202209061`, by the catalog's version in pg_control.
    ///
    /// # Errors
    /// Corrupt when pg_control cannot be read.
    pub(crate) fn version_folder(&self, stored: &StoredBackup) -> Result<String> {
        let missing = || Error::corrupt(format!("backup {} has no pg_control", stored.manifest.id));
        let entry = self.control.as_ref().ok_or_else(missing)?;
        let bytes = Frames::new(&*stored.repo.store, &stored.manifest)?.read_file(entry)?;
        let version = bytes.get(12..16).and_then(|b| b.try_into().ok()).map(u32::from_ne_bytes);
        Ok(format!("PG_{}_{}", stored.manifest.major, version.ok_or_else(missing)?))
    }
}

#[cfg(test)]
mod tests {
    use super::database_of;

    #[test]
    fn whose_file_it_is() {
        for (path, oid) in [
            ("base/5/16384.1", Some(5)),
            ("pg_tblspc/16400/PG_15_202209061/16385/16390_fsm", Some(16385)),
            ("global/1262", None),
            ("base/pgsql_tmp/x", None),
            ("pg_tblspc/16400/PG_15_202209061", None),
            ("pg_wal/000000010000000000000001", None),
        ] {
            assert_eq!(database_of(path), oid, "{path}");
        }
    }
}
