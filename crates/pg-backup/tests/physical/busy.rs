//! A backup under load restores to a whole cluster with every acknowledged transaction.

use crate::lab::{amcheck, back_up, content, fill, folder, lab, restore, serve};
use crate::load::{Ledger, Load};
use crate::world::{World, majors};
use serde_json::Value;
use std::collections::BTreeSet;
use testkit::{Pg, S3};
use toban_core::wal::Lsn;

/// Backs up under load, stops the server, restores it and compares.
fn under_load(world: &mut World) {
    let one = folder(world, "one").display().to_string();
    let spare = folder(world, "spare").display().to_string();
    world.pg.psql("postgres", &format!("create tablespace one location '{one}'"));
    fill(world, 50_000);
    let before = content(&world.pg);
    let load = Load::start(&world.pg, &spare);
    // The second one begins in the middle of it all.
    back_up(world, &[]);
    let made = back_up(world, &[]);
    let ledger = load.end();
    world.run(&["verify"]).fine();
    world.pg.stop();
    let map = format!("{one}={}", world.path("one-restored").display());
    let target = restore(world, "restored", &["--tablespace-mapping", &map]);
    let restored = serve(world.pg.major(), &target);
    assert_eq!(content(&restored), before);
    complete(&restored, &made, &ledger);
    amcheck(&restored);
    assert_eq!(restored.psql("postgres", "show archive_mode"), "off");
}

/// Everything that was acknowledged before the backup's end is there.
fn complete(restored: &Pg, made: &Value, ledger: &Ledger) {
    let stop: Lsn = made["stop_lsn"].as_str().expect("a position").parse().expect("a position");
    let rows = restored.psql("postgres", "select id from ledger");
    let there: BTreeSet<i64> = rows.lines().map(|id| id.parse().expect("a number")).collect();
    let due = ledger.acknowledged.iter().filter(|(_, lsn)| *lsn <= stop.0);
    let lost: Vec<i64> = due.clone().map(|(id, _)| *id).filter(|id| !there.contains(id)).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), due.count());
    eprintln!(
        "{} transactions of {} due, {} rounds of changes",
        due.count(),
        ledger.acknowledged.len(),
        ledger.rounds
    );
    assert!(ledger.rounds > 0 && !there.is_empty());
}

#[test]
fn a_primary_of_every_major() {
    for major in majors() {
        eprintln!("PostgreSQL {major}");
        under_load(&mut lab(major));
    }
}

#[test]
fn into_a_bucket() {
    let s3 = S3::shared();
    let url = s3.url("physical");
    under_load(&mut lab(15).in_repo(&url, s3.env()));
}

#[test]
fn a_standby() {
    for major in majors() {
        let mut world = lab(major);
        let standby = Pg::builder().standby_of(&world.pg).start();
        let conninfo = standby.conninfo("postgres");
        // A tablespace of a standby on the same machine would be in the primary's folder: no load with tablespaces.
        fill(&world, 50_000);
        let before = content(&world.pg);
        let position = world.pg.psql("postgres", "select pg_current_wal_lsn()");
        let reached = format!("select pg_last_wal_replay_lsn() >= '{position}'");
        testkit::until("the standby has it all", std::time::Duration::from_secs(30), || {
            match standby.psql("postgres", &reached).as_str() {
                "t" => Ok(()),
                other => Err(other.to_string()),
            }
        });
        let made = back_up(&world, &["--db", &conninfo]);
        assert_eq!(made["damaged_pages"], 0);
        world.pg.stop();
        let target = restore(&world, "restored", &[]);
        let restored = serve(major, &target);
        assert_eq!(content(&restored), before);
        amcheck(&restored);
    }
}
