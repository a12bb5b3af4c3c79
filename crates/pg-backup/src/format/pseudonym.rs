//! Names of databases that are hidden from who has no key (docs/FORMATS.md, "Encryption"): a pseudonym stands for each in
//! keys and manifests, and the name itself in the encrypted properties of each dump.
//!
//! A pseudonym is made with a secret of this server, so that nobody can try names out; and this machine remembers what
//! it has made, so that its own verbs show names.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;
use toban_core::durable::{self, state_dir};
use toban_core::state_key::StateKey;
use toban_core::{Context, Result};

/// The file of the state directory with the secret.
const SECRET: &str = "names.key";
/// The file with the names of pseudonyms, as one JSON object.
const KNOWN: &str = "names.json";
const PREFIX: &str = "hidden-";
/// Hexadecimal digits: 128 bits.
const DIGITS: usize = 32;

/// Whether a name is a pseudonym.
pub(crate) fn is_pseudonym(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|digits| digits.len() == DIGITS)
}

/// The pseudonym of a database, always the same on this machine, which remembers it.
///
/// # Errors
/// When the state directory cannot be read or written.
pub(crate) fn make_pseudonym(name: &str) -> Result<String> {
    let pseudonym = format!("{PREFIX}{}", &StateKey::open(SECRET)?.sum_text(name)[..DIGITS]);
    let mut known = read_known();
    if known.insert(pseudonym.clone(), name.into()).is_none() {
        let json = serde_json::to_vec_pretty(&known).doing(|| "write the names of pseudonyms".into())?;
        durable::replace(&known_path(), 0o600, |w| w.write_all(&json).doing(|| "write them".into()))?;
    }
    Ok(pseudonym)
}

/// The name that this machine remembers of a pseudonym.
pub(crate) fn find_name(pseudonym: &str) -> Option<&'static String> {
    static NAMES: OnceLock<BTreeMap<String, String>> = OnceLock::new();
    NAMES.get_or_init(read_known).get(pseudonym)
}

fn known_path() -> PathBuf {
    state_dir().join(KNOWN)
}

/// What is lost is written again by the next dump of each database.
fn read_known() -> BTreeMap<String, String> {
    std::fs::read(known_path()).ok().and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
}
