//! Random damage to a stapled answer and to a revocation list: no parser may panic, loop or take more than it was given.

use super::ocsp;
use crate::facts::{Cert, Moment};
use crate::net::hello::mutants::mutants;
use crate::store::der::element;
use crate::store::jks;
use pkix::{Crl, Profile, Reading, Standing};

/// An issuer, what it signed, and a list of its.
fn seeds() -> (Cert, Cert, Vec<u8>) {
    let key = || rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let own = key();
    let root = params.self_signed(&own).expect("a root").der().to_vec();
    let issuer = rcgen::Issuer::new(params, own);
    let leaf = rcgen::CertificateParams::new(vec!["a.example".to_string()]).expect("a name");
    let leaf = leaf.signed_by(&key(), &issuer).expect("a leaf").der().to_vec();
    let at = |days: u64| {
        (std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(days * 86_400)).into()
    };
    let revoked = |n: u8| rcgen::RevokedCertParams {
        serial_number: rcgen::SerialNumber::from(vec![n, 7]),
        revocation_time: at(20_000),
        reason_code: Some(rcgen::RevocationReason::KeyCompromise),
        invalidity_date: Some(at(19_000)),
    };
    let list = rcgen::CertificateRevocationListParams {
        this_update: at(20_000),
        next_update: at(30_000),
        crl_number: rcgen::SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: (1..9).map(revoked).collect(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&issuer).expect("a list").der().to_vec();
    (Cert::read(&root).expect("reads"), Cert::read(&leaf).expect("reads"), list)
}

#[test]
fn mutants_of_a_list() {
    let (issuer, leaf, list) = seeds();
    let parsed = |cert: &Cert| pkix::Cert::parse(&cert.der).expect("it parses");
    let (issuer, leaf) = (parsed(&issuer), parsed(&leaf));
    let reading = Reading { at: 25_000 * 86_400, profile: Profile::Basic };
    let said =
        |bytes: &[u8]| Crl::parse(bytes).ok().map(|l| pkix::find_standing(&leaf, &issuer, [&l], reading));
    assert_eq!(said(&list), Some(Standing::Good), "the seed is well-formed");
    let signed = element(element(&list).expect("a list").0.body).expect("its signed part").0.whole;
    mutants(20_000, &list, |bytes| {
        // Around what is signed, as in the parameters of the algorithm, there is room that means nothing.
        let whole = bytes.windows(signed.len()).any(|window| window == signed);
        let taken = matches!(said(bytes), Some(Standing::Good | Standing::Revoked(_) | Standing::Stale(_)));
        assert!(whole || !taken, "taken for good");
    });
}

/// successful, id-pkix-ocsp-basic, one good answer, and a certificate of a signer; the signature is anybody's.
fn staple(leaf: &Cert) -> Vec<u8> {
    let tlv = |tag: u8, parts: &[&[u8]]| {
        let body = parts.concat();
        let length = u16::try_from(body.len()).expect("small").to_be_bytes();
        [&[tag, 0x82][..], &length, &body].concat()
    };
    let time = |tag: u8| tlv(tag, &[b"20260101000000Z"]);
    let id = tlv(
        0x30,
        &[
            &tlv(0x30, &[&tlv(6, &[&[43, 14, 3, 2, 26]])]),
            &tlv(4, &[&[1; 20]]),
            &tlv(4, &[&[2; 20]]),
            &tlv(2, &[&[7]]),
        ],
    );
    let single = tlv(0x30, &[&id, &tlv(0x80, &[]), &time(0x18), &tlv(0xa0, &[&time(0x18)])]);
    let signed = tlv(0x30, &[&tlv(0xa2, &[&tlv(4, &[&[3; 20]])]), &time(0x18), &tlv(0x30, &[&single])]);
    let algorithm = tlv(0x30, &[&tlv(6, &[&[42, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]])]);
    let signers = tlv(0xa0, &[&tlv(0x30, &[&leaf.der])]);
    let basic = tlv(0x30, &[&signed, &algorithm, &tlv(3, &[&[0; 71]]), &signers]);
    let bytes = tlv(0x30, &[&tlv(6, &[&[43, 6, 1, 5, 5, 7, 48, 1, 1]]), &tlv(4, &[&basic])]);
    tlv(0x30, &[&tlv(0x0a, &[&[0]]), &tlv(0xa0, &[&bytes])])
}

#[test]
fn mutants_of_a_staple() {
    let (issuer, leaf, _) = seeds();
    let staple = staple(&leaf);
    assert!(ocsp::read(&staple).is_ok(), "the seed is well-formed");
    mutants(20_000, &staple, |bytes| {
        if let Ok(answer) = ocsp::read(bytes) {
            assert!(answer.judge(&leaf, Some(&issuer), Moment(0)).is_err(), "nobody signed it");
        }
    });
}

#[test]
fn mutants_of_a_keystore() {
    let cert = [&[0, 5][..], b"X.509", &4u32.to_be_bytes(), b"LEAF"].concat();
    let head = [0xfeed_feed_u32, 2, 1, 1].map(u32::to_be_bytes).concat();
    let whole =
        [&head[..], &[0, 3], b"web", &[0; 8], &3u32.to_be_bytes(), b"KEY", &1u32.to_be_bytes(), &cert]
            .concat();
    mutants(50_000, &whole, |bytes| {
        let held = jks::read(bytes).map_or(0, |k| k.certs.iter().map(Vec::len).sum());
        assert!(held <= bytes.len());
    });
}
