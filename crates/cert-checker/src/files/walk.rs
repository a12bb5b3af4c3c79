//! From a file, a folder or a pattern (`*` and `?` within a name, `[abc]`, `**` for any folders) to the files to read.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file to read, and how it came to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundFile {
    pub(crate) path: PathBuf,
    /// Named itself: that it holds no certificate is worth telling. In a folder other files lie too.
    pub(crate) named: bool,
}

/// Folders deeper than this are not entered.
const DEEPEST_FOLDER: usize = 16;

/// Every file that `what` stands for, sorted. Folders are entered once each, wherever links lead.
pub(crate) fn find_files(what: &str) -> Vec<FoundFile> {
    let path = Path::new(what);
    let (starts, pattern) = match path.symlink_metadata().is_err() && is_pattern(what) {
        true => (expand_pattern(what), true),
        false => (vec![path.to_path_buf()], false),
    };
    let mut walk = FolderWalk { found: Vec::new(), seen: Vec::new() };
    for start in starts {
        match start.is_dir() {
            true => walk.enter_folder(&start, 0),
            false => walk.found.push(FoundFile { path: start, named: !pattern }),
        }
    }
    walk.found
}

struct FolderWalk {
    found: Vec<FoundFile>,
    /// Device and inode of folders that were entered.
    seen: Vec<(u64, u64)>,
}

impl FolderWalk {
    fn enter_folder(&mut self, folder: &Path, depth: usize) {
        let Ok(meta) = folder.metadata() else { return };
        if depth > DEEPEST_FOLDER || self.seen.contains(&(meta.dev(), meta.ino())) {
            return;
        }
        // By device and inode, not by name: links may lead to a folder twice, or in a circle.
        self.seen.push((meta.dev(), meta.ino()));
        let Ok(entries) = std::fs::read_dir(folder) else {
            // Reported when it is read: permission denied.
            self.found.push(FoundFile { path: folder.to_path_buf(), named: true });
            return;
        };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
        paths.sort();
        for path in paths {
            match path.is_dir() {
                true => self.enter_folder(&path, depth + 1),
                false => self.found.push(FoundFile { path, named: false }),
            }
        }
    }
}

/// Whether `text` is a pattern at all.
fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// The paths that fit, sorted. A folder that cannot be listed is among them, so that it is reported.
fn expand_pattern(pattern: &str) -> Vec<PathBuf> {
    let start = if pattern.starts_with('/') { PathBuf::from("/") } else { PathBuf::new() };
    let parts: Vec<&str> = pattern.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    let mut found = Vec::new();
    expand_parts(&start, &parts, &mut found, 0);
    found.sort();
    found.dedup();
    found
}

/// Links may lead in circles, so there is an end to depth.
const DEEPEST_PATTERN: usize = 32;

fn expand_parts(folder: &Path, parts: &[&str], found: &mut Vec<PathBuf>, depth: usize) {
    let Some((part, rest)) = parts.split_first() else {
        found.push(folder.to_path_buf());
        return;
    };
    if depth > DEEPEST_PATTERN {
        return;
    }
    if *part == "**" {
        expand_parts(folder, rest, found, depth + 1);
        for inner in
            list_names(folder).into_iter().map(|n| folder.join(n)).filter(|p| p.is_dir() && !p.is_symlink())
        {
            expand_parts(&inner, parts, found, depth + 1);
        }
        return;
    }
    if !is_pattern(part) {
        let path = folder.join(part);
        // Not `exists()`: a dangling link is worth telling of.
        if path.symlink_metadata().is_ok() {
            expand_parts(&path, rest, found, depth + 1);
        }
        return;
    }
    for name in list_names(folder) {
        let hidden = name.starts_with('.') && !part.starts_with('.');
        if !hidden && fits_pattern(part.as_bytes(), name.as_bytes()) {
            expand_parts(&folder.join(&name), rest, found, depth + 1);
        }
    }
}

fn list_names(folder: &Path) -> Vec<String> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
}

/// Whether `name` fits, in a time that grows with pattern times name.
fn fits_pattern(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(_) if fits_byte(&pattern[p..], name[n]).is_some() => {
                p += fits_byte(&pattern[p..], name[n]).unwrap_or(1);
                n += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                (p, n) = (at + 1, from + 1);
                star = Some((at, from + 1));
            }
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// How much of the pattern stands for this byte.
fn fits_byte(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern[0] {
        b'?' => Some(1),
        b'[' => {
            let end = pattern.iter().skip(2).position(|c| *c == b']')? + 2;
            let (set, not) = match pattern[1] {
                b'!' | b'^' => (&pattern[2..end], true),
                _ => (&pattern[1..end], false),
            };
            let range = set.windows(3).any(|w| w[1] == b'-' && (w[0]..=w[2]).contains(&byte));
            ((range || set.contains(&byte)) != not).then_some(end + 1)
        }
        literal => (literal == byte).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::fits_pattern;

    #[test]
    fn patterns() {
        let cases = [
            ("*.pem", "a.pem", true),
            ("*.pem", "a.pem.bak", false),
            ("a?c", "abc", true),
            ("[ab]*", "beta", true),
            ("[!ab]*", "beta", false),
            ("[a-c]x", "bx", true),
            ("*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
            ("[", "[", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(fits_pattern(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }
}
