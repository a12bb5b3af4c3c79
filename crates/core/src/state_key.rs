//! Secrets of this server, each a file of its state directory: what is named or summed with one says something to this
//! server alone.

use crate::durable::{create_dirs, folder_of, state_dir};
use crate::error::{Context, Error, Result};
use crate::random::make_secret;
use crate::sum::{hex, sha256, unhex};
use ring::hmac;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A secret that keyed sums are made with.
pub struct StateKey {
    key: hmac::Key,
    /// Which secret it is, for whoever compares; it tells nothing of it.
    pub id: String,
}

impl StateKey {
    /// The secret in the file `name` of the state directory, made when it is needed for the first time.
    ///
    /// # Errors
    /// When it can neither be read nor written; Corrupt when it is damaged.
    pub fn open(name: &str) -> Result<StateKey> {
        let path = StateKey::path(name);
        let doing = || format!("read {}", path.display());
        if !path.exists() {
            write_secret(&path)?;
        }
        let text = std::fs::read_to_string(&path).doing(doing)?;
        let secret = unhex(text.trim()).and_then(|secret| <[u8; 32]>::try_from(secret).ok());
        let secret = secret.ok_or_else(|| Error::corrupt(format!("{} is damaged", path.display())))?;
        let id = hex(&sha256(&[b"id", &secret[..]].concat())[..8]);
        Ok(StateKey { key: hmac::Key::new(hmac::HMAC_SHA256, &secret), id })
    }

    /// Where it lies.
    pub fn path(name: &str) -> PathBuf {
        state_dir().join(name)
    }

    /// HMAC-SHA-256 of `text` in hexadecimal.
    pub fn sum_text(&self, text: &str) -> String {
        hex(hmac::sign(&self.key, text.as_bytes()).as_ref())
    }
}

/// Whole under its name at once, and never in the place of another: what was made with that could not be compared any
/// more. Of two at once the first makes it.
fn write_secret(path: &Path) -> Result<()> {
    let doing = || format!("write {}", path.display());
    create_dirs(folder_of(path))?;
    let secret = make_secret()?;
    let mut file = tempfile::NamedTempFile::new_in(folder_of(path)).doing(doing)?;
    writeln!(file, "{}", hex(&secret)).and_then(|()| file.as_file().sync_all()).doing(doing)?;
    match file.persist_noclobber(path) {
        Err(e) if e.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map(drop).map_err(|e| e.error).doing(doing),
    }
}
