//! Faults in the repository: each is found, and named.

use crate::healthy::promote;
use crate::world::{World, finding, found};
use postgres::{Client, NoTls};
use std::fs;
use std::path::{Path, PathBuf};

fn flip(path: &Path) {
    let mut bytes = fs::read(path).expect("read an object");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).expect("write an object");
}

/// Plants a fault at `path`, drills, and mends it.
fn planted(world: &World, path: &Path, plant: impl Fn(&Path), status: i32, words: &str) {
    let kept = fs::read(path).expect("read an object");
    plant(path);
    found(&world.usual(&[]), status, words);
    fs::write(path, kept).expect("mend it");
}

fn lose(path: &Path) {
    fs::remove_file(path).expect("lose an object");
}

#[test]
fn in_a_backup() {
    let world = World::new(15);
    let id = world.back_up();
    let backup = world.system_root().join(format!("backup/{id}"));
    let pack = |n: &str| -> PathBuf {
        let mut packs: Vec<PathBuf> =
            fs::read_dir(backup.join("pack")).expect("packs").map(|e| e.expect("an entry").path()).collect();
        packs.retain(|p| p.extension().is_some_and(|e| e != "attr"));
        packs.sort();
        if n == "first" { packs.remove(0) } else { packs.pop().expect("a pack") }
    };
    // A script's status is not ours: sh passes the 5 of pg-backup on, which is then a finding.
    planted(&world, &pack("first"), flip, 4, "damaged");
    planted(&world, &pack("last"), lose, 4, "pack");
    planted(&world, &backup.join("files.jsonl.zst"), flip, 4, "files.jsonl");
    planted(&world, &backup.join("backup.json"), flip, 4, "backup.json");
    planted(&world, &backup.join("backup.json"), lose, 4, "no backup");
    assert_eq!(world.proof()["passed"], false);
    assert_eq!(world.usual(&[]).status, Some(0), "mended");
}

#[test]
fn in_the_archive() {
    let world = World::new(15);
    world.back_up();
    let segments: Vec<String> = (0..4).map(|_| world.ship()).collect();
    let second = world.object(&segments[1]);
    planted(&world, &second, flip, 4, "is damaged");
    planted(&world, &second, lose, 4, "is missing: there is WAL after it");
    assert_eq!(world.usual(&[]).status, Some(0), "mended");
}

/// The archive stood still since the backup: nothing in the repository tells, but the live server does.
#[test]
fn an_archive_that_stands_still() {
    let world = World::with(15, &["track_commit_timestamp=on"]);
    world.back_up();
    world.pg.archive_by("false");
    world.pg.psql("postgres", "insert into ledger values (100000, 'lost')");
    let ran = world.usual(&["--rpo", "1ms"]);
    found(&ran, 4, "recovery-point");
    let (severity, text) = finding(&ran, "recovery-point");
    assert_eq!(severity, "critical");
    // Exact, because the server keeps the times of commits.
    assert!(!text.contains("at most") && text.contains("of WAL behind the live server"), "{text}");
}

/// A transaction that began and wrote in the WAL that is there, and committed behind its end: its number is below those of
/// others that arrived.
#[test]
fn a_commit_behind_the_end_of_what_began_before() {
    for (settings, exact) in [(&[][..], false), (&["track_commit_timestamp=on"][..], true)] {
        let world = World::with(15, settings);
        world.back_up();
        let mut long = Client::connect(&world.pg.conninfo("postgres"), NoTls).expect("connect");
        long.batch_execute("begin; insert into ledger values (100000, 'late')").expect("begun");
        world.pg.psql("postgres", "insert into ledger values (100001, 'in time')");
        world.ship();
        assert!(finding(&world.usual(&[]), "recovery-point").1.contains("nothing was lost"));
        world.pg.archive_by("false");
        long.batch_execute("commit").expect("committed");
        let ran = world.usual(&["--rpo", "1ms"]);
        found(&ran, 4, "recovery-point");
        let (severity, text) = finding(&ran, "recovery-point");
        assert_eq!((severity.as_str(), text.contains("at most")), ("critical", !exact), "{text}");
    }
}

#[test]
fn a_history_that_is_lost() {
    let mut world = World::new(15);
    world.back_up();
    world.ship();
    promote(&mut world);
    world.ship();
    let history = world.system_root().join("wal/00000002.history");
    let kept = fs::read(&history).expect("read the history");
    lose(&history);
    found(&world.usual(&[]), 4, "there is WAL of timeline 2, and its history 00000002.history is missing");
    fs::write(&history, kept).expect("mend it");
    assert_eq!(world.usual(&[]).status, Some(0), "mended");
}

#[test]
fn the_wrong_cluster() {
    let world = World::new(15);
    world.back_up();
    let other = testkit::Pg::start(&[]);
    // Template clusters of tests share their identifier; another server's is another.
    let (repo, script) = (world.text("repo"), world.restorer());
    let reset = other_identifier(&world, &other);
    let ran = world.drill(&["--json", "--repo", &repo, "--db", &reset.url(), "--", "sh", &script, "{dir}"]);
    found(&ran, 4, "the live server is");
    assert_eq!(finding(&ran, "system").0, "critical");
}

fn other_identifier(world: &World, other: &testkit::Pg) -> testkit::Pg {
    let data = world.path("other");
    let mut initdb = testkit::pg::as_owner(&other.bin("initdb"));
    world.folder("other");
    let done = initdb.args(["-A", "trust", "-U", "postgres", "--no-sync", "-D"]).arg(&data).output();
    assert!(done.expect("run initdb").status.success());
    testkit::Pg::builder().serve(&data).start()
}

#[test]
fn a_repository_that_may_not_be_read() {
    let world = World::new(15);
    world.back_up();
    let server = testkit::S3::start();
    let nobody = format!("s3://{}/x", "drills");
    let script = format!(
        "AWS_ACCESS_KEY_ID=wrong AWS_SECRET_ACCESS_KEY=wrong AWS_REGION=us-east-1 {} restore -D \"$PGDATA\" \
         --repo {nobody} --s3-endpoint {}",
        world.text("bin/pg-backup"),
        server.endpoint()
    );
    let script = world.write("wrong-key.sh", &script);
    let ran = world.drill(&["--json", "--db", &world.pg.url(), "--", "sh", &script, "{dir}"]);
    found(&ran, 4, "restore: sh ended with");
    assert!(ran.stdout.contains("s3") || ran.stdout.contains("drills"), "{}", ran.stdout);
}
