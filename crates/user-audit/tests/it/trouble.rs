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
fn four_kinds_of_trouble_in_one_run_and_the_fifth_database_is_audited() {
    let world = World::with(testkit::Pg::builder().tcp().start());
    for name in ["columns", "hidden", "slow", "lost", "app"] {
        world.pg.psql("postgres", &format!("create database {name}"));
        world.pg.psql(name, &format!("set timezone = 'UTC'; {} {TWELVE}", crate::world::SCHEMA));
    }
    world.pg.psql("columns", "alter table users drop column last_login_at");
    world.pg.psql("hidden", "create role auditor login; grant select on all tables in schema public to auditor; alter table users enable row level security");
    world.pg.psql(
        "slow",
        "alter table users rename to people; create view users as select people.* from people, pg_sleep(5)",
    );
    world.pg.psql("lost", "insert into users (id, email, is_active) select n + 99, 'u' || n || '@x.org', true from generate_series(1, 100000) n");
    let cable = Cable::to(([127, 0, 0, 1], world.pg.port()).into());
    cable.cut_after(500_000);
    let hidden = world.pg.conninfo("hidden").replace("user=postgres", "user=auditor");
    let lost =
        format!("host=127.0.0.1 port={} user=postgres dbname=lost sslmode=disable", cable.addr().port());
    let nobody = "host=/nowhere dbname=nobody password=geheim";
    let url = |name: &str| world.pg.url_of(name);
    let dbs = [url("columns"), hidden, url("slow"), lost, nobody.into(), url("app")];
    let args: Vec<&str> = ["app", "--timeout", "2s"]
        .into_iter()
        .chain(dbs.iter().flat_map(|d: &String| ["--db", d.as_str()]))
        .collect();
    let records = world.records(&args);
    for (source, words, advice) in [
        ("main/columns", "column u.last_login_at does not exist", "--mapping"),
        ("main/hidden", "row-level security", "bypassrls"),
        ("main/slow", "for now: read the accounts", "--timeout"),
        ("main/lost", "for now: ", ""),
        ("main/nobody", "for now: ", ""),
    ] {
        let said = of(&records, "not-audited").into_iter().find(|r| text(r, "source") == source);
        let said = said.unwrap_or_else(|| panic!("{source} is not named"));
        assert_eq!(said["severity"], "unknown", "{said}");
        assert!(text(said, "text").contains(words) && text(said, "advice").contains(advice), "{said}");
        assert!(!said.to_string().contains("geheim"), "{said}");
    }
    let app: Vec<serde_json::Value> =
        records.into_iter().filter(|r| text(r, "source") == "main/app").collect();
    assert_eq!(crate::world::troubles(&app), crate::data::DOUBTS);
    for verb in ["app", "roles"] {
        world.run(&[verb, "--db", nobody]).refused(75, "No such file or directory");
    }
}

#[test]
fn roles_on_a_connection_that_is_lost_or_too_slow() {
    let world = World::with(testkit::Pg::builder().tcp().start());
    world.pg.psql("postgres", "do $$ begin for n in 1..3000 loop execute 'create role member_of_a_long_list_' || n; end loop; end $$");
    let cable = Cable::to(([127, 0, 0, 1], world.pg.port()).into());
    cable.cut_after(50_000);
    let db =
        format!("host=127.0.0.1 port={} user=postgres dbname=postgres sslmode=disable", cable.addr().port());
    world.run(&["roles", "--db", &db]).refused(75, "read the roles");
    let said = world.run(&["roles", "--timeout", "1ms"]).refused(75, "statement timeout");
    assert!(said.contains("hint: give the queries longer with --timeout"), "{said}");
}

/// Rows that were written in each database and in what all of them share.
const WRITTEN: &str = "select coalesce(datname, 'shared'), tup_inserted, tup_updated, tup_deleted, temp_files, deadlocks \
    from pg_stat_database order by 1";

/// What pg_waldump reads between two places, but the list of transactions that the server writes every 15 seconds.
fn wal(world: &World, begin: &str, end: &str) -> Vec<String> {
    if begin == end {
        return Vec::new();
    }
    // What nobody waits for lies in memory yet.
    world.pg.psql("postgres", "checkpoint");
    let mut waldump = testkit::pg::clean(&world.pg.bin("pg_waldump"));
    let done =
        waldump.arg("-p").arg(world.pg.data_dir().join("pg_wal")).args(["-s", begin, "-e", end]).output();
    let done = done.expect("run pg_waldump");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    text.lines().filter(|l| !l.contains("RUNNING_XACTS")).map(String::from).collect()
}

#[test]
fn the_servers_counters_prove_that_nothing_was_written() {
    // What the server does by itself writes too.
    for major in testkit::majors() {
        let world =
            World::with(testkit::Pg::start_major(major, &["autovacuum=off", "bgwriter_lru_maxpages=0"]));
        world.pg.psql("postgres", "create database app");
        world.pg.psql("postgres", "create role auditor login; grant pg_monitor, pg_read_all_data to auditor");
        // Whoever reads a new row first notes in it that it is committed, which is logged where pages have checksums.
        let data =
            format!("set timezone = 'UTC'; {} {TWELVE} vacuum freeze; checkpoint", crate::world::SCHEMA);
        world.pg.psql("app", &data);
        let flush = if major >= 15 { "select pg_stat_force_next_flush();" } else { "" };
        let written = || world.pg.psql("postgres", &format!("{flush} {WRITTEN}"));
        let objects = || {
            world.pg.psql(
                "app",
                "select count(*), max(oid) from pg_class; select count(*), max(oid) from pg_proc",
            )
        };
        let place = || world.pg.psql("app", "select pg_current_wal_insert_lsn()");
        let transactions = || {
            let sql = "select xact_commit + xact_rollback from pg_stat_database where datname = 'app'";
            world
                .pg
                .psql("postgres", &format!("{flush} {sql}"))
                .lines()
                .last()
                .and_then(|n| n.parse::<u64>().ok())
        };
        // A session counts what it did when it ends, which is after its client went.
        until("the session that filled it ends", Duration::from_secs(10), || {
            let sql = "select count(*) from pg_stat_activity where datname = 'app'";
            let left = world.pg.psql("postgres", sql);
            if left == "0" { Ok(()) } else { Err(format!("{left} sessions")) }
        });
        let (before, there, count) = (written(), objects(), transactions().expect("a number"));
        let begin = place();
        for (verb, role) in
            [("app", "postgres"), ("roles", "postgres"), ("app", "auditor"), ("roles", "auditor")]
        {
            let db = world.pg.conninfo("app").replace("user=postgres", &format!("user={role}"));
            let ran = world.run(&[verb, "--at", crate::world::AT, "--db", &db]);
            assert_eq!(ran.status, Some(4), "{ran:?}");
        }
        until("the audits' sessions end", Duration::from_secs(10), || {
            let sql = "select count(*) from pg_stat_activity where application_name = 'user-audit'";
            let left = world.pg.psql("postgres", sql);
            if left == "0" { Ok(()) } else { Err(left) }
        });
        assert_eq!(wal(&world, &begin, &place()), [""; 0], "{major}: no byte of WAL");
        assert_eq!(objects(), there, "{major}: no object");
        assert_eq!(written(), before, "{major}: no row, no temporary file");
        until("the audits' transactions are counted", Duration::from_secs(10), || match transactions() {
            Some(now) if now > count => Ok(()),
            now => Err(format!("{now:?} after {count}: these counters prove nothing")),
        });
    }
}
