//! A directory as a store.
//!
//! ```text
//! <root>/a/b          an object: a file of mode 0600
//! <root>/a/b.attr     its attributes, JSON; written before it, so that no object is ever without them
//! <root>/.tmp/        uploads in progress, and the lock under which they are named
//! ```

use super::folder::Folder;
use super::{Attrs, Key, Object, Store, Stored, check_attrs};
use crate::error::{Context, Error, Result};
use crate::{durable, random, shutdown};
use rustix::fs::{AtFlags, OFlags, RenameFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

const TEMP: &str = ".tmp";
const LOCK: &str = "lock";

/// A directory on this machine, or on a file system mounted here. It is created by the first `put`; the folder it
/// lies in must exist, because a path below an unmounted disk must not fill the root file system.
#[derive(Debug)]
pub struct Dir {
    root: PathBuf,
}

impl Dir {
    /// The store in the folder `path`, which must be absolute. Nothing is looked at yet.
    ///
    /// # Errors
    /// Usage when `path` is relative.
    pub fn open(path: &str) -> Result<Dir> {
        if path.starts_with('/') {
            return Ok(Dir { root: path.into() });
        }
        let e = Error::usage(format!("{path:?} is not an absolute path"));
        Err(e.hint("a directory repository is file:///dir or /dir"))
    }

    /// The root, or none when it is not there yet but could be made.
    fn open_root(&self) -> Result<Option<Folder>> {
        match Folder::open_path(&self.root) {
            Err(Errno::NOENT) if self.parent().is_dir() => Ok(None),
            Err(Errno::NOENT) => Err(self.no_parent()),
            other => Ok(Some(self.explain_errno(other, "open the folder")?)),
        }
    }

    fn made_root(&self) -> Result<Folder> {
        if let Some(root) = self.open_root()? {
            return Ok(root);
        }
        durable::create_dirs(&self.root).map_err(|e| e.hint(hint_writable()))?;
        self.explain_errno(Folder::open_path(&self.root), "open the folder")
    }

    fn parent(&self) -> &Path {
        durable::folder_of(&self.root)
    }

    fn no_parent(&self) -> Error {
        let parent = self.parent().display().to_string();
        Error::failed(format!("{parent} is not there")).hint(format!(
            "mount it, or create it: mkdir {parent}; toban creates only {}",
            self.root.display()
        ))
    }

    /// One clear line for what the file system says.
    fn explain_errno<T>(&self, said: Result<T, Errno>, doing: &str) -> Result<T> {
        said.map_err(|errno| {
            let e = Error::failed(format!("{doing} {}", self.root.display()));
            with_hint(e.because(io::Error::from(errno)), errno)
        })
    }

    fn find_file(&self, key: &Key) -> Result<Option<File>> {
        let Some(root) = self.open_root()? else { return Ok(None) };
        let opened =
            root.open_below(parent_names(key)).and_then(|f| f.open_file(last_name(key), OFlags::RDONLY));
        match opened {
            // On the open file, and not on its name: between two look-ups somebody may put something else there.
            Ok(file) if file.metadata().is_ok_and(|m| m.is_file()) => Ok(Some(file)),
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(e) => self.explain_errno(Err(e), &format!("open {key} in")),
        }
    }

    /// The folder of this name; none where no object can lie below it.
    fn find_folder(&self, folder: &str) -> Result<Option<Folder>> {
        let Some(root) = self.open_root()? else { return Ok(None) };
        if !folder.is_empty() && folder.parse::<Key>().is_err() {
            return Ok(None);
        }
        match root.open_below(folder.split('/').filter(|p| !p.is_empty())) {
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            other => self.explain_errno(other, "list").map(Some),
        }
    }

    fn read_attrs(&self, key: &Key) -> Result<Attrs> {
        let beside = attr_key(key);
        let Some(mut file) = self.find_file(&beside)? else { return Ok(Attrs::new()) };
        let mut json = String::new();
        file.read_to_string(&mut json).doing(|| format!("read {}", self.file_path(&beside).display()))?;
        serde_json::from_str(&json)
            .doing(|| format!("read {}", self.file_path(&beside).display()))
            .map_err(|e| e.kind_as(crate::Kind::Corrupt))
    }

    fn file_path(&self, key: &Key) -> PathBuf {
        self.root.join(key.as_str())
    }
}

impl Store for Dir {
    fn put(&self, key: &Key, body: &mut dyn Read, attrs: &Attrs) -> Result<Stored> {
        check_attrs(attrs)?;
        let root = self.made_root()?;
        if self.find_file(key)?.is_some() {
            return self.confirm_exists(&root, key);
        }
        // Written under a name that is no key, and synced there: a crash before the rename leaves a file that `sweep`
        // removes, and never half an object under its own name. On one file system, as rename(2) wants it.
        let temp = self.explain_errno(root.make_child(TEMP), "create a folder in")?;
        // EXCL and a random name: two writers never share a file, and neither follows what was planted there.
        let mut upload = Temp::create_temp(self, &temp, key)?;
        upload.fill_file(body)?;
        let notes = match attrs.is_empty() {
            true => None,
            false => Some(Temp::of_attrs(self, &temp, key, attrs)?),
        };
        self.name_upload(&root, upload, notes)
    }

    fn get(&self, key: &Key, from: u64) -> Result<Option<Box<dyn Read + Send + '_>>> {
        let Some(mut file) = self.find_file(key)? else { return Ok(None) };
        file.seek(SeekFrom::Start(from)).doing(|| format!("read {}", self.file_path(key).display()))?;
        Ok(Some(Box::new(file)))
    }

    fn stat(&self, key: &Key) -> Result<Option<Object>> {
        let Some(file) = self.find_file(key)? else { return Ok(None) };
        let meta = file.metadata().doing(|| format!("look at {}", self.file_path(key).display()))?;
        let modified = meta.modified().ok().and_then(|t| t.try_into().ok()).unwrap_or_default();
        let attrs = self.read_attrs(key)?;
        Ok(Some(Object { key: key.clone(), size: meta.len(), modified, attrs, class: None }))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        let (folder, _) = prefix.rsplit_once('/').unwrap_or(("", prefix));
        let Some(start) = self.find_folder(folder)? else { return Ok(Vec::new()) };
        let mut found = self.explain_errno(start.walk_objects(folder), "list")?;
        found.retain(|o| o.key.as_str().starts_with(prefix));
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        let Some(start) = self.find_folder(prefix.trim_end_matches('/'))? else { return Ok(Vec::new()) };
        self.explain_errno(start.list_folders(), "list")
    }

    fn remove(&self, key: &Key) -> Result<()> {
        let Some(root) = self.open_root()? else { return Ok(()) };
        let folder = match root.open_below(parent_names(key)) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            other => self.explain_errno(other, &format!("remove {key} from"))?,
        };
        // Against a writer of the same name: between its attributes and its object we would take the attributes away.
        let _held = self.lock_names(&self.explain_errno(root.make_child(TEMP), "create a folder in")?)?;
        // The object first: attributes without an object are nothing, an object without them would lie.
        for name in [last_name(key).to_string(), format!("{}.attr", last_name(key))] {
            match rustix::fs::unlinkat(&folder.fd, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(e) => return self.explain_errno(Err(e), &format!("remove {key} from")),
            }
        }
        self.explain_errno(folder.sync_names(), "sync")?;
        root.remove_empty(parent_names(key));
        Ok(())
    }

    fn sweep(&self, older_than: Duration) -> Result<usize> {
        let Some(root) = self.open_root()? else { return Ok(0) };
        match root.open_below([TEMP]) {
            Ok(temp) => self.explain_errno(temp.remove_older(older_than, LOCK), "sweep"),
            Err(Errno::NOENT) => Ok(0),
            Err(e) => self.explain_errno(Err(e), "sweep"),
        }
    }

    fn local_path(&self, key: &Key) -> Option<PathBuf> {
        Some(self.file_path(key))
    }
}

