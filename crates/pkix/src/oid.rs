//! Object identifiers, as their DER content.

pub(crate) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
pub(crate) const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
pub(crate) const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 14];
pub(crate) const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];
pub(crate) const ISSUER_ALT_NAME: &[u8] = &[0x55, 0x1d, 18];
pub(crate) const CRL_NUMBER: &[u8] = &[0x55, 0x1d, 20];
pub(crate) const REASON_CODE: &[u8] = &[0x55, 0x1d, 21];
pub(crate) const INVALIDITY_DATE: &[u8] = &[0x55, 0x1d, 24];
pub(crate) const DELTA_CRL: &[u8] = &[0x55, 0x1d, 27];
pub(crate) const ISSUING_POINT: &[u8] = &[0x55, 0x1d, 28];
pub(crate) const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 30];
pub(crate) const CRL_POINTS: &[u8] = &[0x55, 0x1d, 31];
pub(crate) const POLICIES: &[u8] = &[0x55, 0x1d, 32];
pub(crate) const ANY_POLICY: &[u8] = &[0x55, 0x1d, 32, 0];
pub(crate) const POLICY_MAPPINGS: &[u8] = &[0x55, 0x1d, 33];
pub(crate) const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 35];
pub(crate) const POLICY_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 36];
pub(crate) const EXT_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];
/// anyExtendedKeyUsage (RFC 5280, 4.2.1.12).
pub const ANY_EKU: &[u8] = &[0x55, 0x1d, 37, 0];
pub(crate) const FRESHEST_CRL: &[u8] = &[0x55, 0x1d, 46];
pub(crate) const INHIBIT_ANY: &[u8] = &[0x55, 0x1d, 54];
pub(crate) const AUTHORITY_INFO: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 1];
pub(crate) const SUBJECT_INFO: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 11];

pub(crate) const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
pub(crate) const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];
pub(crate) const CODE_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 3];
pub(crate) const EMAIL_PROTECTION: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 4];
pub(crate) const TIME_STAMPING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 8];
pub(crate) const OCSP_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 9];
/// The key that signs precertificates (RFC 6962).
pub(crate) const PRECERTIFICATE: &[u8] = &[0x2b, 6, 1, 4, 1, 0xd6, 0x79, 2, 4, 4];

pub(crate) const COMMON_NAME: &[u8] = &[0x55, 4, 3];
pub(crate) const EMAIL_ADDRESS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];

pub(crate) const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
pub(crate) const RSA_MGF1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8];
pub(crate) const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
/// What all of RSA's PKCS #1 signatures begin with; the last byte tells the digest.
pub(crate) const PKCS1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1];
pub(crate) const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
pub(crate) const P192: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 1];
pub(crate) const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
pub(crate) const P224: &[u8] = &[0x2b, 0x81, 4, 0, 33];
pub(crate) const P384: &[u8] = &[0x2b, 0x81, 4, 0, 34];
pub(crate) const P521: &[u8] = &[0x2b, 0x81, 4, 0, 35];
pub(crate) const ECDSA_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];
/// What ECDSA with SHA-2 begins with; the last byte tells the digest.
pub(crate) const ECDSA_SHA2: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3];
pub(crate) const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
pub(crate) const DSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x38, 4, 1];
/// What ML-DSA begins with (RFC 9881): 17 is ML-DSA-44, 18 ML-DSA-65, 19 ML-DSA-87.
pub(crate) const ML_DSA: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3];
pub(crate) const SHA1: &[u8] = &[0x2b, 0x0e, 3, 2, 26];
/// What SHA-2 begins with; the last byte tells the size.
pub(crate) const SHA2: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2];

/// `2.5.29.19`.
pub(crate) fn format_oid(oid: &[u8]) -> String {
    let mut arcs: Vec<u128> = Vec::new();
    let mut arc = 0u128;
    for byte in oid {
        arc = arc << 7 | u128::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            arcs.push(arc);
            arc = 0;
        }
    }
    let Some((&first, rest)) = arcs.split_first() else { return String::new() };
    let root = (first / 40).min(2);
    let all = [root, first - 40 * root].into_iter().chain(rest.iter().copied());
    all.map(|a| a.to_string()).collect::<Vec<_>>().join(".")
}
