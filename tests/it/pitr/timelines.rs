//! What a timeline needs to be found again: its history, a number of its own, and a segment that ended before its time.

use super::lab::{Lab, row, rows};
use std::fs;
use std::path::Path;
use testkit::{Pg, until};
use toban_core::repo::archive::{Archive, Compressed, Tail};
use toban_core::repo::keys::System;
use toban_core::store::Dir;
use toban_core::wal::Timeline;

/// As the runbook says after a restore: archiving is switched on again.
fn archives_again(pg: &mut Pg, lab: &Lab) {
    pg.psql("postgres", "alter system reset archive_mode");
    pg.archive_by(&lab.push_command());
    pg.restart();
}

fn timeline(pg: &Pg) -> String {
    pg.psql("postgres", "select substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)")
}

#[test]
fn the_history_comes_after_a_promotion_without_archiving() {
    let lab = Lab::new(15);
    lab.back_up();
    lab.row();
    lab.pg.ship_wal();
    // A disaster, the runbook, and another disaster before anybody took a backup.
    let (target, _) = lab.restore("first", &["--target", "latest"]);
    let mut first = Pg::promoted(15, &target);
    archives_again(&mut first, &lab);
    let last = row(&first);
    first.ship_wal();
    first.kill();
    let (target, records) = lab.restore("second", &["--target", "latest"]);
    assert_eq!(records[0]["timeline"], 2, "{records:?}");
    let mut second = Pg::promoted(15, &target);
    assert_eq!(rows(&second), last.rows);
    assert_eq!(timeline(&second), "00000003");

    // A repository that lost all of it gets it from a backup's run, and the histories before it too.
    archives_again(&mut second, &lab);
    let system = second.system_identifier();
    let wal = lab.path(&format!("repo/main/{system}/wal"));
    let names = ["00000002.history", "00000003.history"];
    let gone = || names.iter().filter(|n| !wal.join(n).exists()).count();
    second.ship_wal();
    assert_eq!(gone(), 0, "push brings them");
    for name in names {
        ["", ".attr"]
            .iter()
            .for_each(|end| fs::remove_file(wal.join(format!("{name}{end}"))).expect("lose it"));
    }
    lab.run("pg-backup", &["run", "--db", &second.url()]).fine();
    assert_eq!(gone(), 0, "run brings them");
}

#[test]
fn a_number_that_the_repository_knows_is_not_taken_again() {
    let lab = Lab::new(15);
    let backup = lab.back_up();
    let id = backup["id"].as_str().expect("an id");
    lab.row();
    lab.pg.ship_wal();
    let mut servers = Vec::new();
    for n in 2..=4 {
        let (target, _) = lab.restore(&format!("plain-{n}"), &[id, "--target", "immediate"]);
        let mut pg = Pg::promoted(15, &target);
        assert_eq!(timeline(&pg), format!("{n:08X}"), "each gets its own");
        archives_again(&mut pg, &lab);
        pg.psql("postgres", "create table if not exists filler (n int)");
        pg.ship_wal();
        pg.stop();
        servers.push(pg);
    }
    // Known by WAL alone: nobody knows where timeline 4 came from, and its number is taken all the same.
    let system = lab.pg.system_identifier();
    for end in ["", ".attr"] {
        fs::remove_file(lab.path(&format!("repo/main/{system}/wal/00000004.history{end}"))).expect("lose it");
    }
    let (target, _) = lab.restore("plain-5", &[id, "--target", "immediate"]);
    assert_eq!(timeline(&Pg::promoted(15, &target)), "00000005");
    let (target, _) = lab.restore("old", &["--target", "latest", "--target-timeline", "1"]);
    let pg = Pg::promoted(15, &target);
    assert_eq!((timeline(&pg).as_str(), rows(&pg)), ("00000005", 1));
    // Recovery that looks for the newest by itself is stopped, and not sent along an older one.
    let (target, _) = lab.restore("by-hand", &["--target", "latest", "--target-timeline", "1"]);
    let auto = target.join("postgresql.auto.conf");
    let text =
        fs::read_to_string(&auto).expect("read").replace("'1'", "'latest'").replace(" --timeline 1", "");
    fs::write(&auto, text).expect("write");
    let said = starts_and_stops(&lab, &target);
    assert!(said.contains("its history 00000004.history is missing"), "{said}");
}

