//! The matrix's rows T1 to T7: tables that the application made.

use crate::world::World;

const APP: &str = "create type state as enum ('New', 'Closed'); create table parents (id bigserial primary key, name varchar(10) not null unique);
    create table things (extra text default 'filled', state state not null, created_at timestamptz not null, is_on boolean, price numeric(6,2), tags jsonb, uid uuid, addr inet, list int[],
      id bigint generated always as identity primary key, parent_id bigint references parents (id) on delete cascade, doubled bigint generated always as (id * 2) stored);
    create index things_on on things (is_on) where is_on; create function f() returns trigger language plpgsql as 'begin raise exception ''no''; end';
    create trigger guard before insert on things for each row execute function f();";

const SOURCE: &str = "create table parents (id integer primary key, name text); insert into parents values (1, 'one'), (2, 'two');
    create table things (id integer primary key, isOn int, createdAt datetime, state text, price decimal, tags text, uid text, addr text, list text, parent_id int);
    insert into things values (1, 1, '2024-01-02 03:04:05.000 +00:00', 'New', 12.5, '{\"a\":1}', '00112233445566778899aabbccddeeff', '10.0.0.1', '{1,2}', 1),
      (2, 'false', 1704164645000, 'Closed', 3, null, null, null, null, 2);";

fn world() -> World {
    let world = World::of(SOURCE);
    world.psql(APP);
    world
}

fn catalog(world: &World) -> String {
    world.psql(
        "select conrelid::regclass, conname, pg_get_constraintdef(oid), convalidated from pg_constraint where connamespace = 'public'::regnamespace order by 1, 2; \
         select indexname, indexdef from pg_indexes where schemaname = 'public' order by 1; select tgname, tgenabled from pg_trigger where not tgisinternal order by 1",
    )
}

#[test]
fn t1_t2_t4_t5_values_come_to_the_targets_types_and_its_catalog_stays() {
    let world = world();
    let before = catalog(&world);
    world.run(&["--existing", "refuse"]).ended(0);
    world.gives(&[
        ("select id, is_on, created_at, state, price, tags, uid, addr, list, parent_id, doubled, extra from things order by id",
         "1|t|2024-01-02 03:04:05+00|New|12.50|{\"a\": 1}|00112233-4455-6677-8899-aabbccddeeff|10.0.0.1|{1,2}|1|2|filled\n2|f|2024-01-02 03:04:05+00|Closed|3.00|||||2|4|filled"),
        ("insert into parents (name) values ('x') returning id", "3"),
    ]);
    assert_eq!(catalog(&world), before);
    assert_eq!(world.psql("alter table things disable trigger guard; insert into things (state, created_at) values ('New', now()) returning id"), "3");
}

#[test]
fn t2_what_has_no_counterpart_is_named() {
    let world = world();
    world.sqlite("create table more (x); alter table things add column unheard int");
    let ran = world.run(&["--existing", "refuse"]);
    ran.refused_in_a_line(2, "the table more");
    assert!(ran.stderr.contains("things.unheard"), "{ran:?}");
    world.run(&["--existing", "refuse", "--exclude", "more", "--rename", "things.unheard=extra"]).ended(0);
}

#[test]
fn t3_rows_that_are_there() {
    let seed = "insert into parents values (2, 'seeded'), (7, 'other')";
    let cases = [
        ("truncate", "1|one\n2|two"),
        ("upsert", "1|one\n2|two\n7|other"),
        ("skip-existing", "1|one\n2|seeded\n7|other"),
    ];
    for (action, expected) in cases {
        let world = world();
        world.psql(seed);
        world.run(&["--existing", "refuse"]).refused_in_a_line(2, "parents holds rows");
        world.run(&["--existing", action]).ended(0);
        world.gives(&[("select id, name from parents order by id", expected)]);
        world.run(&["--undo"]).ended(0);
        world.gives(&[
            ("select id, name from parents order by id", "2|seeded\n7|other"),
            ("select count(*) from things", "0"),
        ]);
    }
    let world = world();
    world.psql("insert into parents values (9, 'other')");
    world.run(&["--existing", "append"]).ended(0);
    world.gives(&[("select count(*) from parents", "3")]);
}

