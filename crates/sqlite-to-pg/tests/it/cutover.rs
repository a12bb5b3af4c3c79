//! `cutover` and `fallback`: in the window nothing is lost, whatever fails leaves the application where it was, and the way
//! back brings everything.

use crate::follow::{application, same_rows, sync, write_some};
use crate::workload::SCHEMA;
use crate::world::World;
use rusqlite::Connection;
use serde_json::Value;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use testkit::{Dice, rounds, seed};

fn cutover(world: &World, more: &[&str]) -> testkit::Ran {
    // Where the tests run in a container others cannot be seen.
    world.tool(&[&["cutover", "app.db", "--json", "--app-stopped"], more].concat())
}

fn fallback(world: &World, more: &[&str]) -> testkit::Ran {
    world.tool(&[&["fallback", "app.db", "--json"], more].concat())
}

/// A file whose copy follows it.
fn followed(sql: &str) -> World {
    let world = World::of(sql);
    world.tool(&["capture", "app.db"]).fine();
    let ran = world.run(&[]);
    assert!(matches!(ran.status, Some(0 | 3)), "{ran:?}");
    sync(&world).ended(0);
    world
}

fn phases(records: &[Value]) -> Vec<&str> {
    records.iter().filter_map(|r| r["phase"].as_str()).collect()
}

/// What a write to the file says.
fn write_error(world: &World, sql: &str) -> String {
    application(world).execute_batch(sql).map_or_else(|e| e.to_string(), |()| String::new())
}

/// What PostgreSQL says against a statement.
fn refusal(world: &World, sql: &str) -> String {
    let mut client =
        postgres::Client::connect(&world.pg.conninfo("postgres"), postgres::NoTls).expect("connect");
    let e = client.batch_execute(sql).expect_err("it is refused");
    e.as_db_error().map_or_else(|| e.to_string(), |e| e.message().to_string())
}

const PLAIN: &str = "pragma journal_mode = wal; create table p (id integer primary key autoincrement, u text unique);
    create table c (id integer primary key, p int not null references p on delete cascade, v); create table k (x int, y text);
    insert into p (u) values ('a'), ('b'), ('c'); insert into c values (1, 1, 1), (2, 1, 2), (3, 3, 3); insert into k values (1, 'x'), (1, 'x');";

#[test]
fn the_application_changes_over_with_everything() {
    let world = followed(PLAIN);
    world.sqlite("insert into p (u) values ('d'); delete from p where u = 'd'; update p set u = 'B' where id = 2; insert into k values (2, 'z'); delete from c where id = 2;");
    let said = cutover(&world, &["--dry-run"]).ended(0);
    assert!(phases(&said).contains(&"forecast: window"), "{said:?}");
    assert_eq!(write_error(&world, "insert into k values (3, 'after the forecast')"), "");
    cutover(&world, &["--max-window", "0"]).refused(4, "no-go");
    assert_eq!(write_error(&world, "insert into k values (4, 'after the no-go')"), "");
    let said = cutover(
        &world,
        &[
            "--stop-command",
            "touch stopped",
            "--switch-command",
            "test -f stopped && touch switched",
            "--probe",
            "test -f switched",
        ],
    )
    .ended(0);
    for phase in [
        "compare everything",
        "stop command",
        "fence",
        "last changes",
        "copy a table again",
        "compare",
        "switch",
    ] {
        assert!(phases(&said).contains(&phase), "{phase}: {said:?}");
    }
    world.gives(&[
        ("select string_agg(u, ',' order by id) from p", "a,B,c"),
        ("select count(*), max(y) from k", "5|z"),
        ("insert into p (u) values ('e') returning id", "5"),
        ("select count(*) from pg_constraint where contype = 'f' and convalidated", "1"),
        ("delete from p where id = 1; select count(*) from c", "1"),
    ]);
    // Every form of writing is refused, DELETE of all rows too, and each table.
    for sql in [
        "insert into p (u) values ('x')",
        "insert or replace into p values (1, 'x')",
        "insert or ignore into p values (1, 'x')",
        "insert into p values (1, 'x') on conflict do nothing",
        "update or replace p set id = 1",
        "delete from c",
        "delete from k",
    ] {
        assert!(write_error(&world, sql).contains("moved to PostgreSQL"), "{sql}");
    }
    sync(&world).refused(2, "it is switched");
    cutover(&world, &["--abort"]).refused(2, "would be lost");
    world.tool(&["status", "app.db"]).ended_with(0, "switched");
    cutover(&world, &["--finish"]).ended(0);
    world.gives(&[
        ("select count(*) from pg_namespace where nspname = 'toban_live'", "0"),
        ("select count(*) from pg_trigger where not tgisinternal", "0"),
    ]);
    // What is left in the file's log is older than what PostgreSQL has by now.
    world.psql("update p set u = 'newer' where id = 2");
    for verb in ["sync", "cutover", "fallback"] {
        world.tool(&[verb, "app.db"]).refused(2, "PostgreSQL is what counts");
    }
    world.gives(&[("select u from p where id = 2", "newer")]);
    world.tool(&["status", "app.db"]).ended_with(0, "copy\tfinished");
    world.tool(&["capture", "app.db", "--stop"]).fine();
    assert_eq!(world.sqlite("select count(*) from sqlite_schema where name like '%toban%'"), "0");
}