/// The log of a server that must not be promoted.
fn starts_and_stops(lab: &Lab, data: &Path) -> String {
    let log = lab.folder("log").join("server.log");
    let mut control = testkit::pg::as_owner(&lab.pg.bin("pg_ctl"));
    control.args(["start", "-W", "-D"]).arg(data).arg("-l").arg(&log);
    control.args(["-o", &format!("-c listen_addresses= -k {}", lab.path("log").display())]);
    assert!(control.output().expect("run pg_ctl").status.success());
    let said = || fs::read_to_string(&log).unwrap_or_default();
    until("it stops by itself", std::time::Duration::from_secs(60), || {
        if said().contains("database system is shut down") { Ok(()) } else { Err(said()) }
    });
    said()
}

#[test]
fn a_switched_segment_whose_server_died_on_its_way_is_no_hole() {
    let lab = Lab::new(15);
    let backup = lab.back_up();
    let id = backup["id"].as_str().expect("an id");
    lab.row();
    let sql =
        "insert into filler values (1); select pg_switch_wal(), pg_walfile_name(pg_current_wal_lsn() - 1)";
    let said = lab.pg.psql("postgres", sql);
    let (end, name) = said.split_once('|').expect("two");
    lab.pg.wait_until_archived(name);
    let bytes = fs::read(lab.pg.data_dir().join("pg_wal").join(name)).expect("read");
    // What a stream stored before its server died: the switch, and not all of the zeros behind it.
    let offset =
        u64::from_str_radix(end.split_once('/').expect("a position").1, 16).expect("digits") & 0xFF_FFFF;
    for ending in ["", ".attr"] {
        fs::remove_file(format!("{}{ending}", lab.object(name).display())).expect("take it away");
    }
    let system = lab.pg.system_identifier();
    let store = Dir::open(&lab.path("repo").display().to_string()).expect("a store");
    let system = System { cluster: "main".into(), identifier: system.parse().expect("a number") };
    let archive = Archive::new(&store, system);
    let segment = lab.path("segment");
    fs::write(&segment, &bytes).expect("write");
    let part = |to: u64| {
        let tail = Tail::new(name.parse().expect("a name"), 0, to);
        archive.put_tail(&tail, &Compressed::part(&segment, 0..to, 1).expect("compressed")).expect("stored");
        tail
    };
    // One byte less, and the switch is not there.
    let tail = part(offset - 1);
    let cover =
        |tail: Tail| archive.are_whole(&[tail], &tail.segment.segment(16 << 20).expect("one")).expect("read");
    assert!(!cover(tail));
    archive.remove_tail(&tail).expect("removed");
    assert!(cover(part(offset)));
    lab.give_all("repo");

    let (target, _) = lab.restore("first", &["--target", "latest"]);
    let mut first = Pg::promoted(15, &target);
    archives_again(&mut first, &lab);
    let last = row(&first);
    first.ship_wal();
    let listed = lab.run("pg-backup", &["list", "--json"]).json();
    assert!(listed[0]["missing"].is_null(), "{listed:?}");
    let (target, _) = lab.restore("second", &[id, "--target", "latest"]);
    let second = Pg::promoted(15, &target);
    assert_eq!(rows(&second), last.rows);
    // A stream of the next server makes it whole, as the dead server had it.
    let mut stream = testkit::pg::as_owner(&lab.path("bin/wal-shipper"));
    stream.env_clear().env("TMPDIR", lab.path("")).args(["stream", "--repo"]).arg(lab.path("repo"));
    let mut stream = stream.args(["--db", &first.url()]).spawn().expect("start wal-shipper");
    until("it is whole", std::time::Duration::from_secs(30), || {
        if lab.object(name).exists() { Ok(()) } else { Err(format!("{:?}", stream.try_wait())) }
    });
    let _ = stream.kill();
    let _ = stream.wait();
    let mut content = Vec::new();
    archive.get(name.parse().expect("a name"), &mut content).expect("read").expect("there");
    assert!(content == bytes, "other bytes");
    let listed = lab.run("wal-shipper", &["list", "--json"]).json();
    assert!(listed.iter().all(|s| s["state"] != "gap" && s["state"] != "missing"), "{listed:?}");
}

