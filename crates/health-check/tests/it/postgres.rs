//! PostgreSQL's checks against real servers.

use crate::world::{World, alarms};
use testkit::Pg;

#[test]
fn a_server_is_judged_by_a_role_with_pg_monitor_alone() {
    for major in testkit::majors() {
        let pg = Pg::start_major(major, &["wal_level=replica"]);
        pg.psql("postgres", "create role monitor login; grant pg_monitor to monitor; create role bare login");
        let world = World::new();
        let db = |user: &str| pg.conninfo("postgres").replace("user=postgres", &format!("user={user}"));
        let ran = world.run(&["postgres", "--json", "--no-state", "--db", &db("monitor")]);
        assert_eq!(alarms(&ran), Vec::<String>::new(), "{major}: {}", ran.said());
        assert!(ran.stdout.contains("pg-wal"), "{}", ran.said());
        // A right that is missing is not health, and the grant is named.
        let bare = world.run(&["postgres", "--json", "--no-state", "--db", &db("bare")]);
        assert_eq!(alarms(&bare), ["pg-right postgres unknown"], "{major}: {}", bare.said());
        assert!(bare.stdout.contains("grant pg_monitor to"), "{}", bare.said());
    }
}

#[test]
fn slots_sessions_and_locks_are_seen() {
    let pg = Pg::start(&["wal_level=replica", "max_connections=20"]);
    pg.psql(
        "postgres",
        "select pg_create_physical_replication_slot('left_over', true); create table t (a int)",
    );
    let world = World::new();
    world.put("toban.toml", &format!(
        "[health.postgres.main]\ndb = \"{}\"\nrole = 'standby'\nstandbys = ['replica']\nidle_in_transaction = '0s'\n",
        pg.url()
    ));
    let run = |more: &[&str]| world.run(&[&["postgres", "--json", "--no-state"], more].concat());
    let found = alarms(&run(&[]));
    for expected in
        ["pg-slot main/left_over warning", "pg-role main critical", "pg-standby main/replica critical"]
    {
        assert!(found.iter().any(|f| f == expected), "{expected}: {found:?}");
    }
}

#[test]
fn a_server_that_is_away_is_critical_and_a_stranger_unknown() {
    let mut pg = Pg::start(&[]);
    let world = World::new();
    let db = pg.conninfo("postgres");
    let nobody = db.replace("user=postgres", "user=nobody_here");
    let ran = world.run(&["postgres", "--json", "--no-state", "--db", &nobody]);
    assert_eq!(alarms(&ran), ["pg-connect postgres unknown"], "{}", ran.said());
    assert_eq!(ran.status, Some(75), "nothing was judged: {}", ran.said());
    pg.stop();
    let ran = world.run(&["postgres", "--monitoring", "--no-state", "--db", &db]);
    assert_eq!(ran.status, Some(2), "{}", ran.said());
}
