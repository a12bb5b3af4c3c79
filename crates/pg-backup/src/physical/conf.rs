//! Configuration that lies outside the data directory, as Debian has it: found with its includes, stored as
//! `conf/…`, and written back to where the restored server will read it.

use super::include::{Include, Syntax, includes};
use super::source::Source;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use toban_core::pg::setting;
use toban_core::{Context, Error, Result};

/// The folder of a backup that holds them, and what it is called where the data directory has one of that name.
const FOLDER: &str = "conf";
const OTHER_FOLDER: &str = "conf-outside";
/// Files outside the folder of postgresql.conf, by their full path.
const ELSEWHERE: &str = "elsewhere";
/// PostgreSQL's own bound is ten.
const DEPTH: usize = 10;

fn usual() -> String {
    FOLDER.into()
}

/// The names, below the folder, of the three files that the server was told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Conf {
    /// The folder of the backup that holds them: `conf`.
    #[serde(default = "usual")]
    pub(crate) folder: String,
    pub(crate) config_file: Option<String>,
    pub(crate) hba_file: Option<String>,
    pub(crate) ident_file: Option<String>,
    /// The folder that postgresql.conf was in: what is included by a full path below it came along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) base: Option<String>,
}

impl Default for Conf {
    fn default() -> Conf {
        Conf { folder: usual(), config_file: None, hba_file: None, ident_file: None, base: None }
    }
}

impl Conf {
    /// What of the backup's files lies in the folder, by its name there.
    pub(crate) fn below<'n>(&self, name: &'n str) -> Option<&'n str> {
        name.strip_prefix(self.folder.as_str())?.strip_prefix('/')
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Conf::default()
    }
}

/// A file of the configuration.
pub(crate) struct ConfFile {
    pub(crate) bytes: Vec<u8>,
    pub(crate) mode: u32,
}

/// The files by name below the folder, and which of them are the three.
///
/// # Errors
/// When one cannot be read.
pub(crate) fn collect(source: &Source) -> Result<(Conf, BTreeMap<String, ConfFile>)> {
    let mut found = BTreeMap::new();
    for (path, syntax) in source.conf.iter().zip([Syntax::Settings, Syntax::Rules, Syntax::Rules]) {
        gather(path, syntax, 0, &mut found)?;
    }
    let data_dir = source.data_dir.canonicalize().unwrap_or_else(|_| source.data_dir.clone());
    let outside = |path: &Path| !path.starts_with(&data_dir) && !path.starts_with(&source.data_dir);
    found.retain(|path: &PathBuf, _| outside(path));
    let base = source.conf.first().and_then(|p| p.parent()).filter(|b| outside(b));
    let name = |path: &PathBuf| name(path, base);
    let known = |i: usize| source.conf.get(i).filter(|p| found.contains_key(*p)).map(name);
    let folder = if data_dir.join(FOLDER).exists() { OTHER_FOLDER } else { FOLDER };
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

/// Relative to postgresql.conf where it lies below its folder.
fn name(path: &Path, base: Option<&Path>) -> String {
    let below = base.and_then(|b| path.strip_prefix(b).ok());
    let elsewhere = || Path::new(ELSEWHERE).join(path.strip_prefix("/").unwrap_or(path));
    below.map_or_else(elsewhere, Path::to_path_buf).to_string_lossy().into_owned()
}

fn gather(path: &Path, syntax: Syntax, depth: usize, found: &mut BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
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
    for include in includes(&text, syntax) {
        for path in files(&include, folder)? {
            gather(&path, syntax, depth + 1, found)?;
        }
    }
    Ok(())
}

fn files(include: &Include, folder: &Path) -> Result<Vec<PathBuf>> {
    let dir = match include {
        Include::File(path) => return Ok(vec![folder.join(path)]),
        Include::Folder(dir) => folder.join(dir),
    };
    let entries = match fs::read_dir(&dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.doing(|| format!("read {}", dir.display()))?,
    };
    let paths = entries.flatten().map(|e| e.path());
    Ok(paths.filter(|p| p.extension().is_some_and(|e| e == "conf")).collect())
}

/// What is written behind a restored postgresql.conf: its own paths lead to the machine that was backed up, and a
/// server started with them would open the old data directory.
///
/// # Errors
/// Usage for a path that is not UTF-8.
pub(crate) fn moved(conf: &Conf, folder: &Path, target: &Path) -> Result<String> {
    let mut text = String::from("\n# Added by pg-backup restore: what was restored lies here.\n");
    let mut line = |name: &str, path: &Path| {
        let path = path.to_str().ok_or_else(|| Error::usage(format!("{} is not UTF-8", path.display())))?;
        text += &format!("{name} = {}\n", setting(path));
        Ok::<(), Error>(())
    };
    line("data_directory", target)?;
    for (name, file) in [("hba_file", &conf.hba_file), ("ident_file", &conf.ident_file)] {
        if let Some(file) = file {
            line(name, &folder.join(file))?;
        }
    }
    Ok(text)
}

/// Where the backup has a file or folder that was included by its full path.
pub(crate) fn place_of(conf: &Conf, path: &Path) -> Option<String> {
    path.is_absolute().then(|| name(path, conf.base.as_deref().map(Path::new)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_below_conf() {
        let base = Path::new("/etc/postgresql/15/main");
        assert_eq!(name(&base.join("conf.d/x.conf"), Some(base)), "conf.d/x.conf");
        assert_eq!(name(Path::new("/etc/site.conf"), Some(base)), "elsewhere/etc/site.conf");
    }
}
