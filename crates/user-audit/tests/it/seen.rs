//! When roles were last seen: by real logs in every format, by sessions, by a login event trigger's table.

use crate::world::{World, of, text};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use testkit::{Pg, majors, until};

#[test]
fn when_a_role_was_last_seen_and_by_which_source() {
    let world = World::new();
    world.pg.psql("postgres", "create role alice login; create role idle login; create role gone login");
    let log = "2026-05-01 00:00:00.000 UTC [1] LOG:  starting\n2026-11-20 01:02:03.456 UTC [77] LOG:  connection authorized: user=alice database=app\n\
               2026-06-01 01:02:03.456 UTC [77] LOG:  connection authorized: user=gone database=app\n";
    std::fs::write(world.path("pg.log"), log).expect("write a log");
    let gz = std::fs::File::create(world.path("old.log.gz")).expect("create");
    let done = Command::new("gzip").arg("-c").arg(world.path("pg.log")).stdout(gz).status().expect("gzip");
    assert!(done.success());
    for file in ["pg.log", "old.log.gz"] {
        let records = world.records(&["roles", "--log", file]);
        let said = |rule: &str, role: &str| of(&records, rule).into_iter().any(|r| r["object"] == role);
        assert!(
            said("role-seen", "alice") && said("role-unused", "idle") && said("role-unused", "gone"),
            "{records:?}"
        );
    }
    let records = world.records(&["roles"]);
    assert!(of(&records, "role-unused").is_empty(), "without a log nobody can tell");
    assert_eq!(
        of(&records, "role-seen").iter().filter(|r| text(r, "text").contains("says nothing")).count(),
        4
    );
}

/// Logs in once as this role, under this application name.
fn login(world: &World, role: &str, program: &str) {
    let to = format!(
        "host={} port={} user='{role}' dbname=postgres",
        world.pg.socket_dir().display(),
        world.pg.port()
    );
    let mut psql = testkit::pg::clean(&world.pg.bin("psql"));
    psql.env("PGAPPNAME", program);
    let done = psql.args(["-XAtq", "-d", &to, "-c", "select 1"]).output().expect("run psql");
    assert!(done.status.success(), "{done:?}");
}

/// What is said of a role, by whichever rule.
fn said(records: &[serde_json::Value], role: &str) -> String {
    let all = records.iter().filter(|r| text(r, "id").starts_with("role-") && r["object"] == role);
    all.map(|r| text(r, "text")).collect::<Vec<_>>().join("; ")
}

#[test]
fn the_servers_own_logs_in_every_format_it_has() {
    for major in majors() {
        // 18 takes a list, and jsonlog is there from 15 on.
        let connections =
            if major >= 18 { "log_connections=receipt,authorization" } else { "log_connections=on" };
        let formats = if major >= 15 { "stderr,csvlog,jsonlog" } else { "stderr,csvlog" };
        let pg = Pg::builder_major(major)
            .set(connections)
            .set(&format!("log_destination={formats}"))
            .set("logging_collector=on")
            .set("log_directory=logs")
            .set("log_filename=pg.log")
            .set("log_line_prefix=%q[%p] %u@%d %m ")
            .set("log_timezone=Asia/Kolkata");
        let world = World::with(pg.start());
        world.pg.psql("postgres", "create role \"anna mo\" login; create role idle login");
        login(&world, "anna mo", "nightly report");
        for format in formats.split(',').map(|f| f.replace("stderr", "log").replace("log", ".log")) {
            let name = match format.as_str() {
                ".log" => "pg.log",
                "csv.log" => "pg.csv",
                _ => "pg.json",
            };
            let file: PathBuf = world.pg.data_dir().join("logs").join(name);
            until("the log is written", Duration::from_secs(10), || {
                let text = std::fs::read_to_string(&file).map_err(|e| e.to_string())?;
                if text.contains("user=anna mo") { Ok(()) } else { Err(text) }
            });
            let path = file.display().to_string();
            let records = world.run(&["roles", "--json", "--log", &path, "--unused", "1h"]).findings();
            let told = said(&records, "anna mo");
            assert_eq!(told, "last seen by log_connections, by nightly report", "{major} {name}");
            let since = of(&records, "role-seen")
                .into_iter()
                .find(|r| r["object"] == "anna mo")
                .map(|r| text(r, "since").to_string());
            let at: jiff::Timestamp = since.expect("a time").parse().expect("RFC 3339");
            let age = jiff::Timestamp::now().duration_since(at).as_secs();
            assert!((0..120).contains(&age), "{major} {name}: {age} s ago, whatever zone the log is in");
            assert!(said(&records, "idle").contains("that says nothing"), "the log is not an hour old");
        }
    }
}

