//! A store whose content is encrypted to public keys (docs/FORMATS.md, "Encryption").
//!
//! `NAME.age` is an object as it is stored. `NAME` without it is the content: writing it encrypts, and reading it decrypts
//! what lies in `NAME.age`. What ends in `.json` or `.history` is read without a key, and is the same in both forms.

use super::{Attrs, Key, Lock, Object, RemovalRules, Store, Stored, rules};
use crate::age::{Decrypted, Identities, MAGIC, Recipients};
use crate::error::{Context, Error, Result};
use crate::sync::lock;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The end of the name of what is encrypted.
const SUFFIX: &str = ".age";
/// The ends of the names of what everybody may read: cluster.json, manifests, intents, marks, pins, proofs, gaps; and the
/// histories of timelines, by which `list`, `check` and `prune` know how far recovery comes.
const PLAIN: [&str; 3] = [".json", ".json.sig", ".history"];
/// Headers of files that are kept: a restore opens each of a thousand packs many times.
const KEPT_HEADERS: usize = 10_000;
/// Bytes that are read for a header; one of ten recipients has 2 KiB.
const HEADER: u64 = 8 << 10;

impl Key {
    /// Whether the object may be read without a key, and is never encrypted.
    pub fn is_plain(&self) -> bool {
        PLAIN.iter().any(|end| self.as_str().ends_with(end))
    }

    /// Whether this is an encrypted object as it is stored.
    pub fn is_encrypted(&self) -> bool {
        self.as_str().ends_with(SUFFIX)
    }

    /// The name of its content.
    pub fn content(&self) -> &str {
        self.as_str().strip_suffix(SUFFIX).unwrap_or(self.as_str())
    }

    /// The object that holds this content when it is encrypted.
    ///
    /// # Errors
    /// Usage when the name is too long then.
    pub fn encrypted(&self) -> Result<Key> {
        format!("{self}{SUFFIX}").parse()
    }
}

/// How content is encrypted and decrypted in a store.
pub struct Encryption {
    store: Arc<dyn Store>,
    recipients: Option<Recipients>,
    identities: Option<Arc<Identities>>,
    headers: Mutex<BTreeMap<Key, Arc<[u8]>>>,
    /// The clusters whose rules were asked for.
    asked: Mutex<BTreeSet<String>>,
}

impl Encryption {
    /// Whom content is encrypted to; none: it is stored as it is.
    pub fn recipients(&self) -> Option<&Recipients> {
        self.recipients.as_ref()
    }

    /// Sees to it that what is encrypted to `recipients` can be read.
    ///
    /// # Errors
    /// Usage when no identity, or another one, is given; with the names of `recipients`.
    pub fn check_identity(&self, recipients: &[String]) -> Result<()> {
        let Some(identities) = &self.identities else { return Err(no_identity(&recipients.join(", "))) };
        let names = identities.names()?;
        if names.iter().any(|name| recipients.contains(name)) {
            return Ok(());
        }
        let (path, own, wanted) = (identities.path().display(), names.join(", "), recipients.join(", "));
        Err(Error::usage(format!("it is encrypted to {wanted}; {path} has the identity of {own}")))
    }

