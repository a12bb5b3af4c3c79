//! Keys and signatures, of every kind that openssl or a library can make.

use crate::case::*;
use crate::der::*;
use crate::pki::*;
use crate::signers::*;
use pkix::{Code, Profile};

const RFC: &[Profile] = &[Profile::Rfc5280, Profile::Basic];

/// A leaf below a root that signs with this key.
fn signed_by(id: &'static str, key: &Key) -> Case {
    let root = root(|s| s.key = key.clone());
    case(id, &root.leaf(|_| {}), &[&root])
}

/// The same root, and a leaf whose signature is off by a bit.
fn forged(id: &'static str, key: &Key) {
    let root = root(|s| s.key = key.clone());
    case(id, &root.leaf(|s| s.break_signature = true), &[&root])
        .refused(&[Profile::Rfc5280], Code::BadSignature);
}

/// A leaf with this key below an ordinary root.
fn carried(id: &'static str, key: &Key) -> Case {
    let root = plain_root();
    case(id, &root.leaf(|s| s.key = key.clone()), &[&root])
}

#[test]
fn rsa_sizes_and_digests() {
    for digest in ["sha256", "sha384", "sha512", "sha224"] {
        let key = rsa("2048", digest);
        signed_by("RSA 2048", &key).valid(EVERY).agrees_with_openssl(false);
        forged("RSA 2048, forged", &key);
    }
    let odd = rsa("2052", "sha256");
    signed_by("webpki::forbidden-rsa-not-divisable-by-8-in-root", &odd)
        .valid(RFC)
        .refused(WEB, Code::WeakKey);
    carried("webpki::forbidden-rsa-key-not-divisable-by-8-in-leaf", &odd)
        .valid(RFC)
        .refused(WEB, Code::WeakKey);
    let weak = rsa("1024", "sha256");
    signed_by("webpki::forbidden-weak-rsa-key-in-root", &weak).valid(RFC).refused(WEB, Code::WeakKey);
    carried("webpki::forbidden-weak-rsa-in-leaf", &weak).valid(RFC).refused(WEB, Code::WeakKey);
    forged("RSA 1024, forged", &weak);
    signed_by("RSA 1024 with SHA-384", &rsa("1024", "sha384")).valid(RFC);
    signed_by("RSA 512", &rsa("512", "sha256")).refused(EVERY, Code::WeakKey);
}

#[test]
fn old_digests() {
    let key = rsa("2048", "sha1");
    signed_by("SHA-1", &key)
        .valid(&[Profile::Rfc5280])
        .refused(&[Profile::Both, Profile::Webpki, Profile::Basic], Code::WeakSignature);
    forged("SHA-1, forged", &key);
    signed_by("MD5", &rsa("2048", "md5")).refused(EVERY, Code::WeakSignature);
    // What a root signs itself with proves nothing.
    let root = root(|s| s.key = key.clone());
    let ica = root.intermediate(|_| {});
    case("SHA-1 at the anchor only", &ica.leaf(|_| {}), &[&ica, &root]).valid(EVERY);
}

#[test]
fn rsa_pss() {
    let sha = |last| seq(&[oid(&format!("2.16.840.1.101.3.4.2.{last}")), null()]);
    let pss = |last: u32, salt: u32| {
        let mask = seq(&[oid("1.2.840.113549.1.1.8"), sha(last)]);
        let how = seq(&[tlv(0xa0, &sha(last)), tlv(0xa1, &mask), tlv(0xa2, &int(salt))]);
        seq(&[oid("1.2.840.113549.1.1.10"), how])
    };
    let kind = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
    let with = |algorithm, digest: &'static [&'static str]| made(&kind, algorithm, digest);
    let key =
        with(pss(1, 32), &["-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"]);
    signed_by("PSS", &key).valid(EVERY).agrees_with_openssl(false);
    forged("PSS, forged", &key);
    let key =
        with(pss(3, 20), &["-sha512", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:20"]);
    signed_by("PSS with another salt", &key).valid(EVERY);
    let key =
        with(pss(1, 20), &["-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"]);
    signed_by("PSS with a salt that is not the one named", &key).refused(EVERY, Code::BadSignature);
    let odd = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1025"];
    let key = made(
        &odd,
        pss(1, 32),
        &["-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"],
    );
    signed_by("PSS with 1025 bits", &key).valid(RFC);
}

#[test]
fn curves() {
    for (curve, digest, last) in [
        ("P-256", &["-sha256"] as &'static [&'static str], 2),
        ("P-256", &["-sha384"], 3),
        ("P-256", &["-sha512"], 4),
        ("P-384", &["-sha384"], 3),
        ("P-384", &["-sha256"], 2),
        ("P-384", &["-sha512"], 4),
        ("P-521", &["-sha512"], 4),
        ("P-521", &["-sha256"], 2),
        ("P-521", &["-sha224"], 1),
    ] {
        let key = ec(curve, digest, last);
        signed_by("ECDSA", &key).valid(EVERY).agrees_with_openssl(false);
        forged("ECDSA, forged", &key);
    }
    let small = ec("P-192", &["-sha256"], 2);
    carried("webpki::forbidden-p192-leaf", &small).valid(RFC).refused(WEB, Code::WeakKey);
    signed_by("webpki::forbidden-p192-root", &small).refused(WEB, Code::WeakKey);
    let mut null_parameters = Key::new();
    null_parameters.algorithm = seq(&[oid("1.2.840.10045.4.3.2"), null()]);
    signed_by("ECDSA with parameters", &null_parameters).refused(EVERY, Code::Malformed);
}

