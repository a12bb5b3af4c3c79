//! Configuration from outside the data directory, put where the restored server will read it.

use super::manifest::Manifest;
use super::shown;
use super::target::Target;
use crate::cli;
use crate::physical::backup::Backup;
use crate::physical::conf::moved;
use crate::physical::index::Entry;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use toban_core::{Context, Error, Result, durable};

/// Writes the files of the folder `conf` into `--config-dir`, else into the target, and tells postgresql.conf where they are.
///
/// # Errors
/// Those of the file system; Failed when a file of another content is in the way.
pub(super) fn write(
    args: &cli::Restore,
    backup: &Backup,
    target: &Target,
    kept: &BTreeMap<String, (Entry, Vec<u8>)>,
    manifest: &mut Manifest,
) -> Result<()> {
    let folder = args.config_dir.as_deref().unwrap_or(&target.dir);
    let folder = &std::path::absolute(folder).doing(|| "find the folder of the configuration".into())?;
    for (name, (entry, bytes)) in kept {
        let Some(name) = backup.conf.below(name) else { continue };
        let mut bytes = bytes.clone();
        if backup.conf.config_file.as_deref() == Some(name) {
            bytes.extend_from_slice(moved(&backup.conf, folder, &target.dir)?.as_bytes());
        }
        one(target, &folder.join(name), &bytes)?;
        if let Ok(below) = folder.join(name).strip_prefix(&target.dir) {
            manifest.bytes(&below.to_string_lossy(), &bytes, entry.modified)?;
        }
        if name.starts_with("elsewhere/") {
            log::warn!(
                "{} was included by its full path; mend the line that names it",
                shown(&folder.join(name))
            );
        }
    }
    Ok(())
}

fn one(target: &Target, path: &Path, bytes: &[u8]) -> Result<()> {
    match std::fs::read(path) {
        Ok(there) if there == bytes => return Ok(()),
        Ok(_) if !path.starts_with(&target.dir) => {
            let e = Error::failed(format!("{} is there and differs from the backup's", shown(path)));
            return Err(e.hint("move it away, or give another --config-dir"));
        }
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e).doing(|| format!("read {}", shown(path))),
        _ => {}
    }
    if let Some(parent) = path.parent() {
        target.folder(parent)?;
    }
    durable::replace(path, 0o640, |w| w.write_all(bytes).doing(|| format!("write {}", shown(path))))?;
    target.own(path)
}
