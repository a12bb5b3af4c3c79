//! What cannot be seen from where we stand is named, and never taken for well.

use crate::world::{World, of, text};
use testkit::{Cable, Pg, majors};

/// Objects that were skipped: severity UNKNOWN, each with an advice.
fn skipped(world: &World, args: &[&str]) -> Vec<String> {
    let records = world.records(&[&["roles"], args].concat());
    let all = of(&records, "skipped");
    assert!(all.iter().all(|r| r["severity"] == "unknown" && !text(r, "advice").is_empty()), "{all:?}");
    all.iter().map(|r| text(r, "object").to_string()).collect()
}

#[test]
fn a_standby_is_audited_and_the_primary_is_missed() {
    let primary = World::with(Pg::start(&[]));
    assert_eq!(skipped(&primary, &[]), [""; 0]);
    primary.pg.psql("postgres", "create role boss superuser login");
    let standby = World::with(Pg::builder().standby_of(&primary.pg).start());
    assert_eq!(skipped(&standby, &[]), ["primary"]);
    let records = standby.records(&["roles"]);
    assert!(of(&records, "superuser").iter().any(|r| r["object"] == "boss"), "roles are the primary's");
    assert!(text(of(&records, "server")[0], "text").ends_with(", a standby"));
}

#[test]
fn something_between_us_and_the_server() {
    let world = World::with(Pg::builder().tcp().start());
    let direct = format!("host=127.0.0.1 port={} user=postgres dbname=postgres", world.pg.port());
    assert_eq!(skipped(&world, &["--db", &direct]), [""; 0]);
    let cable = Cable::to(([127, 0, 0, 1], world.pg.port()).into());
    let through =
        format!("host=127.0.0.1 port={} user=postgres dbname=postgres sslmode=disable", cable.addr().port());
    assert_eq!(skipped(&world, &["--db", &through]), ["pooler"]);
}

#[test]
fn a_managed_service_and_what_its_role_may() {
    let world = World::new();
    world.pg.psql(
        "postgres",
        "create role rds_superuser; create role anna login; grant rds_superuser to anna; create role auditor login; \
         revoke execute on function pg_control_system() from public",
    );
    let db = world.pg.conninfo("postgres").replace("user=postgres", "user=auditor");
    let hidden = skipped(&world, &["--db", &db]);
    assert_eq!(hidden, ["provider", "passwords", "pg_hba.conf", "pg_hba.conf loaded"]);
    let records = world.records(&["roles", "--db", &db]);
    let anna = of(&records, "rds-superuser").into_iter().find(|r| r["object"] == "anna").expect("anna");
    assert_eq!(anna["severity"], "critical");
}

#[test]
fn every_kind_of_auditor_and_a_session_that_may_only_read() {
    for major in majors() {
        let world = World::with(Pg::start_major(major, &[]));
        world.pg.psql(
            "postgres",
            "create role bare login; create role settings login; grant pg_read_all_settings to settings; \
             create role monitor login; grant pg_monitor to monitor; create role chief login superuser; \
             alter role all set default_transaction_read_only = on",
        );
        let hidden = |role: &str| {
            let db = world.pg.conninfo("postgres").replace("user=postgres", &format!("user={role}"));
            skipped(&world, &["--db", &db])
        };
        let most = ["passwords", "pg_hba.conf", "pg_hba.conf loaded"];
        assert_eq!(hidden("bare"), most, "{major}");
        assert_eq!(hidden("settings"), most, "{major}");
        assert_eq!(hidden("monitor"), most, "{major}");
        assert_eq!(hidden("chief"), [""; 0], "{major}");
    }
}

#[test]
fn names_that_would_break_a_terminal_a_line_or_a_statement() {
    let world = World::new();
    let name = "evil\"; drop table x; --\u{1b}[2J\n\t'\u{202e}é";
    world.pg.psql("postgres", &format!("create role \"{}\" login superuser", name.replace('"', "\"\"")));
    let ran = world.run(&["roles"]);
    assert!(ran.status == Some(4) && !ran.stdout.contains(['\u{1b}', '\r', '\u{202e}']), "{:?}", ran.stdout);
    assert!(
        ran.stdout.lines().all(|l| l.split('\t').count() == 7),
        "one line and seven cells for each finding"
    );
    let records = world.records(&["roles"]);
    assert!(of(&records, "superuser").iter().any(|r| r["object"] == name), "JSON has it as it is");
}
