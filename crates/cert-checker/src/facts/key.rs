//! The public key: kind, size, and the hash by which the same key is known again.

use super::text::fingerprint;
use serde::Serialize;
use x509_parser::prelude::SubjectPublicKeyInfo;
use x509_parser::public_key::PublicKey;

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Key {
    /// `RSA`, `EC`, `DSA`, `Ed25519`, `Ed448`, else the object identifier.
    pub(crate) kind: String,
    /// Bits of the modulus or the curve's field; 0 where they are not known.
    pub(crate) bits: usize,
    /// As `P-256`; an object identifier for others, `explicit` for parameters written out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) curve: Option<String>,
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub(crate) spki_sha256: String,
}

/// Curves by object identifier: name and bits.
const CURVES: [(&str, &str, usize); 9] = [
    ("1.2.840.10045.3.1.7", "P-256", 256),
    ("1.3.132.0.34", "P-384", 384),
    ("1.3.132.0.35", "P-521", 521),
    ("1.2.840.10045.3.1.1", "P-192", 192),
    ("1.3.132.0.33", "P-224", 224),
    ("1.3.132.0.10", "secp256k1", 256),
    ("1.3.36.3.3.2.8.1.1.7", "brainpoolP256r1", 256),
    ("1.3.36.3.3.2.8.1.1.11", "brainpoolP384r1", 384),
    ("1.3.36.3.3.2.8.1.1.13", "brainpoolP512r1", 512),
];

impl Key {
    /// What `spki` holds.
    pub(super) fn of(spki: &SubjectPublicKeyInfo<'_>) -> Key {
        let id = spki.algorithm.algorithm.to_id_string();
        let (kind, bits, curve) = match (id.as_str(), spki.parsed()) {
            (_, Ok(PublicKey::RSA(rsa))) => ("RSA".into(), modulus_bits(rsa.modulus), None),
            ("1.2.840.113549.1.1.10", _) => ("RSA".into(), pss_bits(spki), None),
            ("1.2.840.10045.2.1", _) => elliptic(spki),
            ("1.2.840.10040.4.1", _) => ("DSA".into(), 0, None),
            ("1.3.101.112", _) => ("Ed25519".into(), 256, None),
            ("1.3.101.113", _) => ("Ed448".into(), 448, None),
            _ => (id, 0, None),
        };
        Key { kind, bits, curve, spki_sha256: fingerprint(spki.raw) }
    }

    /// As `RSA 2048`, `EC P-256`.
    pub(crate) fn title(&self) -> String {
        match (&self.curve, self.bits) {
            (Some(curve), _) => format!("{} {curve}", self.kind),
            (None, 0) => self.kind.clone(),
            (None, bits) if self.kind == "RSA" => format!("RSA {bits}"),
            (None, _) => self.kind.clone(),
        }
    }
}

fn elliptic(spki: &SubjectPublicKeyInfo<'_>) -> (String, usize, Option<String>) {
    let parameters = spki.algorithm.parameters.as_ref();
    // as_oid() reads whatever the tag is.
    let named = parameters.filter(|p| p.tag() == x509_parser::asn1_rs::Tag::Oid);
    let Some(oid) = named.and_then(|p| p.as_oid().ok()) else {
        return ("EC".into(), 0, Some("explicit".into()));
    };
    let id = oid.to_id_string();
    match CURVES.iter().find(|(curve, ..)| *curve == id) {
        Some((_, name, bits)) => ("EC".into(), *bits, Some((*name).into())),
        None => ("EC".into(), 0, Some(id)),
    }
}

fn pss_bits(spki: &SubjectPublicKeyInfo<'_>) -> usize {
    use x509_parser::der_parser::asn1_rs::FromDer;
    let key = x509_parser::public_key::RSAPublicKey::from_der(&spki.subject_public_key.data);
    key.map_or(0, |(_, rsa)| modulus_bits(rsa.modulus))
}

/// The number's bits, without the sign's zero byte and the zeros before the first one.
pub(crate) fn modulus_bits(modulus: &[u8]) -> usize {
    let start = modulus.iter().position(|b| *b != 0).unwrap_or(modulus.len());
    let first = modulus.get(start).map_or(0, |b| b.leading_zeros() as usize);
    ((modulus.len() - start) * 8).saturating_sub(first)
}

#[cfg(test)]
mod tests {
    #[test]
    fn bits_of_a_modulus() {
        for (bytes, bits) in [(&[0u8, 0x80, 0][..], 16), (&[0x7f, 0xff], 15), (&[0, 0], 0), (&[], 0)] {
            assert_eq!(super::modulus_bits(bytes), bits);
        }
    }
}
