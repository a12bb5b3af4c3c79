//! What is large: tables by the ten thousand, and a relation of more than one file.

use crate::lab::{amcheck, back_up, lab, restore, take_over};
use crate::world::World;
use std::process::Child;
use std::time::Duration;
use testkit::{Pg, rounds};

/// The largest resident set of a process while it ran, in MiB.
fn peak(mut child: Child) -> u64 {
    let mut peak = 0;
    while child.try_wait().expect("ask for the child").is_none() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or_default();
        let kib = line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0);
        peak = peak.max(kib >> 10);
        std::thread::sleep(Duration::from_millis(20));
    }
    let ran = crate::world::ended(child);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    peak
}

fn in_bounds(world: &World, args: &[&str]) {
    let mib = peak(world.command(args).spawn().expect("start"));
    eprintln!("{}: peak RSS {mib} MiB", args[0]);
    assert!(mib <= 256, "{}: peak RSS {mib} MiB", args[0]);
}

#[test]
fn fifty_thousand_tables() {
    let mut world = lab(15);
    let tables = rounds(2500);
    // By transactions of a thousand: each table takes a lock.
    let sql = format!(
        "do $$ begin for n in 1..{tables} loop execute format('create table t%s (a int, b text)', n); \
         if n % 1000 = 0 then commit; end if; end loop; end $$; create table big as select 1 n, 'x' t"
    );
    world.pg.psql("postgres", &sql);
    in_bounds(&world, &["run"]);
    world.run(&["verify"]).fine();
    let target = world.path("t").display().to_string();
    in_bounds(&world, &["restore", "--pgdata", &target]);
    crate::lab::verified(&world.pg, &world.path("t"));
    in_bounds(&world, &["restore", "--pgdata", &target, "--delta"]);
    world.pg.stop();
    let restored = Pg::promoted(15, &world.path("t"));
    let sql = "select count(*) from pg_class where relname ~ '^t[0-9]+$' and relkind = 'r'";
    assert_eq!(restored.psql("postgres", sql), tables.to_string());
}

/// 1 GiB is a file; the soak makes a relation of more.
#[test]
fn a_relation_of_several_files() {
    let mut world = lab(15);
    let mib = rounds(60);
    // Rows of about 2 KiB that do not leave the heap.
    let rows = mib * 480;
    let sql = format!(
        "create table wide (n int, a text); alter table wide alter a set storage plain; \
         insert into wide select n, repeat(md5(n::text), 64) from generate_series(1, {rows}) n; checkpoint"
    );
    world.pg.psql("postgres", &sql);
    let size = world.pg.psql("postgres", "select pg_relation_size('wide') >> 20");
    eprintln!("the relation has {size} MiB");
    in_bounds(&world, &["run"]);
    let sum = "select count(*), sum(hashtext(a)) from wide";
    let before = world.pg.psql("postgres", sum);
    let path = world.pg.psql("postgres", "select pg_relation_filepath('wide')");
    world.pg.stop();
    let target = restore(&world, "t", &[]);
    assert_eq!(target.join(format!("{path}.1")).exists(), mib > 1100, "a second file");
    let restored = Pg::promoted(15, &target);
    assert_eq!(restored.psql("postgres", sum), before);
    if mib <= 100 {
        amcheck(&restored);
    }
    take_over(&mut world, restored);
    // Its second file is judged by the numbers that its pages have in the relation.
    assert_eq!(back_up(&world, &[])["damaged_pages"], 0);
}
