//! Where a backup is restored to: what must hold before, and its folders and tablespace links.

use super::delta;
use super::display_path;
use super::tablespaces::{self, TablespacePlaces};
use super::wal_effects::WalEffects;
use crate::cli;
use crate::data_dir::{control, owner};
use crate::format::backup::{BackupManifest, Owner, PG_CONTROL};
use crate::format::outline::Outline;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use toban_core::pg::postmaster_pid;
use toban_core::wal::Change;
use toban_core::{Context, Error, Result, durable, machine, out};

/// Says that a restore into this folder has begun and not ended.
pub(super) const UNFINISHED: &str = "pg-backup-restore-unfinished";

/// A target that may be written to.
pub(super) struct Target {
    pub(super) dir: PathBuf,
    pub(super) delta: bool,
    /// Whose files they become; none when we are not root and they are simply ours.
    pub(super) ids: Option<(u32, u32)>,
    pub(super) mode: u32,
    pub(super) major: u32,
    /// By OID: where each tablespace goes.
    pub(super) tablespaces: BTreeMap<u32, PathBuf>,
    /// Those that replay links itself, to the place where they were.
    pub(super) linked_by_replay: BTreeSet<u32>,
    /// What recovery must see otherwise in the WAL, so that tablespaces that it creates go where they shall.
    pub(super) changes: Vec<Change>,
    /// The server's folder in each tablespace, where there are changes.
    pub(super) version_folder: String,
    /// Recovery creates a tablespace inside the data directory.
    pub(super) in_place: bool,
    /// Databases whose files are written as zeros of their size.
    pub(super) left_out: BTreeSet<u32>,
}

/// What the backup and the WAL say of tablespaces.
pub(super) struct Known<'a> {
    pub(super) backup: &'a BackupManifest,
    pub(super) outline: &'a Outline,
    pub(super) effects: &'a WalEffects,
    /// Databases, by their OIDs, whose content is not wanted.
    pub(super) left_out: &'a BTreeSet<u32>,
}

impl Known<'_> {
    /// Bytes that are written: what is left out takes no space.
    pub(super) fn wanted_bytes(&self) -> u64 {
        let left_out = self.left_out.iter().filter_map(|oid| self.outline.databases.get(oid));
        self.backup.bytes.saturating_sub(left_out.sum())
    }
}

impl Target {
    /// Checks all that can be checked before the first write.
    ///
    /// # Errors
    /// Failed or Usage, with what is in the way.
    pub(super) fn check_all(args: &cli::Restore, known: &Known<'_>) -> Result<Target> {
        let backup = known.backup;
        let dir = std::path::absolute(&args.pgdata).doing(|| "find the target".into())?;
        let TablespacePlaces { tablespaces, linked_by_replay, changes, in_place } =
            tablespaces::plan_tablespaces(args, known)?;
        let target = Target {
            delta: args.delta,
            ids: find_owner_ids(&backup.owner)?,
            mode: if backup.owner.mode == 0o750 { 0o750 } else { 0o700 },
            major: backup.major,
            tablespaces,
            linked_by_replay,
            changes,
            version_folder: String::new(),
            in_place,
            left_out: known.left_out.clone(),
            dir,
        };
        not_running(&target.dir)?;
        target.check_target(backup)?;
        if target.delta {
            delta::refuse_links(&target)?;
        }
        target.tablespaces.iter().try_for_each(|(oid, path)| target.tablespace_fits(*oid, path, known))?;
        if !target.delta {
            target.check_space(known.wanted_bytes())?;
        }
        Ok(target)
    }

    fn check_target(&self, backup: &BackupManifest) -> Result<()> {
        if is_empty(&self.dir)? {
            return Ok(());
        }
        if !self.delta {
            let e = Error::failed(format!("{} is not empty", display_path(&self.dir)));
            return Err(e.hint("empty it, or give --delta to rewrite only what differs from the backup"));
        }
        if self.dir.join(UNFINISHED).exists() {
            return Ok(());
        }
        let version = fs::read_to_string(self.dir.join("PG_VERSION")).unwrap_or_default();
        if version.trim() != backup.major.to_string() {
            let what = match version.trim() {
                "" => "no data directory".to_string(),
                other => format!("of PostgreSQL {other}, the backup of {}", backup.major),
            };
            return Err(Error::failed(format!(
                "{} is {what}: --delta would delete what is in it",
                display_path(&self.dir)
            )));
        }
        let system =
            control::read_control(&self.dir).ok().and_then(|bytes| control::system_identifier(&bytes));
        // A directory without a readable pg_control was judged by its PG_VERSION alone. One of another system
        // is refused, since --delta deletes all that the backup does not have.
        match system {
            Some(id) if id.to_string() != backup.system_identifier => Err(Error::failed(format!(
                "{} is of system {id}, the backup of {}",
                display_path(&self.dir),
                backup.system_identifier
            ))),
            _ => Ok(()),
        }
    }

    /// A place must be empty, or with --delta be this very target's: what lies there may be a live server's.
    fn tablespace_fits(&self, oid: u32, path: &Path, known: &Known<'_>) -> Result<()> {
        if is_empty(path)? || (self.delta && self.leads_to(oid, path)) {
            return Ok(());
        }
        let what = match known.effects.created.iter().find(|c| c.oid == oid) {
            Some(created) => format!(
                "the WAL up to the target creates tablespace {oid} in {} at {}, and {} is not empty",
                created.location,
                created.lsn,
                display_path(path)
            ),
            None => format!("the folder {} of a tablespace is not empty", display_path(path)),
        };
        Err(Error::failed(what).hint(
            "empty it if no server uses it, or put the tablespace elsewhere: --tablespace-mapping OLD=NEW, or \
             --tablespace-dir DIR for all",
        ))
    }

