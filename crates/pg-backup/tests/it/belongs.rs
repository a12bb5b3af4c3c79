//! What belongs to a database and is not in its dump: the rows of the table in docs/guide/dump.md, one by one.

use crate::world::{Ran, World, majors, same};
use std::process::Command;
use std::time::Duration;
use testkit::{Pg, until};

fn kept_name(ran: &Ran) -> String {
    let record: serde_json::Value = serde_json::from_str(&ran.stdout).expect("a record");
    record["kept"].as_str().expect("a name").to_string()
}

/// Owner, encoding, locale, tablespace, limit, comment, privileges, settings and template come back with the dump, and
/// stay as they are where a database is replaced; security labels and logical slots are told.
#[test]
fn properties_come_back_and_what_does_not_is_told() {
    let major = |m| World::with(Pg::start_major(m, &["wal_level=logical", "allow_in_place_tablespaces=on"]));
    for world in majors().into_iter().map(major) {
        let pg = &world.pg;
        pg.psql("postgres", "create role boss; create role r; create tablespace fast location ''");
        pg.psql(
            "postgres",
            "create database app template template0 encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' owner boss \
             tablespace fast connection limit 7 is_template true",
        );
        pg.psql(
            "postgres",
            "comment on database app is 'it''s'; alter database app set search_path to \"$user\", public; \
             alter role r in database app set work_mem to '3MB'; revoke all on database app from public; \
             grant connect on database app to r with grant option",
        );
        pg.psql(
            "app",
            "create table t as select 1 as n; create publication p for table t; \
             alter default privileges grant select on tables to r; \
             create function f() returns event_trigger language plpgsql as 'begin end'; \
             create event trigger e on ddl_command_end execute function f(); alter event trigger e disable",
        );
        let before = world.text("app", &["--create"]);
        pg.psql(
            "app",
            "select pg_create_logical_replication_slot('cdc', 'pgoutput'); \
             insert into pg_shseclabel values ((select oid from pg_database where datname = 'app'), \
             'pg_database'::regclass, 'guard', 'secret')",
        );
        world.dump("app", &[]);
        pg.psql("postgres", "select pg_drop_replication_slot('cdc')");
        pg.psql("postgres", "alter database app is_template false");
        pg.psql("postgres", "drop database app");

        let ran = world.run(&["restore-dump", "latest", "--replace", "app"]);
        assert_eq!(ran.status, Some(0), "{ran:?}");
        assert!(ran.stderr.contains("logical slots cdc: no dump holds them"), "{ran:?}");
        assert!(ran.stderr.contains("app lacks its security label of guard"), "{ran:?}");
        same(&world.text("app", &["--create"]), &before, "dropped and restored");

        // What is in service now decides, not what was dumped.
        pg.psql(
            "postgres",
            "alter database app connection limit 9; alter role r in database app reset work_mem",
        );
        let live = world.text("app", &["--create"]);
        let ran = world.run(&["restore-dump", "latest", "--replace", "app", "--json"]);
        assert_eq!(ran.status, Some(0), "{ran:?}");
        same(&world.text("app", &["--create"]), &live, "replaced");
        // Before 15 the old database is kept; as another template it would be in the way of DROP DATABASE.
        if pg.major() < 15 {
            pg.psql("postgres", &format!("drop database {}", kept_name(&ran)));
        }
        assert_eq!(world.databases(), ["app"]);
    }
}