#[test]
fn what_fails_before_the_switch_leaves_the_application_where_it_was() {
    let world = followed(PLAIN);
    // A writer that keeps its lock.
    let holder = application(&world);
    holder.execute_batch("begin immediate; insert into k values (9, 'held')").expect("lock");
    cutover(&world, &["--lock-wait", "1"]).refused(75, "app.db");
    holder.execute_batch("commit").expect("commit");
    assert_eq!(write_error(&world, "insert into k values (10, 'on')"), "");

    cutover(&world, &["--stop-command", "exit 3"]).refused(1, "the stop command");
    cutover(&world, &["--switch-command", "exit 3"]).refused(1, "takes writes again");
    assert_eq!(write_error(&world, "insert into k values (11, 'on')"), "");
    // Whoever is switched already must not write to a database that nobody follows.
    assert!(refusal(&world, "insert into k values (1, 'x')").contains("moved back to SQLite"));
    cutover(&world, &["--probe", "exit 1", "--probe-wait", "0"]).refused(1, "takes writes again");
    assert_eq!(write_error(&world, "insert into c values (9, 2, 4)"), "");
    sync(&world).ended(0);

    // Somebody changes the copy: a row that was not touched, and one that was.
    world.psql("update p set u = 'wrong' where id = 3");
    cutover(&world, &[]).refused(4, "differs before the fence");
    assert_eq!(write_error(&world, "update p set u = u || '!' where id = 3"), "");
    sync(&world).ended(0);
    // In the window: the row that the copy has too many has a key that the file's last changes name.
    let url = world.pg.url();
    let file = world.file().display().to_string();
    let spoil = format!(
        "sqlite3 '{file}' \"insert into c values (77, 2, 1)\" && '{}' -qX -d '{url}' -c \"create function bad() returns trigger \
         language plpgsql as 'begin new.v = 9; return new; end'; create trigger bad before insert on c for each row execute function bad()\"",
        world.pg.bin("psql").display()
    );
    cutover(&world, &["--stop-command", &spoil]).refused(4, "the copy differs");
    world.psql("drop function bad cascade");
    assert_eq!(write_error(&world, "insert into k values (12, 'on')"), "");
}

/// A part of the application is switched, and has not committed yet when the rest fails.
#[test]
fn a_write_that_is_not_committed_yet_is_not_lost() {
    let world = followed(PLAIN);
    let url = world.pg.url();
    let psql = format!("'{}' -qX -d '{url}'", world.pg.bin("psql").display());
    let switch = format!(
        "{psql} -c begin -c \"insert into k values (50, 'there')\" -c '\\! touch began' -c 'select pg_sleep(1.5)' -c commit >/dev/null & \
         while [ ! -e began ]; do sleep 0.05; done; exit 3"
    );
    cutover(&world, &["--switch-command", &switch]).refused(1, "rows were written to PostgreSQL already");
    assert!(write_error(&world, "insert into k values (51, 'x')").contains("moved to PostgreSQL"));
    cutover(&world, &["--abort"]).refused(2, "would be lost");
    world.psql("insert into k values (52, 'goes on')");
    cutover(&world, &[]).ended(0);
    fallback(&world, &[]).ended(0);
    assert_eq!(world.sqlite("select group_concat(x) from k where x >= 50"), "50,52");
}

