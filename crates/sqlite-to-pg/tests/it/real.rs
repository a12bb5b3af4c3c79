//! Databases of real projects, as their packages ship them.

use crate::world::{World, outcome_of};

fn world(name: &str) -> World {
    let world = World::new();
    std::fs::copy(testkit::tool(name), world.file()).expect("copy the database");
    world
}

#[test]
fn proj_db_arrives_with_its_keys_and_checks() {
    let world = world("proj-db/proj.db");
    let records = world.run(&["--report", "told"]).ended(3);
    world.verified_but_for(40);
    world.gives(&[
        ("select count(*) from pg_constraint where contype = 'f' and convalidated and connamespace = 'public'::regnamespace", "50"),
        ("select count(*) from pg_constraint where contype = 'c' and connamespace = 'public'::regnamespace", "161"),
        ("select pg_get_constraintdef(oid) from pg_constraint where conrelid = 'usage'::regclass and contype in ('p', 'u')", "UNIQUE (auth_name, code)"),
    ]);
    assert_eq!(world.psql("select count(*) from usage"), world.sqlite("select count(*) from usage"));
    assert_eq!(outcome_of(&records, "primary key", "usage").0, "translated");
    assert_eq!(
        records.iter().filter(|r| r["kind"] == "trigger" && r["outcome"] == "written to a file").count(),
        36
    );
}

#[test]
fn elements_db_arrives_whole() {
    let world = world("elements-db/elements.db");
    world.run(&["--report", "told"]).ended(0);
    world.verified();
}
