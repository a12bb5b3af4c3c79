//! RSA signatures that ring does not verify: other sizes, SHA-1 beside SHA-2, other salts. Only public numbers are
//! handled, so nothing here need be constant in time.

use super::alg::Hash;
use super::spki::Key;
use num_bigint::BigUint;

/// Above this a signature costs more to verify than a path may.
const MOST_BITS: usize = 16_384;
const MOST_EXPONENT_BYTES: usize = 8;

/// The signature raised to the public exponent, as wide as the modulus; none when it cannot be one.
fn opened(key: &Key, signature: &[u8]) -> Option<Vec<u8>> {
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

/// RSASSA-PKCS1-v1_5 (RFC 8017, 8.2.2): the whole encoded message is made again and compared.
pub(crate) fn pkcs1(key: &Key, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
    let Some(opened) = opened(key, signature) else { return false };
    let digest = hash.digest(message);
    let id = hash.oid();
    let small = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
    let mut info = vec![0x30, small(id.len() + digest.len() + 8), 0x30, small(id.len() + 4), 0x06];
    info.push(small(id.len()));
    info.extend_from_slice(&id);
    info.extend_from_slice(&[0x05, 0, 0x04, small(digest.len())]);
    info.extend_from_slice(&digest);
    let Some(padding) = opened.len().checked_sub(info.len() + 3).filter(|p| *p >= 8) else { return false };
    let made = [&[0, 1], vec![0xff; padding].as_slice(), &[0], info.as_slice()].concat();
    made == opened
}

/// RSASSA-PSS (RFC 8017, 9.1.2).
pub(crate) fn pss(
    key: &Key,
    (hash, mask): (Hash, Hash),
    salt: usize,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let Some(opened) = opened(key, signature) else { return false };
    let bits = key.rsa_bits().unwrap_or(0) - 1;
    let encoded = &opened[opened.len() - bits.div_ceil(8)..];
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
    let mut db: Vec<u8> = masked.iter().zip(mgf1(mask, seed, db_size)).map(|(m, g)| m ^ g).collect();
    db[0] &= 0xffu8.checked_shr(small_bits(unused)).unwrap_or(0);
    let (padding, salted) = db.split_at(db_size - salt - 1);
    let again = hash.digest(&[&[0; 8], hash.digest(message).as_slice(), &salted[1..]].concat());
    padding.iter().all(|b| *b == 0) && salted[0] == 1 && again == seed
}

fn small_bits(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(8)
}

fn mgf1(hash: Hash, seed: &[u8], size: usize) -> Vec<u8> {
    let block = |n: u32| hash.digest(&[seed, &n.to_be_bytes()].concat());
    (0u32..).flat_map(block).take(size).collect()
}
