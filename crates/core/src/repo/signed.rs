//! What is proven, and the signature beside it.

use crate::error::Result;
use crate::sign::{SIGNATURE_SUFFIX, Signer};
use crate::store::{Attrs, Key, Store};

/// Stores what was proven; its signature, where somebody signs, under [`signature_key`].
///
/// # Errors
/// Those of the store, and of the key.
pub fn put_signed(store: &dyn Store, key: &Key, json: &[u8], signer: Option<&Signer>) -> Result<()> {
    // The signature first: a proof is there only with it.
    if let Some(signature) = signer.map(|signer| signer.sign(json)).transpose()? {
        store.put(&signature_key(key)?, &mut &signature[..], &Attrs::new())?;
    }
    store.put(key, &mut &json[..], &Attrs::new()).map(drop)
}

/// The object with the signature of another.
///
/// # Errors
/// Usage when its name is too long.
pub fn signature_key(key: &Key) -> Result<Key> {
    format!("{key}{SIGNATURE_SUFFIX}").parse()
}
