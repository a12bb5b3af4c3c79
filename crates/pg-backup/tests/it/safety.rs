//! Safety dumps hold the state somebody wanted to be rid of: they must never pass for the good one.

use crate::world::{World, ended};
use std::fs;
use std::time::Duration;
use testkit::until;

/// `app` replaced by its nightly dump, whose ID is told; its safety dump is the newest then.
fn replaced(world: &World) -> String {
    world.app();
    let nightly = world.dump("app", &[]);
    world.pg.psql("app", "delete from users");
    world.run(&["restore-dump", "latest", "--replace", "app"]).fine();
    nightly
}

#[test]
fn the_same_line_again_restores_the_same_dump() {
    let world = World::new();
    let nightly = replaced(&world);
    let again = world.run(&["restore-dump", "latest", "--replace", "app", "--json"]).json();
    assert_eq!(again[0]["source"], nightly.as_str());
    assert_eq!(world.pg.psql("app", "select count(*) from users"), "1000");
    let verified = world.run(&["verify", "--newest", "--json"]).json();
    assert_eq!((verified.len(), &verified[0]["id"]), (1, &nightly.as_str().into()));
}

#[test]
fn a_safety_dump_ousts_no_nightly_one() {
    let world = World::new();
    let nightly = replaced(&world);
    let steps = world.run(&["prune", "--keep-daily", "1", "--json"]).json();
    let kept = |s: &serde_json::Value| s["id"] == nightly.as_str() && s["action"] == "keep";
    assert!(steps.iter().any(kept), "{steps:?}");
}

#[test]
fn latest_is_the_newest_of_all_repositories() {
    let world = World::new();
    world.app();
    let near = format!("file://{}", world.path("repo").display());
    let far = format!("file://{}", world.path("far").display());
    let old = world.dump("app", &["--repo", &near]);
    let new = world.dump("app", &["--repo", &far]);
    let both = ["restore-dump", "latest", "--into", "x", "-n", "--json", "--repo", &near, "--repo", &far];
    assert_eq!(world.run(&both).json()[0]["source"], new.as_str());

    let manifest = world.path(&format!("far/main/dump/app/{new}.json"));
    fs::remove_file(&manifest).expect("remove");
    fs::write(&manifest, "{").expect("write");
    let ran = world.run(&both);
    assert!(ran.stderr.contains("is damaged"), "{ran:?}");
    assert!(ran.stdout.contains(&old), "{ran:?}");
}

#[test]
fn latest_in_the_place_of_a_database_is_a_dump_of_it() {
    let world = World::new();
    world.app();
    world.dump("app", &[]);
    world.pg.psql("postgres", "create database billing");
    world.run(&["restore-dump", "latest", "--replace", "billing"]).refused(2, "no dump latest of database");
}

/// Replaces `app` by a dump that is not loaded before `meanwhile` has written to `app`; what the run said.
fn written_meanwhile(world: &World, meanwhile: &str) -> crate::world::Ran {
    let script = world.path("waits.sql");
    let go = "create table t (x integer);\ndo $$ begin while not exists (select from pg_database where datname = 'go') \
              loop perform pg_sleep(0.05); end loop; end $$;\n";
    fs::write(&script, go).expect("write");
    let restore =
        world.command(&["restore-dump", &script.display().to_string(), "--replace", "app", "--json"]).spawn();
    let restore = restore.expect("start pg-backup");
    until("the load begins", Duration::from_secs(30), || {
        match world.databases().iter().any(|d| d.starts_with("toban_restoring_")) {
            true => Ok(()),
            false => Err("not yet".into()),
        }
    });
    world.pg.psql("app", meanwhile);
    world.pg.psql("postgres", "create database go");
    let ran = ended(restore);
    world.pg.psql("postgres", "drop database go");
    ran
}

#[test]
fn whatever_was_written_after_it_keeps_the_old_database() {
    for meanwhile in [
        "select lo_from_bytea(0, 'a slip')",
        "create function f() returns int language sql as 'select 1'",
        "comment on table users is 'hm'",
        "select nextval('numbers')",
        "set track_counts = off; insert into users values (-1, 'late')",
    ] {
        let world = World::new();
        world.app();
        world.pg.psql("app", "create sequence numbers");
        if meanwhile.contains("track_counts") {
            world.pg.psql("postgres", "alter database app set track_counts = off");
        }
        let ran = written_meanwhile(&world, meanwhile);
        assert_eq!(ran.status, Some(0), "{meanwhile}: {ran:?}");
        assert!(ran.stderr.contains("kept as app_before_"), "{meanwhile}: {ran:?}");
        assert_eq!(world.databases().len(), 2, "{meanwhile}: {ran:?}");
    }
}

#[test]
fn nothing_written_means_nothing_kept() {
    let world = World::new();
    world.app();
    world.pg.psql("app", "create sequence numbers");
    let ran = written_meanwhile(&world, "analyze; select count(*) from users");
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    assert_eq!(world.databases(), ["app"]);
}

#[test]
fn an_old_database_that_cannot_be_dropped_is_kept_and_the_restore_is_done() {
    let world = World::new();
    world.app();
    world.dump("app", &[]);
    let subscribe = "set client_min_messages = error; create subscription s connection 'dbname=x' publication p \
                     with (connect = false, enabled = false, create_slot = false, slot_name = none)";
    world.pg.psql("app", subscribe);
    let ran = world.run(&["restore-dump", "latest", "--replace", "app", "--json"]);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("subscription s of the old database, kept as app_before_"), "{ran:?}");
}
