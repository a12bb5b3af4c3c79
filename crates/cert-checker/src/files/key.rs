//! A private key on disk: whether it is the certificate's, and who may read it. Its secret never leaves here.

use super::containers::read_rsa_key;
use crate::facts::{CertFacts, fingerprint, strip_zeros};
use crate::rules;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use toban_core::check::Finding;

/// A private key as far as it concerns a certificate.
#[derive(Clone, PartialEq)]
pub(crate) enum KeySecret {
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
    pub(crate) secret: KeySecret,
}

/// What `der` is a key to; the label tells its form.
pub(crate) fn read_key(label: &str, der: &[u8]) -> KeySecret {
    if let Some((modulus, _)) = read_rsa_key(der) {
        return KeySecret::Modulus(strip_zeros(&modulus).to_vec());
    }
    let key = match label {
        "RSA PRIVATE KEY" => PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(der.to_vec())),
        "EC PRIVATE KEY" => PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(der.to_vec())),
        _ => PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der.to_vec())),
    };
    let signing = toban_core::tls::provider().key_provider.load_private_key(key);
    let spki = signing.ok().and_then(|k| k.public_key().map(|p| fingerprint(p.as_ref())));
    spki.map_or(KeySecret::Unreadable, KeySecret::Public)
}

/// What is wrong with the key for this certificate.
pub(crate) fn judge_stored_key(key: &StoredKey, cert: &CertFacts) -> Vec<Finding> {
    let shown = key.path.display();
    let mut found: Vec<Finding> = judge_mode(&key.path).into_iter().collect();
    // By public halves: the secret itself is not needed, and leaves this function as a hash or a modulus.
    let fits = match &key.secret {
        KeySecret::Public(hash) => Some(*hash == cert.key.spki_sha256),
        KeySecret::Modulus(modulus) => Some(!modulus.is_empty() && *modulus == cert.key.modulus),
        KeySecret::Encrypted => {
            found.push(rules::info(&rules::KEY_ENCRYPTED, format!("the key in {shown} is encrypted")));
            None
        }
        KeySecret::Unreadable => {
            found.push(rules::warning(&rules::KEY_UNREADABLE, format!("the key in {shown} cannot be read")));
            None
        }
    };
    if fits == Some(false) {
        let text = format!("the private key in {shown} is not this certificate's");
        found.push(rules::critical(&rules::KEY_MISMATCH, text));
    }
    found
}

/// Wider than the owner, and the group by reading.
fn judge_mode(path: &Path) -> Option<Finding> {
    let mode = path.metadata().ok()?.mode() & 0o777;
    (mode & 0o037 != 0).then(|| {
        let text = format!("the private key in {} can be read by others (mode {mode:o})", path.display());
        rules::warning(&rules::KEY_MODE, text).advise(format!("chmod 600 {}", path.display()))
    })
}
