//! `verify`, from outside: what it reads, its status, its one line.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;
use testkit::Ran;

const AT: &str = "2026-11-22T12:00:00Z";

/// A root, a leaf for example.org below it, and files of them.
struct Files {
    dir: TempDir,
    root: String,
    leaf: String,
}

impl Files {
    fn new() -> Files {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "Test Root");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a root");
        let mut params = CertificateParams::new(["example.org".to_string()]).expect("a name");
        params.use_authority_key_identifier_extension = true;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "example.org");
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = params.signed_by(&KeyPair::generate().expect("a key"), &ca).expect("a leaf");
        let dir = tempfile::tempdir().expect("a folder");
        let files = Files { dir, root: ca.pem(), leaf: leaf.pem() };
        files.write("root.pem", &files.root);
        files.write("leaf.pem", &files.leaf);
        std::fs::write(files.path("leaf.der"), leaf.der()).expect("a file");
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file");
    }

    fn verify(&self, args: &[&str]) -> Ran {
        self.fed(args, "")
    }

    fn fed(&self, args: &[&str], input: &str) -> Ran {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cert-checker"))
            .arg("verify")
            .args(args)
            .current_dir(self.dir.path())
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tool runs");
        // A tool that does not read its input closes it: that is its right.
        let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
        testkit::ended(child)
    }
}

const PLAIN: [&str; 6] = ["--trust", "root.pem", "--name", "example.org", "--at", AT];

#[test]
fn valid_says_so_on_one_line() {
    let files = Files::new();
    let ran = files.verify(&[&PLAIN[..], &["leaf.pem"]].concat());
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert_eq!(ran.stdout, "valid\t-\t-\tCN=example.org < CN=Test Root\n");
    assert_eq!(files.verify(&[&PLAIN[..], &["leaf.der"]].concat()).status, Some(0));
    assert_eq!(files.fed(&[&PLAIN[..], &["-"]].concat(), &files.leaf).status, Some(0));
}

#[test]
fn what_is_not_valid_is_4_with_a_reason() {
    let files = Files::new();
    let other = ["--trust", "root.pem", "--name", "example.com", "--at", AT, "leaf.pem"];
    let ran = files.verify(&other);
    assert_eq!(ran.status, Some(4), "{ran:?}");
    assert!(
        ran.stdout.starts_with("not-valid\tname-mismatch\tthe certificate is not for example.com"),
        "{ran:?}"
    );
    assert_eq!(ran.stdout.lines().count(), 1);
    assert!(ran.stderr.contains("not valid: name-mismatch"), "{ran:?}");
    let json = files.verify(&[&other[..], &["--json"]].concat());
    let told: Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!((told["valid"].clone(), told["code"].clone()), (false.into(), "name-mismatch".into()));
    assert_eq!(told["path"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_certificate_that_is_none_is_judged() {
    let files = Files::new();
    files.write("odd.pem", "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n");
    let ran = files.verify(&[&PLAIN[..], &["odd.pem"]].concat());
    assert_eq!(ran.status, Some(4), "{ran:?}");
    assert!(ran.stdout.starts_with("not-valid\tmalformed"), "{ran:?}");
    let trusted = files.verify(&["--trust", "odd.pem", "--at", AT, "leaf.pem"]);
    assert_eq!(trusted.status, Some(4), "{trusted:?}");
    assert!(trusted.stderr.contains("trusted certificate 1 is left out"), "{trusted:?}");
}

#[test]
fn what_cannot_be_judged_is_1() {
    let files = Files::new();
    files.write("empty.pem", "");
    files.write("broken.pem", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n");
    for (args, words) in [
        (vec!["missing.pem"], "open missing.pem"),
        (vec!["empty.pem"], "there is no certificate in empty.pem"),
        (vec!["broken.pem"], "read broken.pem as PEM"),
        (vec!["--crl", "root.pem", "leaf.pem"], "there is no revocation list in root.pem"),
        (vec!["--trust", "empty.pem", "leaf.pem"], "there is no certificate in empty.pem"),
    ] {
        let ran = files.verify(&[&PLAIN[..], &args].concat());
        assert_eq!(ran.status, Some(1), "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(words), "{args:?}: {ran:?}");
    }
}

#[test]
fn what_is_asked_wrongly_is_2() {
    let files = Files::new();
    for args in [
        vec!["--name", "a b", "leaf.pem"],
        vec!["--at", "yesterday", "leaf.pem"],
        vec!["--profile", "mozilla", "leaf.pem"],
        vec!["--purpose", "fun", "leaf.pem"],
        vec!["--trust", "-", "-"],
        vec![],
    ] {
        let ran = files.fed(&args, &files.leaf);
        assert_eq!(ran.status, Some(2), "{args:?}: {ran:?}");
    }
}

#[test]
fn files_may_hold_none_or_many() {
    let files = Files::new();
    files.write("none.pem", "");
    files.write("both.pem", &format!("about this\r\n{}\n{}", files.leaf, files.root));
    let ran = files.verify(&[&PLAIN[..], &["--intermediates", "none.pem", "leaf.pem"]].concat());
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert_eq!(files.verify(&[&PLAIN[..], &["both.pem"]].concat()).status, Some(0));
    let twice =
        ["--trust", "root.pem", "--trust", "both.pem", "--intermediates", "both.pem", "--at", AT, "leaf.pem"];
    assert_eq!(files.verify(&twice).status, Some(0));
}

#[test]
fn the_time_may_be_seconds_and_have_a_fraction() {
    let files = Files::new();
    for at in ["1795348800", "2026-11-22T12:00:00.999Z", "2026-11-22T13:00:00+01:00"] {
        let ran = files.verify(&["--trust", "root.pem", "--at", at, "leaf.pem"]);
        assert_eq!(ran.status, Some(0), "{at}: {ran:?}");
    }
    let ran = files.verify(&["--trust", "root.pem", "--at", "-1", "leaf.pem"]);
    assert_eq!(ran.status, Some(4), "{ran:?}");
    assert!(ran.stdout.contains("not-yet-valid"), "{ran:?}");
}
