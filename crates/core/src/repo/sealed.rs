//! Manifests that hold the sum of themselves and the version of their form (docs/FORMATS.md).

use crate::error::{Context, Error, Result};
use crate::store::{Key, Store, read_small};
use crate::sum;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The form of dumps, and of backups that stand alone; a reader refuses any that it does not know.
pub const FORMAT: u32 = 1;
/// The form of backups that share packs with earlier ones: a program that knows only the first form would look for them
/// in the wrong folder, and its `prune` would remove them.
pub const SHARING_FORMAT: u32 = 2;
/// The form of what is encrypted: a program that knows only the others would look for its objects under other names, and
/// its `prune` would remove them as nobody's.
pub const ENCRYPTED_FORMAT: u32 = 3;

/// The bytes of a manifest: JSON whose first member is the sum of all that follows it.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn write_sealed(manifest: &impl Serialize) -> Result<Vec<u8>> {
    let json = serde_json::to_string_pretty(manifest).doing(|| "write a manifest".into())?;
    Ok(seal(&format!("{json}\n")).into_bytes())
}

/// The manifest at `key`; `None` when it is not there.
///
/// # Errors
/// Corrupt when the sum is another one or none, or it does not parse; Usage when it has another format.
pub fn read_sealed<T: DeserializeOwned>(store: &dyn Store, key: &Key, limit: u64) -> Result<Option<T>> {
    let json = read_small(store, key, limit)?;
    json.map(|json| parse_sealed(&json, key)).transpose()
}

/// The manifest whose bytes these are, which came from `key`.
///
/// # Errors
/// Those of [`read_sealed`].
pub fn parse_sealed<T: DeserializeOwned>(json: &[u8], key: &Key) -> Result<T> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    // The seal comes before the parser: a flipped digit of a length or a position parses as well as the right one.
    if !is_sealed(json) {
        return Err(Error::corrupt(format!("{key} is damaged: it does not match its own sum")));
    }
    let damaged = |e| Error::corrupt(format!("{key} is not a manifest")).because(e);
    let Version { format } = serde_json::from_slice(json).map_err(damaged)?;
    if !(FORMAT..=ENCRYPTED_FORMAT).contains(&format) {
        let e =
            Error::usage(format!("{key} has format {format}; this program reads up to {ENCRYPTED_FORMAT}"));
        return Err(e.hint("use a newer version of toban"));
    }
    serde_json::from_slice(json).map_err(damaged)
}

/// Puts a sum of all that follows it into a JSON object, as its first member.
pub fn seal(json: &str) -> String {
    let rest = json.trim_start_matches('{');
    format!("{{\n  \"sha256\": \"{}\",{rest}", sum::hex(&sum::sha256(rest.as_bytes())))
}

/// Whether the bytes of a manifest match the sum that they begin with.
pub fn is_sealed(json: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(json) else { return false };
    let parts = text.strip_prefix("{\n  \"sha256\": \"").and_then(|t| t.split_once("\","));
    parts.is_some_and(|(seen, rest)| seen == sum::hex(&sum::sha256(rest.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_text_shows_every_flipped_bit() {
        let sealed = seal("{\n  \"a\": 1\n}\n");
        assert!(is_sealed(sealed.as_bytes()) && sealed.ends_with("\",\n  \"a\": 1\n}\n"), "{sealed}");
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone().into_bytes();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_sealed(&flipped), "bit {bit}");
        }
    }
}
