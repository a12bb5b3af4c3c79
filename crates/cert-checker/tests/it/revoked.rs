//! Revocation lists.

use crate::der;
use crate::mint::{Authority, DAY, Made, Wish, now, pem};
use crate::pki::{self, Pair};
use crate::server::Server;
use crate::world::{Found, World};
use rcgen::{CertificateRevocationListParams, RevokedCertParams, SerialNumber};
use std::io::{Read, Write};
use std::time::{Duration, SystemTime};

pub(crate) struct Lists {
    pub(crate) world: World,
    pub(crate) root: Authority,
    pub(crate) leaf: Made,
    pub(crate) trust: String,
}

impl Lists {
    pub(crate) fn new(wish: &Wish) -> Lists {
        let world = World::new();
        let root = Wish::authority("Test Root").root();
        let leaf = wish.clone().serial(&[7, 7]).signed_by(&root);
        let trust = world.file("root.pem", pem(&[&root.der])).display().to_string();
        world.file("leaf.pem", pem(&[&leaf.der]));
        Lists { world, root, leaf, trust }
    }

    pub(crate) fn said(&self, args: &[&str]) -> Vec<String> {
        self.world.check(&[&["./leaf.pem", "--trust", &self.trust], args].concat()).finding_ids()
    }
}

fn at(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(now() + seconds).expect("after 1970"))
}

/// An empty list, made and due so many seconds from now.
pub(crate) fn list_between(by: &Authority, from: i64, until: i64) -> Vec<u8> {
    made(by, &[], from, until)
}

/// A list of these serial numbers, until so many seconds from now.
fn list(by: &Authority, serials: &[&[u8]], until: i64) -> Vec<u8> {
    made(by, serials, -20 * DAY, until)
}

