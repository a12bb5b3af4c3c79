//! Public keys and signature algorithms, as certificates name them.

use crate::der::{self, Der, Malformed, Result, explicit_tag};
use crate::oid;

/// A named curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P192,
    P224,
    P256,
    P384,
    P521,
}

/// A key on a named curve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EcKey {
    pub(crate) curve: Curve,
    /// The point's bytes (SEC 1, 2.3.3).
    pub(crate) point: Vec<u8>,
}

/// A public key, as far as it is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// Modulus and exponent, without sign bytes.
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    Ec(EcKey),
    Ed25519(Vec<u8>),
    /// The last arc of the algorithm (17, 18, 19) and the key's bytes.
    MlDsa {
        set: u8,
        bytes: Vec<u8>,
    },
    Dsa,
    /// A curve that is unknown, or is spelled out where only a name is allowed (RFC 5480, 2.1.1).
    UnknownCurve,
    /// An algorithm that is unknown here, by its number.
    Unknown(String),
    /// Bytes that are no key of their algorithm.
    Malformed(Malformed),
}

impl Key {
    /// Reads the content of a SubjectPublicKeyInfo; only its frame must be right.
    pub(crate) fn read_der(spki: &[u8]) -> Result<Key> {
        let mut parts = Der::new(spki);
        let mut algorithm = parts.read_sequence()?;
        let id = der::check_oid(algorithm.expect_tag(der::OID)?)?;
        let bits = parts.expect_tag(der::BIT_STRING)?;
        parts.expect_end()?;
        Ok(read_key(id, algorithm, bits).unwrap_or_else(Key::Malformed))
    }

    /// The size of an RSA modulus in bits.
    pub(crate) fn rsa_bits(&self) -> Option<usize> {
        match self {
            Key::Rsa { n, .. } => {
                let top = n.first().map_or(0, |b| b.leading_zeros() as usize);
                Some(n.len() * 8 - top)
            }
            _ => None,
        }
    }
}

fn read_key(id: &[u8], mut parameters: Der<'_>, bits: &[u8]) -> Result<Key> {
    let bytes = der::read_octets(bits)?;
    match id {
        oid::RSA => {
            parameters.read_optional(der::NULL)?;
            parameters.expect_end()?;
            read_rsa(bytes)
        }
        oid::RSA_PSS => read_rsa(bytes),
        oid::EC => read_ec(&mut parameters, bytes),
        oid::ED25519 => {
            parameters.expect_end()?;
            match bytes.len() {
                32 => Ok(Key::Ed25519(bytes.to_vec())),
                _ => Err(Malformed("is not of 32 bytes")),
            }
        }
        oid::DSA => Ok(Key::Dsa),
        [head @ .., set @ 17..=19] if head == oid::ML_DSA => {
            parameters.expect_end()?;
            Ok(Key::MlDsa { set: *set, bytes: bytes.to_vec() })
        }
        _ => Ok(Key::Unknown(oid::format_oid(id))),
    }
}

fn read_rsa(bytes: &[u8]) -> Result<Key> {
    let mut parts = der::read_sequence(bytes)?;
    let n = der::read_positive(parts.expect_tag(der::INTEGER)?)?.to_vec();
    let e = der::read_positive(parts.expect_tag(der::INTEGER)?)?.to_vec();
    parts.expect_end()?;
    // A modulus is a product of two odd primes; with the exponent 1 a signature would be the message itself.
    let is_odd = |number: &[u8]| number.last().is_some_and(|b| b & 1 == 1);
    match is_odd(&n) && is_odd(&e) && e != [1] {
        true => Ok(Key::Rsa { n, e }),
        false => Err(Malformed("has an even modulus or a useless exponent")),
    }
}

fn read_ec(parameters: &mut Der<'_>, point: &[u8]) -> Result<Key> {
    let named = parameters.read_element()?;
    parameters.expect_end()?;
    // Parameters that are spelled out could be those of a curve that a forger made to fit a known public key
    // (CVE-2020-0601): only a name is a curve.
    if named.tag != der::OID {
        return Ok(Key::UnknownCurve);
    }
    let curve = match named.value {
        oid::P192 => Curve::P192,
        oid::P224 => Curve::P224,
        oid::P256 => Curve::P256,
        oid::P384 => Curve::P384,
        oid::P521 => Curve::P521,
        _ => return Ok(Key::UnknownCurve),
    };
    match point.first() {
        Some(2..=4) => Ok(Key::Ec(EcKey { curve, point: point.to_vec() })),
        _ => Err(Malformed("is not a point of a curve")),
    }
}

/// A digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// How RSASSA-PSS was used (RFC 4055, 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PssParams {
    pub(crate) hash: Hash,
    /// The digest of the mask generation function.
    pub(crate) mask: Hash,
    /// Bytes of the salt.
    pub(crate) salt: usize,
}

/// How a certificate or a list is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    RsaPkcs1(Hash),
    RsaPss(PssParams),
    Ecdsa(Hash),
    Ed25519,
    MlDsa(u8),
    /// MD2, MD4 or MD5 with RSA.
    Broken,
    /// Any other, by its number.
    Unknown(String),
}

