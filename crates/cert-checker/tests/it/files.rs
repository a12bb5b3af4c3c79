//! Certificates on disk: forms, folders, links, keys, and files that would block or lie.

use crate::mint::{Authority, DAY, Made, Wish, block, pem};
use crate::world::{Found, World, ok};
use std::os::unix::fs::PermissionsExt;

struct Disk {
    world: World,
    middle: Authority,
    leaf: Made,
    trust: String,
}

impl Disk {
    fn new() -> Disk {
        let world = World::new();
        let root = Wish::authority("Test Root").root();
        let middle = Wish::authority("Test Intermediate").below(&root);
        let leaf = Wish::server(&["www.example.org"]).signed_by(&middle);
        let trust = world.file("trust/root.pem", pem(&[&root.der])).display().to_string();
        Disk { world, middle, leaf, trust }
    }

    fn full(&self) -> String {
        pem(&[&self.leaf.der, &self.middle.der])
    }

    fn said(&self, args: &[&str]) -> Vec<String> {
        let ran = self.world.check(&[args, &["--trust", &self.trust]].concat());
        ran.finding_ids()
    }

    fn key(&self, name: &str, mode: u32) {
        let path = self.world.file(name, self.leaf.key.serialize_pem());
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("chmod");
    }
}

#[test]
fn pem_as_it_is_found() {
    let disk = Disk::new();
    let full = disk.full();
    let labelled = full.replace("CERTIFICATE", "TRUSTED CERTIFICATE");
    let corrupt = format!("{full}-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n");
    let cases: [(&str, String, &[&str]); 7] = [
        ("S1 one", pem(&[&disk.leaf.der]), &["chain-incomplete critical"]),
        ("S1 many", full.clone(), &[]),
        ("S1 CRLF", full.replace('\n', "\r\n"), &[]),
        ("S1 BOM and prose", format!("\u{feff}Bag Attributes: x\nsubject=y\n{full}"), &[]),
        ("S1 label", labelled.clone(), &[]),
        ("S1 X509", labelled.replace("TRUSTED", "X509"), &[]),
        ("S1 second block corrupt", corrupt, &["damaged unknown"]),
    ];
    for (id, text, said) in cases {
        disk.world.file("a.pem", text);
        assert_eq!(disk.said(&["./a.pem"]), said, "{id}");
    }
    disk.world.file("a.pem", disk.leaf.key.serialize_pem() + &full);
    assert_eq!(disk.said(&["./a.pem"]), ["key-mode warning"], "S1 key first");
}

