//! Every storage class of SQLite into every type of PostgreSQL: the value arrives, or its row is told before the load.

use crate::world::World;

/// Values as SQLite writes them; their ids count from 1.
const SAMPLES: [&str; 34] = [
    "0",
    "1",
    "300",
    "70000",
    "5000000000",
    "1.5",
    "0.1",
    "2.0",
    "1e300",
    "'abc'",
    "'12'",
    "'12.50'",
    "'12.345'",
    "'true'",
    "'2025-01-02'",
    "'2025-01-02 03:04:05'",
    "'2025-01-02 03:04:05.678'",
    "'2025-01-02T03:04:05.6789+02:00'",
    "'10:20:30'",
    "'10:20:30.5'",
    "'[\"a\",\"b c\",null]'",
    "'[1,2]'",
    "'{1,2}'",
    "'{\"a\":1}'",
    "'00112233-4455-6677-8899-aabbccddeeff'",
    "'1 day 02:03:04'",
    "'-1.02:03:04.5'",
    "'PT1.234567S'",
    "'abcdefgh'",
    "'ab '",
    "''",
    "x'00ff'",
    "x'6162'",
    "x'00112233445566778899aabbccddeeff'",
];

/// A type, how psql shows its values, and what becomes of which sample; every other one does not fit.
type Case = (&'static str, &'static str, &'static [(usize, &'static str)]);

const CASES: &[Case] = &[
    ("smallint", "v", &[(1, "0"), (2, "1"), (3, "300"), (11, "12")]),
    ("integer", "v", &[(1, "0"), (2, "1"), (3, "300"), (4, "70000"), (11, "12")]),
    ("bigint", "v", &[(1, "0"), (2, "1"), (3, "300"), (4, "70000"), (5, "5000000000"), (11, "12")]),
    (
        "real",
        "v",
        &[
            (1, "0"),
            (2, "1"),
            (3, "300"),
            (4, "70000"),
            (5, "5e+09"),
            (6, "1.5"),
            (7, "0.1"),
            (8, "2"),
            (11, "12"),
            (12, "12.5"),
            (13, "12.345"),
        ],
    ),
    (
        "double precision",
        "v",
        &[
            (1, "0"),
            (2, "1"),
            (3, "300"),
            (4, "70000"),
            (5, "5000000000"),
            (6, "1.5"),
            (7, "0.1"),
            (8, "2"),
            (9, "1e+300"),
            (11, "12"),
            (12, "12.5"),
            (13, "12.345"),
        ],
    ),
    (
        "numeric",
        "case when v > 1e20 then length(v::text)::numeric else v end",
        &[
            (1, "0"),
            (2, "1"),
            (3, "300"),
            (4, "70000"),
            (5, "5000000000"),
            (6, "1.5"),
            (7, "0.1"),
            (8, "2"),
            (9, "301"),
            (11, "12"),
            (12, "12.5"),
            (13, "12.345"),
        ],
    ),
    (
        "numeric(5,2)",
        "v",
        &[
            (1, "0.00"),
            (2, "1.00"),
            (3, "300.00"),
            (6, "1.50"),
            (7, "0.10"),
            (8, "2.00"),
            (11, "12.00"),
            (12, "12.50"),
        ],
    ),
    (
        "money",
        "v::numeric",
        &[
            (1, "0.00"),
            (2, "1.00"),
            (3, "300.00"),
            (4, "70000.00"),
            (5, "5000000000.00"),
            (6, "1.50"),
            (7, "0.10"),
            (8, "2.00"),
            (11, "12.00"),
            (12, "12.50"),
        ],
    ),
    ("boolean", "v", &[(1, "f"), (2, "t"), (14, "t")]),
    (
        "varchar(5)",
        "v",
        &[
            (1, "0"),
            (2, "1"),
            (3, "300"),
            (4, "70000"),
            (6, "1.5"),
            (7, "0.1"),
            (8, "2.0"),
            (9, "1e300"),
            (10, "abc"),
            (11, "12"),
            (12, "12.50"),
            (14, "true"),
            (22, "[1,2]"),
            (23, "{1,2}"),
            (30, "ab "),
            (31, ""),
            (33, "ab"),
        ],
    ),
    (
        "char(3)",
        "octet_length(v) || ' ' || v::text",
        &[
            (1, "3 0"),
            (2, "3 1"),
            (3, "3 300"),
            (6, "3 1.5"),
            (7, "3 0.1"),
            (8, "3 2.0"),
            (10, "3 abc"),
            (11, "3 12"),
            (30, "3 ab"),
            (31, "3 "),
            (33, "3 ab"),
        ],
    ),
    (
        "timestamp",
        "v",
        &[
            (15, "2025-01-02 00:00:00"),
            (16, "2025-01-02 03:04:05"),
            (17, "2025-01-02 03:04:05.678"),
            (18, "2025-01-02 01:04:05.6789"),
        ],
    ),
    ("timestamp(0)", "v", &[(15, "2025-01-02 00:00:00"), (16, "2025-01-02 03:04:05")]),
    (
        "timestamp(3)",
        "v",
        &[(15, "2025-01-02 00:00:00"), (16, "2025-01-02 03:04:05"), (17, "2025-01-02 03:04:05.678")],
    ),
    (
        "timestamptz",
        "v",
        &[
            (15, "2025-01-02 00:00:00+00"),
            (16, "2025-01-02 03:04:05+00"),
            (17, "2025-01-02 03:04:05.678+00"),
            (18, "2025-01-02 01:04:05.6789+00"),
        ],
    ),
    ("timestamptz(0)", "v", &[(15, "2025-01-02 00:00:00+00"), (16, "2025-01-02 03:04:05+00")]),
    (
        "timestamptz(3)",
        "v",
        &[(15, "2025-01-02 00:00:00+00"), (16, "2025-01-02 03:04:05+00"), (17, "2025-01-02 03:04:05.678+00")],
    ),
    ("date", "v", &[(15, "2025-01-02")]),
    ("time", "v", &[(19, "10:20:30"), (20, "10:20:30.5")]),
    ("time(0)", "v", &[(19, "10:20:30")]),
    (
        "interval",
        "v",
        &[
            (19, "10:20:30"),
            (20, "10:20:30.5"),
            (26, "1 day 02:03:04"),
            (27, "-1 days -02:03:04.5"),
            (28, "00:00:01.234567"),
        ],
    ),
    (
        "interval(1)",
        "v",
        &[(19, "10:20:30"), (20, "10:20:30.5"), (26, "1 day 02:03:04"), (27, "-1 days -02:03:04.5")],
    ),
    (
        "json",
        "v",
        &[
            (11, "12"),
            (12, "12.50"),
            (13, "12.345"),
            (14, "true"),
            (21, "[\"a\",\"b c\",null]"),
            (22, "[1,2]"),
            (24, "{\"a\":1}"),
        ],
    ),
    (
        "jsonb",
        "v",
        &[
            (11, "12"),
            (12, "12.50"),
            (13, "12.345"),
            (14, "true"),
            (21, "[\"a\", \"b c\", null]"),
            (22, "[1, 2]"),
            (24, "{\"a\": 1}"),
        ],
    ),
    (
        "uuid",
        "v",
        &[(25, "00112233-4455-6677-8899-aabbccddeeff"), (34, "00112233-4455-6677-8899-aabbccddeeff")],
    ),
    ("text[]", "v", &[(21, "{a,\"b c\",NULL}"), (22, "{1,2}"), (23, "{1,2}")]),
    ("varchar(3)[]", "v", &[(21, "{a,\"b c\",NULL}"), (22, "{1,2}"), (23, "{1,2}")]),
];

