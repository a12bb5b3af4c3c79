//! A repository in a bucket behind a bad line: retried, then 75 or 1; nothing half-visible; a rerun converges.

use crate::world::World;
use testkit::{Cable, Dice, S3, rounds, seed};

struct Line {
    world: World,
    cable: Cable,
    s3: S3,
}

/// A dump that needs a multipart upload, through a cable.
fn line() -> Line {
    let s3 = S3::start();
    let cable = Cable::http(s3.addr());
    let world = World::new().in_repo(&s3.url("backups"), S3::env_at(&cable.endpoint()));
    world.app();
    Line { world, cable, s3 }
}

fn noise(world: &World, rows: u32) {
    let sql = "create table noise (t text); insert into noise select string_agg(md5(random()::text), '') \
               from generate_series(1, ROWS) n, generate_series(1, 32) m group by n";
    world.pg.psql("app", &sql.replace("ROWS", &rows.to_string()));
}

#[test]
fn a_throttled_store_is_asked_again() {
    let Line { world, cable, s3: _s3 } = line();
    cable.answer(503, "<Error><Code>SlowDown</Code></Error>", 3);
    let id = world.dump("app", &[]);
    cable.answer(500, "<Error><Code>InternalError</Code></Error>", 2);
    world.run(&["verify", &id]).fine();
}

#[test]
fn a_store_that_stays_away_ends_in_75_and_one_that_refuses_in_1() {
    let Line { mut world, cable, s3 } = line();
    world.set("TOBAN_RETRY_FOR", "2s");
    cable.stall();
    world.run(&["dump", "app"]).refused(75, "");
    cable.refuse();
    world.run(&["dump", "app"]).refused(75, "");
    world.run(&["list"]).refused(75, "");
    cable.mend();
    world.run(&["list"]).refused(2, "it is empty: is it the right place?");
    cable.answer(
        403,
        "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>",
        40,
    );
    world.run(&["dump", "app"]).refused(1, "ExpiredToken");
    let missing = "s3://no-such-bucket";
    let direct = S3::env_at(&s3.endpoint());
    for (name, value) in &direct {
        world.set(name, value);
    }
    world.run(&["dump", "app", "--repo", missing]).refused(1, "no-such-bucket");
    world.set("AWS_SECRET_ACCESS_KEY", "wrong-canary");
    let said = world.run(&["dump", "app"]).refused(1, "");
    assert!(!said.contains("canary"), "{said}");
}

#[test]
fn a_dump_cut_at_any_byte() {
    let Line { mut world, cable, s3: _s3 } = line();
    noise(&world, 40_000);
    world.set("TOBAN_RETRY_FOR", "5s");
    let whole: u64 =
        world.run(&["dump", "app", "--json"]).json()[0]["stored_bytes"].as_u64().expect("a number");
    assert!(whole > 20 << 20, "a multipart upload: {whole}");
    let mut dice = Dice::new(seed());
    for _ in 0..rounds(2) {
        let before = cable.cuts();
        cable.cut_after(dice.below(whole));
        let ran = world.run(&["dump", "app"]);
        assert!(matches!(ran.status, Some(0 | 75)), "{ran:?}");
        assert!(cable.cuts() > before, "the cut did not hit");
        cable.mend();
        world.run(&["verify", "--newest"]).fine();
    }
    cable.cut_after(dice.below(whole));
    world.run(&["restore-dump", "latest", "--into", "beside"]).fine();
    assert_eq!(world.pg.psql("beside", "select count(*) from noise"), "40000");
}
