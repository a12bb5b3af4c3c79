//! What clients meet between the hello and the first word inside: chains too long, protocols not agreed on, client
//! certificates refused, preferences.

use crate::mint::{Authority, DAY, Made, Wish, pem};
use crate::old::Openssl;
use crate::server::{self, Server};
use crate::transport::Bench;
use crate::world::{Found, World, ok};
use std::process::{Command, Stdio};

/// A leaf and authorities that nobody needs, so that the certificates take some KiB in all.
fn chain_of(leaf: &Made, kib: usize) -> Vec<Vec<u8>> {
    let root =
        Wish::authority("Large").extension(&[1, 3, 6, 1, 4, 1, 99_999, 1], false, &[7; 7 << 10]).root();
    let mut chain = vec![leaf.der.clone()];
    while chain.iter().map(|der| der.len() + 3).sum::<usize>() < kib << 10 {
        chain.push(root.der.clone());
    }
    chain
}

/// Whether `openssl s_client` gets as far as a session.
fn openssl_connects(target: &str) -> bool {
    let mut client = Command::new("openssl");
    client.args(["s_client", "-connect", target, "-brief"]).stdin(Stdio::null());
    client.output().expect("openssl").status.success()
}

#[test]
fn chains_of_every_size() {
    let world = World::new();
    let leaf = Wish::server(&[]).self_signed();
    let (old, new) = (&rustls::version::TLS12, &rustls::version::TLS13);
    let both = rustls::ALL_VERSIONS;
    let (large, failed) = ("chain-large", "handshake-failed");
    let cases = [
        (40, both, vec![], true),
        (70, both, vec![format!("{large} warning")], true),
        (70, &[old][..], vec![format!("{large} warning")], true),
        (70, &[new][..], vec![format!("{failed} critical")], true),
        (120, both, vec![format!("{large} critical")], false),
        (120, &[old][..], vec![format!("{large} critical")], false),
        (120, &[new][..], vec![format!("{failed} critical")], false),
    ];
    for (kib, versions, said, openssl) in cases {
        let server = Server::tls(server::config(&chain_of(&leaf, kib), &leaf, versions));
        let ran = world.check(&[&server.target(), "--any-issuer"]);
        assert_eq!(ran.finding_ids(), said, "{kib} KiB: {}", &ran.stdout[..ran.stdout.len().min(900)]);
        assert!(
            said.is_empty() || ran.stdout.contains("64 KiB") || ran.stdout.contains("100 KiB"),
            "{kib} KiB"
        );
        assert_eq!(openssl_connects(&server.target()), openssl, "{kib} KiB by openssl");
    }
}

