//! Keys and signatures of OpenSSH.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A key that signs, and the file by which its signatures are known as those of `audit@x.org`.
pub struct SigningKey {
    pub key: PathBuf,
    pub allowed_signers: PathBuf,
}

impl SigningKey {
    /// A new key in `folder`.
    ///
    /// # Panics
    /// Without ssh-keygen.
    pub fn make(folder: &Path, name: &str) -> SigningKey {
        let key = folder.join(name);
        let mut made = Command::new("ssh-keygen");
        made.args(["-q", "-t", "ed25519", "-N", "", "-C", "audit@x.org", "-f"]).arg(&key);
        assert!(made.status().expect("ssh-keygen is missing; run: cargo xtask setup").success());
        let public = fs::read_to_string(folder.join(format!("{name}.pub"))).expect("the public key");
        let allowed_signers = folder.join(format!("{name}.signers"));
        fs::write(&allowed_signers, format!("audit@x.org {public}")).expect("write");
        SigningKey { key, allowed_signers }
    }

    /// Whether `FILE.sig` is this key's signature of the file, for a tool.
    ///
    /// # Panics
    /// Without ssh-keygen, or when the file is not there.
    pub fn signed(&self, file: &Path, tool: &str) -> bool {
        let mut verify = Command::new("ssh-keygen");
        verify.args(["-Y", "verify", "-I", "audit@x.org", "-n", tool, "-f"]).arg(&self.allowed_signers);
        verify.arg("-s").arg(format!("{}.sig", file.display()));
        verify.stdin(File::open(file).expect("what is signed")).stdout(Stdio::null()).stderr(Stdio::null());
        verify.status().expect("run ssh-keygen").success()
    }
}
