//! Everything encrypted: what the server's own tools do without a key, and what one restores.

use super::lab::{Lab, rows, verified};
use super::tails::{Stream, wait_for_tails};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use testkit::{AgeKey, Pg, Ran, S3, ended, majors, until};

/// A server whose archive, backups and dumps are encrypted to one key, which its user has.
fn encrypting() -> (Lab, AgeKey) {
    let lab = Lab::bare(15);
    let repo = format!("file://{}", lab.folder("repo").display());
    encrypt(lab, &repo, &[])
}

/// The same of this server in this repository, which takes that much environment.
fn encrypt(lab: Lab, repo: &str, more: &[(String, String)]) -> (Lab, AgeKey) {
    let key = own_key(&lab, "key");
    fs::write(lab.path("recipients"), &key.recipient).expect("write the recipients");
    let bin = lab.pg.bin("postgres").parent().expect("a folder").display().to_string();
    lab.folder("state");
    let env = [
        ("TOBAN_RECIPIENTS_FILE", lab.text("recipients")),
        ("TOBAN_STATE_DIR", lab.text("state")),
        ("TOBAN_PG_BIN", bin),
    ];
    let env = [&env.map(|(n, v)| (n.to_string(), v))[..], more].concat();
    (lab.in_repos(repo, env), key)
}

/// A key that the server's user may read.
fn own_key(lab: &Lab, name: &str) -> AgeKey {
    let key = AgeKey::make(&lab.path(name));
    lab.give_all(name);
    key
}

fn objects(repo: PathBuf) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![repo]);
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

/// By the names of all objects, and no sum of content is beside them.
fn assert_encrypted(repo: PathBuf) {
    let all = objects(repo);
    assert!(all.len() > 10, "{all:?}");
    for path in all {
        let ending = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        assert!(["age", "json", "attr", "history"].contains(&ending.as_str()), "{}", path.display());
        let attrs = if ending == "attr" { fs::read_to_string(&path).expect("read") } else { String::new() };
        assert!(!attrs.contains("\"sha256\""), "{}: {attrs}", path.display());
    }
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

    assert_encrypted(lab.path("repo"));
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

/// On a service, from the first run to a drill and a copy: what each verb does with what the others wrote.
#[test]
fn everything_encrypted_on_s3_and_every_major() {
    let s3 = S3::start();
    for major in majors() {
        eprintln!("PostgreSQL {major}");
        let (lab, key) = encrypt(Lab::bare(major), &s3.url(&format!("enc{major}")), &s3.env());
        let round = Round { lab: &lab, key: &key };
        round.fill_and_back_up();
        let wanted = lab.row();
        match major {
            15 => round.stream_and_run_at_once(),
            _ => _ = lab.pg.ship_wal(),
        }
        round.restore("lsn", &["--target-lsn", &wanted.lsn], wanted.rows);
        round.dump_and_restore();
        lab.run("pg-backup", &["verify"]).fine();
        if major == 15 {
            round.drill();
            round.prune();
            round.copy_and_restore();
        }
    }
}

/// One server, and the key to what it stores.
struct Round<'a> {
    lab: &'a Lab,
    key: &'a AgeKey,
}

