//! What can go wrong between us and a database: a clear line, the right status, and the others still audited.

use crate::data::{TWELVE, sqlite};
use crate::world::{World, of, text};
use std::time::Duration;
use testkit::{Cable, until};

#[test]
fn a_table_or_a_column_that_is_not_there() {
    let world = World::app("alter table users rename column last_login_at to seen");
    let said = world.run(&["app"]).refused(1, "last_login_at does not exist");
    assert!(said.contains("hint: name tables and columns with --mapping"), "{said}");
    world.run(&["app", "--db", &world.pg.url()]).refused(1, "relation \"roles\" does not exist");
    sqlite(&world.path("a.db"), "drop table users");
    world
        .run(&["app", "--db", &format!("sqlite:{}", world.path("a.db").display())])
        .refused(1, "no such table: users");
    world.run(&["app", "--db", "sqlite:/nowhere.db"]).refused(1, "open /nowhere.db");
    world.run(&["app", "--mapping", "rails"]).refused(2, "there is no mapping \"rails\"");
}

#[test]
fn rows_hidden_by_row_level_security_are_not_taken_for_all() {
    let world = World::app(TWELVE);
    world.pg.psql("app", "create role auditor login; grant select on all tables in schema public to auditor; alter table users enable row level security; create policy own on users using (id = 1)");
    let db = world.pg.conninfo("app").replace("user=postgres", "user=auditor");
    let said = world.run(&["app", "--db", &db]).refused(1, "row-level security");
    assert!(said.contains("hint: row-level security would hide rows"), "{said}");
    world.pg.psql("app", "alter role auditor bypassrls");
    assert_eq!(world.run(&["app", "--db", &db]).status, Some(4));
}

#[test]
fn a_database_that_fails_does_not_hide_the_others() {
    let mut world = World::app(TWELVE);
    world.pg.psql("postgres", "create database empty");
    let records = world.records(&["app", "--db", &world.pg.url_of("empty"), "--db", &world.pg.url_of("app")]);
    let failed = of(&records, "not-audited");
    assert_eq!(
        (failed.len(), text(failed[0], "severity"), text(failed[0], "source")),
        (1, "unknown", "main/empty")
    );
    assert_eq!(of(&records, "unused").len(), 3);
    world
        .run(&["app", "--db", &world.pg.url_of("app"), "--db", &world.pg.url_of("app")])
        .refused(2, "two databases are called app");
    let (db, config) = (world.pg.conninfo("postgres"), "databases = ['app', 'empty']");
    world.config(&format!("[cluster.main]\ndb = \"{}\"\n{config}\n", db.replace('"', "\\\"")));
    world.set("DATABASE_URL", "");
    assert_eq!(of(&world.records(&["app"]), "not-audited").len(), 1);
}

#[test]
fn a_query_that_takes_too_long() {
    let world = World::app(
        "alter table users rename to people; create view users as select people.* from people, pg_sleep(5); insert into people (email) values ('a@x.org')",
    );
    let said = world.run(&["app", "--timeout", "200ms"]).refused(75, "statement timeout");
    assert!(said.contains("hint: give the queries longer with --timeout"), "{said}");
}

#[test]
fn a_connection_that_is_lost() {
    let pg = testkit::Pg::builder().tcp().start();
    let world = World::with(pg);
    world.pg.psql("postgres", crate::world::SCHEMA);
    world.pg.psql("postgres", "insert into users (email, is_active) select 'u' || n || '@x.org', true from generate_series(1, 200000) n");
    let cable = Cable::to(([127, 0, 0, 1], world.pg.port()).into());
    cable.cut_after(1_000_000);
    let db =
        format!("host=127.0.0.1 port={} user=postgres dbname=postgres sslmode=disable", cable.addr().port());
    let ran = world.run(&["app", "--db", &db]);
    assert_eq!(ran.status, Some(75), "{}", ran.stderr);
    until("the server's session ends", Duration::from_secs(10), || {
        let left = world
            .pg
            .psql("postgres", "select count(*) from pg_stat_activity where application_name = 'user-audit'");
        if left == "0" { Ok(()) } else { Err(left) }
    });
}

#[test]
fn the_servers_counters_prove_that_nothing_was_written() {
    let world = World::app(TWELVE);
    let counters = || {
        let _ = world.pg.psql("postgres", "select pg_stat_force_next_flush()");
        world.pg.psql(
            "postgres",
            "select tup_inserted, tup_updated, tup_deleted from pg_stat_database where datname = 'app'",
        )
    };
    let objects = || {
        world.pg.psql("app", "select count(*), max(oid) from pg_class; select count(*) from pg_proc; select pg_current_wal_insert_lsn()")
    };
    world.pg.psql("app", "checkpoint; select pg_stat_force_next_flush()");
    let (before, there) = (counters(), objects());
    for verb in ["app", "roles"] {
        let ran = world.run(&[verb, "--at", crate::world::AT]);
        assert_eq!(ran.status, Some(4), "{ran:?}");
    }
    until("the audit's session ended", Duration::from_secs(10), || {
        let left = world
            .pg
            .psql("postgres", "select count(*) from pg_stat_activity where application_name = 'user-audit'");
        if left == "0" { Ok(()) } else { Err(left) }
    });
    assert_eq!(counters(), before);
    assert_eq!(objects(), there, "no object, no byte of WAL");
}
