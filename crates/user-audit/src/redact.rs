//! E-mail addresses as keyed hashes: lists can be joined, nobody is named, and without the key nobody can guess.

use crate::cli::Redact;
use toban_core::sum::{hex, sha256};
use toban_core::{Error, Result, Secret};

/// How e-mail addresses are written.
#[derive(Clone, Debug)]
pub(crate) struct Redactor(Option<Secret>);

impl Redactor {
    /// # Errors
    /// Usage when something is to be redacted and there is no key.
    pub(crate) fn new(what: Option<Redact>) -> Result<Redactor> {
        let Some(Redact::Email) = what else { return Ok(Redactor(None)) };
        let key = Secret::find(None, "audit_redact_key", "TOBAN_REDACT_KEY")?;
        let missing = || {
            Error::usage("--redact email has no key").hint(
                "put 32 random characters into the credential audit_redact_key, or TOBAN_REDACT_KEY; keep it",
            )
        };
        key.ok_or_else(missing).map(|k| Redactor(Some(k)))
    }

    /// The address, or what stands for it.
    pub(crate) fn email(&self, email: &str) -> String {
        match &self.0 {
            None => email.to_string(),
            Some(key) => format!(
                "email-{}",
                &hex(&hmac(key.reveal().as_bytes(), email.trim().to_lowercase().as_bytes()))[..16]
            ),
        }
    }
}

/// HMAC-SHA256 (RFC 2104).
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; 64];
    let short = if key.len() > 64 { sha256(key).to_vec() } else { key.to_vec() };
    block[..short.len()].copy_from_slice(&short);
    let with = |pad: u8, rest: &[u8]| sha256(&[&block.map(|b| b ^ pad)[..], rest].concat());
    with(0x5c, &with(0x36, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test cases 2 and 6.
    #[test]
    fn the_standards_own_examples() {
        let seen = hex(&hmac(b"Jefe", b"what do ya want for nothing?"));
        assert_eq!(seen, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let seen = hex(&hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First"));
        assert_eq!(seen, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }
}
