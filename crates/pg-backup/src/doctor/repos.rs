//! Reads the repositories' facts: where they lie, and what they hold.

use super::facts::{FolderFacts, RepoContent, RepoFacts, SystemFacts};
use super::machine::read_access;
use crate::data_dir::host::find_differences;
use crate::format::backup::{BackupCatalog, StoredBackup};
use crate::format::dump::DumpCatalog;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use toban_core::Result;
use toban_core::machine::nearest_folder;
use toban_core::repo::keys::System;
use toban_core::repo::{Repo, drills};

/// Looks at one.
pub(super) fn read_repo(repo: &Repo, cluster: &str, now: Timestamp) -> RepoFacts {
    RepoFacts {
        name: repo.name.clone(),
        keep: repo.keep.clone(),
        locks: repo.store.lock().is_some(),
        folder: find_folder(repo).map(|path| read_folder(&path)),
        content: read_content(repo, cluster, now).map_err(|e| e.chain()),
        removal: repo.store.removal_rules().map_err(|e| {
            format!("{}{}", e.chain(), e.find_hint().map(|h| format!("; {h}")).unwrap_or_default())
        }),
    }
}

/// The folder of a repository on this machine.
pub(crate) fn find_folder(repo: &Repo) -> Option<PathBuf> {
    let any = "x".parse().ok()?;
    repo.store.local_path(&any)?.parent().map(Path::to_path_buf)
}

fn read_folder(path: &Path) -> FolderFacts {
    let text = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    FolderFacts {
        path: path.into(),
        access: read_access(path),
        device: std::fs::metadata(nearest_folder(path)).ok().map(|meta| meta.dev()),
        mount: find_mount(path, &text("/etc/fstab"), &text("/proc/self/mountinfo")),
    }
}

/// The deepest mount point of fstab(5) that `path` lies at or below, and whether it is among those of proc(5).
fn find_mount(path: &Path, fstab: &str, mountinfo: &str) -> Option<(PathBuf, bool)> {
    // Blanks are octal in both files.
    let plain = |field: &str| PathBuf::from(field.replace("\\040", " "));
    let lines = fstab.lines().filter(|line| !line.trim_start().starts_with('#'));
    let points = lines.filter_map(|line| line.split_whitespace().nth(1)).map(plain);
    let above = points.filter(|p| p.is_absolute() && p != Path::new("/") && path.starts_with(p));
    let point = above.max_by_key(|p| p.components().count())?;
    let mounted = mountinfo.lines().filter_map(|line| line.split_whitespace().nth(4)).map(plain);
    let is_mounted = mounted.into_iter().any(|p| p == point);
    Some((point, is_mounted))
}

fn read_content(repo: &Repo, cluster: &str, now: Timestamp) -> Result<RepoContent> {
    let backups = BackupCatalog::read(repo, cluster, now)?;
    let dumps = DumpCatalog::read(repo, cluster, now)?.stored.len();
    let mut systems: BTreeMap<u64, SystemFacts> = BTreeMap::new();
    for stored in &backups.stored {
        add_backup(&mut systems, stored)?;
    }
    let newest = systems.values().max_by_key(|s| s.newest);
    let differences = newest.map(|s| find_differences(&s.host)).unwrap_or_default();
    let mut drilled = false;
    for identifier in systems.keys() {
        let system = System { cluster: cluster.into(), identifier: *identifier };
        drilled |= drills::read_drills(&*repo.store, &system, now)?.passed.is_some();
    }
    Ok(RepoContent { systems: systems.into_values().collect(), dumps, differences, drilled })
}

fn add_backup(systems: &mut BTreeMap<u64, SystemFacts>, stored: &StoredBackup) -> Result<()> {
    let backup = &stored.manifest;
    let identifier = backup.system()?.identifier;
    let facts = systems.entry(identifier).or_insert_with(|| SystemFacts {
        identifier,
        backups: 0,
        oldest: backup.finished,
        newest: backup.finished,
        host: backup.host.clone(),
        bytes: backup.bytes,
    });
    facts.backups += 1;
    facts.oldest = facts.oldest.min(backup.finished);
    if backup.finished >= facts.newest {
        (facts.newest, facts.bytes, facts.host) = (backup.finished, backup.bytes, backup.host.clone());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_that_is_not_mounted() {
        let fstab = "# x\nUUID=1 / ext4 defaults 0 1\n/dev/sdb1 /srv/my\\040disk ext4 nofail 0 2\nnone swap swap sw 0 0\n";
        let mounted =
            "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n23 22 8:17 / /srv/my\\040disk rw - ext4 /dev/sdb1 rw\n";
        let find = |path: &str, mountinfo| find_mount(Path::new(path), fstab, mountinfo);
        let point = PathBuf::from("/srv/my disk");
        assert_eq!(find("/srv/my disk/toban", mounted), Some((point.clone(), true)));
        assert_eq!(find("/srv/my disk", ""), Some((point, false)));
        assert_eq!(find("/srv/my disks/toban", ""), None);
        assert_eq!(find("/var/backups", ""), None);
    }
}
