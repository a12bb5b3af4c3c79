//! What a certificate says, as facts that need no parser any more: nothing here judges.

mod extensions;
mod text;

pub(crate) use extensions::{ExtensionFacts, San};
pub(crate) use text::{UnixSeconds, fingerprint, format_name, format_span, shorten};

use serde::Serialize;
use toban_core::sum::hex;
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate};
use x509_parser::public_key::RSAPublicKey;

/// One certificate: what was sent or lies in a file, byte for byte, and what it says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct CertFacts {
    #[serde(skip)]
    pub(crate) der: Vec<u8>,
    /// SHA-256 of the DER, in hexadecimal digits.
    pub(crate) sha256: String,
    pub(crate) subject: String,
    pub(crate) issuer: String,
    #[serde(skip)]
    pub(crate) subject_der: Vec<u8>,
    #[serde(skip)]
    pub(crate) issuer_der: Vec<u8>,
    pub(crate) common_names: Vec<String>,
    pub(crate) not_before: UnixSeconds,
    pub(crate) not_after: UnixSeconds,
    pub(crate) serial: String,
    /// 1, 2 or 3.
    pub(crate) version: u32,
    pub(crate) key: KeyFacts,
    /// As `sha256WithRSAEncryption`, or the object identifier.
    pub(crate) signature: String,
    #[serde(flatten)]
    pub(crate) extensions: ExtensionFacts,
    /// What is not as the standard wants it.
    #[serde(rename = "deviations", skip_serializing_if = "Vec::is_empty")]
    pub(crate) form_faults: Vec<FormFault>,
}

/// Something that a strict reader would refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FormFault {
    SerialNegative,
    SerialZero,
    SerialLong,
    TrailingBytes,
    DuplicateExtension,
    UnreadableExtension,
    UnknownCriticalExtension,
    SignatureAlgorithmsDiffer,
}

impl CertFacts {
    /// The facts of `der`.
    pub(crate) fn read_der(der: &[u8]) -> Result<CertFacts, String> {
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|e| format!("{e}"))?;
        // What follows belongs to nothing, and must not change the fingerprint by which it is known again.
        let whole = &der[..der.len() - rest.len()];
        let tbs = &parsed.tbs_certificate;
        let mut form_faults = serial_faults(parsed.raw_serial());
        form_faults.extend((!rest.is_empty()).then_some(FormFault::TrailingBytes));
        // RFC 5280, 4.1.1.2: the outer algorithm is not signed, the inner one is.
        let signatures_differ = tbs.signature.algorithm != parsed.signature_algorithm.algorithm;
        form_faults.extend(signatures_differ.then_some(FormFault::SignatureAlgorithmsDiffer));
        let extensions = ExtensionFacts::read_der(&parsed, &mut form_faults);
        Ok(CertFacts {
            der: whole.to_vec(),
            sha256: fingerprint(whole),
            subject: text::format_subject(&tbs.subject),
            issuer: text::format_subject(&tbs.issuer),
            subject_der: tbs.subject.as_raw().to_vec(),
            issuer_der: tbs.issuer.as_raw().to_vec(),
            common_names: text::common_names(&tbs.subject),
            not_before: UnixSeconds(tbs.validity.not_before.timestamp()),
            not_after: UnixSeconds(tbs.validity.not_after.timestamp()),
            serial: hex(parsed.raw_serial()),
            version: tbs.version.0 + 1,
            key: KeyFacts::read_der(&tbs.subject_pki),
            signature: text::algorithm_name(&parsed.signature_algorithm),
            extensions,
            form_faults,
        })
    }

    /// Its own key signed it. Names tell that only where the algorithm is not known here: an authority certifies its new
    /// key under its own name, too, and a root may name another as its issuer.
    pub(crate) fn is_self_signed(&self) -> bool {
        self.signed_by(self).unwrap_or(self.subject_der == self.issuer_der)
    }

    /// An authority's, not a server's: one with a host's name that was signed by itself may say CA:TRUE and is one all
    /// the same.
    pub(crate) fn is_authority(&self) -> bool {
        let hosts = self.extensions.names.iter().any(|n| matches!(n, San::Dns(_) | San::Ip(_)));
        self.extensions.authority && !hosts
    }

    /// How long it is valid in all, in seconds.
    pub(crate) fn lifetime(&self) -> i64 {
        self.not_after.0.saturating_sub(self.not_before.0)
    }

    /// Whether `issuer`'s key made this certificate's signature; `None` where the algorithm is not known here.
    pub(crate) fn signed_by(&self, issuer: &CertFacts) -> Option<bool> {
        pkix::is_signed_by(&self.der, &issuer.key.spki)
    }

    /// Whether `issuer` may have issued this one: the names fit, and the signature where it can be tried.
    pub(crate) fn may_be_issued_by(&self, issuer: &CertFacts) -> bool {
        self.issuer_der == issuer.subject_der && self.signed_by(issuer) != Some(false)
    }

    /// The name for people: the CN, else the first name of the SAN, else the whole subject.
    pub(crate) fn title(&self) -> String {
        let common = self.common_names.first().cloned();
        let first = || self.extensions.names.first().map(ToString::to_string);
        common.or_else(first).unwrap_or_else(|| self.subject.clone())
    }
}

