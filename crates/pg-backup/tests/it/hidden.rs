//! Names of databases that who has the bucket must not learn.

use crate::world::World;
use serde_json::Value;
use std::fs;
use testkit::AgeKey;

const NAME: &str = "merger-with-acme";

/// A repository with hidden names, and the key to it.
fn hiding() -> (World, AgeKey) {
    let mut world = World::new();
    let key = AgeKey::make(&world.path("key"));
    let (config, recipients) = (world.path("toban.toml"), world.path("recipients"));
    fs::write(&recipients, &key.recipient).expect("write");
    let section = format!(
        "[repo.r]\nurl = \"file://{}\"\nhide_names = true\n[cluster.main]\ndatabases = [\"app\", \"{NAME}\"]\n",
        world.path("repo").display()
    );
    fs::write(&config, &section).expect("write");
    world.set("TOBAN_CONFIG", &config.display().to_string());
    world.run(&["list", "--repo", "r"]).refused(2, "hides names, and encrypts nothing");
    let line = format!("hide_names = true\nrecipients_file = {recipients:?}\n");
    fs::write(&config, section.replace("hide_names = true\n", &line)).expect("write");
    world.app();
    world.pg.psql("postgres", &format!("create database \"{NAME}\" template app"));
    (world, key)
}

fn databases(records: &[Value]) -> Vec<&str> {
    records.iter().filter_map(|r| r["database"].as_str()).collect()
}

#[test]
fn a_database_is_found_by_its_name_with_an_identity_and_nobody_else_learns_it() {
    let (mut world, key) = hiding();
    let first = world.dump(NAME, &[]);
    let newest = world.dump(NAME, &["--format", "custom"]);
    world.dump("app", &[]);
    for file in world.files() {
        let bytes = fs::read(&file).expect("read");
        let name = file.display().to_string();
        assert!(!name.contains(NAME) && memchr::memmem::find(&bytes, NAME.as_bytes()).is_none(), "{name}");
    }

    // This machine knows the names; every verb goes by them.
    let listed = world.run(&["list", "--json"]).json();
    assert_eq!(databases(&listed).iter().filter(|name| **name == NAME).count(), 2, "{listed:?}");
    world.run(&["verify"]).fine();
    let found = world.run(&["check", "--json"]);
    assert!(found.stdout.contains(NAME) && !found.stdout.contains("there is no dump"), "{found:?}");
    let far = format!("file://{}", world.path("far").display());
    world.run(&["copy", "--from", "r", "--to", &far]).fine();
    let pruned = world.run(&["prune", "--keep-last", "1", "--json"]).json();
    let deleted: Vec<&Value> = pruned.iter().filter(|r| r["action"] == "delete").collect();
    assert!(deleted.len() == 1 && deleted[0]["id"] == first.as_str(), "{pruned:?}");
    world.run(&["prune", "--undo"]).fine();

    // Another machine has the bucket alone, then an identity too.
    world.set("TOBAN_STATE_DIR", &world.path("elsewhere").display().to_string());
    let empty = world.path("empty.toml");
    fs::write(&empty, "").expect("write");
    world.set("TOBAN_CONFIG", &empty.display().to_string());
    for repo in [&far, &format!("file://{}", world.path("repo").display())] {
        let listed = world.run(&["list", "--json", "--repo", repo]).json();
        assert!(databases(&listed).iter().all(|name| name.starts_with("hidden-")), "{listed:?}");
        world.run(&["verify", "--repo", repo]).fine();
        let restore = |of: &str, more: &[&str]| {
            let args = ["restore-dump", "latest", "--repo", repo, "--of", of, "--into", "restored"];
            world.run(&[&args[..], more].concat())
        };
        let identity = ["--identity", &key.path(), "--json"];
        restore(NAME, &[]).refused(2, "no dump latest of database");
        restore("another", &identity).refused(2, "no dump latest of database");
        let restored = restore(NAME, &identity).json();
        assert_eq!(restored[0]["source"], newest.as_str(), "{restored:?}");
        assert_eq!(world.pg.psql("restored", "select count(*) from users"), "1000");
        world.pg.psql("postgres", "drop database restored");
    }
}
