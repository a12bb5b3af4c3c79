//! What lies in a database: functions, views, triggers, policies, grants; each weakness is tried for real.

use crate::world::{World, of, text};
use testkit::{Pg, majors};

fn world(major: u32, sql: &str) -> World {
    let world = World::with(Pg::start_major(major, &[]));
    world.pg.psql("postgres", sql);
    world
}

/// Objects that a rule names, in order.
fn named(records: &[serde_json::Value], rule: &str) -> Vec<String> {
    of(records, rule).iter().map(|r| text(r, "object").to_string()).collect()
}

/// What psql prints as this role.
fn as_role(world: &World, role: &str, sql: &str) -> String {
    let said = world.pg.psql("postgres", &format!("set session authorization {role}; {sql}"));
    said.lines().last().unwrap_or_default().to_string()
}

const DEFINERS: &str = "create role maker; create role anna login; create schema open; grant create, usage on schema open to public; \
    create schema shut; create table shut.secrets as select 'hidden' as word; \
    create function open.bare() returns text language plpgsql security definer as 'begin return (select word from secrets); end'; \
    alter function open.bare() owner to maker; grant usage on schema shut to maker; grant select on shut.secrets to maker; \
    create function open.temp_first() returns int language sql security definer set search_path = pg_temp, pg_catalog as 'select 1'; \
    create function open.temp_unsaid() returns int language sql security definer set search_path = pg_catalog as 'select 1'; \
    create function open.writable() returns int language sql security definer set search_path = open, pg_temp as 'select 1'; \
    create function open.sound() returns int language sql security definer set search_path = pg_catalog, pg_temp as 'select 1'; \
    create function open.parsed() returns int language sql security definer begin atomic select 1; end; \
    create function open.not_for_all() returns int language sql security definer set search_path = pg_catalog, pg_temp as 'select 1'; \
    revoke execute on function open.not_for_all() from public; \
    create function open.invoker() returns int language sql as 'select 1'; \
    create function shut.far() returns int language sql security definer set search_path = pg_catalog, pg_temp as 'select 1'";

#[test]
fn functions_that_run_as_somebody_else() {
    for major in majors() {
        let world = world(major, DEFINERS);
        let records = world.records(&["roles"]);
        let astray = ["open.bare()", "open.temp_first()", "open.temp_unsaid()", "open.writable()"];
        assert_eq!(named(&records, "security-definer"), astray, "{major}");
        let supers =
            ["open.parsed()", "open.sound()", "open.temp_first()", "open.temp_unsaid()", "open.writable()"];
        assert_eq!(named(&records, "definer-superuser"), supers, "{major}: not what a closed schema holds");
        let said = text(of(&records, "security-definer")[0], "text");
        assert_eq!(said, "runs as maker, for everybody, and has no search_path of its own");
        // Led astray for real: the caller's own table stands in for the owner's, read with the owner's rights.
        let lured = as_role(
            &world,
            "anna",
            "create temp table secrets as select 'planted' as word; grant select on secrets to public; select open.bare()",
        );
        assert_eq!(lured, "planted", "{major}");
    }
}

const VIEWS: &str = "create role owner; create role anna login; create role reader login; \
    create table t (who name, word text); insert into t values ('anna', 'a'), ('bert', 'b'); \
    alter table t owner to owner; alter table t enable row level security; create policy own on t using (who = current_user); \
    grant select on t to public; create view loose as select * from t; alter view loose owner to owner; \
    create view over_it as select * from loose; grant select on loose, over_it to reader; \
    create materialized view copy as select * from t; grant select on copy to reader; \
    create view kept as select * from t; create view harmless as select 1 as n; grant select on harmless to public; \
    create role other; create view foreign_eyes as select * from t; alter view foreign_eyes owner to other; \
    grant select on foreign_eyes to reader";

#[test]
fn views_that_show_what_row_level_security_hides() {
    for major in majors() {
        let world = world(major, VIEWS);
        let mut loose = vec!["public.copy", "public.loose", "public.over_it"];
        assert_eq!(named(&world.records(&["roles"]), "view-as-owner"), loose, "{major}");
        let rows = |from: &str| as_role(&world, "reader", &format!("select count(*) from {from}"));
        assert_eq!(rows("t"), "0", "what the policy lets reader see");
        for view in &loose {
            assert_eq!(rows(view), "2", "{major}: {view}: what it shows all the same");
        }
        assert_eq!(rows("foreign_eyes"), "0", "its owner is under the policy as well");
        if major >= 15 {
            world.pg.psql(
                "postgres",
                "alter view loose set (security_invoker = on); alter view over_it set (security_invoker)",
            );
            loose.retain(|v| *v == "public.copy");
            assert_eq!(named(&world.records(&["roles"]), "view-as-owner"), loose, "{major}");
            assert_eq!((rows("loose"), rows("over_it")), ("0".into(), "0".into()));
        }
    }
}

