//! The WAL archive of one system in one repository (docs/FORMATS.md, "WAL").

mod compress;
mod encrypted_file;
mod histories;
mod inventory;
mod keyed_sum;
mod stored_form;
mod tail;

pub use compress::{Compressed, LEVELS};
pub use encrypted_file::{StoredObject, is_same_encrypted};
pub use inventory::{Inventory, MissingRange, TimelineSegments};
pub use stored_form::StoredForm;
pub use tail::{Tail, TailGone, cover, covers};

use super::keys::System;
use crate::age::Recipients;
use crate::error::{Context, Error, Result};
use crate::store::{Encryption, Key, Object, Store, Stored};
use crate::sum::{Measured, Sum};
use crate::wal::{Lsn, Segment, Timeline, WalName};
use encrypted_file::EncryptedFile;
use std::io::{self, BufReader, Read, Write};

/// The attribute that holds the SHA-256 of the content, unpacked.
pub const SHA256: &str = "sha256";
/// The attribute that holds the length of the content in bytes, unpacked.
pub const BYTES: &str = "bytes";
/// The attribute that holds when the server last wrote the file, RFC 3339.
pub const WRITTEN: &str = "written";

/// The first bytes of a zstd frame (RFC 8878, 3.1.1); no file of the WAL begins so.
const ZSTD: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];

/// The WAL of one system in one store.
pub struct Archive<'s> {
    store: &'s dyn Store,
    system: System,
}

