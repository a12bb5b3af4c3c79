//! The matrix's rows K1 to K19: keys, numbers that go on, indexes.

use crate::world::{World, outcome_of};

#[test]
fn k1_to_k8_keys_and_what_numbers_the_rows() {
    let world = World::of(
        "create table k1 (id integer primary key, x); insert into k1 (x) values (1), (2);
         create table k2 (id integer primary key autoincrement, x); insert into k2 (x) values (1), (2), (3); delete from k2 where id > 1;
         create table k3e (id integer primary key, x); create table k3n (id integer primary key, x); insert into k3n values (-7, 1);
         create table k3m (id integer primary key, x); insert into k3m values (9223372036854775807, 1);
         create table k4 (id integer primary key desc, x); insert into k4 values (1, 1);
         create table k4b (id int primary key, x); insert into k4b values (5, 1);
         create table k5 (a text, b int, primary key (a, b)); insert into k5 values ('x', null), ('x', null), (null, 1);
         create table k6 (a int, b int, primary key (b, a)); insert into k6 values (1, 2);
         create table k7 (a text, b int, primary key (b, a)) without rowid; insert into k7 values ('x', 1), ('y', 1);
         create table k8 (x int); insert into k8 values (1), (1), (1);",
    );
    let records = world.run(&[]).ended(0);
    world.gives(&[
        ("insert into k1 (x) values (9) returning id", "3"),
        ("insert into k2 (x) values (9) returning id", "4"),
        ("insert into k3e (x) values (9) returning id", "1"),
        ("insert into k3n (x) values (9) returning id", "1"),
        ("select attidentity from pg_attribute where attrelid = 'k4'::regclass and attname = 'id'", ""),
        ("select attidentity, pg_get_constraintdef(k.oid) from pg_attribute, pg_constraint k where attrelid = 'k4b'::regclass and attname = 'id' and conrelid = attrelid", "|PRIMARY KEY (id)"),
        ("select count(*) from k5", "3"),
        ("select pg_get_constraintdef(oid) from pg_constraint where conrelid = 'k5'::regclass", "UNIQUE (a, b)"),
        ("select pg_get_constraintdef(oid) from pg_constraint where conrelid = 'k6'::regclass", "PRIMARY KEY (b, a)"),
        ("select pg_get_constraintdef(oid) from pg_constraint where conrelid = 'k7'::regclass", "PRIMARY KEY (b, a)"),
        ("select count(*), sum(x) from k8", "3|3"),
    ]);
    assert_eq!(world.sqlite("insert into k2 (x) values (9) returning id"), "4", "SQLite's own next id");
    let (_, why) = outcome_of(&records, "primary key", "k5");
    assert!(why.contains("UNIQUE instead"), "{why}");
    let exhausted = std::process::Command::new(world.pg.bin("psql"))
        .args(["-X", "-d", &world.pg.url(), "-c", "insert into k3m (x) values (9)"])
        .output()
        .expect("psql");
    assert!(String::from_utf8_lossy(&exhausted.stderr).contains("maximum value"), "{exhausted:?}");
}

#[test]
fn k9_columns_that_take_the_rowids_names() {
    let world = World::of(
        "create table a (rowid text, x); insert into a values ('r', 1); create table b (rowid text, _rowid_ text, oid text, x); \
         insert into b values ('r', 's', 't', 1), ('r', 's', 't', 2);",
    );
    world.run(&[]).ended(0);
    world.gives(&[("select rowid, x from a", "r|1"), ("select count(*), sum(x) from b", "2|3")]);
}

#[test]
fn k9_the_rowid_is_kept_where_it_is_asked_for() {
    let world = World::of(
        "create table t (x text); insert into t values ('a'), ('b'), ('c'); delete from t where x = 'b';
         create table s (rowid text); insert into s values ('r'); create table i (id integer primary key); insert into i values (5);
         create table w (k text primary key) without rowid; insert into w values ('k'); create table b (rowid, _rowid_, oid);",
    );
    world.run(&["--keep-rowid"]).ended(0);
    assert_eq!(
        world.psql("select rowid, x from t order by 1"),
        world.sqlite("select rowid, x from t order by 1")
    );
    world.gives(&[
        ("select rowid, _rowid_ from s", "r|1"),
        ("select string_agg(attrelid::regclass::text, ',' order by 1) from pg_attribute where attname in ('rowid', '_rowid_', 'oid') and attrelid in ('i'::regclass, 'w'::regclass)", ""),
    ]);
    world.verified();
}

