//! Names and numbers as text. Whatever a certificate holds becomes one line of at most a kibibyte.

use sha2::{Digest, Sha256};
use x509_parser::prelude::{AlgorithmIdentifier, X509Name};
use x509_parser::x509::AttributeTypeAndValue;

/// No name that somebody else wrote is longer than this in what we write; what is cut ends in `…`.
const LONGEST: usize = 1024;

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    toban_core::sum::hex(bytes)
}

/// SHA-256, in hexadecimal digits.
pub(crate) fn fingerprint(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// `C=DE, O=Example, CN=example.org`; `-` when it is empty.
pub(super) fn name(name: &X509Name<'_>) -> String {
    let parts: Vec<String> = name.iter_attributes().map(attribute).collect();
    if parts.is_empty() { "-".into() } else { short(&parts.join(", ")) }
}

/// The text of a DER name.
pub(crate) fn name_of(der: &[u8]) -> Option<String> {
    use x509_parser::prelude::FromDer;
    X509Name::from_der(der).ok().map(|(_, parsed)| name(&parsed))
}

pub(super) fn common_names(name: &X509Name<'_>) -> Vec<String> {
    name.iter_common_name().map(|a| short(&value(a))).collect()
}

fn attribute(a: &AttributeTypeAndValue<'_>) -> String {
    let oid = a.attr_type().to_id_string();
    let known = x509_parser::objects::oid2abbrev(a.attr_type(), x509_parser::objects::oid_registry());
    format!("{}={}", known.map_or(oid, String::from), value(a))
}

/// The text of a value, whatever its string type; bytes that are no UTF-8 become `U+FFFD`.
fn value(a: &AttributeTypeAndValue<'_>) -> String {
    match a.as_str() {
        Ok(text) => text.to_string(),
        Err(_) if a.attr_value().tag().0 == BMP_STRING => utf16(a.as_slice()),
        Err(_) => String::from_utf8_lossy(a.as_slice()).into_owned(),
    }
}

const BMP_STRING: u32 = 30;

fn utf16(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes.chunks_exact(2).map(|p| u16::from_be_bytes([p[0], p[1]])).collect();
    String::from_utf16_lossy(&units)
}

/// At most [`LONGEST`] bytes of `text`.
pub(crate) fn short(text: &str) -> String {
    match text.len() > LONGEST {
        false => text.to_string(),
        true => format!("{}…", &text[..text.floor_char_boundary(LONGEST)]),
    }
}

/// The signature algorithm's usual name, else its object identifier.
pub(super) fn algorithm(a: &AlgorithmIdentifier<'_>) -> String {
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
