//! Damaged files: never status 0 when SQLite's own integrity_check finds damage, or rows are missing.

use crate::reading::{same_rows, shell};
use crate::world::World;
use std::collections::BTreeMap;
use std::process::Command;
use testkit::{Dice, rounds, seed};

/// Ten databases of different shapes and page sizes: a name, and the statements that make it.
fn shapes() -> Vec<(&'static str, String)> {
    let rows = |n: u32| {
        format!("with recursive c(i) as (select 1 union all select i + 1 from c where i < {n}) insert into t")
    };
    let texts = "select i, printf('%060d', i) from c;";
    vec![
        ("plain", format!("create table t (id integer primary key, x text); {} {texts}", rows(900))),
        (
            "small-pages",
            format!(
                "pragma page_size = 512; create table t (id integer primary key, x text); {} {texts}",
                rows(400)
            ),
        ),
        (
            "large-pages",
            format!(
                "pragma page_size = 65536; create table t (id integer primary key, x text); {} {texts}",
                rows(3000)
            ),
        ),
        (
            "indexed",
            format!(
                "create table t (id integer primary key, x text unique, n int); create index i on t (n, x); {} select i, 'x' || i, i % 7 from c;",
                rows(900)
            ),
        ),
        (
            "without-rowid",
            format!(
                "create table t (a int, b text, primary key (b, a)) without rowid; {} {texts}",
                rows(900)
            ),
        ),
        (
            "overflow",
            format!(
                "create table t (id integer primary key, x blob); {} select i, zeroblob(i * 150) from c;",
                rows(60)
            ),
        ),
        (
            "wide",
            format!(
                "create table t (a int, b real, c text, d blob, e numeric); {} select i, i / 3.0, 'é' || i, x'00ff', i * 1.5 from c;",
                rows(900)
            ),
        ),
        (
            "freed",
            format!(
                "create table t (id integer primary key, x text); {} {texts} delete from t where id % 3 = 0; create table gone (x); drop table gone;",
                rows(900)
            ),
        ),
        (
            "vacuumed",
            format!(
                "pragma auto_vacuum = 1; create table t (id integer primary key, x text); {} {texts}",
                rows(900)
            ),
        ),
        (
            "many",
            (0..40)
                .map(|n| {
                    format!("create table t{n} (id integer primary key, x text); insert into t{n} values (1, 'one'), (2, 'two');")
                })
                .collect(),
        ),
    ]
}

/// A damage as storage, copying and transfer do it; says which.
fn damage(bytes: &mut Vec<u8>, dice: &mut Dice) -> String {
    let size = bytes.len() as u64;
    let at = dice.below(size) as usize;
    let page = 512 << dice.below(4);
    let start = at / page * page;
    let end = (start + page).min(bytes.len());
    match dice.below(7) {
        0 => {
            bytes.truncate(at);
            format!("cut to {at} bytes")
        }
        1 => {
            bytes[start..end].fill(0);
            format!("zeros from {start} to {end}")
        }
        2 => {
            let to = (at + 1 + dice.below(64) as usize).min(bytes.len());
            bytes[at..to].iter_mut().for_each(|b| *b = dice.below(256) as u8);
            format!("noise from {at} to {to}")
        }
        3 => {
            bytes[at] ^= 1 << dice.below(8);
            format!("a bit of byte {at}")
        }
        4 => {
            let other = (dice.below(size) as usize) / page * page;
            let copy = bytes[start..end].to_vec();
            let room = copy.len().min(bytes.len() - other);
            bytes[other..other + room].copy_from_slice(&copy[..room]);
            format!("{start} copied over {other}, {room} bytes")
        }
        5 => {
            bytes.drain(start..end);
            format!("{start} to {end} left out")
        }
        // The head of a page holds what leads to all its rows.
        _ => {
            let at = start + dice.below(12) as usize;
            let at = at.min(bytes.len() - 1);
            bytes[at] = dice.below(256) as u8;
            format!("byte {at} of the head of a page")
        }
    }
}