impl Dir {
    /// Names a finished upload. The lock keeps the attributes of two at once apart; that only one gets the name is
    /// the kernel's promise, also where locks do not work.
    fn name_upload(&self, root: &Folder, upload: Temp<'_>, notes: Option<Temp<'_>>) -> Result<Stored> {
        let key = upload.key;
        let held = self.lock_names(upload.folder)?;
        let folder =
            self.explain_errno(root.make_all(parent_names(key)), &format!("create the folder of {key} in"))?;
        if self.find_file(key)?.is_some() {
            return self.confirm_exists(root, key);
        }
        // The attributes first: a crash in between leaves attributes without an object, which count for nothing. The other
        // way round there would be an object without its checksum, and it would look as if it never had one.
        let beside = format!("{}.attr", last_name(key));
        match notes {
            Some(notes) => {
                self.explain_errno(notes.rename_over(&folder, &beside), &format!("name {key}.attr in"))?;
            }
            // What an upload that died left must not become this object's.
            None => drop(rustix::fs::unlinkat(&folder.fd, &beside, AtFlags::empty())),
        }
        let named =
            self.explain_errno(upload.rename_new(&folder, last_name(key)), &format!("name {key} in"))?;
        // The name is taken by something that is no object: a folder, left by a key that this one is a prefix of.
        if named == Stored::Exists && self.find_file(key)?.is_none() {
            return self.explain_errno(Err(Errno::ISDIR), &format!("name {key} in"));
        }
        drop(held);
        // rename(2) is atomic, but durable only once the folder is synced (fsync(2), "Calling fsync() does not necessarily
        // ensure that the entry in the directory … has also reached disk"). Only then may the caller rely on it.
        self.explain_errno(folder.sync_names(), "sync")?;
        Ok(named)
    }

    /// Whoever named it may have died before the folder was synced, or not have come so far yet. Our caller goes on as if
    /// the object were durable, so we sync the folder ourselves.
    fn confirm_exists(&self, root: &Folder, key: &Key) -> Result<Stored> {
        self.explain_errno(root.open_below(parent_names(key)).and_then(|f| f.sync_names()), "sync")?;
        Ok(Stored::Exists)
    }

