//! The matrix's rows D1 to D20: constraints, defaults, views, triggers, what does not move. D19 and D20 are in `bad`.

use crate::world::{World, outcome_of};

#[test]
fn d1_to_d5_foreign_keys() {
    let world = World::of(
        "create table p (a int, b int, primary key (a, b)); insert into p values (1, 1);
         create table q (id integer primary key, name text); insert into q values (1, 'x');
         create table clean (id integer primary key, q_id int references q on delete set null on update cascade, up int references clean);
         insert into clean values (1, 1, null), (2, null, 1);
         create table orphaned (id integer primary key, q_id int references q deferrable initially deferred); insert into orphaned values (1, 1), (2, 99), (3, 98);
         create table two (a int, b int, foreign key (a, b) references p (a, b)); insert into two values (1, 1);
         create table nowhere (x int references missing); create table loose (x text references q (name)); insert into loose values ('x');
         create table typed (q text references q (id)); insert into typed values ('abc');
         create table c1 (id integer primary key, o int references c2); create table c2 (id integer primary key, o int references c1);",
    );
    let records = world.run(&[]).ended(3);
    let (is, why) = outcome_of(&records, "foreign key", "orphaned.orphaned_q_id_fkey");
    assert_eq!((is.as_str(), why.as_str()), ("not valid", "2 orphans in the source: 2; 3"));
    assert_eq!(world.sqlite("pragma foreign_key_check(orphaned)").lines().count(), 2);
    for (name, words) in [
        ("nowhere (x) → missing", "does not exist"),
        ("loose (x) → q", "not unique"),
        ("typed (q) → q", "typed"),
    ] {
        let found = records.iter().find(|r| r["kind"] == "foreign key" && r["name"] == name);
        let found = found.unwrap_or_else(|| panic!("{name} is not told: {records:?}"));
        assert!(
            found["outcome"] == "skipped"
                && (words == "typed" || found["why"].as_str().unwrap_or("").contains(words)),
            "{found}"
        );
    }
    world.gives(&[
        ("select pg_get_constraintdef(oid) from pg_constraint where conrelid = 'clean'::regclass and conname like '%q_id%'", "FOREIGN KEY (q_id) REFERENCES q(id) ON UPDATE CASCADE ON DELETE SET NULL"),
        ("select condeferred, convalidated from pg_constraint where conrelid = 'orphaned'::regclass and contype = 'f'", "t|f"),
        ("select pg_get_constraintdef(oid) from pg_constraint where conrelid = 'two'::regclass", "FOREIGN KEY (a, b) REFERENCES p(a, b)"),
        ("select count(*) from pg_constraint where contype = 'f' and convalidated and conrelid in ('c1'::regclass, 'c2'::regclass)", "2"),
        ("select count(*) from orphaned", "3"),
    ]);
}

#[test]
fn d6_and_d7_checks_and_not_null() {
    let world = World::of(
        "create table t (id integer primary key, a int check (a > 0), b text check (b glob '[a-z]*'), c int check (typeof(c) = 'integer'), d text check (length(d) < 5 and d <> 'no'),
           e int check (sha3(e)), constraint named check (a < 100 or b = 'x'));",
    );
    let records = world.run(&[]).records();
    let (is, _) = outcome_of(&records, "check", "t.named");
    assert_eq!(is, "translated");
    let skipped: Vec<&str> = records
        .iter()
        .filter(|r| r["kind"] == "check" && r["outcome"] == "skipped")
        .filter_map(|r| r["why"].as_str())
        .collect();
    assert_eq!(skipped.len(), 1, "{records:#?}");
    assert!(skipped[0].contains("sha3"), "{skipped:?}");
    world.gives(&[(
        "select count(*) from pg_constraint where conrelid = 't'::regclass and contype = 'c'",
        "5",
    )]);
}

#[test]
fn d6_a_row_that_breaks_its_check_stays_and_the_check_is_not_valid() {
    let world = World::of(
        "create table t (id integer primary key, a int check (a > 0)); pragma ignore_check_constraints = on; insert into t values (1, 5), (2, -1);
         create table n (id integer primary key, a int); insert into n values (1, null);
         pragma writable_schema = on; update sqlite_schema set sql = 'create table n (id integer primary key, a int not null)' where name = 'n';",
    );
    let records = world.run(&[]).ended(3);
    assert_eq!(
        outcome_of(&records, "check", "t.t_check"),
        ("not valid".into(), "1 rows of the source break it".into())
    );
    assert!(outcome_of(&records, "not null", "n.a").1.contains("stays nullable"));
    world.gives(&[("select count(*) from t", "2"), ("select count(*) from n where a is null", "1")]);
}

#[test]
fn d8_defaults_give_the_same_on_both_sides() {
    let world = World::of(
        "create table t (id integer primary key, a int default 5, b int default -5, c text default 'it''s', d text default \"dq\", e boolean default true,
           f blob default x'ab', g datetime default current_timestamp, h date default (date('now')), i int default (strftime('%s', 'now')), j int default (unixepoch()),
           k text default (lower(hex(randomblob(16)))), l int default (1 + 2), m text default null, n real default 1.5, o int default (sha3('x')), p text default (datetime('now')));",
    );
    let records = world.run(&[]).records();
    assert!(outcome_of(&records, "default", "t.o").1.contains("sha3"));
    let sql = "insert into t (id) values (1); select a, b, c, d, l, n, coalesce(m, 'null'), hex(f) from t";
    let theirs = world.sqlite(&sql.replace("o int", "o"));
    let ours = world.psql(&sql.replace("hex(f)", "upper(encode(f, 'hex'))"));
    assert_eq!(theirs, ours);
    world.gives(&[
        ("select abs(extract(epoch from now()) - i) < 100, abs(extract(epoch from now()) - j) < 100, e from t", "t|t|t"),
        ("select now() - g < interval '1 minute', h = (now() at time zone 'utc')::date, k ~ '^[0-9a-f]{32}$', p ~ '^\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d$' from t", "t|t|t|t"),
    ]);
}

