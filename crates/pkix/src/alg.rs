//! Signature algorithms.

use super::der::{self, Bad, Der, Result, explicit};
use super::oid;

/// A digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// How a certificate or a list is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    RsaPkcs1(Hash),
    RsaPss {
        hash: Hash,
        mask: Hash,
        salt: usize,
    },
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

    fn read(algorithm: &mut Der<'_>) -> Result<Hash> {
        let mut parts = algorithm.sequence()?;
        let id = parts.expect(der::OID)?;
        parts.optional(der::NULL)?;
        parts.end()?;
        let all = [Hash::Sha1, Hash::Sha224, Hash::Sha256, Hash::Sha384, Hash::Sha512];
        all.into_iter().find(|h| h.oid() == id).ok_or(Bad("names a digest that is unknown here"))
    }
}

impl Algorithm {
    /// Reads the content of an AlgorithmIdentifier.
    pub(crate) fn read(value: &[u8]) -> Result<Algorithm> {
        let mut parts = Der::new(value);
        let id = der::oid(parts.expect(der::OID)?)?;
        let algorithm = match id {
            oid::RSA_PSS => return pss(parts),
            oid::ED25519 => Algorithm::Ed25519,
            oid::ECDSA_SHA1 => Algorithm::Ecdsa(Hash::Sha1),
            [head @ .., last] if head == oid::PKCS1 => {
                parts.optional(der::NULL)?;
                pkcs1(*last).unwrap_or_else(|| Algorithm::Unknown(oid::dotted(id)))
            }
            [head @ .., last @ 1..=4] if head == oid::ECDSA_SHA2 => {
                let hashes = [Hash::Sha224, Hash::Sha256, Hash::Sha384, Hash::Sha512];
                Algorithm::Ecdsa(hashes[usize::from(last - 1)])
            }
            [head @ .., set @ 17..=19] if head == oid::ML_DSA => Algorithm::MlDsa(*set),
            _ => return Ok(Algorithm::Unknown(oid::dotted(id))),
        };
        parts.end()?;
        Ok(algorithm)
    }
}

fn pkcs1(last: u8) -> Option<Algorithm> {
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

/// RSASSA-PSS-params (RFC 4055, 3.1): digest, mask, length of the salt; SHA-1 and 20 where nothing is said.
fn pss(mut parts: Der<'_>) -> Result<Algorithm> {
    let mut given = parts.sequence()?;
    parts.end()?;
    let hash = given.optional(explicit(0))?.map(|v| Hash::read(&mut Der::new(v))).transpose()?;
    let mask = given.optional(explicit(1))?.map(mask).transpose()?;
    let salt = given.optional(explicit(2))?.map(number).transpose()?;
    let trailer = given.optional(explicit(3))?.map(number).transpose()?;
    given.end()?;
    match trailer.unwrap_or(1) {
        1 => Ok(Algorithm::RsaPss {
            hash: hash.unwrap_or(Hash::Sha1),
            mask: mask.unwrap_or(Hash::Sha1),
            salt: salt.unwrap_or(20),
        }),
        _ => Err(Bad("has an unknown trailer")),
    }
}

fn mask(value: &[u8]) -> Result<Hash> {
    let mut parts = der::only_sequence(value)?;
    match parts.expect(der::OID)? {
        oid::RSA_MGF1 => Hash::read(&mut parts),
        _ => Err(Bad("has an unknown mask")),
    }
}

fn number(value: &[u8]) -> Result<usize> {
    let number = der::small(der::only(value, der::INTEGER)?)?;
    usize::try_from(number).map_err(|_| Bad("has too large a number"))
}
