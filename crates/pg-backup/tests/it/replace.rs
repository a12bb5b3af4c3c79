//! `restore-dump --replace`: the old database serves until the new one is checked, and nothing of it is lost.

use crate::world::World;
use std::process::{Command, Stdio};
use std::time::Duration;
use testkit::until;

#[test]
fn the_present_state_is_in_the_safety_dump() {
    let world = World::new();
    world.app();
    let id = world.dump("app", &[]);
    world.pg.psql("app", "drop table users; create table later (x integer); insert into later values (7)");
    let done = world.run(&["restore-dump", "latest", "--replace", "app", "--json"]).json();
    assert_eq!(world.pg.psql("app", "select count(*) from users"), "1000");
    let safety = done[0]["safety_dump"].as_str().expect("an id");
    assert_ne!(safety, id);
    world.run(&["restore-dump", safety, "--into", "undo"]).fine();
    assert_eq!(world.pg.psql("undo", "select x from later"), "7");
    assert_eq!(world.databases(), ["app", "undo"]);
}

/// The newest dump after a replace is the state one wanted to be rid of.
#[test]
fn latest_is_never_a_safety_dump_and_prune_keeps_both_series() {
    let world = World::new();
    world.app();
    let id = world.dump("app", &[]);
    world.pg.psql("app", "drop table users");
    for _ in 0..2 {
        let done = world.run(&["restore-dump", "latest", "--replace", "app", "--json"]).json();
        assert_eq!(done[0]["source"], id);
    }
    let verified = world.run(&["verify", "--newest", "--json"]).json();
    assert_eq!((verified.len(), &verified[0]["id"]), (1, &id.clone().into()));
    let kept = world.run(&["prune", "--keep-last", "1", "--json"]).json();
    let kept: Vec<_> = kept.iter().filter(|s| s["action"] == "keep").map(|s| s["id"].clone()).collect();
    assert_eq!(kept.len(), 2);
    assert_eq!(kept[0], id);
}

#[test]
fn a_database_dropped_by_mistake_comes_back_as_it_was() {
    let world = World::new();
    world.app();
    world.pg.psql(
        "postgres",
        "create role boss; alter database app owner to boss; alter database app set work_mem to '5MB'",
    );
    let before = world.text("app", &["--create"]);
    world.dump("app", &[]);
    world.pg.psql("postgres", "drop database app");
    world.run(&["restore-dump", "latest", "--replace", "app"]).fine();
    assert_eq!(world.text("app", &["--create"]), before);
}

#[test]
fn sessions_end_and_those_that_come_meanwhile_find_the_new_one() {
    let world = World::new();
    world.app();
    world.dump("app", &[]);
    world.pg.psql("app", "delete from users");
    let mut idle = Command::new(world.pg.bin("psql"));
    idle.args(["-X", "-q", "-d", &world.pg.url_of("app")]).stdin(Stdio::piped()).stderr(Stdio::null());
    let mut idle: Vec<_> = (0..3).map(|_| idle.spawn().expect("psql")).collect();
    let sessions = "select count(*) from pg_stat_activity where datname = 'app'";
    until("three sessions", Duration::from_secs(20), || match world.pg.psql("postgres", sessions).as_str() {
        "3" => Ok(()),
        n => Err(n.to_string()),
    });
    // A client that reconnects as fast as it can, as a pool does.
    let reconnect = "while :; do psql -X -At -c 'select count(*) from users' \"$0\" 2>/dev/null; done";
    let mut pool = Command::new("sh");
    pool.args(["-c", reconnect, &world.pg.url_of("app")]).stdout(Stdio::piped());
    let mut pool = pool.spawn().expect("sh");
    world.run(&["restore-dump", "latest", "--replace", "app"]).fine();
    until("a session sees the new one", Duration::from_secs(20), || {
        let seen = world.pg.psql("app", "select count(*) from users");
        if seen == "1000" { Ok(()) } else { Err(seen) }
    });
    pool.kill().expect("kill sh");
    let seen = String::from_utf8(pool.wait_with_output().expect("sh").stdout).expect("text");
    let odd: Vec<&str> = seen.lines().filter(|l| !["0", "1000"].contains(l)).collect();
    assert!(odd.is_empty(), "{odd:?}");
    idle.iter_mut().for_each(|c| _ = c.wait());
    assert_eq!(world.databases(), ["app"]);
}