impl<'s> Archive<'s> {
    /// The archive of `system` in `store`; asks nothing yet.
    pub fn new(store: &'s dyn Store, system: System) -> Archive<'s> {
        Archive { store, system }
    }

    /// The object that holds `name`.
    pub fn key(&self, name: WalName) -> Key {
        self.system.key(&name.path())
    }

    /// Stores `file` as `name`. Durable when it returns; that the same content is there already is fine.
    ///
    /// # Errors
    /// Failed when other content is there under this name, which stays; else those of the file and the store.
    pub fn put(&self, name: WalName, file: &Compressed) -> Result<Stored> {
        self.store_as(&self.key(name), &name.to_string(), file)
    }

    fn store_as(&self, key: &Key, name: &str, file: &Compressed) -> Result<Stored> {
        let stored = match self.recipients_for(key) {
            Some(_) if self.has_plain(key)? => Stored::Exists,
            Some(recipients) => {
                let mut file = EncryptedFile::new(file, recipients)?;
                let attrs = file.attrs().clone();
                self.store.put(&key.encrypted()?, file.body(), &attrs)?
            }
            None => self.store.put(key, &mut *file.body()?, &file.attrs())?,
        };
        if stored == Stored::Exists {
            self.same(name, key, file)?;
        }
        Ok(stored)
    }

    /// Whom `key` is to be encrypted to.
    fn recipients_for(&self, key: &Key) -> Option<&Recipients> {
        self.store.encryption().and_then(Encryption::recipients).filter(|_| !key.is_plain())
    }

    /// Whether it was stored before encryption was switched on: its name is taken then, too.
    fn has_plain(&self, key: &Key) -> Result<bool> {
        Ok(self.store.list(key.as_str())?.iter().any(|object| object.key == *key))
    }

    fn same(&self, name: &str, key: &Key, ours: &Compressed) -> Result<()> {
        // PostgreSQL hands a file over again after a crash, and two copies of a server may archive to one place: the same
        // content is success, other content must never be overwritten and never be passed over in silence
        // (continuous archiving, "archive_command should … refuse to overwrite any pre-existing archive file").
        let attrs = self.store.stat(key)?.map(|object| object.attrs).unwrap_or_default();
        let same = match attrs.get(SHA256) {
            Some(sha256) => Some(*sha256 == ours.sum().sha256),
            None => encrypted_file::is_same_content(&attrs, ours)?,
        };
        let same = match same {
            Some(same) => same,
            None if encrypted_file::is_signed(&attrs) => return Err(encrypted_file::explain_secret(name)),
            // The attributes of an object that somebody copied may be lost: then the content tells.
            None => self.read(key, &mut io::sink())?.is_some_and(|sum| sum.sha256 == ours.sum().sha256),
        };
        if same {
            return Ok(());
        }
        let e = Error::failed(format!("{name} is in the repository with other content")).because(Conflict);
        Err(e.hint("do two servers archive to one repository? a server that was promoted or restored goes on on a new timeline; a copy of one needs archive_mode = off, or a --cluster of its own"))
    }

    /// When the server last wrote the file, or when it came where that is not recorded; `None` when it is not there.
    ///
    /// # Errors
    /// When the store could not be asked.
    pub fn written(&self, name: WalName) -> Result<Option<jiff::Timestamp>> {
        self.written_as(&self.key(name))
    }

    fn written_as(&self, key: &Key) -> Result<Option<jiff::Timestamp>> {
        let Some(object) = self.store.stat(key)? else { return Ok(None) };
        let recorded = object.attrs.get(WRITTEN).and_then(|at| at.parse().ok());
        Ok(Some(recorded.unwrap_or(object.modified)))
    }

    fn recorded(&self, key: &Key) -> Result<Option<String>> {
        Ok(self.store.stat(key)?.and_then(|o| o.attrs.get(SHA256).cloned()))
    }

    /// Whether `name` is there.
    ///
    /// # Errors
    /// When the store could not be asked.
    pub fn has(&self, name: WalName) -> Result<bool> {
        Ok(self.store.stat(&self.key(name))?.is_some())
    }

    /// Writes the content of `name` into `to`, unpacked and compared with its recorded sum: `None` only when it is
    /// proven that the archive does not have it.
    ///
    /// # Errors
    /// Corrupt when the object is damaged; then what was written is worthless. Retry when the store could not be asked.
    pub fn get(&self, name: WalName, to: &mut dyn Write) -> Result<Option<Sum>> {
        self.read(&self.key(name), to)
    }

    fn read(&self, key: &Key, to: &mut dyn Write) -> Result<Option<Sum>> {
        let Some(body) = self.store.get(key, 0)? else { return Ok(None) };
        // The sum is of what was unpacked: it says the same of an object that another level, or nobody, compressed,
        // and can be compared with PostgreSQL's own file.
        let mut plain = Measured::new(unpack(body).doing(|| format!("read {key}"))?);
        io::copy(&mut plain, to).doing(|| format!("read {key}")).map_err(|e| damaged(e, key))?;
        let sum = plain.sum();
        match self.recorded(key)? {
            Some(sha256) if sha256 != sum.sha256 => {
                Err(Error::corrupt(format!("{key} is damaged: it holds {sum}, recorded is {sha256}")))
            }
            _ => Ok(Some(sum)),
        }
    }

    /// Compares the encrypted object of `name` with the sum of what was stored, which takes no key; its bytes. `None`: it
    /// is not there.
    ///
    /// # Errors
    /// Corrupt when it is damaged, or no sum is recorded. Retry when the store could not be asked.
    pub fn verify_encrypted(&self, name: WalName) -> Result<Option<u64>> {
        self.verify_object(&self.key(name).encrypted()?)
    }

    fn verify_object(&self, key: &Key) -> Result<Option<u64>> {
        let Some(object) = self.store.stat(key)? else { return Ok(None) };
        let Some(body) = self.store.get(key, 0)? else { return Ok(None) };
        let stored = StoredObject::new(body, &object.attrs, key);
        if !stored.has_sum() {
            return Err(Error::corrupt(format!("{key} has no recorded sum: its attributes were lost")));
        }
        stored.read_through().map(|sum| Some(sum.bytes))
    }

    /// What of the WAL is there.
    ///
    /// # Errors
    /// When the store could not be asked.
    pub fn inventory(&self) -> Result<Inventory> {
        self.list("wal/")
    }

    /// What of the WAL is there, whole segments and tails.
    ///
    /// # Errors
    /// When the store could not be asked.
    pub fn stored_wal(&self) -> Result<StoredWal> {
        // In this order: a segment that becomes whole meanwhile is there twice. The other way round its tails would be
        // removed between the two lists, and it would look missing.
        let tails = self.all_tails()?;
        Ok(StoredWal { inventory: self.inventory()?, tails })
    }

    /// What of one timeline is there, its history aside.
    ///
    /// # Errors
    /// When the store could not be asked.
    pub fn timeline(&self, timeline: Timeline) -> Result<Inventory> {
        self.list(&format!("wal/{:08X}/", timeline.0))
    }

    fn list(&self, below: &str) -> Result<Inventory> {
        let files = self.listed(below)?;
        Ok(Inventory::from_listing(files.iter().map(|(name, o)| (*name, o.size, o.modified))))
    }

    /// Every file of the WAL that is there, tails aside.
    ///
    /// # Errors
    /// When the store could not be asked.
    pub fn files(&self) -> Result<Vec<(WalName, Object)>> {
        self.listed("wal/")
    }

    fn listed(&self, below: &str) -> Result<Vec<(WalName, Object)>> {
        let objects = self.store.list(&format!("{}{below}", self.system.root()))?;
        let named = |o: Object| {
            let name = o.key.content().rsplit('/').next()?.parse().ok()?;
            // Only where the key is the one that we would give it: a file that somebody put into another folder is
            // none of the archive, since `fetch` would not find it there.
            (self.key(name).as_str() == o.key.content()).then_some((name, o))
        };
        Ok(objects.into_iter().filter_map(named).collect())
    }

    /// Removes a file of the WAL; that it is gone already is fine.
    ///
    /// # Errors
    /// When the store refuses or could not be asked.
    pub fn remove(&self, name: WalName) -> Result<()> {
        self.remove_both(&self.key(name))
    }

    /// As it was stored before encryption was switched on, and since.
    fn remove_both(&self, key: &Key) -> Result<()> {
        self.store.remove(key)?;
        if key.is_plain() { Ok(()) } else { self.store.remove(&key.encrypted()?) }
    }
}

/// What of the WAL an archive has.
#[derive(Clone, Debug, Default)]
pub struct StoredWal {
    /// Whole segments, and histories.
    pub inventory: Inventory,
    /// Tails of segments, also of those that became whole.
    pub tails: Vec<Tail>,
}

impl StoredWal {
    /// Segments of `size` bytes that are there by their tails alone: up to where each is covered.
    pub fn begun_segments(&self, size: u64) -> Vec<(Segment, Lsn)> {
        let begun = |(name, cover): (WalName, Vec<Tail>)| {
            let segment = name.segment(size).filter(|s| !self.inventory.has(s))?;
            Some((segment, Lsn(segment.start().0 + cover.last()?.end())))
        };
        covers(&self.tails).into_iter().filter_map(begun).collect()
    }
}

/// The cause of an error of [`Archive::put`]: another try would not help, a person must look.
#[derive(Clone, Copy, Debug)]
pub struct Conflict;

impl Conflict {
    /// Whether it is below `e`.
    pub fn caused(e: &Error) -> bool {
        let below = |e: &&(dyn std::error::Error + 'static)| e.is::<Conflict>();
        std::iter::successors(std::error::Error::source(e), |e| e.source()).any(|e| below(&e))
    }
}

impl std::fmt::Display for Conflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("what came first stays")
    }
}

