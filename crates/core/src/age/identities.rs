//! Private keys, and what they open.

use super::MAGIC;
use super::file::Decrypted;
use super::recipients::name_ssh;
use crate::error::{Context, Error, Result};
use crate::secret::Secret;
use crate::sync::lock;
use crate::terminal;
use age::secrecy::SecretString;
use age::{DecryptError, Decryptor};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// What the first line of a private key of OpenSSH holds.
const OPENSSH: &str = "PRIVATE KEY-----";

/// One private key, and the name of its recipient.
struct Identity {
    name: String,
    key: Box<dyn age::Identity + Send + Sync>,
}

/// The private keys of one file. One that has a passphrase is opened, and its passphrase asked for, when the first of them
/// is needed.
pub struct Identities {
    path: PathBuf,
    bytes: Vec<u8>,
    parsed: Mutex<Option<Arc<Vec<Identity>>>>,
}

impl Identities {
    /// Reads a file of identities: of `age-keygen`, the same behind a passphrase (`age -p`), or a private key of OpenSSH.
    ///
    /// # Errors
    /// Usage when it cannot be read, others may read it, or it holds no identity.
    pub fn read_file(path: &Path) -> Result<Identities> {
        let doing = || format!("read the identity in {}", path.display());
        let bytes = std::fs::read(path).doing(doing).map_err(|e| e.kind_as(crate::Kind::Usage))?;
        let identities = Identities { path: path.into(), bytes, parsed: Mutex::default() };
        // A passphrase is asked for where it is needed; all else is found out now, and not in the middle of a restore.
        if !identities.is_protected() {
            Secret::from_file(path).map_err(|e| e.kind_as(crate::Kind::Usage))?;
            identities.parsed()?;
        }
        Ok(identities)
    }

    /// Where they are from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn is_protected(&self) -> bool {
        self.bytes.starts_with(MAGIC)
    }

    /// The names of the recipients whose identities these are.
    ///
    /// # Errors
    /// Usage when the file's passphrase cannot be asked for, or is wrong.
    pub fn names(&self) -> Result<Vec<String>> {
        Ok(self.parsed()?.iter().map(|identity| identity.name.clone()).collect())
    }

    /// The content of an age file; none where no identity opens it.
    ///
    /// # Errors
    /// Corrupt when it is no age file, or its header was changed; those of `file` and of [`Identities::names`].
    pub fn open<R: Read>(&self, file: R) -> Result<Option<Decrypted<R>>> {
        let identities = self.parsed()?;
        let keys = identities.iter().map(|identity| &*identity.key as &dyn age::Identity);
        match Decryptor::new(file).and_then(|file| file.decrypt(keys)) {
            Ok(content) => Ok(Some(Decrypted::new(content))),
            Err(DecryptError::NoMatchingKeys) => Ok(None),
            Err(e) => Err(explain_header(e)),
        }
    }

    fn parsed(&self) -> Result<Arc<Vec<Identity>>> {
        // Held while the passphrase is asked for: of several threads one asks.
        let mut parsed = lock(&self.parsed);
        if let Some(identities) = &*parsed {
            return Ok(Arc::clone(identities));
        }
        let read = match self.is_protected() {
            true => self.open_protected().and_then(|text| parse_identities(text.as_bytes())),
            false => parse_identities(&self.bytes),
        };
        let read = read.doing(|| format!("read the identity in {}", self.path.display()))?;
        Ok(Arc::clone(parsed.insert(Arc::new(read))))
    }

    /// The file's text, once its passphrase is known.
    fn open_protected(&self) -> Result<String> {
        let file = Decryptor::new(&self.bytes[..]).map_err(explain_header)?;
        if !file.is_scrypt() {
            let e = Error::usage("it is an age file, and none with a passphrase");
            return Err(e.hint("give the file that `age-keygen` made, or that file encrypted by `age -p`"));
        }
        let passphrase = terminal::ask_secret(&format!("Passphrase of {}: ", self.path.display()))?;
        let key = age::scrypt::Identity::new(SecretString::from(passphrase.reveal()));
        let opened = file.decrypt(std::iter::once(&key as &dyn age::Identity));
        let wrong = |e| Error::usage("the passphrase is another").because(e);
        let mut text = String::new();
        opened.map_err(wrong)?.read_to_string(&mut text).doing(|| "decrypt it".into())?;
        Ok(text)
    }
}

/// Why a file has no content for anybody.
fn explain_header(e: DecryptError) -> Error {
    match e {
        DecryptError::Io(e) if e.get_ref().is_some() && e.kind() != std::io::ErrorKind::InvalidData => {
            Error::caused_by("read the header", e)
        }
        e => Error::corrupt("it is no age file, or its header was changed").because(e),
    }
}

/// The identities in the text of a file.
fn parse_identities(bytes: &[u8]) -> Result<Vec<Identity>> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::usage("it is no text"))?;
    if text.lines().next().is_some_and(|line| line.ends_with(OPENSSH)) {
        return Ok(vec![parse_openssh(text)?]);
    }
    let numbered = text.lines().map(str::trim).enumerate();
    let lines = numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let identities =
        lines.map(|(number, line)| parse_native(line, number + 1)).collect::<Result<Vec<_>>>()?;
    match identities.is_empty() {
        true => Err(Error::usage("it holds no identity")),
        false => Ok(identities),
    }
}

/// An error names the number of the line alone: what it holds may be a key, mistyped.
fn parse_native(line: &str, number: usize) -> Result<Identity> {
    let parsed: Result<age::x25519::Identity, _> = line.parse();
    let key = parsed.map_err(|_| match line.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
        true => Error::usage(format!("line {number} begins as an identity, and its checksum does not fit"))
            .hint("look for a mistyped character"),
        false => Error::usage(format!("line {number} is no identity")),
    })?;
    Ok(Identity { name: key.to_public().to_string(), key: Box::new(key) })
}

fn parse_openssh(text: &str) -> Result<Identity> {
    let refuse = |why: &str| Error::usage(format!("it is a private key of OpenSSH {why}"));
    let key = age::ssh::Identity::from_buffer(text.as_bytes(), None);
    match key.map_err(|e| refuse("that does not read").because(e))? {
        age::ssh::Identity::Encrypted(_) => {
            let e = refuse("with a passphrase");
            Err(e.hint("an identity of age can have one: `age-keygen | age -p`"))
        }
        key => {
            let recipient = age::ssh::Recipient::try_from(key.clone());
            let recipient = recipient.map_err(|_| refuse("of a kind that opens nothing"))?;
            Ok(Identity { name: name_ssh(&recipient), key: Box::new(key) })
        }
    }
}
