//! Sums of files of the WAL that say something to this server alone. A plain sum beside an encrypted file would let
//! everybody who can read the repository confirm what he guesses of its content.

use crate::error::Result;
use crate::state_key::StateKey;
use crate::sum::Sum;
use std::path::PathBuf;

/// The file of the state directory with the secret.
const NAME: &str = "wal-sums.key";

/// What makes the sums of this server.
pub(super) fn open_sum_key() -> Result<StateKey> {
    StateKey::open(NAME)
}

/// The keyed sum of a content: of the text of its SHA-256.
pub(super) fn sign_sum(key: &StateKey, sum: &Sum) -> String {
    key.sum_text(&sum.sha256)
}

/// Where the secret lies.
pub(super) fn secret_path() -> PathBuf {
    StateKey::path(NAME)
}
