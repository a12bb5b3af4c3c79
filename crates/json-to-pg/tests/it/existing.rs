//! Tables of the application: limits, rows that are there, triggers, circles.

use crate::world::World;
use testkit::Ran;

/// One table and one file, planned for it.
fn planned(table: &str, text: &str) -> World {
    let world = World::of(&[("f.json", text)]);
    world.psql(table);
    world.plan_existing(&["--zone", "UTC"]);
    world
}

/// The run ends with 4 and these words, and nothing is there.
#[track_caller]
fn refused(world: &World, words: &str) -> Ran {
    let ran = world.run();
    assert_eq!(ran.status, Some(4), "{ran:?}");
    assert!(ran.stderr.contains(words), "{words:?} is not in {}", ran.stderr);
    world.gives(&[("select count(*) from f", "0")]);
    ran
}

#[test]
fn values_that_do_not_fit_are_asked_and_never_loaded() {
    let cases = [
        ("v varchar(2)", r#""日本語""#, "longer than the type allows"),
        ("v varchar(2)[]", r#"["a","abc"]"#, "longer than the type allows"),
        ("v int", "2147483648", "out of the type's range"),
        ("v int", "4.2", "a fraction"),
        ("v bigint", "9223372036854775808", "out of the type's range"),
        ("v float8", "1e400", "out of the type's range"),
        ("v numeric(10,2)", "0.1e-5", "more digits than the type allows"),
        ("v int", "\"7\"", "a string of digits"),
        ("v text", "7", "a number where"),
        ("v boolean", "\"true\"", "a string where"),
        ("v date", "\"2026/01/05\"", "not a time"),
        ("v timestamptz", "\"2026-01-05T24:00:00\"", "not a time"),
        ("v timestamptz", "\"令和7年1月5日\"", "not a time"),
        ("v jsonb", r#"{"a":"\u0000"}"#, "\\u0000"),
        ("v text", r#""a\ud800""#, "surrogate"),
        ("v uuid", "\"x\"", "not a UUID"),
        ("v text not null", "null", "no value where the target forbids"),
    ];
    for (column, value, words) in cases {
        let world = planned(
            &format!("create table f (id int primary key, {column})"),
            &format!("[{{\"id\":1,\"v\":{value}}}]"),
        );
        world.edit(|plan| {
            assert_eq!(plan["question"].as_array().map(Vec::len), Some(1), "{column} {value}: {plan:?}");
        });
        // A plan whose questions somebody deleted stops at the same value.
        world.edit(|plan| drop(plan.insert("question".into(), toml::Value::Array(Vec::new()))));
        refused(&world, words);
    }
}

#[test]
fn conversions_that_the_plan_names() {
    let cases = [
        ("v int", "4.5", "round", "5"),
        ("v int", "\"007\"", "numbers", "7"),
        ("v text", "1.50", "text", "1.50"),
        ("v text", r#""a\u0000b""#, "replace", "a␀b"),
        ("v timestamptz", "1767225600123", "epoch-ms", "2026-01-01 00:00:00.123+00"),
        ("v jsonb", r#"["\u0000"]"#, "replace", "[\"␀\"]"),
    ];
    for (column, value, answer, expected) in cases {
        let world = planned(
            &format!("create table f (id int primary key, {column})"),
            &format!("[{{\"id\":1,\"v\":{value}}}]"),
        );
        world.answer(&[("f.json", "v", answer)]);
        world.ran();
        world.verified();
        world.gives(&[("select v from f", expected)]);
    }
}

#[test]
fn exact_values_into_the_types_of_the_table() {
    let table = "create type mood as enum ('a', 'b'); create table f (id bigint generated always as identity primary key, i int, n numeric(10,2), \
        j jsonb, r json, e mood, a inet, d date, c char(3), total numeric generated always as (n * 2) stored, extra text default 'x')";
    let text = r#"[{"id":5,"i":4.0,"n":1.10,"j":null,"r":{"b":1.0,"a":2},"e":"b","a":"10.0.0.1","d":"2024-02-29","c":"xyz"},
        {"id":9,"i":1E5,"n":-0,"j":{"a":1E2},"r":[1],"e":"a","a":null,"d":null,"c":null}]"#;
    let world = planned(table, text);
    world.ran();
    world.verified();
    world.gives(&[
        (
            "select id, i, n, j is null, r, e, a, d, c, total, extra from f where id = 5",
            "5|4|1.10|t|{\"b\":1.0,\"a\":2}|b|10.0.0.1|2024-02-29|xyz|2.20|x",
        ),
        ("select i, n, j from f where id = 9", "100000|0.00|{\"a\": 100}"),
        ("insert into f (i) values (1) returning id", "10"),
    ]);
    let world = planned(
        "create type mood as enum ('a'); create table f (id int primary key, e mood)",
        r#"[{"id":1,"e":"z"}]"#,
    );
    world.edit(|plan| drop(plan.insert("question".into(), toml::Value::Array(Vec::new()))));
    refused(&world, "no value of the enum: \"z\"");
}

#[test]
fn rows_that_are_there_are_skipped_or_refused_or_replaced_as_the_plan_says() {
    let table = "create table f (id int primary key, v text unique, own text); insert into f values (1, 'a', 'x'), (2, 'old', 'y'), (9, 'seed', 'z'); \
        create table g (f_id int references f on delete cascade); insert into g values (2), (9); \
        create table h (v text references f (v) on update cascade)";
    let world = planned(table, r#"[{"id":1,"v":"a"},{"id":2,"v":"new"},{"id":3,"v":"c"}]"#);
    world.answer(&[("f.json", "own", "null")]);
    let ran = world.run();
    assert_eq!(ran.status, Some(4), "{ran:?}");
    assert!(ran.stderr.contains("holds other rows under the keys 2"), "{ran:?}");
    let rule = |word: &str| {
        world.edit(|plan| {
            let file = plan["file"][0].as_table_mut().expect("a file");
            file.insert("on_conflict".into(), word.into());
        });
    };
    let rows = "select string_agg(id || v || own, ',' order by id) from (select id, v, coalesce(own, '-') own from f) f";
    rule("keep-database");
    world.ran();
    world.gives(&[(rows, "1ax,2oldy,3c-,9seedz")]);
    assert_eq!(world.tool(&["undo"]).status, Some(0));
    rule("take-file");
    world.ran();
    world.verified();
    world.gives(&[(rows, "1ax,2newy,3c-,9seedz")]);
    // What refers to a row by the value that the run gave it would follow the old one.
    world.psql("insert into h values ('new')");
    world.tool(&["undo"]).refused(2, "1 rows of public.h refer to rows of public.f");
    world.psql("delete from h; insert into g values (2)");
    assert_eq!(world.tool(&["undo"]).status, Some(0));
    world.gives(&[(rows, "1ax,2oldy,9seedz"), ("select count(*) from g", "3")]);
}

#[test]
fn what_another_session_wrote_before_the_run_replaced_it_comes_back() {
    let table = "create table f (id int primary key, v text, own text); insert into f values (1, 'old', 'x')";
    let world = planned(table, r#"[{"id":1,"v":"new"}]"#);
    world.answer(&[("f.json", "own", "null")]);
    world.edit(|plan| {
        let file = plan["file"][0].as_table_mut().expect("a file");
        file.insert("on_conflict".into(), "take-file".into());
    });
    let ran = world.tool_beside("update f set own = 'y'", &["run", "plan.toml"]);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    world.gives(&[("select v, own from f", "new|y")]);
    assert_eq!(world.tool(&["undo"]).status, Some(0));
    world.gives(&[("select v, own from f", "old|y")]);
}

#[test]
fn a_trigger_that_changes_values_is_found_before_anything_is_visible() {
    let table = "create table f (id int primary key, v text); create function up() returns trigger language plpgsql as \
        $$begin new.v := upper(new.v); return new; end$$; create trigger up before insert on f for each row execute function up()";
    let world = planned(table, r#"[{"id":1,"v":"a"}]"#);
    let ran = refused(&world, "the file and what PostgreSQL holds differ (1 times)");
    assert!(ran.stderr.contains("\"a\" in the file, \"A\" in the database"), "{ran:?}");
    // One that waits for COMMIT acts before the proof too.
    let table = "create table f (id int primary key, v text); create function late() returns trigger language plpgsql as \
        $$begin update public.f set v = upper(v) where id = new.id; return null; end$$; \
        create constraint trigger late after insert on f deferrable initially deferred for each row execute function late()";
    let world = planned(table, r#"[{"id":1,"v":"a"}]"#);
    refused(&world, "the file and what PostgreSQL holds differ (1 times)");
    let world = planned(
        "create table f (id int primary key, v text); alter table f enable row level security, force row level security; create role plain login; grant all on f to plain; grant create on database postgres to plain",
        r#"[{"id":1,"v":"a"}]"#,
    );
    let url = world.pg.url().replace("postgres@", "plain@");
    world.tool(&["run", "plan.toml", "--to", &url]).refused(2, "row-level security");
}

#[test]
fn circles_and_tables_that_refer_to_themselves_load_in_one_transaction() {
    let world = World::of(&[
        ("boss.json", r#"[{"id":1,"dept_id":1,"boss_id":2},{"id":2,"dept_id":1,"boss_id":null}]"#),
        ("dept.json", r#"[{"id":1,"head_id":2}]"#),
    ]);
    world.psql("create table dept (id int primary key, head_id int); create table boss (id int primary key, dept_id int references dept, boss_id int references boss); \
                alter table dept add foreign key (head_id) references boss");
    world.plan_existing(&[]);
    world.ran();
    world.verified();
    world.gives(&[
        ("select count(*) from pg_constraint where condeferrable", "0"),
        ("select count(*) from boss", "2"),
    ]);
    assert_eq!(world.tool(&["undo"]).status, Some(0));
    world.gives(&[
        ("select count(*) from pg_constraint where condeferrable", "0"),
        ("select (select count(*) from boss) + (select count(*) from dept)", "0"),
    ]);
    // In tables that the run makes.
    let world = World::of(&[("a.json", r#"[{"id":1,"b_id":1}]"#), ("b.json", r#"[{"id":1,"a_id":1}]"#)]);
    world.moved(&[]);
    world.gives(&[("select count(*) from pg_constraint where contype = 'f'", "2")]);
    assert_eq!(world.tool(&["undo"]).status, Some(0));
    world.untouched();
    // An orphan is refused with its key.
    let world = World::of(&[("dept.json", r#"[{"id":1,"head_id":9}]"#)]);
    world.psql("create table boss (id int primary key)");
    for deferral in ["", "deferrable initially deferred"] {
        world.psql(&format!(
            "drop table if exists dept; create table dept (id int primary key, head_id int references boss {deferral})"
        ));
        world.plan_existing(&[]);
        let ran = world.run();
        assert_eq!(ran.status, Some(4), "{ran:?}");
        assert!(ran.stderr.contains("(head_id)=(9) is not present"), "{ran:?}");
    }
}

#[test]
fn one_name_in_two_schemas_is_asked() {
    let world = World::of(&[("users.json", r#"[{"id":1}]"#)]);
    world.psql(
        "create schema a; create table a.users (id int primary key); create table users (id int primary key)",
    );
    let asked = crate::world::questions(&world.plan_existing(&[]));
    assert_eq!(asked, [("users.json".to_string(), String::new())]);
    world.plan_existing(&["--table", "users.json=a.users"]);
    world.ran();
    world.gives(&[("select count(*) from a.users", "1"), ("select count(*) from users", "0")]);
}

#[test]
fn a_point_in_the_name_of_a_schema_or_a_table_leads_to_no_other_table() {
    let world = World::of(&[("users.json", r#"[{"id":1,"n":"x"}]"#)]);
    world.psql(
        "create schema a; create table a.\"b.users\" (id int primary key, n text); \
         create schema \"a.b\"; create table \"a.b\".users (id int primary key, n text); \
         create table likes (user_id int references \"a.b\".users on delete cascade)",
    );
    world.plan_existing(&[]);
    world.ran();
    world.verified();
    let rows = "select (select count(*) from \"a.b\".users), (select count(*) from a.\"b.users\")";
    world.gives(&[(rows, "1|0")]);
    assert_eq!(world.tool(&["export", "out"]).status, Some(0));
    world.psql("insert into likes values (1)");
    world.tool(&["undo"]).refused(2, "1 rows of public.likes refer to rows of \"a.b\".users");
    world.psql("delete from likes");
    assert_eq!(world.tool(&["undo"]).status, Some(0));
    world.gives(&[(rows, "0|0")]);
    world.plan_existing(&["--table", "users.json=a.b.users"]);
    world.ran();
    world.gives(&[(rows, "0|1")]);
    // And in tables that the run makes.
    let world = World::of(&[("c.d.json", r#"[{"id":1,"l":[{"v":1}]}]"#)]);
    world.moved(&["--schema", "my.app", "--explode", "c.d.json:l"]);
    world.gives(&[("select \"c.d_id\", ord, v from \"my.app\".\"c.d_l\"", "1|1|1")]);
    assert_eq!(world.tool(&["undo"]).status, Some(0));
    world.untouched();
}
