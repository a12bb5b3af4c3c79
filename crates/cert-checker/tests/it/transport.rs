//! What stands between us and a certificate: versions, ciphers, SNI, client certificates, addresses.

use crate::mint::{DAY, Made, NOW, Wish, pem};
use crate::server::{self, Server};
use crate::world::{World, findings, ok};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A leaf of an intermediate of a root that is in `root.pem`.
struct Bench {
    world: World,
    leaf: Made,
    middle: Vec<u8>,
    root: String,
}

impl Bench {
    fn new() -> Bench {
        let world = World::new();
        let root = Wish::authority("Test Root").root();
        let middle = Wish::authority("Test Intermediate").below(&root);
        let leaf = Wish::server(&["www.example.org"]).signed_by(&middle);
        let trust = world.file("root.pem", pem(&[&root.der])).display().to_string();
        Bench { world, leaf, middle: middle.der, root: trust }
    }

    fn chain(&self) -> Vec<Vec<u8>> {
        server::chain(&self.leaf, &[&self.middle])
    }

    /// What is said of the target, and its records.
    fn said(&self, target: &str, args: &[&str]) -> (Vec<String>, Vec<serde_json::Value>) {
        let ran = self.world.check(&[&[target, "--trust", &self.root], args].concat());
        (ran.findings(), ran.json())
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
    let own = Wish::server(&["me"]).between(-80 * DAY, 10 * DAY).signed_by(&clients);
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
    let kinds: Vec<_> = ran.json().iter().map(|r| r["chain"][0]["key"]["kind"].clone()).collect();
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
        assert!(ran.findings()[0].starts_with(said), "{ran:?}");
        let temporary =
            ran.findings()[0].starts_with("dns-failed") || ran.findings()[0].starts_with("timeout");
        assert!(ran.status == Some(status) || (temporary && ran.status == Some(75)), "{ran:?}");
    }
    let ran = bench.world.check(&[&closed, "--unreachable", "critical"]);
    assert_eq!(ran.findings(), ["refused critical"]);
    let server = Server::showing(&bench.leaf, &[&bench.middle]);
    let ran = bench.world.check(&[&closed, &server.target(), "--trust", &bench.root]);
    assert_eq!((ran.findings(), ran.status), (vec!["refused unknown".to_string()], Some(4)), "{ran:?}");
}

/// Somebody else's server, ended when dropped.
struct Openssl {
    child: Child,
    port: u16,
}

impl Openssl {
    fn serve(dir: &std::path::Path, cert: &str, args: &[&str]) -> Openssl {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .expect("a port")
            .local_addr()
            .expect("an address")
            .port();
        let key = cert.replace(".pem", ".key");
        let begin = ["s_server", "-quiet", "-www", "-cert", cert, "-key", &key, "-accept"];
        let mut command = Command::new("openssl");
        command.args(begin).arg(port.to_string()).args(args).current_dir(dir);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl");
        let server = Openssl { child, port };
        testkit::until("openssl listens", Duration::from_secs(10), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).map(drop).map_err(|e| e.to_string())
        });
        server
    }
}

impl Drop for Openssl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A self-signed certificate by openssl, valid around the tests' day.
fn by_openssl(world: &World, name: &str, how: &[&str]) {
    let at = |suffix: &str| world.path(&format!("{name}{suffix}"));
    let begin = ["req", "-x509", "-nodes", "-days", "9000", "-subj", "/CN=localhost", "-keyout"];
    let names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
    ok("openssl", &[&begin[..], &[&at(".key"), "-out", &at(".pem")], &names, how].concat());
}

#[test]
fn old_versions_and_weak_ciphers_still_show_their_certificate() {
    let world = World::new();
    by_openssl(&world, "rsa", &["-newkey", "rsa:2048"]);
    let weak = ["-cipher", "ALL:eNULL:@SECLEVEL=0"];
    let cases: [(&str, Vec<&str>, &[&str]); 5] = [
        ("X2 TLS 1.1", [&["-tls1_1"][..], &weak].concat(), &["protocol-old critical"]),
        ("X2 TLS 1.0", [&["-tls1"][..], &weak].concat(), &["protocol-old critical"]),
        ("X3 static RSA", vec!["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"], &["cipher-weak critical"]),
        ("X3 NULL", vec!["-tls1_2", "-cipher", "NULL-SHA256:@SECLEVEL=0"], &["cipher-weak critical"]),
        (
            "X3 DHE",
            vec!["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0"],
            &["cipher-weak critical"],
        ),
    ];
    for (id, args, said) in cases {
        let server = Openssl::serve(world.dir.path(), "rsa.pem", &args);
        let ran = world.check(&[&format!("127.0.0.1:{}", server.port), "--any-issuer"]);
        let record = &ran.json()[0];
        assert_eq!(ran.findings(), said, "{id}: {record}");
        assert!(
            record["not_after"].is_string() && record["chain"][0]["serial"].is_string(),
            "{id}: {record}"
        );
    }
}

