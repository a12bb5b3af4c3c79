//! Certificates that no library writes: keys, times, names and forms of every kind, as a file and as an old server
//! shows them.

use crate::der::*;
use crate::pki::*;
use crate::server::{Server, flight};
use crate::signers;
use crate::world::{Found, World};

/// A leaf and what is sent behind it, and what must be said.
struct Row {
    id: &'static str,
    chain: Vec<Vec<u8>>,
    said: &'static [&'static str],
}

fn row(id: &'static str, chain: &[&Pair], said: &'static [&'static str]) -> Row {
    Row { id, chain: chain.iter().map(|p| p.der.clone()).collect(), said }
}

/// The same words of the file and of what is served; what the transport adds is left out. In a file, where one of
/// version 1 is nobody's authority, it has a line of its own.
fn judge(root: &Pair, name: &str, rows: &[Row]) {
    let world = World::new();
    let trust = world.file("root.pem", pem("CERTIFICATE", &root.der)).display().to_string();
    let args = ["--trust", &trust, "--name", name, "--timeout", "5s"];
    let mut wrong = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let text: String = row.chain.iter().map(|der| pem("CERTIFICATE", der)).collect();
        let file = world.file(&format!("chain{at}.pem"), text).display().to_string();
        let (chain, shown) = (row.chain.clone(), flight([3, 3], [0, 5]));
        let server = Server::start(move |stream| shown(stream, &chain));
        for target in [file.clone(), server.target()] {
            if row.id.ends_with("served") && target == file {
                continue;
            }
            let ran = world.check(&[&[target.as_str()][..], &args].concat());
            // A server may get the port of one that ended, and its certificate is another than the last one there.
            let ours = |f: &String| !f.starts_with("cipher-weak") && !f.starts_with("changed-");
            let said: Vec<String> = ran.finding_ids().into_iter().filter(ours).collect();
            let unread = row.said == ["certificate-unreadable critical"] && target == file;
            // In a file the block is told as damaged, for other blocks of it can be read.
            if said != row.said && !(unread && ran.finding_ids()[0] == "damaged unknown") {
                wrong.push(format!("{}: expected {:?}, {}", row.id, row.said, ran.stdout));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len() * 2, wrong.join("\n"));
}

/// A leaf with a key of this kind, whose private half nobody needs.
fn keyed(root: &Pair, spki: Vec<u8>) -> Pair {
    root.leaf(|s| s.key = Key::with(spki, vec![], |_| vec![]))
}

fn rsa(size: usize) -> Vec<u8> {
    let mut modulus = vec![0x5b; size.div_ceil(8)];
    modulus[0] = 1 << ((size - 1) % 8);
    *modulus.last_mut().expect("not empty") |= 1;
    let sign = if modulus[0] & 0x80 == 0 { vec![] } else { vec![0] };
    let number = tlv(2, &[sign, modulus].concat());
    seq(&[seq(&[oid("1.2.840.113549.1.1.1"), null()]), bits(&seq(&[number, int(65537)]))])
}

fn on_curve(parameters: Vec<u8>, size: usize) -> Vec<u8> {
    seq(&[seq(&[oid("1.2.840.10045.2.1"), parameters]), bits(&[vec![4], vec![7; 2 * size]].concat())])
}

fn of_algorithm(id: &str, size: usize) -> Vec<u8> {
    seq(&[seq(&[oid(id)]), bits(&vec![9; size])])
}

#[test]
fn keys() {
    let root = plain_root();
    let weak: &[&str] = &["key-weak critical"];
    let unknown: &[&str] = &["key-unknown ok"];
    let pss = seq(&[
        seq(&[oid("1.2.840.113549.1.1.10")]),
        bits(&seq(&[tlv(2, &[&[0, 0x81][..], &[1; 255]].concat()), int(65537)])),
    ]);
    let cases: Vec<(&'static str, Vec<u8>, &'static [&'static str])> = vec![
        ("K2 RSA 512", rsa(512), weak),
        ("K2 RSA 1024", rsa(1024), weak),
        ("K2 RSA 2047", rsa(2047), &["key-unusual warning"]),
        ("K2 RSA 2052", rsa(2052), &["key-unusual warning"]),
        ("K2 RSA 8192", rsa(8192), &[]),
        ("K2 RSA 16384", rsa(16384), &[]),
        ("K2 P-192", on_curve(oid("1.2.840.10045.3.1.1"), 24), weak),
        ("K2 explicit curve", on_curve(seq(&[int(1), seq(&[])]), 32), weak),
        ("K2 secp256k1", on_curve(oid("1.3.132.0.10"), 32), &["chain-invalid critical"]),
        (
            "K2 a curve of nobody's",
            on_curve(oid("1.3.6.1.4.1.99999.7"), 32),
            &["chain-invalid critical", "key-unknown ok"],
        ),
        ("K2 DSA", of_algorithm("1.2.840.10040.4.1", 128), weak),
        ("K2 Ed25519", of_algorithm("1.3.101.112", 32), &[]),
        ("K2 RSA-PSS", pss, &[]),
        ("K2 ML-DSA", of_algorithm("2.16.840.1.101.3.4.3.17", 1312), unknown),
        ("K2 unknown", of_algorithm("1.3.6.1.4.1.99999.8", 40), unknown),
    ];
    let rows: Vec<Row> =
        cases.into_iter().map(|(id, spki, said)| row(id, &[&keyed(&root, spki)], said)).collect();
    judge(&root, "example.com", &rows);
}

/// An authority without a host's name, which none should have.
fn middle(by: &Pair, bend: impl FnOnce(&mut Spec)) -> Pair {
    by.intermediate(|s| {
        s.without(SAN);
        bend(s);
    })
}

fn root_of(key: Key) -> Pair {
    root(|s| s.key = key)
}

#[test]
fn signatures() {
    let root = root_of(signers::rsa("2048", "sha1"));
    let modern = middle(&root, |s| s.key = signers::rsa("2048", "sha256"));
    let below = modern.leaf(|_| {});
    let old = root.leaf(|_| {});
    let fine = plain_root();
    let middle = middle(&fine, |s| s.key = signers::rsa("2048", "md5"));
    judge(
        &root,
        "example.com",
        &[
            row("K1 SHA-1 leaf", &[&old], &["signature-sha1 critical"]),
            row("K1 SHA-1 intermediate", &[&below, &modern], &["signature-sha1 critical"]),
        ],
    );
    judge(
        &fine,
        "example.com",
        &[row("K1 MD5 leaf", &[&middle.leaf(|_| {}), &middle], &["signature-md5 critical"])],
    );
    // A root's own signature proves nothing, whatever its digest: the same key signs the leaf with SHA-256.
    let (with_sha1, with_sha256) = signers::rsa_both("2048");
    let silent = root_of(with_sha1);
    let leaf = Pair { key: with_sha256, ..silent.clone() }.leaf(|_| {});
    judge(&silent, "example.com", &[row("K1 SHA-1 root", &[&leaf], &[])]);
}

#[test]
fn times() {
    let root = plain_root();
    let odd = |tag: u8, end: &str| root.leaf(|s| s.not_after = tlv(tag, end.as_bytes()));
    let lasting = |end: &str| {
        root.leaf(|s| {
            s.lasting("700101000000Z", end);
        })
    };
    judge(
        &root,
        "example.com",
        &[
            row("T7 UTCTime 49", &[&lasting("491231235959Z")], &[]),
            row("T7 UTCTime 50", &[&lasting("500101000000Z")], &["expired critical"]),
            row("T7 GeneralizedTime 2050", &[&lasting("20500101000000Z")], &[]),
            row("T7 no expiry", &[&lasting("99991231235959Z")], &[]),
            row("T7 no zone", &[&odd(0x17, "491231235959")], &["certificate-unreadable critical"]),
            row("T7 not Zulu", &[&odd(0x17, "491231235959+0100")], &["chain-invalid critical"]),
            row("T7 a fraction", &[&odd(0x18, "20491231235959.5Z")], &["chain-invalid critical"]),
            row("T7 no month", &[&odd(0x17, "491331235959Z")], &["certificate-unreadable critical"]),
        ],
    );
}

#[test]
fn names() {
    let root = plain_root();
    let leaf = |names: &[Vec<u8>]| root.leaf_for(names);
    let beyond: &[&str] = &["chain-invalid critical", "name-mismatch critical"];
    judge(
        &root,
        "bücher.example.com",
        &[row("N5 raw UTF-8", &[&leaf(&[tlv(0x82, "bücher.example.com".as_bytes())])], beyond)],
    );
    judge(&root, "example.com", &[row("N8 empty SAN", &[&leaf(&[])], beyond)]);
}

#[test]
fn forms() {
    let root = plain_root();
    let bare = |s: &mut Spec| {
        s.version = vec![];
        s.extensions.clear();
    };
    let first = middle(&root, |s| {
        bare(s);
        s.put(SKI, false, vec![]);
    });
    let twice = root.leaf(|s| {
        let again = s.extensions[0].clone();
        s.extensions.push(again);
    });
    let within = |base: Vec<u8>| {
        middle(&root, |s| {
            s.put(NC, true, nc(&[base], &[]));
        })
    };
    let (good, bad) = (within(dir("CN=example.com")), within(dir("O=Elsewhere")));
    let four = within(ip(&[10, 0, 0, 0, 255, 0, 0, 0]));
    let addressed = |by: &Pair, last| by.leaf_for(&[dns("example.com"), ip(&[last, 0, 0, 1])]);
    let late = middle(&root, |s| {
        s.lasting("480101000000Z", "490101000000Z");
    });
    judge(
        &root,
        "example.com",
        &[
            row(
                "K3 version 1",
                &[&root.leaf(bare)],
                &["certificate-nonstandard warning", "name-common-only critical"],
            ),
            row(
                "K3 negative",
                &[&root.leaf(|s| s.serial = tlv(2, &[0xff, 1]))],
                &["certificate-nonstandard warning"],
            ),
            row(
                "K3 an extension twice",
                &[&twice],
                &["certificate-nonstandard critical", "chain-invalid critical"],
            ),
            row("C11 version 1 issues, served", &[&first.leaf(|_| {}), &first], &["chain-invalid critical"]),
            row("C11 name permitted", &[&good.leaf(|_| {}), &good], &[]),
            row("C11 name not permitted", &[&bad.leaf(|_| {}), &bad], &["chain-invalid critical"]),
            row("C11 address permitted", &[&addressed(&four, 10), &four], &[]),
            row("C11 address not permitted", &[&addressed(&four, 11), &four], &["chain-invalid critical"]),
            row("C8 not yet valid intermediate", &[&late.leaf(|_| {}), &late], &["chain-invalid critical"]),
        ],
    );
    let world = World::new();
    world.file("long.der", [root.leaf(|_| {}).der, b"rest".to_vec()].concat());
    assert_eq!(
        world.check(&["./long.der", "--any-issuer"]).finding_ids(),
        [""; 0],
        "K3: not judged of any issuer"
    );
    let trust = world.file("root.pem", pem("CERTIFICATE", &root.der)).display().to_string();
    assert_eq!(
        world.check(&["./long.der", "--trust", &trust]).finding_ids(),
        ["certificate-nonstandard warning"],
        "K3"
    );
}

#[test]
fn long_and_circular_chains() {
    let root = plain_root();
    let mut chain = vec![middle(&root, |_| {})];
    for _ in 0..60 {
        let next = middle(chain.last().expect("one"), |_| {});
        chain.push(next);
    }
    let leaf = chain.last().expect("one").leaf(|_| {});
    let long: Vec<&Pair> = std::iter::once(&leaf).chain(chain.iter().rev()).collect();
    let one = middle(&plain_root(), |_| {});
    let other = middle(&one, |_| {});
    let back = Pair {
        der: middle(&other, |s| (s.subject, s.key) = (one.subject.clone(), one.key.clone())).der,
        ..one.clone()
    };
    let caught = other.leaf(|_| {});
    let began = std::time::Instant::now();
    judge(
        &root,
        "example.com",
        &[
            row("C13 sixty", &long, &["chain-invalid critical"]),
            row("C13 a circle", &[&caught, &other, &back], &["untrusted-root critical"]),
        ],
    );
    assert!(began.elapsed().as_secs_f64() < 4.0, "C13: {:?}", began.elapsed());
}

#[test]
fn the_address_of_a_missing_issuer_is_told() {
    let root = plain_root();
    let middle = middle(&root, |_| {});
    let place = seq(&[seq(&[oid("1.3.6.1.5.5.7.48.2"), uri("http://ca.example/middle.der")])]);
    let leaf = middle.leaf(|s| {
        s.put(AIA, false, place);
    });
    let world = World::new();
    let trust = world.file("root.pem", pem("CERTIFICATE", &root.der)).display().to_string();
    world.file("leaf.pem", pem("CERTIFICATE", &leaf.der));
    let ran = world.check(&["./leaf.pem", "--trust", &trust]);
    assert_eq!(ran.finding_ids(), ["chain-incomplete critical"], "C4 {}", ran.stdout);
    let advice = ran.records()[0]["findings"][0]["advice"].to_string();
    assert!(
        advice.contains("http://ca.example/middle.der") && advice.contains("browsers may still work"),
        "{advice}"
    );
}

/// What the system trusts is public: there the browsers' rules hold.
#[test]
fn public_issuers_live_by_the_browsers_rules() {
    let root = plain_root();
    let mut world = World::new();
    let store = world.file("store.pem", pem("CERTIFICATE", &root.der)).display().to_string();
    world.set("SSL_CERT_FILE", &store);
    let ending = |end: &str| {
        root.leaf(|s| {
            s.lasting("261101000000Z", end);
        })
    };
    let cases: [(&str, Pair, &[&str]); 3] = [
        ("T5 200 d", ending("270519235959Z"), &["ct-missing warning"]),
        ("T5 201 d", ending("270521000000Z"), &["ct-missing warning", "life-too-long warning"]),
        ("T5 10 y", ending("361101000000Z"), &["ct-missing warning", "life-too-long warning"]),
    ];
    for (id, leaf, said) in cases {
        let file = format!("./{}.pem", id.replace(' ', ""));
        world.file(&file, pem("CERTIFICATE", &leaf.der));
        let check = |more: &[&str]| world.check(&[&[&*file, "--at", "2026-11-22T12:00:00Z"], more].concat());
        assert_eq!(check(&["--policy"]).finding_ids(), said, "{id}, R5");
        assert_eq!(check(&[]).finding_ids(), [""; 0], "{id}: only when asked");
        assert_eq!(check(&["--policy", "--trust", &store]).finding_ids(), [""; 0], "{id}: private");
    }
}

/// A certificate that becomes valid within a day: the local clock is likelier wrong.
#[test]
fn a_clock_that_is_behind_is_suspected() {
    let root = plain_root();
    let world = World::new();
    let cases = [("261123000000Z", true), ("261125000000Z", false)];
    for (begin, suspected) in cases {
        let leaf = root.leaf(|s| {
            s.lasting(begin, "270201000000Z");
        });
        let file = format!("./{begin}.pem");
        world.file(&file, pem("CERTIFICATE", &leaf.der));
        let ran = world.check(&[&file, "--any-issuer", "--at", "2026-11-22T12:00:00Z"]);
        assert_eq!(ran.finding_ids(), ["not-yet-valid critical"], "T9");
        assert_eq!(ran.stdout.contains("is the local clock right?"), suspected, "T9 {}", ran.stdout);
    }
}

/// What every client takes is called right: defaults that are spelled out, and a name that is the issuer's too.
#[test]
fn forms_that_every_client_takes() {
    let root = plain_root();
    let spelled = root.leaf(|s| {
        s.put(BASIC, true, seq(&[boolean(false)]));
        s.spelled.extend([SAN, USAGE, EKU, AKI, SKI]);
    });
    // Subject and issuer are one name, and the key that signed is another one.
    let same = root.leaf(|s| s.subject = s.issuer.clone());
    judge(
        &root,
        "example.com",
        &[row("defaults spelled out", &[&spelled], &[]), row("the issuer's name", &[&same], &[])],
    );
    let world = World::new();
    world.file("same.pem", pem("CERTIFICATE", &same.der));
    let said = world.check(&["./same.pem"]).finding_ids();
    assert_eq!(said, ["chain-incomplete critical"], "its own key did not sign it");
    let renamed = crate::pki::root(|s| {
        s.issuer = name("CN=somebody-else");
        s.without(BASIC).without(USAGE);
        s.put(SAN, false, san(&[dns("example.com")]));
    });
    world.file("renamed.pem", pem("CERTIFICATE", &renamed.der));
    let said = world.check(&["./renamed.pem"]).finding_ids();
    assert_eq!(said, ["self-signed critical"], "its own key did sign it");
    let zero = crate::pki::root(|s| {
        s.serial = int(0);
        s.without(SAN);
    });
    world.file("zero.pem", pem("CERTIFICATE", &zero.der));
    assert_eq!(world.check(&["./zero.pem"]).finding_ids(), [""; 0], "the number of a root");
}