/// Their values are written by the server's own words; every sample of text is one to us.
const TEXTS: &[(&str, &str)] = &[("text", "v"), ("bytea", "v")];

#[test]
fn every_storage_class_into_every_type() {
    let world = World::new();
    let tables = || CASES.iter().enumerate();
    let rows: Vec<String> = SAMPLES.iter().enumerate().map(|(at, v)| format!("({}, {v})", at + 1)).collect();
    for (n, (pg_type, ..)) in tables() {
        world.sqlite(&format!(
            "create table t{n} (id integer primary key, v); insert into t{n} values {};",
            rows.join(", ")
        ));
        world.psql(&format!("create table t{n} (id int primary key, v {pg_type})"));
    }
    for (n, (pg_type, _)) in TEXTS.iter().enumerate() {
        let own = if *pg_type == "text" { "id < 32 or id = 33" } else { "id > 9" };
        world.sqlite(&format!(
            "create table own{n} (id integer primary key, v); insert into own{n} values {}; delete from own{n} where not ({own});",
            rows.join(", ")
        ));
        world.psql(&format!("create table own{n} (id int primary key, v {pg_type})"));
    }
    let ran = world.run(&["--existing", "refuse"]);
    assert_eq!(ran.status, Some(4), "{ran:?}");
    for (n, (pg_type, _, fit)) in tables() {
        let name = format!("t{n}.v");
        let told: u64 = ran
            .records()
            .iter()
            .filter(|r| r["kind"] == "violation" && r["name"] == name.as_str())
            .map(|r| r["count"].as_u64().or_else(|| r["rows"].as_u64()).unwrap_or_default())
            .sum();
        assert_eq!(told, (SAMPLES.len() - fit.len()) as u64, "{pg_type}: {:#?}", ran.records());
        let ids: Vec<String> = fit.iter().map(|(id, _)| id.to_string()).collect();
        world.sqlite(&format!("delete from t{n} where id not in ({})", ids.join(", ")));
    }
    world.run(&["--existing", "refuse"]).ended(0);
    for (n, (pg_type, shown, fit)) in tables() {
        let expected: Vec<String> = fit.iter().map(|(id, v)| format!("{id}|{v}")).collect();
        let found = world.psql(&format!("select id, {shown} from t{n} order by id"));
        assert_eq!(found, expected.join("\n"), "{pg_type}");
    }
    for (n, _) in TEXTS.iter().enumerate() {
        let bytes = world
            .sqlite(&format!("select id, lower(hex(v)) from own{n} where typeof(v) in ('text', 'blob')"));
        let hex = if n == 0 { "encode(convert_to(v, 'UTF8'), 'hex')" } else { "encode(v, 'hex')" };
        let found = format!("select id, {hex} from own{n} where id > 9 order by id");
        assert_eq!(world.psql(&found), bytes, "{}", TEXTS[n].0);
    }
    world.verified();
}

