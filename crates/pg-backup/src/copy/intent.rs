//! That a copy is under way, so that a prune over there leaves alone what it fills.

use crate::format::backup::intent_key;
use crate::format::id::Id;
use crate::machine::Process;
use std::collections::BTreeSet;
use toban_core::machine::host_name;
use toban_core::repo::Repo;
use toban_core::repo::keys::System;
use toban_core::store::{Attrs, Key};
use toban_core::{Context, Result};

/// The intent of a copy, in the repository that it fills; removed when it is dropped, where the writer may.
pub(super) struct CopyIntent<'a> {
    repo: &'a Repo,
    key: Key,
}

impl<'a> CopyIntent<'a> {
    /// Stores it: the copy `id` fills the folders of these backups.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) fn put_intent(
        repo: &'a Repo,
        system: &System,
        id: &Id,
        builds_on: &BTreeSet<Id>,
    ) -> Result<CopyIntent<'a>> {
        let key = intent_key(system, id);
        let intent = serde_json::json!({
            "format": 1, "id": id, "host": host_name(), "process": Process::current(), "builds_on": builds_on,
        });
        let json = serde_json::to_vec(&intent).doing(|| "write the intent".into())?;
        repo.store.put(&key, &mut &json[..], &Attrs::new()).doing(|| format!("store {key}"))?;
        Ok(CopyIntent { repo, key })
    }
}

impl Drop for CopyIntent<'_> {
    fn drop(&mut self) {
        // A writer needs no right to delete: what stays is removed by the prune there.
        if let Err(e) = self.repo.store.remove(&self.key) {
            log::debug!("{} stays in {}: {}", self.key, self.repo.name, e.chain());
        }
    }
}
