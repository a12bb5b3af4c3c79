//! What a certificate says, as facts that need no parser any more: nothing here judges.

mod extensions;
mod key;
mod moment;
mod text;

pub(crate) use extensions::{Extensions, San};
pub(crate) use key::{Key, modulus_bits};
pub(crate) use moment::{Moment, span};
pub(crate) use text::{fingerprint, hex, name_of, short};

use serde::Serialize;
use x509_parser::prelude::{FromDer, X509Certificate};

/// One certificate: what was sent or lies in a file, byte for byte, and what it says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Cert {
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
    pub(crate) not_before: Moment,
    pub(crate) not_after: Moment,
    pub(crate) serial: String,
    /// 1, 2 or 3.
    pub(crate) version: u32,
    pub(crate) key: Key,
    /// As `sha256WithRSAEncryption`, or the object identifier.
    pub(crate) signature: String,
    #[serde(flatten)]
    pub(crate) extensions: Extensions,
    /// What is not as the standard wants it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) oddities: Vec<Oddity>,
}

/// Something that a strict reader would refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Oddity {
    SerialNegative,
    SerialZero,
    SerialLong,
    TrailingBytes,
    DuplicateExtension,
    UnreadableExtension,
    UnknownCriticalExtension,
    SignatureAlgorithmsDiffer,
}

impl Cert {
    /// The facts of `der`.
    ///
    /// # Errors
    /// What cannot be read, in words.
    pub(crate) fn read(der: &[u8]) -> Result<Cert, String> {
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|e| format!("{e}"))?;
        let whole = &der[..der.len() - rest.len()];
        let tbs = &parsed.tbs_certificate;
        let mut oddities = serial_oddities(parsed.raw_serial());
        oddities.extend((!rest.is_empty()).then_some(Oddity::TrailingBytes));
        let signatures_differ = tbs.signature.algorithm != parsed.signature_algorithm.algorithm;
        oddities.extend(signatures_differ.then_some(Oddity::SignatureAlgorithmsDiffer));
        let extensions = Extensions::of(&parsed, &mut oddities);
        Ok(Cert {
            der: whole.to_vec(),
            sha256: fingerprint(whole),
            subject: text::name(&tbs.subject),
            issuer: text::name(&tbs.issuer),
            subject_der: tbs.subject.as_raw().to_vec(),
            issuer_der: tbs.issuer.as_raw().to_vec(),
            common_names: text::common_names(&tbs.subject),
            not_before: Moment(tbs.validity.not_before.timestamp()),
            not_after: Moment(tbs.validity.not_after.timestamp()),
            serial: hex(parsed.raw_serial()),
            version: tbs.version.0 + 1,
            key: Key::of(&tbs.subject_pki),
            signature: text::algorithm(&parsed.signature_algorithm),
            extensions,
            oddities,
        })
    }

    /// Its own key signed it. Names tell that only where the algorithm is not known here: an authority certifies its new
    /// key under its own name, too, and a root may name another as its issuer.
    pub(crate) fn self_signed(&self) -> bool {
        self.signed_by(self).unwrap_or(self.subject_der == self.issuer_der)
    }

    /// An authority's, not a server's: one with a host's name that was signed by itself may say CA:TRUE and is one all
    /// the same.
    pub(crate) fn is_authority(&self) -> bool {
        let hosts = self.extensions.names.iter().any(|n| matches!(n, San::Dns(_) | San::Ip(_)));
        self.extensions.authority && !hosts
    }

    /// How long it is valid in all, in seconds.
    pub(crate) fn life(&self) -> i64 {
        self.not_after.0.saturating_sub(self.not_before.0)
    }

    /// Whether `issuer`'s key made this certificate's signature; `None` where the algorithm is not known here.
    pub(crate) fn signed_by(&self, issuer: &Cert) -> Option<bool> {
        let (_, signed) = X509Certificate::from_der(&self.der).ok()?;
        let (_, by) = X509Certificate::from_der(&issuer.der).ok()?;
        match signed.verify_signature(Some(by.public_key())) {
            Ok(()) => Some(true),
            // ring refuses smaller and larger keys whatever they signed.
            Err(_) if issuer.key.kind == "RSA" && !(2048..=8192).contains(&issuer.key.bits) => None,
            Err(x509_parser::error::X509Error::SignatureVerificationError) => Some(false),
            Err(_) => None,
        }
    }

    /// Whether `issuer` may have issued this one: the names fit, and the signature where it can be tried.
    pub(crate) fn issued_by(&self, issuer: &Cert) -> bool {
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
fn serial_oddities(serial: &[u8]) -> Vec<Oddity> {
    let negative = serial.first().is_some_and(|b| b & 0x80 != 0);
    let zero = serial.iter().all(|b| *b == 0);
    let mut found = Vec::new();
    found.extend(negative.then_some(Oddity::SerialNegative));
    found.extend(zero.then_some(Oddity::SerialZero));
    found.extend((serial.len() > 20).then_some(Oddity::SerialLong));
    found
}
