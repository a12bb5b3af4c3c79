//! Before a restored data directory is started: nothing in it may lead to a place outside of its folder.

use super::conf::RecoverySettings;
use super::found;
use super::process::Runner;
use crate::durable::set_mode;
use crate::sum::Measured;
use crate::wal::Lsn;
use crate::{Context, Result, shutdown};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

/// What was found out about a restored data directory.
#[derive(Debug, Default)]
pub struct Inspected {
    /// Of all files.
    pub bytes: u64,
    /// Ordinary files.
    pub files: u64,
    /// Where its backup began, by its backup_label.
    pub backup_start: Option<Lsn>,
    /// It has tablespaces inside the data directory.
    pub in_place_tablespaces: bool,
    /// Whether it recovers from an archive, by its signal file.
    pub recovers: bool,
    /// Of the backup_manifest, where it brings one along.
    pub backup_manifest_sha256: Option<String>,
}

/// The major that a data directory is of.
///
/// # Errors
/// Findings when it is none.
pub fn read_major(data: &Path) -> Result<u32> {
    let path = data.join("PG_VERSION");
    let text =
        fs::read_to_string(&path).map_err(|_| found("the restore made no data directory: no PG_VERSION"))?;
    let major = text.trim().parse().map_err(|_| found(format!("PG_VERSION holds {:?}", text.trim())))?;
    if !data.join("global/pg_control").is_file() {
        return Err(found("the restore did not end: there is no global/pg_control"));
    }
    Ok(major)
}

/// Walks over all of it, and refuses what leads outside: writing there would change another place.
///
/// # Errors
/// Findings, with the path.
pub fn inspect(runner: &Runner, data: &Path) -> Result<Inspected> {
    let mut seen = Inspected::default();
    let label = fs::read_to_string(data.join("backup_label")).unwrap_or_default();
    // backup_label is gone once the server has started (it becomes backup_label.old).
    seen.backup_start =
        label.lines().find_map(|l| l.strip_prefix("START WAL LOCATION: ")?.split(' ').next()?.parse().ok());
    let mut folders = vec![data.to_path_buf(), runner.scratch.join("tablespaces")];
    while let Some(folder) = folders.pop() {
        shutdown::check()?;
        runner.check_time("looking at what was restored")?;
        for entry in fs::read_dir(&folder).doing(|| format!("look into {}", folder.display()))? {
            let path = entry.doing(|| format!("look into {}", folder.display()))?.path();
            let meta = path.symlink_metadata().doing(|| format!("look at {}", path.display()))?;
            let kind = meta.file_type();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_symlink() {
                check_link(runner, data, &path)?;
            } else if !kind.is_file() {
                return Err(found(format!("{} is no ordinary file", relative(data, &path))));
            } else if meta.nlink() > 1 {
                return Err(found(format!(
                    "{} is a hard link: to write there would change another place too",
                    relative(data, &path)
                )));
            } else {
                seen.bytes += meta.len();
                seen.files += 1;
            }
        }
    }
    seen.in_place_tablespaces = has_in_place_tablespaces(data);
    seen.backup_manifest_sha256 = sum_manifest(&data.join("backup_manifest"))?;
    Ok(seen)
}

fn sum_manifest(path: &Path) -> Result<Option<String>> {
    let doing = || format!("read {}", path.display());
    let Ok(file) = File::open(path) else { return Ok(None) };
    let mut measured = Measured::new(file);
    io::copy(&mut measured, &mut io::sink()).doing(doing)?;
    Ok(Some(measured.sum().sha256))
}

fn check_link(runner: &Runner, data: &Path, link: &Path) -> Result<()> {
    let to = fs::read_link(link).doing(|| format!("read {}", link.display()))?;
    let name = relative(data, link);
    match link.canonicalize() {
        Ok(real) if real.starts_with(&runner.scratch) => Ok(()),
        Ok(_) => {
            Err(found(format!("{name} leads to {}, outside of the {}", to.display(), runner.purpose.what)))
        }
        Err(_) => Err(found(format!("{name} leads to {}, which was not restored", to.display()))),
    }
}

fn relative(data: &Path, path: &Path) -> String {
    path.strip_prefix(data).unwrap_or(path).display().to_string()
}

fn has_in_place_tablespaces(data: &Path) -> bool {
    let entries = fs::read_dir(data.join("pg_tblspc")).into_iter().flatten().flatten();
    entries.into_iter().any(|e| e.file_type().is_ok_and(|t| t.is_dir()))
}