impl Round<'_> {
    /// Everything, then what changed; and WAL by the archiver.
    fn fill_and_back_up(&self) {
        self.lab.pg.psql("postgres", "create table private as select 'known to few' words");
        self.lab.row();
        let full = self.lab.back_up();
        self.lab.row();
        assert_eq!(self.lab.back_up()["built_on"], full["id"]);
        self.lab.pg.ship_wal();
    }

    /// The archiver pushes, a stream stores tails and whole segments, and a run reads what is written meanwhile.
    fn stream_and_run_at_once(&self) {
        let lab = self.lab;
        let stream = Stream::start(lab);
        let seen = lab.row();
        wait_for_tails(lab, &seen.lsn);
        let made = std::thread::scope(|scope| {
            let run = scope.spawn(|| lab.back_up());
            while !run.is_finished() {
                lab.row();
                lab.pg.ship_wal();
            }
            run.join().expect("the run")
        });
        assert!(made["built_on"].is_string(), "{made}");
        let last = lab.row();
        wait_for_tails(lab, &last.lsn);
        drop(stream);
        // From the backup that was made meanwhile, over segments that either stored, to the end of the tails.
        self.restore("latest", &["--target", "latest"], last.rows);
    }

    /// Restores from the bucket, and recovers: what the server asks for needs the bucket's environment and the key.
    fn restore(&self, name: &str, args: &[&str], rows_then: i32) {
        let lab = self.lab;
        let identity = ["--identity", &self.key.path()];
        let ran = lab.restoring(name, &[args, &identity].concat());
        assert_eq!(ran.status, Some(0), "{name}: {ran:?}");
        let target = lab.path(name);
        verified(&lab.pg, &target);
        let auto = target.join("postgresql.auto.conf");
        let text = fs::read_to_string(&auto).expect("read");
        let env: String = lab.env.iter().map(|(n, v)| format!("{n}={v} ")).collect();
        fs::write(&auto, text.replace("restore_command = '/", &format!("restore_command = '{env}/")))
            .expect("write");
        let pg = Pg::promoted(lab.pg.major(), &target);
        assert_eq!(rows(&pg), rows_then, "{name}: {}", pg.log());
    }

    fn dump_and_restore(&self) {
        let lab = self.lab;
        lab.run("pg-backup", &["dump", "postgres"]).fine();
        let args = ["restore-dump", "latest", "--into", "again"];
        lab.run("pg-backup", &args).refused(2, &format!("is encrypted to {}", self.key.recipient));
        lab.run("pg-backup", &[&args[..], &["--identity", &self.key.path()]].concat()).fine();
        assert_eq!(lab.pg.psql("again", "select words from private"), "known to few");
    }

    fn drill(&self) {
        let lab = self.lab;
        let (work, identity) = (lab.folder("work").display().to_string(), self.key.path());
        let args = ["--json", "--no-live", "--work-dir", &work, "--identity", &identity];
        let ran = lab.run("pg-drill", &args);
        assert_eq!(ran.status, Some(0), "{ran:?}");
        let drills = objects(lab.path("state/drill"));
        let proof =
            drills.iter().find(|path| path.extension().is_some_and(|e| e == "json")).expect("a proof");
        let proof: Value = serde_json::from_slice(&fs::read(proof).expect("read")).expect("JSON");
        assert_eq!(proof["opened_by"], serde_json::json!([self.key.recipient]));
    }

    /// By a server without a key: what goes and what the others share.
    fn prune(&self) {
        let prune = ["prune", "--keep-last", "1", "--undelete", "0s"];
        self.lab.run("pg-backup", &prune).fine();
        self.lab.run("pg-backup", &[&prune[..], &["--at", "2099-01-01T00:00:00Z"]].concat()).fine();
        self.lab.run("pg-backup", &["verify"]).fine();
    }

    /// A copy is as encrypted as what it is of, and restores with the same key.
    fn copy_and_restore(&self) {
        let lab = self.lab;
        let far = format!("file://{}", lab.folder("far").display());
        lab.run("pg-backup", &["copy", "--from", &lab.repo, "--to", &far]).fine();
        assert_encrypted(lab.path("far"));
        lab.run("pg-backup", &["verify", "--repo", &far]).fine();
        let (target, identity) = (lab.text("copied"), self.key.path());
        let args =
            ["restore", "--repo", &far, "--pgdata", &target, "--target", "latest", "--identity", &identity];
        lab.run("pg-backup", &args).fine();
        let last: i32 = lab.pg.psql("postgres", "select count(*) from ledger").parse().expect("a number");
        assert_eq!(rows(&Pg::promoted(15, Path::new(&target))), last);
    }
}

