//! Which package brought a file: dpkg's lists, read once for all files that are asked for.

use crate::host::{HostView, Sight, Unseen};
use std::collections::{HashMap, HashSet};

const INFO: &str = "/var/lib/dpkg/info";

/// Files and the packages that brought them.
#[derive(Debug, Default)]
pub(crate) struct PackageOwners(HashMap<String, String>);

impl PackageOwners {
    /// The package of a file, by its name.
    pub(crate) fn of(&self, path: &str) -> Option<String> {
        self.0.get(merge_path(path)).cloned().or_else(|| snap_name(path).map(String::from))
    }
}

/// The packages of `wanted`.
///
/// # Errors
/// When there are no lists: then no file is called strange.
pub(crate) fn find_owners(host: &HostView, wanted: &HashSet<String>) -> Sight<PackageOwners> {
    let names = host.list_names(INFO)?;
    if !names.iter().any(|n| n.ends_with(".list")) {
        return Err(Unseen::new("packages", "there are no lists of dpkg's")
            .cure("on systems without dpkg, which package a file is of is not known here"));
    }
    let wanted: HashSet<&str> = wanted.iter().map(|p| merge_path(p)).collect();
    let mut owners = HashMap::new();
    for name in names.iter().filter(|n| n.ends_with(".list")) {
        let text = host.read_text(&format!("{INFO}/{name}"))?;
        let package = name.trim_end_matches(".list").split(':').next().unwrap_or_default();
        for path in text.lines().map(merge_path).filter(|p| wanted.contains(p)) {
            owners.insert(path.to_string(), package.to_string());
        }
    }
    Ok(PackageOwners(owners))
}

/// One name for the two that a file has where /bin is a link to /usr/bin: dpkg's lists have either.
fn merge_path(path: &str) -> &str {
    match path.strip_prefix("/usr") {
        Some(rest) if ["/bin/", "/sbin/", "/lib/", "/lib64/"].iter().any(|d| rest.starts_with(d)) => rest,
        _ => path,
    }
}

/// Snaps are read-only images that snapd checks.
fn snap_name(path: &str) -> Option<&str> {
    path.strip_prefix("/snap/")?.split('/').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_names_of_a_file_have_its_package() {
        let owners = PackageOwners(HashMap::from([("/bin/ls".to_string(), "coreutils".to_string())]));
        for (path, package) in [
            ("/usr/bin/ls", Some("coreutils")),
            ("/bin/ls", Some("coreutils")),
            ("/usr/local/bin/ls", None),
            ("/snap/lxd/1/x", Some("lxd")),
        ] {
            assert_eq!(owners.of(path).as_deref(), package, "{path}");
        }
    }
}
