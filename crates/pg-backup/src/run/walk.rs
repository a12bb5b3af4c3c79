//! What lies in a data directory and goes into a backup.

use super::exclude::{self, Relation};
use super::page::SEGMENT_PAGES;
use crate::format::backup::Tablespace;
use crate::format::index::{EntryKind, FileName, IndexEntry};
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use toban_core::{Error, Result};

/// Deeper than any data directory; a loop of links ends here.
const DEPTH: usize = 32;

/// A file or folder to copy.
#[derive(Clone, Debug)]
pub(super) struct ListedFile {
    pub(super) name: FileName,
    pub(super) kind: EntryKind,
    pub(super) mode: u32,
    pub(super) modified: i64,
    pub(super) size: u64,
    /// Of a relation's file: the number of its first page.
    pub(super) first_page: Option<u32>,
}

impl ListedFile {
    fn from_metadata(name: FileName, meta: &Metadata) -> ListedFile {
        let kind = if meta.is_dir() { EntryKind::Folder } else { EntryKind::File };
        let text = name.text();
        let relation = exclude::of_relations(text).then(|| text.rsplit('/').next().unwrap_or(text));
        // A stray file's number may be larger than any relation's.
        let first = |r: Relation<'_>| r.segment.checked_mul(SEGMENT_PAGES);
        let first_page = relation.and_then(exclude::parse_relation).and_then(first);
        let size = if meta.is_file() { meta.len() } else { 0 };
        let mode = meta.permissions().mode() & 0o7777;
        ListedFile { name, kind, mode, modified: meta.mtime(), size, first_page }
    }

    /// The line of the index that it becomes, without pieces.
    pub(super) fn to_entry(&self) -> IndexEntry {
        IndexEntry {
            path: self.name.clone(),
            kind: self.kind,
            mode: self.mode,
            modified: self.modified,
            size: self.size,
            crc32c: 0,
            pieces: Vec::new(),
        }
    }
}

/// Folders first, each before what it holds; then files, the largest first. pg_control is not among them: it is
/// copied last. Of a tablespace only the folder `version` counts: what else lies in its place is not this server's.
pub(super) fn walk_data_dir(data_dir: &Path, version: &str) -> Result<Vec<ListedFile>> {
    let mut walk = Walk { data_dir, version, found: Vec::new() };
    walk.walk_folder(Path::new(""))?;
    let mut found = walk.found;
    // Folders first, so that tar makes them before what lies in them; then the largest files, so that the workers end at
    // about the same time.
    found.sort_by(|a, b| {
        let folders_first = (b.kind == EntryKind::Folder).cmp(&(a.kind == EntryKind::Folder));
        let inner = || if a.kind == EntryKind::Folder { a.name.cmp(&b.name) } else { b.size.cmp(&a.size) };
        folders_first.then_with(inner).then_with(|| a.name.cmp(&b.name))
    });
    Ok(found)
}

/// The tablespaces outside the data directory, by their links.
pub(super) fn list_links(data_dir: &Path) -> Result<Vec<Tablespace>> {
    let folder = data_dir.join("pg_tblspc");
    let names = list_names(&folder).map_err(|e| explain_unreadable(e, &folder))?;
    let link = |name: &PathBuf| {
        let location = fs::read_link(folder.join(name)).ok()?.to_str()?.to_string();
        Some(Tablespace { oid: name.to_str()?.parse().ok()?, location, late: false })
    };
    Ok(names.iter().filter_map(link).collect())
}

/// The bytes of all.
pub(super) fn total_bytes(listed: &[ListedFile]) -> u64 {
    listed.iter().map(|l| l.size).sum()
}

fn list_names(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    fs::read_dir(path)?.map(|e| Ok(e?.file_name().into())).collect()
}

/// A walk through a data directory.
struct Walk<'a> {
    data_dir: &'a Path,
    version: &'a str,
    found: Vec<ListedFile>,
}