impl Hash {
    /// The content of the digest's object identifier.
    pub(crate) fn oid(self) -> Vec<u8> {
        let last = match self {
            Hash::Sha1 => return oid::SHA1.to_vec(),
            Hash::Sha224 => 4,
            Hash::Sha256 => 1,
            Hash::Sha384 => 2,
            Hash::Sha512 => 3,
        };
        [oid::SHA2, &[last]].concat()
    }

    pub(crate) fn digest(self, message: &[u8]) -> Vec<u8> {
        use sha1::Sha1;
        use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
        match self {
            Hash::Sha1 => Sha1::digest(message).to_vec(),
            Hash::Sha224 => Sha224::digest(message).to_vec(),
            Hash::Sha256 => Sha256::digest(message).to_vec(),
            Hash::Sha384 => Sha384::digest(message).to_vec(),
            Hash::Sha512 => Sha512::digest(message).to_vec(),
        }
    }

    pub(crate) fn size(self) -> usize {
        match self {
            Hash::Sha1 => 20,
            Hash::Sha224 => 28,
            Hash::Sha256 => 32,
            Hash::Sha384 => 48,
            Hash::Sha512 => 64,
        }
    }

    fn read_der(algorithm: &mut Der<'_>) -> Result<Hash> {
        let mut parts = algorithm.read_sequence()?;
        let id = parts.expect_tag(der::OID)?;
        parts.read_optional(der::NULL)?;
        parts.expect_end()?;
        let all = [Hash::Sha1, Hash::Sha224, Hash::Sha256, Hash::Sha384, Hash::Sha512];
        all.into_iter().find(|h| h.oid() == id).ok_or(Malformed("names a digest that is unknown here"))
    }
}

impl Algorithm {
    /// Reads the content of an AlgorithmIdentifier.
    pub(crate) fn read_der(value: &[u8]) -> Result<Algorithm> {
        let mut parts = Der::new(value);
        let id = der::check_oid(parts.expect_tag(der::OID)?)?;
        let algorithm = match id {
            oid::RSA_PSS => return read_pss_params(parts),
            oid::ED25519 => Algorithm::Ed25519,
            oid::ECDSA_SHA1 => Algorithm::Ecdsa(Hash::Sha1),
            [head @ .., last] if head == oid::PKCS1 => {
                parts.read_optional(der::NULL)?;
                pkcs1_algorithm(*last).unwrap_or_else(|| Algorithm::Unknown(oid::format_oid(id)))
            }
            [head @ .., last @ 1..=4] if head == oid::ECDSA_SHA2 => {
                let hashes = [Hash::Sha224, Hash::Sha256, Hash::Sha384, Hash::Sha512];
                Algorithm::Ecdsa(hashes[usize::from(last - 1)])
            }
            [head @ .., set @ 17..=19] if head == oid::ML_DSA => Algorithm::MlDsa(*set),
            _ => return Ok(Algorithm::Unknown(oid::format_oid(id))),
        };
        parts.expect_end()?;
        Ok(algorithm)
    }
}

fn pkcs1_algorithm(last: u8) -> Option<Algorithm> {
    let hash = match last {
        2..=4 => return Some(Algorithm::Broken),
        5 => Hash::Sha1,
        11 => Hash::Sha256,
        12 => Hash::Sha384,
        13 => Hash::Sha512,
        14 => Hash::Sha224,
        _ => return None,
    };
    Some(Algorithm::RsaPkcs1(hash))
}

/// SHA-1 and a salt of 20 bytes where nothing else is given (RFC 4055, 3.1).
fn read_pss_params(mut parts: Der<'_>) -> Result<Algorithm> {
    let mut given = parts.read_sequence()?;
    parts.expect_end()?;
    let hash = given.read_optional(explicit_tag(0))?.map(|v| Hash::read_der(&mut Der::new(v))).transpose()?;
    let mask = given.read_optional(explicit_tag(1))?.map(read_mask).transpose()?;
    let salt = given.read_optional(explicit_tag(2))?.map(read_number).transpose()?;
    let trailer = given.read_optional(explicit_tag(3))?.map(read_number).transpose()?;
    given.expect_end()?;
    match trailer.unwrap_or(1) {
        1 => Ok(Algorithm::RsaPss(PssParams {
            hash: hash.unwrap_or(Hash::Sha1),
            mask: mask.unwrap_or(Hash::Sha1),
            salt: salt.unwrap_or(20),
        })),
        _ => Err(Malformed("has an unknown trailer")),
    }
}

fn read_mask(value: &[u8]) -> Result<Hash> {
    let mut parts = der::read_sequence(value)?;
    match parts.expect_tag(der::OID)? {
        oid::RSA_MGF1 => Hash::read_der(&mut parts),
        _ => Err(Malformed("has an unknown mask")),
    }
}

fn read_number(value: &[u8]) -> Result<usize> {
    let number = der::read_small(der::read_value(value, der::INTEGER)?)?;
    usize::try_from(number).map_err(|_| Malformed("has too large a number"))
}
