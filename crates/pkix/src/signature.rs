//! The frame of signed structures, and signatures: ring where it can, else wider code beside it. Only public numbers are
//! handled here, so nothing need be constant in time.

use crate::der::{self, Malformed, Tlv};
use crate::key::{Algorithm, Curve, EcKey, Hash, Key, PssParams};
use num_bigint::BigUint;
use ring::signature as r;

/// A certificate or a list as it is sent: what is signed, how, and the signature (RFC 5280, 4.1.1 and 5.1.1).
pub(crate) struct Frame<'a> {
    pub(crate) body: Tlv<'a>,
    algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Frame<'a> {
    pub(crate) fn read_der(bytes: &'a [u8]) -> der::Result<Frame<'a>> {
        let mut outer = der::read_sequence(bytes)?;
        let body = outer.read_element()?;
        let algorithm = outer.expect_tag(der::SEQUENCE)?;
        let signature = der::read_octets(outer.expect_tag(der::BIT_STRING)?)?;
        outer.expect_end()?;
        match body.tag == der::SEQUENCE {
            true => Ok(Frame { body, algorithm, signature }),
            false => Err(Malformed("has no signed part")),
        }
    }

    /// The signature, once the body has named its algorithm. It stands in the body too, for the frame is not signed:
    /// whoever changes it there must not choose how the signature is read (RFC 5280, 4.1.1.2).
    pub(crate) fn into_signed(self, algorithm_in_body: &[u8]) -> der::Result<Signed> {
        Ok(Signed {
            message: self.body.whole.to_vec(),
            algorithm: Algorithm::read_der(self.algorithm)?,
            same_algorithm: algorithm_in_body == self.algorithm,
            signature: self.signature.to_vec(),
        })
    }
}

/// Whether the key in `spki` (a SubjectPublicKeyInfo) made the signature of `signed`: a certificate, a list, or an OCSP
/// answer (RFC 6960, 4.2.1), which are signed in the same form. `None` where that cannot be judged here.
pub fn is_signed_by(signed: &[u8], spki: &[u8]) -> Option<bool> {
    let judge = || {
        let mut outer = der::read_sequence(signed)?;
        let body = outer.read_element()?;
        let algorithm = Algorithm::read_der(outer.expect_tag(der::SEQUENCE)?)?;
        let signature = der::read_octets(outer.expect_tag(der::BIT_STRING)?)?;
        let key = Key::read_der(der::read_value(spki, der::SEQUENCE)?)?;
        Ok::<_, Malformed>(verify_signature(&algorithm, &key, body.whole, signature))
    };
    match judge().ok()? {
        Ok(()) => Some(true),
        Err(SignatureFault::Wrong) => Some(false),
        Err(SignatureFault::Unknown(_)) => None,
    }
}

/// Bytes and a signature over them.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    message: Vec<u8>,
    pub(crate) algorithm: Algorithm,
    /// Whether body and frame name the same algorithm.
    pub(crate) same_algorithm: bool,
    signature: Vec<u8>,
}

impl Signed {
    /// Whether `key` made the signature.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn verify_with(&self, key: &Key) -> Result<(), SignatureFault> {
        verify_signature(&self.algorithm, key, &self.message, &self.signature)
    }
}

/// Why a signature was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SignatureFault {
    /// It does not fit the key, or the key is of another kind.
    Wrong,
    /// It cannot be judged here.
    Unknown(String),
}

