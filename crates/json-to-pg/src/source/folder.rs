//! Which files there are, and what lies beside them that may be newer.

use std::path::{Path, PathBuf};
use toban_core::{Context, Error, Kind, Result};

/// Endings of files that hold records.
const ENDINGS: [&str; 6] = [".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz", ".ndjson.gz"];

/// A file of an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JsonFile {
    /// Inside of the folder.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

impl JsonFile {
    /// The name without its ending: `users` of `users.json.gz`.
    pub(crate) fn stem(&self) -> &str {
        stem_of(&self.name)
    }

    /// A half-written successor that lies beside the file and is newer: `users.tmp`, `users.json.tmp`.
    pub(crate) fn find_newer_temporary(&self) -> Option<String> {
        let folder = toban_core::durable::folder_of(&self.path);
        let modified = |path: &Path| path.metadata().and_then(|m| m.modified()).ok();
        let names = [format!("{}.tmp", self.stem()), format!("{}.tmp", self.name)];
        names.into_iter().find(|name| {
            modified(&folder.join(name)).is_some_and(|tmp| modified(&self.path).is_none_or(|own| tmp > own))
        })
    }
}

/// The name of a file without its ending.
pub(crate) fn stem_of(name: &str) -> &str {
    ENDINGS.iter().rev().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name)
}

/// The folder of `paths`, and the files: those that were named, or all of one folder that end as files of records do.
///
/// # Errors
/// Usage for what is not there, and for files of several folders.
pub(crate) fn find_files(paths: &[PathBuf]) -> Result<(PathBuf, Vec<JsonFile>)> {
    let doing = |path: &Path| format!("look at {}", path.display());
    let as_usage = |e: Error| e.kind_as(Kind::Usage);
    if let [folder] = paths
        && folder.is_dir()
    {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).doing(|| doing(folder))? {
            let entry = entry.doing(|| doing(folder))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // Hidden files are those of editors and of programs that copy, half written or old.
            if ENDINGS.iter().any(|ending| name.ends_with(ending)) && !name.starts_with('.') {
                found.push(JsonFile { name, path: entry.path() });
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        if found.is_empty() {
            return Err(Error::usage(format!("{} holds no file of records", folder.display()))
                .hint(format!("their names end in {}", ENDINGS.join(", "))));
        }
        return Ok((std::path::absolute(folder).doing(|| doing(folder))?, found));
    }
    let mut found: Vec<JsonFile> = Vec::new();
    let mut folder = None;
    for path in paths {
        std::fs::metadata(path).doing(|| doing(path)).map_err(as_usage)?;
        let path = std::path::absolute(path).doing(|| doing(path))?;
        let parent = toban_core::durable::folder_of(&path).to_path_buf();
        if folder.get_or_insert_with(|| parent.clone()) != &parent {
            return Err(Error::usage(format!("{} lies in another folder than the others", path.display()))
                .hint("the files of one application lie in one folder"));
        }
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        found.push(JsonFile { name, path });
    }
    let folder = folder.ok_or_else(|| Error::usage("no file is named"))?;
    Ok((folder, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stems() {
        let cases = [("users.json", "users"), ("a.jsonl.gz", "a"), ("b.ndjson", "b"), ("c.d.json.gz", "c.d")];
        cases.iter().for_each(|(name, stem)| assert_eq!(stem_of(name), *stem));
    }

    #[test]
    fn a_newer_temporary_file_is_seen() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("users.json");
        std::fs::write(&path, "[]").expect("write");
        let (_, found) = find_files(&[dir.path().to_path_buf()]).expect("files");
        assert_eq!((found.len(), found[0].find_newer_temporary()), (1, None));
        let old = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
        std::fs::File::open(&path).and_then(|f| f.set_modified(old)).expect("set the time");
        std::fs::write(dir.path().join("users.tmp"), "[").expect("write");
        assert_eq!(found[0].find_newer_temporary().as_deref(), Some("users.tmp"));
    }
}
