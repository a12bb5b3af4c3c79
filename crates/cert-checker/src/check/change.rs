//! What changed since the last run, told once: the memory is a file of what was seen then.

use super::report::Checked;
use crate::finding::Finding;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use toban_core::{Context, Result, durable};

/// What is remembered of a certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Remembered {
    sha256: String,
    issuer: String,
    key: String,
    names: Vec<String>,
    sent: usize,
}

/// What the last run saw, by target, place and kind of key.
pub(crate) struct Memory {
    path: PathBuf,
    before: BTreeMap<String, Remembered>,
    now: BTreeMap<String, Remembered>,
}

impl Memory {
    /// The memory of the job `name`; empty on its first run.
    pub(crate) fn open(name: &str) -> Memory {
        let path = durable::state_dir().join("certificates").join(format!("{name}.json"));
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let before = serde_json::from_str(&text).unwrap_or_else(|e| {
            if !text.is_empty() {
                log::warn!("{} is not read: {e}; changes are told from the next run on", path.display());
            }
            BTreeMap::new()
        });
        Memory { path, before, now: BTreeMap::new() }
    }

    /// Adds to `checked` what is not as it was, and remembers it.
    pub(crate) fn compare(&mut self, checked: &mut Checked) {
        let Some(leaf) = checked.chain.first() else { return };
        let place = if checked.connection.is_some() { checked.places.join(", ") } else { String::new() };
        let key = format!("{} {place} {}", checked.target, leaf.key.kind);
        let seen = Remembered {
            sha256: leaf.sha256.clone(),
            issuer: leaf.issuer.clone(),
            key: leaf.key.spki_sha256.clone(),
            names: leaf.extensions.names.iter().take(1000).map(ToString::to_string).collect(),
            sent: checked.chain.len(),
        };
        if let Some(before) = self.before.get(&key) {
            checked.add(changes(before, &seen));
        }
        self.now.insert(key, seen);
    }

    /// Keeps what was seen for the next run; of what did not answer, what was known before.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn save(self) -> Result<()> {
        let mut all = self.before;
        all.extend(self.now);
        durable::create_dirs(durable::folder_of(&self.path))?;
        durable::replace(&self.path, 0o600, |w| serde_json::to_writer(w, &all).doing(|| "write".into()))
    }
}

fn changes(before: &Remembered, now: &Remembered) -> Vec<Finding> {
    let mut found = Vec::new();
    if before.sent > now.sent {
        let says = format!("{} certificates were sent in the last run, {} now", before.sent, now.sent);
        found.push(Finding::info("changed-chain", says));
    }
    if before.sha256 == now.sha256 {
        return found;
    }
    if before.issuer != now.issuer {
        found.push(Finding::info(
            "changed-issuer",
            format!("issued by {} before, by {} now", before.issuer, now.issuer),
        ));
    }
    match before.key == now.key {
        true => found.push(Finding::info("key-reused", "renewed with the same key as before")),
        false => found.push(Finding::info("changed-key", "another key than in the last run")),
    }
    let lost: Vec<&str> =
        before.names.iter().filter(|n| !now.names.contains(n)).map(String::as_str).collect();
    if !lost.is_empty() {
        found.push(Finding::info("changed-names", format!("no longer among its names: {}", lost.join(", "))));
    }
    found
}