/// Makes it ready for a server that must not reach out: no link that recovery would make, no slot, no remains of a
/// running server, no standby, no settings of its own.
///
/// # Errors
/// Findings when a tablespace would lie outside of the folder; those of the file system.
pub fn disarm(
    runner: &Runner,
    data: &Path,
    seen: &mut Inspected,
    recovery: &mut RecoverySettings,
) -> Result<()> {
    link_tablespaces(runner, data)?;
    for name in ["postmaster.pid", "postmaster.opts"] {
        remove_file(&data.join(name))?;
    }
    // Slots that came with a backup would hold WAL of the restored server for clients that never come.
    let slots = data.join("pg_replslot");
    for slot in fs::read_dir(&slots).into_iter().flatten().flatten() {
        fs::remove_dir_all(slot.path()).doing(|| format!("remove {}", slot.path().display()))?;
    }
    // As a standby it would wait for a primary and never be promoted (manual, "Standby Server Operation").
    let signal = data.join("recovery.signal");
    if data.join("standby.signal").exists() {
        remove_file(&data.join("standby.signal"))?;
        write_file(runner, &signal, "")?;
        recovery.ensure_command();
    }
    seen.recovers = signal.exists();
    // ALTER SYSTEM's file is read after postgresql.conf, wherever that lies: its settings would come before ours.
    write_file(
        runner,
        &data.join("postgresql.auto.conf"),
        &format!("# Emptied by {}.\n", runner.purpose.tool),
    )?;
    // PostgreSQL refuses a data directory that others may read (manual, "Creating a Database Cluster").
    set_mode(data, 0o700)?;
    // A tablespace that the WAL makes would be linked to its live place, and replay would write there. Its link is made
    // here, so that this folder, which cannot be written to, ends such a recovery.
    let links = data.join("pg_tblspc");
    if !links.is_dir() {
        return Err(found("the folder pg_tblspc was not restored"));
    }
    set_mode(&links, 0o500)
}

/// Links the tablespaces of tablespace_map, as recovery would, and takes the map away.
fn link_tablespaces(runner: &Runner, data: &Path) -> Result<()> {
    let path = data.join("tablespace_map");
    let Ok(map) = fs::read_to_string(&path) else { return Ok(()) };
    for (oid, place) in parse_map(&map) {
        let link = data.join("pg_tblspc").join(&oid);
        let place = PathBuf::from(place);
        let real = place.canonicalize().map_err(|_| {
            found(format!("tablespace {oid} is to lie in {}, which was not restored", place.display()))
        })?;
        if !real.starts_with(&runner.scratch) {
            let e = found(format!(
                "tablespace {oid} is to lie in {}, outside of the {}",
                place.display(),
                runner.purpose.what
            ));
            return Err(e.hint("the command must put tablespaces into {tablespaces}"));
        }
        if link.is_symlink() {
            remove_file(&link)?;
        }
        symlink(&real, &link).doing(|| format!("link {}", link.display()))?;
        runner.give(&link)?;
    }
    // Recovery would link them a second time by the map (xlogrecovery.c, read_tablespace_map).
    remove_file(&path)
}

/// `OID PLACE` line by line; a backslash stands before a line break or a backslash of the place.
fn parse_map(map: &str) -> Vec<(String, String)> {
    let mut entries = Vec::new();
    let (mut line, mut escaped) = (String::new(), false);
    for c in map.chars() {
        match (c, escaped) {
            ('\\', false) => escaped = true,
            ('\n', false) => {
                let (oid, place) = line.split_once(' ').unwrap_or((&line, ""));
                if !place.is_empty() && oid.bytes().all(|b| b.is_ascii_digit()) {
                    entries.push((oid.into(), place.into()));
                }
                line.clear();
            }
            (c, _) => {
                line.push(c);
                escaped = false;
            }
        }
    }
    entries
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).doing(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn write_file(runner: &Runner, path: &Path, text: &str) -> Result<()> {
    // Removed first, so that a link in its place is not followed.
    remove_file(path)?;
    fs::write(path, text).doing(|| format!("write {}", path.display()))?;
    set_mode(path, 0o600)?;
    runner.give(path)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_map_of_tablespaces() {
        let map = "16400 /srv/a b\n16401 /srv/x\\\ny\\\\z\nnonsense\n";
        let expected = [("16400", "/srv/a b"), ("16401", "/srv/x\ny\\z")];
        assert_eq!(super::parse_map(map), expected.map(|(o, p)| (o.to_string(), p.to_string())));
    }
}
