//! `--delta` into a folder with links in it: what they lead to may be another cluster's.

use super::shown;
use super::target::{Target, is_empty};
use std::fs;
use std::path::{Path, PathBuf};
use toban_core::{Context, Error, Result, shutdown};

/// Refuses every link to a folder that is not empty: a restore would write and delete there. The links of the target's
/// own tablespaces were judged before; a link to a file is replaced, and the file stays.
///
/// # Errors
/// Failed, with the links.
pub(super) fn refuse(target: &Target) -> Result<()> {
    let mut foreign = Vec::new();
    let mut folders = vec![target.dir.clone()];
    let oids = target.tablespaces.keys().map(|oid| target.dir.join(format!("pg_tblspc/{oid}")));
    folders.extend(oids.filter(|link| link.is_dir()));
    while let Some(folder) = folders.pop() {
        shutdown::check()?;
        look(target, &folder, &mut folders, &mut foreign)?;
    }
    if foreign.is_empty() {
        return Ok(());
    }
    let e = Error::failed(format!("--delta does not write or delete behind links: {}", foreign.join(", ")));
    Err(e.hint("remove each link (a folder comes in its place), or empty what it leads to if it is this cluster's alone"))
}

fn look(target: &Target, folder: &Path, folders: &mut Vec<PathBuf>, foreign: &mut Vec<String>) -> Result<()> {
    let doing = || format!("look into {}", shown(folder));
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
            let to = fs::read_link(&path).doing(|| format!("read {}", shown(&path)))?;
            let name = path.strip_prefix(&target.dir).unwrap_or(&path);
            foreign.push(format!("{} leads to {}", name.display(), shown(&to)));
        }
    }
    Ok(())
}