/// Applied entries are deleted: those that another copy has applied are not there for this one.
#[test]
fn two_copies_of_one_file_do_not_lose_each_other_s_entries() {
    let world = followed(PLAIN);
    world.run(&["--schema", "other"]).ended(0);
    let other = || world.tool(&["sync", "app.db", "--schema", "other", "--json"]);
    other().ended(0);
    for x in 20..23 {
        world.sqlite(&format!("insert into p (u) values ('both {x}')"));
        sync(&world).ended(0);
        if x == 20 {
            other().ended(0);
        }
    }
    other().refused(4, "were applied to another copy");
    world.gives(&[
        ("select count(*) from other.p where u like 'both%'", "1"),
        ("select count(*) from p where u like 'both%'", "3"),
    ]);
}

/// Partitions have triggers of their own.
#[test]
fn the_fence_of_postgresql_is_around_partitions_too() {
    let world = World::of(
        "pragma journal_mode = wal; create table t (id integer primary key, v text); insert into t values (1, 'a'), (200, 'b');",
    );
    world.psql(
        "create table t (id bigint primary key, v text) partition by range (id);
         create table t_low partition of t for values from (0) to (100); create table t_high partition of t for values from (100) to (1000);",
    );
    world.tool(&["capture", "app.db"]).fine();
    world.run(&["--existing", "refuse"]).ended(0);
    sync(&world).ended(0);
    cutover(&world, &[]).ended(0);
    world.psql("insert into t_low values (2, 'into one'); insert into t values (300, 'into all')");
    fallback(&world, &[]).ended(0);
    assert_eq!(world.sqlite("select group_concat(id) from (select id from t order by id)"), "1,2,200,300");
    for relation in ["t", "t_low", "t_high"] {
        assert!(
            refusal(&world, &format!("delete from {relation}")).contains("moved back to SQLite"),
            "{relation}"
        );
    }
}

#[test]
fn the_way_back_brings_everything_and_can_be_gone_again() {
    let world = followed(
        "pragma journal_mode = wal;
         create table e (id integer primary key, at datetime, ms datetime, flag boolean, price decimal(10,2), body blob, doc json, real real, day date, any);
         create table never (id integer primary key autoincrement, v text);
         create trigger e_seen after insert on e begin insert into seen values (new.id); end; create table seen (id int);
         create table t (id integer primary key autoincrement, u text unique); insert into t (u) values ('a'), ('b'), ('c');
         insert into e values (1, '2024-01-02T03:04:05.000Z', 1700000000000, 1, 12.5, x'00ff', '{\"a\": 1}', 0.1, '2024-01-02', 'x'),
           (2, '2024-01-02T03:04:05.250Z', 1700000000500, 0, 12, null, null, null, null, null);",
    );
    let trip = |first: i64| {
        cutover(&world, &[]).ended(0);
        world.psql(&format!(
            "insert into e select {first} + i, '2025-06-07 08:09:10.5+00', '2025-06-07 08:09:10.5+00', i % 2 = 0, 0.25 * i, '\\x0102', '[1, 2]', i / 7.0, '2025-06-07', 'new' from generate_series(1, 50) i;
             update e set flag = not flag where id = 1; delete from e where id = 2; update t set id = id + {first} where u = 'a'; insert into t (u) values ('n{first}');
             begin; update t set u = 'q' where u = 'b'; update t set u = 'b' where u = 'c'; update t set u = 'c' where u = 'q'; commit;
             copy t from stdin;
600{first}\tcopied{first}
\\.
"
        ));
        fallback(&world, &["--only-sync"]).ended(0);
        assert!(write_error(&world, "delete from e").contains("moved to PostgreSQL"));
        world.psql("truncate seen; insert into seen values (5), (5)");
        world.psql("insert into never (v) values ('gone'); delete from never");
        fallback(&world, &["--switch-command", "exit 3"]).refused(1, "the switch command");
        fallback(&world, &["--switch-command", "touch back"]).ended(0);
        assert!(world.path("back").exists());
        for sql in [
            "select id, u from t order by id",
            "select count(*), sum(id), max(flag) from (select id, flag + 0 as flag from e) s",
            "select id from seen order by id",
        ] {
            assert_eq!(world.sqlite(sql), world.psql(&sql.replace("flag + 0", "flag::int")), "{sql}");
        }
        let new = format!(
            "select at, ms, typeof(ms), price, typeof(price), hex(body), doc, day, typeof(flag) from e where id = {first} + 1"
        );
        assert_eq!(
            world.sqlite(&new),
            "2025-06-07T08:09:10.500Z|1749283750500|integer|0.25|real|0102|[1, 2]|2025-06-07|integer"
        );
        let numbered = world.sqlite("select seq from sqlite_sequence where name = 'never'");
        assert_eq!(
            numbered,
            if first == 1000 { "1" } else { "2" },
            "a number of a deleted row is not given again"
        );
        let refused = refusal(&world, "insert into t (u) values ('late')");
        assert!(refused.contains("moved back to SQLite"), "{refused}");
        assert_eq!(write_error(&world, &format!("insert into t (u) values ('after{first}')")), "");
    };
    trip(1000);
    // Again, with what was written to SQLite in between.
    sync(&world).ended(0);
    trip(2000);
    // What SQLite cannot hold is named, and the application stays.
    cutover(&world, &[]).ended(0);
    world.psql("update e set real = 'NaN' where id = 1");
    fallback(&world, &[]).refused(1, "e.real of row 1: SQLite cannot hold NaN");
    world.psql("update e set real = 1 where id = 1");
    fallback(&world, &[]).ended(0);
}

