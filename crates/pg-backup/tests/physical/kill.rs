//! SIGKILL at any moment: no incomplete backup is listed, and no half-restored target starts.

use crate::lab::{back_up, fill, lab, restore, verified};
use crate::world::{World, ended};
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::{Dice, rounds, seed};

/// Runs `args` once for its length, then kills it at moments spread over that length.
fn killed(world: &World, args: &[&str], mut after: impl FnMut(&World)) {
    let begun = Instant::now();
    world.run(args).fine();
    let length = begun.elapsed();
    after(world);
    let mut dice = Dice::new(seed());
    let rounds = rounds(5);
    for round in 0..rounds {
        let moment = (round as f64 + dice.part()) / rounds as f64;
        let mut child = world.command(args).spawn().expect("start");
        std::thread::sleep(length.mul_f64(moment));
        let _ = child.kill();
        ended(child);
        after(world);
    }
}

#[test]
fn run() {
    let world = lab(15);
    fill(&world, 100_000);
    killed(&world, &["run", "--jobs", "1"], |world| {
        world.run(&["verify"]).fine();
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

#[test]
fn a_restore() {
    let world = lab(15);
    fill(&world, 100_000);
    back_up(&world, &[]);
    let target = world.path("t");
    let dir = target.display().to_string();
    let whole = |dir: &Path| dir.join("global/pg_control").exists();
    killed(&world, &["restore", "--target-dir", &dir, "--delta"], |world| {
        if whole(&target) {
            verified(&world.pg, &target);
        }
        // Half restored or whole, the same again makes it whole.
        world.run(&["restore", "--target-dir", &dir, "--delta"]).fine();
        verified(&world.pg, &target);
        std::fs::remove_dir_all(&target).expect("clear the target");
    });
}