    fn lock_names(&self, temp: &Folder) -> Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE;
        let file = self.explain_errno(temp.open_file(LOCK, flags), "lock")?;
        if let Err(e) = file.lock() {
            log::debug!("{}: this file system has no locks: {e}", self.root.display());
        }
        Ok(file)
    }
}

/// An upload in progress; its file goes away unless it gets a name.
struct Temp<'a> {
    dir: &'a Dir,
    folder: &'a Folder,
    key: &'a Key,
    temp: String,
    file: File,
}

impl<'a> Temp<'a> {
    fn create_temp(dir: &'a Dir, folder: &'a Folder, key: &'a Key) -> Result<Temp<'a>> {
        let temp = random::mark();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let file = dir.explain_errno(folder.open_file(&temp, flags), &format!("write {key} to"))?;
        Ok(Temp { dir, folder, key, temp, file })
    }

    fn of_attrs(dir: &'a Dir, folder: &'a Folder, key: &'a Key, attrs: &Attrs) -> Result<Temp<'a>> {
        let json = serde_json::to_vec(attrs).doing(|| format!("write the attributes of {key}"))?;
        let mut notes = Temp::create_temp(dir, folder, key)?;
        notes.fill_file(&mut &json[..])?;
        Ok(notes)
    }

    fn fill_file(&mut self, body: &mut dyn Read) -> Result<()> {
        let mut buffer = vec![0; 256 << 10];
        loop {
            shutdown::check()?;
            let n = match body.read(&mut buffer) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                other => other.doing(|| format!("read what becomes {}", self.key))?,
            };
            if n == 0 {
                break;
            }
            let written = self.file.write_all(&buffer[..n]);
            self.explain_write(written)?;
        }
        // Before it gets its name: file systems may make a rename durable before the data of the file (ext4 without
        // auto_da_alloc, XFS), and a power cut would leave a named file of zeros.
        self.explain_write(self.file.sync_all())
    }

    fn explain_write(&self, result: io::Result<()>) -> Result<()> {
        let errno = result.as_ref().err().and_then(Errno::from_io_error);
        let written = result.doing(|| format!("write {}", self.dir.file_path(self.key).display()));
        written.map_err(|e| if let Some(errno) = errno { with_hint(e, errno) } else { e })
    }

    fn rename_over(self, folder: &Folder, name: &str) -> Result<(), Errno> {
        rustix::fs::renameat(&self.folder.fd, &self.temp, &folder.fd, name)
    }

    /// Gives the file its name unless that is taken.
    fn rename_new(self, folder: &Folder, name: &str) -> Result<Stored, Errno> {
        let (from, to) = (&self.folder.fd, &folder.fd);
        match rustix::fs::renameat_with(from, &self.temp, to, name, RenameFlags::NOREPLACE) {
            // NFS and others cannot rename without replacing; a hard link has the same promise.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => self.link_new(folder, name),
            other => judge_name(other),
        }
    }

    fn link_new(&self, folder: &Folder, name: &str) -> Result<Stored, Errno> {
        use std::os::unix::fs::MetadataExt;
        let linked = rustix::fs::linkat(&self.folder.fd, &self.temp, &folder.fd, name, AtFlags::empty());
        // Over NFS the answer to a link that was made can get lost; the link count tells.
        if linked.is_err() && self.file.metadata().is_ok_and(|m| m.nlink() == 2) {
            return Ok(Stored::New);
        }
        judge_name(linked)
    }
}

fn judge_name(named: Result<(), Errno>) -> Result<Stored, Errno> {
    match named {
        Ok(()) => Ok(Stored::New),
        Err(Errno::EXIST) => Ok(Stored::Exists),
        Err(e) => Err(e),
    }
}

impl Drop for Temp<'_> {
    fn drop(&mut self) {
        let _ = rustix::fs::unlinkat(&self.folder.fd, &self.temp, AtFlags::empty());
    }
}

fn parent_names(key: &Key) -> impl Iterator<Item = &str> + Clone {
    let (folder, _) = key.as_str().rsplit_once('/').unwrap_or(("", ""));
    folder.split('/').filter(|p| !p.is_empty())
}

fn last_name(key: &Key) -> &str {
    key.as_str().rsplit('/').next().expect("rsplit yields at least one")
}

fn attr_key(key: &Key) -> Key {
    Key(format!("{key}.attr"))
}

fn hint_writable() -> String {
    let uid = rustix::process::geteuid().as_raw();
    format!("make it writable for the user this runs as (uid {uid}), or give another --repo")
}

fn with_hint(e: Error, errno: Errno) -> Error {
    match errno {
        Errno::ACCESS | Errno::PERM | Errno::ROFS => e.hint(hint_writable()),
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => e.hint("free some space there, or give another --repo"),
        Errno::LOOP | Errno::NOTDIR => e.hint("a symbolic link or a file stands where a folder is expected"),
        _ => e,
    }
}
