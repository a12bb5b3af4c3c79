//! A private key on disk: whether it is the certificate's, and who may read it. Its secret never leaves here.

use super::der;
use crate::facts::{Cert, fingerprint, modulus_bits};
use crate::finding::Finding;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

/// A private key as far as it concerns a certificate.
#[derive(Clone, PartialEq)]
pub(crate) enum Secret {
    /// Known by the hash of its SubjectPublicKeyInfo.
    Public(String),
    /// RSA, known by its modulus.
    Modulus(Vec<u8>),
    Encrypted,
    Unreadable,
}

/// A key and where it lies.
#[derive(Clone, PartialEq)]
pub(crate) struct StoredKey {
    pub(crate) path: PathBuf,
    pub(crate) secret: Secret,
}

/// What `der` is a key to; the label tells its form.
pub(crate) fn read(label: &str, der: &[u8]) -> Secret {
    if let Some((modulus, _)) = der::rsa_numbers(der) {
        return Secret::Modulus(strip(&modulus));
    }
    let key = match label {
        "RSA PRIVATE KEY" => PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(der.to_vec())),
        "EC PRIVATE KEY" => PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(der.to_vec())),
        _ => PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der.to_vec())),
    };
    let signing = toban_core::pg::tls::provider().key_provider.load_private_key(key);
    let spki = signing.ok().and_then(|k| k.public_key().map(|p| fingerprint(p.as_ref())));
    spki.map_or(Secret::Unreadable, Secret::Public)
}

fn strip(number: &[u8]) -> Vec<u8> {
    number.iter().copied().skip_while(|b| *b == 0).collect()
}

/// What is wrong with the key for this certificate.
pub(crate) fn judge(key: &StoredKey, cert: &Cert) -> Vec<Finding> {
    let shown = key.path.display();
    let mut found: Vec<Finding> = mode(&key.path).into_iter().collect();
    let fits = match &key.secret {
        Secret::Public(hash) => Some(*hash == cert.key.spki_sha256),
        Secret::Modulus(modulus) => Some(certificate_modulus(cert).is_some_and(|m| m == *modulus)),
        Secret::Encrypted => {
            found.push(Finding::info("key-encrypted", format!("the key in {shown} is encrypted")));
            None
        }
        Secret::Unreadable => {
            found.push(Finding::warning("key-unreadable", format!("the key in {shown} cannot be read")));
            None
        }
    };
    if fits == Some(false) {
        let says = format!("the private key in {shown} is not this certificate's");
        found.push(Finding::critical("key-mismatch", says).advise("a server with both does not start"));
    }
    found
}

/// Wider than the owner, and the group by reading.
fn mode(path: &Path) -> Option<Finding> {
    let mode = path.metadata().ok()?.mode() & 0o777;
    (mode & 0o037 != 0).then(|| {
        let says = format!("the private key in {} can be read by others (mode {mode:o})", path.display());
        Finding::warning("key-mode", says).advise(format!("chmod 600 {}", path.display()))
    })
}

fn certificate_modulus(cert: &Cert) -> Option<Vec<u8>> {
    let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(&cert.der).ok()?;
    match parsed.public_key().parsed().ok()? {
        PublicKey::RSA(rsa) if modulus_bits(rsa.modulus) > 0 => Some(strip(rsa.modulus)),
        _ => None,
    }
}
