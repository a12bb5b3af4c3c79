//! What files hold, whatever their form: certificates, private keys, revocation lists, and what could not be read of it.

pub(crate) mod containers;
pub(crate) mod key;
pub(crate) mod pem;
pub(crate) mod walk;

use crate::facts::{CertFacts, UnixSeconds, format_name, shorten};
use crate::rules;
use containers::{JavaKeystore, read_element, read_elements, read_java_keystore, read_pkcs7, read_rsa_key};
use key::{KeySecret, StoredKey, read_key};
use p12_keystore::Pkcs12Archive;
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::SystemTime;
use toban_core::check::Finding;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

/// No file of certificates is larger.
const LARGEST: u64 = 10 << 20;

/// What a file holds.
#[derive(Clone, Default)]
pub(crate) struct StoredFile {
    pub(crate) certs: Vec<CertFacts>,
    pub(crate) keys: Vec<StoredKey>,
    pub(crate) lists: Vec<StoredList>,
    pub(crate) faults: Vec<Finding>,
    pub(crate) modified: Option<SystemTime>,
}

/// A revocation list, as far as its freshness goes.
#[derive(Clone)]
pub(crate) struct StoredList {
    pub(crate) issuer: String,
    pub(crate) this_update: UnixSeconds,
    /// None in a list whose issuer promised no next one.
    pub(crate) next_update: Option<UnixSeconds>,
}

impl StoredList {
    fn read_der(der: &[u8]) -> Option<StoredList> {
        let (_, list) = CertificateRevocationList::from_der(der).ok()?;
        Some(StoredList {
            issuer: format_name(list.issuer().as_raw())?,
            this_update: UnixSeconds(list.last_update().timestamp()),
            next_update: list.next_update().map(|t| UnixSeconds(t.timestamp())),
        })
    }
}

/// Reads `path`; what cannot be read is a finding in the result.
pub(crate) fn read_file(path: &Path, password: &str) -> StoredFile {
    let (bytes, modified) = match read_bytes(path) {
        Ok(read) => read,
        Err(why) => {
            let fault = rules::unknown(&rules::UNREADABLE, format!("{}: {why}", path.display()));
            return StoredFile { faults: vec![fault], ..StoredFile::default() };
        }
    };
    let mut stored = StoredFile { modified, ..StoredFile::default() };
    let blocks = pem::read_blocks(&bytes);
    match blocks.is_empty() {
        true => stored.add_binary(path, &bytes, password),
        false => blocks.iter().for_each(|b| stored.add_block(path, b)),
    }
    stored
}

/// Only a regular file: opening a pipe would wait for ever.
fn read_bytes(path: &Path) -> Result<(Vec<u8>, Option<SystemTime>), String> {
    let meta = path.metadata().map_err(|e| e.to_string())?;
    let kind = meta.file_type();
    // Opening a pipe waits for a writer, and a device may never end.
    if !kind.is_file() {
        let special = kind.is_fifo() || kind.is_socket() || kind.is_char_device() || kind.is_block_device();
        return Err(if special { "no regular file" } else { "a folder that cannot be listed" }.into());
    }
    if meta.len() > LARGEST {
        return Err("larger than 10 MiB".into());
    }
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    Ok((bytes, meta.modified().ok()))
}

impl StoredFile {
    /// Neither a certificate nor a revocation list, and nothing to say why.
    pub(crate) fn is_empty(&self) -> bool {
        self.certs.is_empty() && self.lists.is_empty() && self.faults.is_empty()
    }

    fn add_block(&mut self, path: &Path, block: &pem::Block) {
        let damaged = |why: &str| {
            rules::unknown(
                &rules::DAMAGED,
                format!("{}: {} block: {}", path.display(), shorten(&block.label), shorten(why)),
            )
        };
        match &block.der {
            Err(why) => self.faults.push(damaged(why)),
            Ok(der) if block.is_certificate() => match CertFacts::read_der(der) {
                Ok(cert) => self.certs.push(cert),
                Err(why) => self.faults.push(damaged(&why)),
            },
            Ok(der) if block.is_key() => {
                let secret = if block.encrypted { KeySecret::Encrypted } else { read_key(&block.label, der) };
                self.keys.push(StoredKey { path: path.to_path_buf(), secret });
            }
            Ok(der) if block.label.starts_with("PKCS7") || block.label == "CMS" => {
                let found = read_pkcs7(der).unwrap_or_default();
                self.certs.extend(found.iter().filter_map(|d| CertFacts::read_der(d).ok()));
            }
            Ok(der) if block.is_list() => match StoredList::read_der(der) {
                Some(list) => self.lists.push(list),
                None => self.faults.push(damaged("no revocation list")),
            },
            Ok(_) => {}
        }
    }

    fn add_binary(&mut self, path: &Path, bytes: &[u8], password: &str) {
        // By the bytes, not by the file's name: endings are what administrators choose.
        if let Some(keystore) = read_java_keystore(bytes) {
            return self.add_keystore(path, keystore);
        }
        let Some((outer, _)) = read_element(bytes).filter(|(e, _)| e.tag == 0x30) else { return };
        if let Ok(cert) = CertFacts::read_der(bytes) {
            self.certs.push(cert);
        } else if let Some(found) = read_pkcs7(outer.whole) {
            self.certs.extend(found.iter().filter_map(|d| CertFacts::read_der(d).ok()));
        } else if let Some(list) = StoredList::read_der(bytes) {
            self.lists.push(list);
        } else if is_pkcs12(outer.body) {
            self.add_pkcs12(path, bytes, password);
        } else if read_rsa_key(bytes).is_some() || looks_like_key(outer.body) {
            self.keys.push(StoredKey { path: path.to_path_buf(), secret: read_key("", bytes) });
        }
    }

    fn add_keystore(&mut self, path: &Path, keystore: JavaKeystore) {
        for der in keystore.certs {
            match CertFacts::read_der(&der) {
                Ok(cert) => self.certs.push(cert),
                Err(why) => {
                    let text =
                        format!("{}: a certificate of the keystore: {}", path.display(), shorten(&why));
                    self.faults.push(rules::unknown(&rules::DAMAGED, text));
                }
            }
        }
        let fault = keystore.fault.map(|why| format!("{}: {why}", path.display()));
        self.faults.extend(fault.map(|text| rules::unknown(&rules::DAMAGED, text)));
    }

    fn add_pkcs12(&mut self, path: &Path, bytes: &[u8], password: &str) {
        match Pkcs12Archive::from_pkcs12(bytes, password) {
            Ok(archive) => {
                let certs = archive.certs.iter().map(|bag| bag.cert.as_der());
                self.certs.extend(certs.filter_map(|der| CertFacts::read_der(der).ok()));
                // The leaf first: that one which the key in the store belongs to.
                self.certs.sort_by_key(CertFacts::is_authority);
            }
            Err(e) => {
                let text = format!("{}: PKCS#12: {e}", path.display());
                self.faults.push(
                    rules::unknown(&rules::UNREADABLE, text).advise("give its password with --password-file"),
                );
            }
        }
    }
}

/// PFX: version 3, then a ContentInfo.
fn is_pkcs12(body: &[u8]) -> bool {
    let parts = read_elements(body);
    parts.len() >= 2 && parts[0].tag == 2 && parts[0].body == [3] && parts[1].tag == 0x30
}

/// PKCS#8: a small version, an algorithm, an octet string.
fn looks_like_key(body: &[u8]) -> bool {
    let tags: Vec<u8> = read_elements(body).iter().map(|e| e.tag).collect();
    matches!(tags[..], [2, 0x30, 4, ..] | [2, 4, ..])
}
