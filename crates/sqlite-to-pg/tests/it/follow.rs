//! `sync`: the copy follows the file, whatever is done to it, and a reader of the copy sees what readers of the file saw.

use crate::workload::{KEYED, SCHEMA, statement};
use crate::world::World;
use rusqlite::Connection;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use testkit::{Dice, rounds, seed};

/// Columns of each table of the workload, as both sides print them alike.
const COLUMNS: [&str; 8] = [
    "id, u, n, p, q, e, g, x",
    "\"the key\", v, w",
    "k1, k2, v",
    "id, u",
    "id, name",
    "id, top, v",
    "id, middle, v",
    "id, what",
];

/// Both shells print the same rows.
#[track_caller]
pub(crate) fn same_rows(world: &World, told: &str) {
    for (table, columns) in KEYED.iter().zip(COLUMNS) {
        let sql = format!("select {columns} from {table}");
        let sorted = |text: String| {
            let mut lines: Vec<String> = text.lines().map(String::from).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(world.sqlite(&sql)), sorted(world.psql(&sql)), "{table}: {told}");
    }
}

pub(crate) fn sync(world: &World) -> testkit::Ran {
    world.tool(&["sync", "app.db", "--json"])
}

/// A writer to the file, as the application opens it.
pub(crate) fn application(world: &World) -> Connection {
    let db = Connection::open(world.file()).expect("open");
    db.busy_timeout(Duration::from_secs(30)).expect("patience");
    db.execute_batch("pragma synchronous = off").expect("set up");
    db
}

/// Some statements of the workload, each for itself.
pub(crate) fn write_some(db: &Connection, dice: &mut Dice, count: usize) {
    for _ in 0..count {
        let sql = statement(dice);
        let _may_fail = db.prepare(&sql).and_then(|mut s| s.raw_query().next().map(drop));
    }
    if !db.is_autocommit() {
        db.execute_batch("commit").expect("commit");
    }
}

#[test]
fn random_workloads_arrive_in_both_journal_modes() {
    let mut dice = Dice::new(seed());
    for mode in ["wal", "delete"] {
        // Numbers in columns without a type stay numbers as long as all are.
        let world = World::of(&format!("pragma journal_mode = {mode}; {SCHEMA}"));
        let db = application(&world);
        db.execute_batch("insert into a values (1, 'z', 'y', 1, 1, 'x', 1)").expect("a row");
        write_some(&db, &mut dice, 30);
        world.tool(&["capture", "app.db"]).ended_with(0, "by key");
        write_some(&db, &mut dice, 30);
        let ran = world.run(&[]);
        assert!(matches!(ran.status, Some(0 | 3)), "{ran:?}");
        for round in 0..rounds(6) {
            write_some(&db, &mut dice, 40);
            let told = format!("round {round} of seed {}, {mode}", seed());
            let ran = sync(&world);
            assert_eq!(ran.status, Some(0), "{told}: {ran:?}");
            same_rows(&world, &told);
            // Applied again nothing changes, and nothing is left to do.
            assert_eq!(sync(&world).ended(0), Vec::<serde_json::Value>::new(), "{told}");
        }
        let left: i64 = world.sqlite("select count(*) from _toban_log").parse().expect("a number");
        assert_eq!(left, 1, "what is applied is deleted but for the newest entry");
        let status = world.tool(&["status", "app.db"]);
        status.ended_with(0, "following");
        assert!(status.stdout.contains("d (changed): it has no primary key"), "{status:?}");
        world.tool(&["sync", "app.db", "--schema", "other"]).refused(2, "no copy of this file");
    }
}

#[test]
fn a_copy_without_orphans_is_not_followed() {
    let world = World::of(
        "create table mother (id integer primary key); insert into mother values (1);
         create table child (id integer primary key, mother integer references mother); insert into child values (1, 1), (2, 9);",
    );
    world.tool(&["capture", "app.db"]).fine();
    assert_eq!(world.run(&["--orphans", "reject"]).status, Some(3));
    sync(&world).refused(2, "rows of child without a parent were changed or left out by the copy");
}

#[test]
fn values_change_places_and_keys_go_round() {
    let world = World::of(
        "pragma journal_mode = wal; create table t (id integer primary key, u text unique, n text not null);
         insert into t values (1, 'a', 'x'), (2, 'b', 'x'), (3, 'c', 'x'), (4, 'd', 'x');",
    );
    world.tool(&["capture", "app.db"]).fine();
    world.run(&[]).ended(0);
    for (change, expected) in [
        (
            "begin; update t set u = 'q' where id = 1; update t set u = 'a' where id = 2; update t set u = 'b' where id = 1; commit;",
            "1|b 2|a 3|c 4|d",
        ),
        ("update or replace t set id = 1 where id = 3; update t set id = 3 where id = 2;", "1|c 3|a 4|d"),
        (
            "delete from t where id = 4; insert into t values (4, 'e', 'y'); insert or replace into t values (9, 'c', 'y');",
            "3|a 4|e 9|c",
        ),
        ("begin; delete from t; rollback; insert into t values (5, null, 'z');", "3|a 4|e 5| 9|c"),
        ("delete from t;", ""),
    ] {
        world.sqlite(change);
        sync(&world).ended(0);
        world.gives(&[(
            "select coalesce(string_agg(id || '|' || coalesce(u, ''), ' ' order by id), '') from t",
            expected,
        )]);
    }
}