    /// The content of the encrypted object `key`, all of which `stored` reads.
    ///
    /// # Errors
    /// Usage when no identity that is given opens it; Corrupt when it is no age file, or is damaged.
    pub fn decrypt<'s>(
        &self,
        key: &Key,
        stored: Box<dyn Read + Send + 's>,
    ) -> Result<Box<dyn Read + Send + 's>> {
        // The header is read byte by byte.
        Ok(Box::new(self.open(key, BufReader::with_capacity(64 << 10, stored))?))
    }

    fn open<R: Read>(&self, key: &Key, file: R) -> Result<Decrypted<R>> {
        let doing = || format!("read {key}");
        let identities =
            self.identities.as_ref().ok_or_else(|| no_identity("recipients of its own")).doing(doing)?;
        identities.open(file).doing(doing)?.ok_or_else(|| {
            let names = identities.names().unwrap_or_default().join(", ");
            Error::usage(format!("{key} is encrypted to other recipients than {names}"))
        })
    }

    /// The content of an encrypted object, from a byte on; none when it is not there.
    fn get_content(&self, key: &Key, from: u64) -> Result<Option<Box<dyn Read + Send + '_>>> {
        let kept = lock(&self.headers).get(key).cloned();
        let file = match kept {
            Some(head) => StoredFile { store: &*self.store, key: key.clone(), head, at: 0, body: None },
            None => {
                let Some(mut body) = self.store.get(key, 0)? else { return Ok(None) };
                let mut head = Vec::new();
                (&mut body).take(HEADER).read_to_end(&mut head).doing(|| format!("read {key}"))?;
                self.keep_header(key, &head);
                let (at, body) = (0, Some(OpenBody { at: head.len() as u64, body }));
                StoredFile { store: &*self.store, key: key.clone(), head: head.into(), at, body }
            }
        };
        let mut content = self.open(key, file)?;
        content.go_to(from).doing(|| format!("read {key}"))?;
        Ok(Some(Box::new(content)))
    }

    /// Keeps what a file begins with: the next stretch of it that is read costs no request for its header.
    fn keep_header(&self, key: &Key, head: &[u8]) {
        let mut kept = lock(&self.headers);
        if kept.len() >= KEPT_HEADERS {
            kept.clear();
        }
        kept.insert(key.clone(), head[..header_length(head)].into());
    }

    /// Whether `key` may be stored as it is given, by whoever copies what others wrote.
    ///
    /// # Errors
    /// Usage when it is content that is not encrypted, and everything here is to be.
    pub fn check_plain(&self, key: &Key) -> Result<()> {
        if key.is_plain() || key.is_encrypted() {
            return Ok(());
        }
        if self.recipients.is_some() {
            return Err(Error::usage(format!("{key} is not encrypted, and everything in its target is")));
        }
        self.apply_rules(key)
    }

    /// Has this store refuse plain content in the folder of `cluster` where `source` does.
    ///
    /// # Errors
    /// Those of the two stores.
    pub fn take_rules(&self, source: &dyn Store, cluster: &str) -> Result<()> {
        rules::copy_rules(source, &*self.store, cluster)
    }

    /// Whether encrypted content is looked for first.
    fn expects_encrypted(&self) -> bool {
        self.recipients.is_some() || self.identities.is_some()
    }

    /// Sees to it, once for each cluster, that plain content is refused by everybody where we encrypt, and is not
    /// written where it is refused.
    fn apply_rules(&self, key: &Key) -> Result<()> {
        let cluster = key.as_str().split('/').next().unwrap_or_default();
        let mut asked = lock(&self.asked);
        if asked.contains(cluster) {
            return Ok(());
        }
        let required = rules::requires_encryption(&*self.store, cluster)?;
        match self.recipients {
            // Before the first encrypted object: from then on a timer, a second server or a forgotten flag without
            // recipients fails, and does not lay plain content beside it.
            Some(_) if !required => rules::write_requirement(&*self.store, cluster)?,
            None if required => {
                let e = Error::usage(format!(
                    "{} requires encryption, and no recipients are configured",
                    rules::rules_key(cluster)?
                ));
                return Err(
                    e.hint("set recipients_file in the [repo.NAME] section, or give --recipients-file")
                );
            }
            _ => {}
        }
        asked.insert(cluster.to_string());
        Ok(())
    }
}

/// Bytes of the header and of the nonce behind it, where all of them are in `head`.
fn header_length(head: &[u8]) -> usize {
    let mac = b"\n--- ";
    let before = head.windows(mac.len()).position(|window| window == mac);
    // Forty-three characters and the end of the line, then 16 bytes (the specification, "Header MAC" and "Payload").
    before.map_or(head.len(), |at| (at + mac.len() + 44 + 16).min(head.len()))
}

/// An object as a file: what it begins with is known, the rest is read from where it is wanted.
struct StoredFile<'s> {
    store: &'s dyn Store,
    key: Key,
    head: Arc<[u8]>,
    at: u64,
    body: Option<OpenBody<'s>>,
}

/// A body that is open at a byte.
struct OpenBody<'s> {
    at: u64,
    body: Box<dyn Read + Send + 's>,
}

impl Read for StoredFile<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let known = usize::try_from(self.at).ok().and_then(|at| self.head.get(at..)).unwrap_or_default();
        let n = match known.len().min(buf.len()) {
            0 => {
                let body = match self.body.take().filter(|open| open.at == self.at) {
                    Some(open) => open.body,
                    None => {
                        let missing = || Error::corrupt(format!("{} is missing", self.key));
                        self.store.get(&self.key, self.at)?.ok_or_else(missing)?
                    }
                };
                let open = self.body.insert(OpenBody { at: self.at, body });
                let n = open.body.read(buf)?;
                open.at += n as u64;
                n
            }
            n => {
                buf[..n].copy_from_slice(&known[..n]);
                n
            }
        };
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for StoredFile<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        // Nothing is asked for before it is read.
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(_) => None,
        };
        self.at = at.ok_or_else(|| Error::failed(format!("{} has no place {to:?}", self.key)))?;
        Ok(self.at)
    }
}

