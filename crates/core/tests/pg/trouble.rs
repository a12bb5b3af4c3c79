//! Each way to fail: its kind, what is said, the cure.

use super::*;
use toban_core::Kind;

fn trouble(given: &str) -> toban_core::Error {
    let dir = temp();
    ours(Some(given), &around(&[], dir.path())).expect_err("no session")
}

fn check(given: &str, kind: Kind, says: &str, cure: &str) {
    let e = trouble(given);
    let found = (e.kind(), e.chain(), e.find_hint().unwrap_or_default().to_string());
    assert!(found.0 == kind && found.1.contains(says) && found.2.contains(cure), "{given}\n{found:#?}");
}

#[test]
fn the_servers_refusals_name_cause_and_cure() {
    let hba = [
        "host all nohba 127.0.0.2/32 trust",
        "hostssl all tls 127.0.0.1/32 trust",
        "host all alice 127.0.0.1/32 scram-sha-256",
        "host all guest,postgres,nosuch 127.0.0.1/32 trust",
        "local all alice peer",
    ];
    let pg = server(&hba).start();
    pg.psql(
        "postgres",
        "create role alice login password 'x'; create role nohba login; create role guest login",
    );
    pg.psql("postgres", "create database closed; revoke connect on database closed from public");
    let at =
        |user: &str, db: &str, rest: &str| format!("postgresql://{user}@127.0.0.1:{}/{db}{rest}", pg.port());
    let line = format!("127.0.0.1:{}:postgres:alice:PASSWORD", pg.port());
    check(&at("postgres", "gone", ""), Kind::Failed, "database \"gone\" does not exist", "psql -l");
    check(
        &at("alice:y", "postgres", ""),
        Kind::Failed,
        "password authentication failed for user \"alice\"",
        &line,
    );
    check(&at("alice", "postgres", ""), Kind::Failed, "password missing", "PGPASSFILE");
    check(&at("nohba", "postgres", ""), Kind::Failed, "no pg_hba.conf entry", "pg_hba.conf");
    check(&at("tls", "postgres", ""), Kind::Failed, "no pg_hba.conf entry", "sslmode=require");
    check(
        &at("guest", "closed", ""),
        Kind::Failed,
        "permission denied",
        "grant connect on database \"closed\"",
    );
    check(&at("nosuch", "postgres", ""), Kind::Failed, "role \"nosuch\" does not exist", "user=");
    check(&at("guest", "postgres", "?sslmode=require"), Kind::Failed, "does not support TLS", "ssl=on");
    let socket = format!("host={} port={} user=alice dbname=postgres", pg.socket_dir().display(), pg.port());
    check(&socket, Kind::Failed, "Peer authentication failed", "host=localhost");
    check(
        &at("guest", "postgres", "?sslmode=verify-full"),
        Kind::Usage,
        "without a root certificate",
        "sslrootcert=",
    );
}

#[test]
fn the_unreachable_are_worth_another_try() {
    let e = trouble("postgresql://x@nosuch.invalid/y");
    assert!(
        e.chain().contains("nosuch.invalid") && e.find_hint().is_some_and(|c| c.contains("resolver")),
        "{e:?}"
    );
    check("postgresql://x@127.0.0.1:1/y", Kind::Retry, "connect to 127.0.0.1:1: ", "listen_addresses");
    check(
        "host=/nosuch user=x",
        Kind::Retry,
        "connect to socket /nosuch/.s.PGSQL.5432: ",
        "is the server running",
    );
    check("postgresql://x@127.0.0.1:1,127.0.0.1:2/y", Kind::Retry, "127.0.0.1:1: error", "listen_addresses");
}

#[test]
fn full_and_closing_servers_are_worth_another_try() {
    let pg = server(&["host all all 127.0.0.1/32 trust"]).set("max_connections=4").start();
    pg.psql("postgres", "create role guest login; alter system set superuser_reserved_connections = 3");
    let guest = format!("postgresql://guest@127.0.0.1:{}/postgres", pg.port());
    let _held: Vec<_> = (0..4)
        .filter_map(|_| {
            ConnInfo::resolve_in(Some(&guest), "t", &around(&[], Path::new("/nosuch"))).ok()?.connect().ok()
        })
        .collect();
    check(&guest, Kind::Retry, "connection slots are reserved", "max_connections");
}

#[test]
fn what_we_cannot_do_is_refused_in_one_line_that_names_it() {
    for key in
        ["requirepeer=postgres", "require_auth=scram-sha-256", "gssencmode=require", "replication=database"]
    {
        let name = key.split('=').next().expect("a name");
        check(&format!("host=h {key}"), Kind::Usage, &format!("not supported: {name}"), "");
    }
    check("host=h coolour=red", Kind::Usage, "unknown connection parameter \"coolour\"", "");
    check("mysql://h/x", Kind::Usage, "\"mysql://\" is not a PostgreSQL URI", "postgresql://");
}
