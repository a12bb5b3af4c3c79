//! What is written to PostgreSQL comes back into SQLite: a day of it, and what SQLite cannot hold is told before.

use crate::world::World;
use testkit::{Dice, rounds, seed};

fn switched(sql: &str, run: &[&str]) -> World {
    let world = World::of(sql);
    world.tool(&["capture", "app.db"]).fine();
    world.run(run).ended_with(0, "");
    world.tool(&["sync", "app.db"]).ended_with(0, "");
    world
}

fn cutover(world: &World, more: &[&str]) -> testkit::Ran {
    world.tool(&[&["cutover", "app.db", "--app-stopped"], more].concat())
}

/// Each kind of value that one side has and the other has not: told by its column before the change, and by its row when
/// it is met. The application stays, and nothing of the file is touched.
#[test]
fn r2_what_sqlite_cannot_hold_is_told_before_and_by_row() {
    let world = switched(
        "pragma journal_mode = wal;
         create table v (id integer primary key, price decimal(30, 20), digits text, at datetime, ms datetime, day date, real real,
           code string, doc json, words text, julian real);
         insert into v values (1, 1.5, '1.50', '2024-01-02T03:04:05Z', 1700000000000, '2024-01-02', 0.5, 'x1', '{\"a\": 1}', 'True', 2460311.5);
         insert into v values (2, 2.5, '2.50', '2024-01-02T03:04:06Z', 1700000000001, '2024-01-03', 0.25, 'x2', '[1]', 'False', 2460311.5);",
        &[
            "--cast", "v.price=numeric", "--cast", "v.digits=numeric", "--cast", "v.ms=epoch-ms", "--cast", "v.words=bool-words", "--cast", "v.julian=julian",
        ],
    );
    let told = cutover(&world, &["--dry-run", "--json"]).ended(0);
    let limits: Vec<String> = told
        .iter()
        .filter(|r| r["schema"] == "sqlite-to-pg.way-back/1")
        .map(|r| format!("{} {}", r["values"].as_str().expect("values"), r["columns"]))
        .collect();
    let limits = limits.join("\n");
    for (values, column) in [
        ("NaN", "v.real"),
        ("numbers with more digits than a double has", "v.price"),
        ("infinity, and years outside of 1 to 9999", "v.at"),
        ("infinity ", "v.ms"),
        ("times finer than a millisecond", "v.julian"),
        ("texts that SQLite stores as another number", "v.code"),
        ("a number that is the whole of a JSON value", "v.doc"),
    ] {
        let line =
            limits.lines().find(|l| l.starts_with(values)).unwrap_or_else(|| panic!("{values}: {limits}"));
        assert!(line.contains(column), "{line}");
    }
    let exact = limits.lines().find(|l| l.starts_with("numbers with more digits")).expect("the line");
    assert!(!exact.contains("v.digits"), "a text keeps all digits: {limits}");
    world.tool(&["status", "app.db"]).ended_with(0, "may not go back\tNaN: refused (");
    cutover(&world, &[]).ended_with(0, "");

    let file = world.sqlite("select * from v");
    let bad = [
        ("price", "0.12345678901234567890"),
        ("price", "'NaN'"),
        ("at", "'infinity'"),
        ("at", "'0044-03-15 00:00:00 BC'"),
        ("at", "'12024-01-01'"),
        ("ms", "'-infinity'"),
        ("day", "'infinity'"),
        ("real", "'NaN'"),
        ("code", "'007'"),
        ("doc", "'5'"),
        ("julian", "'2024-01-01 00:00:00.000001'"),
    ];
    for (at, (column, value)) in bad.iter().enumerate() {
        world.psql(&format!("insert into v (id, {column}) values ({}, {value})", at + 100));
    }
    for more in [&["--only-sync"][..], &[]] {
        let ran = world.tool(&[&["fallback", "app.db"], more].concat());
        let said = ran.refused(1, "11 rows cannot go back");
        for (at, (column, value)) in bad.iter().enumerate() {
            let line = format!("v.{column} of row {}: SQLite cannot hold ", at + 100);
            assert!(said.contains(&line), "{line} ({value}): {said}");
        }
        assert_eq!(world.sqlite("select * from v"), file, "nothing was written");
    }
    // Corrected in PostgreSQL, where the application still is; what it can hold comes in the form that the columns have.
    world.psql(
        "delete from v where id >= 105; update v set price = 100, at = null, ms = null where id >= 100;
         update v set price = 1.250, digits = 0.12345678901234567890, at = at + interval '1 s', ms = ms + interval '1 ms', day = day + 1, real = 'infinity',
           code = '7', doc = '{\"b\": 5}', words = not words, julian = julian + interval '12 hours' where id = 1",
    );
    world.tool(&["fallback", "app.db"]).ended_with(0, "");
    assert_eq!(
        world.sqlite("select price, digits, typeof(digits), at, ms, day, real, code, doc, words, julian from v where id = 1"),
        "1.25|0.12345678901234567890|text|2024-01-02T03:04:06Z|1700000000001|2024-01-03|Inf|7|{\"b\": 5}|False|2460312.0"
    );
    assert_eq!(world.sqlite("select count(*) from v"), "7");
}

