//! A source that others go on writing to: what is copied is one moment of it.

use crate::world::{World, bytes};
use rusqlite::Connection;
use std::sync::atomic::{AtomicBool, Ordering};

const ACCOUNTS: i64 = 2000;
const MONEY: i64 = 1_000_000;

#[test]
fn d18_bank_transfers_keep_their_sum_in_the_copy() {
    let world = World::of(&format!(
        "pragma journal_mode = wal; create table a (id integer primary key, money int); create table b (id integer primary key, money int, pad text);
         with recursive c(i) as (select 1 union all select i + 1 from c where i < {ACCOUNTS}) insert into a select i, 500 from c;
         with recursive c(i) as (select 1 union all select i + 1 from c where i < 150000) insert into b select i, 0, printf('%050d', i) from c;"
    ));
    let stop = AtomicBool::new(false);
    let transfers = std::thread::scope(|scope| {
        let writer = scope.spawn(|| transfer(&world, &stop));
        for _ in 0..3 {
            world.run(&["--jobs", "4"]).ended(0);
            world.gives(&[(
                "select (select sum(money) from a) + (select sum(money) from b)",
                &MONEY.to_string(),
            )]);
            world.run(&["--undo"]).ended(0);
        }
        stop.store(true, Ordering::SeqCst);
        writer.join().expect("the writer")
    });
    assert!(transfers > 10, "only {transfers} transfers: nothing was proven");
}

/// From a table read early to one read late, one transaction each.
fn transfer(world: &World, stop: &AtomicBool) -> u64 {
    let db = Connection::open(world.file()).expect("open");
    db.busy_timeout(std::time::Duration::from_secs(30)).expect("patience");
    let mut n = 0;
    while !stop.load(Ordering::SeqCst) {
        let (from, to) = (n % 2000 + 1, 150_000 - n % 2000);
        db.execute_batch(&format!(
            "begin immediate; update a set money = money - 1 where id = {from}; update b set money = money + 1 where id = {to}; commit"
        ))
        .expect("a transfer");
        n += 1;
    }
    n as u64
}

#[test]
fn d17_rows_in_the_wal_arrive_and_the_file_is_not_written_to() {
    let world = World::of("pragma journal_mode = wal; create table t (x int); insert into t values (1);");
    let writer = Connection::open(world.file()).expect("open");
    writer.execute_batch("pragma wal_autocheckpoint = 0; insert into t values (2)").expect("into the WAL");
    let before = (bytes(&world.file()), bytes(&world.path("app.db-wal")));
    world.run(&[]).ended(0);
    world.gives(&[("select string_agg(x::text, ',' order by x) from t", "1,2")]);
    assert!(before == (bytes(&world.file()), bytes(&world.path("app.db-wal"))), "the source was written to");
}
