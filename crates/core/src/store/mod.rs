//! Where backups are kept: a directory, or a bucket of S3, Azure or Google behind one trait.
//!
//! Only the files for services that answer over HTTP know async: `ask`, `body`, `reactor`, `s3`, `cloud`.
//!
//! Objects are immutable: created if absent, never rewritten. A name is visible only when its content is complete
//! and durable. Copying a repository is copying what is missing.

use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::str::FromStr;
use std::sync::Arc;

mod ask;
mod backoff;
mod body;
#[cfg(any(feature = "azure", feature = "gcs"))]
mod cloud;
mod dir;
mod encryption;
mod failure;
mod folder;
mod lock;
mod parts;
mod reactor;
mod removal;
mod rules;
mod s3;

pub use backoff::{Backoff, Tries, VARIABLE as PATIENCE_VARIABLE, gave_up};
#[cfg(feature = "azure")]
pub use cloud::AzureOptions;
#[cfg(feature = "gcs")]
pub use cloud::GcsOptions;
pub use dir::Dir;
pub use encryption::{EncryptedStore, Encryption, NoIdentity};
pub use lock::{Lock, LockRules};
pub use removal::RemovalRules;
pub use s3::{S3, S3Options};

/// Small facts kept beside an object: readable without its content (metadata on S3, `<name>.attr` in a directory).
/// Names are `[a-z0-9-]+`, values printable ASCII without a space at either end; 1,800 bytes in all, because S3
/// keeps no more than 2 KB.
pub type Attrs = BTreeMap<String, String>;

/// Attributes that every store can keep.
fn check_attrs(attrs: &Attrs) -> Result<()> {
    let named = |n: &str| !n.is_empty() && n.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    let fine = |v: &str| v.bytes().all(|b| matches!(b, b' '..=b'~')) && v.trim() == v;
    if let Some((name, value)) = attrs.iter().find(|(n, v)| !named(n) || !fine(v)) {
        return Err(Error::usage(format!("{name:?} = {value:?} is not an attribute")));
    }
    let size: usize = attrs.iter().map(|(n, v)| n.len() + v.len()).sum();
    if size <= 1800 { Ok(()) } else { Err(Error::usage(format!("{size} bytes of attributes, at most 1800"))) }
}

/// The name of an object inside its store: segments of printable characters but `\\`, joined by `/`, none of them
/// beginning with a dot or ending in `.attr`, each at most 200 and all together at most 900 bytes. Our own names are
/// plain ASCII; people's dumps have colons and spaces in theirs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Key {
    type Err = Error;

    fn from_str(text: &str) -> Result<Key> {
        let fine = |c: char| !c.is_control() && c != '\\';
        let part = |p: &str| {
            !p.is_empty()
                && p.len() <= 200
                && !p.starts_with('.')
                && !p.ends_with(".attr")
                && p.chars().all(fine)
        };
        if text.len() <= 900 && text.split('/').all(part) {
            return Ok(Key(text.to_string()));
        }
        Err(Error::usage(format!("{text:?} is not the name of an object")))
    }
}

/// What a store knows of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its name.
    pub key: Key,
    /// Length in bytes.
    pub size: u64,
    /// When it was written, by the store's clock.
    pub modified: jiff::Timestamp,
    /// Filled by [`Store::stat`]; empty in listings.
    pub attrs: Attrs,
    /// The store's name of its storage class, where that is not the usual one: `GLACIER`.
    pub class: Option<String>,
}

impl Object {
    /// Whether its content must be brought back from an archive before it can be read (Amazon S3 User Guide, "Restoring
    /// an archived object"; Azure, "Blob rehydration"). Google's `ARCHIVE` can be read at once.
    pub fn is_cold(&self) -> bool {
        self.class.as_deref().is_some_and(|class| ["GLACIER", "DEEP_ARCHIVE", "Archive"].contains(&class))
    }
}

/// What came of a [`Store::put`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Written now, complete and durable.
    New,
    /// There was an object of this name, durable too; it is as it was, and how much of the body was read is not
    /// defined.
    Exists,
}

/// A place for objects. The tests' contract is the list of its promises, run against every
/// implementation.
pub trait Store: Send + Sync {
    /// Writes all of `body` under `key` unless the name is taken. All or nothing: when `body` or the store fails,
    /// nothing is visible; when it returns [`Stored::New`], the object is durable. Of two at once exactly one is
    /// New (on S3, for bodies of 17 MiB and more, as far as the service decides that at the end of a multipart
    /// upload: AWS does, SeaweedFS only looks first). Memory does not grow with the body.
    ///
    /// # Errors
    /// Those of `body`, with their kind; Retry when the store could not be reached or throttled until the deadline.
    fn put(&self, key: &Key, body: &mut dyn Read, attrs: &Attrs) -> Result<Stored>;

    /// The content from byte `from` on, nothing when that is its end or beyond; `None` only when it is proven that
    /// there is no such object (a 403 is not a proof). Reading resumes by itself after a cut connection.
    ///
    /// # Errors
    /// When the store could not be asked.
    fn get(&self, key: &Key, from: u64) -> Result<Option<Box<dyn Read + Send + '_>>>;

