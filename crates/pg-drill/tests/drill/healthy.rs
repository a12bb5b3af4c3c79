//! Drills of backups that are well.

use crate::world::{World, finding, found};
use std::sync::atomic::{AtomicBool, Ordering};
use testkit::{AgeKey, SigningKey, majors};

#[test]
fn a_healthy_drill_passes_on_every_major_while_the_server_works() {
    for major in majors() {
        let world = World::new(major);
        world.back_up();
        world.pg.psql(
            "postgres",
            "delete from ledger where n <= 1000; update ledger set t = 'x' where n % 7 = 0",
        );
        world
            .pg
            .psql("postgres", "create table newer (n int); insert into newer select generate_series(1, 100)");
        world.ship();
        let checks = world.write("q.sql", "-- check: rows\n-- expect: 19000\nselect count(*) from ledger;\n");
        let done = AtomicBool::new(false);
        let ran = std::thread::scope(|scope| {
            scope.spawn(|| work(&world, &done));
            let ran = world.usual(&["--checks", &checks, "--rto", "10min", "--rpo", "10min"]);
            done.store(true, Ordering::SeqCst);
            ran
        });
        assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""), "{major}: {}", ran.stdout);
        for check in [
            "recovery",
            "position",
            "amcheck",
            "query rows",
            "relations",
            "rows",
            "recovery-point",
            "recovery-time",
            "checksums",
        ] {
            assert_eq!(finding(&ran, check).0, "ok", "{major}: {}", ran.stdout);
        }
        // What was deleted and updated since does not count, what was never touched does.
        assert!(finding(&ran, "rows").1.contains(" rows of "), "{}", ran.stdout);
        proven(&world, major);
    }
}

/// Writes, deletes, alters and drops while the drill compares.
fn work(world: &World, done: &AtomicBool) {
    let mut n = 2;
    while !done.load(Ordering::SeqCst) {
        n += 1;
        let sql = format!(
            "insert into newer values ({n}); delete from ledger where n % 100 = {}; create table t{n} (n int); \
             insert into t{n} values (1); drop table if exists t{}; vacuum freeze newer",
            n % 100,
            n - 2
        );
        world.pg.psql("postgres", &sql);
    }
}

fn proven(world: &World, major: u32) {
    let proof = world.proof();
    assert_eq!((proof["passed"].as_bool(), proof["major"].as_u64()), (Some(true), Some(major.into())));
    assert!(proof["recovery_seconds"].as_f64().is_some_and(|s| s > 0.0), "{proof}");
    let stored: Vec<String> = std::fs::read_dir(world.system_root().join("proof"))
        .expect("proofs in the repository")
        .map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    assert!(stored.iter().any(|n| n.starts_with("drill.") && n.ends_with("-passed.json")), "{stored:?}");
}

#[test]
fn the_report_is_one_page_with_the_chart_of_all_drills() {
    let world = World::new(15);
    world.back_up();
    let page = world.text("report.html");
    world.usual(&["--report", &page]).json();
    testkit::until(
        "a second has passed, as proofs have names of seconds",
        std::time::Duration::from_secs(5),
        || {
            let now = jiff_now();
            let started = world.proof()["started"].as_str().expect("a time").to_string();
            if now[..19] == started[..19] { Err(now) } else { Ok(()) }
        },
    );
    let signer = SigningKey::make(world.dir.path(), "key");
    let key = signer.key.display().to_string();
    world.usual(&["--report", &page, "--sign-key", "/nowhere"]).refused(1, "/nowhere does not sign");
    world.usual(&["--report", &page, "--sign-key", &key]).json();
    signed(&world, &signer);
    let html = std::fs::read_to_string(&page).expect("the report");
    assert_eq!(html.matches("<rect").count(), 2, "{html}");
    assert!(!html.contains("<script") && !html.contains("http:") && !html.contains("src="), "{html}");
    for words in ["passed", "Recovery time", "System identifier", "amcheck"] {
        assert!(html.contains(words), "{words}");
    }
}

