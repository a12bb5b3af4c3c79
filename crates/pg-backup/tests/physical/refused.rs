//! What cannot be: one clear line, the right status, nothing left.

use crate::lab::{back_up, fill, lab};
use crate::world::World;
use testkit::Pg;

#[test]
fn what_a_run_refuses() {
    let world = lab(15);
    world.pg.psql("postgres", "create role weak login");
    let weak = world.pg.conninfo("postgres").replace("user=postgres", "user=weak");
    let said = world.run(&["run", "--db", &weak]).refused(1, "role \"weak\" lacks rights");
    for grant in
        ["on function pg_backup_start", "on function pg_backup_stop", "replication", "pg_read_all_settings"]
    {
        assert!(said.contains(grant), "{grant}: {said}");
    }
    world.pg.psql(
        "postgres",
        "grant execute on function pg_backup_start, pg_backup_stop to weak; alter role weak replication; \
         grant pg_read_all_settings to weak",
    );
    world.run(&["run", "--db", &weak]).fine();
    world.run(&["run", "--data-dir", "/nowhere"]).refused(1, "run it on the server's machine");
    world.run(&["run", "--level", "30"]).refused(2, "--level 30");
    world.run(&["restore", "20261121T030000Z-120034", "--target-dir", "/tmp/x"]).refused(2, "no backup");
    let other = lab(15);
    // Every test server of a major has the same identifier, as a standby has.
    let data = other.pg.data_dir().display().to_string();
    world.run(&["run", "--data-dir", &data]).refused(1, "the data directory of another server");
    let fresh = Pg::builder_major(16).start();
    world.run(&["run", "--db", &fresh.url()]).refused(1, "--new-system");
    world.run(&["run", "--db", &fresh.url(), "--new-system"]).fine();
}

#[test]
fn minimal_wal() {
    let world = World::with(Pg::start(&["wal_level=minimal", "max_wal_senders=0"]));
    world.run(&["run"]).refused(1, "wal_level=minimal");
    let world = World::with(Pg::start(&["max_replication_slots=0"]));
    world.run(&["run"]).refused(1, "max_replication_slots");
}

#[test]
fn what_a_restore_refuses() {
    let world = lab(15);
    fill(&world, 1000);
    back_up(&world, &[]);
    let live = world.pg.data_dir().display().to_string();
    world.run(&["restore", "--target-dir", &live, "--delta"]).refused(1, "a server runs in");
    let home = world.path("home");
    std::fs::create_dir_all(home.join("photos")).expect("make a folder");
    let dir = home.display().to_string();
    world.run(&["restore", "--target-dir", &dir]).refused(1, "is not empty");
    world.run(&["restore", "--target-dir", &dir, "--delta"]).refused(1, "no data directory");
    std::fs::write(home.join("PG_VERSION"), "16\n").expect("write");
    world.run(&["restore", "--target-dir", &dir, "--delta"]).refused(1, "of PostgreSQL 16, the backup of 15");
    assert!(home.join("photos").exists());
    let new = world.path("new").display().to_string();
    world.run(&["restore", "--target-dir", &new, "-T", "/x=/y"]).refused(2, "no tablespace in /x");
    world.run(&["restore", "--target-dir", &new, "--dry-run"]).fine();
    assert!(!world.path("new").exists());
}

#[test]
fn a_second_run_names_the_first() {
    let world = lab(15);
    fill(&world, 1000);
    let mut first = world.command(&["run", "--max-rate", "1M"]).spawn().expect("start");
    let lock = world.path("state/lock");
    testkit::until("the first holds the lock", std::time::Duration::from_secs(20), || {
        lock.read_dir().ok().and_then(|mut d| d.next()).map(|_| ()).ok_or("not yet".into())
    });
    world.run(&["run"]).refused(75, &format!("already running: pid {}", first.id()));
    let _ = first.kill();
    let _ = first.wait();
}
