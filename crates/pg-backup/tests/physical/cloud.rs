//! A repository on Azure: every verb, and a bad line on the way.

use crate::lab::{back_up, fill, lab, restore};
use crate::world::World;
use testkit::{Azure, Cable, Dice, azure_http, rounds, seed};

struct AzureLine {
    world: World,
    cable: Cable,
    azure: Azure,
}

fn azure_line() -> AzureLine {
    let azure = Azure::start();
    let cable = Cable::http(azure.addr());
    let world = lab(15).in_repo(&format!("{}/p", azure.url("physical")), Azure::env_at(cable.addr()));
    fill(&world, 1000);
    AzureLine { world, cable, azure }
}

#[test]
fn every_verb_on_azure() {
    let AzureLine { mut world, cable, azure } = azure_line();
    // A service that is busy says so, and for how long.
    cable.answer(503, "<Error><Code>ServerBusy</Code></Error>", 3);
    let first = back_up(&world, &[]);
    world.pg.psql("postgres", "update big set t = 'changed' where n % 10 = 0");
    cable.answer(500, "<Error><Code>OperationTimedOut</Code></Error>", 2);
    let second = back_up(&world, &[]);
    let listed = world.run(&["list", "--json"]).json();
    assert_eq!(listed.len(), 2, "{listed:?}");
    world.run(&["verify"]).fine();
    world.run(&["check"]).fine();
    restore(&world, "newest", &[]);
    let id = first["id"].as_str().expect("an ID").to_string();
    restore(&world, "oldest", &[&id]);

    // A run is cut at any byte; without compression a pack is large enough for several blocks.
    world.set("TOBAN_RETRY_FOR", "5s");
    let mut dice = Dice::new(seed());
    for round in 0..rounds(2) {
        let before = cable.cuts();
        cable.cut_after(dice.below(20 << 20));
        let ran = world.run(&["run", "--compress", "none", "--full"]);
        assert!(matches!(ran.status, Some(0 | 75)), "{ran:?}");
        assert!(cable.cuts() > before, "the cut did not hit");
        cable.cut_after(dice.below(20 << 20));
        restore(&world, &format!("cut-{round}"), &[]);
        cable.mend();
    }
    world.run(&["verify"]).fine();

    // Retention in two phases, as everywhere.
    let prune = ["prune", "--keep-last", "1", "--undelete", "0s"];
    world.run(&prune).fine();
    world.run(&["prune", "--keep-last", "1", "--undelete", "0s", "--at", "2099-01-01T00:00:00Z"]).fine();
    let left = world.run(&["list", "--json"]).json();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_ne!(left[0]["id"], first["id"]);
    assert_ne!(left[0]["id"], second["id"]);
    let (_, blobs) = azure_http(azure.addr(), "GET", "/physical?restype=container&comp=list", &[]);
    assert!(!blobs.contains(&format!("/backup/{id}/backup.json")), "{blobs}");
    restore(&world, "pruned", &[]);
}

#[test]
fn trouble_with_azure_is_one_clear_line() {
    let AzureLine { mut world, cable, azure: _azure } = azure_line();
    back_up(&world, &[]);
    let target = world.path("t").display().to_string();
    world.set("TOBAN_RETRY_FOR", "2s");
    cable.stall();
    world.run(&["run"]).refused(75, "");
    cable.refuse();
    world.run(&["run"]).refused(75, "");
    world.run(&["restore", "--pgdata", &target]).refused(75, "");
    cable.mend();
    cable.answer(503, "<Error><Code>ServerBusy</Code></Error>", 10_000);
    world.run(&["list"]).refused(75, "ServerBusy");
    cable.mend();
    let said = world.run(&["list", "--repo", "az://missing/p"]).refused(1, "ContainerNotFound");
    assert!(said.contains("hint: create the container"), "{said}");
    let key = "Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5LWNhbmE=";
    world.set("AZURE_STORAGE_KEY", key);
    let said = world.run(&["run"]).refused(1, "failed to authenticate the request");
    assert!(
        said.contains("check AZURE_STORAGE_KEY") && !said.contains("canary") && !said.contains(key),
        "{said}"
    );
    world.set("AZURE_STORAGE_KEY", "not base64, a canary");
    let said = world.run(&["list"]).refused(1, "find credentials");
    assert!(!said.contains("canary"), "{said}");
    world.set("AZURE_STORAGE_KEY", "");
    world.run(&["list"]).refused(1, "no credentials are set");
    world.set("AZURE_STORAGE_ACCOUNT", "");
    world.run(&["list"]).refused(2, "set AZURE_STORAGE_ACCOUNT");
}
