//! One file, whatever its form: certificates, private keys, revocation lists, and what could not be read of it.

use super::key::{self, Secret, StoredKey};
use super::{der, jks, pem};
use crate::facts::{Cert, Moment, name_of, short};
use crate::finding::Finding;
use p12_keystore::Pkcs12Archive;
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::SystemTime;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

/// No file of certificates is larger.
const LARGEST: u64 = 10 << 20;

/// What a file holds.
#[derive(Clone, Default)]
pub(crate) struct Stored {
    pub(crate) certs: Vec<Cert>,
    pub(crate) keys: Vec<StoredKey>,
    pub(crate) lists: Vec<StoredList>,
    pub(crate) troubles: Vec<Finding>,
    pub(crate) modified: Option<SystemTime>,
}

/// A revocation list, as far as its freshness goes.
#[derive(Clone)]
pub(crate) struct StoredList {
    pub(crate) issuer: String,
    pub(crate) this_update: Moment,
    /// None in a list that nobody promised to replace.
    pub(crate) next_update: Option<Moment>,
}

impl StoredList {
    fn read(der: &[u8]) -> Option<StoredList> {
        let (_, list) = CertificateRevocationList::from_der(der).ok()?;
        Some(StoredList {
            issuer: name_of(list.issuer().as_raw())?,
            this_update: Moment(list.last_update().timestamp()),
            next_update: list.next_update().map(|t| Moment(t.timestamp())),
        })
    }
}

/// Reads `path`; what cannot be read is a finding in the result.
pub(crate) fn file(path: &Path, password: &str) -> Stored {
    let (bytes, modified) = match contents(path) {
        Ok(read) => read,
        Err(why) => {
            let trouble = Finding::unknown("unreadable", format!("{}: {why}", path.display()));
            return Stored { troubles: vec![trouble], ..Stored::default() };
        }
    };
    let mut stored = Stored { modified, ..Stored::default() };
    let blocks = pem::blocks(&bytes);
    match blocks.is_empty() {
        true => stored.binary(path, &bytes, password),
        false => blocks.iter().for_each(|b| stored.block(path, b)),
    }
    stored
}

/// Only a regular file: opening a pipe would wait for ever.
fn contents(path: &Path) -> Result<(Vec<u8>, Option<SystemTime>), String> {
    let meta = path.metadata().map_err(|e| e.to_string())?;
    let kind = meta.file_type();
    if !kind.is_file() {
        let odd = kind.is_fifo() || kind.is_socket() || kind.is_char_device() || kind.is_block_device();
        return Err(if odd { "no regular file" } else { "a folder that cannot be listed" }.into());
    }
    if meta.len() > LARGEST {
        return Err("larger than 10 MiB".into());
    }
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    Ok((bytes, meta.modified().ok()))
}

impl Stored {
    /// Neither a certificate nor a revocation list, and nothing to say why.
    pub(crate) fn holds_nothing(&self) -> bool {
        self.certs.is_empty() && self.lists.is_empty() && self.troubles.is_empty()
    }

    fn block(&mut self, path: &Path, block: &pem::Block) {
        let damaged = |why: &str| {
            Finding::unknown(
                "damaged",
                format!("{}: {} block: {}", path.display(), short(&block.label), short(why)),
            )
        };
        match &block.der {
            Err(why) => self.troubles.push(damaged(why)),
            Ok(der) if block.is_certificate() => match Cert::read(der) {
                Ok(cert) => self.certs.push(cert),
                Err(why) => self.troubles.push(damaged(&why)),
            },
            Ok(der) if block.is_key() => {
                let secret = if block.encrypted { Secret::Encrypted } else { key::read(&block.label, der) };
                self.keys.push(StoredKey { path: path.to_path_buf(), secret });
            }
            Ok(der) if block.label.starts_with("PKCS7") || block.label == "CMS" => {
                let found = der::pkcs7(der).unwrap_or_default();
                self.certs.extend(found.iter().filter_map(|d| Cert::read(d).ok()));
            }
            Ok(der) if block.label == "X509 CRL" => match StoredList::read(der) {
                Some(list) => self.lists.push(list),
                None => self.troubles.push(damaged("no revocation list")),
            },
            Ok(_) => {}
        }
    }

    fn binary(&mut self, path: &Path, bytes: &[u8], password: &str) {
        if let Some(keystore) = jks::read(bytes) {
            return self.keystore(path, keystore);
        }
        let Some((outer, _)) = der::element(bytes).filter(|(e, _)| e.tag == 0x30) else { return };
        if let Ok(cert) = Cert::read(bytes) {
            self.certs.push(cert);
        } else if let Some(found) = der::pkcs7(outer.whole) {
            self.certs.extend(found.iter().filter_map(|d| Cert::read(d).ok()));
        } else if let Some(list) = StoredList::read(bytes) {
            self.lists.push(list);
        } else if is_pkcs12(outer.body) {
            self.pkcs12(path, bytes, password);
        } else if der::rsa_numbers(bytes).is_some() || looks_like_key(outer.body) {
            self.keys.push(StoredKey { path: path.to_path_buf(), secret: key::read("", bytes) });
        }
    }

    fn keystore(&mut self, path: &Path, keystore: jks::Keystore) {
        for der in keystore.certs {
            match Cert::read(&der) {
                Ok(cert) => self.certs.push(cert),
                Err(why) => {
                    let says = format!("{}: a certificate of the keystore: {}", path.display(), short(&why));
                    self.troubles.push(Finding::unknown("damaged", says));
                }
            }
        }
        let trouble = keystore.trouble.map(|why| format!("{}: {why}", path.display()));
        self.troubles.extend(trouble.map(|says| Finding::unknown("damaged", says)));
    }

    fn pkcs12(&mut self, path: &Path, bytes: &[u8], password: &str) {
        match Pkcs12Archive::from_pkcs12(bytes, password) {
            Ok(archive) => {
                let certs = archive.certs.iter().map(|bag| bag.cert.as_der());
                self.certs.extend(certs.filter_map(|der| Cert::read(der).ok()));
                // The leaf first: that one which the key in the store belongs to.
                self.certs.sort_by_key(Cert::is_authority);
            }
            Err(e) => {
                let says = format!("{}: PKCS#12: {e}", path.display());
                self.troubles.push(
                    Finding::unknown("unreadable", says).advise("give its password with --password-file"),
                );
            }
        }
    }
}

/// PFX: version 3, then a ContentInfo.
fn is_pkcs12(body: &[u8]) -> bool {
    let parts = der::elements(body);
    parts.len() >= 2 && parts[0].tag == 2 && parts[0].body == [3] && parts[1].tag == 0x30
}

/// PKCS#8: a small version, an algorithm, an octet string.
fn looks_like_key(body: &[u8]) -> bool {
    let tags: Vec<u8> = der::elements(body).iter().map(|e| e.tag).collect();
    matches!(tags[..], [2, 0x30, 4, ..] | [2, 4, ..])
}