#[test]
fn d9_generated_columns() {
    let world = World::of(
        "create table t (a int, b text, c int generated always as (a * 2) stored, d text as (b || '!') virtual, e text as (sha3(b)) virtual, f text as (upper(b)));
         create table u (a int, g text generated always as (strftime('%Y', a, 'unixepoch')) virtual); insert into u (a) values (1704164645);",
    );
    // Without the application's function SQLite itself cannot read that column; the others arrive.
    let records = world.run(&["--schema", "without"]).ended(3);
    assert!(outcome_of(&records, "generated column", "t.e").1.contains("sha3"));
    world.gives(&[(
        "select count(*) from pg_attribute where attrelid = 'without.t'::regclass and attnum > 0",
        "5",
    )]);
    world.sqlite("drop table t; create table t (a int, b text, c int generated always as (a * 2) stored, d text as (b || '!') virtual, f text as (upper(b))); insert into t (a, b) values (1, 'x'), (2, null);");
    let records = world.run(&[]).ended(3);
    world.gives(&[
        ("select a, b, c, d, f from t order by a", "1|x|2|x!|X\n2||4||"),
        ("select g from u", "2024"),
        ("select count(*) from pg_attribute where attrelid = 't'::regclass and attgenerated = 's'", "3"),
        ("insert into t (a, b) values (5, 'y') returning c, d", "10|y!"),
    ]);
    assert!(outcome_of(&records, "generated column", "u.g").1.contains("plain column"));
}

#[test]
fn d10_views() {
    let world = World::of(
        "create table t (id integer primary key, a int, b text); insert into t values (1, 5, 'x'), (2, 6, 'y'), (3, null, 'X');
         create table s (t_id int, n int); insert into s values (1, 1), (1, 2), (2, 3);
         create view plain as select id, a as aa, b || '!' as shout from t where a is not null;
         create view joined as select t.b, count(*) as n, sum(s.n) as total from t left join s on s.t_id = t.id group by t.b order by t.b;
         create view over as select * from plain where aa > 5;
         create view casefold as select id from t where b like 'x';
         create view odd as select my_function(a) from t;
         create view broken as select nosuch from t;
         create view cte (x) as with q as (select a from t where a > 5) select a from q union all select 1;",
    );
    let records = world.run(&["--report", "told"]).ended(3);
    for view in ["plain", "joined", "over", "casefold", "cte"] {
        assert_eq!(
            outcome_of(&records, "view", view).0,
            "translated",
            "{view}: {:?}",
            outcome_of(&records, "view", view)
        );
    }
    for view in ["odd", "broken"] {
        assert_eq!(outcome_of(&records, "view", view).0, "written to a file");
    }
    let written = std::fs::read_to_string(world.path("told/views.sql")).expect("views.sql");
    assert!(written.contains("my_function"), "{written}");
    for view in ["plain", "joined", "over", "casefold", "cte"] {
        let sql = format!("select * from {view}");
        assert_eq!(world.sqlite(&sql), world.psql(&sql), "{view}");
    }
}

#[test]
fn d11_to_d15_what_does_not_move_and_names() {
    let world = World::of(
        "create table t (id integer primary key, \"Mixed Case\" int, \"select\" int, \"q\"\"q\" int, \"é\" int); insert into t values (1, 2, 3, 4, 5);
         create trigger touched after update on t begin update t set \"select\" = 1 where id = new.id; end;
         create virtual table f using fts5(body); insert into f values ('words');
         create virtual table r using rtree(id, a, b);
         create table strict (a int, b any) strict; insert into strict values (1, 5), (2, x'00');
         create table camelCase (userId int, createdAt datetime); insert into camelCase values (7, null); analyze;",
    );
    let records = world.run(&["--report", "told"]).ended(3);
    assert_eq!(outcome_of(&records, "trigger", "touched").0, "written to a file");
    assert_eq!(outcome_of(&records, "virtual table", "f").0, "translated");
    assert_eq!(outcome_of(&records, "shadow table", "f_data").0, "skipped");
    let skeleton = std::fs::read_to_string(world.path("told/triggers.sql")).expect("triggers.sql");
    assert!(skeleton.contains("create trigger \"touched\" after update on \"t\""), "{skeleton}");
    world.gives(&[
        ("select \"Mixed Case\", \"select\", \"q\"\"q\", \"é\" from t", "2|3|4|5"),
        ("select string_agg(relname, ',' order by relname) from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'", "camelCase,f,r,strict,t"),
        ("select \"userId\" from \"camelCase\"", "7"),
        ("select a, b->>'t' from strict", "1|integer\n2|blob"),
    ]);
    world.run(&["--undo"]).ended(0);
    world.run(&["--snake-case", "--exclude", "t", "--rename", "strict=loose"]).ended(0);
    world.gives(&[
        ("select user_id from camel_case", "7"),
        ("select count(*) from loose", "2"),
        ("select to_regclass('t') is null", "t"),
    ]);
}

#[test]
fn comments_of_the_statement_become_comments() {
    let world = World::of("create table t ( -- people\n id integer primary key,\n n text -- the 'name'\n);");
    world.run(&[]).ended(0);
    world.gives(&[(
        "select obj_description('t'::regclass), col_description('t'::regclass, 2)",
        "people|the 'name'",
    )]);
}