#[test]
fn random_damages_are_never_called_whole() {
    let world = World::new();
    let mut dice = Dice::new(seed());
    let shapes = shapes();
    for (name, sql) in &shapes {
        let made = Command::new("sqlite3").arg(world.path(name)).arg(sql).output().expect("sqlite3");
        assert!(made.stderr.is_empty(), "{name}: {made:?}");
    }
    let mut ended = BTreeMap::new();
    for round in 0..rounds(25) {
        let (name, _) = &shapes[round % shapes.len()];
        let mut bytes = crate::world::bytes(&world.path(name));
        let what = damage(&mut bytes, &mut dice);
        std::fs::write(world.file(), bytes).expect("write");
        let ran = world.run(&["--schema", "copy"]);
        let told = format!("round {round} of seed {}: {name}, {what}: {ran:?}", seed());
        let checked = shell(&world.file(), "pragma integrity_check");
        if checked != "ok" {
            assert!(matches!(ran.status, Some(1..=5)), "{checked}\n{told}");
            // Status 3 tells what is missing; rows that nobody names are missing without a word.
            assert!(ran.status != Some(3) || named(&checked), "{checked}\n{told}");
        }
        if ran.status == Some(0) {
            as_many_rows(&world, name, &told);
            same_rows(&world, &world.file(), &told);
            world.run(&["--schema", "copy", "--undo"]).ended(0);
        }
        *ended.entry(ran.status).or_insert(0) += 1;
        world.psql("drop schema if exists copy cascade; drop schema if exists toban_undo cascade");
    }
    eprintln!("statuses and their rounds: {ended:?}");
}

/// Damage that lies in no page: a statement of the schema, or a value of another class than its column's.
fn named(checked: &str) -> bool {
    checked.contains("value in ")
        || checked.contains("malformed database schema")
        || checked.contains("never used")
}

/// As many rows as the unharmed file has: a changed byte of a value nobody can find, a missing row everybody must.
fn as_many_rows(world: &World, name: &str, told: &str) {
    let tables = shell(&world.path(name), "select name from sqlite_schema where type = 'table'");
    for table in tables.lines() {
        let whole = shell(&world.path(name), &format!("select count(*) from {table}"));
        let copied = world
            .psql(&format!("select case when to_regclass('copy.{table}') is not null then 1 else 0 end"));
        assert_eq!(copied, "1", "{table} is not there: {told}");
        assert_eq!(world.psql(&format!("select count(*) from copy.{table}")), whole, "{table}: {told}");
    }
}

#[test]
fn files_that_were_cut_off() {
    let world = World::of(
        "pragma page_size = 65536; create table t (id integer primary key, x text); insert into t values (1, 'a');",
    );
    let whole = crate::world::bytes(&world.file());
    assert_eq!(whole.len(), 131_072);
    for size in [1, 20, 99, 100, 600, 4096, 60_000, 65_536, 131_071] {
        std::fs::write(world.file(), &whole[..size]).expect("cut");
        for verb in ["run", "plan", "verify"] {
            let ran = world.tool(&[verb, "app.db"]);
            assert_eq!(ran.status, Some(5), "{verb} of {size} bytes: {ran:?}");
            assert!(ran.stderr.contains("it was cut off"), "{verb} of {size} bytes: {ran:?}");
        }
    }
    world.untouched();
    // What stands behind the last page is no part of the database.
    std::fs::write(world.file(), [&whole[..], b"more"].concat()).expect("write");
    world.run(&[]).ended(0);
}