/// A key that SQLite cannot hold was never in the file: that it is gone again is no hindrance.
#[test]
fn a_key_that_sqlite_cannot_hold_may_come_and_go() {
    let world = switched(
        "pragma journal_mode = wal; create table k (x real primary key not null, v text); insert into k values (0.5, 'a');",
        &[],
    );
    cutover(&world, &[]).ended_with(0, "");
    world.psql("insert into k values ('NaN', 'b')");
    world.tool(&["fallback", "app.db"]).refused(1, "k.x of row NaN: SQLite cannot hold NaN");
    world.psql("update k set x = 2 where x = 'NaN'");
    world.tool(&["fallback", "app.db"]).ended_with(0, "");
    assert_eq!(world.sqlite("select x, v from k"), "0.5|a\n2.0|b");
}

const DAY: &str = "pragma journal_mode = wal;
    create table person (id integer primary key autoincrement, name text unique, born date, seen datetime, score real, price decimal(10, 2), flag boolean, body blob, doc json);
    create table entry (a int not null, b text not null, v int unique, primary key (a, b)) without rowid;
    create table child (id integer primary key, person int references person on delete cascade, note text);
    create table loose (x int, y text);
    insert into person (name, born, seen, score, price, flag, body, doc) values ('first', '2000-01-01', '2024-01-02T03:04:05Z', 0.5, 12.25, 1, x'00ff', '{\"a\": 1}'),
      ('second', null, '2024-01-02T03:04:06Z', 1.25, 1.5, 0, null, null);
    insert into entry values (1, 'x', 1), (2, 'y', 2); insert into child values (1, 1, 'n'); insert into loose values (1, 'l'), (1, 'l');";

/// What both shells print alike.
const PRINTED: [(&str, &str); 4] = [
    (
        "select id, name, born, strftime('%s', seen), cast(score * 4 as int), cast(round(price * 100) as int), flag, hex(body), doc ->> 'n' from person order by id",
        "select id, name, born, floor(extract(epoch from seen))::bigint, (score * 4)::int, round(price * 100)::int, flag::int, upper(encode(body, 'hex')), doc ->> 'n' from person order by id",
    ),
    ("select a, b, v from entry order by a, b", "select a, b, v from entry order by a, b collate \"C\""),
    ("select id, person, note from child order by id", "select id, person, note from child order by id"),
    (
        "select x, y from loose order by x, y",
        "select x, y from loose order by x, y collate \"C\" nulls first",
    ),
];

#[track_caller]
fn same_day(world: &World, told: &str) {
    for (sqlite, psql) in PRINTED {
        assert_eq!(world.sqlite(sqlite), world.psql(psql), "{told}");
    }
}