fn made(by: &Authority, serials: &[&[u8]], from: i64, until: i64) -> Vec<u8> {
    let revoked = |serial: &&[u8]| RevokedCertParams {
        serial_number: SerialNumber::from(serial.to_vec()),
        revocation_time: at(-10 * DAY).into(),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: at(from).into(),
        next_update: at(until).into(),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    params.signed_by(by.issuer()).expect("a list").der().to_vec()
}

/// A list of one shard.
fn sharded(by: &Authority, point: &str, serials: &[&[u8]]) -> Vec<u8> {
    let revoked = |serial: &&[u8]| RevokedCertParams {
        serial_number: SerialNumber::from(serial.to_vec()),
        revocation_time: at(-10 * DAY).into(),
        reason_code: Some(rcgen::RevocationReason::KeyCompromise),
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: at(-DAY).into(),
        next_update: at(DAY).into(),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: Some(rcgen::CrlIssuingDistributionPoint {
            distribution_point: rcgen::CrlDistributionPoint { uris: vec![point.into()] },
            scope: None,
        }),
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    params.signed_by(by.issuer()).expect("a list").der().to_vec()
}

#[test]
fn lists_in_files() {
    let lists = Lists::new(&Wish::server(&[]));
    let twin = Wish::authority("Test Root").root();
    let other = Wish::authority("Other Root").root();
    let cases: [(&str, Vec<u8>, &[&str]); 6] = [
        ("R1 good", list(&lists.root, &[&[9]], DAY), &[]),
        ("R1 revoked", list(&lists.root, &[&[9], &[7, 7]], DAY), &["revoked critical"]),
        ("R1 expired", list(&lists.root, &[], -DAY), &["crl-expired warning"]),
        ("R1 another issuer's", list(&other, &[], DAY), &["crl-unusable warning"]),
        ("R1 another key's", list(&twin, &[&[7, 7]], DAY), &["crl-unusable warning"]),
        ("R1 junk", b"junk".to_vec(), &["crl-unusable warning"]),
    ];
    for (id, bytes, said) in cases {
        lists.world.file("list.crl", &bytes);
        assert_eq!(lists.said(&["--crl", "list.crl"]), said, "{id}");
        lists.world.file("list.pem", crate::mint::block("X509 CRL", &bytes));
        assert_eq!(lists.said(&["--crl", "list.pem"]), said, "{id}, PEM");
    }
    assert_eq!(lists.said(&["--crl", "absent.crl"]), ["crl-unusable warning"]);
}

/// What is said of a leaf of `root` by a list of its issuer's.
fn by_list(root: &Pair, leaf: &Pair, list: &[u8]) -> Vec<String> {
    let world = World::new();
    let trust = world.file("root.pem", der::pem("CERTIFICATE", &root.der)).display().to_string();
    world.file("leaf.pem", der::pem("CERTIFICATE", &leaf.der));
    world.file("list.crl", list);
    world.check(&["./leaf.pem", "--trust", &trust, "--crl", "list.crl"]).finding_ids()
}

fn lasting(list: &mut pki::CrlSpec) {
    list.this_update = der::time("261101000000Z");
    list.next_update = der::time("490101000000Z");
}

#[test]
fn lists_that_tell_less_than_all() {
    let root = pki::plain_root();
    let leaf = root.leaf(|_| {});
    let delta = |revoked: &[Vec<u8>]| {
        root.crl(|c| {
            lasting(c);
            c.revoked = revoked.to_vec();
            c.extensions.push(("2.5.29.27".into(), true, der::int(1)));
        })
    };
    let on_it = pki::entry(&leaf.serial, "261110000000Z", &[]);
    assert_eq!(by_list(&root, &leaf, &delta(&[])), ["crl-unusable warning"], "R1 delta");
    assert_eq!(
        by_list(&root, &leaf, &delta(std::slice::from_ref(&on_it))),
        ["revoked critical"],
        "R1 delta, listed"
    );
    // A base that is silent and a delta that is not, in whatever order and verb.
    let base = root.crl(lasting);
    let world = World::new();
    let path =
        |name: &str, label: &str, der: &[u8]| world.file(name, der::pem(label, der)).display().to_string();
    let (trust, file) =
        (path("root.pem", "CERTIFICATE", &root.der), path("leaf.pem", "CERTIFICATE", &leaf.der));
    let (whole, changed) = (path("base.crl", "X509 CRL", &base), path("d.crl", "X509 CRL", &delta(&[on_it])));
    let silent = path("none.crl", "X509 CRL", &delta(&[]));
    let verify = |lists: &[&str]| {
        let lists: Vec<&str> = lists.iter().flat_map(|list| ["--crl", list]).collect();
        let begin = ["verify", &file, "--trust", &trust, "--json", "--at", crate::world::judged_at()];
        let ran = world.run(&[&begin[..], &lists].concat());
        (ran.status, ran.records()[0]["code"].as_str().map(ToString::to_string))
    };
    let check = |lists: &[&str]| {
        let lists: Vec<&str> = lists.iter().flat_map(|list| ["--crl", list]).collect();
        world.check(&[&[file.as_str(), "--trust", &trust], &lists[..]].concat()).finding_ids()
    };
    let told = |code: &str| (Some(4), Some(code.to_string()));
    for lists in [[&whole, &changed], [&changed, &whole]] {
        let lists = lists.map(String::as_str);
        assert_eq!((check(&lists), verify(&lists)), (vec!["revoked critical".into()], told("revoked")));
    }
    assert_eq!((check(&[&whole, &silent]), verify(&[&whole, &silent])), (vec![], (Some(0), None)));
    assert_eq!(
        (check(&[&silent]), verify(&[&silent])),
        (vec!["crl-unusable warning".into()], told("revocation-unknown"))
    );
    let junk = path("junk.crl", "X509 CRL", b"junk");
    assert_eq!(
        (check(&[&junk]), verify(&[&junk])),
        (vec!["crl-unusable warning".into()], told("revocation-unknown"))
    );
    let mute = pki::root(|s| {
        s.put(pki::USAGE, true, pki::usage(&[5]));
    });
    let (other, list) = (mute.leaf(|_| {}), mute.crl(lasting));
    assert_eq!(by_list(&mute, &other, &list), ["crl-unusable warning"], "R1 without cRLSign");
}

/// As large as those of the largest authorities: 50 MiB, read in seconds; the bound is for machines under load.
#[test]
fn a_list_of_fifty_megabytes() {
    let root = pki::plain_root();
    let (leaf, free) = (root.leaf(|_| {}), root.leaf(|_| {}));
    let serial = |n: u32| der::tlv(2, &[&[0x51; 16][..], &n.to_be_bytes()].concat());
    let list = root.crl(|c| {
        lasting(c);
        c.revoked = (0..1_350_000).map(|n| pki::entry(&serial(n), "261110000000Z", &[])).collect();
        c.revoked.push(pki::entry(&leaf.serial, "261110000000Z", &[]));
    });
    assert!(list.len() > 50 << 20, "{}", list.len());
    let began = std::time::Instant::now();
    assert_eq!(by_list(&root, &leaf, &list), ["revoked critical"], "R1 50 MB");
    assert_eq!(by_list(&root, &free, &list), [""; 0], "R1 50 MB");
    assert!(began.elapsed() < Duration::from_secs(120), "{:?}", began.elapsed());
}

#[test]
fn the_list_that_the_certificate_names() {
    // The port is known before the certificate, and the list after it.
    let content = std::sync::Arc::new(std::sync::Mutex::new(Vec::<u8>::new()));
    let (served, asked) =
        (std::sync::Arc::clone(&content), std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0)));
    let count = std::sync::Arc::clone(&asked);
    let web = Server::start(move |mut stream| {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let _ = stream.read(&mut [0; 2048]);
        let body = served.lock().expect("whole").clone();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
    });
    let mut wish = Wish::server(&[]);
    let url = format!("http://{}/root.crl", web.target());
    wish.0.crl_distribution_points = vec![rcgen::CrlDistributionPoint { uris: vec![url.clone()] }];
    let lists = Lists::new(&wish);
    let fetch = ["--fetch-crl"];
    *content.lock().expect("whole") = b"404".to_vec();
    assert_eq!(lists.said(&fetch), ["crl-unusable warning"], "R2");
    assert_eq!(lists.said(&["--fetch-crl", "--require-crl"]), ["crl-unusable critical"], "R2");
    let other = Wish::authority("Other Root").root();
    *content.lock().expect("whole") = list(&other, &[&[7, 7]], DAY);
    assert_eq!(lists.said(&fetch), ["crl-unusable warning"], "R2 another issuer's");
    // Another shard's list, which somebody in between may send, is neither believed nor kept.
    *content.lock().expect("whole") = sharded(&lists.root, "http://elsewhere.example/2.crl", &[]);
    assert_eq!(lists.said(&fetch), ["crl-unusable warning"], "another shard's");
    assert_eq!(lists.said(&["--fetch-crl", "--require-crl"]), ["crl-unusable critical"], "another shard's");
    *content.lock().expect("whole") = sharded(&lists.root, "http://elsewhere.example/2.crl", &[&[7, 7]]);
    assert_eq!(lists.said(&fetch), ["revoked critical"], "another shard's, with this number");
    let _ = std::fs::remove_dir_all(lists.world.dir.path().join("state"));
    *content.lock().expect("whole") = sharded(&lists.root, &url, &[]);
    assert_eq!(lists.said(&fetch), [""; 0], "its own shard's");
    let _ = std::fs::remove_dir_all(lists.world.dir.path().join("state"));
    *content.lock().expect("whole") = list(&lists.root, &[&[7, 7]], DAY);
    assert_eq!(lists.said(&fetch), ["revoked critical"]);
    let before = asked.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(lists.said(&fetch), ["revoked critical"], "kept until its next update");
    assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), before);
    drop(web);
    let _ = std::fs::remove_dir_all(lists.world.dir.path().join("state"));
    assert_eq!(lists.said(&fetch), ["crl-unreachable warning"], "R2: unknown is not well");
    assert_eq!(lists.said(&["--fetch-crl", "--require-crl"]), ["crl-unreachable critical"], "R2");
    lists.world.file("given.crl", list(&lists.root, &[], DAY));
    assert_eq!(lists.said(&["--fetch-crl", "--crl", "given.crl"]), [""; 0], "another answers");
    let plain = Lists::new(&Wish::server(&[]));
    assert_eq!(plain.said(&fetch), ["crl-unreachable ok"]);
    assert_eq!(plain.said(&[]), [""; 0], "R3");
    let short = Lists::new(&Wish::server(&[]).between(-DAY, 5 * DAY));
    assert_eq!(short.said(&fetch), [""; 0], "R6");
}

/// A list that takes an intermediate back takes all below it.
#[test]
fn revoked_intermediates() {
    let world = World::new();
    let root = Wish::authority("Root").root();
    let middle = Wish::authority("Middle").serial(&[7, 7]).below(&root);
    let leaf = Wish::server(&[]).signed_by(&middle);
    let trust = world.file("root.pem", pem(&[&root.der])).display().to_string();
    world.file("chain.pem", pem(&[&leaf.der, &middle.der]));
    world.file("below.crl", list(&middle, &[], DAY));
    world.file("above.crl", list(&root, &[&[7, 7]], DAY));
    let server = Server::showing(&leaf, &[&middle.der]);
    for target in ["./chain.pem", &server.target()] {
        let said = |lists: &[&str]| {
            world.check(&[&[target, "--trust", &trust, "--crl", "below.crl"], lists].concat()).finding_ids()
        };
        assert_eq!(
            (said(&[]), said(&["--crl", "above.crl"])),
            (vec![], vec!["revoked critical".to_string()])
        );
    }
}