/// Recipients that change between two segments; then `push` and `stream`, first with a secret of their own each.
#[test]
fn recipients_and_secrets_of_the_wal_may_change() {
    let (lab, old) = encrypting();
    let new = own_key(&lab, "new key");
    lab.back_up();
    lab.row();
    lab.pg.ship_wal();
    fs::write(lab.path("recipients"), &new.recipient).expect("write the recipients");
    let wanted = lab.row();
    lab.row();
    lab.pg.ship_wal();
    let target = ["--target-lsn", &wanted.lsn];
    let by =
        |name: &str, identity: &str| lab.restoring(name, &[&target[..], &["--identity", identity]].concat());
    by("old", &old.path()).refused(2, &format!("is encrypted to other recipients than {}", old.recipient));
    by("new", &new.path()).refused(2, &format!("is encrypted to {}", old.recipient));
    let both = [&old, &new].map(|key| fs::read_to_string(&key.identity).expect("read")).concat();
    fs::write(lab.path("both"), both).expect("write");
    fs::set_permissions(lab.path("both"), PermissionsExt::from_mode(0o600)).expect("close it");
    lab.give_all("both");
    by("both keys", &lab.text("both")).fine();
    assert_eq!(rows(&Pg::promoted(15, &lab.path("both keys"))), wanted.rows);

    // From now on we are the archiver.
    lab.pg.archive_by("false");
    lab.folder("elsewhere");
    let mut stream = start_elsewhere(&lab);
    let streamed = stored_by_stream(&lab);
    let push = |segment: &str| {
        lab.run(
            "wal-shipper",
            &["push", &lab.pg.data_dir().join("pg_wal").join(segment).display().to_string()],
        )
    };
    let words = "made with another secret than";
    let refused = push(&streamed);
    refused.refused(1, &format!("{words} {}", lab.text("state/wal-sums.key")));
    refused.refused(1, "hint: whether it is the same file is not known: `push` and `stream` of one server");
    push_before(&lab, &stream, &push).fine();
    until("the stream ends", Duration::from_secs(60), || {
        stream.try_wait().expect("ask for it").map_or(Err("it runs".into()), |_| Ok(()))
    });
    let ran = ended(stream);
    ran.refused(1, &format!("{words} {}", lab.text("elsewhere/wal-sums.key")));
    ran.refused(1, "copy wal-sums.key");

    // With the secret of the other all of it is the same file, whoever stores it first.
    let copied =
        Command::new("cp").arg("-a").args([lab.path("state/wal-sums.key"), lab.path("elsewhere")]).status();
    assert!(copied.expect("run cp").success());
    let mut stream = start_elsewhere(&lab);
    push(&stored_by_stream(&lab)).fine();
    push_before(&lab, &stream, &push).fine();
    let last = lab.row();
    wait_for_tails(&lab, &last.lsn);
    stream.kill().expect("kill it");
    stream.wait().expect("it ends");
}

/// A stream with another state directory.
fn start_elsewhere(lab: &Lab) -> Child {
    let mut command = Stream::command(lab);
    command.env("TOBAN_STATE_DIR", lab.path("elsewhere")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let stream = command.spawn().expect("start wal-shipper");
    wait_for_tails(lab, &lab.row().lsn);
    stream
}

/// Ends a segment; its name, when the stream has stored it.
fn stored_by_stream(lab: &Lab) -> String {
    lab.row();
    let segment = lab.pg.switch_wal();
    let object = format!("{}.age", lab.object(&segment).display());
    until("the stream stores it", Duration::from_secs(60), || match Path::new(&object).exists() {
        true => Ok(()),
        false => Err(lab.pg.wal_position()),
    });
    segment
}

/// Ends a segment and pushes it while the stream sleeps, which finds it stored when it wakes up.
fn push_before(lab: &Lab, stream: &Child, push: &impl Fn(&str) -> Ran) -> Ran {
    let signal = |name: &str| {
        let sent = Command::new("kill").args([name, &stream.id().to_string()]).status();
        assert!(sent.expect("run kill").success());
    };
    signal("-STOP");
    lab.row();
    let pushed = push(&lab.pg.switch_wal());
    signal("-CONT");
    pushed
}
