//! Status 0 means that everything the source has is there or was excluded by name, for `run` and for `verify`.

use crate::world::World;

/// A table that is whole, and after it one thing that PostgreSQL does not get.
const WHOLE: &str = "create table t (id integer primary key, at text, who text); insert into t values (1, '2024-05-01 10:00', 'a'), (2, '2024-05-02 10:00', 'b');";

/// Each kind of thing that cannot be said in PostgreSQL's words: the statements, its kind, its name.
const LOST: [(&str, &str, &str); 12] = [
    ("create unique index once on t (who, strftime('%W', at))", "index", "once"),
    ("create unique index part on t (who) where printf('%s', who) <> 'x'", "index", "part"),
    ("create index seek on t (printf('%s!', who))", "index", "seek"),
    ("create view v as select my_own(who) as x from t", "view", "v"),
    ("create view broken as select nosuch from nowhere", "view", "broken"),
    ("create trigger g after update on t begin update t set who = 'x' where id = 9; end", "trigger", "g"),
    ("create virtual table words using fts5 (a, content='')", "virtual table", "words"),
    ("create table d (id integer primary key, x text default (strftime('%W', 'now')))", "default", "d.x"),
    ("create table k (id integer primary key, x text check (x is not printf('%c', x)))", "check", "k #1"),
    (
        "create table f (id integer primary key, p int references nowhere (id))",
        "foreign key",
        "f (p) → nowhere",
    ),
    ("create table g (id integer primary key, a text, b as (printf('%c', a)))", "generated column", "g.b"),
    (
        "create table n (id integer primary key, a int); insert into n values (1, null); pragma writable_schema = on; \
         update sqlite_schema set sql = 'create table n (id integer primary key, a int not null)' where name = 'n'",
        "not null",
        "n.a",
    ),
];

