//! Tables of the application that do not take the rows: what can be known is said before a value is read, what only
//! PostgreSQL finds is said with its row, and in either case the target is as it was.

use crate::world::World;

/// Everything that a run into `t` could have changed.
const STATE: &str = "select (select count(*) from pg_namespace where nspname ~ '^toban'), \
    (select string_agg(t::text, ' ' order by t::text) from t), (select string_agg(tgname || tgenabled::text, ' ') from pg_trigger where not tgisinternal)";

/// What only the server finds: the source, the target, and what is said of the row.
const FOUND: [(&str, &str, &[&str]); 7] = [
    (
        "create table t (id integer primary key, u text); insert into t values (1, '6f9619ff-8b86-d011-b42d-00c04fc964ff'), (7, '6F9619FF-8B86-D011-B42D-00C04FC964FF')",
        "create table t (id bigint primary key, u uuid unique)",
        &["t id=7: duplicate key value", "Key (u)=(6f9619ff-8b86-d011-b42d-00c04fc964ff) already exists"],
    ),
    (
        "create table t (id integer primary key, n int); with recursive c(i) as (select 1 union all select i + 1 from c where i < 9000) insert into t select i, i % 100 from c; update t set n = 100 where id in (6789, 8000)",
        "create table t (id bigint primary key, n bigint constraint low check (n < 100))",
        &[
            "t id=6789: new row for relation \"t\" violates check constraint \"low\"",
            "Failing row contains (6789, 100)",
        ],
    ),
    (
        "create table t (id integer primary key, w text); insert into t values (1, 'abc'), (2, 'Abc')",
        "create domain lower_words as text check (value ~ '^[a-z]*$'); create table t (id bigint primary key, w lower_words)",
        &["t id=2: value for domain", "lower_words"],
    ),
    (
        "create table t (id integer, at date, primary key (id, at)); insert into t values (1, '2024-02-01'), (2, '2031-02-01')",
        "create table t (id bigint, at date, primary key (id, at)) partition by range (at); create table t_24 partition of t for values from ('2024-01-01') to ('2025-01-01')",
        &["t id=2 at=2031-02-01: no partition of relation \"t\" found", "(at) = (2031-02-01)"],
    ),
    (
        "create table t (id integer primary key, r text); insert into t values (1, '[1,5)'), (2, '[7,9)'), (3, '[4,8)')",
        "create table t (id bigint primary key, r int4range, exclude using gist (r with &&))",
        &[
            "t id=3: conflicting key value violates exclusion constraint",
            "conflicts with existing key (r)=([1,5))",
        ],
    ),
    (
        "create table t (a text, b text); insert into t values ('x', '10.0.0.1'), ('y', '10.0.0.400')",
        "create table t (a text, b inet)",
        &["t a=y b=10.0.0.400: invalid input syntax for type inet"],
    ),
    (
        "create table t (id integer primary key, w text); insert into t values (1, 'One'), (2, 'one'), (3, 'two')",
        "create table t (id bigint primary key, w text); create unique index folded on t (lower(w))",
        &[
            "t id=2: duplicate key value violates unique constraint \"folded\"",
            "Key (lower(w))=(one) already exists",
        ],
    ),
];

#[test]
fn what_only_the_server_finds_is_told_with_its_row() {
    for (source, target, words) in FOUND {
        let world = World::of(source);
        world.psql(target);
        let before = world.psql(STATE);
        let ran = world.run(&["--existing", "refuse"]);
        for word in words {
            ran.refused_in_a_line(4, word);
        }
        assert!(ran.stderr.contains("nothing was loaded"), "{ran:?}");
        assert_eq!(world.psql(STATE), before, "{source}");
    }
}

/// A row that is there already is the one that ours meet.
#[test]
fn rows_that_meet_those_of_the_application_are_told_too() {
    let world = World::of(
        "create table t (id integer primary key, n text unique); insert into t values (1, 'a'), (2, 'b'), (3, 'c')",
    );
    world.psql("create table t (id bigint primary key, n text unique); insert into t values (900, 'c')");
    let before = world.psql(STATE);
    for action in ["append", "upsert", "skip-existing"] {
        world.run(&["--existing", action]).refused_in_a_line(
            4,
            "t id=3: duplicate key value violates unique constraint \"t_n_key\": Key (n)=(c) already exists",
        );
        assert_eq!(world.psql(STATE), before);
    }
}