#[test]
fn der_pkcs7_and_pkcs12() {
    let disk = Disk::new();
    disk.world.file("a.der", &disk.leaf.der);
    disk.world.file("b.der", [&disk.leaf.der[..], &[0, 0]].concat());
    let at = |name: &str| disk.world.path(name);
    disk.world.file("full.pem", disk.full());
    disk.key("full.key", 0o600);
    ok("openssl", &["crl2pkcs7", "-nocrl", "-certfile", &at("full.pem"), "-out", &at("a.p7b")]);
    ok(
        "openssl",
        &["crl2pkcs7", "-nocrl", "-certfile", &at("full.pem"), "-outform", "DER", "-out", &at("b.p7b")],
    );
    let export = ["pkcs12", "-export", "-in", &at("full.pem"), "-inkey", &at("full.key"), "-out"];
    ok("openssl", &[&export[..], &[&at("modern.p12"), "-passout", "pass:geheim"]].concat());
    ok(
        "openssl",
        &[
            &export[..],
            &[
                &at("old.p12"),
                "-passout",
                "pass:geheim",
                "-legacy",
                "-keypbe",
                "PBE-SHA1-3DES",
                "-certpbe",
                "PBE-SHA1-RC2-40",
                "-macalg",
                "sha1",
            ],
        ]
        .concat(),
    );
    ok("openssl", &[&export[..], &[&at("empty.p12"), "-passout", "pass:"]].concat());
    let only = [
        "pkcs12",
        "-export",
        "-nokeys",
        "-in",
        &at("full.pem"),
        "-passout",
        "pass:geheim",
        "-out",
        &at("only.p12"),
    ];
    ok("openssl", &only);
    let password = disk.world.file("password", "geheim\n");
    std::fs::set_permissions(password, std::fs::Permissions::from_mode(0o600)).expect("chmod");
    let cases: [(&str, &[&str], &[&str]); 9] = [
        ("S2 DER", &["./a.der"], &["chain-incomplete critical"]),
        ("K3 bytes behind", &["./b.der"], &["certificate-nonstandard warning", "chain-incomplete critical"]),
        ("S2 PKCS#7 PEM", &["./a.p7b"], &[]),
        ("S2 PKCS#7 DER", &["./b.p7b"], &[]),
        ("S3 modern", &["./modern.p12", "--password-file", "password"], &[]),
        ("S3 legacy", &["./old.p12", "--password-file", "password"], &[]),
        ("S3 empty password", &["./empty.p12"], &[]),
        ("S3 certificates only", &["./only.p12", "--password-file", "password"], &[]),
        ("S3 no password", &["./modern.p12"], &["nothing-found unknown", "unreadable unknown"]),
    ];
    for (id, args, said) in cases {
        let found = disk.said(args);
        let told = found == said || (id == "S3 no password" && found == ["unreadable unknown"]);
        assert!(told, "{id}: {found:?}");
    }
    let ran = disk.world.check(&["./modern.p12", "--password-file", "password"]);
    assert!(!ran.stdout.contains("geheim") && !ran.stderr.contains("geheim"), "O8: {ran:?}");
}

/// Let's Encrypt's layout: links from live/ to archive/, four files of one certificate.
#[test]
fn the_layout_of_lets_encrypt() {
    let disk = Disk::new();
    let archive =
        [("cert", pem(&[&disk.leaf.der])), ("chain", pem(&[&disk.middle.der])), ("fullchain", disk.full())];
    for (name, text) in &archive {
        disk.world.file(&format!("archive/x/{name}1.pem"), text);
    }
    disk.key("archive/x/privkey1.pem", 0o600);
    let live = disk.world.dir.path().join("live/x");
    std::fs::create_dir_all(&live).expect("folders");
    for name in ["cert", "chain", "fullchain", "privkey"] {
        std::os::unix::fs::symlink(format!("../../archive/x/{name}1.pem"), live.join(format!("{name}.pem")))
            .expect("a link");
    }
    let ran = disk.world.check(&["./live", "--trust", &disk.trust]);
    assert_eq!((ran.finding_ids(), ran.status), (vec![], Some(0)), "{}", ran.stdout);
    let places: Vec<usize> =
        ran.records().iter().map(|r| r["places"].as_array().map_or(0, Vec::len)).collect();
    assert_eq!(places, [2, 1], "S8: leaf in two files, the authority in one of its own: {}", ran.stdout);
    std::fs::remove_file(disk.world.dir.path().join("archive/x/fullchain1.pem")).expect("removed");
    assert!(disk.said(&["./live"]).contains(&"unreadable unknown".to_string()), "S6 a dangling link");
}

