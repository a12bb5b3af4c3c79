//! Advice that is followed to the letter locks nobody out; and lines of pg_hba.conf that are not what they seem.

use crate::world::{World, of, text};
use std::process::Command;
use testkit::{Pg, until};

/// Statements of advice: what stands before the other ways to go.
fn statement(advice: &str) -> Option<&str> {
    let sql = advice.split(", or ").next().unwrap_or(advice);
    let sql = sql.split(':').next().unwrap_or(sql);
    let whole = !sql.contains('…') && !sql.contains(" grant option");
    (whole && (sql.starts_with("alter role ") || sql.starts_with("revoke "))).then_some(sql)
}

#[test]
fn all_advice_together_leaves_a_superuser_who_can_log_in() {
    for setup in [
        "",
        "create role chief superuser login; create role boss superuser login; create role dba superuser; create role ops login; grant dba to ops",
        "create role dba superuser nologin; create role ops login createdb; create role \"Odd One\" login; grant dba to ops; grant ops to \"Odd One\"",
    ] {
        let world = World::with(Pg::start_major(16, &[]));
        world.pg.psql("postgres", &format!("{setup}; alter role postgres valid until '2020-01-01'"));
        // Everybody was seen once, long ago: nobody is in use.
        let log = world.path("old.log");
        let seen = |role: &str| {
            format!("2026-01-01 00:00:00 UTC [7] LOG:  connection authorized: user={role} database=app\n")
        };
        std::fs::write(&log, ["postgres", "chief", "ops"].map(seen).concat()).expect("write a log");
        let records = world.records(&["roles", "--log", &log.display().to_string()]);
        let kept = records.iter().filter(|r| text(r, "advice").starts_with("keep it")).count();
        assert!(kept > 0, "somebody is to stay: {records:?}");
        let mut sql: Vec<&str> = records.iter().filter_map(|r| statement(text(r, "advice"))).collect();
        sql.dedup();
        assert!(setup.is_empty() || sql.len() > 3, "{sql:?}");
        for one in &sql {
            world.pg.psql("postgres", one);
        }
        let left = "select count(*) from pg_roles r join pg_roles s on s.rolsuper and pg_has_role(r.oid, s.oid, 'member') where r.rolcanlogin";
        assert_ne!(world.pg.psql("postgres", left), "0", "{sql:?}");
    }
}

#[test]
fn the_only_superuser_that_logs_in_is_kept() {
    let world = World::new();
    let record = |records: &[serde_json::Value], rule: &str| {
        of(records, rule).iter().map(|r| text(r, "advice").to_string()).collect::<Vec<_>>()
    };
    let alone = record(&world.records(&["roles"]), "superuser");
    assert!(alone.len() == 1 && alone[0].starts_with("keep it"), "{alone:?}");
    let trust = record(&world.records(&["roles"]), "hba-trust");
    assert!(
        trust.iter().all(|a| a.starts_with("first set passwords under scram-sha-256 for postgres")),
        "{trust:?}"
    );
}

fn enters(world: &World, role: &str, database: &str) -> bool {
    let mut psql: Command = testkit::pg::clean(&world.pg.bin("psql"));
    let to =
        format!("host=127.0.0.1 port={} user={role} dbname={database} connect_timeout=10", world.pg.port());
    psql.args(["-XAtqw", "-d", &to, "-c", "select 1"]);
    psql.output().expect("run psql").status.success()
}

fn said(records: &[serde_json::Value], rule: &str, object: &str) -> String {
    let one = of(records, rule).into_iter().find(|r| text(r, "object") == object);
    one.map(|r| format!("{} {}", text(r, "severity"), text(r, "text"))).unwrap_or_default()
}

