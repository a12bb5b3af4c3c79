//! Configuration that lies outside the data directory, as Debian has it: found with its includes, stored as `conf/…`.

use super::source::SourceServer;
use crate::data_dir::include::{Include, Syntax, find_includes};
use crate::format::backup::{CONF_FOLDER, Conf, conf_name};
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use toban_core::{Context, Result};

/// What the folder of a backup that holds them is called where the data directory has one of that name.
const OTHER_FOLDER: &str = "conf-outside";
/// PostgreSQL's own bound is ten.
const DEPTH: usize = 10;

/// A file of the configuration.
pub(super) struct ConfFile {
    pub(super) bytes: Vec<u8>,
    pub(super) mode: u32,
}

/// The files by name below the folder, and which of them are the three.
pub(super) fn collect_conf(source: &SourceServer) -> Result<(Conf, BTreeMap<String, ConfFile>)> {
    let mut found = BTreeMap::new();
    for (path, syntax) in source.conf.iter().zip([Syntax::Settings, Syntax::Rules, Syntax::Rules]) {
        gather_files(path, syntax, 0, &mut found)?;
    }
    let data_dir = source.data_dir.canonicalize().unwrap_or_else(|_| source.data_dir.clone());
    let outside = |path: &Path| !path.starts_with(&data_dir) && !path.starts_with(&source.data_dir);
    found.retain(|path: &PathBuf, _| outside(path));
    let base = source.conf.first().and_then(|p| p.parent()).filter(|b| outside(b));
    let name = |path: &PathBuf| conf_name(path, base);
    let known = |i: usize| source.conf.get(i).filter(|p| found.contains_key(*p)).map(name);
    let folder = if data_dir.join(CONF_FOLDER).exists() { OTHER_FOLDER } else { CONF_FOLDER };
    let conf = Conf {
        folder: folder.into(),
        config_file: known(0),
        hba_file: known(1),
        ident_file: known(2),
        base: base.filter(|_| !found.is_empty()).map(|b| b.display().to_string()),
    };
    let file = |path: &PathBuf, bytes: &Vec<u8>| {
        let mode = fs::metadata(path).map_or(0o640, |meta| meta.permissions().mode() & 0o777);
        ConfFile { bytes: bytes.clone(), mode }
    };
    let named = found.iter().map(|(path, bytes)| (name(path), file(path, bytes))).collect();
    Ok((conf, named))
}

fn gather_files(
    path: &Path,
    syntax: Syntax,
    depth: usize,
    found: &mut BTreeMap<PathBuf, Vec<u8>>,
) -> Result<()> {
    if depth > DEPTH || found.contains_key(path) {
        return Ok(());
    }
    let bytes = match fs::read(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        other => other.doing(|| format!("read {}", path.display()))?,
    };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    found.insert(path.to_path_buf(), bytes);
    let folder = path.parent().unwrap_or(Path::new("/"));
    for include in find_includes(&text, syntax) {
        for path in list_included(&include, folder)? {
            gather_files(&path, syntax, depth + 1, found)?;
        }
    }
    Ok(())
}

fn list_included(include: &Include, folder: &Path) -> Result<Vec<PathBuf>> {
    let dir = match include {
        Include::File(path) => return Ok(vec![folder.join(path)]),
        Include::Folder(dir) => folder.join(dir),
    };
    let entries = match fs::read_dir(&dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.doing(|| format!("read {}", dir.display()))?,
    };
    let paths = entries.flatten().map(|e| e.path());
    // As include_dir does ("Managing Configuration File Contents"): what has another ending the server does
    // not read, and an editor's copy or a disabled file need not go into a backup.
    Ok(paths.filter(|p| p.extension().is_some_and(|e| e == "conf")).collect())
}
