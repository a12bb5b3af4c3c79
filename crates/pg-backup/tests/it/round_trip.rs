//! What is restored is what was dumped: pg_dump says the same before and after.

use crate::world::{World, majors, same};

const EVERYTHING: &str = include_str!("everything.sql");

/// Dumps a database of every kind of object, restores it under another name and in its own place, and compares what
/// pg_dump says.
fn trip(world: &World, forms: &[&str]) {
    world.pg.psql("postgres", "create database \"Ops DB\" encoding 'UTF8' template template0");
    world.pg.psql("Ops DB", EVERYTHING);
    world.pg.psql("postgres", "alter database \"Ops DB\" set search_path to \"$user\", public, \"My Schema\"; \
         alter database \"Ops DB\" set my.setting to 'a''b'; alter role reader in database \"Ops DB\" set work_mem to '3MB'; \
         comment on database \"Ops DB\" is 'it''s ours'; revoke all on database \"Ops DB\" from public; \
         grant connect on database \"Ops DB\" to reader; alter database \"Ops DB\" connection limit 33; \
         alter database \"Ops DB\" owner to \"Ünï role\"");
    let (before, whole) = (world.text("Ops DB", &[]), world.text("Ops DB", &["--create"]));
    for form in forms {
        let id = world.dump("Ops DB", &["--format", form]);
        world.run(&["restore-dump", &id, "--into", "beside"]).fine();
        same(&world.text("beside", &[]), &before, &format!("{form}: beside"));
        world
            .pg
            .psql("Ops DB", "drop table child cascade; create table intruder (); select nextval('counter')");
        let restored = replaced(world, &id);
        same(&world.text("Ops DB", &["--create"]), &whole, &format!("{form}: replaced"));
        assert!(restored["tables"].as_u64().expect("a number") >= 15, "{restored:?}");
        world.pg.psql("postgres", "drop database beside");
    }
    assert_eq!(world.databases(), ["Ops DB"]);
}

/// The record of a replacement. Before 15 the counters of writes come late and prove nothing: the old database is kept,
/// and said to be.
fn replaced(world: &World, id: &str) -> serde_json::Value {
    let done = world.run(&["restore-dump", id, "--replace", "Ops DB", "--json"]);
    if world.pg.major() >= 15 {
        let record = done.json().remove(0);
        assert_eq!(record["kept"], serde_json::Value::Null);
        return record;
    }
    assert!(done.status == Some(0) && done.stderr.contains("it is kept as Ops DB_before_"), "{done:?}");
    let record: serde_json::Value = serde_json::from_str(&done.stdout).expect("a record");
    world.pg.psql("postgres", &format!("drop database \"{}\"", record["kept"].as_str().expect("a name")));
    record
}

#[test]
fn every_kind_of_object_survives() {
    trip(&World::new(), &["custom", "sql"]);
}

#[test]
fn on_every_major() {
    for major in majors().into_iter().filter(|m| *m != 15) {
        trip(&World::major(major), &["custom", "sql"]);
    }
}

#[test]
fn on_s3() {
    let s3 = testkit::S3::start();
    let world = World::new().in_repo(&s3.url("backups"), s3.env());
    trip(&world, &["custom", "sql"]);
}

/// Roles and tablespaces went with the dump: it restores on a server that knows none of them.
#[test]
fn onto_another_server() {
    let old = World::new();
    old.pg.psql("postgres", "create database app template template0");
    old.pg.psql("app", EVERYTHING);
    let before = old.text("app", &[]);
    let id = old.dump("app", &[]);
    let new = World::new();
    let repo = format!("file://{}", old.path("repo").display());
    let refused = new.run(&["restore-dump", &id, "--into", "app", "--repo", &repo]);
    refused.refused(1, "role");
    assert_eq!(new.databases(), Vec::<String>::new());
    new.run(&["restore-dump", &id, "--into", "app", "--globals", "--repo", &repo]).fine();
    same(&new.text("app", &[]), &before, "on the other server");
    let hash =
        |w: &World| w.pg.psql("postgres", "select rolpassword from pg_authid where rolname = 'writer'");
    assert_eq!(hash(&new), hash(&old));
}
