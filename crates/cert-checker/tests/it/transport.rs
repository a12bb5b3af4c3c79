//! What stands between us and a certificate: versions, ciphers, SNI, client certificates, addresses.

use crate::mint::{DAY, Made, Wish, now, pem};
use crate::server::{self, Server};
use crate::world::{Found, World, findings, ok};
use std::time::Duration;

/// A leaf of an intermediate of a root that is in `root.pem`.
pub(crate) struct Bench {
    pub(crate) world: World,
    pub(crate) leaf: Made,
    middle: Vec<u8>,
    root: String,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        let world = World::new();
        let root = Wish::authority("Test Root").root();
        let middle = Wish::authority("Test Intermediate").below(&root);
        let leaf = Wish::server(&["www.example.org"]).signed_by(&middle);
        let trust = world.file("root.pem", pem(&[&root.der])).display().to_string();
        Bench { world, leaf, middle: middle.der, root: trust }
    }

    pub(crate) fn chain(&self) -> Vec<Vec<u8>> {
        server::chain(&self.leaf, &[&self.middle])
    }

    /// What is said of the target, and its records.
    pub(crate) fn said(&self, target: &str, args: &[&str]) -> (Vec<String>, Vec<serde_json::Value>) {
        let ran = self.world.check(&[&[target, "--trust", &self.root], args].concat());
        (ran.finding_ids(), ran.records())
    }
}

#[test]
fn one_version_only() {
    let bench = Bench::new();
    for version in rustls::ALL_VERSIONS {
        let server = Server::tls(server::config(&bench.chain(), &bench.leaf, &[version]));
        let (said, records) = bench.said(&server.target(), &[]);
        assert_eq!(said, [""; 0], "{records:?}");
        let spoken = records[0]["connection"]["version"].as_str().expect("a version");
        assert_eq!(spoken.replace('.', "_"), format!("{:?}", version.version));
    }
}

#[test]
fn a_client_certificate_is_demanded() {
    let bench = Bench::new();
    let clients = Wish::authority("Client Root").root();
    for version in rustls::ALL_VERSIONS {
        let config = server::asking(&bench.chain(), &bench.leaf, &clients.der, &[version]);
        let server = Server::tls(config);
        let (said, records) = bench.said(&server.target(), &["--expect-client-auth"]);
        assert_eq!(said, ["client-certificate-requested ok"], "{version:?}: {records:?}");
        assert_eq!(records[0]["client_authorities"][0], "CN=Client Root");
    }
    let server = Server::showing(&bench.leaf, &[&bench.middle]);
    let (said, _) = bench.said(&server.target(), &["--expect-client-auth"]);
    assert_eq!(said, ["client-certificate-not-requested critical"]);
}

#[test]
fn our_own_client_certificate_expires() {
    let bench = Bench::new();
    let clients = Wish::authority("Client Root").root();
    let mut wish = Wish::server(&["me"]).between(-80 * DAY, 10 * DAY);
    wish.0.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let own = wish.signed_by(&clients);
    bench.world.file("me.pem", pem(&[&own.der]));
    bench.world.file("me.key", own.key.serialize_pem());
    let server = Server::tls(server::asking(&bench.chain(), &bench.leaf, &clients.der, rustls::ALL_VERSIONS));
    let (said, _) = bench.said(&server.target(), &["--cert", "me.pem", "--key", "me.key"]);
    assert_eq!(said, ["client-certificate-expires warning", "client-certificate-requested ok"]);
}

#[test]
fn rsa_and_ecdsa_on_one_port() {
    let bench = Bench::new();
    let dir = bench.world.dir.path();
    let at = |name: &str| dir.join(name).display().to_string();
    let subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
    let begin = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9000", "-keyout"];
    ok(
        "openssl",
        &[&begin[..], &[&at("rsa.key"), "-outform", "DER", "-out", &at("rsa.der")], &subject].concat(),
    );
    ok(
        "openssl",
        &["pkcs8", "-topk8", "-nocrypt", "-in", &at("rsa.key"), "-outform", "DER", "-out", &at("rsa.p8")],
    );
    let read = |name: &str| std::fs::read(dir.join(name)).expect("made");
    let rsa = server::from_pkcs8(&[read("rsa.der")], read("rsa.p8"));
    let server = Server::tls(server::several(vec![server::certified(&bench.chain(), &bench.leaf.key), rsa]));
    let ran = bench.world.check(&[&server.target(), "--any-issuer"]);
    let kinds: Vec<_> = ran.records().iter().map(|r| r["chain"][0]["key"]["kind"].clone()).collect();
    assert_eq!(kinds, ["EC", "RSA"], "{ran:?}");
}

