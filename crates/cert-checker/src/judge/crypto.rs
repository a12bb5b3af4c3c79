//! Algorithms, keys and forms that no certificate should have any more.

use crate::facts::{Cert, Oddity};
use crate::finding::Finding;

/// What is wrong with the signature on it; a root's own signature proves nothing, so nobody asks.
pub(super) fn signature(cert: &Cert, who: &str) -> Option<Finding> {
    let name = cert.signature.to_ascii_lowercase();
    let says = format!("{who} is signed with {}", cert.signature);
    if name.starts_with("md5") || name.starts_with("md2") {
        return Some(Finding::critical("signature-md5", says).advise("issue it anew with SHA-256"));
    }
    let sha1 = name.contains("sha1");
    sha1.then(|| Finding::critical("signature-sha1", says).advise("issue it anew with SHA-256"))
}

/// What is wrong with its public key.
pub(super) fn key(cert: &Cert, who: &str) -> Option<Finding> {
    let key = &cert.key;
    let title = key.title();
    let weak = |says: String| Some(Finding::critical("key-weak", says).advise("make a new key"));
    match (key.kind.as_str(), key.bits) {
        ("RSA", ..2040) => weak(format!("{who} has a key of {title} bits: 2048 is the least")),
        ("RSA", bits) if !bits.is_multiple_of(64) => {
            Some(Finding::warning("key-odd", format!("{who} has a key of {title} bits")))
        }
        ("RSA" | "Ed25519" | "Ed448", _) => None,
        ("EC", _) if key.curve.as_deref() == Some("explicit") => {
            weak(format!("{who} has a key on a curve of explicit parameters, which clients refuse"))
        }
        ("EC", 1..224) => weak(format!("{who} has a key on {title}: P-256 is the least")),
        ("EC", 224..) => None,
        ("DSA", _) => weak(format!("{who} has a DSA key, which no client takes any more")),
        _ => Some(Finding::info("key-unknown", format!("{who} has a key of the algorithm {title}"))),
    }
}

/// What RFC 5280 wants otherwise, of the oddities that are `asked` for.
pub(super) fn form(cert: &Cert, who: &str, asked: impl Fn(&Oddity) -> bool) -> Vec<Finding> {
    let mut found: Vec<Finding> = cert.oddities.iter().filter(|o| asked(o)).map(|o| odd(*o, who)).collect();
    if cert.version < 3 {
        let says = format!("{who} is of version {}, without extensions", cert.version);
        found.push(Finding::warning("certificate-odd", says));
    }
    found
}

fn odd(oddity: Oddity, who: &str) -> Finding {
    let says = match oddity {
        Oddity::SerialNegative => "has a negative serial number",
        Oddity::SerialZero => "has the serial number 0",
        Oddity::SerialLong => "has a serial number of more than 20 bytes",
        Oddity::TrailingBytes => "is followed by bytes that belong to nothing",
        Oddity::DuplicateExtension => "has the same extension twice",
        Oddity::UnreadableExtension => "has an extension that cannot be read",
        Oddity::UnknownCriticalExtension => "has a critical extension that is not known here",
        Oddity::SignatureAlgorithmsDiffer => "names two different signature algorithms",
    };
    let text = format!("{who} {says}");
    match oddity {
        Oddity::DuplicateExtension
        | Oddity::UnreadableExtension
        | Oddity::UnknownCriticalExtension
        | Oddity::SignatureAlgorithmsDiffer => Finding::critical("certificate-odd", text),
        _ => Finding::warning("certificate-odd", text),
    }
}
