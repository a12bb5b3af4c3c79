//! Random damage to what a peer sends or a file holds: no parser may panic, loop or take more than it was given.

use crate::facts::{CertFacts, UnixSeconds};
use crate::files::containers::{self, read_element, read_java_keystore};
use crate::files::pem;
use crate::net::ciphers;
use crate::net::hello::read_flight;
use crate::revocation::ocsp;
use pkix::{Crl, Profile, Reading, Standing};
use testkit::{Dice, seed, spell};

/// A server's first flight of TLS 1.2, and a certificate: what is damaged.
fn flight_seeds() -> (Vec<u8>, Vec<u8>) {
    let params = rcgen::CertificateParams::new(vec!["example.org".to_string()]).expect("a name");
    let key = rcgen::KeyPair::generate().expect("a key");
    let cert = params.self_signed(&key).expect("a certificate").der().to_vec();
    let of24 = |n: usize| u32::try_from(n).expect("small").to_be_bytes()[1..].to_vec();
    let message = |kind: u8, body: Vec<u8>| [vec![kind], of24(body.len()), body].concat();
    let hello =
        [vec![3, 3], vec![7; 32], vec![0], vec![0, 0x9e], vec![0], vec![0, 6, 0, 43, 0, 2, 3, 3]].concat();
    let list = [of24(cert.len()), cert.clone()].concat();
    let exchange = [vec![0, 128], vec![0xff; 128], vec![0, 1, 2]].concat();
    let all = [
        message(2, hello),
        message(11, [of24(list.len()), list].concat()),
        message(12, exchange),
        message(14, vec![]),
    ];
    let all = all.concat();
    let length = u16::try_from(all.len()).expect("small").to_be_bytes().to_vec();
    ([vec![22, 3, 3], length, all].concat(), cert)
}

/// Flips, cuts, doubles and overwrites a few places.
fn mutant(dice: &mut Dice, seed: &[u8]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=dice.below(6) {
        let at = dice.index(bytes.len().max(1));
        match dice.below(5) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            2 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][dice.index(5)],
            3 => {
                let piece = bytes[at..bytes.len().min(at + 40)].to_vec();
                bytes.splice(at..at, piece);
            }
            _ if at < bytes.len() => drop(bytes.remove(at)),
            _ => {}
        }
    }
    bytes
}

/// Hands mutants of `seed_bytes` to `parse`, as many as the rounds say.
fn mutants(count: usize, seed_bytes: &[u8], mut parse: impl FnMut(&[u8])) {
    let mut dice = Dice::new(seed());
    for _ in spell(count) {
        parse(&mutant(&mut dice, seed_bytes));
    }
}

#[test]
fn mutants_of_a_flight() {
    let (flight, _) = flight_seeds();
    let answer = read_flight(&mut flight.as_slice()).expect("the seed is well-formed");
    assert_eq!(
        (answer.chain.len(), answer.dh_bits),
        (1, Some(1024)),
        "{}",
        ciphers::suite_name(answer.cipher)
    );
    mutants(50_000, &flight, |bytes| {
        if let Ok(answer) = read_flight(&mut &bytes[..]) {
            assert!(answer.chain.iter().map(Vec::len).sum::<usize>() <= bytes.len());
        }
    });
}

#[test]
fn mutants_of_a_certificate() {
    let (_, cert) = flight_seeds();
    mutants(20_000, &cert, |bytes| {
        if let Ok(cert) = CertFacts::read_der(bytes) {
            assert!(cert.der.len() <= bytes.len() && cert.subject.len() < 2048);
        }
    });
}

#[test]
fn mutants_of_files() {
    let (_, cert) = flight_seeds();
    mutants(50_000, &cert, |bytes| {
        let _ = (
            containers::read_pkcs7(bytes),
            containers::read_rsa_key(bytes),
            containers::read_elements(bytes).len(),
        );
    });
    let text = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", "QUJD".repeat(40));
    mutants(20_000, text.as_bytes(), |bytes| drop(pem::read_blocks(bytes)));
}

/// An issuer, what it signed, and a list of its.
fn list_seeds() -> (CertFacts, CertFacts, Vec<u8>) {
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
    (CertFacts::read_der(&root).expect("reads"), CertFacts::read_der(&leaf).expect("reads"), list)
}

#[test]
fn mutants_of_a_list() {
    let (issuer, leaf, list) = list_seeds();
    let parsed = |cert: &CertFacts| pkix::Cert::parse(&cert.der).expect("it parses");
    let (issuer, leaf) = (parsed(&issuer), parsed(&leaf));
    let reading = Reading { at: 25_000 * 86_400, profile: Profile::Basic };
    let said =
        |bytes: &[u8]| Crl::parse(bytes).ok().map(|l| pkix::find_standing(&leaf, &issuer, [&l], reading));
    assert_eq!(said(&list), Some(Standing::Good), "the seed is well-formed");
    let signed = read_element(read_element(&list).expect("a list").0.body).expect("its signed part").0.whole;
    mutants(20_000, &list, |bytes| {
        // Around what is signed, as in the parameters of the algorithm, there is room that means nothing.
        let whole = bytes.windows(signed.len()).any(|window| window == signed);
        let taken = matches!(said(bytes), Some(Standing::Good | Standing::Revoked(_) | Standing::Stale(_)));
        assert!(whole || !taken, "taken for good");
    });
}

/// successful, id-pkix-ocsp-basic, one good answer, and a certificate of a signer; the signature is anybody's.
fn staple(leaf: &CertFacts) -> Vec<u8> {
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
    let (issuer, leaf, _) = list_seeds();
    let staple = staple(&leaf);
    assert!(ocsp::read_answer(&staple).is_ok(), "the seed is well-formed");
    mutants(20_000, &staple, |bytes| {
        if let Ok(answer) = ocsp::read_answer(bytes) {
            assert!(
                answer.judge_certificate(&leaf, Some(&issuer), UnixSeconds(0)).is_err(),
                "nobody signed it"
            );
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
        let held = read_java_keystore(bytes).map_or(0, |k| k.certs.iter().map(Vec::len).sum());
        assert!(held <= bytes.len());
    });
}