impl Walk<'_> {
    fn walk_folder(&mut self, at: &Path) -> Result<()> {
        let path = self.data_dir.join(at);
        if at.components().count() > DEPTH {
            return Err(Error::failed(format!("{} is too deep: is there a loop of links?", path.display())));
        }
        let names = match list_names(&path) {
            Ok(names) => names,
            // Dropped since it was listed.
            Err(e) if e.kind() == ErrorKind::NotFound && at != Path::new("") => return Ok(()),
            Err(e) => return Err(explain_unreadable(e, &path)),
        };
        let relations = exclude::of_relations(FileName::from(at.join("0").as_path()).text());
        let known = names.iter().map(|n| n.to_str().unwrap_or_default()).filter(|_| relations);
        let unlogged = exclude::find_unlogged(known);
        for name in &names {
            if !unlogged.contains(name.to_str().unwrap_or_default()) {
                self.add_path(&at.join(name))?;
            }
        }
        Ok(())
    }

    /// Links are followed: a data directory may have pg_wal or a log elsewhere, and a restored one is plain.
    fn add_path(&mut self, at: &Path) -> Result<()> {
        let name = FileName::from(at);
        if exclude::is_excluded(name.text()) || name.text() == "global/pg_control" || self.is_foreign(at) {
            return Ok(());
        }
        let path = self.data_dir.join(at);
        // Looked at before it is followed: a link that goes in between is gone, and not a folder.
        let linked = path.is_symlink();
        let meta = match fs::metadata(&path) {
            Ok(meta) => meta,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(explain_unreadable(e, &path)),
        };
        if meta.is_dir() {
            return self.add_folder(at, linked, ListedFile::from_metadata(name, &meta));
        }
        if !meta.is_file() {
            log::warn!("{} is neither a file nor a folder; it is not in the backup", path.display());
        } else if !name.text().starts_with("pg_wal/") {
            // WAL is taken apart from the rest, and only what the backup needs.
            self.found.push(ListedFile::from_metadata(name, &meta));
        }
        Ok(())
    }

    fn add_folder(&mut self, at: &Path, linked: bool, listed: ListedFile) -> Result<()> {
        let emptied = exclude::is_emptied(listed.name.text());
        // A tablespace's link is made by recovery from tablespace_map; a folder in its place would be in the way.
        if !(linked && at.parent() == Some(Path::new("pg_tblspc"))) {
            self.found.push(listed);
        }
        if emptied { Ok(()) } else { self.walk_folder(at) }
    }

    /// In a tablespace: what is of another server or of none, as lost+found of a disk of its own.
    fn is_foreign(&self, at: &Path) -> bool {
        at.starts_with("pg_tblspc") && at.components().count() == 3 && !at.ends_with(self.version)
    }
}

fn explain_unreadable(e: std::io::Error, path: &Path) -> Error {
    let denied = e.kind() == ErrorKind::PermissionDenied;
    let e = Error::caused_by(format!("read {}", path.display()), e);
    match denied {
        true => {
            e.hint("run as the user that owns the data directory (postgres), on the server's own machine")
        }
        false => e,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_ours_in_a_tablespace_and_pages_by_their_number() {
        let dir = tempfile::tempdir().expect("a folder");
        for path in
            ["base/5/16384.3", "base/5/16384.999999", "pg_tblspc/7/PG_15_1/5/9", "pg_tblspc/7/PG_14_1/5/9"]
        {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("make a folder");
            fs::write(path, "x").expect("write");
        }
        let found = walk_data_dir(dir.path(), "PG_15_1").expect("walked");
        let page = |name: &str| found.iter().find(|l| l.name.text() == name).map(|l| l.first_page);
        assert_eq!(page("base/5/16384.3"), Some(Some(3 * SEGMENT_PAGES)));
        assert_eq!(page("base/5/16384.999999"), Some(None));
        assert_eq!(page("pg_tblspc/7/PG_15_1/5/9"), Some(Some(0)));
        assert_eq!(page("pg_tblspc/7/PG_14_1/5/9"), None);
    }
}
