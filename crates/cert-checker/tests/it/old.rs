//! Servers of long ago: whatever they speak, the certificate that they show is told.

use crate::server::{self, Server, flight};
use crate::transport::Bench;
use crate::world::{Found, World, ok};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Somebody else's server, ended when dropped.
pub(crate) struct Openssl {
    child: Child,
    pub(crate) port: u16,
}

impl Openssl {
    pub(crate) fn serve(dir: &std::path::Path, cert: &str, args: &[&str]) -> Openssl {
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
pub(crate) fn by_openssl(world: &World, name: &str, how: &[&str]) {
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
        let record = &ran.records()[0];
        assert_eq!(ran.finding_ids(), said, "{id}: {record}");
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
        ("rsa2047", &["-newkey", "rsa:2047"], &["key-unusual warning", "self-signed critical"]),
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
            of_file.finding_ids().into_iter().filter(|f| !f.starts_with("key-unreadable")).collect();
        assert_eq!(judged, said, "{name}: {}", of_file.stdout);
        if name == "rsa512" {
            continue;
        }
        let server =
            Openssl::serve(world.dir.path(), &format!("{name}.pem"), &["-cipher", "ALL:@SECLEVEL=0"]);
        let ran = world.check(&[&format!("127.0.0.1:{}", server.port)]);
        let known: Vec<String> = ran
            .finding_ids()
            .into_iter()
            .filter(|f| {
                !["signature-unproven", "cipher-weak", "handshake-failed"].iter().any(|c| f.starts_with(c))
            })
            .collect();
        assert_eq!(known, said, "{name}: {}", ran.stdout);
        assert!(ran.records()[0]["not_after"].is_string());
    }
}

/// A server from before 1999, which knows nothing but this.
#[test]
fn sslv3_with_rc4() {
    let bench = Bench::new();
    let (chain, shown) = (bench.chain(), flight([3, 0], [0, 5]));
    let server = Server::start(move |stream| shown(stream, &chain));
    let (said, records) = bench.said(&server.target(), &[]);
    assert_eq!(said, ["protocol-old critical"], "{records:?}");
    assert_eq!(records[0]["connection"]["version"], "SSLv3");
    assert_eq!(records[0]["connection"]["cipher"], "TLS_RSA_WITH_RC4_128_SHA");
    assert_eq!(records[0]["chain"].as_array().map(Vec::len), Some(2));
}

/// What only servers of long ago take, and OpenSSL no longer speaks.
#[test]
fn ciphers_of_old_still_show_their_certificate() {
    let bench = Bench::new();
    let cases: [(&str, [u8; 2]); 6] = [
        ("TLS_RSA_EXPORT_WITH_RC4_40_MD5", [0, 3]),
        ("TLS_RSA_WITH_RC4_128_SHA", [0, 5]),
        ("TLS_RSA_WITH_3DES_EDE_CBC_SHA", [0, 10]),
        ("TLS_RSA_WITH_DES_CBC_SHA", [0, 9]),
        ("TLS_RSA_WITH_NULL_SHA", [0, 2]),
        ("TLS_RSA_WITH_AES_128_CBC_SHA", [0, 0x2f]),
    ];
    for (name, cipher) in cases {
        let (chain, shown) = (bench.chain(), flight([3, 3], cipher));
        let server = Server::start(move |stream| shown(stream, &chain));
        let (said, records) = bench.said(&server.target(), &[]);
        assert_eq!(said, ["cipher-weak critical"], "X3 {name}: {records:?}");
        assert_eq!(records[0]["connection"]["cipher"], name, "X3");
        assert!(records[0]["not_after"].is_string(), "X3 {name}");
    }
}

/// Diffie-Hellman over a prime that a schoolchild could break: the certificate is shown, and the grade is F.
#[test]
fn diffie_hellman_over_small_primes() {
    let bench = Bench::new();
    for (bits, grade) in [(480, "F"), (512, "F"), (1024, "B")] {
        let (chain, shown) = (bench.chain(), server::flight_with([3, 3], [0, 0x9e], bits / 8));
        let server = Server::start(move |stream| shown(stream, &chain));
        let (said, records) = bench.said(&server.target(), &["--grade"]);
        assert!(said.contains(&"cipher-weak critical".to_string()), "X3 {bits}: {said:?}");
        assert_eq!(records[0]["accepts"]["dh_bits"], bits, "X3");
        assert_eq!(records[0]["grade"]["grade"], grade, "X3 {bits}: {}", records[0]);
    }
}

#[test]
fn old_versions_beside_new_ones() {
    let world = World::new();
    by_openssl(&world, "rsa", &["-newkey", "rsa:2048"]);
    let server = Openssl::serve(world.dir.path(), "rsa.pem", &["-cipher", "ALL:@SECLEVEL=0"]);
    let target = format!("127.0.0.1:{}", server.port);
    let ran = world.check(&[&target, "--any-issuer", "--grade"]);
    assert!(ran.finding_ids().contains(&"protocol-old warning".to_string()), "X4 {ran:?}");
    assert_eq!(world.check(&[&target, "--any-issuer"]).finding_ids(), [""; 0], "X4: by policy only");
}
