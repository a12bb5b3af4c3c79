//! One object on its way: read once, compared with what its manifest or its attributes say of it, and stored only then.

use super::RepoPair;
use super::turns::{CopyTurn, Gated};
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use toban_core::progress::Progress;
use toban_core::repo::archive::{SHA256, StoredForm, StoredObject, is_same_encrypted};
use toban_core::store::{Attrs, Key, Store, Stored, read_small};
use toban_core::sum::{Checked, Sum};
use toban_core::{Context, Error, Kind, Result};

/// Bytes of the largest record.
const LARGEST_RECORD: u64 = 16 << 20;

/// What an object is compared with.
#[derive(Clone, Copy)]
pub(super) enum Content<'a> {
    /// The sum that a manifest says.
    Summed(&'a Sum),
    /// A file of the WAL: the sum that its attributes have of what it unpacks to.
    Wal,
    /// A small record that says nothing of its own content.
    Record,
}

/// One object to copy.
pub(super) struct ObjectCopy<'a> {
    pub(super) pair: &'a RepoPair,
    pub(super) key: &'a Key,
    pub(super) content: Content<'a>,
    pub(super) progress: &'a Progress,
    /// It becomes visible when its turn has come.
    pub(super) turn: Option<&'a CopyTurn<'a>>,
}

/// How one object ended: its bytes, none where it is not in the source; or what is wrong with it alone, so that the
/// others can be copied.
pub(super) type ObjectEnd = Result<Option<u64>>;

impl ObjectCopy<'_> {
    /// Copies it, with its attributes.
    ///
    /// # Errors
    /// Where a repository is away or takes nothing. What is wrong with this object is in the answer: it is damaged,
    /// cannot be read, or another is over there.
    pub(super) fn copy_object(&self) -> Result<ObjectEnd> {
        let refused = self.pair.to.store.encryption().map(|encryption| encryption.check_plain(self.key));
        if let Some(Err(e)) = refused {
            return of_object(Error::caused_by(format!("copy {} to {}", self.key, self.pair.to.name), e));
        }
        let (attrs, body) = match self.open_source() {
            Ok(Some(opened)) => opened,
            Ok(None) => return Ok(Ok(None)),
            Err(e) => return of_object(e),
        };
        let failed = AtomicBool::new(false);
        let mut source =
            SourceBody { inner: self.check_body(body, &attrs), failed: &failed, copy: self, bytes: 0 };
        let mut gated = Gated::new(&mut source, self.turn);
        // The sum is compared while the body is read, and a difference is an error of the last read. A store
        // names an object only when its body has ended well, so what is damaged in the source never becomes
        // visible in the target.
        let put = self.pair.to.store.put(self.key, &mut gated, &attrs);
        match put {
            Ok(Stored::New) => Ok(Ok(Some(source.bytes))),
            Ok(Stored::Exists) => self.compare_existing(&attrs),
            Err(e) if failed.load(Ordering::SeqCst) => of_object(self.name_source(e)),
            Err(e) => Err(e).doing(|| format!("copy {} to {}", self.key, self.pair.to.name)),
        }
    }

    fn name_source(&self, e: Error) -> Error {
        Error::caused_by(format!("copy {} from {}", self.key, self.pair.from.name), e)
    }

    fn open_source(&self) -> Result<Option<(Attrs, Box<dyn Read + Send + '_>)>> {
        let store = &*self.pair.from.store;
        let opened = || {
            let Some(object) = store.stat(self.key)? else { return Ok(None) };
            Ok(store.get(self.key, 0)?.map(|body| (object.attrs, body)))
        };
        opened().map_err(|e| self.name_source(e))
    }

    fn check_body<'b>(&self, body: Box<dyn Read + Send + 'b>, attrs: &Attrs) -> Box<dyn Read + Send + 'b> {
        match self.content {
            Content::Summed(sum) => Box::new(Checked::new(body, sum.clone(), self.key.to_string())),
            Content::Wal if self.key.is_encrypted() => Box::new(StoredObject::new(body, attrs, self.key)),
            Content::Wal => Box::new(StoredForm::new(body, attrs, self.key)),
            Content::Record => body,
        }
    }

    /// Another writer was first: what is over there must be the same.
    fn compare_existing(&self, attrs: &Attrs) -> Result<ObjectEnd> {
        let there = &*self.pair.to.store;
        let same = match self.content {
            // By its size alone: to read it back would cost as much as the copy of it. `verify` over there
            // compares the content.
            Content::Summed(sum) => there.stat(self.key)?.is_some_and(|o| o.size == sum.bytes),
            Content::Wal => is_same_wal(there, self.key, attrs)?,
            Content::Record => {
                let read = |store: &dyn Store| read_small(store, self.key, LARGEST_RECORD);
                read(there)? == read(&*self.pair.from.store)?
            }
        };
        if same { Ok(Ok(Some(0))) } else { Ok(Err(explain_difference(self.key, self.pair))) }
    }
}

/// Whether the file of the WAL that is there has the content that the attributes of ours record.
pub(super) fn is_same_wal(there: &dyn Store, key: &Key, attrs: &Attrs) -> Result<bool> {
    let other = there.stat(key)?.map(|o| o.attrs).unwrap_or_default();
    let same_plain = attrs.get(SHA256).is_some() && attrs.get(SHA256) == other.get(SHA256);
    Ok(same_plain || key.is_encrypted() && is_same_encrypted(attrs, &other))
}

/// That another object is over there under this name.
pub(super) fn explain_difference(key: &Key, pair: &RepoPair) -> Error {
    let e = Error::corrupt(format!("{key} in {} is another than in {}", pair.to.name, pair.from.name));
    e.hint("nothing is overwritten: `pg-backup verify` of both tells which is damaged; remove that one, and copy again")
}

/// What is wrong with one object alone is no reason to stop; a repository that is away is.
fn of_object(e: Error) -> Result<ObjectEnd> {
    if e.kind() == Kind::Retry { Err(e) } else { Ok(Err(e)) }
}

/// The source's content, which tells whether it was the source that failed.
struct SourceBody<'a, R> {
    inner: R,
    failed: &'a AtomicBool,
    copy: &'a ObjectCopy<'a>,
    bytes: u64,
}

impl<R: Read> Read for SourceBody<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf);
        match &read {
            Ok(n) => {
                self.copy.progress.add(*n as u64);
                self.bytes += *n as u64;
            }
            Err(e) if e.kind() != io::ErrorKind::Interrupted => self.failed.store(true, Ordering::SeqCst),
            Err(_) => {}
        }
        read
    }
}