#[test]
fn a_logical_slot_keeps_the_old_database_and_both_are_told() {
    let world = World::with(Pg::start(&["wal_level=logical"]));
    world.app();
    world.dump("app", &[]);
    world.pg.psql("app", "select pg_create_logical_replication_slot('cdc', 'pgoutput')");
    let plan = world.run(&["restore-dump", "latest", "--replace", "app", "--dry-run"]);
    assert!(plan.status == Some(0) && plan.stderr.contains("logical slot cdc would stay"), "{plan:?}");
    let ran = world.run(&["restore-dump", "latest", "--replace", "app", "--json"]);
    assert!(ran.status == Some(0) && ran.stderr.contains("logical slot cdc stays with the old"), "{ran:?}");
    let of = "select database from pg_replication_slots where slot_name = 'cdc'";
    assert_eq!(world.pg.psql("postgres", of), kept_name(&ran));

    // The same for a database that holds nothing else: it is no empty one.
    world.pg.psql("postgres", "create database bare");
    world.pg.psql("bare", "select pg_create_logical_replication_slot('other', 'pgoutput')");
    let into = ["restore-dump", "latest", "--of", "app", "--into", "bare"];
    world.run(&into).refused(1, "not empty");
    for only in
        ["create publication p for all tables", "alter default privileges grant select on tables to public"]
    {
        world.pg.psql("postgres", "drop database if exists bare2");
        world.pg.psql("postgres", "create database bare2");
        world.pg.psql("bare2", only);
        world.run(&["restore-dump", "latest", "--of", "app", "--into", "bare2"]).refused(1, "not empty");
    }
}

/// Rows of `t` in `database`, in order.
fn rows(world: &World, database: &str) -> String {
    world.pg.psql(database, "select string_agg(n::text, ' ' order by n) from t")
}

fn wait_for(world: &World, database: &str, wanted: &str) {
    until(&format!("{database} holds {wanted}"), Duration::from_secs(30), || match rows(world, database) {
        seen if seen == wanted => Ok(()),
        seen => Err(seen),
    });
}

/// `app` receives the table `t` of `src`.
fn subscribed() -> World {
    let world = World::with(Pg::start(&["wal_level=logical", "wal_retrieve_retry_interval=100ms"]));
    world.pg.psql("postgres", "create database src");
    world.pg.psql("postgres", "create database app");
    world.pg.psql("src", "create table t (n integer primary key); create publication p for table t");
    world.pg.psql("src", "select pg_create_logical_replication_slot('sub', 'pgoutput')");
    let subscribe = format!(
        "create table t (n integer primary key); create subscription sub connection '{}' publication p \
         with (create_slot = false, slot_name = 'sub', copy_data = false)",
        world.pg.conninfo("src").replace('\'', "''")
    );
    world.pg.psql("app", &subscribe);
    world.pg.psql("src", "insert into t values (1)");
    wait_for(&world, "app", "1");
    world
}

#[test]
fn of_two_copies_of_a_subscription_only_one_receives() {
    let world = subscribed();
    world.dump("app", &[]);
    world.pg.psql("src", "insert into t values (2)");
    wait_for(&world, "app", "1 2");

    let ran = world.run(&["restore-dump", "latest", "--replace", "app", "--json"]);
    assert!(ran.status == Some(0) && ran.stderr.contains("subscription sub of the old"), "{ran:?}");
    let old = kept_name(&ran);
    world.pg.psql("src", "insert into t values (3)");
    let slot = "select active from pg_replication_slots where slot_name = 'sub'";
    until("nobody reads the slot", Duration::from_secs(20), || match world.pg.psql("src", slot).as_str() {
        "f" => Ok(()),
        other => Err(other.into()),
    });
    // As docs/guide/dump.md has it: what was sent since the dump is copied anew.
    for sql in ["truncate t", "alter subscription sub enable", "alter subscription sub refresh publication"] {
        world.pg.psql("app", sql);
    }
    wait_for(&world, "app", "1 2 3");
    assert_eq!(rows(&world, &old), "1 2");

    // A copy beside has no slot: dropped, it leaves the live one's alone.
    let ran = world.run(&["restore-dump", "latest", "--of", "app", "--into", "beside"]);
    assert!(ran.status == Some(0) && ran.stderr.contains("subscription sub of beside"), "{ran:?}");
    world.pg.psql("beside", "drop subscription sub");
    world.pg.psql(&old, "drop subscription sub");
    world.pg.psql("src", "insert into t values (4)");
    wait_for(&world, "app", "1 2 3 4");
}