/// What counts as the application's database right now takes the write; exactly one does.
fn write_somewhere(world: &World, dice: &mut Dice) {
    let value = dice.below(1 << 40);
    let sqlite = write_error(world, &format!("insert into k values ({}, 'w')", value % 100_000));
    let refused = sqlite.contains("moved to PostgreSQL");
    assert!(sqlite.is_empty() || refused || sqlite.contains("locked"), "{sqlite}");
}

#[test]
fn cutover_is_killed_at_random_moments() {
    let mut dice = Dice::new(seed());
    let world = followed(&format!("pragma journal_mode = wal; {SCHEMA}; create table k (x int, y text);"));
    let began = Instant::now();
    cutover(&world, &[]).ended(0);
    let whole = began.elapsed();
    fallback(&world, &[]).ended(0);
    let start = || {
        let mut tool = world.command(&["cutover", "app.db", "--app-stopped"]);
        tool.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start")
    };
    let mut other = Dice::new(seed());
    testkit::killed(whole, rounds(10), start, || {
        write_somewhere(&world, &mut dice);
        let again = |args: &[&str]| {
            testkit::until("the rerun", Duration::from_secs(60), || match world.tool(args) {
                ran if ran.status == Some(75) => Err(ran.stderr),
                ran if ran.status == Some(0) => Ok(()),
                ran => panic!("{ran:?}"),
            });
        };
        // Some are taken back, the others go on.
        if other.index(3) == 0 {
            again(&["cutover", "app.db", "--abort"]);
            assert_eq!(write_error(&world, "insert into k values (1, 'taken back')"), "");
        }
        again(&["cutover", "app.db", "--app-stopped"]);
        same_rows(&world, "after a cutover that was killed");
        assert!(write_error(&world, "insert into k values (1, 'late')").contains("moved to PostgreSQL"));
        assert_eq!(
            world.sqlite("select count(*), sum(x) from k"),
            world.psql("select count(*), sum(x) from k"),
            "a row that SQLite took is not in PostgreSQL"
        );
        world.psql("insert into k values (5, 'in PostgreSQL'); update top set name = 'there'");
        again(&["fallback", "app.db"]);
        same_rows(&world, "after a fallback");
        let db: Connection = application(&world);
        write_some(&db, &mut dice, 10);
        sync(&world).ended(0);
    });
}

