//! What is done with backups that are there: list, verify, check, prune, and a restore over what is there.

use crate::lab::{back_up, content, fill, lab, restore};
use crate::world::World;
use std::fs;
use testkit::Pg;

#[test]
fn listed_verified_checked_and_pruned_in_two_phases() {
    let world = lab(15);
    fill(&world, 1000);
    world.run(&["check"]).refused(4, "");
    let ids: Vec<String> = (0..3)
        .map(|_| back_up(&world, &["--label", "night"])["id"].as_str().expect("an id").into())
        .collect();
    let listed = world.run(&["list", "--json"]).json();
    assert_eq!(listed.iter().map(|r| r["id"].as_str().expect("an id")).collect::<Vec<_>>(), ids);
    assert_eq!((&listed[0]["label"], &listed[0]["major"]), (&"night".into(), &15.into()));
    world.run(&["verify", "--newest"]).fine();
    world.run(&["check"]).fine();
    world.run(&["check", "--at", "2099-01-01T00:00:00Z"]).refused(4, "");

    let prune = |more: &[&str]| {
        let args: Vec<&str> = ["prune", "--keep-last", "1", "--json"].iter().chain(more).copied().collect();
        let steps = world.run(&args).json();
        steps.iter().map(|s| s["action"].as_str().expect("a word").to_string()).collect::<Vec<_>>()
    };
    assert_eq!(prune(&["--dry-run"]), ["delete", "delete", "keep"]);
    assert_eq!(prune(&[]), ["delete", "delete", "keep"]);
    let listed = || world.run(&["list", "--json"]).json().len();
    let all = world.files();
    assert_eq!(listed(), 1);
    let later = ["keep", "deleted", "deleted"];
    assert_eq!(prune(&[]), later, "deleted a moment ago");
    assert_eq!(prune(&["--at", "2099-01-01T00:00:00Z"]), later, "a mark is as old as it is");
    assert_eq!(world.files(), all);
    world.run(&["prune", "--undo", "20200101T000000Z-000000"]).refused(2, "was not deleted");
    let undone = world.run(&["prune", "--undo", "--json"]).json();
    assert_eq!(undone.iter().map(|r| &r["action"]).collect::<Vec<_>>(), ["restored", "restored"]);
    assert_eq!(listed(), 3);
    world.run(&["verify"]).fine();
    restore(&world, "undone", &[&ids[0]]);

    assert_eq!(prune(&[]), ["delete", "delete", "keep"]);
    grow_old(&world);
    world.run(&["prune", "--undo", &ids[0]]).refused(1, "cannot be put back");
    // What the newest shares with them stays, and nothing else.
    prune(&[]);
    let own = |id: &String| world.files().iter().filter(|f| f.display().to_string().contains(id)).count();
    assert!(world.files().len() < all.len() && own(&ids[0]) > 0, "{:?}", world.files());
    world.run(&["verify"]).fine();
    restore(&world, "restored", &[]);
}

#[test]
fn a_pin_keeps_what_no_rule_does() {
    let world = lab(15);
    fill(&world, 1000);
    let first = back_up(&world, &[])["id"].as_str().expect("an id").to_string();
    let second =
        back_up(&world, &["--pin", "the state of the audit"])["id"].as_str().expect("an id").to_string();
    let newest = back_up(&world, &[])["id"].as_str().expect("an id").to_string();
    world.run(&["pin", &first, "--why", "case 4711", "--until", "2020-01-01"]).refused(2, "is over already");
    world.run(&["pin", "20200101T000000Z-000000", "--why", "x"]).refused(2, "no backup or dump");
    world.run(&["unpin", &first]).refused(2, "no backup or dump");
    world.run(&["pin", &first, "--why", "case 4711", "--until", "2098-12-31"]).fine();
    assert!(world.run(&["list"]).fine().contains("pinned until 2099-01-01T00:00:00Z: case 4711"));
    let kept = |more: &[&str]| -> Vec<String> {
        let args: Vec<&str> =
            ["prune", "--keep-last", "1", "--dry-run", "--json"].iter().chain(more).copied().collect();
        let steps = world.run(&args).json();
        let kept = steps.iter().filter(|s| s["action"] == "keep");
        kept.map(|s| format!("{} {}", s["id"].as_str().expect("an id"), s["why"][0].as_str().expect("why")))
            .collect()
    };
    let case = format!("{first} pinned until 2099-01-01T00:00:00Z: case 4711");
    let audit = format!("{second} pinned: the state of the audit");
    let last = format!("{newest} last");
    assert_eq!(kept(&[]), [case.clone(), audit.clone(), last.clone()]);
    // A day to come ends no pin: it is as the mark is.
    assert_eq!(kept(&["--at", "2099-06-01T00:00:00Z"])[0], case);
    world.run(&["unpin", &second]).fine();
    assert_eq!(kept(&[]), [case, last]);
    world.run(&["prune", "--keep-last", "1"]).fine();
    assert_eq!(world.run(&["list", "--json"]).json().len(), 2);
}

/// Makes every mark of today one of years ago.
fn grow_old(world: &World) {
    for mark in world.files().iter().filter(|f| f.display().to_string().contains("/mark/")) {
        let name = mark.file_name().expect("a name").to_string_lossy().into_owned();
        let (id, _) = name.split_once('.').expect("an id and a time");
        fs::rename(mark, mark.with_file_name(format!("{id}.20200101T000000Z.json"))).expect("rename a mark");
    }
}

