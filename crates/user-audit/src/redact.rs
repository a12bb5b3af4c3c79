//! E-mail addresses as keyed hashes: lists can be joined, nobody is named, and without the key nobody can guess.

use crate::cli::Redact;
use crate::finding::{Access, AuditFinding};
use toban_core::check::{Acceptance, Finding};
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

    /// The finding without addresses.
    pub(crate) fn redact_finding(&self, f: AuditFinding) -> AuditFinding {
        if self.0.is_none() {
            return f;
        }
        let base = f.base;
        let whole = f.personal && base.object.contains('@');
        let base = Finding {
            object: if whole { self.redact_email(&base.object) } else { self.redact_text(&base.object) },
            key: self.redact_text(&base.key),
            text: self.redact_text(&base.text),
            advice: self.redact_text(&base.advice),
            accepted: base.accepted.map(|a| Acceptance {
                reason: self.redact_text(&a.reason),
                owner: self.redact_text(&a.owner),
                until: a.until,
            }),
            ..base
        };
        AuditFinding { base, ..f }
    }

    /// The right without addresses; one that has none any more stays as it is.
    pub(crate) fn redact_access(&self, a: &Access) -> Access {
        Access {
            subject: self.redact_text(&a.subject),
            name: self.redact_name(&a.name),
            path: self.redact_text(&a.path),
            right: a.right.clone(),
            advice: a.advice.clone(),
        }
    }

    /// The name of an account, which may be an address.
    pub(crate) fn redact_name(&self, name: &str) -> String {
        match self.0.is_some() && name.contains('@') {
            true => self.redact_email(name),
            false => name.to_string(),
        }
    }

    /// A text with each word that is an address replaced.
    pub(crate) fn redact_text(&self, text: &str) -> String {
        if self.0.is_none() || !text.contains('@') {
            return text.to_string();
        }
        let between = |c: char| c.is_whitespace() || "/:;,()<>\"'".contains(c);
        let address = |word: &str| word.split_once('@').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty());
        // Only the word goes, and the rest of the sentence stays: a finding must still say what is wrong.
        let words = text.split_inclusive(between).map(|piece| {
            let word = piece.trim_end_matches(between);
            let rest = &piece[word.len()..];
            if address(word) { self.redact_email(word) + rest } else { piece.to_string() }
        });
        words.collect()
    }

    /// The address, or what stands for it.
    pub(crate) fn redact_email(&self, email: &str) -> String {
        match &self.0 {
            None => email.to_string(),
            Some(key) => format!(
                "email-{}",
                &hex(&hmac_sha256(key.reveal().as_bytes(), email.trim().to_lowercase().as_bytes()))[..16]
            ),
        }
    }
}

// A keyed hash and not a plain one: addresses are few and guessable, so that a list of plain hashes is undone by hashing
// a company's directory.
/// HMAC-SHA256 (RFC 2104).
fn hmac_sha256(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; 64];
    // RFC 2104, section 2: a key longer than the block is hashed first, a shorter one filled up with zeros.
    let short = if key.len() > 64 { sha256(key).to_vec() } else { key.to_vec() };
    block[..short.len()].copy_from_slice(&short);
    let with = |pad: u8, rest: &[u8]| sha256(&[&block.map(|b| b ^ pad)[..], rest].concat());
    with(0x5c, &with(0x36, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_loses_its_addresses_and_nothing_else() {
        let redactor = Redactor(Some(Secret::new("key")));
        let anna = redactor.redact_email("Anna@x.org ");
        assert!(anna.starts_with("email-") && anna == redactor.redact_email("anna@x.org"));
        for text in
            ["unused:{}", "user/{}", "the entry of {} ended", "{} → ops, {}", "a@ @b {}.", "{}; (\"{}\")"]
        {
            let shown = redactor.redact_text(&text.replace("{}", "anna@x.org"));
            assert!(!shown.contains("anna"), "{shown}");
            let whole = text.strip_suffix('.').unwrap_or(text);
            assert!(text.ends_with('.') || shown == whole.replace("{}", &anna), "{shown}");
        }
        assert_eq!(Redactor(None).redact_text("anna@x.org"), "anna@x.org");
    }

    /// RFC 4231, test cases 2 and 6.
    #[test]
    fn the_standards_own_examples() {
        let seen = hex(&hmac_sha256(b"Jefe", b"what do ya want for nothing?"));
        assert_eq!(seen, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let seen = hex(&hmac_sha256(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First"));
        assert_eq!(seen, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }
}
