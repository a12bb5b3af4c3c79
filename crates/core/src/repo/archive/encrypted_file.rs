//! A file of the WAL as an encrypted object, with what can be compared of it without a key.

use super::compress::Compressed;
use super::keyed_sum::{open_sum_key, secret_path, sign_sum};
use super::{Conflict, WRITTEN, damaged};
use crate::age::Recipients;
use crate::error::{Context, Error, Result};
use crate::store::{Attrs, Key};
use crate::sum::{Measured, Sum};
use std::io::{self, Read, Seek};

/// The attribute that holds the SHA-256 of an encrypted object as it is stored.
const STORED: &str = "stored-sha256";
/// The attribute that holds the keyed sum of the content, unpacked, and the one that says by which key.
const KEYED: &str = "keyed-sha256";
const SUM_KEY: &str = "sum-key";

/// A file that is encrypted and ready to be stored.
pub(super) struct EncryptedFile {
    file: std::fs::File,
    attrs: Attrs,
}

impl EncryptedFile {
    /// Encrypts `file`. The sum of the object is among its attributes, which a store takes before it: so it lies in a
    /// file without a name until then.
    pub(super) fn new(file: &Compressed, recipients: &Recipients) -> Result<EncryptedFile> {
        let doing = || "encrypt a file of the WAL".to_string();
        let mut encrypted = tempfile::tempfile().doing(doing)?;
        let mut body = Measured::new(recipients.encrypt(file.body()?)?);
        io::copy(&mut body, &mut encrypted).and_then(|_| encrypted.rewind()).doing(doing)?;
        let key = open_sum_key()?;
        let mut attrs = file.attrs();
        attrs.retain(|name, _| name == WRITTEN);
        attrs.insert(STORED.into(), body.sum().sha256);
        attrs.insert(KEYED.into(), sign_sum(&key, file.sum()));
        attrs.insert(SUM_KEY.into(), key.id);
        Ok(EncryptedFile { file: encrypted, attrs })
    }

    pub(super) fn attrs(&self) -> &Attrs {
        &self.attrs
    }

    pub(super) fn body(&mut self) -> &mut impl Read {
        &mut self.file
    }
}

/// Whether the encrypted object with these attributes has the content of `ours`; none where that cannot be told, since it
/// was written with the secret of another server or of one that has lost it.
pub(super) fn is_same_content(attrs: &Attrs, ours: &Compressed) -> Result<Option<bool>> {
    let Some(keyed) = attrs.get(KEYED) else { return Ok(None) };
    let key = open_sum_key()?;
    if attrs.get(SUM_KEY) == Some(&key.id) {
        return Ok(Some(*keyed == sign_sum(&key, ours.sum())));
    }
    // To the nanosecond when the server wrote it: no other file has that time, and the same may have been touched.
    let same_time = attrs.get(WRITTEN) == ours.attrs().get(WRITTEN);
    Ok(same_time.then_some(true))
}

/// Whether the attributes have a sum that somebody's secret can compare.
pub(super) fn is_signed(attrs: &Attrs) -> bool {
    attrs.contains_key(KEYED)
}

/// What to say where none of ours can. It is a conflict: another try would find the same.
pub(super) fn explain_secret(name: &str) -> Error {
    let own = secret_path();
    let e = Error::failed(format!(
        "{name} is in the repository, encrypted, and its sum was made with another secret than {}",
        own.display()
    ));
    let e = e.because(Conflict);
    e.hint("whether it is the same file is not known: `push` and `stream` of one server need the same secret; copy wal-sums.key from the state directory of the one that wrote first, with mode 0600")
}

/// Whether two encrypted objects with these attributes have the same content; false where that cannot be told.
pub fn is_same_encrypted(one: &Attrs, other: &Attrs) -> bool {
    let same = |name: &str| one.get(name).is_some() && one.get(name) == other.get(name);
    same(STORED) || same(SUM_KEY) && same(KEYED)
}

/// A reader that passes on an encrypted object as it is stored, and ends with an error unless it is what its attributes
/// record. Where they record nothing (somebody copied the object without them), everything passes.
pub struct StoredObject<R> {
    inner: Measured<R>,
    recorded: Option<String>,
    key: Key,
}

impl<R: Read> StoredObject<R> {
    /// Passes on `inner`, the object `key` with the attributes `attrs`.
    pub fn new(inner: R, attrs: &Attrs, key: &Key) -> StoredObject<R> {
        StoredObject { inner: Measured::new(inner), recorded: attrs.get(STORED).cloned(), key: key.clone() }
    }

    /// Whether its attributes record anything.
    pub(super) fn has_sum(&self) -> bool {
        self.recorded.is_some()
    }

    /// Reads all of it; its length and sum.
    ///
    /// # Errors
    /// Corrupt when it is another than recorded; else those of `inner`.
    pub(super) fn read_through(mut self) -> Result<Sum> {
        let key = self.key.clone();
        io::copy(&mut self, &mut io::sink()).doing(|| format!("read {key}")).map_err(|e| damaged(e, &key))?;
        Ok(self.inner.sum())
    }
}

impl<R: Read> Read for StoredObject<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        let sum = || self.inner.sum().sha256;
        match &self.recorded {
            Some(recorded) if n == 0 && !buf.is_empty() && sum() != *recorded => {
                Err(Error::corrupt(format!("{} is damaged: stored {}, recorded {recorded}", self.key, sum()))
                    .into())
            }
            _ => Ok(n),
        }
    }
}
