//! `--delta`: removes from the target what the backup does not have.

use super::shown;
use super::target::{Target, UNFINISHED};
use crate::physical::index::Name;
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
        let wanted = needed(target, &at, names);
        if !wanted {
            remove(&entry.path())?;
        } else if entry.path().is_dir() {
            folder(target, &at, names)?;
        }
    }
    Ok(())
}

fn needed(target: &Target, at: &Path, names: &BTreeSet<Name>) -> bool {
    let name = Name::from(at);
    let link = name.text().strip_prefix("pg_tblspc/").and_then(|oid| oid.parse().ok());
    names.contains(&name)
        || name.text() == UNFINISHED
        || link.is_some_and(|oid: u32| target.tablespaces.contains_key(&oid))
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