    /// Whether the target's own link of this tablespace leads there.
    fn leads_to(&self, oid: u32, path: &Path) -> bool {
        let link = self.dir.join(format!("pg_tblspc/{oid}"));
        let there = |p: &Path| p.canonicalize().ok();
        link.is_symlink() && there(&link).is_some() && there(&link) == there(path)
    }

    /// Bytes free on all file systems that are written to, each counted once.
    fn check_space(&self, needed: u64) -> Result<()> {
        let mut free = BTreeMap::new();
        for path in self.tablespaces.values().chain([&self.dir]) {
            let there = machine::nearest_folder(path);
            let device = fs::metadata(&there).map_or(0, |m| m.dev());
            free.insert(device, machine::free_bytes(&there)?);
        }
        // The sum, since the backup does not say how many bytes each tablespace takes: this refuses only what
        // cannot fit at all, and a disk that is full later leaves a restore that is marked as unfinished.
        let free: u64 = free.values().sum();
        if free >= needed {
            return Ok(());
        }
        let (needed, free) = (out::bytes(needed), out::bytes(free));
        Err(Error::failed(format!(
            "the backup needs {needed}, and {} has {free} free",
            display_path(&self.dir)
        )))
    }

    /// Makes the folder unusable for a server, then its folders and links.
    pub(super) fn prepare_folders(&self) -> Result<()> {
        // In this order: first a file says that the folder is not whole, then the pg_control that may be there goes and
        // its folder is synced. From here until the last line of the restore no server can start in what is half old,
        // half new, even after a crash of the machine; and a rerun with --delta knows the folder by the mark.
        self.make_folder(&self.dir)?;
        let mark = self.dir.join(UNFINISHED);
        durable::replace(&mark, 0o600, |w| {
            w.write_all(
                b"pg-backup restore has not ended. No server starts here; run it again with --delta.\n",
            )
            .doing(|| "write the mark".into())
        })?;
        match fs::remove_file(self.dir.join(PG_CONTROL)) {
            Ok(()) => durable::sync_dir(&self.dir.join("global"))?,
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e).doing(|| "remove pg_control".into()),
        }
        for (oid, path) in &self.tablespaces {
            self.make_folder(path)?;
            if !self.linked_by_replay.contains(oid) {
                self.link_tablespace(*oid, path)?;
            }
        }
        Ok(())
    }

    fn link_tablespace(&self, oid: u32, path: &Path) -> Result<()> {
        self.make_folder(&self.dir.join("pg_tblspc"))?;
        let link = self.dir.join(format!("pg_tblspc/{oid}"));
        if fs::read_link(&link).is_ok_and(|to| to == path) {
            return Ok(());
        }
        if link.is_symlink() {
            fs::remove_file(&link).doing(|| format!("remove {}", display_path(&link)))?;
        }
        symlink(path, &link).doing(|| format!("link {} to {}", display_path(&link), display_path(path)))
    }

    /// Makes a folder and those above it, or takes it as it is; the new ones are the server's.
    pub(super) fn make_folder(&self, path: &Path) -> Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            self.make_folder(parent)?;
        }
        match DirBuilder::new().mode(self.mode).create(path) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(e) => Err(e).doing(|| format!("create the folder {}", display_path(path))),
            Ok(()) => self.give_to_owner(path),
        }
    }

    /// Gives `path` to its owner.
    pub(super) fn give_to_owner(&self, path: &Path) -> Result<()> {
        let Some((uid, gid)) = self.ids else { return Ok(()) };
        chown(path, Some(uid), Some(gid)).doing(|| format!("give {} to its owner", display_path(path)))
    }

    /// Owner and permissions of a file or folder that is there.
    pub(super) fn set_owner_and_mode(&self, path: &Path, mode: u32) -> Result<()> {
        // Owner first: chown(2) may clear bits of the mode.
        self.give_to_owner(path)?;
        // Nothing set-uid, nothing that others may write.
        let mode = fs::Permissions::from_mode(mode & 0o755);
        fs::set_permissions(path, mode).doing(|| format!("set the permissions of {}", display_path(path)))
    }
}

/// Root gives the files to the owner that they had, by name.
fn find_owner_ids(owner: &Owner) -> Result<Option<(u32, u32)>> {
    if !machine::is_root() {
        return Ok(None);
    }
    let numbers = owner::find_ids(owner).ok_or_else(|| {
        Error::failed(format!("there is no user {} with group {} here", owner.user, owner.group))
            .hint("create them, or run as the user that the server shall run as")
    });
    numbers.map(Some)
}

pub(super) fn is_empty(dir: &Path) -> Result<bool> {
    match fs::read_dir(dir) {
        // A disk of its own begins with this folder.
        Ok(mut entries) => Ok(entries.all(|e| e.is_ok_and(|e| e.file_name() == "lost+found"))),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(true),
        Err(e) => Err(e).doing(|| format!("look into {}", display_path(dir))),
    }
}

/// After a crash of the machine the number in postmaster.pid may be another program's.
fn not_running(dir: &Path) -> Result<()> {
    let name = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    match postmaster_pid(dir).filter(|pid| name(pid).starts_with("post")) {
        Some(pid) => Err(Error::failed(format!("a server runs in {}: process {pid}", display_path(dir)))
            .hint("stop it first")),
        None => Ok(()),
    }
}
