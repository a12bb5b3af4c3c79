//! Roles, files and servers that do not answer as one would like.

use crate::world::{Verified, World};

const ROWS: &str = "create table t (id integer primary key, v text); insert into t values (1, 'x'), (2, 'y')";
const COPY: &str = "create table t (id bigserial primary key, v text); insert into t values (1, 'x'), (2, 'y'); \
    select setval('t_id_seq', 2); create role reader login; grant select on t to reader";

fn as_reader(world: &World) -> String {
    world.pg.url().replace("postgres@", "reader@")
}

#[test]
fn a_role_that_may_only_read_is_enough() {
    let world = World::both(ROWS, COPY);
    world.pg.psql("postgres", "grant select on sequence t_id_seq to reader; alter role reader set default_transaction_read_only = on; \
        alter role reader set timezone = 'Asia/Tokyo'; alter role reader set datestyle = 'German'; alter role reader set bytea_output = 'escape'");
    world.verify_as(&as_reader(&world), &[]).equal();
    let before = std::fs::read(world.file()).expect("read");
    world.verify_as(&as_reader(&world), &[]).equal();
    assert_eq!(std::fs::read(world.file()).expect("read"), before);
}

#[test]
fn a_role_that_may_not_read_is_told_what_it_needs() {
    let world = World::both(ROWS, &format!("{COPY}; revoke select on t from reader"));
    world.verify_as(&as_reader(&world), &[]).refused(1, "permission denied for table t");
}

/// Rows that a policy hides would look like lost ones.
#[test]
fn row_level_security_is_refused_not_believed() {
    let world = World::both(ROWS, COPY);
    world.pg.psql("postgres", "alter table t enable row level security; create policy p on t using (id = 1)");
    world.verify_as(&as_reader(&world), &[]).refused(1, "row-level security");
}

#[test]
fn nothing_compared_is_never_equal() {
    let world = World::both(ROWS, "select 1");
    world.verify(&[]).refused(4, "nothing was compared");
    let world = World::both("create view v as select 1", "select 1");
    assert_eq!(world.verify(&[]).differs(), ["missing v view"]);
    world.pg.psql("postgres", "create view v as select 1");
    assert_eq!(world.verify(&[]).status, Some(0));
}

#[test]
fn the_schema_can_be_named() {
    let world = World::both(ROWS, &format!("create schema app; set search_path = app; {COPY}"));
    world.verify(&["--schema", "app"]).equal();
    world.verify(&["--schema", "nowhere"]).refused(4, "nothing was compared");
}

#[test]
fn files_that_are_no_databases() {
    let world = World::new();
    world.verify(&[]).refused(2, "app.db");
    std::fs::write(world.file(), "this is not a database, but long enough to be read as one".repeat(50))
        .expect("write");
    world.verify(&[]).refused(1, "encrypted");
}

#[test]
fn a_server_that_is_not_there_may_be_tried_again() {
    let world = World::both(ROWS, "select 1");
    world.verify_as("host=/nonexistent dbname=x user=x", &[]).refused(75, "/nonexistent");
}

/// The file is in WAL mode and somebody writes to it all the time: each run sees one moment.
#[test]
fn a_live_file_is_read_at_one_moment() {
    let world = World::new();
    world.sqlite("pragma journal_mode = wal; create table a (id integer primary key, n integer); \
        create table b (id integer primary key, n integer); insert into a values (1, 500); insert into b values (1, 500)");
    world.pg.psql("postgres", "create table a (id bigserial primary key, n bigint); create table b (id bigserial primary key, n bigint); \
        insert into a values (1, 0); insert into b values (1, 0); select setval('a_id_seq', 1), setval('b_id_seq', 1)");
    let (stop, db) = (std::sync::atomic::AtomicBool::new(false), world.open());
    db.busy_timeout(std::time::Duration::from_secs(10)).expect("a timeout");
    std::thread::scope(|scope| {
        let stopped = &stop;
        scope.spawn(move || {
            while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                db.execute_batch("begin immediate; update a set n = n - 1; update b set n = n + 1; commit")
                    .expect("transfer");
            }
        });
        for _ in 0..5 {
            let records = world.verify(&[]).records();
            let values = records.iter().filter(|r| r["kind"] == "value");
            let total: i64 = values.filter_map(|r| r["source"].as_str()?.parse::<i64>().ok()).sum();
            assert_eq!(total, 1000, "{records:#?}");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