impl std::error::Error for Conflict {}

/// A library's complaint about its input is damage; an error of the store stays what it is.
fn damaged(e: Error, key: &Key) -> Error {
    match e.kind() {
        crate::Kind::Failed => Error::corrupt(format!("{key} is damaged")).because(e),
        _ => e,
    }
}

/// The content, by what it begins with: packed by zstd, or as it is.
fn unpack<'r>(mut body: Box<dyn Read + Send + 'r>) -> io::Result<Box<dyn Read + Send + 'r>> {
    let mut first = Vec::with_capacity(ZSTD.len());
    (&mut body).take(ZSTD.len() as u64).read_to_end(&mut first)?;
    let packed = first == ZSTD;
    let whole = io::Cursor::new(first).chain(body);
    if packed {
        return Ok(Box::new(zstd::stream::read::Decoder::with_buffer(BufReader::with_capacity(
            256 << 10,
            whole,
        ))?));
    }
    Ok(Box::new(whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use crate::store::Dir;

    fn name(text: &str) -> WalName {
        text.parse().expect("a name")
    }

    #[test]
    fn the_first_content_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Dir::open(&dir.path().display().to_string()).expect("a store");
        let archive = Archive::new(&store, System { cluster: "main".into(), identifier: 7 });
        let file = |bytes: &[u8]| {
            let path = dir.path().join("segment");
            std::fs::write(&path, bytes).expect("write");
            Compressed::new(&path, 1).expect("compressed")
        };
        let segment = name("000000010000000000000001");
        let content: Vec<u8> = (0..100_000_u32).flat_map(u32::to_ne_bytes).collect();
        assert!(!archive.has(segment).expect("asked"));
        assert_eq!(archive.get(segment, &mut io::sink()).expect("asked"), None);
        assert_eq!(archive.put(segment, &file(&content)).expect("put"), Stored::New);
        assert_eq!(archive.put(segment, &file(&content)).expect("again"), Stored::Exists);
        let e = archive.put(segment, &file(b"other")).expect_err("other content");
        assert!(e.kind() == Kind::Failed && e.chain().contains("with other content"), "{e:?}");
        let mut back = Vec::new();
        let sum = archive.get(segment, &mut back).expect("read").expect("there");
        assert!(back == content && sum.bytes == content.len() as u64);

        let key = archive.key(segment);
        let stored = dir.path().join(key.as_str());
        std::fs::remove_file(format!("{}.attr", stored.display())).expect("lose the attributes");
        assert_eq!(archive.put(segment, &file(&content)).expect("the content tells"), Stored::Exists);
        assert!(archive.put(segment, &file(b"other")).is_err(), "the content tells");
    }

    #[test]
    fn a_flipped_byte_is_damage() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Dir::open(&dir.path().display().to_string()).expect("a store");
        let archive = Archive::new(&store, System { cluster: "main".into(), identifier: 7 });
        let path = dir.path().join("segment");
        std::fs::write(&path, vec![3_u8; 70_000]).expect("write");
        let segment = name("000000010000000000000001");
        let compressed = Compressed::new(&path, 1).expect("compressed");
        let sum = compressed.sum();
        archive.put(segment, &compressed).expect("put");
        let stored = dir.path().join(archive.key(segment).as_str());
        let whole = std::fs::read(&stored).expect("read");
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            std::fs::write(&stored, &flipped).expect("flip");
            // A bit of zstd's frame that changes nothing of the content is no damage.
            match archive.get(segment, &mut io::sink()) {
                Ok(same) => assert_eq!(same.expect("there").sha256, sum.sha256, "byte {at}"),
                Err(e) => assert_eq!(e.kind(), Kind::Corrupt, "byte {at}: {e:?}"),
            }
        }
        std::fs::write(&stored, &whole[..whole.len() - 1]).expect("cut");
        assert_eq!(archive.get(segment, &mut io::sink()).expect_err("found").kind(), Kind::Corrupt);
    }
}