/// Writes are blocked for a short time, and every write that the file took is in PostgreSQL.
#[test]
fn the_window_is_short_while_the_application_writes() {
    let world = followed(
        "pragma journal_mode = wal; create table b (id integer primary key, n int, pad text);
         with recursive c(i) as (select 1 union all select i + 1 from c where i < 100000) insert into b select i, 0, printf('%0100d', i) from c;",
    );
    let stop = AtomicBool::new(false);
    let (taken, blocked) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let (db, mut dice, mut taken) = (application(&world), Dice::new(seed()), 0);
            let mut since = Instant::now();
            while !stop.load(Ordering::SeqCst) {
                let id = dice.below(100_000) + 1;
                match db.execute_batch(&format!("update b set n = n + 1 where id = {id}")) {
                    Ok(()) => {
                        taken += 1;
                        since = Instant::now();
                    }
                    Err(e) => assert!(e.to_string().contains("moved to PostgreSQL"), "{e}"),
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            (taken, since)
        });
        std::thread::sleep(Duration::from_millis(500));
        cutover(&world, &["--switch-command", "date +%s%N > switched"]).ended(0);
        let end = Instant::now();
        stop.store(true, Ordering::SeqCst);
        let (taken, last) = writer.join().expect("the writer");
        (taken, end.duration_since(last))
    });
    assert!(taken > 50, "{taken}");
    assert_eq!(world.psql("select sum(n) from b"), taken.to_string());
    eprintln!("{taken} writes; blocked for {blocked:?}");
    assert!(blocked < Duration::from_secs(10), "{blocked:?}");
}

#[test]
fn a_rehearsal_leaves_nothing_behind() {
    let world = followed(PLAIN);
    world.sqlite("insert into p (u) values ('d')");
    let there = "select (select count(*) from pg_class where relnamespace::regnamespace::text !~ '^pg_') || '|' || (select count(*) from toban_undo.step) || '|' || (select count(*) from p)";
    let before = (world.psql(there), world.sqlite("select group_concat(sql) from sqlite_schema"));
    let said = cutover(&world, &["--rehearse"]).ended(0);
    assert_eq!(phases(&said).iter().filter(|p| **p == "switch").count(), 3, "{said:?}");
    assert_eq!((world.psql(there), world.sqlite("select group_concat(sql) from sqlite_schema")), before);
    assert_eq!(world.sqlite("select count(*) from p"), "4");
    sync(&world).ended(0);
}

#[test]
fn every_fault_in_the_copy_is_found_before_the_switch() {
    let world = followed(
        "pragma journal_mode = wal; create table f (id integer primary key, n int, t text, at datetime, flag boolean);
         with recursive c(i) as (select 1 union all select i + 1 from c where i < 200)
         insert into f select i, i * 7, 'text ' || i, '2024-01-02T03:04:05Z', i % 2 from c;",
    );
    let (mut dice, mut id) = (Dice::new(seed()), 2);
    for round in 0..rounds(25) {
        // Not the first row, which the application changes below, nor the last one's, which the log makes right still.
        id = (id - 2 + 1 + dice.below(198)) % 199 + 2;
        let fault = match dice.index(7) {
            0 => format!("update f set n = n + 1 where id = {id}"),
            1 => format!("update f set t = t || ' ' where id = {id}"),
            2 => format!("update f set at = at + interval '9 hours' where id = {id}"),
            3 => format!("update f set flag = not flag where id = {id}"),
            4 => format!("delete from f where id = {id}"),
            5 => format!("insert into f select id + 1000, n, t, at, flag from f where id = {id}"),
            _ => format!("update f set t = null where id = {id}"),
        };
        world.psql(&fault);
        let ran = cutover(&world, &[]);
        assert_eq!(ran.status, Some(4), "round {round} of seed {}, {fault}: {ran:?}", seed());
        assert!(ran.stderr.contains("differs before the fence"), "{fault}: {ran:?}");
        assert_eq!(write_error(&world, "update f set n = n where id = 1"), "", "the application goes on");
        // A key that the log names is made right.
        world.sqlite(&format!("update f set n = n where id = {id}; insert into f (id) values ({id} + 1000); delete from f where id > 1000;"));
    }
    cutover(&world, &[]).ended(0);
}