#[test]
fn damage_is_remembered_until_it_is_mended() {
    let world = lab(15);
    fill(&world, 1000);
    back_up(&world, &[]);
    world.run(&["verify"]).fine();
    let pack =
        world.files().into_iter().find(|f| f.display().to_string().contains("/pack/")).expect("a pack");
    let whole = fs::read(&pack).expect("read a pack");
    // A verdict's time is in whole seconds, and of one second damage counts.
    fs::write(&pack, &whole[1..]).expect("damage it");
    world.run(&["verify"]).refused(5, "is damaged");
    assert!(world.run(&["list"]).fine().contains("DAMAGED"));
    world.run(&["check"]).refused(4, "");
    assert!(world.run(&["check"]).stdout.contains("was found damaged"));
    fs::write(&pack, &whole).expect("mend it");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    world.run(&["verify"]).fine();
    assert!(!world.run(&["list"]).fine().contains("DAMAGED"));
    world.run(&["check"]).fine();
}

#[test]
fn a_delta_restore_writes_only_what_differs() {
    let mut world = lab(15);
    fill(&world, 50_000);
    let before = content(&world.pg);
    back_up(&world, &[]);
    world.pg.psql(
        "postgres",
        "update big set t = 'changed' where n < 10; create table later as select * from big",
    );
    world.pg.stop();
    let data = world.pg.data_dir().to_path_buf();
    fs::write(data.join("stray"), "x").expect("write a stray file");
    let dir = data.display().to_string();
    world.run(&["restore", "--pgdata", &dir]).refused(1, "is not empty");
    let done = world.run(&["restore", "--pgdata", &dir, "--delta", "--json"]).json();
    let (bytes, written) = (done[0]["bytes"].as_u64(), done[0]["written_bytes"].as_u64());
    assert!(written.expect("a number") * 2 < bytes.expect("a number"), "{done:?}");
    assert!(!data.join("stray").exists());
    crate::lab::verified(&world.pg, &data);
    assert_eq!(content(&Pg::promoted(15, &data)), before);
}

#[test]
fn every_codec_and_several_repositories_in_one_pass() {
    let world = lab(15);
    fill(&world, 5000);
    let far = format!("file://{}", world.path("far").display());
    let near = format!("file://{}", world.path("repo").display());
    for (codec, n) in [("zstd", 1), ("gzip", 2), ("none", 3)] {
        let args = ["run", "--compress", codec, "--repo", &near, "--repo", &far];
        assert_eq!(world.run(&args).fine().lines().count(), 2);
        restore(&world, &format!("near-{n}"), &[]);
        restore(&world, &format!("far-{n}"), &["--repo", &far]);
    }
}

#[test]
fn odd_names_and_a_paced_copy() {
    use std::os::unix::ffi::OsStrExt;
    let world = lab(15);
    let odd = world.pg.data_dir().join(std::ffi::OsStr::from_bytes(b"a b\nc \xff"));
    fs::write(&odd, "odd").expect("write an odd name");
    let long = world.pg.data_dir().join("n".repeat(150));
    fs::write(&long, vec![7; 3 << 20]).expect("write a long name");
    let begun = std::time::Instant::now();
    back_up(&world, &["--max-rate", "20M"]);
    assert!(begun.elapsed().as_secs_f64() > 0.8, "about 25 MB at 20 MiB/s");
    let target = restore(&world, "restored", &[]);
    assert_eq!(fs::read(target.join(odd.file_name().expect("a name"))).expect("read"), b"odd");
    assert_eq!(fs::read(target.join(long.file_name().expect("a name"))).expect("read"), vec![7; 3 << 20]);
}

/// Drills are expected once there was one; their proofs are told by their names.
#[test]
fn the_last_drill_is_judged() {
    let world = lab(15);
    fill(&world, 100);
    back_up(&world, &[]);
    world.run(&["verify"]).fine();
    let drill = || {
        let found = world.run(&["check", "--json", "--at", "2099-01-30T00:00:00Z"]).findings();
        found.iter().find(|f| f["check"] == "drill").map(|f| {
            let text = |name: &str| f[name].as_str().expect("text").to_string();
            (text("severity"), text("text"))
        })
    };
    assert_eq!(drill(), None);
    let manifest = world.files().into_iter().find(|f| f.ends_with("backup.json")).expect("a manifest");
    let proofs = manifest.ancestors().nth(3).expect("the system's folder").join("proof");
    let plant = |name: &str| fs::write(proofs.join(name), "{}").expect("plant a proof");
    plant("drill.20981201T090000Z-passed.json");
    let (severity, text) = drill().expect("a finding");
    assert_eq!(severity, "warning", "{text}");
    assert!(text.contains("old, more than 35days"), "{text}");
    plant("drill.20990102T090000Z-passed.json");
    assert_eq!(drill().expect("a finding").0, "ok");
    plant("drill.20990103T090000Z-failed.json");
    let failed = ("critical".into(), "the restore drill of 2099-01-03 failed".into());
    assert_eq!(drill(), Some(failed));
    let plugin = world.run(&["check", "--monitoring", "--at", "2099-01-30T00:00:00Z"]);
    assert!(plugin.stdout.contains("the restore drill of 2099-01-03 failed"), "{plugin:?}");
    plant("drill.20990104T090000Z-passed.json");
    let plugin = world.run(&["check", "--monitoring", "--at", "2099-01-30T00:00:00Z"]);
    assert!(plugin.stdout.contains(" drill'="), "{plugin:?}");
}