/// A suite of today over a group that few clients have: the suite is not what is wrong.
#[test]
fn suites_of_today_that_nobody_gets() {
    let world = World::new();
    crate::old::by_openssl(&world, "rsa", &["-newkey", "rsa:2048"]);
    let server = Openssl::serve(
        world.dir.path(),
        "rsa.pem",
        &["-tls1_2", "-groups", "P-521", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"],
    );
    let ran = world.check(&[&format!("127.0.0.1:{}", server.port), "--any-issuer"]);
    assert_eq!(ran.finding_ids(), ["handshake-failed critical"], "{ran:?}");
    assert!(ran.records()[0]["not_after"].is_string(), "{ran:?}");
}

/// libpq 17 and newer refuse a direct connection without this protocol; here OpenSSL says what was agreed on.
#[test]
fn postgresql_without_its_protocol() {
    let bench = Bench::new();
    for (protocols, said) in [
        (&[][..], vec!["alpn-missing critical"]),
        (&["postgresql"][..], vec![]),
        (&["http/1.1", "postgresql"][..], vec![]),
        (&["http/1.1"][..], vec!["handshake-failed critical"]),
    ] {
        for version in rustls::ALL_VERSIONS {
            let mut config = server::config(&bench.chain(), &bench.leaf, &[version]);
            config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
            let server = Server::tls(config);
            let (told, records) = bench.said(&format!("postgres-direct://{}", server.target()), &[]);
            let told: Vec<&str> = told.iter().map(String::as_str).collect();
            // In TLS 1.2 the certificate is never shown to whom no protocol is common with.
            assert_eq!(told, said, "{protocols:?} {version:?}: {records:?}");
            let agreed = records[0]["connection"]["protocol"].as_str();
            assert_eq!(agreed, said.is_empty().then_some("postgresql"), "{records:?}");
            let client = ["s_client", "-connect", &server.target(), "-alpn", "postgresql"];
            let ran = Command::new("openssl").args(client).stdin(Stdio::null()).output().expect("openssl");
            let text = String::from_utf8_lossy(&ran.stdout);
            assert_eq!(text.contains("ALPN protocol: postgresql"), said.is_empty(), "{text}");
        }
        let plain = Server::tls(server::config(&bench.chain(), &bench.leaf, rustls::ALL_VERSIONS));
        assert_eq!(bench.said(&plain.target(), &[]).0, [""; 0], "only where it is demanded");
    }
}

/// A client certificate in files, and what servers must say of it.
struct Own {
    name: &'static str,
    taken: bool,
}

fn client(bench: &Bench, name: &str, wish: Wish, by: &Authority) {
    let mut wish = wish;
    wish.0.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let made = wish.signed_by(by);
    bench.world.file(&format!("{name}.pem"), pem(&[&made.der]));
    bench.world.file(&format!("{name}.key"), made.key.serialize_pem());
}

/// In TLS 1.2 the refusal comes within the handshake, in 1.3 after it; from a server that sends tickets, from one that
/// sends nothing and waits, and from openssl.
#[test]
fn client_certificates_that_servers_refuse() {
    let bench = Bench::new();
    let (clients, strangers) = (Wish::authority("Client Root").root(), Wish::authority("Stranger").root());
    let root = bench.world.file("clients.pem", pem(&[&clients.der])).display().to_string();
    // By the clock: the servers know no other.
    client(&bench, "good", Wish::server(&["me"]).between(-30 * DAY, 300 * DAY), &clients);
    client(&bench, "stranger", Wish::server(&["me"]).between(-30 * DAY, 300 * DAY), &strangers);
    client(&bench, "ended", Wish::server(&["me"]).between(-90 * DAY, -9 * DAY), &clients);
    let owns =
        [("good", true), ("stranger", false), ("ended", false)].map(|(name, taken)| Own { name, taken });
    bench.world.file("server.pem", pem(&[&bench.leaf.der]));
    bench.world.file("middle.pem", pem(&[&bench.chain()[1]]));
    bench.world.file("server.key", bench.leaf.key.serialize_pem());
    for version in rustls::ALL_VERSIONS {
        let asking = || server::asking(&bench.chain(), &bench.leaf, &clients.der, &[version]);
        let mut mute = asking();
        mute.send_tls13_tickets = 0;
        let flag = if format!("{:?}", version.version).ends_with("1_2") { "-tls1_2" } else { "-tls1_3" };
        let verify =
            ["-cert_chain", "middle.pem", "-Verify", "1", "-verify_return_error", "-CAfile", &root, flag];
        let theirs = Openssl::serve(bench.world.dir.path(), "server.pem", &verify);
        let servers = [Server::tls(asking()), Server::tls(mute)];
        let mut targets: Vec<String> = servers.iter().map(Server::target).collect();
        targets.push(format!("127.0.0.1:{}", theirs.port));
        for (target, own) in targets.iter().flat_map(|t| owns.iter().map(move |own| (t, own))) {
            let (cert, key) = (format!("{}.pem", own.name), format!("{}.key", own.name));
            let (said, records) = bench.said(target, &["--cert", &cert, "--key", &key]);
            let refused = said.contains(&"client-certificate-refused critical".to_string());
            assert_eq!(refused, !own.taken, "{} by {target} in {version:?}: {records:?}", own.name);
            assert!(said.contains(&"client-certificate-requested ok".to_string()), "{said:?}");
            assert_eq!(said.len(), 1 + usize::from(refused) + usize::from(own.name == "ended"), "{said:?}");
            assert!(records[0]["not_after"].is_string(), "the server's certificate is told all the same");
        }
    }
}

/// Nobody asks who issued it, and the intermediate ends all the same.
#[test]
fn intermediates_end_whoever_is_trusted() {
    let world = World::new();
    let root = Wish::authority("Root").root();
    let cases: [(&str, i64, &[&str]); 4] = [
        ("lasting", 2000 * DAY, &[]),
        ("soon", 10 * DAY, &["chain-expires warning"]),
        ("very soon", 3 * DAY, &["chain-expires critical"]),
        ("ended", -DAY, &["chain-expired critical"]),
    ];
    for (id, until, said) in cases {
        let middle = Wish::authority("Middle").between(-400 * DAY, until).below(&root);
        let leaf = Wish::server(&[]).signed_by(&middle);
        let server = Server::showing(&leaf, &[&middle.der]);
        let file = world.file("chain.pem", pem(&[&leaf.der, &middle.der])).display().to_string();
        let seen = world.check(&[&file]).records();
        let pin = |value: &serde_json::Value| value.as_str().expect("a hash").to_string();
        let (cert, key) =
            (pin(&seen[0]["chain"][0]["sha256"]), pin(&seen[0]["chain"][0]["key"]["spki_sha256"]));
        let served = server.target();
        let ways: [&[&str]; 3] = [&["--any-issuer"], &["--pin", &cert], &["--pin", &key]];
        for (target, way) in [&file, &served].into_iter().flat_map(|t| ways.iter().map(move |w| (t, w))) {
            let ran = world.check(&[&[target.as_str()], *way].concat());
            assert_eq!(ran.finding_ids(), said, "{id} {way:?}: {}", ran.stdout);
        }
    }
    // A cross-signature that has ended beside one that lasts keeps no client away.
    let wish = Wish::authority("Middle");
    let middle = wish.clone().below(&root);
    let crossed = middle.crossed(&wish.between(-400 * DAY, -DAY), &Wish::authority("Old").root());
    let leaf = Wish::server(&[]).signed_by(&middle);
    world.file("crossed.pem", pem(&[&leaf.der, &crossed, &middle.der]));
    assert_eq!(world.check(&["./crossed.pem", "--any-issuer"]).finding_ids(), [""; 0]);
    let own = Wish::server(&[]).self_signed();
    world.file("own.pem", pem(&[&own.der]));
    assert_eq!(world.check(&["./own.pem", "--any-issuer"]).finding_ids(), [""; 0]);
    assert_eq!(world.check(&["./own.pem", "--self-signed"]).finding_ids(), [""; 0]);
    world.file("other.pem", pem(&[&leaf.der, &middle.der]));
    let said = world.check(&["./other.pem", "--self-signed"]).finding_ids();
    assert_eq!(said, ["untrusted-root critical"], "another's signature is not its own");
}

/// What a server prefers is what its clients get: forward secrecy that is only offered last keeps it from an A.
#[test]
fn preferences_of_servers() {
    let world = World::new();
    crate::old::by_openssl(&world, "rsa", &["-newkey", "rsa:2048"]);
    let (secret, bare) = ("ECDHE-RSA-AES256-GCM-SHA384", "AES256-GCM-SHA384");
    let cases = [
        (format!("{bare}:{secret}"), &["-serverpref"][..], "B"),
        (format!("{secret}:{bare}"), &["-serverpref"][..], "A+"),
        // A server without preferences gives clients what they want.
        (format!("{bare}:{secret}"), &[][..], "A+"),
    ];
    for (ciphers, more, grade) in cases {
        let args = [&["-cipher", &ciphers][..], more].concat();
        let server = Openssl::serve(world.dir.path(), "rsa.pem", &args);
        let ran = world.check(&[&format!("127.0.0.1:{}", server.port), "--any-issuer", "--grade"]);
        assert_eq!(ran.records()[0]["grade"]["grade"], grade, "{ciphers}: {ran:?}");
    }
}

/// OpenSSL's own form of a certificate with what it is trusted for, judged by openssl beside us.
#[test]
fn trusted_certificates_by_openssl() {
    let world = World::new();
    let root = Wish::authority("Root").root();
    let leaf = Wish::server(&["a.example"]).signed_by(&root);
    let path = |name: &str| world.path(name);
    world.file("root.pem", pem(&[&root.der]));
    world.file("leaf.pem", pem(&[&leaf.der]));
    let at = crate::mint::now().to_string();
    let cases: [(&str, &[&str], bool); 5] = [
        ("nothing said", &["-setalias", "ours"], true),
        ("for servers", &["-addtrust", "serverAuth", "-setalias", "ours"], true),
        ("for clients", &["-addtrust", "clientAuth"], false),
        ("for mail and servers", &["-addtrust", "emailProtection", "-addtrust", "serverAuth"], true),
        ("not for servers", &["-addreject", "serverAuth"], false),
    ];
    for (id, how, trusted) in cases {
        for (name, file) in [("root.pem", "troot.pem"), ("leaf.pem", "tleaf.pem")] {
            let begin = ["x509", "-in", &path(name), "-trustout", "-out", &path(file)];
            ok("openssl", &[&begin[..], how].concat());
        }
        assert!(std::fs::read_to_string(path("troot.pem")).expect("made").contains("TRUSTED"), "{id}");
        let theirs =
            ["verify", "-attime", &at, "-purpose", "sslserver", "-no-CAfile", "-no-CApath", "-CAfile"];
        let ran = Command::new("openssl").args(theirs).args([path("troot.pem"), path("leaf.pem")]).output();
        assert_eq!(ran.expect("openssl").status.success(), trusted, "{id} by openssl");
        let status = if trusted { Some(0) } else { Some(1) };
        let when = crate::world::judged_at();
        let ours = world.run(&["verify", "tleaf.pem", "--trust", "troot.pem", "--at", when]);
        assert_eq!(ours.status, status, "{id}: {ours:?}");
        let named =
            ["verify", "leaf.pem", "--trust", "root.pem", "--intermediates", "troot.pem", "--at", when];
        assert_eq!(world.run(&named).status, Some(0), "{id}");
        let checked = world.check(&["./tleaf.pem", "--trust", "troot.pem"]);
        match trusted {
            true => {
                assert_eq!((checked.finding_ids(), checked.status), (vec![], Some(0)), "{id}: {checked:?}");
            }
            false => assert_eq!(checked.status, Some(2), "{id}: {checked:?}"),
        }
        assert_eq!(world.check(&["./troot.pem"]).finding_ids(), [""; 0], "{id}: nothing is odd about it");
    }
}

/// The bytes behind the certificate belong to nothing under any other label.
#[test]
fn bytes_behind_a_certificate() {
    let world = World::new();
    let leaf = Wish::server(&[]).self_signed();
    let behind = [&leaf.der[..], &[0x30, 3, 12, 1, 120]].concat();
    let cases = [
        ("CERTIFICATE", &["certificate-nonstandard warning", "self-signed critical"][..]),
        ("TRUSTED CERTIFICATE", &["self-signed critical"][..]),
    ];
    for (label, said) in cases {
        world.file("x.pem", crate::mint::block(label, &behind));
        assert_eq!(world.check(&["./x.pem"]).finding_ids(), said, "{label}");
    }
    let junk = [&leaf.der[..], &[0, 0]].concat();
    world.file("x.pem", crate::mint::block("TRUSTED CERTIFICATE", &junk));
    assert_eq!(
        world.check(&["./x.pem"]).finding_ids(),
        ["certificate-nonstandard warning", "self-signed critical"]
    );
}