#[test]
fn lines_that_are_not_what_they_seem() {
    for major in [15, 18] {
        // Of the servers here only Debian's is built with LDAP.
        let anna = match major {
            15 => "host app anna 127.0.0.1/32 ldap ldapserver=127.0.0.1 ldapprefix=\"uid=\" ldaptls=1",
            _ => "host app anna 127.0.0.1/32 reject",
        };
        let world = World::with(
            Pg::builder_major(major)
                .tcp()
                .hba(anna)
                .hba("host app \"all\" 127.0.0.1/32 trust")
                .hba("host \"replication\" copier 127.0.0.1/32 trust")
                .hba("hostnossl app carl 127.0.0.1/32 reject")
                .hba("host app carl 127.0.0.1/32 trust")
                .hba("hostssl app dora 127.0.0.1/32 trust")
                .hba("host app nil 127.0.0.1/32 trust")
                .hba("host fulldb emil 127.0.0.1/32 trust")
                .start(),
        );
        world.pg.psql(
            "postgres",
            "create role anna login; create role bert login; create role carl login; create role dora login; create role copier login replication; \
             create role emil login; create role nil login connection limit 0; create role \"all\" login; create database app; create database fulldb connection limit 0",
        );
        let records = world.records(&["roles", "--from", "127.0.0.1"]);
        let ldap = said(&records, "hba-cleartext", "host app anna 127.0.0.1/32 ldap");
        assert_eq!(ldap.is_empty(), major != 15, "without TLS to us it is cleartext: {ldap}");
        assert!(!ldap.contains("to LDAP without TLS"), "{ldap}");
        let idle = said(&records, "hba-unreachable", "host app carl 127.0.0.1/32 trust");
        assert!(idle.contains("takes them all (reject)"), "{major}: {idle}");
        for (role, database) in [
            ("anna", "app"),
            ("bert", "app"),
            ("carl", "app"),
            ("dora", "app"),
            ("nil", "app"),
            ("emil", "fulldb"),
            ("all", "app"),
        ] {
            let told = said(&records, "can-log-in", role);
            let way = told.contains("from 127.0.0.1/32") && (role != "anna");
            assert_eq!(way, enters(&world, role, database), "{major}: {role}: {told}");
        }
        assert!(said(&records, "can-log-in", "nil").contains("connection limit is 0"));
        assert!(!said(&records, "can-log-in", "copier").contains("replication"), "a database of that name");
        let moved = of(&records, "hba-unreachable");
        assert!(moved.iter().all(|r| !text(r, "advice").contains("move it up: it rejects")), "{moved:?}");
    }
}

#[test]
fn of_a_file_that_is_not_in_force_nothing_is_taken_for_well() {
    let world = World::with(Pg::builder_major(15).tcp().hba("host app anna 127.0.0.1/32 trust").start());
    world.pg.psql("postgres", "create role anna login; create database app");
    let file = world.pg.data_dir().join("pg_hba.conf");
    let good = std::fs::read_to_string(&file).expect("read");
    let open = "host app anna 127.0.0.1/32 trust";
    for broken in [
        "host app all 127.0.0.1/32 nonsense",
        "hostssl app all 127.0.0.1/32 cert clientcert=nonsense",
        "host app @nowhere 127.0.0.1/32 trust",
    ] {
        std::fs::write(
            &file,
            format!("{}{broken}\n", good.replace(open, "host app anna 127.0.0.1/32 reject")),
        )
        .expect("write");
        world.pg.psql("postgres", "select pg_reload_conf()");
        until("the reload is refused", std::time::Duration::from_secs(10), || {
            let lines = world.pg.log();
            if lines.contains("was not reloaded") { Ok(()) } else { Err(lines) }
        });
        let records = world.records(&["roles"]);
        assert_eq!(of(&records, "hba-error").len(), 1, "{broken}");
        let told = said(&records, "can-log-in", "anna");
        assert!(told.starts_with("unknown not known: pg_hba.conf has a line"), "{broken}: {told}");
        assert!(enters(&world, "anna", "app"), "the old rules are in force");
    }
    std::fs::write(&file, good.replace(open, "host app anna 127.0.0.1/32 reject")).expect("write");
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
    std::fs::File::options().write(true).open(&file).expect("open").set_modified(later).expect("touch");
    let told = said(&world.records(&["roles"]), "can-log-in", "anna");
    assert!(
        told.starts_with("unknown not known: pg_hba.conf was changed") && enters(&world, "anna", "app"),
        "{told}"
    );
}

#[test]
fn a_broken_line_of_pg_ident_is_told() {
    let world = World::with(
        Pg::builder_major(16)
            .hba("local app all peer map=ops")
            .file("pg_ident.conf", "ops onlytwo\n")
            .start(),
    );
    let records = world.records(&["roles"]);
    let told = said(&records, "hba-error", "pg_ident.conf line 1");
    assert!(told.starts_with("critical not read: "), "{told} {:?}", of(&records, "hba-error"));
}

#[test]
fn two_databases_of_one_cluster_tell_its_findings_once() {
    let world = World::new();
    world.pg.psql("postgres", "create database one; create database two; create role chief superuser login; create role a login; create role b login");
    for db in ["one", "two"] {
        world.pg.psql(db, "create table t (x int); grant select on t to public");
    }
    let records = world.records(&["roles", "--db", &world.pg.url_of("one"), "--db", &world.pg.url_of("two")]);
    for rule in ["superuser", "hba-trust", "can-log-in", "connection-limit", "role-seen"] {
        let sources: Vec<&str> = of(&records, rule).iter().map(|r| text(r, "source")).collect();
        assert!(!sources.is_empty() && sources.iter().all(|s| *s == "main/one"), "{rule}: {sources:?}");
    }
    assert_eq!(of(&records, "public-grant").len(), 2, "each database's own");
    let note =
        of(&records, "server").into_iter().find(|r| text(r, "key") == "same-cluster").expect("it is said");
    assert!(
        text(note, "text").ends_with("told under main/one") && text(note, "source") == "main/two",
        "{note}"
    );
}
