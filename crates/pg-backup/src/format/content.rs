//! The content of stored objects.

use std::io::Read;
use toban_core::store::{Key, Store};
use toban_core::sum::{Checked, Sum};
use toban_core::{Error, Result};

/// The content of the object `stored`, encrypted or not. Its sum is of what is stored, so it is compared below the
/// decryption; at the end of the content it has been.
///
/// # Errors
/// Corrupt when it is not there or damaged; Usage when it is encrypted and no identity opens it.
pub(crate) fn open_content<'s>(
    store: &'s dyn Store,
    stored: &Key,
    sum: &Sum,
) -> Result<Box<dyn Read + Send + 's>> {
    let body = store.get(stored, 0)?.ok_or_else(|| Error::corrupt(format!("{stored} is missing")))?;
    let checked = Box::new(Checked::new(body, sum.clone(), stored.to_string()));
    match store.encryption().filter(|_| stored.is_encrypted()) {
        Some(encryption) => encryption.decrypt(stored, checked),
        None => Ok(checked),
    }
}