/// A unit makes a number a moment or an interval; digits that the type has not are rounded when a rule says so.
#[test]
fn rules_for_numbers_and_for_fine_times() {
    let world = World::of(
        "create table t (id integer primary key, at datetime, took bigint, ms integer, s real, ticks integer, c time, n text, d integer);
         insert into t values (1, 1725148800123, 90061500000, 1500, 1.5, 15000007, '10:20:30.5', '12345678', 1725148800),
                              (2, '2025-09-01 10:00:00.5', -1, 0, 0, 0, '10:20:30', 'abcdefgh', null);",
    );
    world.psql(
        "create table t (id int primary key, at timestamp(3), took interval, ms interval, s interval, ticks interval, c time(0), n varchar(8), d timestamptz(0))",
    );
    let ran = world.run(&["--existing", "refuse"]);
    ran.refused_in_a_line(4, "do not fit");
    for words in ["t.took", "interval-us", "t.c", "finer than the type keeps"] {
        assert!(ran.stdout.contains(words), "{words}: {ran:?}");
    }
    let casts = ["t.took=interval-us", "t.ms=interval-ms", "t.s=interval-s", "t.ticks=interval-ticks"];
    let casts: Vec<&str> = casts.iter().flat_map(|c| ["--cast", c]).collect();
    world.run(&[&["--existing", "refuse", "--on-invalid", "round"][..], &casts].concat()).ended(0);
    world.gives(&[(
        "select at, took, ms, s, ticks, c, n, d from t order by id",
        "2024-09-01 00:00:00.123|25:01:01.5|00:00:01.5|00:00:01.5|00:00:01.500001|10:20:31|12345678|2024-09-01 00:00:00+00\n\
         2025-09-01 10:00:00.5|-00:00:00.000001|00:00:00|00:00:00|00:00:00|10:20:30|abcdefgh|",
    )]);
    world.verified();
}

/// Eight letters are eight bytes, and so is a bigint.
#[test]
fn text_is_never_sent_as_a_number() {
    let world = World::of(
        "create table t (id integer primary key, n text); insert into t values (1, '12345678'), (2, '-5');",
    );
    world.psql("create table t (id int primary key, n bigint)");
    world.run(&["--existing", "refuse", "--cast", "t.n=text"]).ended(0);
    world.gives(&[("select n from t order by id", "12345678\n-5")]);
    world.run(&["--undo"]).ended(0);
    world.sqlite("insert into t values (3, 'abcdefgh')");
    assert_eq!(world.run(&["--existing", "refuse"]).status, Some(4));
    let ran = world.run(&["--existing", "refuse", "--cast", "t.n=text"]);
    assert!(matches!(ran.status, Some(1 | 4)), "{ran:?}");
    world.gives(&[("select count(*) from t", "0")]);
    world
        .tool(&["run", "app.db", "--schema", "other", "--cast", "t.n=bigint:text"])
        .refused_in_a_line(2, "does not give bigint");
}

/// A cast of the server that cuts or rounds says nothing: not of bits, of domains, nor of elements.
#[test]
fn casts_that_would_change_a_value_are_told() {
    let world = World::new();
    world.psql("create domain short as varchar(5)");
    let cases = [
        ("bit(4)", "'10101'", "10101"),
        ("bit varying(3)", "'10101'", "10101 to 101"),
        ("short", "'too long'", "too long to too l"),
        ("varchar(2)[]", "'[\"abc\"]'", "{\"abc\"} to {ab}"),
        ("numeric(4,1)[]", "'[1.25]'", "{1.25} to {1.3}"),
        ("timestamp(0)[]", "'[\"2025-01-01 10:00:00.6\"]'", "10:00:01"),
        ("interval day to minute", "'1 day 02:03:04'", "1 day 02:03:04 to 1 day 02:03:00"),
    ];
    for (n, (target, value, words)) in cases.iter().enumerate() {
        let name = format!("t{n}");
        world.sqlite(&format!(
            "create table {name} (id integer primary key, v text); insert into {name} values (7, {value});"
        ));
        world.psql(&format!("create table {name} (id int primary key, v {target})"));
        for action in ["refuse", "append"] {
            let ran = world.run(&["--include", &name, "--existing", action]);
            ran.refused_in_a_line(4, "would change 1 values");
            assert!(ran.stderr.contains(words) && ran.stderr.contains("row 7"), "{target}: {ran:?}");
            world.gives(&[(&format!("select count(*) from {name}"), "0")]);
        }
    }
}