fn no_identity(recipients: &str) -> Error {
    let e = Error::usage(format!("it is encrypted to {recipients}")).because(NoIdentity);
    e.hint("give --identity FILE, or TOBAN_IDENTITY, or the credential age_identity")
}

/// The cause of an error of reading what is encrypted.
#[derive(Clone, Copy, Debug)]
pub struct NoIdentity;

impl NoIdentity {
    /// Whether it is below `e`.
    pub fn caused(e: &Error) -> bool {
        std::iter::successors(std::error::Error::source(e), |e| (*e).source())
            .any(<dyn std::error::Error>::is::<NoIdentity>)
    }
}

impl std::fmt::Display for NoIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no identity is given")
    }
}

impl std::error::Error for NoIdentity {}

/// A store with its [`Encryption`].
pub struct EncryptedStore(Encryption);

impl EncryptedStore {
    /// `inner`, whose content is encrypted to `recipients` and read by `identities`.
    pub fn new(
        inner: Arc<dyn Store>,
        recipients: Option<Recipients>,
        identities: Option<Arc<Identities>>,
    ) -> EncryptedStore {
        let (headers, asked) = (Mutex::default(), Mutex::default());
        EncryptedStore(Encryption { store: inner, recipients, identities, headers, asked })
    }

    /// The first answer for the names under which content may lie.
    fn find_either<T>(&self, key: &Key, ask: impl Fn(&Key) -> Result<Option<T>>) -> Result<Option<T>> {
        if key.is_plain() || key.is_encrypted() {
            return ask(key);
        }
        let encrypted = key.encrypted()?;
        let (first, second) = match self.0.expects_encrypted() {
            true => (&encrypted, key),
            false => (key, &encrypted),
        };
        ask(first)?.map_or_else(|| ask(second), |found| Ok(Some(found)))
    }
}

impl Store for EncryptedStore {
    fn put(&self, key: &Key, body: &mut dyn Read, attrs: &Attrs) -> Result<Stored> {
        if key.is_plain() {
            return self.0.store.put(key, body, attrs);
        }
        if key.is_encrypted() {
            if self.0.recipients.is_some() {
                self.0.apply_rules(key)?;
            }
            // What is named so must be so, wherever it comes from: a copy from another repository, a pipe of ours.
            let mut first = Vec::new();
            body.take(MAGIC.len() as u64)
                .read_to_end(&mut first)
                .doing(|| format!("read what becomes {key}"))?;
            if first != MAGIC {
                return Err(Error::corrupt(format!("what becomes {key} is no age file")));
            }
            return self.0.store.put(key, &mut first.chain(body), attrs);
        }
        self.0.apply_rules(key)?;
        match &self.0.recipients {
            None => self.0.store.put(key, body, attrs),
            Some(recipients) => self.0.store.put(&key.encrypted()?, &mut recipients.encrypt(body)?, attrs),
        }
    }

