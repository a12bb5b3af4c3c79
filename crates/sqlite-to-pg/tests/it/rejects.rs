//! Policies, and what is kept of values that could not be represented.

use crate::world::World;

const SOURCE: &str = "create table t (id integer primary key, d date); insert into t values (1, '2024-01-01'), (2, '2024-02-30'), (3, 'never');";

#[test]
fn policies_decide_and_originals_are_kept() {
    let cases =
        [("null", "1|2024-01-01\n2|\n3|"), ("reject", "1|2024-01-01"), ("replace", "1|2024-01-01\n2|\n3|")];
    for (policy, expected) in cases {
        let world = World::of(SOURCE);
        world.run(&["--on-invalid", policy, "--report", "told"]).refused_in_a_line(3, "2 values");
        world.gives(&[
            ("select id, d from t order by id", expected),
            ("select pg_typeof(d) from t limit 1", "date"),
        ]);
        let kept = std::fs::read_to_string(world.path("told/rejects.jsonl")).expect("rejects");
        let lines: Vec<serde_json::Value> =
            kept.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(
            (lines[0]["place"].to_string().as_str(), lines[0]["bytes"].as_str()),
            (r#"[{"bytes":"2","class":"integer","column":"id"}]"#, Some("323032342d30322d3330"))
        );
        assert_eq!(
            (lines[0]["table"].as_str(), lines[0]["column"].as_str(), lines[0]["reason"].as_str()),
            (Some("t"), Some("d"), Some("not a time"))
        );
    }
}

#[test]
fn a_plan_that_accepts_them_ends_well() {
    let world = World::of(SOURCE);
    assert_eq!(world.tool(&["plan", "app.db", "-o", "p.toml", "--on-invalid", "null"]).status, Some(0));
    let plan = std::fs::read_to_string(world.path("p.toml")).expect("plan");
    std::fs::write(world.path("p.toml"), plan.replace("accept_rejects = false", "accept_rejects = true"))
        .expect("edit");
    world.run(&["--plan", "p.toml"]).ended(0);
}

#[test]
fn rejected_values_are_loaded_again_after_a_rule_changed() {
    let world = World::of(
        "create table t (id integer primary key, b boolean); insert into t values (1, 1), (2, 'yes'), (3, 0);",
    );
    world.run(&["--cast", "t.b=bool", "--on-invalid", "null"]).refused_in_a_line(3, "1 values");
    world.gives(&[("select id, b from t order by id", "1|t\n2|\n3|f")]);
    world.run(&["--cast", "t.b=bool-words", "--existing", "upsert"]).ended(0);
    world.gives(&[("select id, b from t order by id", "1|t\n2|t\n3|f")]);
}

/// Only the rows of the list are touched: what the application wrote meanwhile stays.
#[test]
fn a_list_of_rejects_is_loaded_alone() {
    let world = World::of(
        "create table t (id integer primary key, b boolean, n text); insert into t values (1, 1, 'a'), (2, 'yes', 'b'), (3, 0, 'c');
         create table w (k text, k2 blob, d date, primary key (k, k2)) without rowid; insert into w values ('it''s', x'00ff', '2024-01-01'), ('x', x'', '2024-02-30');
         create table rest (id text primary key, d date); insert into rest values ('a', '2024-01-01'), ('b', 'never');",
    );
    let rules = ["--cast", "t.b=bool", "--cast", "w.d=date", "--cast", "rest.d=date"];
    world
        .run(&[&rules[..], &["--on-invalid", "null", "--report", "told"]].concat())
        .refused_in_a_line(3, "3 values");
    world.psql("update t set n = 'written since' where id <> 2; delete from rest where id = 'b'");
    let list = ["--rejects", "told/rejects.jsonl"];
    world.run(&list).refused_in_a_line(4, "do not fit the target's tables");
    let records = world.run(&[&list[..], &["--on-invalid", "null", "--report", "again"]].concat());
    records.refused_in_a_line(3, "2 values");
    world.gives(&[
        ("select id, b, n from t order by id", "1|t|written since\n2|t|b\n3|f|written since"),
        ("select k, d from w order by k", "it's|2024-01-01\nx|"),
        ("select id, d from rest order by id", "a|2024-01-01\nb|"),
    ]);
    world.run(&["--rejects", "told/report.html"]).refused_in_a_line(2, "told/report.html");
    world.run(&["--undo"]).ended(0);
    world.gives(&[("select b from t where id = 2", "")]);
}

/// After them `verify` knows the new rule.
#[test]
fn a_copy_is_whole_after_its_rejects() {
    let world = World::of(
        "create table t (id integer primary key, b boolean); insert into t values (1, 1), (2, 'yes'), (3, 0);",
    );
    world
        .run(&["--cast", "t.b=bool", "--on-invalid", "null", "--report", "told"])
        .refused_in_a_line(3, "1 values");
    assert_eq!(world.tool(&["verify", "app.db"]).status, Some(3));
    world.run(&["--rejects", "told/rejects.jsonl", "--cast", "t.b=bool-words"]).ended(0);
    world.gives(&[("select id, b from t order by id", "1|t\n2|t\n3|f")]);
    world.verified();
}
