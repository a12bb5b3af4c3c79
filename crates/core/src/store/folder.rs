//! Folders held open: paths below them are walked name by name, and a symbolic link ends the walk, so that nothing
//! outside is ever touched.

use super::{Key, Object};
use rustix::fs::{AtFlags, Dir as Entries, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// An open folder.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) fd: OwnedFd,
}

impl Folder {
    /// The folder `path`; links on the way to it are the administrator's and are followed.
    pub(super) fn open_path(path: &Path) -> Result<Folder, Errno> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        rustix::fs::open(path, flags, Mode::empty()).map(|fd| Folder { fd })
    }

    fn open_child(&self, name: &str) -> Result<Folder, Errno> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            // For a link the kernel says NOTDIR as for a file; but behind a link there may be objects.
            Err(Errno::NOTDIR) if self.is_link(name)? => Err(Errno::LOOP),
            other => other.map(|fd| Folder { fd }),
        }
    }

    fn is_link(&self, name: &str) -> Result<bool, Errno> {
        Ok(self.stat_name(name)?.is_some_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Symlink))
    }

    /// The folder that `names` lead to.
    pub(super) fn open_below<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<Folder, Errno> {
        let itself = Folder { fd: rustix::io::fcntl_dupfd_cloexec(&self.fd, 0)? };
        names.into_iter().try_fold(itself, |folder, name| folder.open_child(name))
    }

    /// The folder `name` in this one, made durable when it is new.
    pub(super) fn make_child(&self, name: &str) -> Result<Folder, Errno> {
        match rustix::fs::mkdirat(&self.fd, name, Mode::RWXU) {
            // A folder whose name is not durable takes everything in it along when the power goes, however well that
            // was synced.
            Ok(()) => self.sync_names()?,
            Err(Errno::EXIST) => {}
            Err(e) => return Err(e),
        }
        self.open_child(name)
    }

    /// The folder that `names` lead to, each made when it is not there.
    pub(super) fn make_all<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<Folder, Errno> {
        let itself = Folder { fd: rustix::io::fcntl_dupfd_cloexec(&self.fd, 0)? };
        names.into_iter().try_fold(itself, |folder, name| folder.make_child(name))
    }

    /// The file `name`, for its owner only when it is new.
    pub(super) fn open_file(&self, name: &str, flags: OFlags) -> Result<File, Errno> {
        // NONBLOCK: a FIFO put there must not hang us; it means nothing for files.
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        rustix::fs::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR).map(File::from)
    }

    /// Makes the names in it durable.
    pub(super) fn sync_names(&self) -> Result<(), Errno> {
        rustix::fs::fsync(&self.fd)
    }

    /// Every object in it and below; `at` is its own name in keys.
    pub(super) fn walk_objects(&self, at: &str) -> Result<Vec<Object>, Errno> {
        let mut found = Vec::new();
        for (name, kind) in self.read_entries()? {
            let key = if at.is_empty() { name.clone() } else { format!("{at}/{name}") };
            let Ok(key) = key.parse::<Key>() else { continue };
            // What was removed since it was read is not there any more; so it was never listed.
            match kind {
                FileType::Directory => {
                    let below = self.open_child(&name).and_then(|f| f.walk_objects(key.as_str()));
                    found.extend(gone_is_empty(below)?);
                }
                FileType::RegularFile => found.extend(self.read_object(&name, key)?),
                _ => {}
            }
        }
        Ok(found)
    }

    /// The names of the folders in it that objects may lie below, sorted.
    pub(super) fn list_folders(&self) -> Result<Vec<String>, Errno> {
        let fits = |(name, kind): (String, FileType)| {
            (kind == FileType::Directory && name.parse::<Key>().is_ok()).then_some(name)
        };
        let mut names: Vec<String> = self.read_entries()?.into_iter().filter_map(fits).collect();
        names.sort();
        Ok(names)
    }

    fn read_object(&self, name: &str, key: Key) -> Result<Option<Object>, Errno> {
        let Some(stat) = self.stat_name(name)? else { return Ok(None) };
        let modified = jiff::Timestamp::new(stat.st_mtime, i32::try_from(stat.st_mtime_nsec).unwrap_or(0));
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let modified = modified.unwrap_or_default();
        Ok(Some(Object { key, size, modified, attrs: BTreeMap::new(), class: None }))
    }

    fn stat_name(&self, name: &str) -> Result<Option<Stat>, Errno> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(None),
            other => other.map(Some),
        }
    }

    fn read_entries(&self) -> Result<Vec<(String, FileType)>, Errno> {
        let mut names = Vec::new();
        for entry in Entries::read_from(&self.fd)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name != "." && name != ".." {
                names.push((name.to_string(), self.entry_type(name, entry.file_type())?));
            }
        }
        Ok(names)
    }

    /// Some file systems do not tell the type in the directory.
    fn entry_type(&self, name: &str, told: FileType) -> Result<FileType, Errno> {
        if told != FileType::Unknown {
            return Ok(told);
        }
        Ok(self.stat_name(name)?.map_or(FileType::Unknown, |s| FileType::from_raw_mode(s.st_mode)))
    }

    /// Removes the files in it that were last written more than `age` ago, all but `keep`; how many there were.
    pub(super) fn remove_older(&self, age: Duration, keep: &str) -> Result<usize, Errno> {
        let limit = SystemTime::now() - age;
        let mut removed = 0;
        for (name, kind) in self.read_entries()? {
            let Some(stat) = self.stat_name(&name)? else { continue };
            let secs = u64::try_from(stat.st_mtime).unwrap_or(0);
            let nanos = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
            let written = SystemTime::UNIX_EPOCH + Duration::new(secs, nanos);
            // By the last write, not by the name: an upload that still goes on keeps its file young, however long it
            // takes.
            if kind == FileType::RegularFile && name != keep && written < limit {
                gone_is_empty(rustix::fs::unlinkat(&self.fd, &name, AtFlags::empty()))?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Removes the folders that `names` lead to, deepest first, as long as they are empty.
    pub(super) fn remove_empty<'a>(&self, names: impl Iterator<Item = &'a str> + Clone) {
        let depth = names.clone().count();
        for kept in (0..depth).rev() {
            let Ok(parent) = self.open_below(names.clone().take(kept)) else { return };
            let Some(name) = names.clone().nth(kept) else { return };
            // The kernel refuses a folder that is not empty, also when something came into it this moment: nothing is
            // looked at before, so nothing can change in between.
            if rustix::fs::unlinkat(&parent.fd, name, AtFlags::REMOVEDIR).is_err() {
                return;
            }
        }
    }
}

fn gone_is_empty<T: Default>(result: Result<T, Errno>) -> Result<T, Errno> {
    match result {
        Err(Errno::NOENT) => Ok(T::default()),
        other => other,
    }
}
