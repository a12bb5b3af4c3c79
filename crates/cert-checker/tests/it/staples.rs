//! Stapled answers, made by openssl and by hand.

use crate::der;
use crate::mint::Wish;
use crate::pki::{self, Key, Pair};
use crate::revoked::Lists;
use crate::server::Server;
use crate::world::{Found, World};

#[test]
fn a_staple_that_is_demanded() {
    let wish = Wish::server(&[]).extension(&[1, 3, 6, 1, 5, 5, 7, 1, 24], false, &[0x30, 3, 2, 1, 5]);
    let lists = Lists::new(&wish);
    assert_eq!(lists.said(&[]), [""; 0], "a file has no staple");
    let server = Server::showing(&lists.leaf, &[]);
    let ran = lists.world.check(&[&server.target(), "--trust", &lists.trust]);
    assert_eq!(ran.finding_ids(), ["staple-missing critical"], "R4: {}", ran.stdout);
}

/// Answers by `openssl ocsp`, stapled by our own server.
#[test]
fn stapled_answers() {
    let world = World::new();
    let at = |name: &str| world.path(name);
    let x509 = |args: &[&str]| drop(crate::world::ok("openssl", args));
    x509(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "9000",
        "-subj",
        "/CN=Root",
        "-keyout",
        &at("root.key"),
        "-out",
        &at("root.pem"),
    ]);
    x509(&[
        "req",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=localhost",
        "-keyout",
        &at("leaf.key"),
        "-out",
        &at("leaf.csr"),
    ]);
    world.file("ext", "subjectAltName=IP:127.0.0.1,DNS:localhost\n");
    x509(&[
        "x509",
        "-req",
        "-in",
        &at("leaf.csr"),
        "-CA",
        &at("root.pem"),
        "-CAkey",
        &at("root.key"),
        "-set_serial",
        "1234",
        "-days",
        "9000",
        "-extfile",
        &at("ext"),
        "-out",
        &at("leaf.pem"),
    ]);
    x509(&["x509", "-in", &at("leaf.pem"), "-outform", "DER", "-out", &at("leaf.der")]);
    x509(&["pkcs8", "-topk8", "-nocrypt", "-in", &at("leaf.key"), "-outform", "DER", "-out", &at("leaf.p8")]);
    let answer = |state: &str, days: &str| {
        world.file(
            "index",
            format!(
                "{state}\t501122120000Z\t{}\t04D2\tunknown\t/CN=localhost\n",
                if state == "R" { "250101000000Z" } else { "" }
            ),
        );
        x509(&["ocsp", "-issuer", &at("root.pem"), "-cert", &at("leaf.pem"), "-reqout", &at("req")]);
        x509(&[
            "ocsp",
            "-index",
            &at("index"),
            "-CA",
            &at("root.pem"),
            "-rsigner",
            &at("root.pem"),
            "-rkey",
            &at("root.key"),
            "-reqin",
            &at("req"),
            "-respout",
            &at("resp"),
            "-ndays",
            days,
        ]);
        std::fs::read(at("resp")).expect("an answer")
    };
    let good = answer("V", "9000");
    let mut forged = good.clone();
    // The responder's name, in the part that is signed.
    let name = forged.windows(4).position(|w| w == b"Root").expect("the responder's name");
    forged[name] ^= 1;
    let cases: [(&str, Vec<u8>, &str, &[&str]); 5] = [
        ("R4 good", good, crate::world::judged_at(), &[]),
        ("R4 revoked", answer("R", "9000"), crate::world::judged_at(), &["revoked critical"]),
        ("R4 old", answer("V", "1"), "2040-01-01T00:00:00Z", &["staple-expired warning"]),
        ("R4 forged", forged, crate::world::judged_at(), &["staple-unusable warning"]),
        ("R4 junk", b"junk".to_vec(), crate::world::judged_at(), &["staple-unusable warning"]),
    ];
    for (id, staple, moment, said) in cases {
        let read = |name: &str| std::fs::read(at(name)).expect("made");
        let mut certified = (*crate::server::from_pkcs8(&[read("leaf.der")], read("leaf.p8"))).clone();
        certified.ocsp = Some(staple);
        let server = Server::tls(crate::server::several(vec![std::sync::Arc::new(certified)]));
        let ran =
            world.run(&["check", "--json", "--at", moment, &server.target(), "--trust", &at("root.pem")]);
        assert_eq!(ran.finding_ids(), said, "{id}: {}", ran.stdout);
    }
}

/// An answer by whoever has `signer`, that the leaf with this serial number is good.
fn good(signer: &Pair, serial: &[u8], from: &str) -> Vec<u8> {
    let id = der::seq(&[
        der::seq(&[der::oid("1.3.14.3.2.26"), der::null()]),
        der::octets(&[1; 20]),
        der::octets(&[2; 20]),
        der::tlv(2, serial),
    ]);
    let single = der::seq(&[id, der::tlv(0x80, &[]), der::time(from)]);
    let tbs =
        der::seq(&[der::tlv(0xa2, &der::octets(&signer.key.id())), der::time(from), der::seq(&[single])]);
    let signature = der::bits(&signer.key.sign(&tbs));
    let signers = der::tlv(0xa0, &der::seq(std::slice::from_ref(&signer.der)));
    let basic = der::seq(&[tbs, signer.key.algorithm.clone(), signature, signers]);
    let bytes = der::seq(&[der::oid("1.3.6.1.5.5.7.48.1.1"), der::octets(&basic)]);
    der::seq(&[der::tlv(0x0a, &[0]), der::tlv(0xa0, &bytes)])
}

/// Who signs for the issuer must be named by its signature: one that cannot be judged names nobody, for the server sends
/// the signer's certificate itself.
#[test]
fn signers_of_answers() {
    let lists = Lists::new(&Wish::server(&[]));
    let issuer = |key: Key| Pair {
        der: lists.root.der.clone(),
        key,
        subject: der::name("CN=Test Root"),
        serial: der::int(1),
    };
    let unknown = Key::with(Key::new().spki, der::seq(&[der::oid("1.2.3.4.5")]), |_| vec![7; 70]);
    for (id, key) in [("another key's", Key::new()), ("an unknown algorithm's", unknown)] {
        let signer = issuer(key).leaf(|s| {
            s.put(pki::EKU, false, pki::eku(&[pki::OCSP]));
        });
        let mut certified =
            (*crate::server::certified(std::slice::from_ref(&lists.leaf.der), &lists.leaf.key)).clone();
        certified.ocsp = Some(good(&signer, &[7, 7], "20260101000000Z"));
        let server = Server::tls(crate::server::several(vec![std::sync::Arc::new(certified)]));
        let ran = lists.world.check(&[&server.target(), "--trust", &lists.trust]);
        assert_eq!(ran.finding_ids(), ["staple-unusable warning"], "{id}: {}", ran.stdout);
    }
}
