//! `repository.json`: what a repository says of itself, once for each cluster, to everybody who writes there.

use super::{Attrs, Key, Store, read_small};
use crate::error::{Context, Error, Result};
use serde::{Deserialize, Serialize};

/// The object of a cluster's folder.
const NAME: &str = "repository.json";
/// Bytes of the largest.
const LARGEST: u64 = 64 << 10;

/// Its content.
#[derive(Serialize, Deserialize)]
struct RepoRules {
    format: u32,
    encryption: Option<Requirement>,
}

/// Whether content must be encrypted.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Requirement {
    Required,
}

/// Where the rules for `cluster` are.
///
/// # Errors
/// Usage when the cluster's name is no part of a key.
pub(super) fn rules_key(cluster: &str) -> Result<Key> {
    format!("{cluster}/{NAME}").parse()
}

/// Whether plain content of `cluster` is refused.
///
/// # Errors
/// Those of the store; Corrupt when the object does not parse.
pub(super) fn requires_encryption(store: &dyn Store, cluster: &str) -> Result<bool> {
    let key = rules_key(cluster)?;
    let Some(json) = read_small(store, &key, LARGEST)? else { return Ok(false) };
    let parsed: RepoRules = serde_json::from_slice(&json)
        .map_err(|e| Error::corrupt(format!("{key} does not parse")).because(e))?;
    Ok(parsed.encryption.is_some())
}

/// Has plain content of `cluster` refused from now on.
///
/// # Errors
/// Those of the store.
pub(super) fn write_requirement(store: &dyn Store, cluster: &str) -> Result<()> {
    let key = rules_key(cluster)?;
    let rules = RepoRules { format: 1, encryption: Some(Requirement::Required) };
    let json = serde_json::to_vec_pretty(&rules).doing(|| format!("write {key}"))?;
    store.put(&key, &mut &json[..], &Attrs::new()).map(drop)
}

/// Gives `target` the rules that `source` has for `cluster`, where it has none.
///
/// # Errors
/// Those of the two stores.
pub(super) fn copy_rules(source: &dyn Store, target: &dyn Store, cluster: &str) -> Result<()> {
    let key = rules_key(cluster)?;
    let Some(json) = read_small(source, &key, LARGEST)? else { return Ok(()) };
    if target.stat(&key)?.is_none() {
        target.put(&key, &mut &json[..], &Attrs::new())?;
    }
    Ok(())
}