#[test]
fn two_servers_that_went_on_from_one_are_told_apart() {
    let lab = Lab::new(15);
    lab.back_up();
    lab.row();
    lab.pg.ship_wal();
    // Somebody looks at a copy, and it archives.
    let (target, _) = lab.restore("copy", &["--target", "latest"]);
    let mut copy = Pg::promoted(15, &target);
    archives_again(&mut copy, &lab);
    row(&copy);
    copy.ship_wal();
    copy.stop();
    // The real one goes on, and is backed up.
    let newest = lab.back_up();
    let last = lab.row();
    lab.pg.ship_wal();
    let said =
        lab.restoring("t", &["--target", "latest"]).refused(1, "two servers wrote into this repository");
    assert!(
        said.contains("--target-timeline 1") && said.contains(newest["id"].as_str().expect("an id")),
        "{said}"
    );
    assert!(!lab.path("t").exists());
    let (target, _) = lab.restore("ours", &["--target", "latest", "--target-timeline", "1"]);
    assert_eq!(rows(&Pg::promoted(15, &target)), last.rows);
    let (target, _) = lab.restore("theirs", &["--target", "latest", "--target-timeline", "2"]);
    assert_eq!(rows(&Pg::promoted(15, &target)), 2);
}

#[test]
fn a_timeline_whose_wal_never_came_is_checked_before_the_restore() {
    let lab = Lab::new(15);
    lab.back_up();
    let last = lab.row();
    lab.pg.ship_wal();
    let system = lab.pg.system_identifier();
    let store = Dir::open(&lab.path("repo").display().to_string()).expect("a store");
    let archive =
        Archive::new(&store, System { cluster: "main".into(), identifier: system.parse().expect("one") });
    // It began segments later, on a server that nobody streamed from.
    archive.put_histories(Timeline(2), "1\t0/9000000\tno recovery target specified\n").expect("stored");
    lab.give_all("repo");
    let said = lab.restoring("t", &["--target", "latest"]).refused(1, "are missing");
    assert!(said.contains("000000010000000000000008"), "{said}");
    let (target, _) = lab.restore("old", &["--target", "latest", "--target-timeline", "1"]);
    let pg = Pg::promoted(15, &target);
    assert_eq!((rows(&pg), timeline(&pg).as_str()), (last.rows, "00000003"));
}

#[test]
fn a_prepared_transaction_is_a_moment_too() {
    let lab = Lab::new(15);
    lab.back_up();
    lab.row();
    let sql = "begin; insert into ledger select count(*) + 1 from ledger; select txid_current(); prepare transaction 'two'";
    let xid = lab.pg.psql("postgres", sql);
    lab.pg.psql("postgres", "commit prepared 'two'");
    let (before, after) = (1, 2);
    lab.row();
    lab.pg.ship_wal();
    let (target, _) = lab.restore("with", &["--target-xid", &xid]);
    assert_eq!(rows(&Pg::promoted(15, &target)), after);
    let (target, _) = lab.restore("without", &["--target-xid", &xid, "--target-exclusive"]);
    assert_eq!(rows(&Pg::promoted(15, &target)), before);
}