#[test]
fn sessions_that_are_there_and_what_they_call_themselves() {
    let world = World::new();
    world.pg.psql("postgres", "create role app login");
    let to =
        format!("host={} port={} user=app dbname=postgres", world.pg.socket_dir().display(), world.pg.port());
    let mut psql = testkit::pg::clean(&world.pg.bin("psql"));
    psql.env("PGAPPNAME", "PgBouncer - web1").args(["-XAtq", "-d", &to]);
    let mut session = psql.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("run psql");
    until("the session is there", Duration::from_secs(10), || {
        let n = world.pg.psql("postgres", "select count(*) from pg_stat_activity where usename = 'app'");
        if n == "1" { Ok(()) } else { Err(n) }
    });
    let records = world.run(&["roles", "--json"]).findings();
    assert_eq!(
        said(&records, "app"),
        "last seen by a session that is there now, by PgBouncer - web1; behind PgBouncer - web1 one role stands for many people"
    );
    drop(session.stdin.take());
    session.wait().expect("psql ends");
}

/// The trigger of docs/guide/audit.md.
fn trigger() -> String {
    let guide = include_str!("../../../../docs/guide/audit.md");
    let from = guide.find("create table audit_login").expect("the guide has the trigger");
    let text = &guide[from..];
    text[..text.find("```").expect("the block ends")].to_string()
}

#[test]
fn the_table_of_a_login_event_trigger() {
    let world = World::with(Pg::start_major(18, &[]));
    let table = ["roles", "--json", "--login-table", "audit_login"];
    world.pg.psql("postgres", "create role anna login; create role bert login");
    let skipped = |records: &[serde_json::Value]| {
        let all = of(records, "skipped");
        all.iter().find(|r| r["key"] == "login-table").map(|r| text(r, "text").to_string())
    };
    let none = skipped(&world.run(&table).findings()).expect("there is no trigger yet");
    assert!(none.contains("no login trigger that is enabled"), "{none}");
    world.pg.psql("postgres", &trigger());
    login(&world, "anna", "x");
    login(&world, "anna", "x");
    let records = world.run(&table).findings();
    assert_eq!(said(&records, "anna"), "last seen by the table of logins to this database");
    assert!(
        said(&records, "bert").starts_with("not seen") && said(&records, "bert").ends_with("says nothing")
    );
    assert_eq!(world.pg.psql("postgres", "select count(*) from audit_login where role = 'anna'"), "1");
    let db = world.pg.conninfo("postgres").replace("user=postgres", "user=bert");
    let refused = skipped(&world.run(&[&table[..], &["--db", &db]].concat()).findings());
    assert!(refused.expect("bert may not read it").contains("permission denied"));
    world.pg.psql("postgres", "alter event trigger audit_login disable");
    assert!(skipped(&world.run(&table).findings()).is_some());
    world.pg.psql("postgres", "alter event trigger audit_login enable");
    let said = world
        .run(&["roles", "--login-table", "nowhere.x"])
        .refused(1, "relation \"nowhere.x\" does not exist");
    assert!(said.contains("hint: --login-table [SCHEMA.]TABLE"), "{said}");
    let old = World::with(Pg::start_major(16, &[]));
    let said = skipped(&old.run(&table).findings()).expect("16 has none");
    assert!(said.contains("from 17 on"), "{said}");
}