#[test]
fn an_event_trigger_by_which_its_functions_owner_becomes_a_superuser() {
    for major in majors() {
        let world = world(
            major,
            "create role evil login; create schema evils authorization evil; \
             create function evils.f() returns event_trigger language plpgsql as 'begin end'; alter function evils.f() owner to evil; \
             create event trigger lure on ddl_command_end execute function evils.f(); \
             create function sound() returns event_trigger language plpgsql as 'begin end'; revoke create on schema public from public; \
             create event trigger sound on ddl_command_end execute function sound()",
        );
        let records = world.records(&["roles"]);
        assert_eq!(named(&records, "event-trigger"), ["lure"], "{major}");
        as_role(
            &world,
            "evil",
            "create or replace function evils.f() returns event_trigger language plpgsql as \
             'begin if current_user = ''postgres'' then execute ''alter role evil superuser''; end if; end'",
        );
        world.pg.psql("postgres", "create table anything (x int)");
        assert_eq!(world.pg.psql("postgres", "select rolsuper from pg_roles where rolname = 'evil'"), "t");
    }
}

#[test]
fn row_level_security_that_its_owner_passes() {
    let world = world(
        15,
        "create role app login; create role held; create role nobody_is; create role dba login superuser; \
         grant held to app; create table mine (x int); create table ours (x int); create table far (x int); create table his (x int); \
         create table bare (x int); insert into mine values (1); alter table bare owner to dba; \
         alter table mine owner to app; alter table ours owner to held; alter table far owner to nobody_is; alter table his owner to dba; \
         create policy none on mine using (false); create policy none on ours using (false); create policy none on far using (false); \
         create policy none on his using (false); alter table mine enable row level security; alter table ours enable row level security; \
         alter table far enable row level security; alter table his enable row level security; alter table bare enable row level security",
    );
    let records = world.records(&["roles"]);
    assert_eq!(named(&records, "row-security-owner"), ["public.mine", "public.ours"]);
    assert_eq!(named(&records, "row-security-empty"), ["public.bare"]);
    assert_eq!(as_role(&world, "app", "select count(*) from mine"), "1", "the owner passes");
    world.pg.psql("postgres", "alter table mine force row level security");
    assert_eq!(named(&world.records(&["roles"]), "row-security-owner"), ["public.ours"]);
    assert_eq!(as_role(&world, "app", "select count(*) from mine"), "0");
}

#[test]
fn connection_limits_and_roles_that_are_person_and_group() {
    let world = world(
        16,
        "create role free login; create role held login connection limit 5; create role never login connection limit 0; \
         create role app login connection limit 9; create role anna login connection limit 2; grant app to anna; \
         create role maker login createrole connection limit 1; set role maker; create role made login connection limit 3",
    );
    let records = world.records(&["roles"]);
    let limit = of(&records, "connection-limit")[0];
    assert!(
        text(limit, "text").starts_with("1 without a connection limit")
            && text(limit, "text").ends_with(": free")
    );
    assert_eq!(limit["cis"][0], "5.5");
    assert_eq!(named(&records, "connection-none"), ["never"]);
    assert_eq!(
        named(&records, "login-group"),
        ["app"],
        "not made, of which maker has the admin option alone"
    );
    world.pg.psql("postgres", "alter role free connection limit 1");
    assert!(of(&world.records(&["roles"]), "connection-limit").is_empty());
}

#[test]
fn what_everybody_or_too_many_were_granted() {
    for major in majors() {
        let world = world(
            major,
            "create role anna login; create table t (x int, y int); create sequence s; \
             grant select on t to anna with grant option; grant usage on sequence s to public; grant create on database postgres to public; \
             grant create on tablespace pg_default to public; create foreign data wrapper w; grant usage on foreign data wrapper w to public; \
             create server far foreign data wrapper w; grant usage on foreign server far to public; \
             alter default privileges grant select on tables to public; alter default privileges for role anna in schema public grant execute on functions to public; \
             alter role anna set search_path = evil; alter role anna set pgaudit.log = 'none'; alter database postgres set row_security = off",
        );
        let records = world.records(&["roles"]);
        let granted = [
            "database postgres",
            "foreign server far",
            "foreign-data wrapper w",
            "sequence public.s",
            "tablespace pg_default",
        ];
        assert_eq!(named(&records, "public-grant"), granted, "{major}");
        assert_eq!(named(&records, "grant-option"), ["public.t to anna"]);
        assert_eq!(
            named(&records, "default-public"),
            ["objects that anna makes in public", "objects that postgres makes"]
        );
        assert_eq!(named(&records, "role-setting"), ["anna", "anna", "every role in postgres"], "{major}");
        if major >= 15 {
            world.pg.psql("postgres", "grant set on parameter log_statement to public");
            assert_eq!(named(&world.records(&["roles"]), "public-parameter"), ["parameter log_statement"]);
        }
    }
}