#[test]
fn weak_keys_and_old_signatures_still_show_their_certificate() {
    let world = World::new();
    let cases: [(&str, &[&str], &[&str]); 6] = [
        ("rsa1024", &["-newkey", "rsa:1024"], &["key-weak critical", "self-signed critical"]),
        (
            "rsa512",
            &["-newkey", "rsa:512", "-sha1"],
            &["key-weak critical", "self-signed critical", "signature-sha1 critical"],
        ),
        ("rsa2047", &["-newkey", "rsa:2047"], &["key-odd warning", "self-signed critical"]),
        ("rsa8192md5", &["-newkey", "rsa:2048", "-md5"], &["self-signed critical", "signature-md5 critical"]),
        (
            "p192",
            &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-192"],
            &["key-weak critical", "self-signed critical"],
        ),
        ("ed25519", &["-newkey", "ed25519"], &["self-signed critical"]),
    ];
    for (name, how, said) in cases {
        by_openssl(&world, name, how);
        // The same words over the network and of the file.
        let of_file = world.check(&[&format!("./{name}.pem"), "--name", "localhost"]);
        // Keys on curves that nobody should use cannot be read here, and that is said too.
        let judged: Vec<String> =
            of_file.findings().into_iter().filter(|f| !f.starts_with("key-unreadable")).collect();
        assert_eq!(judged, said, "{name}: {}", of_file.stdout);
        if name == "rsa512" {
            continue;
        }
        let server =
            Openssl::serve(world.dir.path(), &format!("{name}.pem"), &["-cipher", "ALL:@SECLEVEL=0"]);
        let ran = world.check(&[&format!("127.0.0.1:{}", server.port)]);
        let known: Vec<String> = ran
            .findings()
            .into_iter()
            .filter(|f| !f.starts_with("signature-unproven") && !f.starts_with("cipher-weak"))
            .collect();
        assert_eq!(known, said, "{name}: {}", ran.stdout);
        assert!(ran.json()[0]["not_after"].is_string());
    }
}

/// A server from before 1999, which knows nothing but this.
#[test]
fn sslv3_with_rc4() {
    let bench = Bench::new();
    let chain = bench.chain();
    let server = Server::start(move |mut stream| {
        use std::io::{Read, Write};
        let mut hello = vec![0; 4096];
        let n = stream.read(&mut hello).unwrap_or(0);
        // Byte 9 and 10: the version that the client's hello names.
        if n < 11 || hello[9..11] != [3, 0] {
            let _ = stream.write_all(&[21, 3, 0, 0, 2, 2, 40]);
            return;
        }
        let _ = stream.write_all(&flight(&chain));
    });
    let (said, records) = bench.said(&server.target(), &[]);
    assert_eq!(said, ["protocol-old critical"], "{records:?}");
    assert_eq!(records[0]["connection"]["version"], "SSLv3");
    assert_eq!(records[0]["connection"]["cipher"], "TLS_RSA_WITH_RC4_128_SHA");
    assert_eq!(records[0]["chain"].as_array().map(Vec::len), Some(2));
}

/// ServerHello, Certificate, ServerHelloDone of SSLv3, in records of 100 bytes.
fn flight(chain: &[Vec<u8>]) -> Vec<u8> {
    let of24 = |n: usize| u32::try_from(n).expect("small").to_be_bytes()[1..].to_vec();
    let message = |kind: u8, body: Vec<u8>| [vec![kind], of24(body.len()), body].concat();
    let hello = [vec![3, 0], vec![7; 32], vec![0], vec![0, 5], vec![0]].concat();
    let list: Vec<u8> = chain.iter().flat_map(|c| [of24(c.len()), c.clone()].concat()).collect();
    let all =
        [message(2, hello), message(11, [of24(list.len()), list].concat()), message(14, vec![])].concat();
    let record = |part: &[u8]| {
        [vec![22, 3, 0], u16::try_from(part.len()).expect("small").to_be_bytes().to_vec(), part.to_vec()]
            .concat()
    };
    all.chunks(100).flat_map(record).collect()
}

/// The day of the tests is far enough in openssl's certificates.
#[test]
fn the_tests_day_is_now_or_later() {
    assert!(
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs()
            < u64::try_from(NOW).expect("positive") + 8000 * 86_400
    );
}