#[test]
fn names_in_the_handshake() {
    let bench = Bench::new();
    let (told, heard) = std::sync::mpsc::channel();
    let told = std::sync::Mutex::new(told);
    let server = Server::start(move |stream| {
        let mut acceptor = rustls::server::Acceptor::default();
        let mut stream = stream;
        while acceptor.read_tls(&mut stream).is_ok_and(|n| n > 0) {
            if let Ok(Some(accepted)) = acceptor.accept() {
                let name = accepted.client_hello().server_name().map(ToString::to_string);
                let _ = told.lock().expect("whole").send(name);
                return;
            }
        }
    });
    let port = server.at.port().to_string();
    let connect = server.target();
    let cases: [(&[&str], Option<&str>); 5] = [
        (&["127.0.0.1"], None),
        (&["www.example.org", "--connect-to", &connect], Some("www.example.org")),
        (&["127.0.0.1", "--sni", "a.example.org"], Some("a.example.org")),
        (&["127.0.0.1", "--name", "b.example.org"], Some("b.example.org")),
        (&["Bücher.example", "--connect-to", "127.0.0.1"], Some("xn--bcher-kva.example")),
    ];
    for (args, expected) in cases {
        let target = format!("{}:{port}", args[0]);
        bench.world.check(&[&[target.as_str(), "--timeout", "2s"], &args[1..]].concat());
        let name = heard.recv_timeout(Duration::from_secs(5)).expect("a hello");
        assert_eq!(name.as_deref(), expected, "{args:?}");
        while heard.try_recv().is_ok() {}
    }
}

#[test]
fn every_address_is_asked() {
    let bench = Bench::new();
    let old = Wish::server(&[]).between(-90 * DAY, -DAY).signed_by(&Wish::authority("X").root());
    let config = std::sync::Arc::new(server::config(&server::chain(&old, &[]), &old, rustls::ALL_VERSIONS));
    let v6 = Server::listen("[::1]:0", move |s| server::handshake(&config, s));
    let good = std::sync::Arc::new(server::config(&bench.chain(), &bench.leaf, rustls::ALL_VERSIONS));
    let Ok(free) = std::net::TcpListener::bind(("127.0.0.1", v6.at.port())) else { return };
    drop(free);
    let _v4 = Server::listen(&format!("127.0.0.1:{}", v6.at.port()), move |s| server::handshake(&good, s));
    // What localhost means is the machine's matter: both addresses are named here by themselves.
    let (said, records) = bench
        .said(&format!("127.0.0.1:{}", v6.at.port()), &[&format!("[::1]:{}", v6.at.port()), "--any-issuer"]);
    assert_eq!(records.len(), 2, "{records:?}");
    assert_eq!(findings(&records[0]), [""; 0]);
    assert!(said.contains(&"expired critical".to_string()), "{said:?}");
    assert_eq!(records[1]["places"][0], v6.at.to_string());
}

#[test]
fn what_cannot_be_reached() {
    let bench = Bench::new();
    let closed =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let closed = closed.to_string();
    let cases = [(closed.as_str(), "refused unknown", 75), ("no-such-name.invalid:443", "dns-", 1)];
    for (target, said, status) in cases {
        let ran = bench.world.check(&[target, "--timeout", "3s"]);
        assert!(ran.finding_ids()[0].starts_with(said), "{ran:?}");
        let temporary =
            ran.finding_ids()[0].starts_with("dns-failed") || ran.finding_ids()[0].starts_with("timeout");
        assert!(ran.status == Some(status) || (temporary && ran.status == Some(75)), "{ran:?}");
    }
    let ran = bench.world.check(&[&closed, "--unreachable", "critical"]);
    assert_eq!(ran.finding_ids(), ["refused critical"]);
    let server = Server::showing(&bench.leaf, &[&bench.middle]);
    let ran = bench.world.check(&[&closed, &server.target(), "--trust", &bench.root]);
    assert_eq!((ran.finding_ids(), ran.status), (vec!["refused unknown".to_string()], Some(4)), "{ran:?}");
}