/// A type of the target's own that makes another value: it is found in the transaction that would keep it.
#[test]
fn rows_that_differ_are_never_kept() {
    for (target, action) in [("price money", "refuse"), ("price money", "upsert")] {
        let world = World::of(
            "create table t (id integer primary key, price real); insert into t values (1, 1.5), (2, 1.5555)",
        );
        world.psql(&format!("create table t (id bigint primary key, {target}); create function f() returns trigger language plpgsql as 'begin return new; end'; create trigger g before insert on t for each row execute function f()"));
        if action != "refuse" {
            world.psql("insert into t values (77, 3)");
        }
        let before = world.psql(STATE);
        let ran = world.run(&["--existing", action]);
        ran.refused_in_a_line(4, "nothing was loaded");
        assert!(ran.stdout.contains("price"), "{ran:?}");
        assert_eq!(world.psql(STATE), before, "{action}");
    }
    // A unique index without a primary key: our row would stay behind without a word.
    let world = World::of(
        "create table t (id integer primary key, w text); insert into t values (1, 'one'), (2, 'two')",
    );
    world.psql("create table t (id bigint, w text unique); insert into t values (900, 'one')");
    let before = world.psql(STATE);
    let ran = world.run(&["--existing", "skip-existing"]);
    ran.refused_in_a_line(4, "hold other values in 1 places, and nothing was loaded");
    let told = ran.records().iter().any(|r| {
        r["kind"] == "difference" && r["name"].as_str().is_some_and(|n| n.contains("missing-row t id=1"))
    });
    assert!(told, "{ran:?}");
    assert_eq!(world.psql(STATE), before);
}

#[test]
fn what_can_be_known_is_refused_before_a_value_is_read() {
    // The file holds a value that does not fit: it would be told first if it were read first.
    const SOURCE: &str =
        "create table t (id integer primary key, n int); insert into t values (1, 'no number');";
    const TABLE: &str = "create table t (id bigint primary key, n bigint); create role app login; grant create on database postgres to app; grant create, usage on schema public to app; grant all on t to app; alter table t owner to app";
    let cases: [(&str, i32, &str); 7] = [
        ("insert into t values (9, 9)", 2, "the target is not empty: t holds rows"),
        ("alter table t owner to postgres", 1, "the role does not own \"public\".\"t\""),
        (
            "alter table t enable row level security; alter table t force row level security",
            1,
            "row-level security",
        ),
        ("create rule r as on insert to t do instead nothing", 1, "a rule of \"public\".\"t\""),
        (
            "create table k (t_id bigint references t)",
            1,
            "the role does not own public.k, and only the owner can drop its foreign key",
        ),
        ("alter role app set default_transaction_read_only = on", 1, "takes no writes"),
        (
            "alter table t drop column n; alter table t add column m int not null",
            2,
            "the column t.n, a value for t.m",
        ),
    ];
    for (change, status, words) in cases {
        let world = World::of(SOURCE);
        world.psql(&format!("{TABLE}; {change}"));
        let url = world.pg.url().replace("postgres@", "app@");
        let ran = world.tool(&["run", "app.db", "--to", &url, "--existing", "refuse", "--json"]);
        ran.refused_in_a_line(status, words);
        assert_eq!(ran.stdout, "", "{change}: a value was read first: {ran:?}");
    }
    // Into a schema of ours too.
    let world = World::of(SOURCE);
    world.psql("create role app login; grant create on database postgres to app; create schema theirs");
    let url = world.pg.url().replace("postgres@", "app@");
    world
        .tool(&["run", "app.db", "--to", &url, "--schema", "theirs"])
        .refused_in_a_line(1, "may not create tables in the schema theirs");
}

#[test]
fn a_column_without_counterpart_is_left_out_or_given_a_value() {
    let world = World::of(
        "create table feeds (id integer primary key, name text, legacy text); insert into feeds values (1, 'a', 'x'), (2, 'b', null);",
    );
    world.psql("create table feeds (id bigint primary key, name text, fetched int not null, slug text not null, at timestamptz not null default now())");
    let ran = world.run(&["--existing", "refuse"]);
    ran.refused_in_a_line(2, "the column feeds.legacy, a value for feeds.fetched");
    assert!(
        ran.stderr.contains("--set TABLE.COLUMN=EXPRESSION")
            && ran.stderr.contains("TABLE.COLUMN leaves it out"),
        "{ran:?}"
    );
    let known = ["--existing", "refuse", "--exclude", "feeds.legacy", "--set", "feeds.fetched=0"];
    let with = |more: &str| world.run(&[&known[..], &["--set", more]].concat());
    with("feeds.slug=lower(").refused_in_a_line(2, "--set feeds.slug=lower(");
    with("feeds.nothing=1").refused_in_a_line(2, "the target has no such column");
    with("feeds.name='x'").refused_in_a_line(2, "it already gets the values of name");
    with("other.x=1").refused_in_a_line(2, "no table other is copied");
    with("feeds.slug").refused_in_a_line(2, "TABLE.COLUMN=EXPRESSION");
    with("feeds.slug=lower(name) || '-' || id").ended(0);
    world.gives(&[("select id, name, fetched, slug from feeds order by id", "1|a|0|a-1\n2|b|0|b-2")]);
    world.verified();
    world
        .run(&["--set", "feeds.fetched=0", "--schema", "other"])
        .refused_in_a_line(2, "the tables are made from the source's columns");
}

