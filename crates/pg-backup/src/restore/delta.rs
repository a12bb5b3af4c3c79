//! `--delta` into a data directory that is there: links that are not followed, and what the backup does not have.

use super::display_path;
use super::target::{Target, UNFINISHED, is_empty};
use crate::format::index::FileName;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use toban_core::{Context, Error, Result, shutdown};

/// Refuses every link to a folder that is not empty: a restore would write and delete there. The links of the target's
/// own tablespaces were judged before; a link to a file is replaced, and the file stays.
pub(super) fn refuse_links(target: &Target) -> Result<()> {
    let mut foreign = Vec::new();
    let mut folders = vec![target.dir.clone()];
    let oids = target.tablespaces.keys().map(|oid| target.dir.join(format!("pg_tblspc/{oid}")));
    folders.extend(oids.filter(|link| link.is_dir()));
    while let Some(folder) = folders.pop() {
        shutdown::check()?;
        find_links(target, &folder, &mut folders, &mut foreign)?;
    }
    if foreign.is_empty() {
        return Ok(());
    }
    let e = Error::failed(format!("--delta does not write or delete through links: {}", foreign.join(", ")));
    Err(e.hint("remove each link (a folder comes in its place), or empty what it leads to if it is this cluster's alone"))
}

fn find_links(
    target: &Target,
    folder: &Path,
    folders: &mut Vec<PathBuf>,
    foreign: &mut Vec<String>,
) -> Result<()> {
    let doing = || format!("look into {}", display_path(folder));
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.doing(doing)?,
    };
    for entry in entries {
        let entry = entry.doing(doing)?;
        let (path, kind) = (entry.path(), entry.file_type().doing(doing)?);
        if kind.is_dir() && entry.file_name() != "lost+found" {
            folders.push(path);
        } else if kind.is_symlink()
            && path.parent() != Some(&target.dir.join("pg_tblspc"))
            && path.is_dir()
            && !is_empty(&path)?
        {
            let to = fs::read_link(&path).doing(|| format!("read {}", display_path(&path)))?;
            let name = path.strip_prefix(&target.dir).unwrap_or(&path);
            foreign.push(format!("{} leads to {}", name.display(), display_path(&to)));
        }
    }
    Ok(())
}

/// Removes every file and folder of the target that `names` does not name.
pub(super) fn remove_extra(target: &Target, names: &BTreeSet<FileName>) -> Result<()> {
    sweep_folder(target, Path::new(""), names)
}

fn sweep_folder(target: &Target, at: &Path, names: &BTreeSet<FileName>) -> Result<()> {
    let path = target.dir.join(at);
    for entry in fs::read_dir(&path).doing(|| format!("list {}", display_path(&path)))? {
        let entry = entry.doing(|| format!("list {}", display_path(&path)))?;
        let at = at.join(entry.file_name());
        match classify_path(target, &at, names) {
            // A standby.signal that is left would take precedence over recovery.signal ("Archive Recovery"),
            // and a segment that is left would belong to its relation again as soon as the one before it is
            // full (md.c).
            Ownership::Extra => remove_path(&entry.path())?,
            Ownership::Ours if is_own_folder(target, &at) => sweep_folder(target, &at, names)?,
            Ownership::Ours | Ownership::Foreign => {}
        }
    }
    Ok(())
}

/// A folder, or the link of one of the target's tablespaces; other links may lead into another cluster.
fn is_own_folder(target: &Target, at: &Path) -> bool {
    let path = target.dir.join(at);
    let oid = at.strip_prefix("pg_tblspc").ok().and_then(|p| p.to_str()?.parse::<u32>().ok());
    match oid.and_then(|oid| target.tablespaces.get(&oid)) {
        Some(place) if path.is_symlink() => fs::read_link(&path).is_ok_and(|to| to == *place),
        _ => path.symlink_metadata().is_ok_and(|m| m.is_dir()),
    }
}

/// What a file or folder of the target is.
enum Ownership {
    /// The backup's.
    Ours,
    /// Of another server: left alone.
    Foreign,
    Extra,
}

fn classify_path(target: &Target, at: &Path, names: &BTreeSet<FileName>) -> Ownership {
    let name = FileName::from(at);
    if at.file_name().is_some_and(|n| n == "lost+found") || of_another(target, &name) {
        return Ownership::Foreign;
    }
    let link = name.text().strip_prefix("pg_tblspc/").and_then(|oid| oid.parse().ok());
    let ours = names.contains(&name)
        || name.text() == UNFINISHED
        || link.is_some_and(|oid: u32| target.tablespaces.contains_key(&oid));
    if ours { Ownership::Ours } else { Ownership::Extra }
}

/// In the place of a tablespace: only the folders of this major are ours, `PG_15_202209061`.
fn of_another(target: &Target, name: &FileName) -> bool {
    match name.text().split('/').collect::<Vec<_>>()[..] {
        ["pg_tblspc", _, folder] => !folder.starts_with(&format!("PG_{}_", target.major)),
        _ => false,
    }
}

/// Removes whatever is there, and of a link only the link.
pub(super) fn remove_path(path: &Path) -> Result<()> {
    let folder = path.symlink_metadata().is_ok_and(|m| m.is_dir());
    let done = if folder { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    done.doing(|| format!("remove {}", display_path(path)))
}
