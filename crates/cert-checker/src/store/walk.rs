//! From a file, a folder or a pattern to the files to read.

use super::glob;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file to read, and how it came to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    /// Named itself: that it holds no certificate is worth telling. In a folder other files lie too.
    pub(crate) named: bool,
}

/// Folders deeper than this are not entered.
const DEEPEST: usize = 16;

/// Every file that `what` stands for, sorted. Folders are entered once each, wherever links lead.
pub(crate) fn files(what: &str) -> Vec<Found> {
    let path = Path::new(what);
    let (starts, pattern) = match path.symlink_metadata().is_err() && glob::is_pattern(what) {
        true => (glob::expand(what), true),
        false => (vec![path.to_path_buf()], false),
    };
    let mut walk = Walk { found: Vec::new(), seen: Vec::new() };
    for start in starts {
        match start.is_dir() {
            true => walk.folder(&start, 0),
            false => walk.found.push(Found { path: start, named: !pattern }),
        }
    }
    walk.found
}

struct Walk {
    found: Vec<Found>,
    /// Device and inode of folders that were entered.
    seen: Vec<(u64, u64)>,
}

impl Walk {
    fn folder(&mut self, folder: &Path, depth: usize) {
        let Ok(meta) = folder.metadata() else { return };
        if depth > DEEPEST || self.seen.contains(&(meta.dev(), meta.ino())) {
            return;
        }
        self.seen.push((meta.dev(), meta.ino()));
        let Ok(entries) = std::fs::read_dir(folder) else {
            // Told when it is read: permission denied.
            self.found.push(Found { path: folder.to_path_buf(), named: true });
            return;
        };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
        paths.sort();
        for path in paths {
            match path.is_dir() {
                true => self.folder(&path, depth + 1),
                false => self.found.push(Found { path, named: false }),
            }
        }
    }
}
