//! What is in a backup and what is left out, judged by pg_basebackup on the same server.

use crate::lab::{back_up, folder, lab, restore};
use crate::world::{World, majors};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use testkit::Pg;

/// Every file and folder below `dir`, links followed, but the WAL.
fn paths(dir: &Path) -> BTreeSet<String> {
    let find = Command::new("find")
        .args(["-L", ".", "-mindepth", "1", "-printf", "%P %y\\n"])
        .current_dir(dir)
        .output();
    let text = String::from_utf8_lossy(&find.expect("run find").stdout).into_owned();
    let wal = |l: &&str| l.starts_with("pg_wal/0") || l.starts_with("pg_wal/archive_status/");
    text.lines().filter(|l| !wal(l)).map(String::from).collect()
}

/// Files of all kinds that a backup leaves out, and some that look like them and stay.
fn litter(world: &World, one: &Path) {
    let data = world.pg.data_dir();
    world.pg.psql(
        "postgres",
        "create unlogged table quick as select generate_series(1, 10000) n; create index on quick (n); \
         create table kept as select generate_series(1, 10000) n; vacuum kept, quick; \
         create unlogged table away (n int) tablespace one; insert into away values (1); \
         select pg_create_physical_replication_slot('somebody', true)",
    );
    let own = world.pg.psql("postgres", "select oid from pg_database where datname = 'postgres'");
    for name in [
        "base/pgsql_tmp/pgsql_tmp1.0",
        &format!("base/{own}/t3_16999"),
        &format!("base/{own}/t3_16999_fsm.1"),
        &format!("base/{own}/pg_internal.init.77"),
        "pg_stat_tmp/db_0.stat",
        "pg_notify/00FF",
        "backup_label.old.kept",
        "postgresql.auto.conf.tmp",
        "current_logfiles.tmp",
        "mine/12",
        "mine/12_init",
    ] {
        let path = data.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("make a folder");
        fs::write(path, "x").expect("write");
    }
    let given = Command::new("chown").arg("-R").arg("--reference").arg(data).arg(data).status();
    assert!(given.expect("run chown").success());
    // In the place of a tablespace, what is of another server and of the disk.
    fs::create_dir_all(one.join("PG_9.6_201608131/1")).expect("make a folder");
    fs::create_dir_all(one.join("lost+found")).expect("make a folder");
}

fn base_backup(world: &World, one: &Path) -> BTreeSet<String> {
    let (target, new) = (world.path("peer"), world.path("peer one"));
    let mut peer = testkit::pg::clean(&world.pg.bin("pg_basebackup"));
    let conninfo = world.pg.conninfo("postgres");
    peer.args(["-c", "fast", "-X", "stream", "--no-sync", "-d", &conninfo, "-T"]);
    peer.arg(format!("{}={}", one.display(), new.display())).arg("-D").arg(&target);
    let done = peer.output().expect("run pg_basebackup");
    assert!(done.status.success(), "{done:?}");
    paths(&target)
}

#[test]
fn files_as_pg_basebackup_has() {
    for major in majors() {
        eprintln!("PostgreSQL {major}");
        let mut world = lab(major);
        let one = folder(&world, "one");
        world.pg.psql("postgres", &format!("create tablespace one location '{}'", one.display()));
        litter(&world, &one);
        back_up(&world, &[]);
        let map = format!("{}={}", one.display(), world.path("own one").display());
        let target = restore(&world, "own", &["-T", &map]);
        let own = paths(&target);
        let theirs = base_backup(&world, &one);
        let extra: Vec<&String> = own.difference(&theirs).collect();
        let missing: Vec<&String> = theirs.difference(&own).collect();
        // Recovery makes the links from the map; pg_basebackup has made them itself.
        assert_eq!(extra, ["recovery.signal f", "tablespace_map f"]);
        assert!(missing.is_empty(), "{missing:?}");
        world.pg.stop();
        let restored = Pg::promoted(major, &target);
        assert_eq!(restored.psql("postgres", "select count(*) from kept"), "10000");
        assert_eq!(restored.psql("postgres", "select count(*) from quick"), "0");
        assert_eq!(restored.psql("postgres", "select count(*) from away"), "0");
    }
}
