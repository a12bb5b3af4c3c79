//! Against age's own program, and against what somebody without a key may do to a file.

use super::*;
use crate::error::{Context, Error, Kind, Result};
use std::io::{Cursor, Read};
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs a program of age's or OpenSSH's; what it printed.
fn run_program(program: &mut Command, input: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let name = program.get_program().to_string_lossy().into_owned();
    let piped = program.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = piped.spawn().unwrap_or_else(|e| panic!("{name}: {e}; run cargo xtask setup"));
    let mut stdin = child.stdin.take().expect("a pipe");
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).expect("it reads"));
        child.wait_with_output().expect("it ends")
    });
    assert!(output.status.success(), "{name} fails");
    output.stdout
}

/// An identity of age and one of OpenSSH, and the file of their recipients.
struct Keys {
    dir: tempfile::TempDir,
}

impl Keys {
    fn make() -> Keys {
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| dir.path().join(name);
        let native = testkit::AgeKey::make(&path("native")).recipient;
        let ssh = path("ssh");
        run_program(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&ssh), b"");
        let ssh = std::fs::read_to_string(path("ssh.pub")).expect("read");
        std::fs::write(path("recipients"), format!("# two\n{native}\n\n{ssh}")).expect("write");
        Keys { dir }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn encrypt(&self, plain: &[u8]) -> Vec<u8> {
        let recipients = Recipients::read_file(&self.path("recipients")).expect("recipients");
        let mut file = Vec::new();
        recipients.encrypt(plain).expect("a header").read_to_end(&mut file).expect("encrypted");
        file
    }
}

fn decrypt(identity: &Path, file: &[u8], at: u64) -> Result<Vec<u8>> {
    let opened = Identities::read_file(identity)?.open(Cursor::new(file))?;
    let mut content = opened.ok_or_else(|| Error::usage("it is for somebody else"))?;
    content.go_to(at)?;
    let mut plain = Vec::new();
    content.read_to_end(&mut plain).doing(|| "read".into())?;
    Ok(plain)
}

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| ((i * i) >> 8) as u8).collect()
}

const CHUNK: usize = 64 << 10;

#[test]
fn age_reads_what_is_written_and_its_files_are_read() {
    let keys = Keys::make();
    for bytes in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 5 * CHUNK + 77] {
        let plain = content(bytes);
        let ours = keys.encrypt(&plain);
        let theirs = run_program(Command::new("age").arg("-R").arg(keys.path("recipients")), &plain);
        for identity in [keys.path("native"), keys.path("ssh")] {
            let mut age = Command::new("age");
            assert!(run_program(age.arg("-d").arg("-i").arg(&identity), &ours) == plain, "{bytes} bytes");
            for file in [&ours, &theirs] {
                assert!(decrypt(&identity, file, 0).expect("decrypted") == plain, "{bytes} bytes");
            }
        }
    }
}

#[test]
fn any_stretch_is_read_by_itself() {
    let keys = Keys::make();
    let plain = content(3 * CHUNK);
    let file = keys.encrypt(&plain);
    for at in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK - 1, 3 * CHUNK] {
        assert!(decrypt(&keys.path("native"), &file, at as u64).expect("read") == plain[at..], "from {at}");
    }
    let e = decrypt(&keys.path("native"), &file, 5 * CHUNK as u64).expect_err("beyond the end");
    assert_eq!(e.kind(), Kind::Corrupt);
}

#[test]
fn what_was_changed_moved_cut_or_added_is_damage() {
    let keys = Keys::make();
    let file = keys.encrypt(&content(2 * CHUNK + 100));
    let begin = file.windows(5).position(|w| w == b"\n--- ").expect("a MAC") + 5 + 44 + 16;
    let chunk = CHUNK + 16;
    let damaged = |file: &[u8]| match decrypt(&keys.path("native"), file, 0) {
        // A header that was changed may be nobody's any more.
        Err(e) => e.kind() == Kind::Corrupt || e.chain().contains("somebody else"),
        Ok(_) => false,
    };
    assert!(!damaged(&file));
    for at in (0..begin).chain((begin..file.len()).step_by(4999)) {
        let mut flipped = file.clone();
        flipped[at] ^= 0x10;
        assert!(damaged(&flipped), "byte {at} of {begin} and {}", file.len());
    }
    for cut in [begin, begin + chunk, begin + 2 * chunk, file.len() - 1] {
        assert!(damaged(&file[..cut]), "cut at {cut}");
    }
    let swapped = [&file[..begin], &file[begin + chunk..begin + 2 * chunk], &file[begin..begin + chunk]];
    assert!(damaged(&[&swapped.concat()[..], &file[begin + 2 * chunk..]].concat()), "moved");
    assert!(damaged(&[&file[..], b"x"].concat()), "added");
}

#[test]
fn what_is_no_key_is_named_and_never_printed() {
    let keys = Keys::make();
    let write = |text: &str| {
        let path = keys.path("x");
        std::fs::write(&path, text).expect("write");
        crate::durable::set_mode(&path, 0o600).expect("chmod");
        path
    };
    let text = std::fs::read_to_string(keys.path("native")).expect("read");
    let secret = text.lines().last().expect("a key");
    for bad in ["", "# nothing\n", &format!("{}q\n", &secret[..secret.len() - 1]), "age1nobody\n"] {
        let e = Identities::read_file(&write(bad)).err().expect("no identity");
        assert!(e.kind() == Kind::Usage && !e.chain().contains("SECRET"), "{e:?}");
    }
    let openssh =
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n-----END OPENSSH PRIVATE KEY-----\n";
    for bad in ["", "age1nobody", "ssh-rsa AAAA", secret, &secret.to_lowercase(), openssh] {
        let e = Recipients::read_file(&write(bad)).expect_err("no recipient");
        let all = format!("{} {:?}", e.chain(), e.find_hint()).to_uppercase();
        assert!(e.kind() == Kind::Usage && !all.contains("SECRET") && !all.contains("B3BLB"), "{e:?}");
    }
    crate::durable::set_mode(&keys.path("native"), 0o644).expect("chmod");
    let e = Identities::read_file(&keys.path("native")).err().expect("others may read it");
    assert!(e.find_hint().is_some_and(|hint| hint.starts_with("chmod 600")), "{e:?}");
}
