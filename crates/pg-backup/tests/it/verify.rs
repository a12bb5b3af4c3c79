//! `verify`: every byte counts.

use crate::world::World;
use std::fs;
use testkit::{Dice, rounds, seed};

#[test]
fn each_flipped_byte_is_found() {
    let world = World::new();
    world.app();
    world.dump("app", &["--format", "sql"]);
    world.dump("app", &[]);
    world.run(&["verify"]).fine();
    let files: Vec<_> =
        world.files().into_iter().filter(|f| !f.to_string_lossy().contains("proof")).collect();
    assert_eq!(files.len(), 8, "{files:?}");
    let mut dice = Dice::new(seed());
    for _ in 0..rounds(15) {
        let file = &files[dice.index(files.len())];
        let whole = fs::read(file).expect("read");
        let (at, bit) = (dice.index(whole.len()), 1 << dice.below(8));
        let mut broken = whole.clone();
        broken[at] ^= bit;
        fs::write(file, broken).expect("write");
        let ran = world.run(&["verify"]);
        assert_eq!(ran.status, Some(5), "byte {at} of {}: {ran:?}", file.display());
        fs::write(file, whole).expect("write");
    }
    world.run(&["verify"]).fine();
}

#[test]
fn a_cut_a_grown_and_a_missing_file_are_found() {
    let world = World::new();
    world.app();
    let id = world.dump("app", &[]);
    for file in world.files().iter().filter(|f| !f.to_string_lossy().ends_with(".json")) {
        let whole = fs::read(file).expect("read");
        fs::write(file, &whole[..whole.len() - 1]).expect("write");
        world.run(&["verify", &id]).refused(5, "is damaged");
        fs::write(file, [&whole[..], b"x"].concat()).expect("write");
        world.run(&["verify", &id]).refused(5, "is damaged");
        fs::remove_file(file).expect("remove");
        world.run(&["verify", &id]).refused(5, "is missing");
        fs::write(file, &whole).expect("write");
    }
    world.run(&["verify", &id]).fine();
}

/// The newest verdict counts: damage is a finding until a verify finds the dump whole again.
#[test]
fn damage_is_remembered() {
    let world = World::new();
    world.app();
    let id = world.dump("app", &[]);
    world.run(&["verify"]).fine();
    let file = world.files().into_iter().find(|f| f.ends_with(format!("{id}.dump"))).expect("there");
    let whole = fs::read(&file).expect("read");
    fs::write(&file, b"rotten").expect("write");
    testkit::until("a second later", std::time::Duration::from_secs(20), || {
        let ran = world.run(&["verify"]);
        assert_eq!(ran.status, Some(5), "{ran:?}");
        let listed = world.run(&["list"]).fine();
        if listed.contains("DAMAGED") { Ok(()) } else { Err(listed) }
    });
    let said = world.run(&["check"]);
    assert!(said.stdout.contains("was found damaged"), "{said:?}");
    said.refused(4, "need attention");
    let kept = world.run(&["prune", "--keep-last", "1", "-n"]).fine();
    assert!(!kept.contains("last verified"), "{kept}");
    fs::write(&file, whole).expect("write");
    testkit::until("it is whole again", std::time::Duration::from_secs(20), || {
        world.run(&["verify"]).fine();
        match world.run(&["check"]).status {
            Some(0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

#[test]
fn a_damaged_dump_is_not_restored() {
    let world = World::new();
    world.app();
    for form in ["sql", "custom"] {
        let id = world.dump("app", &["--format", form]);
        let ours =
            |f: &&std::path::PathBuf| [".dump", ".sql.gz"].iter().any(|e| f.ends_with(format!("{id}{e}")));
        let files = world.files();
        let file = files.iter().find(ours);
        let file = file.expect("the dump's file");
        let mut bytes = fs::read(file).expect("read");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(file, bytes).expect("write");
        world.run(&["restore-dump", &id, "--replace", "app"]).refused(5, "damaged");
        world.run(&["restore-dump", &id, "--into", "beside"]).refused(5, "damaged");
    }
    assert_eq!(world.databases(), ["app"]);
}

#[test]
fn deep_restores_the_newest_and_leaves_nothing() {
    let world = World::new();
    world.app();
    world.dump("app", &[]);
    world.pg.psql("app", "create table more (x integer)");
    world.dump("app", &[]);
    let done = world.run(&["verify", "--deep", "--json"]).json();
    let restored: Vec<_> = done.iter().map(|r| r["restored_tables"].as_u64()).collect();
    assert_eq!(restored, [None, Some(3)]);
    assert_eq!(world.databases(), ["app"]);
    let listed = world.run(&["list", "--json"]).json();
    assert!(listed.iter().all(|r| r["verified"].is_string()), "{listed:?}");
}

#[test]
fn nothing_to_verify_is_not_well() {
    let world = World::new();
    world.run(&["verify"]).refused(4, "holds nothing of cluster main");
    world.run(&["verify", "20261121T030000Z-120034"]).refused(2, "no dump");
}
