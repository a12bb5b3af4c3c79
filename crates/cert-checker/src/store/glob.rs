//! Patterns of paths: `*` and `?` within a name, `[abc]`, and `**` for any folders.

use std::path::{Path, PathBuf};

/// Whether `text` is a pattern at all.
pub(crate) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// The paths that fit, sorted. A folder that cannot be listed is among them, so that somebody speaks of it.
pub(crate) fn expand(pattern: &str) -> Vec<PathBuf> {
    let start = if pattern.starts_with('/') { PathBuf::from("/") } else { PathBuf::new() };
    let parts: Vec<&str> = pattern.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    let mut found = Vec::new();
    descend(&start, &parts, &mut found, 0);
    found.sort();
    found.dedup();
    found
}

/// Links may lead in circles, so there is an end to depth.
const DEEPEST: usize = 32;

fn descend(folder: &Path, parts: &[&str], found: &mut Vec<PathBuf>, depth: usize) {
    let Some((part, rest)) = parts.split_first() else {
        found.push(folder.to_path_buf());
        return;
    };
    if depth > DEEPEST {
        return;
    }
    if *part == "**" {
        descend(folder, rest, found, depth + 1);
        for inner in
            names(folder).into_iter().map(|n| folder.join(n)).filter(|p| p.is_dir() && !p.is_symlink())
        {
            descend(&inner, parts, found, depth + 1);
        }
        return;
    }
    if !is_pattern(part) {
        let path = folder.join(part);
        // Not `exists()`: a dangling link is worth telling of.
        if path.symlink_metadata().is_ok() {
            descend(&path, rest, found, depth + 1);
        }
        return;
    }
    for name in names(folder) {
        let hidden = name.starts_with('.') && !part.starts_with('.');
        if !hidden && fits(part.as_bytes(), name.as_bytes()) {
            descend(&folder.join(&name), rest, found, depth + 1);
        }
    }
}

fn names(folder: &Path) -> Vec<String> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
}

/// Whether `name` fits, in a time that grows with pattern times name.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(_) if one(&pattern[p..], name[n]).is_some() => {
                p += one(&pattern[p..], name[n]).unwrap_or(1);
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
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
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
    use super::fits;

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
            assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }
}