#[test]
fn writes_after_the_safety_dump_keep_the_old_database() {
    let world = World::new();
    world.app();
    world.pg.psql("app", "insert into users select n, repeat('x', 300) from generate_series(1001, 60000) n");
    world.dump("app", &[]);
    world.pg.psql("app", "create table ticks (n integer)");
    let script = world.path("write.sql");
    std::fs::write(&script, "insert into ticks values (1); \\watch 0.01").expect("write");
    let mut writer = Command::new(world.pg.bin("psql"));
    writer
        .args(["-X", "-q", "-d", &world.pg.url_of("app"), "-f"])
        .arg(&script)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut writer = writer.spawn().expect("psql");
    until("writes", Duration::from_secs(20), || {
        match world.pg.psql("app", "select count(*) > 3 from ticks").as_str() {
            "t" => Ok(()),
            _ => Err("none".into()),
        }
    });
    let ran = world.run(&["restore-dump", "latest", "--replace", "app", "--json"]);
    writer.wait().expect("its session was ended");
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("was written to after its safety dump began"), "{ran:?}");
    let record: serde_json::Value = serde_json::from_str(&ran.stdout).expect("a record");
    let kept = record["kept"].as_str().expect("a name");
    assert!(world.pg.psql(kept, "select count(*) from ticks").parse::<u64>().expect("a number") > 3);
    assert_eq!(world.pg.psql("app", "select count(*) from users"), "60000");
}

#[test]
fn keep_old_and_no_safety_dump_keep_it_too() {
    let world = World::new();
    world.app();
    let id = world.dump("app", &[]);
    for flag in ["--keep-old", "--no-safety-dump"] {
        let done = world.run(&["restore-dump", &id, "--replace", "app", flag, "--json"]).json();
        let kept = done[0]["kept"].as_str().expect("a name").to_string();
        assert_eq!(world.pg.psql(&kept, "select count(*) from users"), "1000");
        world.pg.psql("postgres", &format!("drop database {kept}"));
    }
}

#[test]
fn an_empty_database_is_filled_and_keeps_its_settings() {
    let world = World::new();
    world.app();
    world.dump("app", &[]);
    world.pg.psql("postgres", "create database fresh; alter database fresh set work_mem to '7MB'");
    world.run(&["restore-dump", "latest", "--of", "app", "--into", "fresh"]).fine();
    assert_eq!(world.pg.psql("fresh", "select count(*), current_setting('work_mem') from users"), "1000|7MB");
    assert_eq!(world.databases(), ["app", "fresh"]);
}

#[test]
fn a_dry_run_tells_and_changes_nothing() {
    let world = World::new();
    world.app();
    world.dump("app", &[]);
    let plan = world.run(&["restore-dump", "latest", "--replace", "app", "-n", "--json"]).json();
    assert_eq!((&plan[0]["action"], &plan[0]["safety_dump"]), (&"replace".into(), &true.into()));
    assert_eq!(world.run(&["list"]).fine().lines().count(), 1);
}

#[test]
fn a_prepared_transaction_is_told_and_nothing_is_lost() {
    let world = World::with(testkit::Pg::start(&["max_prepared_transactions=2"]));
    world.app();
    world.dump("app", &[]);
    world.pg.psql("app", "begin; delete from users; prepare transaction 'p'");
    let said = world.run(&["restore-dump", "latest", "--replace", "app"]).refused(75, "being accessed");
    assert!(said.contains("prepared transaction"), "{said}");
    assert_eq!(world.databases(), ["app"]);
    assert_eq!(world.pg.psql("app", "select count(*) from pg_prepared_xacts"), "1");
}
