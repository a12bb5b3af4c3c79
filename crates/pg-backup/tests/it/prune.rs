//! `prune`: by the rules, explained, safe beside others and after a crash.

use crate::world::{World, ended};
use std::fs::{self, File};
use std::time::{Duration, SystemTime};

fn ids(world: &World) -> Vec<String> {
    world
        .run(&["list", "--json"])
        .json()
        .iter()
        .map(|r| r["id"].as_str().expect("an id").to_string())
        .collect()
}

#[test]
fn deletes_what_no_rule_keeps_and_says_why_it_keeps_the_rest() {
    let world = World::new();
    world.app();
    let all: Vec<String> = (0..4).map(|_| world.dump("app", &[])).collect();
    world.run(&["verify", &all[1]]).fine();
    let plan = world.run(&["prune", "--keep-last", "1", "--dry-run", "--json"]).json();
    let said: Vec<(&str, String)> = plan
        .iter()
        .map(|s| (s["action"].as_str().expect("a word"), s["why"][0].as_str().expect("a reason").to_string()))
        .collect();
    let expected = [
        ("delete", "no rule keeps it"),
        ("keep", "last verified"),
        ("delete", "no rule keeps it"),
        ("keep", "last"),
    ];
    assert_eq!(said, expected.map(|(a, w)| (a, w.to_string())));
    assert_eq!(ids(&world), all, "a dry run deletes nothing");
    world.run(&["prune", "--keep-last", "1"]).fine();
    assert_eq!(ids(&world), [all[1].clone(), all[3].clone()]);
    let undone = world.run(&["prune", "--undo", &all[2], "--json"]).json();
    assert_eq!(
        (undone.len(), &undone[0]["id"], &undone[0]["of"]),
        (1, &all[2].clone().into(), &"app".into())
    );
    world.run(&["prune", "--undo"]).fine();
    assert_eq!(ids(&world), all, "every one is back");
    world.run(&["verify"]).fine();
    // By the last verify all are proven; only the newest counts.
    world.run(&["prune", "--keep-last", "1", "--undelete", "0s"]).fine();
    assert_eq!(ids(&world), [all[3].clone()]);
    // 4 objects, and a proof.
    assert_eq!(world.files().len(), 5, "{:?}", world.files());
    assert_eq!(world.run(&["prune", "--keep-last", "1"]).fine().matches("delete").count(), 0);
}

#[test]
fn deleted_dumps_go_when_they_can_be_put_back_no_longer() {
    let world = World::new();
    world.app();
    let all: Vec<String> = (0..2).map(|_| world.dump("app", &[])).collect();
    world.run(&["prune", "--keep-last", "1"]).fine();
    assert_eq!(world.run(&["prune", "--keep-last", "1"]).fine().matches("puts it back until").count(), 1);
    let mark =
        world.files().into_iter().find(|f| f.display().to_string().contains(".mark.")).expect("a mark");
    let whole = fs::read(&mark).expect("read it");
    // Of one that does not read nobody knows what it holds.
    fs::write(&mark, &whole[1..]).expect("damage it");
    world.run(&["prune", "--keep-last", "1", "--undelete", "1s"]).refused(5, "damaged");
    fs::rename(&mark, mark.with_file_name(format!("{}.mark.20200101T000000Z.json", all[0])))
        .expect("grow old");
    let mark =
        world.files().into_iter().find(|f| f.display().to_string().contains(".mark.")).expect("a mark");
    fs::write(&mark, &whole).expect("mend it");
    world.run(&["prune", "--undo", &all[0]]).refused(1, "it could be put back until");
    assert!(world.run(&["prune", "--keep-last", "1"]).fine().contains("it can be put back no longer"));
    assert_eq!(world.files().len(), 4, "{:?}", world.files());
}

#[test]
fn by_age_as_of_a_day_and_never_the_last_one() {
    let world = World::new();
    world.app();
    let id = world.dump("app", &[]);
    let later = ["prune", "--keep-within", "30d", "--at", "2099-01-01T00:00:00Z"];
    assert!(world.run(&later).fine().contains("minimum"));
    assert_eq!(ids(&world), std::slice::from_ref(&id));
    let newer = world.dump("app", &[]);
    world.run(&later).fine();
    assert_eq!(ids(&world), [newer]);
}

#[test]
fn each_repository_has_rules_of_its_own() {
    let mut world = World::new();
    world.app();
    let config = world.path("toban.toml");
    let d = world.dir.path().display().to_string();
    let toml = format!(
        "[repo.local]\nurl = \"file://{d}/l\"\nkeep = {{ last = 1 }}\n[repo.far]\nurl = \"file://{d}/f\"\nkeep = {{ within = \"1year\" }}\n"
    );
    fs::write(&config, toml).expect("write");
    world.set("TOBAN_CONFIG", &config.display().to_string());
    world.set("TOBAN_REPO", "");
    let repos = ["--repo", "local,far"];
    for _ in 0..3 {
        world.run(&[&["dump", "app"][..], &repos].concat()).fine();
    }
    world.run(&[&["prune"][..], &repos].concat()).fine();
    let count = |repo| world.run(&["list", "--repo", repo]).fine().lines().count();
    assert_eq!((count("local"), count("far")), (1, 3));
}

#[test]
fn without_rules_nothing_is_deleted() {
    let world = World::new();
    world.app();
    world.dump("app", &[]);
    world.run(&["prune"]).refused(2, "nothing says what to keep");
    world.run(&["prune", "--keep-min", "5"]).refused(2, "nothing says what to keep");
}

#[test]
fn leftovers_go_after_a_week_and_not_before() {
    let world = World::new();
    world.app();
    let id = world.dump("app", &[]);
    let manifest = world.files().into_iter().find(|f| f.ends_with(format!("{id}.json"))).expect("there");
    fs::remove_file(manifest).expect("remove");
    let keep = ["prune", "--keep-last", "1"];
    assert_eq!(world.run(&keep).fine(), "");
    assert_eq!(world.files().len(), 3, "a dump that is being written has no manifest yet");
    let old = SystemTime::now() - Duration::from_secs(8 * 86400);
    for file in world.files() {
        File::options().write(true).open(file).and_then(|f| f.set_modified(old)).expect("age it");
    }
    assert_eq!(world.run(&keep).fine().matches("did not finish").count(), 3);
    assert_eq!(world.files().len(), 0);
}

#[test]
fn a_crash_after_the_manifest_leaves_only_garbage() {
    let world = World::new();
    world.app();
    world.dump("app", &[]);
    let kept = world.dump("app", &[]);
    // What a prune that died after its first removal leaves behind.
    let first =
        world.files().into_iter().find(|f| f.extension().is_some_and(|e| e == "json")).expect("there");
    fs::remove_file(first).expect("remove");
    assert_eq!(ids(&world), [kept]);
    world.run(&["verify"]).fine();
}

#[test]
fn two_at_once_do_no_harm() {
    let mut world = World::new();
    world.app();
    for _ in 0..6 {
        world.dump("app", &[]);
    }
    let newest = ids(&world).pop().expect("six");
    let start = |world: &World| world.command(&["prune", "--keep-last", "1"]).spawn().expect("start");
    let first = start(&world);
    // As from another machine: with a state folder, and so a lock, of its own.
    let state = world.path("elsewhere").display().to_string();
    world.set("TOBAN_STATE_DIR", &state);
    let second = start(&world);
    assert_eq!((ended(first).status, ended(second).status), (Some(0), Some(0)));
    assert_eq!(ids(&world), [newest]);
    world.run(&["verify"]).fine();
}
