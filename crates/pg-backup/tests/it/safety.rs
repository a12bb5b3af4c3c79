//! Safety dumps hold the state somebody wanted to be rid of: they must never pass for the good one.

use crate::world::World;
use std::fs;

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
    assert!(ran.stderr.contains("is not a manifest"), "{ran:?}");
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