#[test]
fn what_lies_in_folders_blocks_nobody() {
    let disk = Disk::new();
    disk.world.file("d/a.pem", disk.full());
    disk.world.file("d/README", "no certificate here");
    disk.world.file("d/deep/er/b.pem", disk.full());
    ok("mkfifo", &[&disk.world.path("d/pipe")]);
    std::os::unix::fs::symlink(".", disk.world.dir.path().join("d/loop")).expect("a link");
    let huge = std::fs::File::create(disk.world.dir.path().join("d/huge.pem")).expect("a file");
    huge.set_len(11 << 20).expect("sparse");
    let ran = disk.world.check(&["./d", "--trust", &disk.trust]);
    assert_eq!(ran.finding_ids(), ["unreadable unknown", "unreadable unknown"], "S7: {}", ran.stdout);
    assert_eq!(disk.said(&["./d/**/*.pem"]), ["unreadable unknown"], "S7: a pattern");
    assert_eq!(disk.said(&["./d/*.crt"]), ["nothing-found unknown"], "S9");
    std::fs::create_dir(disk.world.dir.path().join("empty")).expect("a folder");
    let ran = disk.world.check(&["./empty"]);
    assert_eq!(
        (ran.finding_ids(), ran.status),
        (vec!["nothing-found unknown".to_string()], Some(1)),
        "S9: {ran:?}"
    );
    assert_eq!(disk.world.run(&["check", "--monitoring", "./empty"]).status, Some(3));
}

#[test]
fn keys_beside_their_certificates() {
    let disk = Disk::new();
    disk.world.file("a.pem", disk.full());
    disk.key("a.key", 0o600);
    assert_eq!(disk.said(&["./a.pem"]), [""; 0]);
    disk.key("a.key", 0o640);
    assert_eq!(disk.said(&["./a.pem"]), [""; 0], "K4: the group may read");
    disk.key("a.key", 0o644);
    assert_eq!(disk.said(&["./a.pem"]), ["key-mode warning"], "K4");
    let other = Wish::server(&[]).self_signed();
    let path = disk.world.file("a.key", other.key.serialize_pem());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("chmod");
    assert_eq!(disk.said(&["./a.pem"]), ["key-mismatch critical"], "K4");
    let at = |name: &str| disk.world.path(name);
    ok("openssl", &["pkey", "-in", &at("a.key"), "-aes256", "-passout", "pass:x", "-out", &at("b.key")]);
    std::fs::rename(at("b.key"), at("a.key")).expect("renamed");
    assert_eq!(disk.said(&["./a.pem"]), ["key-encrypted ok"], "K4");
    let path = disk.world.file("a.key", block("PRIVATE KEY", &[1, 2, 3]));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("chmod");
    assert_eq!(disk.said(&["./a.pem"]), ["key-unreadable warning"], "K4");
    for (name, how) in [("rsa", "rsa:2048"), ("small", "rsa:1024"), ("ed", "ed25519")] {
        let files =
            ["-keyout", &at(&format!("{name}.key")), "-out", &at(&format!("{name}.pem"))].map(String::from);
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let begin = [
            "req",
            "-x509",
            "-nodes",
            "-days",
            "9000",
            "-subj",
            "/CN=a",
            "-addext",
            "subjectAltName=DNS:a",
            "-newkey",
            how,
        ];
        ok("openssl", &[&begin[..], &files].concat());
        let said = disk.world.check(&[&format!("./{name}.pem"), "--any-issuer"]).finding_ids();
        assert_eq!(said, [""; 0], "{name}");
        disk.world.file(&format!("{name}.key"), disk.leaf.key.serialize_pem());
        let said = disk.world.check(&[&format!("./{name}.pem"), "--any-issuer"]).finding_ids();
        assert!(said.contains(&"key-mismatch critical".to_string()), "{name}: {said:?}");
    }
}

#[test]
fn authorities_in_a_bundle_expire_one_by_one() {
    let disk = Disk::new();
    let old = Wish::authority("Old Root").between(-4000 * DAY, -DAY).root();
    let soon = Wish::authority("Soon Root").between(-4000 * DAY, 10 * DAY).root();
    disk.world.file("bundle.pem", pem(&[&old.der, &disk.middle.der, &soon.der]));
    let ran = disk.world.check(&["./bundle.pem"]);
    assert_eq!(ran.finding_ids(), ["expired critical", "expires warning"], "{}", ran.stdout);
    assert_eq!(ran.records().len(), 3);
}
