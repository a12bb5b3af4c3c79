//! Debian's clusters: `/etc/postgresql/MAJOR/NAME` is the configuration of one, and `environment` in it is all that its
//! server has for an environment.

use crate::data_dir::include::parse_assignment;
use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the cluster that will serve what is restored: `config_dir` where it is one, else the one whose
/// data_directory is `target`.
pub(super) fn find_cluster(config_dir: Option<&Path>, target: &Path, major: u32) -> Option<PathBuf> {
    let root =
        std::env::var_os("PG_CLUSTER_CONF_ROOT").map_or_else(|| "/etc/postgresql".into(), PathBuf::from);
    let folder = root.join(major.to_string());
    let given = config_dir.and_then(|dir| std::path::absolute(dir).ok());
    if let Some(given) = given.filter(|dir| dir.parent() == Some(folder.as_path())) {
        return Some(given);
    }
    let serves = |dir: &PathBuf| {
        let text = fs::read_to_string(dir.join("postgresql.conf")).unwrap_or_default();
        let data = parse_settings(&text).into_iter().rfind(|(name, _)| name == "data_directory");
        data.is_some_and(|(_, data)| is_same_path(Path::new(&data), target))
    };
    fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).find(serves)
}

fn is_same_path(a: &Path, b: &Path) -> bool {
    a.components().eq(b.components())
        || a.canonicalize().is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b))
}

/// The assignments of a file in the syntax of postgresql.conf, in which Debian writes `environment` too.
pub(super) fn parse_settings(text: &str) -> Vec<(String, String)> {
    text.lines().filter_map(parse_assignment).map(|(name, value)| (name.into(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_as_debian_reads_it() {
        let text = "# a comment\nA = plain # why\nB='two words'\n C = 'it''s \\'x\\''\n\nD =\n";
        let expected = [("A", "plain"), ("B", "two words"), ("C", "it's 'x'"), ("D", "")];
        assert_eq!(parse_settings(text), expected.map(|(n, v)| (n.to_string(), v.to_string())));
    }

    #[test]
    fn a_cluster_is_found_by_its_data_directory() {
        assert!(is_same_path(Path::new("/srv/data/"), Path::new("/srv/data")));
        assert!(!is_same_path(Path::new("/no/such/a"), Path::new("/no/such/b")));
    }
}