#[test]
fn t6_what_does_not_fit_is_listed_before_a_byte_is_loaded() {
    let world = world();
    world.sqlite("insert into parents values (3, 'much too long a name'), (4, null); insert into things values (3, 5, 'never', 'Odd', 99999.999, '{', 'x', null, null, 1)");
    let ran = world.run(&["--existing", "refuse"]);
    ran.refused_in_a_line(4, "do not fit");
    let told: Vec<String> = ran
        .records()
        .iter()
        .filter(|r| r["kind"] == "violation")
        .map(|r| format!("{} {}", r["name"].as_str().unwrap_or(""), r["why"].as_str().unwrap_or("")))
        .collect();
    let expected = [
        "parents.name NULL where the target forbids it: 4",
        "parents.name longer than the type allows: 3",
        "things.createdAt not a time: 3",
        "things.isOn neither true nor false: 3",
        "things.price more digits than the type allows: 3",
        "things.state no label of the enum: 3",
        "things.tags not JSON that the type holds: 3",
        "things.uid not a UUID: 3",
    ];
    assert_eq!(told, expected);
    world.gives(&[("select count(*) from parents", "0")]);
}

#[test]
fn t7_row_level_security_hides_nothing_from_us() {
    let world = world();
    world.psql("create role owner login; grant create on database postgres to owner; alter table parents owner to owner; alter table things owner to owner; grant create, usage on schema public to owner; \
                alter type state owner to owner; alter table parents enable row level security; alter table parents force row level security; create policy p on parents using (name = 'one')");
    let url = world.pg.url().replace("postgres@", "owner@");
    let ran = world.tool(&["run", "app.db", "--to", &url, "--existing", "refuse"]);
    ran.refused_in_a_line(1, "row-level security");
    world.psql("alter table parents disable row level security");
    assert_eq!(world.tool(&["run", "app.db", "--to", &url, "--existing", "refuse"]).status, Some(0));
}

#[test]
fn t7_a_table_in_partitions_takes_the_rows() {
    let world = World::of(
        "create table events (id integer, at date, n int, primary key (id, at)); insert into events values (1, '2023-05-01', 1), (2, '2024-05-01', 2);",
    );
    world.psql(
        "create table events (id bigint, at date, n int, primary key (id, at)) partition by range (at); \
         create table events_old partition of events for values from ('2000-01-01') to ('2024-01-01'); create table events_new partition of events default; \
         create function f() returns trigger language plpgsql as 'begin new.n = 99; return new; end'; \
         create trigger own before insert on events_old for each row execute function f(); create trigger all_of_them before insert on events for each row execute function f()",
    );
    world.run(&["--existing", "refuse"]).ended(0);
    world.gives(&[(
        "select tableoid::regclass, id, at, n from events order by id",
        "events_old|1|2023-05-01|1\nevents_new|2|2024-05-01|2",
    )]);
    world.verified();
    world.gives(&[("select string_agg(tgrelid::regclass || ' ' || tgname || ' ' || tgenabled::text, ', ' order by tgrelid::regclass::text, tgname) from pg_trigger where not tgisinternal",
        "events all_of_them O, events_new all_of_them O, events_old all_of_them O, events_old own O")]);
    world.run(&["--undo"]).ended(0);
    world.gives(&[("select count(*) from events", "0")]);
}

/// Without a key an upsert would put every row there twice.
#[test]
fn t3_an_upsert_needs_a_key() {
    let world = World::of("create table t (x int); insert into t values (1);");
    world.psql("create table t (x int); insert into t values (1)");
    world.run(&["--existing", "upsert"]).refused_in_a_line(2, "t has no primary key");
    world.gives(&[("select count(*) from t", "1")]);
}
