//! Owners by number and by name.

use crate::format::backup::Owner;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use toban_core::machine::{self, Account};
use toban_core::{Context, Result};

/// Who owns `path`, and its permissions.
pub(crate) fn read_owner(path: &Path) -> Result<Owner> {
    let meta = std::fs::metadata(path).doing(|| format!("look at {}", path.display()))?;
    let (uid, gid) = (meta.uid(), meta.gid());
    let user = Account::name_of(uid);
    let group = machine::group_name(gid).unwrap_or(gid.to_string());
    Ok(Owner { user, group, uid, gid, mode: meta.permissions().mode() & 0o777 })
}

/// This machine's numbers for a user and a group of these names; `None` where one is not known here.
pub(crate) fn find_ids(owner: &Owner) -> Option<(u32, u32)> {
    Some((Account::by_name(&owner.user)?.uid, machine::group_number(&owner.group)?))
}
