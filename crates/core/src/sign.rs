//! Signatures by ssh-keygen: everybody has it, and checks them without us. They are OpenSSH's (PROTOCOL.sshsig); the
//! namespace of each is the tool's name.

use crate::config::Config;
use crate::error::{Context, Error, Result};
use crate::{durable, secret};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::NamedTempFile;

/// The credential of systemd that holds the key.
const CREDENTIAL: &str = "sign_key";

/// What ssh-keygen puts behind the name of what it signs.
pub const SIGNATURE_SUFFIX: &str = ".sig";

/// How flags name the key.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct SignArgs {
    /// Sign what is proven with this private SSH key, by ssh-keygen [default: sign_key of the configuration, else the
    /// credential sign_key]
    #[arg(long, value_name = "FILE")]
    pub sign_key: Option<PathBuf>,
}

/// Who signs.
#[derive(Debug)]
pub struct Signer {
    key: PathBuf,
    namespace: &'static str,
    /// The copy of a credential that ssh-keygen would not take as it is.
    _copy: Option<NamedTempFile>,
}

impl SignArgs {
    /// Who signs for a tool, if anybody is to: by the flag, the configuration, or the credential.
    ///
    /// # Errors
    /// When the key cannot sign, so that this is known before the work and not after it.
    pub fn find_signer(&self, config: &Config, tool: &'static str) -> Result<Option<Signer>> {
        let named = self.sign_key.clone().or_else(|| config.sign_key.clone());
        let signer = match (named, secret::credential(CREDENTIAL)) {
            (Some(key), _) => Signer { key, namespace: tool, _copy: None },
            (None, Some(key)) => Signer::of_credential(&key, tool)?,
            (None, None) => return Ok(None),
        };
        signer.sign(b"")?;
        Ok(Some(signer))
    }
}

impl Signer {
    /// A credential may be readable for its group (systemd.exec(5)), and ssh-keygen takes no such key: a copy of mode 0600
    /// stands in for it.
    fn of_credential(key: &Path, namespace: &'static str) -> Result<Signer> {
        let doing = || format!("copy {}", key.display());
        let text = std::fs::read(key).doing(doing)?;
        let mut copy = NamedTempFile::new().doing(doing)?;
        copy.write_all(&text).doing(doing)?;
        Ok(Signer { key: copy.path().into(), namespace, _copy: Some(copy) })
    }

    /// The signature of `bytes`, as ssh-keygen writes it into a file.
    ///
    /// # Errors
    /// When the key cannot be used, in ssh-keygen's words.
    pub fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        let mut command = Command::new("ssh-keygen");
        // The namespace is part of what is signed (PROTOCOL.sshsig): a signature that the same key gave for git or for mail
        // cannot be put beside a proof. What is signed comes by stdin, where a key with a passphrase would ask: it fails.
        command.args(["-q", "-Y", "sign", "-n", self.namespace, "-f"]).arg(&self.key);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let doing = || "run ssh-keygen".to_string();
        let hint = "it comes with OpenSSH's client (openssh-client)";
        let mut child = command.spawn().doing(doing).map_err(|e| e.hint(hint))?;
        // It may end before it reads, for want of a key; what it says then is the error.
        let _ = child.stdin.take().map(|mut stdin| stdin.write_all(bytes));
        let done = child.wait_with_output().doing(doing)?;
        if !done.status.success() || done.stdout.is_empty() {
            let why = format!("{} does not sign: {}", self.key.display(), first_line(&done));
            return Err(Error::failed(why).hint("sign_key is a private SSH key without a passphrase"));
        }
        Ok(done.stdout)
    }

    /// Signs the file `path`: its signature is the file `path.sig`, with its permissions `mode`.
    ///
    /// # Errors
    /// Those of [`Signer::sign`] and of the file system.
    pub fn sign_file(&self, path: &Path, mode: u32) -> Result<()> {
        let bytes = std::fs::read(path).doing(|| format!("read {}", path.display()))?;
        let signature = self.sign(&bytes)?;
        let mut name = path.as_os_str().to_owned();
        name.push(SIGNATURE_SUFFIX);
        durable::replace(Path::new(&name), mode, |w| {
            w.write_all(&signature).doing(|| "write the signature".into())
        })
    }
}

fn first_line(done: &Output) -> String {
    let text = [&done.stderr[..], &done.stdout].concat();
    String::from_utf8_lossy(&text).lines().next().unwrap_or("it did not say why").trim().to_string()
}