#[test]
fn what_is_missing_is_status_3_and_a_line_in_both_verbs_until_it_is_excluded_by_name() {
    let world = World::new();
    for (at, (sql, kind, name)) in LOST.iter().enumerate() {
        let _ = std::fs::remove_file(world.file());
        world.sqlite(WHOLE);
        let db = rusqlite::Connection::open(world.file()).expect("open");
        db.execute_batch("pragma trusted_schema = on").expect("trust");
        db.execute_batch(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        drop(db);
        let schema = format!("s{at}");
        let own = ["--schema", &schema, "--report", "told"];
        let ran = world.run(&own);
        assert_eq!(ran.status, Some(3), "{sql}: {ran:?}");
        let told = |r: &&serde_json::Value| r["kind"] == *kind && r["name"] == *name;
        assert!(ran.records().iter().any(|r| told(&r)), "{kind} {name} has no line: {ran:?}");
        assert!(ran.stderr.contains(&format!("{kind} {name}")), "{sql}: {}", ran.stderr);
        let total = ran.records().last().expect("a total")["why"].as_str().unwrap_or_default().to_string();
        assert!(total.contains(&format!("{kind} {name}")), "{total}");
        let page = std::fs::read_to_string(world.path("told/report.html")).expect("the report");
        let missing = page.find("What is missing").expect("a part of its own");
        assert!(
            missing < page.find("<table").expect("the tables") && page.contains("not everything"),
            "{page}"
        );
        let files = ["views.sql", "triggers.sql", "others.sql"]
            .map(|f| std::fs::read_to_string(world.path("told").join(f)).unwrap_or_default());
        assert!(files.concat().contains(name), "no file has {name}: {files:?}");
        let verified = world.tool(&["verify", "app.db", "--schema", &schema, "--json"]);
        assert_eq!(verified.status, Some(3), "{sql}: {verified:?}");
        let line = verified
            .records()
            .iter()
            .any(|r| r["kind"] == "left-out" && r["table"] == *name && r["column"] == *kind);
        assert!(line, "{kind} {name} has no line: {verified:?}");
        let exclude = format!("{}:{name}", kind.replace(' ', "-"));
        let meant = format!("m{at}");
        let ran = world.run(&["--schema", &meant, "--exclude", &exclude, "--report", "told"]);
        assert_eq!(ran.status, Some(0), "{exclude}: {ran:?}");
        let verified = world.tool(&["verify", "app.db", "--schema", &meant, "--json"]);
        assert_eq!(verified.status, Some(0), "{exclude}: {verified:?}");
    }
}

#[test]
fn what_is_there_in_other_words_is_not_missing() {
    let world = World::of(&format!(
        "{WHOLE} create virtual table boxes using rtree (id, x0, x1, y0, y1, +label text); insert into boxes values (7, 0.5, 1, 0, 1.25, 'a'), (9, -5, 6, 5, 6, null);
         create virtual table words using fts5 (body); insert into words values ('x'); create table same (a int unique, unique (a)); create table k (a text, b int, primary key (a, b)); insert into k values (null, 1);
         create table p (id integer primary key); create table c (id integer primary key, p_id int references p); insert into c values (1, 9);"
    ));
    world.run(&[]).ended(0);
    world.verified();
    world.gives(&[
        ("select id, x0, x1, y0, y1, label from boxes order by id", "7|0.5|1|0|1.25|a\n9|-5|6|5|6|"),
        ("insert into boxes (x0, x1, y0, y1) values (0, 0, 0, 0) returning id", "10"),
    ]);
}

/// The same in a plan that a person edited.
#[test]
fn what_a_plan_accepts_is_not_missing() {
    let world = World::of(&format!("{WHOLE} create view v as select my_own(who) as x from t;"));
    world.tool(&["plan", "app.db", "-o", "p.toml", "--json"]).ended(0);
    let text = std::fs::read_to_string(world.path("p.toml")).expect("the plan");
    let edited = text.replace("[[object]]\n", "[[object]]\naccepted = true\n");
    assert_ne!(text, edited);
    world.run(&["--plan", "p.toml"]).ended(3);
    world.run(&["--undo"]).ended(0);
    std::fs::write(world.path("p.toml"), edited).expect("edit");
    world.run(&["--plan", "p.toml"]).ended(0);
    world.verified();
}

/// A copy by somebody else is judged by the source alone.
#[test]
fn what_another_tool_left_out_is_found() {
    let world = World::of(&format!(
        "{WHOLE} create trigger g after update on t begin update t set who = 'x' where id = 9; end; create virtual table boxes using rtree (id, x0, x1); insert into boxes values (1, 0, 1);"
    ));
    world.psql(
        "create table t (id bigint generated by default as identity primary key, at text, who text); \
         insert into t values (1, '2024-05-01 10:00', 'a'), (2, '2024-05-02 10:00', 'b'); select setval('t_id_seq', 2)",
    );
    let records = world.verify().ended(4);
    let told: Vec<String> = records
        .iter()
        .filter(|r| r["schema"] == "sqlite-to-pg.difference/1")
        .map(|r| format!("{} {} {}", r["kind"], r["table"], r["column"]).replace('"', ""))
        .collect();
    assert_eq!(told, ["missing boxes ", "missing t trigger g"]);
}

#[test]
fn a_file_without_tables_is_the_same_to_both() {
    let world = World::new();
    for (sql, run, verify) in [
        ("pragma user_version = 1", 0, 0),
        ("create view v as select 1 as one", 0, 0),
        ("drop view v; create view v as select my_own(1)", 3, 3),
    ] {
        let db = rusqlite::Connection::open(world.file()).expect("open");
        db.execute_batch(sql).expect(sql);
        drop(db);
        let ran = world.run(&["--report", "told"]);
        assert_eq!(ran.status, Some(run), "{sql}: {ran:?}");
        let verified = world.verify();
        assert_eq!(verified.status, Some(verify), "{sql}: {verified:?}");
        let _ = world.run(&["--undo"]);
    }
}

#[test]
fn tables_columns_and_objects_are_excluded_by_name() {
    let world = World::of(
        "create table t (id integer primary key, old text check (old <> 'x'), a int, p int references gone (id)); create index by_old on t (old); create index by_a on t (a);
         create table gone (id integer primary key); create trigger on_gone after insert on gone begin select 1; end; create view v as select id from t; insert into t values (1, 'o', 2, null);",
    );
    world.run(&["--exclude", "t.nothing"]).refused_in_a_line(2, "no table is called like t.nothing");
    world
        .run(&["--exclude", "index:nothing"])
        .refused_in_a_line(2, "there is no table, column, view, trigger or index of this name");
    world.run(&["--exclude", "t.id"]).refused_in_a_line(2, "primary key");
    world.untouched();
    let records = world
        .run(&["--exclude", "gone", "--exclude", "t.old", "--exclude", "by_a", "--exclude", "view:v"])
        .ended(0);
    let excluded = records.iter().filter(|r| r["outcome"] == "skipped" && r["why"] == "excluded");
    let mut names: Vec<String> =
        excluded.map(|r| format!("{} {}", r["kind"], r["name"]).replace('"', "")).collect();
    names.sort();
    let expected = [
        "check t.old <> 'x'",
        "column t.old",
        "foreign key t (p) → gone",
        "index by_a",
        "index by_old",
        "table gone",
        "trigger on_gone",
        "view v",
    ];
    assert_eq!(names, expected);
    world.verified();
    world.gives(&[
        ("select string_agg(attname, ',' order by attnum) from pg_attribute where attrelid = 't'::regclass and attnum > 0", "id,a,p"),
        ("select count(*) from pg_indexes where schemaname = 'public'", "1"),
    ]);
}
