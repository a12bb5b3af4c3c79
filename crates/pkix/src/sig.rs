//! Signatures: ring where it can, else the wider code beside this file.

use super::alg::{Algorithm, Hash};
use super::spki::{Curve, Key};
use super::{ecdsa, rsa};
use ring::signature as r;

/// Why a signature was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It does not fit the key, or the key is of another kind.
    Wrong,
    /// It cannot be judged here.
    Unknown(String),
}

/// Whether `signature` is that of `key` over `message`.
///
/// # Errors
/// Why not.
pub(crate) fn verify(how: &Algorithm, key: &Key, message: &[u8], signature: &[u8]) -> Result<(), Fault> {
    let fits = match (how, key) {
        (Algorithm::Unknown(id), _) => return Err(Fault::Unknown(format!("signature algorithm {id}"))),
        (Algorithm::Broken, _) => return Err(Fault::Unknown("MD5 and its elders".into())),
        (_, Key::Unknown(id)) => return Err(Fault::Unknown(format!("key algorithm {id}"))),
        (_, Key::Malformed(_)) => return Err(Fault::Unknown("a malformed key".into())),
        (_, Key::Dsa) => return Err(Fault::Unknown("DSA".into())),
        (_, Key::OddCurve) => return Err(Fault::Unknown("the key's curve".into())),
        (Algorithm::RsaPkcs1(hash), Key::Rsa { n, e }) => match common_pkcs1(*hash, key) {
            Some(how) => r::RsaPublicKeyComponents { n, e }.verify(how, message, signature).is_ok(),
            None => rsa::pkcs1(key, *hash, message, signature),
        },
        (Algorithm::RsaPss { hash, mask, salt }, Key::Rsa { .. }) => {
            rsa::pss(key, (*hash, *mask), *salt, message, signature)
        }
        (Algorithm::Ecdsa(hash), Key::Ec { curve, point }) => ec(*hash, *curve, point, message, signature)?,
        (Algorithm::Ed25519, Key::Ed25519(key)) => {
            r::UnparsedPublicKey::new(&r::ED25519, key).verify(message, signature).is_ok()
        }
        (Algorithm::MlDsa(how), Key::MlDsa { set, bytes }) => {
            how == set && ml_dsa(*set, bytes, message, signature)
        }
        _ => false,
    };
    if fits { Ok(()) } else { Err(Fault::Wrong) }
}

fn common_pkcs1(hash: Hash, key: &Key) -> Option<&'static r::RsaParameters> {
    let common = key.rsa_bits().is_some_and(|bits| (2048..=8192).contains(&bits));
    match hash {
        _ if !common => None,
        Hash::Sha256 => Some(&r::RSA_PKCS1_2048_8192_SHA256),
        Hash::Sha384 => Some(&r::RSA_PKCS1_2048_8192_SHA384),
        Hash::Sha512 => Some(&r::RSA_PKCS1_2048_8192_SHA512),
        Hash::Sha1 | Hash::Sha224 => None,
    }
}

fn ec(hash: Hash, curve: Curve, point: &[u8], message: &[u8], signature: &[u8]) -> Result<bool, Fault> {
    let common = match (curve, hash) {
        _ if point.first() != Some(&4) => None,
        (Curve::P256, Hash::Sha256) => Some(&r::ECDSA_P256_SHA256_ASN1),
        (Curve::P256, Hash::Sha384) => Some(&r::ECDSA_P256_SHA384_ASN1),
        (Curve::P384, Hash::Sha256) => Some(&r::ECDSA_P384_SHA256_ASN1),
        (Curve::P384, Hash::Sha384) => Some(&r::ECDSA_P384_SHA384_ASN1),
        _ => None,
    };
    match common {
        Some(how) => Ok(r::UnparsedPublicKey::new(how, point).verify(message, signature).is_ok()),
        None => ecdsa::verify(curve, point, &hash.digest(message), signature)
            .ok_or_else(|| Fault::Unknown(format!("ECDSA on {curve:?}"))),
    }
}

fn ml_dsa(set: u8, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    match set {
        17 => ml_dsa_of::<ml_dsa::MlDsa44>(key, message, signature),
        18 => ml_dsa_of::<ml_dsa::MlDsa65>(key, message, signature),
        _ => ml_dsa_of::<ml_dsa::MlDsa87>(key, message, signature),
    }
}

fn ml_dsa_of<P: ml_dsa::MlDsaParams>(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let Ok(key) = ml_dsa::EncodedVerifyingKey::<P>::try_from(key) else { return false };
    let Ok(signature) = ml_dsa::EncodedSignature::<P>::try_from(signature) else { return false };
    let key = ml_dsa::VerifyingKey::<P>::decode(&key);
    let signature = ml_dsa::Signature::<P>::decode(&signature);
    signature.is_some_and(|signature| key.verify_with_context(message, &[], &signature))
}