/// A database with a subscription cannot be dropped: what a restore gives up or tries out must go all the same.
#[test]
fn subscriptions_leave_no_database_behind() {
    let world = subscribed();
    let id = world.dump("app", &["--format", "sql"]);
    world.run(&["verify", &id, "--deep"]).fine();
    assert_eq!(world.databases(), ["app", "src"]);

    let file = world.path("broken.sql");
    std::fs::write(&file, world.text("app", &[]) + "select 1/0;\n").expect("write");
    world.run(&["restore-dump", &file.display().to_string(), "--into", "beside"]).refused(1, "division");
    assert_eq!(world.databases(), ["app", "src"]);
    world.pg.psql("src", "insert into t values (2)");
    wait_for(&world, "app", "1 2");

    // A role that could not stop it does not put another database in its place.
    world.pg.psql("postgres", "create role weak login createdb in role pg_read_all_data, pg_signal_backend");
    let weak = world.pg.conninfo("postgres").replace("user=postgres", "user=weak");
    for more in [&["--dry-run"][..], &["--no-safety-dump"]] {
        let args = [&["restore-dump", &id, "--replace", "app", "--db", &weak], more].concat();
        let said = world.run(&args).refused(1, "subscription \"sub\" is enabled");
        assert!(said.contains("alter subscription \"sub\" disable"), "{said}");
    }
}

/// Settings of a database are in somebody's archive, and only `pg_restore --create` applies them.
#[test]
fn what_an_archive_of_others_knows_of_its_database_is_told() {
    let world = World::new();
    world.app();
    world.pg.psql("postgres", "alter database app set work_mem to '5MB'");
    let file = world.path("app.dump");
    let mut dump = Command::new(world.pg.bin("pg_dump"));
    dump.args(["-Fc", "-d", &world.pg.conninfo("app"), "-f"]).arg(&file);
    assert!(dump.status().expect("run pg_dump").success());
    let ran = world.run(&["restore-dump", &file.display().to_string(), "--into", "beside"]);
    assert!(ran.status == Some(0) && ran.stderr.contains("pg_restore --create"), "{ran:?}");
    world.run(&["restore-dump", &file.display().to_string(), "--replace", "app"]).fine();
    assert_eq!(world.pg.psql("app", "show work_mem"), "5MB");
}

/// The role of docs/guide/dump.md: it reads the password hashes too, and what it cannot see is told.
#[test]
fn a_role_that_reads_everything_dumps_all_but_what_it_is_told() {
    let world = World::new();
    world.app();
    let pg = &world.pg;
    pg.psql("postgres", "create role backup login bypassrls; grant pg_read_all_data to backup");
    pg.psql("postgres", "create role app login password 'canary-Pa55'");
    pg.psql("app", "alter table users enable row level security; alter table users force row level security");
    let backup = pg.conninfo("postgres").replace("user=postgres", "user=backup");
    let id = world.dump("app", &["--db", &backup]);
    let globals = world.path(&format!("repo/main/dump/app/{id}.globals.sql.gz"));
    let shown =
        Command::new("zgrep").args(["-c", "PASSWORD 'SCRAM"]).arg(globals).output().expect("run zgrep");
    assert_eq!(String::from_utf8_lossy(&shown.stdout).trim(), "1");
    world.run(&["restore-dump", &id, "--into", "beside"]).fine();
    assert_eq!(pg.psql("beside", "select count(*) from users"), "1000");

    pg.psql(
        "app",
        "create extension postgres_fdw; create server far foreign data wrapper postgres_fdw; \
         create user mapping for app server far options (user 'u', password 'canary-fdw')",
    );
    let ran = world.run(&["dump", "app", "--db", &backup]);
    assert!(ran.status == Some(0) && ran.stderr.contains("user mapping app on far"), "{ran:?}");
    world.run(&["dump", "app"]).fine();
    pg.psql("app", "select lo_from_bytea(4242, 'x')");
    world.run(&["dump", "app", "--db", &backup]).refused(1, "large object");
}