    fn get(&self, key: &Key, from: u64) -> Result<Option<Box<dyn Read + Send + '_>>> {
        self.find_either(key, |name| match name.is_encrypted() && name != key {
            true => self.0.get_content(name, from),
            false => self.0.store.get(name, from),
        })
    }

    fn stat(&self, key: &Key) -> Result<Option<Object>> {
        self.find_either(key, |name| self.0.store.stat(name))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        self.0.store.list(prefix)
    }

    fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        self.0.store.folders(prefix)
    }

    fn remove(&self, key: &Key) -> Result<()> {
        self.0.store.remove(key)
    }

    fn sweep(&self, older_than: Duration) -> Result<usize> {
        self.0.store.sweep(older_than)
    }

    fn lock(&self) -> Option<Lock> {
        self.0.store.lock()
    }

    fn locked_until(&self, key: &Key) -> Result<Option<Timestamp>> {
        self.find_either(key, |name| self.0.store.locked_until(name))
    }

    /// Of content both objects that may hold it.
    fn renew_lock(&self, key: &Key) -> Result<bool> {
        let plain = self.0.store.renew_lock(key)?;
        if plain || key.is_plain() || key.is_encrypted() || self.0.store.lock().is_none() {
            return Ok(plain);
        }
        self.0.store.renew_lock(&key.encrypted()?)
    }

    fn removal_rules(&self) -> Result<RemovalRules> {
        self.0.store.removal_rules()
    }

    fn local_path(&self, key: &Key) -> Option<PathBuf> {
        self.0.store.local_path(key)
    }

    fn encryption(&self) -> Option<&Encryption> {
        Some(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::store::Dir;

    struct Lab {
        dir: tempfile::TempDir,
        recipients: Recipients,
        identities: Arc<Identities>,
    }

    fn lab() -> Lab {
        let dir = tempfile::tempdir().expect("a folder");
        let (key, public) = (dir.path().join("key"), dir.path().join("public"));
        std::fs::write(&public, testkit::AgeKey::make(&key).recipient).expect("written");
        let recipients = Recipients::read_file(&public).expect("recipients");
        let identities = Arc::new(Identities::read_file(&key).expect("an identity"));
        Lab { dir, recipients, identities }
    }

    impl Lab {
        fn store(&self, encrypts: bool, decrypts: bool) -> EncryptedStore {
            let root = self.dir.path().join("repo").display().to_string();
            let (recipients, identities) = (&self.recipients, &self.identities);
            EncryptedStore::new(
                Arc::new(Dir::open(&root).expect("a store")),
                encrypts.then(|| recipients.clone()),
                decrypts.then(|| Arc::clone(identities)),
            )
        }
    }

    fn key(name: &str) -> Key {
        name.parse().expect("a key")
    }

    fn read(store: &dyn Store, name: &str, from: u64) -> Result<Option<Vec<u8>>> {
        let Some(mut body) = store.get(&key(name), from)? else { return Ok(None) };
        let mut bytes = Vec::new();
        body.read_to_end(&mut bytes).doing(|| "read".into())?;
        Ok(Some(bytes))
    }

    fn put(store: &dyn Store, name: &str, body: &[u8]) -> Result<Stored> {
        store.put(&key(name), &mut &body[..], &Attrs::new())
    }

    #[test]
    fn content_is_encrypted_and_what_describes_it_is_not() {
        let lab = lab();
        let content: Vec<u8> = (0..200_000_u32).flat_map(u32::to_ne_bytes).collect();
        let writer = lab.store(true, false);
        assert_eq!(put(&writer, "main/7/wal/x", &content).expect("put"), Stored::New);
        assert_eq!(put(&writer, "main/7/wal/x", &content).expect("again"), Stored::Exists);
        put(&writer, "main/7/cluster.json", b"{}").expect("put");
        let names: Vec<String> =
            writer.list("").expect("listed").into_iter().map(|o| o.key.to_string()).collect();
        assert_eq!(names, ["main/7/cluster.json", "main/7/wal/x.age", "main/repository.json"]);
        let stored = read(&writer, "main/7/wal/x.age", 0).expect("read").expect("there");
        assert!(stored.starts_with(MAGIC));
        let e = read(&writer, "main/7/wal/x", 0).expect_err("no identity");
        assert!(e.kind() == Kind::Usage && e.chain().contains("no identity is given"), "{e:?}");

        let reader = lab.store(false, true);
        for from in [0, 1, 65_535, 65_536, 70_000, 800_000] {
            let got = read(&reader, "main/7/wal/x", from as u64).expect("read").expect("there");
            assert!(got == content[from..], "from {from}");
        }
        assert_eq!(read(&reader, "main/7/wal/y", 0).expect("asked"), None);
        assert_eq!(
            reader.stat(&key("main/7/wal/x")).expect("asked").expect("there").key.as_str(),
            "main/7/wal/x.age"
        );
        let stranger = lab.store(false, false);
        let e = read(&stranger, "main/7/wal/x", 0).expect_err("absent it is not");
        assert_eq!(e.kind(), Kind::Usage, "{e:?}");
    }

    #[test]
    fn nothing_plain_goes_where_something_encrypted_lies() {
        let lab = lab();
        let forgetful = lab.store(false, false);
        put(&forgetful, "main/7/wal/early", b"plain").expect("nothing is encrypted yet");
        put(&lab.store(true, false), "main/7/wal/x", b"secret").expect("put");
        for store in [lab.store(false, false), lab.store(false, true)] {
            let e = put(&store, "main/7/wal/late", b"plain").expect_err("refused");
            assert!(e.kind() == Kind::Usage && e.chain().contains("requires encryption"), "{e:?}");
            put(&store, "main/7/intent/a.json", b"{}").expect("what describes is plain");
            put(&store, "other/7/wal/late", b"plain").expect("another server's");
        }
        let e =
            put(&lab.store(true, false), "main/7/wal/z.age", b"plain, and named so").expect_err("refused");
        assert_eq!(e.kind(), Kind::Corrupt, "{e:?}");
        let reader = lab.store(false, true);
        assert_eq!(read(&reader, "main/7/wal/early", 0).expect("read").as_deref(), Some(&b"plain"[..]));
    }
}
