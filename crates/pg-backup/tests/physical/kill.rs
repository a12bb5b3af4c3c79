//! SIGKILL at any moment: no incomplete backup is listed, and no half-restored target starts.

use crate::lab::{back_up, fill, lab, restore, verified};
use crate::world::World;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use testkit::pg::as_owner;
use testkit::rounds;

/// Runs `args` twice for their length, then kills them at moments spread over that length.
fn killed(world: &World, args: &[&str], mut after: impl FnMut(&World)) {
    let mut length = Duration::MAX;
    for _ in 0..2 {
        let begun = Instant::now();
        world.run(args).fine();
        length = length.min(begun.elapsed());
        after(world);
    }
    let start = || world.command(args).spawn().expect("start");
    testkit::killed(length, rounds(3), start, || after(world));
}

#[test]
fn run() {
    killed_runs(&["run", "--jobs", "1", "--full"]);
}

#[test]
fn run_of_what_changed() {
    killed_runs(&["run", "--jobs", "1"]);
}

/// What it remembers is what it read, and the next one goes on.
#[test]
fn verify() {
    let world = lab(15);
    fill(&world, 100_000);
    for _ in 0..3 {
        back_up(&world, &[]);
        world.pg.psql("postgres", "update big set t = t || 'x' where n % 50 = 0");
    }
    let pack = world.files().into_iter().find(|f| f.extension().is_some_and(|e| e == "zst")).expect("a pack");
    killed(&world, &["verify", "--all"], |world| {
        world.run(&["verify"]).fine();
        assert_eq!(world.run(&["list", "--json"]).json().len(), 3);
    });
    // A reading that was broken off must not have been remembered as one that ended well.
    let mut bytes = std::fs::read(&pack).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&pack, &bytes).expect("damage it");
    assert_eq!(world.run(&["verify", "--all"]).status, Some(5));
}

fn killed_runs(args: &[&str]) {
    let world = lab(15);
    fill(&world, 100_000);
    killed(&world, args, |world| {
        world.pg.psql("postgres", "update big set t = t || 'x' where n % 50 = 0");
        let listed = world.run(&["list", "--json"]).json();
        // Whatever is listed is whole.
        let ids: Vec<&str> = listed.iter().rev().take(2).filter_map(|r| r["id"].as_str()).collect();
        let args: Vec<&str> = ["verify"].into_iter().chain(ids).collect();
        world.run(&args).fine();
    });
    let slots = "select count(*) from pg_replication_slots";
    testkit::until("the killed runs' slots go", Duration::from_secs(30), || {
        match world.pg.psql("postgres", slots) {
            n if n == "0" => Ok(()),
            n => Err(n),
        }
    });
    back_up(&world, &[]);
    restore(&world, "restored", &[]);
}

/// A server that is asked to start in `dir` must refuse; it must not even look for long.
fn starts_not(world: &World, dir: &Path) {
    if !dir.exists() {
        return;
    }
    let mut server = as_owner(&world.pg.bin("postgres"));
    server.arg("-D").arg(dir).args(["-c", "listen_addresses=", "-k"]).arg(world.pg.socket_dir());
    let mut server = server.args(["-p", "5999"]).stderr(Stdio::null()).spawn().expect("start postgres");
    let refused = testkit::until("the server refuses", Duration::from_secs(30), || {
        server.try_wait().expect("ask for it").ok_or_else(|| {
            let up = std::fs::read_to_string(dir.join("postmaster.pid")).unwrap_or_default();
            format!("it runs in a half restored folder: {up}")
        })
    });
    assert!(!refused.success());
}

#[test]
fn target() {
    let world = lab(15);
    fill(&world, 100_000);
    back_up(&world, &[]);
    let target = world.path("t");
    let dir = target.display().to_string();
    killed(&world, &["restore", "--pgdata", &dir], |world| {
        match target.join("global/pg_control").exists() {
            true => verified(&world.pg, &target),
            false => starts_not(world, &target),
        }
        // Half restored or whole, the same again with --delta makes it whole.
        world.run(&["restore", "--pgdata", &dir, "--delta"]).fine();
        verified(&world.pg, &target);
        std::fs::remove_dir_all(&target).expect("clear the target");
    });
}
