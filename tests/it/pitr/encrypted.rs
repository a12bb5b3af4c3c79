//! Everything encrypted: what the server's own tools do without a key, and what one restores.

use super::lab::{Lab, rows, verified};
use super::tails::{Stream, wait_for_tails};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use testkit::{AgeKey, Pg};

/// A server whose archive, backups and dumps are encrypted to one key, which its user has.
fn encrypting() -> (Lab, AgeKey) {
    let lab = Lab::bare(15);
    let key = AgeKey::make(&lab.path("key"));
    lab.give_all("key");
    fs::write(lab.path("recipients"), &key.recipient).expect("write the recipients");
    let env = [("TOBAN_RECIPIENTS_FILE", lab.text("recipients")), ("TOBAN_STATE_DIR", lab.text("state"))];
    lab.folder("state");
    let repo = format!("file://{}", lab.folder("repo").display());
    (lab.in_repos(&repo, env.map(|(n, v)| (n.to_string(), v)).to_vec()), key)
}

fn objects(lab: &Lab) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![lab.path("repo")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("list").flatten() {
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            match entry.path() {
                path if path.is_dir() && !hidden => folders.push(path),
                path if path.is_file() => files.push(path),
                _ => {}
            }
        }
    }
    files
}

#[test]
fn a_server_without_a_key_does_all_but_restore() {
    let (lab, key) = encrypting();
    lab.pg.psql("postgres", "create table private as select 'known to few' words");
    lab.row();
    let backup = lab.back_up();
    let wanted = lab.row();
    lab.row();
    lab.pg.ship_wal();
    let stream = Stream::start(&lab);
    let last = lab.row();
    wait_for_tails(&lab, &last.lsn);
    lab.run("pg-backup", &["dump", "postgres"]).fine();

    for path in objects(&lab) {
        let ending = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        assert!(["age", "json", "attr", "history"].contains(&ending.as_str()), "{}", path.display());
        let attrs = if ending == "attr" { fs::read_to_string(&path).expect("read") } else { String::new() };
        assert!(!attrs.contains("\"sha256\""), "{}: {attrs}", path.display());
    }
    for (tool, args) in [
        ("pg-backup", &["verify"][..]),
        ("pg-backup", &["list"]),
        ("pg-backup", &["prune", "--keep-last", "5"]),
        ("wal-shipper", &["list"]),
    ] {
        lab.run(tool, args).fine();
    }

    let opened = lab.run("pg-backup", &["key", "test", "--identity", &key.path(), "--json"]).json();
    let kinds: Vec<&str> = opened.iter().filter_map(|r| r["kind"].as_str()).collect();
    assert_eq!(kinds, ["backup", "wal", "dump"], "{opened:?}");
    assert!(opened.iter().all(|r| r["encrypted"] == true), "{opened:?}");

    // The same file again is fine, and another one of its name is not, whatever is known of the stored one.
    let name = lab.pg.psql("postgres", &format!("select pg_walfile_name('{}')", wanted.lsn));
    let source = lab.pg.data_dir().join("pg_wal").join(&name);
    let again = lab.path("again/pg_wal").join(&name);
    lab.folder("again");
    lab.folder("again/pg_wal");
    let copied = std::process::Command::new("cp").arg("-a").args([&source, &again]).status().expect("run cp");
    assert!(copied.success());
    let push = || lab.run("wal-shipper", &["push", &again.display().to_string()]);
    push().fine();
    let secret = lab.path("state/wal-sums.key");
    assert_eq!(secret.metadata().expect("it is there").permissions().mode() & 0o777, 0o600);
    fs::rename(&secret, lab.path("secret")).expect("lose it");
    push().fine();
    let mut bytes = fs::read(&again).expect("read");
    let end = bytes.len() - 1;
    bytes[end] ^= 1;
    fs::write(&again, bytes).expect("change it");
    push().refused(1, "with another secret");
    fs::rename(lab.path("secret"), &secret).expect("find it again");
    push().refused(1, "with other content");

    let words = format!("is encrypted to {}", key.recipient);
    lab.restoring("refused", &["--target", "latest"]).refused(2, &words);
    drop(stream);
    let identity = ["--identity", &key.path()];
    for (name, args, expected) in [
        ("lsn", &["--target-lsn", &wanted.lsn][..], wanted.rows),
        ("time", &["--target-time", &wanted.time], wanted.rows),
        ("latest", &["--target", "latest"], last.rows),
    ] {
        let (target, records) = lab.restore(name, &[args, &identity].concat());
        assert_eq!(records[0]["id"], backup["id"], "{name}: {records:?}");
        verified(&lab.pg, &target);
        let pg = Pg::promoted(15, &target);
        assert_eq!(rows(&pg), expected, "{name}: {}", pg.log());
    }
    lab.run("pg-backup", &["restore-dump", "latest", "--into", "again"]).refused(2, &words);
    let args = [&["restore-dump", "latest", "--into", "again"], &identity[..]].concat();
    let restored = lab.run("pg-backup", &args);
    assert_eq!(restored.status, Some(0), "{restored:?}");
    assert_eq!(lab.pg.psql("again", "select words from private"), "known to few");
    lab.run("pg-backup", &[&["verify", "--deep", "--newest"], &identity[..]].concat()).fine();

    // What recovery asks for without a key is an answer that never promotes a server.
    let fetch = ["fetch", &name, "file", "--system", &lab.pg.system_identifier()];
    lab.run("wal-shipper", &fetch).refused(255, "no identity is given");
    lab.run("wal-shipper", &[&fetch[..], &identity].concat()).fine();
}
