//! `--delta`: removes from the target what the backup does not have.

use super::shown;
use super::target::{Target, UNFINISHED};
use crate::format::index::Name;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use toban_core::{Context, Result};

/// Removes every file and folder of the target that `names` does not name.
///
/// # Errors
/// Those of the file system.
pub(super) fn extra(target: &Target, names: &BTreeSet<Name>) -> Result<()> {
    folder(target, Path::new(""), names)
}

fn folder(target: &Target, at: &Path, names: &BTreeSet<Name>) -> Result<()> {
    let path = target.dir.join(at);
    for entry in fs::read_dir(&path).doing(|| format!("list {}", shown(&path)))? {
        let entry = entry.doing(|| format!("list {}", shown(&path)))?;
        let at = at.join(entry.file_name());
        match judge(target, &at, names) {
            Verdict::Extra => remove(&entry.path())?,
            Verdict::Ours if is_own_folder(target, &at) => folder(target, &at, names)?,
            Verdict::Ours | Verdict::Foreign => {}
        }
    }
    Ok(())
}

/// A folder, or the link of one of the target's tablespaces; behind other links may lie another cluster.
fn is_own_folder(target: &Target, at: &Path) -> bool {
    let path = target.dir.join(at);
    let oid = at.strip_prefix("pg_tblspc").ok().and_then(|p| p.to_str()?.parse::<u32>().ok());
    match oid.and_then(|oid| target.tablespaces.get(&oid)) {
        Some(place) if path.is_symlink() => fs::read_link(&path).is_ok_and(|to| to == *place),
        _ => path.symlink_metadata().is_ok_and(|m| m.is_dir()),
    }
}

/// What a file or folder of the target is.
enum Verdict {
    /// The backup's.
    Ours,
    /// Somebody else's: left alone.
    Foreign,
    Extra,
}

fn judge(target: &Target, at: &Path, names: &BTreeSet<Name>) -> Verdict {
    let name = Name::from(at);
    if at.file_name().is_some_and(|n| n == "lost+found") || of_another(target, &name) {
        return Verdict::Foreign;
    }
    let link = name.text().strip_prefix("pg_tblspc/").and_then(|oid| oid.parse().ok());
    let ours = names.contains(&name)
        || name.text() == UNFINISHED
        || link.is_some_and(|oid: u32| target.tablespaces.contains_key(&oid));
    if ours { Verdict::Ours } else { Verdict::Extra }
}

/// In the place of a tablespace: only the folders of this major are ours, `PG_15_202209061`.
fn of_another(target: &Target, name: &Name) -> bool {
    match name.text().split('/').collect::<Vec<_>>()[..] {
        ["pg_tblspc", _, folder] => !folder.starts_with(&format!("PG_{}_", target.major)),
        _ => false,
    }
}

/// Removes whatever is there, and of a link only the link.
///
/// # Errors
/// Those of the file system.
pub(super) fn remove(path: &Path) -> Result<()> {
    let folder = path.symlink_metadata().is_ok_and(|m| m.is_dir());
    let done = if folder { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    done.doing(|| format!("remove {}", shown(path)))
}
