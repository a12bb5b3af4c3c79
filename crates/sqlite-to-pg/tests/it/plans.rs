//! The verb `plan`, and runs by an edited plan.

use crate::world::{World, bytes, outcome_of};
use testkit::SigningKey;

const SOURCE: &str = "create table users (id integer primary key autoincrement, is_active boolean, created_at datetime, note text);
    insert into users values (1, 1, 1704164645000, 'x'), (2, 'true', 1704164646000, 'y');";

#[test]
fn the_plan_says_why_and_names_the_rows() {
    let world = World::of(SOURCE);
    let before = bytes(&world.file());
    let records = world.tool(&["plan", "app.db", "--json", "-o", "p.toml"]).ended(0);
    let of = |name: &str| {
        records.iter().find(|r| r["name"] == name && r["kind"] == "column").expect(name).to_string()
    };
    assert!(
        of("users.is_active").contains("bool-words")
            && of("users.is_active").contains("\"becomes\":\"text\""),
        "{}",
        of("users.is_active")
    );
    assert!(of("users.created_at").contains("epoch-ms"), "{}", of("users.created_at"));
    assert!(
        records
            .iter()
            .any(|r| r["kind"] == "mismatched values" && r["why"].as_str().is_some_and(|w| w.ends_with("2"))),
        "{records:?}"
    );
    assert!(records.last().is_some_and(|r| r["why"].as_str().is_some_and(|w| w.contains("2 rows"))));
    let at = |wanted: &dyn Fn(&serde_json::Value) -> bool| records.iter().position(wanted).expect("a record");
    let (odd, plain) = (at(&|r| r["name"] == "users.is_active"), at(&|r| r["name"] == "users.note"));
    assert!(odd < plain, "what a person should know of comes first: {records:#?}");
    assert!(before == bytes(&world.file()));
    let plan = std::fs::read_to_string(world.path("p.toml")).expect("the plan");
    assert!(plan.contains("conversion = \"epoch-ms\""), "{plan}");
    world.run(&["--plan", "p.toml"]).ended(0);
    world.gives(&[(
        "select pg_typeof(is_active), pg_typeof(created_at) from users limit 1",
        "text|timestamp with time zone",
    )]);
}

#[test]
fn an_edited_plan_decides() {
    let world = World::of(SOURCE);
    assert_eq!(world.tool(&["plan", "app.db", "-o", "p.toml"]).status, Some(0));
    let plan = std::fs::read_to_string(world.path("p.toml")).expect("the plan");
    let plan = plan.replacen(
        "type = \"text\"\nconversion = \"text\"",
        "type = \"boolean\"\nconversion = \"bool-words\"",
        1,
    );
    std::fs::write(world.path("p.toml"), plan.replace("target = \"users\"", "target = \"people\""))
        .expect("edit");
    world.run(&["--plan", "p.toml"]).ended(0);
    world.gives(&[("select string_agg(is_active::text, ',') from people", "true,true")]);
    world.tool(&["run", "app.db", "--plan", "app.db"]).refused_in_a_line(2, "read the plan");
}

#[test]
fn a_trial_run_leaves_nothing_and_says_how_long_it_took() {
    let world = World::of(SOURCE);
    let records = world.run(&["--trial"]).ended(0);
    world.untouched();
    let total = records.last().expect("a total");
    assert!(total["seconds"].as_f64().is_some_and(|s| s > 0.0) && total["outcome"] == "trial", "{total}");
    assert!(
        total["why"].as_str().is_some_and(|w| w.contains("2 rows compared, all that were copied are equal")),
        "{total}"
    );
}

#[test]
fn the_plan_that_was_printed_is_the_plan_of_the_report() {
    let world = World::of(
        "create table t (a integer primary key, g text generated always as (strftime('%Y', a, 'unixepoch')) virtual, b text);
         insert into t (a, b) values (1704164645, 'x'); create view v as select b from t;",
    );
    let printed = world.tool(&["plan", "app.db", "--json", "-o", "p.toml"]).ended(0);
    assert_eq!(outcome_of(&printed, "generated column", "t.g").0, "translated");
    let signer = SigningKey::make(world.dir.path(), "sign");
    let key = signer.key.display().to_string();
    world.run(&["--report", "told", "--sign-key", "/nowhere"]).refused(1, "/nowhere does not sign");
    world.untouched();
    let records = world.run(&["--report", "told", "--sign-key", &key]).ended(3);
    assert!(signer.signed(&world.path("told/report.html"), "sqlite-to-pg"));
    let (plan, report) = (bytes(&world.path("p.toml")), bytes(&world.path("told/plan.toml")));
    assert_eq!(String::from_utf8_lossy(&plan), String::from_utf8_lossy(&report));
    // What PostgreSQL refused is an outcome of its own, told beside the planned one.
    let differing: Vec<_> = records.iter().filter(|r| r["planned"].is_string()).collect();
    assert_eq!(differing.len(), 1, "{differing:?}");
    assert_eq!((&differing[0]["name"], &differing[0]["planned"]), (&"t.g".into(), &"translated".into()));
    assert_eq!(differing[0]["outcome"], "skipped");
    let page = std::fs::read_to_string(world.path("told/report.html")).expect("the report");
    assert!(page.contains("1 objects have another outcome than planned"), "{page}");
    // By that plan the same happens again.
    world.tool(&["run", "app.db", "--undo", "--json"]).ended(0);
    let again = world.run(&["--plan", "told/plan.toml"]).ended(3);
    assert_eq!(
        outcome_of(&again, "generated column", "t.g"),
        outcome_of(&records, "generated column", "t.g")
    );
}

#[test]
fn pgloaders_positional_arguments_work() {
    let world = World::of(SOURCE);
    let done = world.tool(&["run", "app.db", &world.pg.url(), "--json"]);
    done.ended(0);
    world.gives(&[("select count(*) from users", "2")]);
}

#[test]
fn names_that_would_collide_are_refused() {
    let world = World::of("create table t (userId int, user_id int);");
    world.run(&["--snake-case"]).refused_in_a_line(2, "would both be called user_id");
    world.untouched();
}

#[test]
fn epochs_that_may_be_two_things_stay_numbers() {
    let world = World::of("create table t (a datetime); insert into t values (700000000);");
    let records = world.tool(&["plan", "app.db", "--json"]).ended(0);
    let column = records.iter().find(|r| r["name"] == "t.a" && r["kind"] == "column");
    let column = column.expect("the column").to_string();
    assert!(column.contains("epoch-s or cocoa-s") && column.contains("bigint"), "{column}");
}
