//! `roles`: the catalogue of PostgreSQL's own roles, on each major.

use crate::world::{World, of, text, troubles};
use testkit::{Pg, majors};

const PLANTED: &str = "
create role dba superuser nologin; create role ops; create role alice login; create role bert login;
create role carol login createrole createdb; create role repl login replication; create role rls login bypassrls;
create role scram login password 'x'; create role ended login password 'x' valid until '2026-11-01';
create role ending login password 'x' valid until '2026-11-29'; create role forever login password 'x' valid until 'infinity';
create role group_ended nologin valid until '2020-01-01'; create role \"Alice\" nologin;
grant dba to ops; grant ops to alice; grant pg_read_all_data to bert; grant pg_execute_server_program to bert;
set password_encryption = 'md5'; create role old_hash login password 'x'; reset password_encryption;
set allow_system_table_mods = on; create role plain_word login; update pg_authid set rolpassword = 'geheim' where rolname = 'plain_word';
create role few_rounds login; update pg_authid set rolpassword = 'SCRAM-SHA-256$1000:c2FsdA==$' || rpad('', 43, 'A') || '=:' || rpad('', 43, 'A') || '='
 where rolname = 'few_rounds'; reset allow_system_table_mods;
create schema open; grant create on schema open to public; create table open.t (x int, y int); grant select on open.t to public;
grant update (y) on open.t to public; create table open.fine (x int);
create function open.bare() returns int language sql security definer as 'select 1';
create function open.temp_first() returns int language sql security definer set search_path = pg_temp, pg_catalog as 'select 1';
create function open.writable() returns int language sql security definer set search_path = open, pg_temp as 'select 1';
create function open.good() returns int language sql security definer set search_path = pg_catalog, pg_temp as 'select 1';
create policy all_rows on open.fine using (true); create table open.wide (x int); alter table open.wide enable row level security;
create policy everybody on open.wide using (true);
alter default privileges in schema open grant select on tables to public;
alter role bert set session_preload_libraries = 'auto_explain';
select lo_create(4711); grant select on large object 4711 to public;
create foreign data wrapper w; create server s foreign data wrapper w; create user mapping for bert server s options (user 'x', password 'hidden');
";

#[test]
fn everything_planted_is_found_on_each_major() {
    for major in majors() {
        let world = World::with(Pg::start_major(major, &[]));
        world.pg.psql("postgres", PLANTED);
        let records = world.records(&["roles"]);
        let found = troubles(&records);
        let mut public = if major < 15 { vec!["public-create schema public"] } else { vec![] };
        // Before 16 CREATEROLE grants itself everything but superusers, and ops leads to one.
        public.extend((major < 16).then_some("superuser carol"));
        for wanted in PLANTS.iter().chain(&public) {
            assert!(
                found.contains(&(*wanted).to_string()),
                "PostgreSQL {major}: {wanted} is not in\n{}",
                found.join("\n")
            );
        }
        let more: Vec<&String> = found
            .iter()
            .filter(|f| {
                !PLANTS.contains(&f.as_str()) && !public.contains(&f.as_str()) && !f.starts_with("hba-")
            })
            .collect();
        assert!(more.is_empty(), "PostgreSQL {major}: nobody planted {more:?}");
        let path = of(&records, "superuser").into_iter().find(|r| r["object"] == "alice").expect("alice");
        assert!(text(path, "text").contains("alice → ops → dba"), "{path}");
        assert!(
            !records
                .iter()
                .any(|r| r.to_string().contains("SCRAM-SHA-256$") || r.to_string().contains("hidden"))
        );
    }
}

const PLANTS: [&str; 28] = [
    "bypassrls rls",
    "connection-limit roles that log in",
    "createdb carol",
    "createrole carol",
    "default-public objects that postgres makes in open",
    "foreign-password user mapping of bert on s",
    "name-twins Alice, alice",
    "password-expired ended",
    "password-expires ending",
    "password-low-iterations few_rounds",
    "password-md5 old_hash",
    "password-unknown-kind plain_word",
    "pg-execute-server-program bert",
    "pg-read-all-data bert",
    "public-create schema open",
    "public-grant column open.t.y",
    "public-grant large object 4711",
    "public-grant table open.t",
    "replication repl",
    "role-setting bert",
    "row-security-off open.fine",
    "row-security-open open.wide",
    "security-definer open.bare()",
    "security-definer open.temp_first()",
    "security-definer open.writable()",
    "superuser alice",
    "superuser dba",
    "superuser postgres",
];

#[test]
fn a_bare_auditor_learns_which_checks_could_not_run_and_why() {
    for major in majors() {
        let world = World::with(Pg::start_major(major, &[]));
        world.pg.psql("postgres", "create role auditor login");
        let db = world.pg.conninfo("postgres").replace("user=postgres", "user=auditor");
        let records = world.records(&["roles", "--db", &db]);
        let skipped: Vec<&str> = of(&records, "skipped").iter().map(|r| text(r, "object")).collect();
        assert_eq!(skipped, ["passwords", "pg_hba.conf", "pg_hba.conf loaded"], "PostgreSQL {major}");
        assert!(
            of(&records, "skipped")
                .iter()
                .all(|r| r["severity"] == "unknown" && text(r, "advice").contains("needs: "))
        );
        world.pg.psql(
            "postgres",
            "grant select (rolname, rolpassword, rolcanlogin) on pg_authid to auditor; grant select on pg_hba_file_rules to auditor; \
             grant execute on function pg_hba_file_rules() to auditor; grant pg_read_all_settings to auditor; \
             grant execute on function pg_stat_file(text) to auditor",
        );
        let records = world.records(&["roles", "--db", &db]);
        assert_eq!(of(&records, "skipped").len(), 0, "PostgreSQL {major}: the documented grants are enough");
        assert!(!of(&records, "hba-trust").is_empty());
    }
}

#[test]
fn a_new_path_and_a_role_made_anew_are_told_first() {
    let world = World::with(Pg::start_major(16, &[]));
    world.pg.psql("postgres", PLANTED);
    let pack = ["--pack", "packs", "--at", "2026-11-21T00:00:00Z"];
    assert_eq!(world.run(&[&["roles"][..], &pack].concat()).status, Some(4));
    let ran = world.run(&[
        "accept",
        "packs/20261121T000000Z-roles",
        "--reviewer",
        "Mo",
        "--ticket",
        "7",
        "--decision",
        "approved",
    ]);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    let news = || -> Vec<String> {
        world.troubles(&["roles"]).into_iter().filter(|t| t.contains("-access ")).collect()
    };
    assert_eq!(news(), [""; 0]);
    world.pg.psql("postgres", "grant dba to alice; grant dba to carol; drop owned by bert; drop role bert; create role bert login; grant pg_execute_server_program to bert");
    assert_eq!(news(), ["changed-access alice", "new-access carol", "recreated-access bert"]);
    let first = &world.records(&["roles"])[0];
    assert!(text(first, "id").ends_with("-access") && first["severity"] == "critical", "{first}");
}