/// RFC 5280, 4.1.2.2: a positive integer of at most 20 octets.
fn serial_faults(serial: &[u8]) -> Vec<FormFault> {
    let negative = serial.first().is_some_and(|b| b & 0x80 != 0);
    let zero = serial.iter().all(|b| *b == 0);
    let mut found = Vec::new();
    found.extend(negative.then_some(FormFault::SerialNegative));
    found.extend(zero.then_some(FormFault::SerialZero));
    found.extend((serial.len() > 20).then_some(FormFault::SerialLong));
    found
}

/// A public key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct KeyFacts {
    /// `RSA`, `EC`, `DSA`, `Ed25519`, `Ed448`, else the object identifier.
    pub(crate) kind: String,
    /// Bits of the modulus or the curve's field; 0 where they are not known.
    pub(crate) bits: usize,
    /// As `P-256`; an object identifier for others, `explicit` for parameters written out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) curve: Option<String>,
    /// SHA-256 of the SubjectPublicKeyInfo: by it the same key is known again.
    pub(crate) spki_sha256: String,
    /// The SubjectPublicKeyInfo.
    #[serde(skip)]
    pub(crate) spki: Vec<u8>,
    /// The modulus of an RSA key, without zeros before it; empty for others.
    #[serde(skip)]
    pub(crate) modulus: Vec<u8>,
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

impl KeyFacts {
    /// What `spki` holds.
    fn read_der(spki: &SubjectPublicKeyInfo<'_>) -> KeyFacts {
        let id = spki.algorithm.algorithm.to_id_string();
        let modulus = rsa_modulus(&id, spki).unwrap_or_default();
        let (kind, bits, curve) = match id.as_str() {
            "1.2.840.113549.1.1.10" => ("RSA".into(), modulus_bits(&modulus), None),
            _ if !modulus.is_empty() => ("RSA".into(), modulus_bits(&modulus), None),
            "1.2.840.10045.2.1" => elliptic_key(spki),
            "1.2.840.10040.4.1" => ("DSA".into(), 0, None),
            "1.3.101.112" => ("Ed25519".into(), 256, None),
            "1.3.101.113" => ("Ed448".into(), 448, None),
            _ => (id, 0, None),
        };
        KeyFacts { kind, bits, curve, spki_sha256: fingerprint(spki.raw), spki: spki.raw.to_vec(), modulus }
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

fn elliptic_key(spki: &SubjectPublicKeyInfo<'_>) -> (String, usize, Option<String>) {
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

/// The modulus, where the algorithm is RSA, also for PSS alone (RFC 4055, 1.2).
fn rsa_modulus(id: &str, spki: &SubjectPublicKeyInfo<'_>) -> Option<Vec<u8>> {
    if !matches!(id, "1.2.840.113549.1.1.1" | "1.2.840.113549.1.1.10") {
        return None;
    }
    let (_, key) = RSAPublicKey::from_der(&spki.subject_public_key.data).ok()?;
    Some(strip_zeros(key.modulus).to_vec())
}

/// A number without the sign's zero byte and the zeros before the first digit.
pub(crate) fn strip_zeros(number: &[u8]) -> &[u8] {
    let start = number.iter().position(|b| *b != 0).unwrap_or(number.len());
    &number[start..]
}

/// The number's bits.
pub(crate) fn modulus_bits(modulus: &[u8]) -> usize {
    let number = strip_zeros(modulus);
    (number.len() * 8).saturating_sub(number.first().map_or(0, |b| b.leading_zeros() as usize))
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
