//! ECDSA that ring does not verify: P-521, and digests of another size than the curve's.

use super::spki::Curve;

macro_rules! verify {
    ($curve:ident, $size:literal, $point:ident, $digest:ident, $signature:ident) => {{
        use $curve::ecdsa::signature::hazmat::PrehashVerifier;
        use $curve::ecdsa::{DerSignature, VerifyingKey};
        let key = VerifyingKey::from_sec1_bytes($point).ok();
        let signature = DerSignature::from_bytes($signature).ok();
        let digest = widened($digest, $size);
        key.zip(signature).is_some_and(|(key, signature)| key.verify_prehash(&digest, &signature).is_ok())
    }};
}

/// Whether the signature fits; none for a curve that cannot be judged here.
pub(crate) fn verify(curve: Curve, point: &[u8], digest: &[u8], signature: &[u8]) -> Option<bool> {
    match curve {
        Curve::P256 => Some(verify!(p256, 32, point, digest, signature)),
        Curve::P384 => Some(verify!(p384, 48, point, digest, signature)),
        Curve::P521 => Some(verify!(p521, 66, point, digest, signature)),
        Curve::P192 | Curve::P224 => None,
    }
}

/// A digest that is narrower than the field is a small number; the libraries want it written out.
fn widened(digest: &[u8], size: usize) -> Vec<u8> {
    let mut wide = vec![0; size.saturating_sub(digest.len())];
    wide.extend_from_slice(digest);
    wide
}