/// What stops it is named, and nothing is applied.
#[test]
fn what_no_longer_fits_is_refused() {
    let world = World::of(
        "create table t (id integer primary key, n int); insert into t values (1, 1); create table k (x int);",
    );
    sync(&world).refused(2, "not captured");
    world.run(&[]).ended(0);
    world.tool(&["capture", "app.db"]).fine();
    sync(&world).refused(2, "made before the capture began");
    world.run(&["--undo"]).ended(0);
    world.run(&[]).ended(0);
    world.sqlite("insert into t values (2, 2)");
    sync(&world).ended(0);
    world.gives(&[("select count(*) from t", "2")]);

    // Of another type than all before it: the plan's policy is to stop.
    world.sqlite("insert into t values (3, 'abc')");
    sync(&world).refused(1, "t.n of row 3");
    world.gives(&[("select count(*) from t", "2")]);
    world.sqlite("update t set n = 3 where id = 3");
    sync(&world).ended(0);

    // Somebody else works on the schema.
    let mut other =
        postgres::Client::connect(&world.pg.conninfo("postgres"), postgres::NoTls).expect("connect");
    other
        .batch_execute("create function no() returns trigger language plpgsql as 'begin raise exception ''not here''; end'; create trigger no after insert on t execute function no()")
        .expect("a trigger that came since");
    world.sqlite("insert into t values (4, 4)");
    sync(&world).ended(0);
    world.gives(&[("select count(*) from t", "4")]);

    // The application makes a table anew, as migrations do.
    world.sqlite("create table t2 (id integer primary key, n int); insert into t2 select * from t where id > 1; drop table t; alter table t2 rename to t;");
    let ran = sync(&world);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("t: the application made the table or an index anew"), "{ran:?}");
    world.tool(&["status", "app.db"]).ended_with(0, "t (changed): the application made");
    for change in [
        "create table new (x)",
        "drop table new; alter table k add column y",
        "alter table k drop column y; drop table k",
    ] {
        world.sqlite(change);
        sync(&world).refused(4, "the application changed its schema");
    }
    world.sqlite("create table k (x int)");

    // An older copy, and another file of the name.
    std::fs::copy(world.file(), world.path("older.db")).expect("copy");
    std::fs::rename(world.path("older.db"), world.file()).expect("rename");
    sync(&world).refused(4, "another one than before");
    world.tool(&["capture", "app.db", "--stop"]).fine();
    world.tool(&["capture", "app.db"]).fine();
    sync(&world).refused(2, "made before the capture began");
    world.run(&["--undo", "--even-if-changed"]).ended(0);
    world.run(&[]).ended(0);
    world.sqlite("insert into t values (5, 5)");
    sync(&world).ended(0);
    world.gives(&[("select string_agg(id::text, ',' order by id) from t", "2,3,4,5")]);
}

const ACCOUNTS: i64 = 300;
const MONEY: i64 = ACCOUNTS * 100;

/// Money goes from one account to another, in one transaction each, and accounts are closed and opened.
fn transfer(world: &World, stop: &AtomicBool) -> u64 {
    let db = application(world);
    let (mut dice, mut n) = (Dice::new(seed()), 0);
    while !stop.load(Ordering::SeqCst) {
        let mut account = || dice.below(ACCOUNTS.unsigned_abs()) + 1;
        let (from, to) = (account(), account());
        db.execute_batch(&format!(
            "begin immediate; update a set money = money - 1 where id = {from}; update b set money = money + 1 where id = {to};
             insert or replace into a select id, money, name from a where id = {to}; update a set name = name || '.' where id = {from} and length(name) < 9;
             delete from log where id < (select max(id) - 50 from log); insert into log (what) values ({from}); commit"
        ))
        .expect("a transfer");
        n += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
    n
}

fn bank() -> World {
    World::of(&format!(
        "pragma journal_mode = wal; create table a (id integer primary key, money int, name text unique); create table b (id integer primary key, money int);
         create table log (id integer primary key autoincrement, what);
         with recursive c(i) as (select 1 union all select i + 1 from c where i < {ACCOUNTS}) insert into a select i, 50, 'n' || i from c;
         insert into b select id, 50 from a; insert into log (what) values (0);"
    ))
}

fn start(world: &World, args: &[&str]) -> Child {
    let mut tool = world.command(args);
    tool.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start")
}

#[track_caller]
fn bank_is_whole(world: &World) {
    let sum = "select (select sum(money) from a) + (select sum(money) from b)";
    assert_eq!(world.psql(sum), MONEY.to_string(), "a reader of the copy saw half of a transaction");
}

#[test]
fn sync_is_killed_at_random_moments_while_the_application_writes() {
    let world = bank();
    world.tool(&["capture", "app.db"]).fine();
    world.run(&[]).ended(0);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| transfer(&world, &stop));
        let began = Instant::now();
        sync(&world).ended(0);
        let whole = began.elapsed();
        testkit::killed(whole, rounds(10), || start(&world, &["sync", "app.db"]), || bank_is_whole(&world));
        // Followed for a while: at every moment the sum is right.
        let mut follower = start(&world, &["sync", "app.db", "--follow"]);
        let until = Instant::now() + Duration::from_secs(3);
        while Instant::now() < until {
            bank_is_whole(&world);
        }
        follower.kill().expect("kill");
        follower.wait().expect("wait");
        stop.store(true, Ordering::SeqCst);
        assert!(writer.join().expect("the writer") > 100, "nothing was proven");
    });
    testkit::until("the last sync", Duration::from_secs(60), || match sync(&world) {
        ran if ran.status == Some(75) => Err(ran.stderr),
        ran if ran.status == Some(0) => Ok(()),
        ran => panic!("{ran:?}"),
    });
    for sql in [
        "select id, money, name from a order by id",
        "select id, money from b order by id",
        "select id, what from log order by id",
    ] {
        assert_eq!(world.sqlite(sql), world.psql(sql));
    }
}
