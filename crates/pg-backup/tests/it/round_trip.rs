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
    counted(world);
    let (before, whole) = (world.text("Ops DB", &[]), world.text("Ops DB", &["--create"]));
    for form in forms {
        let id = world.dump("Ops DB", &["--format", form]);
        world.run(&["restore-dump", &id, "--into", "beside"]).fine();
        same(&world.text("beside", &[]), &before, &format!("{form}: beside"));
        world
            .pg
            .psql("Ops DB", "drop table child cascade; create table intruder (); select nextval('counter')");
        counted(world);
        let restored = world.run(&["restore-dump", &id, "--replace", "Ops DB", "--json"]).json();
        same(&world.text("Ops DB", &["--create"]), &whole, &format!("{form}: replaced"));
        assert!(restored[0]["tables"].as_u64().expect("a number") >= 15, "{restored:?}");
        assert_eq!(restored[0]["kept"], serde_json::Value::Null);
        world.pg.psql("postgres", "drop database beside");
    }
    assert_eq!(world.databases(), ["Ops DB"]);
}

/// PostgreSQL 14 counts written rows a moment later, which would look like somebody who writes during the restore.
fn counted(world: &World) {
    let sql = "select sum(n_tup_ins) from pg_stat_user_tables";
    let mut last = String::new();
    testkit::until("the counters are still", std::time::Duration::from_secs(30), || {
        std::thread::sleep(std::time::Duration::from_millis(if world.pg.major() < 15 { 600 } else { 0 }));
        let now = world.pg.psql("Ops DB", sql);
        if std::mem::replace(&mut last, now.clone()) == now { Ok(()) } else { Err(now) }
    });
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