#[test]
fn explicit_curves() {
    let kind =
        ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:explicit"];
    let key = made(&kind, ecdsa_sha256(), &["-sha256"]);
    signed_by("webpki::explicit-curve", &key).refused(EVERY, Code::WeakKey);
    carried("an explicit curve in the leaf", &key).refused(EVERY, Code::WeakKey);
}

#[test]
fn edwards_and_dsa() {
    let key = made(&["-algorithm", "ED25519"], seq(&[oid("1.3.101.112")]), &[]);
    signed_by("Ed25519", &key).valid(EVERY).agrees_with_openssl(false);
    forged("Ed25519, forged", &key);
    let key = made(&["-algorithm", "ED448"], seq(&[oid("1.3.101.113")]), &[]);
    signed_by("Ed448", &key)
        .refused(&[Profile::Rfc5280], Code::UnsupportedAlgorithm)
        .refused(WEB, Code::WeakKey);
    let integer = |n: usize| tlv(2, &vec![0x11; n]);
    let kind = seq(&[oid("1.2.840.10040.4.1"), seq(&[integer(128), integer(20), integer(127)])]);
    let dsa = Key::with(seq(&[kind, bits(&integer(127))]), seq(&[oid("1.2.840.10040.4.3")]), |_| {
        seq(&[tlv(2, &[1]), tlv(2, &[1])])
    });
    carried("webpki::forbidden-dsa-leaf", &dsa).valid(RFC).refused(WEB, Code::WeakKey);
    signed_by("webpki::forbidden-dsa-root", &dsa).refused(WEB, Code::WeakKey);
}

fn ml_dsa<P: ml_dsa::MlDsaParams + 'static>(last: u32) -> Key {
    use ml_dsa::signature::{SignatureEncoding, Signer};
    let mut seed = [0u8; 32];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut seed).expect("random bytes");
    let key = ml_dsa::SigningKey::<P>::from_seed(&seed.into());
    let algorithm = seq(&[oid(&format!("2.16.840.1.101.3.4.3.{last}"))]);
    let public = ml_dsa::Keypair::verifying_key(&key).encode();
    let spki = seq(&[algorithm.clone(), bits(&public)]);
    Key::with(spki, algorithm, move |m| key.sign(m).to_bytes().to_vec())
}

#[test]
fn lattices() {
    let keys = [
        ("rfc9881::ml-dsa-44", ml_dsa::<ml_dsa::MlDsa44>(17)),
        ("rfc9881::ml-dsa-65", ml_dsa::<ml_dsa::MlDsa65>(18)),
        ("rfc9881::ml-dsa-87", ml_dsa::<ml_dsa::MlDsa87>(19)),
    ];
    for (id, key) in &keys {
        signed_by(id, key).valid(EVERY);
        carried(id, key).valid(EVERY);
        forged("rfc9881::ml-dsa-44-bad-signature", key);
    }
    for (id, bit) in [("rfc9881::ml-dsa-44-key-encipherment", 2), ("rfc9881::ml-dsa-44-key-agreement", 4)] {
        let root = plain_root();
        let leaf = root.leaf(|s| {
            s.key = keys[0].1.clone();
            s.put(USAGE, false, usage(&[0, bit]));
        });
        case(id, &leaf, &[&root]).refused(STRICT, Code::KeyUsage).valid(&[Profile::Basic]);
    }
}

#[test]
fn keys_and_algorithms_that_are_none() {
    let root = plain_root();
    let empty = Key { spki: seq(&[seq(&[oid("1.2.840.113549.1.1.1"), null()]), bits(&[])]), ..Key::new() };
    let ica = root.intermediate(|s| s.key = empty.clone());
    case("invalid::invalid-issuer-key", &ica.leaf(|_| {}), &[&root])
        .via(&[&ica])
        .refused(EVERY, Code::Malformed);
    let mixed = root.leaf(|s| s.inner_algorithm = Some(seq(&[oid("1.2.840.10045.4.3.3")])));
    case("rfc5280::mismatching-signature-algorithm", &mixed, &[&root])
        .refused(EVERY, Code::AlgorithmMismatch);
    let mixed_root = crate::pki::root(|s| s.inner_algorithm = Some(seq(&[oid("1.2.840.10045.4.3.3")])));
    case("the same at the root", &mixed_root.leaf(|_| {}), &[&mixed_root])
        .refused(EVERY, Code::AlgorithmMismatch);
    let unknown = Key { algorithm: seq(&[oid("1.2.3.4")]), ..Key::new() };
    signed_by("an unknown algorithm", &unknown).refused(RFC, Code::UnsupportedAlgorithm);
    let other = Key { algorithm: seq(&[oid("1.3.101.112")]), ..Key::new() };
    signed_by("an algorithm of another key", &other).refused(RFC, Code::BadSignature);
}
