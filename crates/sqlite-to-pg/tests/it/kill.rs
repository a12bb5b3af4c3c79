//! Killed at any moment: the target is as it was or whole, and a rerun ends with all of it.

use crate::world::World;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use testkit::itsm::Itsm;
use testkit::{Dice, rounds, seed};

/// What a reader of the target sees: nothing, or all.
fn seen(world: &World) -> String {
    world.psql("select coalesce(string_agg(relname, ',' order by relname), '') from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'")
}

#[test]
fn the_client_is_killed_at_random_moments() {
    let world = World::new();
    Itsm::rows(20_000).write(&world.file()).expect("write");
    let began = Instant::now();
    world.run(&[]).ended(0);
    let whole = began.elapsed();
    let all = seen(&world);
    world.run(&["--undo"]).ended(0);
    testkit::killed(
        whole,
        rounds(5),
        || start(&world),
        || {
            let left = seen(&world);
            assert!(left.is_empty() || left == all, "half a copy is seen: {left}");
            if left.is_empty() {
                // The server may still be ending the killed session, which holds the lock.
                testkit::until("a rerun", Duration::from_secs(60), || match world.run(&[]) {
                    ran if ran.status == Some(0) => Ok(()),
                    ran if ran.status == Some(75) => Err(ran.stderr),
                    ran => panic!("{ran:?}"),
                });
            }
            world.verified();
            assert_eq!(seen(&world), all);
            world.run(&["--undo"]).ended(0);
            world.untouched();
        },
    );
}

/// A run that nobody listens to.
fn start(world: &World) -> Child {
    let mut tool = world.command(&["run", "app.db"]);
    tool.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start")
}

#[test]
fn the_server_is_killed_at_random_moments() {
    let mut world = World::new();
    Itsm::rows(20_000).write(&world.file()).expect("write");
    let began = Instant::now();
    world.run(&[]).ended(0);
    let whole = began.elapsed();
    let all = seen(&world);
    world.run(&["--undo"]).ended(0);
    let mut dice = Dice::new(seed());
    for _ in 0..rounds(2) {
        let mut tool = start(&world);
        std::thread::sleep(whole.mul_f64(dice.part()));
        world.pg.kill();
        let status = tool.wait().expect("wait");
        assert!(matches!(status.code(), Some(0 | 1 | 75)), "{status}");
        world.pg.restart();
        let left = seen(&world);
        assert!(left.is_empty() || left == all, "half a copy is seen: {left}");
        if left.is_empty() {
            world.run(&[]).ended(0);
        }
        world.verified();
        world.run(&["--undo"]).ended(0);
    }
}