/// What an application may do to PostgreSQL within a minute, in one transaction or several.
fn minute(dice: &mut Dice, at: usize, now: i64) -> String {
    let mut n = |end: u64| i64::try_from(dice.below(end)).expect("small");
    let (some, other) = (n(400), n(400));
    let word = ["é", "it''s", "", "日本", "%", "a b"][usize::try_from(n(6)).expect("small")];
    let clock = format!("to_timestamp({now})");
    match n(16) {
        0..=2 => format!(
            "insert into person (name, born, seen, score, price, flag, body, doc) select '{word}' || i || ' {now}', date '2024-02-28' + i, {clock} + i * interval '0.25 s', \
             i / 4.0, i / 100.0, i % 3 = 0, decode(lpad(to_hex(i), 4, '0'), 'hex'), jsonb_build_object('n', i, 's', '{word}') from generate_series(1, {}) i on conflict do nothing",
            n(9) + 1
        ),
        3 => format!(
            "insert into entry select i % 20, 'b' || i % 7, i from generate_series({some}, {some} + 9) i on conflict do nothing; \
             insert into entry values ({0}, 'b1', null) on conflict (a, b) do update set v = null; \
             delete from entry where a = {0} + 40; update entry set a = a + 40 where a = {0}",
            n(20)
        ),
        4 => format!(
            "update person set id = id + 100000 where id = {some} and not exists (select from child where person = {some}); update person set name = name || '{word}' where id between {some} and {some} + 5"
        ),
        5 => format!(
            "begin; create temporary table changed on commit drop as select * from entry where v in ({some}, {some} + 1); \
             update entry set v = null where v in ({some}, {some} + 1); update entry e set v = 2 * {some} + 1 - c.v from changed c where (e.a, e.b) = (c.a, c.b); \
             savepoint s; delete from entry; rollback to s; commit"
        ),
        6 => format!("delete from person where id between {some} and {some} + 3"),
        7 => format!(
            "copy loose from stdin;\n{some}\t{word}\n{other}\t\\N\n\\.\nupdate loose set y = y || '!' where x = {some}"
        ),
        8 => {
            format!("copy child (id, person, note) from stdin with (format csv);\n{at}000,,\"{word}\"\n\\.\n")
        }
        9 => "truncate loose; insert into loose values (7, 'after')".into(),
        10 if n(4) == 0 => "truncate person, child".into(),
        11 => format!(
            "with gone as (delete from entry where a = {0} returning a, b, v) insert into entry select a + 1000, b || '{word}', v from gone on conflict do nothing",
            n(20)
        ),
        12 => format!(
            "merge into entry e using (select {0} as a, 'b1' as b) s on e.a = s.a and e.b = s.b when matched then update set v = null \
             when not matched then insert values (s.a, s.b, null)",
            n(30)
        ),
        13 => format!(
            "begin; insert into loose values ({some}, 'never'); update person set flag = not flag; rollback; update person set flag = not flag where id % 7 = {0}",
            n(7)
        ),
        14 => format!(
            "set timezone = 'Asia/Tokyo'; insert into person (name, seen, born) values ('zone {now}', {clock}, ({clock})::date) on conflict do nothing"
        ),
        _ => format!(
            "insert into child (id, person, note) select {at}000 + row_number() over (order by id), id, '{word}' from person order by id limit 3; \
             update child set note = '{word}', person = null where id % 5 = {0}",
            n(5)
        ),
    }
}

/// A day in PostgreSQL, of a thousand and some minutes, which comes back every hour; clocks jump.
#[test]
fn r1_a_day_of_writes_goes_back() {
    let world = switched(DAY, &[]);
    cutover(&world, &[]).ended_with(0, "");
    let mut dice = Dice::new(seed());
    let minutes = rounds(72);
    let hour = (minutes / 24).max(1);
    let mut now = 1_700_000_000_i64;
    for at in 1..=minutes {
        now += match dice.index(20) {
            0 => -86_400 * 400,
            1 => 86_400 * 3650,
            _ => 60,
        };
        now = now.clamp(0, 4_000_000_000);
        world.psql(&minute(&mut dice, at, now));
        if at % hour == 0 {
            let told = format!("minute {at}");
            let ran = world.tool(&["fallback", "app.db", "--only-sync"]);
            assert_eq!(ran.status, Some(0), "{told}: {ran:?}");
            same_day(&world, &told);
        }
    }
    world.tool(&["fallback", "app.db"]).ended_with(0, "");
    same_day(&world, "at the end of the day");
    assert_eq!(world.sqlite("pragma integrity_check; pragma foreign_key_check"), "ok");
    // The application goes on there, and its numbers do too.
    world.sqlite("insert into person (name) values ('in SQLite')");
    world.tool(&["sync", "app.db"]).ended_with(0, "");
    same_day(&world, "once it is followed again");
}
