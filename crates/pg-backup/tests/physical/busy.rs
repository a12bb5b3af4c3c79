//! A backup under load restores to a whole cluster with every acknowledged transaction.

use crate::lab::{amcheck, back_up, content, fill, folder, lab, restore, take_over};
use crate::load::{Ledger, Load};
use crate::world::{World, majors};
use std::collections::BTreeSet;
use std::path::Path;
use testkit::pg::clean;
use testkit::{Pg, S3};
use toban_core::wal::Lsn;

/// Backs up under load by a run with these flags, stops the server, restores it and compares.
fn under_load(world: &mut World, flags: &[&str]) {
    let one = folder(world, "one").display().to_string();
    let spare = folder(world, "spare").display().to_string();
    world.pg.psql("postgres", &format!("create tablespace one location '{one}'"));
    fill(world, 50_000);
    let before = content(&world.pg);
    let load = Load::start(&world.pg, &spare);
    // The second one begins in the middle of it all.
    back_up(world, flags);
    let made = back_up(world, flags);
    let ledger = load.end();
    world.run(&["verify"]).fine();
    world.pg.stop();
    let map = format!("{one}={}", world.path("one-restored").display());
    let target = restore(world, "restored", &["--tablespace-mapping", &map]);
    let restored = Pg::promoted(world.pg.major(), &target);
    assert_eq!(content(&restored), before);
    let stop: Lsn = made["stop_lsn"].as_str().expect("a position").parse().expect("a position");
    complete(&restored, stop, &ledger);
    amcheck(&restored);
    assert_eq!(restored.psql("postgres", "show archive_mode"), "off");
}

/// Everything that was acknowledged before the backup's end is there.
fn complete(restored: &Pg, stop: Lsn, ledger: &Ledger) {
    let rows = restored.psql("postgres", "select id from ledger");
    let there: BTreeSet<i64> = rows.lines().map(|id| id.parse().expect("a number")).collect();
    let due = ledger.acknowledged.iter().filter(|(_, lsn)| *lsn <= stop.0);
    let lost: Vec<i64> = due.clone().map(|(id, _)| *id).filter(|id| !there.contains(id)).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), due.clone().count());
    eprintln!(
        "{} transactions of {} due, {} rounds of changes",
        due.clone().count(),
        ledger.acknowledged.len(),
        ledger.rounds
    );
    assert!(ledger.rounds > 0 && due.count() > 0);
}

/// The slot stands inside the first segment of a backup: moving it to where that segment begins is refused, and once
/// was taken for a session that the server had ended.
#[test]
fn a_slow_backup_of_a_quiet_server_keeps_its_slot() {
    let world = lab(15);
    // About 25 MB in more than the ten seconds after which the slot is moved for the first time.
    world.run(&["run", "--max-rate", "1500K", "--compress", "none"]).fine();
}

#[test]
fn a_primary_of_every_major() {
    for major in majors() {
        eprintln!("PostgreSQL {major}");
        under_load(&mut lab(major), &[]);
    }
}

#[test]
fn into_a_bucket() {
    for major in majors() {
        let s3 = S3::shared();
        let url = s3.url(&format!("physical-{major}"));
        under_load(&mut lab(major).in_repo(&url, s3.env()), if major >= 15 { &["--remote"] } else { &[] });
    }
}

/// A primary and its standby on one machine: their tablespaces must lie in the data directories.
fn streaming(major: u32) -> (World, Pg) {
    let world = lab(major);
    let sql = "set allow_in_place_tablespaces = on; create tablespace one location ''";
    world.pg.psql("postgres", sql);
    fill(&world, 50_000);
    let standby = Pg::builder().set("allow_in_place_tablespaces=on").standby_of(&world.pg).start();
    standby.wait_for_replay(&world.pg);
    (world, standby)
}

/// How far a backup of a standby must be recovered, as the pg_control in it says.
fn recovers_to(pg: &Pg, target: &Path) -> Lsn {
    let said = clean(&pg.bin("pg_controldata")).arg(target).output().expect("run pg_controldata");
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let line = text.lines().find_map(|l| l.strip_prefix("Minimum recovery ending location:"));
    line.expect("the line is there").trim().parse().expect("a position")
}

#[test]
fn a_standby_of_every_major_under_load() {
    for major in majors() {
        eprintln!("PostgreSQL {major}");
        let (mut world, standby) = streaming(major);
        let before = content(&world.pg);
        let load = Load::start(&world.pg, "");
        let conninfo = standby.conninfo("postgres");
        back_up(&world, &["--db", &conninfo]);
        let made = back_up(&world, &["--db", &conninfo]);
        assert_eq!(made["damaged_pages"], 0);
        let ledger = load.end();
        world.run(&["verify"]).fine();
        world.pg.stop();
        let target = restore(&world, "restored", &[]);
        let due = recovers_to(&world.pg, &target);
        let restored = Pg::promoted(major, &target);
        assert_eq!(content(&restored), before);
        complete(&restored, due, &ledger);
        amcheck(&restored);
    }
}

#[test]
fn a_promoted_server_is_backed_up_with_its_history() {
    let mut world = lab(15);
    fill(&world, 1000);
    let before = content(&world.pg);
    for timeline in [1, 2, 3] {
        let made = back_up(&world, &[]);
        assert_eq!(made["timeline"], timeline, "{made}");
        world.pg.stop();
        let target = restore(&world, &format!("timeline-{timeline}"), &[]);
        let restored = Pg::promoted(15, &target);
        take_over(&mut world, restored);
        assert_eq!(content(&world.pg), before);
        // The restored server is another one to those who only know its settings.
        world.pg.psql("postgres", "alter system reset archive_mode");
    }
}
