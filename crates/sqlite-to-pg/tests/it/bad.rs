//! Bad input: one clear line, the right status, and the target as it was.

use crate::world::World;
use testkit::Pg;

#[test]
fn sources_that_are_none() {
    let world = World::new();
    let write = |name: &str, bytes: &[u8]| std::fs::write(world.path(name), bytes).expect("write");
    world.tool(&["run", "missing.db"]).refused_in_a_line(2, "missing.db is not there");
    write("lone.db-wal", b"x");
    let lone = world.tool(&["run", "lone.db"]);
    lone.refused_in_a_line(2, "not there");
    assert!(lone.stderr.contains("write-ahead log"), "{lone:?}");
    write("empty.db", b"");
    world.tool(&["run", "empty.db"]).refused_in_a_line(1, "empty");
    write("text.db", &b"this is no database at all. ".repeat(20));
    world.tool(&["plan", "text.db"]).refused_in_a_line(1, "not a SQLite database, or it is encrypted");
    world.tool(&["run", "."]).refused_in_a_line(2, "is a folder");
    write("wal.db", &[&[0x37, 0x7f, 6, 0x82][..], &[0; 60]].concat());
    world.tool(&["run", "wal.db"]).refused_in_a_line(2, "write-ahead log");
    world.untouched();
}

#[test]
fn d19_a_corrupt_page_is_found_before_the_target_is_touched() {
    let world = World::of(
        "create table t (id integer primary key, x text); with recursive c(i) as (select 1 union all select i + 1 from c where i < 5000) insert into t select i, printf('%0100d', i) from c;",
    );
    let mut bytes = crate::world::bytes(&world.file());
    let at = 4096 * 20;
    bytes[at..at + 4096].fill(0xa5);
    std::fs::write(world.file(), bytes).expect("damage it");
    let ran = world.run(&[]);
    ran.refused_in_a_line(5, "app.db is damaged: ");
    world.untouched();
}

#[test]
fn targets_that_do_not_take_it() {
    let world = World::of("create table t (a int); insert into t values (1);");
    world.psql("create table t (b text); insert into t values ('mine'); create role plain login; revoke create on database postgres from public");
    world.run(&[]).refused_in_a_line(2, "not empty");
    let plain = world.pg.url().replace("postgres@", "plain@");
    let denied = world.tool(&["run", "app.db", "--to", &plain]);
    denied.refused_in_a_line(1, "may not create a schema");
    assert!(denied.stderr.contains("grant create on database"), "{denied:?}");
    world.tool(&["run", "app.db", "--to", "host=/nowhere dbname=x user=y"]).refused_in_a_line(75, "connect");
    world.gives(&[
        ("select b from t", "mine"),
        ("select count(*) from pg_namespace where nspname like 'toban%'", "0"),
    ]);
    world.tool(&["run", "app.db", "--cast", "t.nothing=bool"]).refused_in_a_line(2, "t.nothing");
    world.tool(&["run", "app.db", "--include", "zz*"]).refused_in_a_line(2, "zz*");
}

#[test]
fn a_source_whose_schema_changed_since_the_plan() {
    let world = World::of("create table t (a int); insert into t values (1);");
    assert_eq!(world.tool(&["plan", "app.db", "-o", "p.toml"]).status, Some(0));
    world.sqlite("alter table t add column b int");
    world.run(&["--plan", "p.toml"]).refused_in_a_line(1, "has changed since the plan was made");
    world.untouched();
}

#[test]
fn rows_that_came_after_the_plan_are_judged_by_it() {
    let world = World::of("create table t (a int); insert into t values (1);");
    assert_eq!(world.tool(&["plan", "app.db", "-o", "p.toml"]).status, Some(0));
    world.sqlite("insert into t values ('no')");
    world.run(&["--plan", "p.toml"]).refused_in_a_line(1, "not a number");
    world.untouched();
    let plan = std::fs::read_to_string(world.path("p.toml")).expect("plan");
    std::fs::write(world.path("p.toml"), plan.replace("policy = \"stop\"", "policy = \"null\""))
        .expect("edit");
    world.run(&["--plan", "p.toml"]).refused_in_a_line(3, "1 values");
    world.gives(&[("select count(*), count(a) from t", "2|1")]);
}

#[test]
fn the_target_is_lost_in_the_middle() {
    let mut world = World::with(Pg::start(&[]));
    world.sqlite("create table t (id integer primary key, x text); with recursive c(i) as (select 1 union all select i + 1 from c where i < 400000) insert into t select i, printf('%0200d', i) from c;");
    let mut tool = world
        .command(&["run", "app.db"])
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("start");
    let begun = "select count(*) from pg_namespace where nspname like 'toban_staging%'";
    testkit::until("the copy begins", std::time::Duration::from_secs(30), || {
        match world.psql(begun).as_str() {
            "1" => Ok(()),
            other => Err(other.into()),
        }
    });
    world.pg.kill();
    let status = tool.wait().expect("wait");
    assert_eq!(status.code(), Some(75), "told to try again");
    world.pg.restart();
    world.run(&[]).ended(0);
    world.gives(&[("select count(*) from t", "400000")]);
}
