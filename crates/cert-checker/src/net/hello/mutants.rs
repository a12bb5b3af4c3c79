//! Random damage to what a peer sends: no parser may panic, loop or take more than it was given.

use super::read::read;
use crate::facts::Cert;
use crate::net::ciphers;
use crate::store::{der, pem};
use testkit::{Dice, seed, spell};

/// A server's first flight of TLS 1.2, and a certificate: what is damaged.
fn seeds() -> (Vec<u8>, Vec<u8>) {
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
pub(crate) fn mutants(count: usize, seed_bytes: &[u8], mut parse: impl FnMut(&[u8])) {
    let mut dice = Dice::new(seed());
    for _ in spell(count) {
        parse(&mutant(&mut dice, seed_bytes));
    }
}

#[test]
fn mutants_of_a_flight() {
    let (flight, _) = seeds();
    let answer = read(&mut flight.as_slice()).expect("the seed is well-formed");
    assert_eq!((answer.chain.len(), answer.dh_bits), (1, Some(1024)), "{}", ciphers::name(answer.cipher));
    mutants(50_000, &flight, |bytes| {
        if let Ok(answer) = read(&mut &bytes[..]) {
            assert!(answer.chain.iter().map(Vec::len).sum::<usize>() <= bytes.len());
        }
    });
}

#[test]
fn mutants_of_a_certificate() {
    let (_, cert) = seeds();
    mutants(20_000, &cert, |bytes| {
        if let Ok(cert) = Cert::read(bytes) {
            assert!(cert.der.len() <= bytes.len() && cert.subject.len() < 2048);
        }
    });
}

#[test]
fn mutants_of_files() {
    let (_, cert) = seeds();
    mutants(50_000, &cert, |bytes| {
        let _ = (der::pkcs7(bytes), der::rsa_numbers(bytes), der::elements(bytes).len());
    });
    let text = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", "QUJD".repeat(40));
    mutants(20_000, text.as_bytes(), |bytes| drop(pem::blocks(bytes)));
}