/// The newest proof is signed wherever it lies, and says what was restored.
fn signed(world: &World, signer: &SigningKey) {
    assert_eq!(world.proof()["backup_manifest_sha256"].as_str().map(str::len), Some(64), "{}", world.proof());
    for folder in [world.path("state/drill/main/proofs"), world.system_root().join("proof")] {
        let listed = std::fs::read_dir(&folder).expect("proofs").map(|e| e.expect("an entry").path());
        let newest = listed.filter(|p| p.extension().is_some_and(|e| e == "json")).max().expect("a proof");
        assert!(signer.signed(&newest, "pg-drill"), "{}", newest.display());
    }
}

#[test]
fn the_proof_of_an_encrypted_backup_names_who_opened_it() {
    let world = World::new(15);
    let key = AgeKey::make(&world.path("key"));
    world.give_all("key");
    let recipients = world.write("recipients", &key.recipient);
    world.back_up_with(&["--recipients-file", &recipients]);
    let repo = world.text("repo");
    let drill = |more: &[&str]| world.drill(&[&["--json", "--repo", &repo, "--no-live"], more].concat());
    found(&drill(&[]), 4, "no identity is given");
    drill(&["--identity", &key.path()]).json();
    assert_eq!(world.proof()["opened_by"], serde_json::json!([key.recipient]));
}

fn jiff_now() -> String {
    let done =
        std::process::Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%S"]).output().expect("run date");
    String::from_utf8_lossy(&done.stdout).trim().to_string()
}

#[test]
fn the_timeline_after_a_promotion_is_followed() {
    let mut world = World::new(15);
    world.back_up();
    promote(&mut world);
    world.pg.psql("postgres", "insert into ledger values (100000, 'after')");
    world.ship();
    let checks = world.write("q.sql", "-- check: after\nselect count(*) = 1 from ledger where n = 100000;\n");
    let ran = world.usual(&["--checks", &checks]);
    assert_eq!(ran.status, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(finding(&ran, "recovery").1.contains("on timeline 2"), "{}", ran.stdout);
}

/// The live server goes on on a new timeline, as after a failover.
pub(crate) fn promote(world: &mut World) {
    world.pg.stop();
    let signal = world.pg.data_dir().join("recovery.signal");
    std::fs::write(&signal, "").expect("write the signal");
    world.pg.give(&signal);
    let auto = world.pg.data_dir().join("postgresql.auto.conf");
    let old = std::fs::read_to_string(&auto).expect("read");
    std::fs::write(&auto, old + "restore_command = 'false'\n").expect("write");
    world.pg.restart();
    world.pg.wait_for_promotion();
}

/// Without a command the drill is of our own backups: the newest, and all WAL behind it, tablespaces and all.
#[test]
fn our_own_backups_need_no_command() {
    for major in testkit::majors() {
        let world = World::new(major);
        let space = world.folder("space");
        world.pg.psql("postgres", &format!("create tablespace far location '{}'", space.display()));
        world.pg.psql("postgres", "create table distant tablespace far as select generate_series(1, 500) n");
        world.back_up();
        world.pg.psql("postgres", "insert into ledger values (100000, 'after')");
        world.ship();
        let checks =
            world.write("q.sql", "-- check: after\nselect count(*) = 1 from ledger where n = 100000;\n");
        let (repo, url) = (world.text("repo"), world.pg.url());
        let args =
            ["--json", "--repo", &repo, "--db", &url, "--rpo", "15min", "--rto", "1h", "--checks", &checks];
        let ran = world.drill(&args);
        assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""), "{major}: {}", ran.stdout);
        let archive = format!("archive {repo}");
        for check in ["position", archive.as_str(), "query after", "relations", "rows"] {
            assert_eq!(finding(&ran, check).0, "ok", "{major}: {}", ran.stdout);
        }
        assert!(world.proof()["backup"].is_string(), "{}", world.proof());
    }
}
