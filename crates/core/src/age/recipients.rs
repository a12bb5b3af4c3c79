//! Whom files are encrypted to.

use super::file::Encrypted;
use crate::error::{Context, Error, Result};
use crate::sum::sha256;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// One public key.
#[derive(Clone, Debug)]
pub struct Recipient {
    name: String,
    key: PublicKey,
}

#[derive(Clone, Debug)]
enum PublicKey {
    Native(age::x25519::Recipient),
    Ssh(age::ssh::Recipient),
}

impl Recipient {
    /// A line of a file of recipients: `age1…`, or a key of OpenSSH as `ssh-ed25519 AAAA…`.
    ///
    /// # Errors
    /// Usage for anything else. It does not say what the line holds: that may be a private key, put here by mistake.
    pub fn parse(line: &str) -> Result<Recipient> {
        let native = line.parse().map(PublicKey::Native).ok();
        let key = native.or_else(|| line.parse().map(PublicKey::Ssh).ok());
        let key = key.ok_or_else(|| explain_line(line))?;
        let name = match &key {
            PublicKey::Native(key) => key.to_string(),
            PublicKey::Ssh(key) => name_ssh(key),
        };
        Ok(Recipient { name, key })
    }

    fn wrapper(&self) -> &dyn age::Recipient {
        match &self.key {
            PublicKey::Native(key) => key,
            PublicKey::Ssh(key) => key,
        }
    }
}

/// Why a line is no recipient.
fn explain_line(line: &str) -> Error {
    let is_private = line.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") || line.contains("PRIVATE KEY");
    match is_private {
        true => Error::usage("it is an identity, the private key").hint(
            "it must not lie on the server: put the line that begins with age1 or ssh- here, and make a new identity \
             if others could read this file",
        ),
        false => Error::usage("it is no recipient").hint(
            "a recipient is age1…, as `age-keygen` prints it, or ssh-ed25519 AAAA…, as in a file .pub",
        ),
    }
}

/// The kind and fingerprint, as `ssh-keygen -l` prints it.
pub(super) fn name_ssh(key: &age::ssh::Recipient) -> String {
    let text = key.to_string();
    let (kind, blob) = text.split_once(' ').unwrap_or((&text, ""));
    let blob = BASE64_STANDARD.decode(blob).unwrap_or_default();
    format!("{kind} SHA256:{}", BASE64_STANDARD_NO_PAD.encode(sha256(&blob)))
}

/// Whom everything in a repository is encrypted to: at least one, each once, in the order of their names.
#[derive(Clone, Debug)]
pub struct Recipients(Vec<Recipient>);

impl PartialEq for Recipients {
    fn eq(&self, other: &Recipients) -> bool {
        self.names() == other.names()
    }
}

impl Recipients {
    /// Reads a file of recipients: one a line, `#` begins a comment.
    ///
    /// # Errors
    /// Usage when it cannot be read, holds anything else, or none.
    pub fn read_file(path: &Path) -> Result<Recipients> {
        let doing = || format!("read the recipients in {}", path.display());
        let text = std::fs::read_to_string(path).doing(doing).map_err(|e| e.kind_as(crate::Kind::Usage))?;
        let lines = text.lines().map(str::trim).enumerate();
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let parse =
            |(n, line): (usize, &str)| Recipient::parse(line).doing(|| format!("read line {}", n + 1));
        let parsed = lines.map(parse).collect::<Result<Vec<_>>>().doing(doing)?;
        let each: BTreeMap<String, Recipient> = parsed.into_iter().map(|r| (r.name.clone(), r)).collect();
        if each.is_empty() {
            return Err(Error::usage(format!("{} holds no recipient", path.display())));
        }
        Ok(Recipients(each.into_values().collect()))
    }

    /// Their names: a key of age itself, of one of OpenSSH its fingerprint.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|recipient| recipient.name.clone()).collect()
    }

    /// The age file that what `inner` reads becomes, by a file key of its own.
    ///
    /// # Errors
    /// When a recipient's key cannot be encrypted to.
    pub fn encrypt<R: Read>(&self, inner: R) -> Result<Encrypted<R>> {
        let encryptor = age::Encryptor::with_recipients(self.0.iter().map(Recipient::wrapper));
        Encrypted::new(inner, encryptor.doing(|| "encrypt".into())?)
    }
}