/// Whether `signature` is that of `key` over `message`.
///
/// # Errors
/// Why not.
fn verify_signature(
    how: &Algorithm,
    key: &Key,
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureFault> {
    let fits = match (how, key) {
        (Algorithm::Unknown(id), _) => {
            return Err(SignatureFault::Unknown(format!("signature algorithm {id}")));
        }
        (Algorithm::Broken, _) => return Err(SignatureFault::Unknown("MD5 or an older digest".into())),
        (_, Key::Unknown(id)) => return Err(SignatureFault::Unknown(format!("key algorithm {id}"))),
        (_, Key::Malformed(_)) => return Err(SignatureFault::Unknown("a malformed key".into())),
        (_, Key::Dsa) => return Err(SignatureFault::Unknown("DSA".into())),
        (_, Key::UnknownCurve) => return Err(SignatureFault::Unknown("the key's curve".into())),
        (Algorithm::RsaPkcs1(hash), Key::Rsa { n, e }) => match ring_pkcs1(*hash, key) {
            Some(how) => r::RsaPublicKeyComponents { n, e }.verify(how, message, signature).is_ok(),
            None => verify_pkcs1(key, *hash, message, signature),
        },
        (Algorithm::RsaPss(params), Key::Rsa { .. }) => verify_pss(key, *params, message, signature),
        (Algorithm::Ecdsa(hash), Key::Ec(key)) => verify_ecdsa(*hash, key, message, signature)?,
        (Algorithm::Ed25519, Key::Ed25519(key)) => {
            r::UnparsedPublicKey::new(&r::ED25519, key).verify(message, signature).is_ok()
        }
        (Algorithm::MlDsa(how), Key::MlDsa { set, bytes }) => {
            how == set && verify_ml_dsa(*set, bytes, message, signature)
        }
        _ => false,
    };
    if fits { Ok(()) } else { Err(SignatureFault::Wrong) }
}

fn ring_pkcs1(hash: Hash, key: &Key) -> Option<&'static r::RsaParameters> {
    let common = key.rsa_bits().is_some_and(|bits| (2048..=8192).contains(&bits));
    match hash {
        _ if !common => None,
        Hash::Sha256 => Some(&r::RSA_PKCS1_2048_8192_SHA256),
        Hash::Sha384 => Some(&r::RSA_PKCS1_2048_8192_SHA384),
        Hash::Sha512 => Some(&r::RSA_PKCS1_2048_8192_SHA512),
        Hash::Sha1 | Hash::Sha224 => None,
    }
}

fn verify_ecdsa(hash: Hash, key: &EcKey, message: &[u8], signature: &[u8]) -> Result<bool, SignatureFault> {
    // ring takes uncompressed points, and digests of the usual pairs; all else is legal too (RFC 5480, 2.2) and goes the
    // slower way.
    let EcKey { curve, point } = key;
    let common = match (*curve, hash) {
        _ if point.first() != Some(&4) => None,
        (Curve::P256, Hash::Sha256) => Some(&r::ECDSA_P256_SHA256_ASN1),
        (Curve::P256, Hash::Sha384) => Some(&r::ECDSA_P256_SHA384_ASN1),
        (Curve::P384, Hash::Sha256) => Some(&r::ECDSA_P384_SHA256_ASN1),
        (Curve::P384, Hash::Sha384) => Some(&r::ECDSA_P384_SHA384_ASN1),
        _ => None,
    };
    match common {
        Some(how) => Ok(r::UnparsedPublicKey::new(how, point).verify(message, signature).is_ok()),
        None => verify_wide_ecdsa(*curve, point, &hash.digest(message), signature)
            .ok_or_else(|| SignatureFault::Unknown(format!("ECDSA on {curve:?}"))),
    }
}

fn verify_ml_dsa(set: u8, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    match set {
        17 => verify_ml_dsa_with::<ml_dsa::MlDsa44>(key, message, signature),
        18 => verify_ml_dsa_with::<ml_dsa::MlDsa65>(key, message, signature),
        _ => verify_ml_dsa_with::<ml_dsa::MlDsa87>(key, message, signature),
    }
}

fn verify_ml_dsa_with<P: ml_dsa::MlDsaParams>(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let Ok(key) = ml_dsa::EncodedVerifyingKey::<P>::try_from(key) else { return false };
    let Ok(signature) = ml_dsa::EncodedSignature::<P>::try_from(signature) else { return false };
    let key = ml_dsa::VerifyingKey::<P>::decode(&key);
    let signature = ml_dsa::Signature::<P>::decode(&signature);
    signature.is_some_and(|signature| key.verify_with_context(message, &[], &signature))
}

/// Above this a signature costs more to verify than a path may.
const MOST_BITS: usize = 16_384;
const MOST_EXPONENT_BYTES: usize = 8;

/// The signature raised to the public exponent, as wide as the modulus; none when it cannot be one.
fn open_signature(key: &Key, signature: &[u8]) -> Option<Vec<u8>> {
    let Key::Rsa { n, e } = key else { return None };
    if n.len() * 8 > MOST_BITS || e.len() > MOST_EXPONENT_BYTES || signature.len() != n.len() {
        return None;
    }
    let (modulus, number) = (BigUint::from_bytes_be(n), BigUint::from_bytes_be(signature));
    if number >= modulus {
        return None;
    }
    let bytes = number.modpow(&BigUint::from_bytes_be(e), &modulus).to_bytes_be();
    let mut wide = vec![0; n.len() - bytes.len()];
    wide.extend_from_slice(&bytes);
    Some(wide)
}

