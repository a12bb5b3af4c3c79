//! SIGKILL at any moment: nothing half-visible, the old or the new database whole and in service, a rerun converges.

use crate::world::World;
use std::time::{Duration, Instant};
use testkit::rounds;

fn big(world: &World) {
    world.app();
    world.pg.psql("app", "insert into users select n, md5(n::text) from generate_series(1001, 80000) n; create index on users (name)");
}

/// Runs `args` once undisturbed for its length, then kills it at moments spread over that length.
fn killed(world: &World, args: &[&str], mut after: impl FnMut(&World, bool)) {
    let begun = Instant::now();
    world.run(args).fine();
    let length = begun.elapsed();
    after(world, true);
    let start = || world.command(args).spawn().expect("start");
    testkit::killed(length, rounds(2), start, || after(world, false));
}

#[test]
fn dump() {
    let world = World::new();
    big(&world);
    killed(&world, &["dump", "app"], |world, _| {
        // Whatever is listed is whole.
        if world.run(&["list"]).status == Some(0) {
            world.run(&["verify"]).fine();
        }
    });
    let id = world.dump("app", &[]);
    world.run(&["restore-dump", &id, "--into", "beside"]).fine();
    assert_eq!(world.text("beside", &[]), world.text("app", &[]));
    assert_eq!(world.databases(), ["app", "beside"]);
}

#[test]
fn replace() {
    let world = World::new();
    big(&world);
    world.dump("app", &[]);
    let id = world.run(&["list", "--json"]).json()[0]["id"].as_str().expect("an id").to_string();
    let new = world.text("app", &[]);
    world.pg.psql("app", "delete from users where id > 500; create table late (x integer)");
    let old = world.text("app", &[]);
    let args = ["restore-dump", &id, "--replace", "app"];
    killed(&world, &args, |world, undisturbed| {
        let now = world.text("app", &[]);
        assert!(now == new || (now == old && !undisturbed), "app is neither the old nor the new one");
        // The server may still be at the last statement of the killed run.
        let quiet =
            "select count(*) from pg_stat_activity where application_name = 'pg-backup' or datname = 'app'";
        testkit::until("the killed run's sessions end", Duration::from_secs(30), || {
            match world.pg.psql("postgres", quiet).as_str() {
                "0" => Ok(()),
                n => Err(n.to_string()),
            }
        });
        // The rerun converges: done, and only a kept old one may be beside it.
        world.run(&args).fine();
        assert_eq!(world.text("app", &[]), new);
        for name in world.databases() {
            assert!(name == "app" || name.starts_with("app_before_"), "{name} is left over");
            if name != "app" {
                world.pg.psql("postgres", &format!("drop database {name}"));
            }
        }
        world.pg.psql("app", "delete from users where id > 500; create table late (x integer)");
    });
}