#[test]
fn names_that_the_server_does_not_know() {
    let bench = Bench::new();
    let alert = Server::start(|mut stream| {
        use std::io::{Read, Write};
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(&[21, 3, 3, 0, 2, 2, 112]);
    });
    let (said, records) = bench.said(&alert.target(), &[]);
    assert_eq!(said, ["handshake-failed critical"], "X5");
    assert!(records[0]["findings"][0]["text"].to_string().contains("sni"), "X5 {records:?}");
}

#[test]
fn http2_and_nothing_else() {
    let bench = Bench::new();
    let mut config = server::config(&bench.chain(), &bench.leaf, rustls::ALL_VERSIONS);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let server = Server::tls(config);
    for target in [format!("https://{}", server.target()), server.target()] {
        assert_eq!(bench.said(&target, &[]).0, [""; 0], "X6 {target}");
    }
    let (said, records) = bench.said(&format!("https://{}", server.target()), &["--hsts"]);
    assert_eq!(said, ["hsts-missing warning"], "X6");
    assert!(records[0]["findings"][0]["text"].to_string().contains("HTTP/1.1"), "X6 {records:?}");
}

/// The way of a redirect: its own certificate may end while the last one's is watched.
#[test]
fn every_hop_of_a_redirect() {
    use std::sync::{Arc, Mutex};
    let bench = Bench::new();
    let ending = Wish::server(&[]).between(-80 * DAY, 10 * DAY).self_signed();
    let to = |server: &Server, path: &str| format!("https://{}{path}", server.target());
    let last = Server::showing(&bench.leaf, &[&bench.middle]);
    let way = Arc::new(Mutex::new(to(&last, "/end")));
    let config = server::config(&server::chain(&ending, &[]), &ending, rustls::ALL_VERSIONS);
    let middle = server::redirecting(config, Arc::clone(&way));
    let config = server::config(&bench.chain(), &bench.leaf, rustls::ALL_VERSIONS);
    let first = server::redirecting(config, Arc::new(Mutex::new(to(&middle, "/next"))));
    let (said, records) = bench.said(&to(&first, "/"), &["--any-issuer", "--redirects"]);
    let places: Vec<_> = records.iter().map(|r| r["places"][0].as_str().expect("a place")).collect();
    assert_eq!(places, [first.target(), middle.target(), last.target()], "H2 {records:?}");
    assert_eq!(said, ["expires warning"], "H2");
    *way.lock().expect("whole") = to(&first, "/again");
    let (_, records) = bench.said(&to(&first, "/"), &["--any-issuer", "--redirects"]);
    assert_eq!(records.len(), 2, "H2: a circle ends: {records:?}");
    let (said, records) = bench.said(&to(&first, "/"), &["--any-issuer"]);
    assert_eq!((said.len(), records.len()), (0, 1), "H2: only when asked");
}

/// The server takes the file of another site for this name: no date is newer, and the file is the wrong one.
#[test]
fn another_sites_file_is_served() {
    let bench = Bench::new();
    let root = Wish::authority("Other Root").root();
    let other = Wish::server(&["www.example.org"]).signed_by(&root);
    let server = Server::showing(&other, &[]);
    let disk = bench.world.file("own.pem", pem(&[&bench.leaf.der, &bench.middle])).display().to_string();
    let (said, records) = bench.said(&format!("{disk}={}", server.target()), &["--any-issuer"]);
    assert_eq!(said, ["served-differs critical"], "D6 {records:?}");
}

/// A server may show clients of TLS 1.2 another certificate: both are told.
#[test]
fn another_certificate_in_tls_1_2() {
    let bench = Bench::new();
    let old = Wish::server(&[]).between(-80 * DAY, 10 * DAY).signed_by(&Wish::authority("X").root());
    let (old, new) = (
        server::certified(std::slice::from_ref(&old.der), &old.key),
        server::certified(&bench.chain(), &bench.leaf.key),
    );
    let server = Server::tls(server::by_version(old, new));
    let (said, records) = bench.said(&server.target(), &["--any-issuer"]);
    assert_eq!(records.len(), 2, "{records:?}");
    assert_eq!(said, ["expires warning"], "{records:?}");
    assert_eq!(records[1]["connection"]["version"], "TLSv1.2");
}

/// The day of the tests is far enough in openssl's certificates.
#[test]
fn the_tests_day_is_now_or_later() {
    assert!(
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs()
            < u64::try_from(now()).expect("positive") + 8000 * 86_400
    );
}