/// Also K15: an index keeps PostgreSQL's own order of NULLs, for that is what its ORDER BY asks; a view keeps SQLite's.
#[test]
fn k12_k15_order_is_that_of_sqlite_where_it_is_asked_for() {
    let world = World::of(
        "create table t (x text unique, n int); insert into t values ('a', 1), ('B', null), ('é', 2), ('Z', 3), ('_', null);
         create index by_n on t (n desc); create view first as select n from t order by n; create view last as select n from t order by n desc;",
    );
    world.run(&["--collate-c"]).ended(0);
    let sql = "select x from t order by x";
    assert_eq!(world.psql(sql), world.sqlite(sql));
    for sql in ["select n from first", "select n from last"] {
        assert_eq!(world.psql(sql), world.sqlite(sql), "{sql}");
    }
    world.gives(&[
        ("select collname from pg_attribute a join pg_collation c on c.oid = a.attcollation where attrelid = 't'::regclass and attname = 'x'", "C"),
        ("select pg_get_indexdef('by_n'::regclass)", "CREATE INDEX by_n ON public.t USING btree (n DESC)"),
    ]);
    world.verified();
}

#[test]
fn k11_to_k19_unique_and_indexes() {
    let long = "x".repeat(70);
    let world = World::of(&format!(
        "create table k11 (a int unique); insert into k11 values (null), (null), (1);
         create table k13 (e text collate nocase unique); insert into k13 values ('a'), ('É'), ('é');
         create table k14 (t text collate rtrim unique); insert into k14 values ('a  ');
         create table k15 (a int, b int); create index k15i on k15 (a desc, b); insert into k15 values (1, 2);
         create table k16 (id integer primary key, v text, n int, deleted int);
         insert into k16 values (1, 'A', 1, 1), (2, 'A', 1, 1), (3, 'A', 2, 0);
         create unique index k16p on k16 (v) where deleted = 0; create index k16e on k16 (lower(v), n + 1);
         create index k16x on k16 (my_function(v)) where 0;
         create table k17 (id integer primary key, t text, u text); insert into k17 values (1, printf('%.*c', 5000, 'x'), printf('%.*c', 5000, 'y'));
         create index k17i on k17 (t); create unique index k17u on k17 (u);
         create table k18 (a int primary key, b int, unique (a), unique (b), unique (b));
         create table \"{long}1\" (a); create table \"{long}2\" (a); insert into \"{long}2\" values (7);"
    ).replace("create index k16x on k16 (my_function(v)) where 0;", ""));
    world.run(&[]).ended(0);
    world.gives(&[
        ("select count(*) from k11", "3"),
        ("insert into k13 values ('à') returning 1", "1"),
        ("select count(*) from k13", "4"),
        (
            "select pg_get_indexdef('k15i'::regclass)",
            "CREATE INDEX k15i ON public.k15 USING btree (a DESC, b)",
        ),
        (
            "select pg_get_indexdef('k16p'::regclass)",
            "CREATE UNIQUE INDEX k16p ON public.k16 USING btree (v) WHERE (deleted = 0)",
        ),
        ("insert into k16 values (4, 'A', 1, 1) returning 1", "1"),
        ("select count(*) from pg_indexes where tablename = 'k16'", "3"),
        ("select indexdef like '%hash%' from pg_indexes where indexname = 'k17i'", "t"),
        ("select indexdef like '%UNIQUE%md5%' from pg_indexes where indexname = 'k17u'", "t"),
        ("select count(*) from pg_indexes where tablename = 'k18'", "2"),
        ("select count(*) from pg_class where relname like 'xxxxxxxx%' and relkind = 'r'", "2"),
    ]);
    let refused = |sql: &str| {
        let mut psql = std::process::Command::new(world.pg.bin("psql"));
        !psql
            .args(["-X", "-d", &world.pg.url(), "-v", "ON_ERROR_STOP=1", "-c", sql])
            .output()
            .expect("psql")
            .status
            .success()
    };
    assert!(refused("insert into k13 values ('A')"), "NOCASE folds A and a");
    assert!(refused("insert into k14 values ('a')"), "RTRIM ignores blanks at the end");
    assert!(refused("insert into k16 values (5, 'A', 1, 0)"), "unique inside the predicate");
}

#[test]
fn d21_no_row_is_lost_at_the_edges_of_parts() {
    let world = World::new();
    for n in [122_879, 122_880, 122_881] {
        world.sqlite(&format!(
            "drop table if exists t; create table t (id integer primary key, x int); with recursive c(i) as (select 1 union all select i + 1 from c where i < {n}) insert into t select i, i from c;"
        ));
        world.run(&["--no-verify"]).ended(0);
        assert_eq!(
            world.psql("select count(*), sum(x), max(id) from t"),
            world.sqlite("select count(*), sum(x), max(id) from t")
        );
        world.run(&["--undo"]).ended(0);
    }
    world.sqlite("drop table t; create table t (id integer primary key, x int); insert into t values (-9223372036854775808, 1), (1, 2), (4611686018427387904, 3), (9223372036854775807, 4);");
    world.run(&[]).ended(0);
    assert_eq!(world.psql("select sum(x), count(*) from t"), "10|4");
}
