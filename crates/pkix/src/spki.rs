//! Public keys.

use super::der::{self, Bad, Der, Result};
use super::oid;

/// A named curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P192,
    P224,
    P256,
    P384,
    P521,
}

/// A public key, as far as it is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// Modulus and exponent, without sign bytes.
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// The curve and the point's bytes.
    Ec {
        curve: Curve,
        point: Vec<u8>,
    },
    Ed25519(Vec<u8>),
    /// The last arc of the algorithm (17, 18, 19) and the key's bytes.
    MlDsa {
        set: u8,
        bytes: Vec<u8>,
    },
    Dsa,
    /// A curve that is unknown, or is spelled out where only a name is allowed.
    OddCurve,
    /// An algorithm that is unknown here, by its number.
    Unknown(String),
    /// Bytes that are no key of their algorithm.
    Malformed(Bad),
}

impl Key {
    /// Reads the content of a SubjectPublicKeyInfo; only its frame must be right.
    pub(crate) fn read(spki: &[u8]) -> Result<Key> {
        let mut parts = Der::new(spki);
        let mut algorithm = parts.sequence()?;
        let id = der::oid(algorithm.expect(der::OID)?)?;
        let bits = parts.expect(der::BIT_STRING)?;
        parts.end()?;
        Ok(key(id, algorithm, bits).unwrap_or_else(Key::Malformed))
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

fn key(id: &[u8], mut parameters: Der<'_>, bits: &[u8]) -> Result<Key> {
    let bytes = der::octets(bits)?;
    match id {
        oid::RSA => {
            parameters.optional(der::NULL)?;
            parameters.end()?;
            rsa(bytes)
        }
        oid::RSA_PSS => rsa(bytes),
        oid::EC => ec(&mut parameters, bytes),
        oid::ED25519 => {
            parameters.end()?;
            match bytes.len() {
                32 => Ok(Key::Ed25519(bytes.to_vec())),
                _ => Err(Bad("is not of 32 bytes")),
            }
        }
        oid::DSA => Ok(Key::Dsa),
        [head @ .., set @ 17..=19] if head == oid::ML_DSA => {
            parameters.end()?;
            Ok(Key::MlDsa { set: *set, bytes: bytes.to_vec() })
        }
        _ => Ok(Key::Unknown(oid::dotted(id))),
    }
}

fn rsa(bytes: &[u8]) -> Result<Key> {
    let mut parts = der::only_sequence(bytes)?;
    let n = der::positive(parts.expect(der::INTEGER)?)?.to_vec();
    let e = der::positive(parts.expect(der::INTEGER)?)?.to_vec();
    parts.end()?;
    let odd = |number: &[u8]| number.last().is_some_and(|b| b & 1 == 1);
    match odd(&n) && odd(&e) && e != [1] {
        true => Ok(Key::Rsa { n, e }),
        false => Err(Bad("has an even modulus or a useless exponent")),
    }
}

fn ec(parameters: &mut Der<'_>, point: &[u8]) -> Result<Key> {
    let named = parameters.read()?;
    parameters.end()?;
    if named.tag != der::OID {
        return Ok(Key::OddCurve);
    }
    let curve = match named.value {
        oid::P192 => Curve::P192,
        oid::P224 => Curve::P224,
        oid::P256 => Curve::P256,
        oid::P384 => Curve::P384,
        oid::P521 => Curve::P521,
        _ => return Ok(Key::OddCurve),
    };
    match point.first() {
        Some(2..=4) => Ok(Key::Ec { curve, point: point.to_vec() }),
        _ => Err(Bad("is not a point of a curve")),
    }
}
