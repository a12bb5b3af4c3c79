//! Owners by number and by name.

use super::backup::Owner;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use toban_core::{Context, Result};

/// Who owns `path`, and its permissions.
///
/// # Errors
/// When it cannot be looked at.
pub(crate) fn of(path: &Path) -> Result<Owner> {
    let meta = std::fs::metadata(path).doing(|| format!("look at {}", path.display()))?;
    let (uid, gid) = (meta.uid(), meta.gid());
    let user = entry("passwd", &uid.to_string(), 2).map_or(uid.to_string(), |f| f.0);
    let group = entry("group", &gid.to_string(), 2).map_or(gid.to_string(), |f| f.0);
    Ok(Owner { user, group, uid, gid, mode: meta.permissions().mode() & 0o777 })
}

/// This machine's numbers for a user and a group of these names; `None` where one is not known here.
pub(crate) fn numbers(owner: &Owner) -> Option<(u32, u32)> {
    let (_, uid) = entry("passwd", &owner.user, 0)?;
    let (_, gid) = entry("group", &owner.group, 0)?;
    Some((uid, gid))
}

/// Name and number of the line whose field `at` is `key`: of /etc, else of a directory service by `getent`.
fn entry(database: &str, key: &str, at: usize) -> Option<(String, u32)> {
    let local = std::fs::read_to_string(format!("/etc/{database}")).unwrap_or_default();
    line(&local, key, at).or_else(|| {
        let said = std::process::Command::new("getent").args([database, key]).output().ok()?;
        line(&String::from_utf8_lossy(&said.stdout), key, at)
    })
}

fn line(text: &str, key: &str, at: usize) -> Option<(String, u32)> {
    let fields = |line: &str| line.split(':').map(String::from).collect::<Vec<_>>();
    let found = text.lines().map(fields).find(|f| f.get(at).is_some_and(|k| k == key))?;
    Some((found.first()?.clone(), found.get(2)?.parse().ok()?))
}
