//! Debian's clusters: `/etc/postgresql/MAJOR/NAME` is the configuration of one, and `environment` in it is all that its
//! server has for an environment.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the cluster that will serve what is restored: `config_dir` where it is one, else the one whose
/// data_directory is `target`.
pub(super) fn cluster(config_dir: Option<&Path>, target: &Path, major: u32) -> Option<PathBuf> {
    let root =
        std::env::var_os("PG_CLUSTER_CONF_ROOT").map_or_else(|| "/etc/postgresql".into(), PathBuf::from);
    let folder = root.join(major.to_string());
    let given = config_dir.and_then(|dir| std::path::absolute(dir).ok());
    if let Some(given) = given.filter(|dir| dir.parent() == Some(folder.as_path())) {
        return Some(given);
    }
    let serves = |dir: &PathBuf| {
        let text = fs::read_to_string(dir.join("postgresql.conf")).unwrap_or_default();
        let data = settings(&text).into_iter().rfind(|(name, _)| name == "data_directory");
        data.is_some_and(|(_, data)| same(Path::new(&data), target))
    };
    fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).find(serves)
}

fn same(a: &Path, b: &Path) -> bool {
    a.components().eq(b.components())
        || a.canonicalize().is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b))
}

/// The assignments of a file in the syntax of postgresql.conf, in which Debian writes `environment` too.
pub(super) fn settings(text: &str) -> Vec<(String, String)> {
    text.lines().filter_map(assignment).collect()
}

fn assignment(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let end = line.find(|c: char| c.is_whitespace() || c == '=')?;
    let (name, rest) = line.split_at(end);
    let rest = rest.trim_start().trim_start_matches('=').trim_start();
    let value = match rest.strip_prefix('\'') {
        None => rest.split(['#', ' ', '\t']).next()?.to_string(),
        Some(quoted) => unquoted(quoted),
    };
    (!name.starts_with('#') && !name.is_empty()).then(|| (name.to_string(), value))
}

/// Up to the quote that ends it; one that is doubled or behind a backslash is of the value.
fn unquoted(text: &str) -> String {
    let (mut value, mut chars) = (String::new(), text.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            '\'' if chars.peek() == Some(&'\'') => value.extend(chars.next()),
            '\'' => break,
            '\\' => value.extend(chars.next()),
            c => value.push(c),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_as_debian_reads_it() {
        let text = "# a comment\nA = plain # why\nB='two words'\n C = 'it''s \\'x\\''\n\nD =\n";
        let expected = [("A", "plain"), ("B", "two words"), ("C", "it's 'x'"), ("D", "")];
        assert_eq!(settings(text), expected.map(|(n, v)| (n.to_string(), v.to_string())));
    }

    #[test]
    fn a_cluster_is_found_by_its_data_directory() {
        assert!(same(Path::new("/srv/data/"), Path::new("/srv/data")));
        assert!(!same(Path::new("/no/such/a"), Path::new("/no/such/b")));
    }
}
