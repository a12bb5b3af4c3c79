//! Sums of files of the WAL that say something to this server alone. A plain sum beside an encrypted file would let
//! everybody who can read the repository confirm what he guesses of its content.

use crate::durable::{create_dirs, folder_of, state_dir};
use crate::error::{Context, Error, Result};
use crate::random::make_secret;
use crate::sum::{Sum, hex, sha256, unhex};
use ring::hmac;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The file of the state directory with the secret.
const NAME: &str = "wal-sums.key";

/// What makes the sums of this server.
pub(super) struct SumKey {
    key: hmac::Key,
    /// Which key it is, for whoever compares.
    pub(super) id: String,
}

impl SumKey {
    /// This server's, made when it is needed for the first time.
    ///
    /// # Errors
    /// When it can neither be read nor written.
    pub(super) fn open() -> Result<SumKey> {
        let path = secret_path();
        let doing = || format!("read {}", path.display());
        if !path.exists() {
            write_secret(&path)?;
        }
        let text = std::fs::read_to_string(&path).doing(doing)?;
        let secret = unhex(text.trim()).and_then(|secret| <[u8; 32]>::try_from(secret).ok());
        let secret = secret.ok_or_else(|| Error::corrupt(format!("{} is damaged", path.display())))?;
        let id = hex(&sha256(&[b"id", &secret[..]].concat())[..8]);
        Ok(SumKey { key: hmac::Key::new(hmac::HMAC_SHA256, &secret), id })
    }

    /// HMAC-SHA-256 of the SHA-256 of a content.
    pub(super) fn sign_sum(&self, sum: &Sum) -> String {
        hex(hmac::sign(&self.key, sum.sha256.as_bytes()).as_ref())
    }
}

/// Where the secret lies.
pub(super) fn secret_path() -> PathBuf {
    state_dir().join(NAME)
}

/// Whole under its name at once, and never in the place of another: what was signed with that could not be compared any
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
