//! `verify --within`: every object is read once within the time, and what is proven of a backup is true of all it names.

use crate::lab::{back_up, fill, lab};
use crate::world::World;
use std::fs;
use std::path::PathBuf;
use testkit::SigningKey;

/// The proofs of backups and dumps.
fn proofs(world: &World) -> Vec<PathBuf> {
    let is_proof = |f: &PathBuf| {
        let name = f.display().to_string();
        name.contains("proof") && name.ends_with(".json") && !name.contains("/wal.")
    };
    world.files().into_iter().filter(is_proof).collect()
}

/// Makes these proofs some of years ago, each of a year of its own.
fn grow_old(proofs: &[PathBuf]) {
    for (n, proof) in proofs.iter().enumerate() {
        let name = proof.file_name().expect("a name").to_string_lossy().into_owned();
        let (rest, _) = name.strip_suffix(".json").and_then(|n| n.rsplit_once('.')).expect("a time");
        fs::rename(proof, proof.with_file_name(format!("{rest}.20{:02}0101T000000Z.json", 10 + n)))
            .expect("rename");
    }
}

#[test]
fn what_is_due_is_read_the_longest_ago_first() {
    let world = lab(15);
    fill(&world, 20_000);
    world.app();
    let ids: Vec<String> =
        (0..2).map(|_| back_up(&world, &[])["id"].as_str().expect("an ID").into()).collect();
    world.dump("app", &[]);
    let within = |more: &[&str]| {
        let args: Vec<&str> = ["verify", "--within", "30d", "--json"].iter().chain(more).copied().collect();
        let records = world.run(&args).json();
        records.iter().map(|r| r["id"].as_str().unwrap_or("wal").to_string()).collect::<Vec<_>>()
    };
    assert_eq!(within(&["--limit-time", "1ns"]), Vec::<String>::new(), "the time was over");
    let ran = world.run(&["verify", "--within", "30d", "--limit-time", "1ns", "-v"]);
    assert!(ran.stderr.contains("3 more are due"), "{ran:?}");
    assert_eq!(within(&["--limit-time", "1h"]).len(), 3, "nothing was proven yet");
    assert_eq!(within(&[]), Vec::<String>::new(), "and all is now");
    world.run(&["verify", "--all"]).fine();
    // Of one time are the proofs of both backups: the older one's packs were read once, for both.
    proofs(&world).into_iter().for_each(|p| fs::remove_file(p).expect("forget"));
    world.run(&["verify", "--all"]).fine();
    let mut all = proofs(&world);
    assert_eq!(all.len(), 3, "{all:?}");
    all.sort();
    grow_old(&all);
    let one: Vec<Vec<String>> = (0..4).map(|_| within(&["--limit-bytes", "1"])).collect();
    assert_eq!(
        one.iter().map(Vec::len).collect::<Vec<_>>(),
        [1, 1, 1, 0],
        "one at least, and no more: {one:?}"
    );

    // The proof of the older one covers what the newer shares with it, and no more than that.
    let of = |id: &str| {
        proofs(&world).into_iter().filter(|p| p.display().to_string().contains(id)).collect::<Vec<_>>()
    };
    of(&ids[1]).into_iter().for_each(|p| fs::remove_file(p).expect("forget"));
    let largest = |id: &str| {
        let of_pack = |f: &PathBuf| f.display().to_string().contains(&format!("{id}/pack/"));
        let packs = world.files().into_iter().filter(of_pack);
        packs.max_by_key(|f| f.metadata().expect("look").len()).expect("a pack")
    };
    let pack = largest(&ids[0]);
    let whole = fs::read(&pack).expect("read");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    fs::write(&pack, &flipped).expect("damage it");
    assert_eq!(within(&[]), [ids[1].clone()], "not read, since it was within the time");
    let time = |id: &str| {
        let newest = of(id).pop().expect("a proof").display().to_string();
        newest.rsplit('/').next().and_then(|n| n.split_once('.')).map(|(_, at)| at.to_string())
    };
    assert_eq!(time(&ids[1]), time(&ids[0]), "proven as of when the first of its objects was read");

    // Whoever reads it finds it, for every backup that names it.
    world.run(&["verify", &ids[0]]).refused(5, "is damaged");
    let damaged = |world: &World| {
        let listed = world.run(&["list", "--json"]).json();
        listed.iter().filter(|r| r["damaged"].is_string()).count()
    };
    assert_eq!(damaged(&world), 2);
    fs::write(&pack, &whole).expect("repair it");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(within(&[]).len(), 2, "what was damaged is due");
    assert_eq!(damaged(&world), 0);
    world.run(&["verify", "--within", "30d", "--newest"]).refused(2, "");
    world.run(&["verify", "--limit-bytes", "1"]).refused(2, "");
    world.run(&["verify", "--limit-time", "1h"]).refused(2, "");
}

/// Whoever keeps the key of `--sign-key` vouches for each verdict; a verdict goes with its signature.
#[test]
fn what_verify_proves_is_signed() {
    let world = lab(15);
    world.app();
    back_up(&world, &[]);
    world.dump("app", &[]);
    world.run(&["verify"]).fine();
    let signer = SigningKey::make(&world.path("."), "key");
    world.run(&["verify", "--sign-key", "/nowhere"]).refused(1, "/nowhere does not sign");
    let key = signer.key.display().to_string();
    let verify = || {
        world.run(&["verify", "--sign-key", &key]).fine();
        let signed: Vec<PathBuf> =
            proofs(&world).into_iter().filter(|p| signer.signed(p, "pg-backup")).collect();
        signed.len()
    };
    assert_eq!((verify(), verify()), (2, 4), "a verdict each time, of a backup and of a dump");
    world.run(&["prune", "--keep-last", "1"]).fine();
    let all = world.files();
    let signatures = all.iter().filter(|f| f.extension().is_some_and(|e| e == "sig"));
    assert_eq!(signatures.count(), proofs(&world).len(), "each of the newest, and no other: {all:?}");
    assert!(proofs(&world).iter().all(|p| signer.signed(p, "pg-backup")));
    world.run(&["check"]).fine();
}
