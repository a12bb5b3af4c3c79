//! Keys that openssl makes and signs with.

use crate::der::*;
use crate::pki::Key;
use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;

/// A key that openssl made and signs with.
struct Openssl {
    dir: tempfile::TempDir,
    file: PathBuf,
}

pub(crate) fn openssl(args: &[&str]) -> Vec<u8> {
    let ran = Command::new("openssl").args(args).output().expect("openssl runs");
    assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ran.stderr));
    ran.stdout
}

/// `genpkey` options, the signature's AlgorithmIdentifier, and `dgst` options.
pub(crate) fn made(kind: &[&str], algorithm: Vec<u8>, digest: &'static [&'static str]) -> Key {
    Openssl::key(kind).signing(algorithm, digest)
}

impl Openssl {
    fn key(kind: &[&str]) -> Rc<Openssl> {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("key");
        openssl(&[&["genpkey", "-quiet", "-out", file.to_str().expect("utf-8")], kind].concat());
        Rc::new(Openssl { dir, file })
    }

    fn signing(self: &Rc<Openssl>, algorithm: Vec<u8>, digest: &'static [&'static str]) -> Key {
        let held = Rc::clone(self);
        let key = held.file.to_str().expect("utf-8").to_string();
        let spki = openssl(&["pkey", "-in", &key, "-pubout", "-outform", "DER"]);
        Key::with(spki, algorithm, move |message| {
            let input = held.dir.path().join("message");
            std::fs::write(&input, message).expect("a file");
            let input = input.to_str().expect("utf-8");
            match digest {
                [] => openssl(&["pkeyutl", "-sign", "-rawin", "-inkey", &key, "-in", input]),
                _ => openssl(&[&["dgst"], digest, &["-sign", &key, input]].concat()),
            }
        })
    }
}

/// One key that signs with SHA-1, and the same with SHA-256.
pub(crate) fn rsa_both(bits: &str) -> (Key, Key) {
    let held = Openssl::key(&["-algorithm", "RSA", "-pkeyopt", &format!("rsa_keygen_bits:{bits}")]);
    let named = |last: u32| seq(&[oid(&format!("1.2.840.113549.1.1.{last}")), null()]);
    (held.signing(named(5), &["-sha1"]), held.signing(named(11), &["-sha256"]))
}

pub(crate) fn rsa(bits: &str, digest: &'static str) -> Key {
    let (last, option): (u32, &'static [&'static str]) = match digest {
        "md5" => (4, &["-md5"]),
        "sha1" => (5, &["-sha1"]),
        "sha224" => (14, &["-sha224"]),
        "sha256" => (11, &["-sha256"]),
        "sha384" => (12, &["-sha384"]),
        _ => (13, &["-sha512"]),
    };
    let algorithm = seq(&[oid(&format!("1.2.840.113549.1.1.{last}")), null()]);
    made(&["-algorithm", "RSA", "-pkeyopt", &format!("rsa_keygen_bits:{bits}")], algorithm, option)
}

pub(crate) fn ec(curve: &str, digest: &'static [&'static str], last: u32) -> Key {
    let algorithm = seq(&[oid(&format!("1.2.840.10045.4.3.{last}"))]);
    made(&["-algorithm", "EC", "-pkeyopt", &format!("ec_paramgen_curve:{curve}")], algorithm, digest)
}