/// SQLite reads a log up to the first damaged frame; the transactions behind it would be missing without a word.
#[test]
fn a_damaged_log_is_not_read_as_a_short_one() {
    let world = World::new();
    let db = rusqlite::Connection::open(world.path("live.db")).expect("open");
    db.execute_batch("pragma journal_mode = wal; pragma wal_autocheckpoint = 0; create table t (id integer primary key, x text)")
        .expect("begin");
    let copy = |log: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = crate::world::bytes(&world.path("live.db-wal"));
        log(&mut bytes);
        std::fs::copy(world.path("live.db"), world.file()).expect("copy");
        let _ = std::fs::remove_file(world.path("app.db-shm"));
        std::fs::write(world.path("app.db-wal"), bytes).expect("write");
    };
    for id in 0..20 {
        db.execute("insert into t values (?1, ?2)", (id, format!("{id:0>500}"))).expect("insert");
    }
    copy(&|_| {});
    world.run(&[]).ended(0);
    world.gives(&[("select count(*) from t", "20")]);
    world.run(&["--undo"]).ended(0);
    for (what, damage) in [
        ("a byte of the fifth frame", (|b: &mut Vec<u8>| b[32 + 4 * 4120 + 900] ^= 1) as fn(&mut Vec<u8>)),
        ("a byte of a frame's head", |b| b[32 + 4 * 4120 + 2] ^= 1),
        ("the header", |b| b[20] ^= 0xff),
        ("cut in the header", |b| b.truncate(20)),
    ] {
        copy(&damage);
        for verb in ["run", "verify"] {
            let ran = world.tool(&[verb, "app.db"]);
            assert!(
                ran.status == Some(5) && ran.stderr.contains("app.db-wal is damaged"),
                "{verb}, {what}: {ran:?}"
            );
        }
    }
    // What a program that died was writing is no transaction, and frames of an earlier round are none either.
    copy(&|b| b.truncate(b.len() - 700));
    world.run(&[]).ended(0);
    world.gives(&[("select count(*) from t", "19")]);
    world.run(&["--undo"]).ended(0);
    db.execute_batch("pragma wal_checkpoint(restart); insert into t values (20, 'after')")
        .expect("begin anew");
    copy(&|_| {});
    world.run(&[]).ended(0);
    world.gives(&[("select count(*) from t", "21")]);
}

#[test]
fn an_index_that_disagrees_with_its_table_is_damage() {
    let world = World::of(
        "create table t (id integer primary key, x text); create index i on t (x); insert into t values (1, 'a'), (2, 'b');",
    );
    // The table's page comes before the index's.
    let mut bytes = crate::world::bytes(&world.file());
    let page = 4096;
    let value = (page..2 * page).rev().find(|at| bytes[*at] == b'b').expect("the value");
    bytes[value] = b'c';
    std::fs::write(world.file(), bytes).expect("damage");
    let ran = world.run(&[]);
    ran.refused_in_a_line(5, "missing from index i");
    assert!(ran.stderr.contains("REINDEX"), "{ran:?}");
    world.untouched();
}

/// Rules that rows break, and indexes that only the application can order, are no damage.
#[test]
fn what_looks_like_damage_and_is_none() {
    let world = World::new();
    let db = rusqlite::Connection::open(world.file()).expect("open");
    db.create_collation("THEIRS", |a: &str, b: &str| a.to_lowercase().cmp(&b.to_lowercase()))
        .expect("collation");
    db.execute_batch(
        "create table n (a int not null, b int check (b > 0)); pragma ignore_check_constraints = on; insert into n values (1, -5);
         pragma writable_schema = on; insert into n values (2, 1); update sqlite_schema set sql = 'create table n (a int not null, b int not null check (b > 0))' where name = 'n';
         create table w (a text collate theirs primary key, b) without rowid; insert into w values ('a', 1), ('B', 2), ('c', 3);
         create table f (a int); insert into f values (1), (2); create index fi on f (abs(a)); create index ti on w (b, a collate theirs);
         update sqlite_schema set sql = 'create index fi on f (theirs(a))' where name = 'fi'",
    )
    .expect("make");
    drop(db);
    let ran = world.run(&[]);
    assert!(matches!(ran.status, Some(0 | 3)), "{ran:?}");
    world.gives(&[(
        "select (select count(*) from n), (select count(*) from w), (select count(*) from f)",
        "2|3|2",
    )]);
}
