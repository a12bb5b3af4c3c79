//! Databases as they are found: one odd object never keeps the rest away, and what does not arrive is named.

use crate::world::{World, outcome_of};
use rusqlite::Connection;

/// Statements that need what the sqlite3 shell has not: a function and a collation of the application.
fn by_application(world: &World, sql: &str) {
    let db = Connection::open(world.file()).expect("open");
    db.create_collation("THEIRS", |a: &str, b: &str| a.to_lowercase().cmp(&b.to_lowercase()))
        .expect("collation");
    db.execute_batch(sql).expect(sql);
}

#[test]
fn d15_names_that_postgresql_does_not_take() {
    let long = "n".repeat(70);
    let world = World::of(&format!(
        "create table t (xmin int, xmax int, ctid int, oid int, \"\" int, \"_\" int, \"{long}1\" int, \"{long}2\" int);
         insert into t values (1, 2, 3, 4, 5, 6, 7, 8); create index by_xmin on t (xmin, \"\");
         create table \"\" (x int); insert into \"\" values (9); create table pg_class (a int); insert into pg_class values (10);
         create view v as select xmin, a from t, pg_class; create table foo (a text primary key); create table foo_pkey (b text primary key);"
    ));
    let records = world.run(&[]).ended(0);
    assert_eq!(outcome_of(&records, "name", "t.xmin").0, "translated");
    world.gives(&[
        ("select xmin_, xmax_, ctid_, oid, __2, _ from t", "1|2|3|4|5|6"),
        ("select x from _", "9"),
        ("select xmin, a from public.v", "1|10"),
        ("select count(*) from pg_constraint where contype = 'p' and conrelid::regclass::text in ('foo', 'foo_pkey')", "2"),
    ]);
    world.verified();
}

#[test]
fn k14_collations_of_the_application_are_no_obstacle() {
    let world = World::new();
    by_application(
        &world,
        "create table w (a text collate theirs primary key, b) without rowid; insert into w values ('a', 1), ('B', 2);
         create table u (a text collate theirs unique); insert into u values ('x'), ('Y'); create index ui on u (a collate theirs desc)",
    );
    let records = world.tool(&["plan", "app.db", "--json"]).ended(0);
    assert!(outcome_of(&records, "index", "ui").1.contains("THEIRS"), "{records:#?}");
    world.run(&[]).ended(0);
    world.gives(&[
        ("select string_agg(a, ',' order by a collate \"C\") from w", "B,a"),
        ("select count(*) from u", "2"),
    ]);
    world.verified();
}

#[test]
fn d13_words_of_full_text_tables_arrive_and_indexes_do_not() {
    let world = World::of(
        "create virtual table f5 using fts5 (title, body); insert into f5 (rowid, title, body) values (7, 'one', 'words'), (9, 'two', null);
         create virtual table f4 using fts4 (a, tokenize=porter); insert into f4 values ('x');
         create table base (id integer primary key, body text); insert into base values (1, 'text');
         create virtual table over using fts5 (body, content=base, content_rowid=id); create virtual table bare using fts5 (b, content='');
         create virtual table boxes using rtree (id, x0, x1); insert into boxes values (1, 0, 1);",
    );
    let records = world.run(&[]).ended(3);
    for (name, is, words) in [
        ("f5", "translated", "plain table"),
        ("f4", "translated", "to_tsvector"),
        ("over", "skipped", "the table that holds them"),
        ("bare", "skipped", "without the words"),
        ("boxes", "translated", "boxes"),
    ] {
        let (found, why) = outcome_of(&records, "virtual table", name);
        assert!(found == is && why.contains(words), "{name}: {found} {why}");
    }
    world.gives(&[
        ("select string_agg(relname, ',' order by relname) from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace", "base,boxes,f4,f5"),
        ("select rowid, title, body from f5 order by 1", "7|one|words\n9|two|"),
        ("insert into f5 (title) values ('three') returning rowid", "10"),
    ]);
}

#[test]
fn v26_what_no_table_of_postgresql_can_hold_stays_behind_alone() {
    let columns = |n: u32, kind: &str| (0..n).map(|i| format!("c{i} {kind}")).collect::<Vec<_>>().join(", ");
    let world = World::of(&format!(
        "create table many ({}); insert into many (c0) values (1); create table most ({}); insert into most (c1599) values (5);
         create table fat ({}); insert into fat values ({}); create table child (id integer primary key, f int references fat (c0));
         create table t (x text); insert into t values ('whole'); create view seen as select c0 from fat;
         create index wide on most ({}); create unique index wider on most ({});",
        columns(1601, "int"),
        columns(1600, "int"),
        columns(1200, "int"),
        (0..1200).map(|i| (1_000_000_000_000_i64 + i).to_string()).collect::<Vec<_>>().join(", "),
        (0..33).map(|i| format!("c{i}")).collect::<Vec<_>>().join(", "),
        (0..40).map(|i| format!("c{i}")).collect::<Vec<_>>().join(", "),
    ));
    let ran = world.run(&[]);
    ran.refused_in_a_line(3, "all is there but the tables many, fat and ");
    let records = ran.records();
    assert!(outcome_of(&records, "table", "many").1.contains("1601 columns"));
    let fat = records.iter().find(|r| r["name"] == "fat" && r["outcome"] == "skipped").expect("fat is told");
    assert!(fat["why"].as_str().is_some_and(|w| w.contains("too wide")), "{fat}");
    assert!(outcome_of(&records, "index", "wide").1.contains("at most 32 columns"));
    world.gives(&[
        ("select x from t", "whole"),
        ("select c1599 from most", "5"),
        ("select count(*) from child", "0"),
    ]);
}

#[test]
fn d19_what_is_damaged_in_the_schema_alone_does_not_keep_the_rest_away() {
    let world = World::new();
    by_application(
        &world,
        "create table t (a int); insert into t values (1); create table u (a int, b int); insert into u values (1, 2); create view v as select a from t;
         pragma writable_schema = on; update sqlite_schema set sql = 'create view v as selekt' where name = 'v';
         update sqlite_schema set sql = 'create table u (a int, A int)' where name = 'u';
         insert into sqlite_schema values ('table', 'spatial', 'spatial', 0, 'create virtual table spatial using VirtualSpatialIndex()')",
    );
    let ran = world.run(&[]);
    ran.refused_in_a_line(3, "all is there but the tables u and 2 objects (virtual table spatial, view v)");
    let (found, why) = outcome_of(&ran.records(), "view", "v");
    assert!(found == "written to a file" && why.contains("damaged"), "{found} {why}");
    world.gives(&[("select a from t", "1")]);
}

#[test]
fn d9_generated_columns_that_postgresql_cannot_compute_are_plain() {
    let world = World::of(
        "create table t (a int, big as (a * 1000000000000), half as (a / 0) stored, f text as (a || 'x') unique); insert into t (a) values (1), (9223372036854775807), (-5);
         create table j (id integer primary key, d json, e json unique); insert into j values (1, '{\"a\":1,\"a\":2}', '{\"a\":1,\"a\":2}'), (2, '[1]', '[1]');
         create index je on j (d);",
    );
    world.run(&[]).ended(3);
    world.gives(&[
        ("select a, big::float8, half, f from t order by a", "-5|-5000000000000||-5x\n1|1000000000000||1x\n9223372036854775807|9.223372036854776e+30||9223372036854775807x"),
        ("select count(*) from pg_indexes where tablename = 'j'", "3"),
    ]);
    world.verified_but_for(3);
}

/// What `verify` says that the run left out.
fn outcome_in(records: &[serde_json::Value]) -> String {
    let own = records.iter().filter(|r| r["kind"] == "left-out");
    own.map(|r| format!("{} {}: {}\n", r["table"], r["column"], r["target"]).replace('"', "")).collect()
}

/// Unique in SQLite, but one value in PostgreSQL: the rows arrive, and the constraint that could not be made is told.
#[test]
fn k11_a_constraint_that_postgresql_refuses_is_told_and_the_rows_stay() {
    let world = World::of(
        "create table t (id integer primary key, d datetime unique); insert into t values (1, '2020-01-01T00:00:00Z'), (2, '2020-01-01T01:00:00+01:00');",
    );
    world.run(&[]).refused_in_a_line(3, "all is there but 1 objects (unique t.t_d_key)");
    world.gives(&[("select count(*), count(distinct d) from t", "2|1")]);
    let ran = world.tool(&["verify", "app.db", "--json"]);
    assert_eq!(ran.status, Some(3), "{ran:?}");
    let told = outcome_in(&ran.records());
    assert!(told.contains("t.t_d_key unique") && told.contains("Key (d)=("), "{told}");
}

#[test]
fn d2_d3_foreign_keys_of_every_kind() {
    let world = World::of(
        "create table p (x int, y int, primary key (x, y)); create table loose (x int); insert into p values (1, 2);
         create table c (a int, b int, l int references loose (x), w text references \"\", foreign key (b, a) references p (y, x), foreign key (a) references p);
         insert into c values (1, 2, 3, 'q'), (2, 1, null, null), (null, 1, null, null);
         create table mail (m text collate nocase unique); insert into mail values ('A'); create table box (m text references mail (m)); insert into box values ('a');
         create table self (id text primary key, up text references self (id) on delete set null); insert into self values ('a', 'a'), ('b', 'nobody');",
    );
    let records = world.run(&[]).ended(3);
    assert_eq!(outcome_of(&records, "foreign key", "c.c_b_a_fkey").1, "1 orphans in the source: 1, 2");
    assert!(outcome_of(&records, "foreign key", "c (a) → p").1.contains("columns"));
    world.gives(&[("select count(*) from pg_constraint where contype = 'f' and conrelid::regclass::text in ('c', 'self')", "2")]);
    world.verified_but_for(4);
}

#[test]
fn d20_a_file_that_is_really_encrypted_is_told_from_a_broken_one() {
    let world = World::of("create table t (a int); insert into t values (1);");
    let mut openssl = std::process::Command::new("openssl");
    openssl.args(["enc", "-aes-256-ctr", "-K", &"5a".repeat(32), "-iv", &"a5".repeat(16), "-in"]);
    let done = openssl.arg(world.file()).arg("-out").arg(world.path("locked.db")).output().expect("openssl");
    assert!(done.status.success(), "{done:?}");
    world.tool(&["run", "locked.db"]).refused_in_a_line(1, "not a SQLite database, or it is encrypted");
    world.untouched();
}

/// A transaction that was cut off has its journal beside the file; whoever rolls it back writes to the file.
#[test]
fn d17_a_hot_journal_is_not_read_over() {
    let world = World::of(
        "create table t (id integer primary key, x text); with recursive c(i) as (select 1 union all select i + 1 from c where i < 5000) insert into t select i, printf('%0100d', i) from c;",
    );
    let db = Connection::open(world.file()).expect("open");
    db.execute_batch("pragma cache_size = 5; begin; update t set x = 'cut off'").expect("write");
    let copy = |name: &str, to: &str| std::fs::copy(world.path(name), world.path(to)).expect("copy");
    copy("app.db", "hot.db");
    copy("app.db-journal", "hot.db-journal");
    world.tool(&["run", "hot.db"]).refused_in_a_line(1, "a transaction that was interrupted");
    let before = crate::world::bytes(&world.path("hot.db"));
    world.tool(&["plan", "hot.db"]).refused_in_a_line(1, "hint: its -journal must be rolled back first");
    assert!(before == crate::world::bytes(&world.path("hot.db")), "the source was written to");
    let rolled = std::process::Command::new("sqlite3")
        .arg(world.path("hot.db"))
        .arg("select count(*) from t where x = 'cut off'")
        .output();
    assert_eq!(rolled.expect("sqlite3").stdout, b"0\n");
    world.tool(&["run", "hot.db", "--json"]).ended(0);
}

/// An application of several files: each into a schema of its own.
#[test]
fn d16_several_files_become_several_schemas() {
    let world = World::of("create table t (id integer primary key); insert into t values (1);");
    let other = Connection::open(world.path("other.db")).expect("open");
    other
        .execute_batch("create table t (id integer primary key); insert into t values (2), (3);")
        .expect("make");
    drop(other);
    world.run(&["--schema", "main_file"]).ended(0);
    world.tool(&["run", "other.db", "--schema", "other_file", "--json"]).ended(0);
    world.gives(&[("select (select count(*) from main_file.t), (select count(*) from other_file.t)", "1|2")]);
    world.run(&["--undo", "--schema", "main_file"]).ended(0);
    world.gives(&[
        ("select count(*) from other_file.t", "2"),
        ("select count(*) from pg_namespace where nspname = 'main_file'", "0"),
    ]);
}

/// K10: nothing is resumed, so no rowid is remembered; the next run begins anew, whatever VACUUM did in between.
#[test]
fn k10_a_vacuum_between_two_runs_changes_nothing() {
    let world = World::of(
        "create table t (x text); insert into t values ('a'), ('b'), ('c'), ('d'); delete from t where x < 'c';",
    );
    world.run(&[]).ended(0);
    world.sqlite("vacuum");
    world.verified();
    world.run(&["--undo"]).ended(0);
    world.run(&[]).ended(0);
    world.gives(&[("select string_agg(x, ',' order by x) from t", "c,d")]);
}

/// Thousands of tables are put in place by one transaction, on a server as it comes.
#[test]
fn d21_thousands_of_tables_on_a_server_as_it_comes() {
    const TABLES: usize = 3000;
    let world = World::new();
    let db = Connection::open(world.file()).expect("open");
    db.execute_batch("begin").expect("begin");
    for n in 0..TABLES {
        let up = n / 2;
        db.execute_batch(&format!(
            "create table t{n} (id integer primary key, up int references t{up}, x text); create index i{n} on t{n} (x); insert into t{n} values (1, 1, 'row {n}')"
        ))
        .expect("create");
    }
    db.execute_batch("commit").expect("commit");
    drop(db);
    world.run(&[]).ended(0);
    world.gives(&[
        (
            "select count(*) from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace",
            "3000",
        ),
        ("select x from t2999", "row 2999"),
    ]);
    world.verified();
    world.run(&["--undo"]).ended(0);
    world.untouched();
}

#[test]
fn d21_too_few_locks_are_told_before_a_byte_is_copied() {
    let world = World::with(testkit::Pg::start(&["max_locks_per_transaction=10", "max_connections=10"]));
    let tables: String = (0..150).map(|n| format!("create table t{n} (id integer primary key);")).collect();
    world.sqlite(&tables);
    let ran = world.run(&[]);
    ran.refused_in_a_line(1, "300 locks at once");
    assert!(ran.stderr.contains("max_locks_per_transaction = "), "{ran:?}");
    world.run(&["--schema", "moved"]).ended(0);
    world.gives(&[("select count(*) from moved.t149", "0")]);
}
