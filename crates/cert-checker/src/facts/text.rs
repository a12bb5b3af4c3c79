//! Names, numbers and times as text. Whatever a certificate holds becomes one line of at most a kibibyte.

use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use toban_core::sum::hex;
use x509_parser::prelude::{AlgorithmIdentifier, X509Name};
use x509_parser::x509::AttributeTypeAndValue;

/// No text of a certificate is longer than this in what we write; what is cut ends in `…`.
const LONGEST: usize = 1024;

/// SHA-256, in hexadecimal digits.
pub(crate) fn fingerprint(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// `C=DE, O=Example, CN=example.org`; `-` when it is empty.
pub(super) fn format_subject(name: &X509Name<'_>) -> String {
    let parts: Vec<String> = name.iter_attributes().map(format_attribute).collect();
    if parts.is_empty() { "-".into() } else { shorten(&parts.join(", ")) }
}

/// The text of a DER name.
pub(crate) fn format_name(der: &[u8]) -> Option<String> {
    use x509_parser::prelude::FromDer;
    X509Name::from_der(der).ok().map(|(_, parsed)| format_subject(&parsed))
}

pub(super) fn common_names(name: &X509Name<'_>) -> Vec<String> {
    name.iter_common_name().map(|a| shorten(&attribute_text(a))).collect()
}

fn format_attribute(a: &AttributeTypeAndValue<'_>) -> String {
    let oid = a.attr_type().to_id_string();
    let known = x509_parser::objects::oid2abbrev(a.attr_type(), x509_parser::objects::oid_registry());
    format!("{}={}", known.map_or(oid, String::from), attribute_text(a))
}

/// The text of a value, whatever its string type; bytes that are no UTF-8 become `U+FFFD`.
fn attribute_text(a: &AttributeTypeAndValue<'_>) -> String {
    match a.as_str() {
        Ok(text) => text.to_string(),
        Err(_) if a.attr_value().tag().0 == BMP_STRING => decode_utf16(a.as_slice()),
        Err(_) => String::from_utf8_lossy(a.as_slice()).into_owned(),
    }
}

const BMP_STRING: u32 = 30;

fn decode_utf16(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes.chunks_exact(2).map(|p| u16::from_be_bytes([p[0], p[1]])).collect();
    String::from_utf16_lossy(&units)
}

/// At most [`LONGEST`] bytes of `text`.
pub(crate) fn shorten(text: &str) -> String {
    match text.len() > LONGEST {
        false => text.to_string(),
        true => format!("{}…", &text[..text.floor_char_boundary(LONGEST)]),
    }
}

/// The signature algorithm's usual name, else its object identifier.
pub(super) fn algorithm_name(a: &AlgorithmIdentifier<'_>) -> String {
    let oid = a.algorithm.to_id_string();
    let known = [
        ("1.2.840.113549.1.1.2", "md2WithRSAEncryption"),
        ("1.2.840.113549.1.1.4", "md5WithRSAEncryption"),
        ("1.2.840.113549.1.1.5", "sha1WithRSAEncryption"),
        ("1.3.14.3.2.29", "sha1WithRSA"),
        ("1.2.840.113549.1.1.10", "RSASSA-PSS"),
        ("1.2.840.113549.1.1.11", "sha256WithRSAEncryption"),
        ("1.2.840.113549.1.1.12", "sha384WithRSAEncryption"),
        ("1.2.840.113549.1.1.13", "sha512WithRSAEncryption"),
        ("1.2.840.10040.4.3", "dsa-with-SHA1"),
        ("2.16.840.1.101.3.4.3.2", "dsa-with-SHA256"),
        ("1.2.840.10045.4.1", "ecdsa-with-SHA1"),
        ("1.2.840.10045.4.3.2", "ecdsa-with-SHA256"),
        ("1.2.840.10045.4.3.3", "ecdsa-with-SHA384"),
        ("1.2.840.10045.4.3.4", "ecdsa-with-SHA512"),
        ("1.3.101.112", "Ed25519"),
        ("1.3.101.113", "Ed448"),
    ];
    known.iter().find(|(id, _)| *id == oid).map_or(oid, |(_, name)| (*name).to_string())
}

/// A point in time of any year that a certificate can name: seconds since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UnixSeconds(pub(crate) i64);

impl UnixSeconds {
    /// The second that `at` lies in.
    pub(crate) fn at(at: jiff::Timestamp) -> UnixSeconds {
        UnixSeconds(at.as_second())
    }

    /// Seconds from `earlier` to this; negative when it is before.
    pub(crate) fn since(self, earlier: UnixSeconds) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl std::fmt::Display for UnixSeconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&pkix::format_time(self.0))
    }
}

impl Serialize for UnixSeconds {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// A length of time for people, in its largest two units: `24 d 3 h`, `5 min`; "-" before one that is over.
pub(crate) fn format_span(seconds: i64) -> String {
    let minus = if seconds < 0 { "-" } else { "" };
    let s = seconds.unsigned_abs();
    let (days, hours, minutes) = (s / 86400, s % 86400 / 3600, s % 3600 / 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{minus}{s} s"),
        (0, 0, m) => format!("{minus}{m} min"),
        (0, h, m) => format!("{minus}{h} h {m} min"),
        (d, h, _) if d < 10 => format!("{minus}{d} d {h} h"),
        (d, ..) => format!("{minus}{d} d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        let known = [(59, "59 s"), (3600, "1 h 0 min"), (90_000, "1 d 1 h"), (-86_400 * 30, "-30 d")];
        for (seconds, text) in known {
            assert_eq!(format_span(seconds), text);
        }
    }
}