    /// Size, time and attributes; `None` only when absence is proven.
    ///
    /// # Errors
    /// When the store could not be asked.
    fn stat(&self, key: &Key) -> Result<Option<Object>>;

    /// Every object whose key begins with `prefix`, sorted by key; however many there are.
    ///
    /// # Errors
    /// When the store could not be asked.
    fn list(&self, prefix: &str) -> Result<Vec<Object>>;

    /// The names that follow `prefix` (empty, or ending in `/`) up to the next `/`, sorted: without the cost of
    /// listing what lies below them. One that holds nothing any more may be among them.
    ///
    /// # Errors
    /// When the store could not be asked.
    fn folders(&self, prefix: &str) -> Result<Vec<String>>;

    /// Removes an object; that it is gone already is fine.
    ///
    /// # Errors
    /// When the store refuses or could not be asked.
    fn remove(&self, key: &Key) -> Result<()>;

    /// Removes what uploads that never ended have left, when they began more than `older_than` ago (temporary
    /// files, unfinished multipart uploads); how many there were.
    ///
    /// # Errors
    /// When the store could not be asked.
    fn sweep(&self, older_than: std::time::Duration) -> Result<usize>;

    /// What every new object is locked by.
    fn lock(&self) -> Option<Lock> {
        None
    }

    /// When the lock ends by which the store itself keeps `key`, which may be past; none without a lock, and where there
    /// is no such object.
    ///
    /// # Errors
    /// When the store could not be asked.
    fn locked_until(&self, _key: &Key) -> Result<Option<jiff::Timestamp>> {
        Ok(None)
    }

    /// Locks an object that is there for as long as a new one would be; a lock that ends later stays. Whether it is there.
    ///
    /// # Errors
    /// When the store refuses or could not be asked.
    fn renew_lock(&self, _key: &Key) -> Result<bool> {
        Ok(false)
    }

    /// What the service itself does with objects here; nothing where it has no such rules.
    ///
    /// # Errors
    /// When the store refuses to tell or could not be asked.
    fn removal_rules(&self) -> Result<RemovalRules> {
        Ok(RemovalRules::default())
    }

    /// The file behind `key`, where the store is a folder on this machine.
    fn local_path(&self, _key: &Key) -> Option<std::path::PathBuf> {
        None
    }

    /// How content is encrypted here; none where everything is stored as it is given.
    fn encryption(&self) -> Option<&Encryption> {
        None
    }
}

/// How to reach each kind of store.
#[derive(Clone, Debug, Default)]
pub struct StoreOptions {
    /// S3.
    pub s3: S3Options,
    /// Azure Blob Storage.
    #[cfg(feature = "azure")]
    pub azure: AzureOptions,
    /// Google Cloud Storage.
    #[cfg(feature = "gcs")]
    pub gcs: GcsOptions,
}

/// The forms of a repository's URL, for hints.
pub const URL_FORMS: &str = "file:///DIR, s3://BUCKET/PREFIX, az://CONTAINER/PREFIX or gs://BUCKET/PREFIX";

/// Opens the store a URL names: `file:///dir` (or a plain absolute path), `s3://bucket/prefix`, `az://container/prefix`
/// or `gs://bucket/prefix`. Does not ask the store yet. Each request to a service is tried again for as long as
/// `TOBAN_RETRY_FOR` says (5 minutes).
///
/// # Errors
/// Usage for any other URL.
pub fn open(url: &str, options: &StoreOptions) -> Result<Arc<dyn Store>> {
    if let Some(path) = url.strip_prefix("file://").or_else(|| url.starts_with('/').then_some(url)) {
        return Ok(Arc::new(Dir::open(path)?));
    }
    match url.split_once("://") {
        Some(("s3", place)) => Ok(Arc::new(S3::open(place, &options.s3)?)),
        #[cfg(feature = "azure")]
        Some(("az", place)) => cloud::open_azure(place, &options.azure),
        #[cfg(feature = "gcs")]
        Some(("gs", place)) => cloud::open_gcs(place, &options.gcs),
        _ => {
            let e = Error::usage(format!("{url:?} is not a repository"));
            Err(e
                .hint(format!("give {URL_FORMS}, or the name of a [repo.NAME] section of the configuration")))
        }
    }
}

/// Reads a small object whole.
///
/// # Errors
/// Those of [`Store::get`]; Corrupt when it is larger than `limit` bytes.
pub fn read_small(store: &dyn Store, key: &Key, limit: u64) -> Result<Option<Vec<u8>>> {
    use crate::error::Context;
    let Some(body) = store.get(key, 0)? else { return Ok(None) };
    let mut bytes = Vec::new();
    // One byte more than allowed is enough to tell, and a huge object under a small one's name fills no memory.
    body.take(limit + 1).read_to_end(&mut bytes).doing(|| format!("read {key}"))?;
    if bytes.len() as u64 > limit {
        return Err(Error::corrupt(format!("{key} is larger than {limit} bytes")));
    }
    Ok(Some(bytes))
}