/// RSASSA-PKCS1-v1_5 (RFC 8017, 8.2.2): the whole encoded message is made again and compared. Whoever parses it instead
/// takes forged padding when the exponent is 3 (CVE-2006-4339).
fn verify_pkcs1(key: &Key, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
    let Some(opened) = open_signature(key, signature) else { return false };
    let digest = hash.digest(message);
    let id = hash.oid();
    let byte = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
    let mut info = vec![0x30, byte(id.len() + digest.len() + 8), 0x30, byte(id.len() + 4), 0x06];
    info.push(byte(id.len()));
    info.extend_from_slice(&id);
    info.extend_from_slice(&[0x05, 0, 0x04, byte(digest.len())]);
    info.extend_from_slice(&digest);
    let Some(padding) = opened.len().checked_sub(info.len() + 3).filter(|p| *p >= 8) else { return false };
    let made = [&[0, 1], vec![0xff; padding].as_slice(), &[0], info.as_slice()].concat();
    made == opened
}

/// RSASSA-PSS (RFC 8017, 9.1.2).
fn verify_pss(key: &Key, params: PssParams, message: &[u8], signature: &[u8]) -> bool {
    let PssParams { hash, mask, salt } = params;
    let Some(opened) = open_signature(key, signature) else { return false };
    let bits = key.rsa_bits().unwrap_or(0) - 1;
    let encoded = &opened[opened.len() - bits.div_ceil(8)..];
    // The encoded message is one bit shorter than the modulus: where that makes it a byte shorter, the byte must be zero.
    let leading_is_zero = opened.len() == encoded.len() || opened[0] == 0;
    let size = hash.size();
    let Some(db_size) = encoded.len().checked_sub(size + 1).filter(|d| *d > salt) else { return false };
    let (masked, rest) = encoded.split_at(db_size);
    let (seed, trailer) = rest.split_at(size);
    let unused = encoded.len() * 8 - bits;
    if !leading_is_zero || trailer != [0xbc] || u32::from(masked[0]).leading_zeros() < 24 + small_bits(unused)
    {
        return false;
    }
    let mut db: Vec<u8> = masked.iter().zip(generate_mask(mask, seed, db_size)).map(|(m, g)| m ^ g).collect();
    db[0] &= 0xffu8.checked_shr(small_bits(unused)).unwrap_or(0);
    let (padding, salted) = db.split_at(db_size - salt - 1);
    let again = hash.digest(&[&[0; 8], hash.digest(message).as_slice(), &salted[1..]].concat());
    padding.iter().all(|b| *b == 0) && salted[0] == 1 && again == seed
}

fn small_bits(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(8)
}

fn generate_mask(hash: Hash, seed: &[u8], size: usize) -> Vec<u8> {
    let block = |n: u32| hash.digest(&[seed, &n.to_be_bytes()].concat());
    (0u32..).flat_map(block).take(size).collect()
}

macro_rules! verify {
    ($curve:ident, $size:literal, $point:ident, $digest:ident, $signature:ident) => {{
        use $curve::ecdsa::signature::hazmat::PrehashVerifier;
        use $curve::ecdsa::{DerSignature, VerifyingKey};
        let key = VerifyingKey::from_sec1_bytes($point).ok();
        let signature = DerSignature::from_bytes($signature).ok();
        let digest = widen_digest($digest, $size);
        key.zip(signature).is_some_and(|(key, signature)| key.verify_prehash(&digest, &signature).is_ok())
    }};
}

/// Whether the signature fits; none for a curve that cannot be judged here.
fn verify_wide_ecdsa(curve: Curve, point: &[u8], digest: &[u8], signature: &[u8]) -> Option<bool> {
    match curve {
        Curve::P256 => Some(verify!(p256, 32, point, digest, signature)),
        Curve::P384 => Some(verify!(p384, 48, point, digest, signature)),
        Curve::P521 => Some(verify!(p521, 66, point, digest, signature)),
        Curve::P192 | Curve::P224 => None,
    }
}

/// A digest that is narrower than the field is a small number; the libraries want it written out.
fn widen_digest(digest: &[u8], size: usize) -> Vec<u8> {
    let mut wide = vec![0; size.saturating_sub(digest.len())];
    wide.extend_from_slice(digest);
    wide
}