/// The same by a plan that is written although something has no counterpart, and then edited.
#[test]
fn a_plan_for_tables_of_the_application_is_written_and_edited() {
    let world = World::of(
        "create table feeds (id integer primary key, name text, legacy text); insert into feeds values (1, 'a', 'x');",
    );
    world.psql("create table feeds (id bigint primary key, title text, fetched int not null)");
    let ran = world.tool(&["plan", "app.db", "--for", &world.pg.url(), "-o", "p.toml", "--json"]);
    ran.refused_in_a_line(
        2,
        "no counterpart in public: the column feeds.name, the column feeds.legacy, a value for feeds.fetched",
    );
    assert!(ran.stdout.contains("feeds.legacy"), "the plan is printed all the same: {ran:?}");
    world.run(&["--plan", "p.toml"]).refused_in_a_line(2, "no counterpart in public: the column feeds.name");
    let mut plan: toml::Value =
        toml::from_str(&std::fs::read_to_string(world.path("p.toml")).expect("the plan")).expect("TOML");
    let table = plan["table"].as_array_mut().expect("tables").first_mut().expect("one");
    let columns = table["column"].as_array_mut().expect("columns");
    columns.retain(|c| c["source"].as_str() != Some("legacy"));
    let name = columns.iter_mut().find(|c| c["source"].as_str() == Some("name")).expect("name");
    name["target"] = "title".into();
    let set = toml::toml! { column = "fetched"
    expression = "length(title)" };
    table
        .as_table_mut()
        .expect("a table")
        .insert("set".into(), toml::Value::Array(vec![toml::Value::Table(set)]));
    std::fs::write(world.path("p.toml"), toml::to_string(&plan).expect("TOML")).expect("write");
    world.run(&["--plan", "p.toml"]).ended(0);
    world.gives(&[("select id, title, fetched from feeds", "1|a|1")]);
    world.verified();
}

/// Rows of a table that inherits are not its parent's.
#[test]
fn a_parent_is_compared_and_emptied_without_its_children() {
    let world = World::of(
        "create table sub (id integer primary key, v text, extra int); insert into sub values (1, 'c', 5); create table base (id integer primary key, v text); insert into base values (10, 'p'), (11, 'q');",
    );
    world.psql("create table base (id bigint primary key, v text); create table sub (extra bigint) inherits (base); create table own (z int) inherits (base); insert into own values (99, 'theirs', 1)");
    world.run(&["--existing", "refuse"]).ended(0);
    world.gives(&[(
        "select tableoid::regclass, id, v from base order by id",
        "sub|1|c\nbase|10|p\nbase|11|q\nown|99|theirs",
    )]);
    world.verified();
    world.run(&["--existing", "truncate"]).ended(0);
    world.gives(&[("select count(*) from base", "4"), ("select count(*) from only base", "2")]);
    world.psql("update only base set v = 'other' where id = 11");
    let records = world.verify().ended(4);
    assert!(records.iter().any(|r| r["kind"] == "value" && r["row"] == "id=11"), "{records:#?}");
    world.run(&["--undo", "--even-if-changed"]).ended(0);
    world.gives(&[("select count(*) from only base", "2"), ("select count(*) from own", "1")]);
}

/// A password that others can see is warned of however it is written, and what is refused names options that exist.
#[test]
fn a_password_on_the_command_line_is_warned_of() {
    let world = World::of("create table t (x int);");
    let warned = "every user of this machine can see the password on the command line";
    let given = |to: &str| world.tool(&["run", "app.db", "--to", to, "--undo"]);
    for to in [
        "postgresql://u:s%40cret@127.0.0.1:1/x",
        "postgresql://u:plain@127.0.0.1:1/x",
        "host=127.0.0.1 port=1 user=u password='it\\'s'",
    ] {
        let ran = given(to);
        assert!(ran.stderr.contains(warned), "{to}: {ran:?}");
    }
    for to in ["postgresql://u@127.0.0.1:1/x", "host=/nowhere user=u"] {
        let ran = given(to);
        assert!(!ran.stderr.contains(warned) && !ran.stderr.contains("--db"), "{to}: {ran:?}");
    }
}

/// A key whose parents stayed among the rejects says so.
#[test]
fn orphans_that_rejects_made_are_not_called_the_sources() {
    let world = World::of(
        "create table p (id integer primary key, d date); insert into p values (1, '2024-01-01'), (2, 'never'); create table c (id integer primary key, p_id int references p); insert into c values (1, 1), (2, 2), (3, 9);",
    );
    let ran = world.run(&["--cast", "p.d=date", "--on-invalid", "reject", "--report", "told"]);
    ran.refused_in_a_line(3, "1 values");
    let (_, why) = crate::world::outcome_of(&ran.records(), "foreign key", "c.c_p_id_fkey");
    assert_eq!(
        why,
        "2 rows without a parent, 1 of them in the source, the parents of the others are among the rejects: 2; 3"
    );
}
