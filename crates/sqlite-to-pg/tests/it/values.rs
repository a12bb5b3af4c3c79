//! The matrix's rows V1 to V27: what each value becomes. Those without a test here: V26 (a limit) is in `bad`.

use crate::world::{World, outcome_of};

#[test]
fn v1_to_v8_numbers_and_booleans() {
    let world = World::of(
        "create table v2 (id integer primary key, n mediumint, t tinyint);
         insert into v2 values (1, -9223372036854775808, 300), (2, 9223372036854775807, null);
         create table v3 (r real, i integer); insert into v3 values (9223372036854775808, 9223372036854775808), (1, 1);
         create table v4 (r real); insert into v4 values (0.1), (3), (-0.0), (1e308), (5e-324);
         create table v5 (r real, n numeric); insert into v5 values (9e999, 9e999), (-9e999, -9e999), (null, null);
         create table v6 (n numeric); insert into v6 values ('1.10'), (12345678901234567890), (7), (0.1);
         create table v7 (d decimal(10,2), e decimal(10,2)); insert into v7 values (100.005, 1.25), (1, 2);
         create table v8 (b boolean, c boolean, d boolean, e tinyint(1)); insert into v8 values (0, 2, 'true', 1), (1, 0, 1, null);
         create table v1 (a \"UNSIGNED BIG INT\", b NATIVE CHARACTER(70), c \"DOUBLE PRECISION\", d \"(10,2)\", e \"TEXT[]\");
         insert into v1 values (1, 'x', 2.5, 'any', '[]');",
    );
    world.run(&[]).ended(0);
    let bits = world.sqlite("select '\\x' || lower(hex(ieee754_to_blob(r))) from v4");
    assert_eq!(world.psql("select float8send(r) from v4"), bits);
    world.gives(&[
        ("select n, t from v2 order by id", "-9223372036854775808|300\n9223372036854775807|"),
        ("select pg_typeof(r), r = 9223372036854775808::float8, pg_typeof(i), i from v3 where r > 1", "double precision|t|numeric|9223372036854776000"),
        ("select r, n from v5", "Infinity|Infinity\n-Infinity|-Infinity\n|"),
        ("select n from v6", "1.1\n12345678901234567000\n7\n0.1"),
        ("select d, e, pg_typeof(d), format_type(atttypid, atttypmod) from v7, pg_attribute where attrelid = 'v7'::regclass and attname = 'e'", "100.005|1.25|numeric|numeric(10,2)\n1|2.00|numeric|numeric(10,2)"),
        ("select b, c, d, e, pg_typeof(b), pg_typeof(c), pg_typeof(d), pg_typeof(e) from v8", "f|2|true|t|boolean|bigint|text|boolean\nt|0|1||boolean|bigint|text|boolean"),
        ("select a, b, c, d, e from v1", "1|x|2.5|any|[]"),
    ]);
}

#[test]
fn v9_to_v11_times() {
    let world = World::of(
        "create table v9 (id integer primary key, s datetime, ms timestamp, us datetime, j datetime, mixed datetime, small datetime, epoch_at integer);
         insert into v9 values (1, 1704164645, 1704164645123, 1704164645123456, 2460311.6278356483, 1704164645000, 5, 1704164645),
           (2, 1604164645, null, 1604164645000001, 2460312.5, '2024-01-02T03:04:05Z', 6, 1);
         create table v10 (id integer primary key, zoned datetime, plain datetime, both datetime, day date, at time);
         insert into v10 values (1, '2024-01-02 03:04:05.000 +00:00', '2024-01-02 03:04:05', '2024-01-02T03:04:05+02:00', '2024-02-29', '10:20:30'),
           (2, '2024-01-02T03:04:05.123456Z', '2024-01-02T03:04', '2024-01-02 03:04:05', '1999-12-31', '10:20'), (3, '2024-01-02', null, null, null, null);
         create table v11 (id integer primary key, d date, t datetime);
         insert into v11 values (1, '2024-02-30', '24:00:00'), (2, '0000-00-00', 'now'), (3, '', ''), (4, '2024-01-01', '2024-01-01 00:00:00');",
    );
    let records = world.run(&[]).ended(0);
    world.gives(&[
        ("select s, ms, us, j, mixed, small, epoch_at from v9 where id = 1", "2024-01-02 03:04:05+00|2024-01-02 03:04:05.123+00|2024-01-02 03:04:05.123456+00|2024-01-02 03:04:05+00|2024-01-02 03:04:05+00|5|1704164645"),
        ("select us, j, mixed from v9 where id = 2", "2020-10-31 17:17:25.000001+00|2024-01-03 00:00:00+00|2024-01-02 03:04:05+00"),
        ("select zoned, plain, \"both\", day, at from v10 order by id", "2024-01-02 03:04:05+00|2024-01-02 03:04:05|2024-01-02 01:04:05+00|2024-02-29|10:20:30\n2024-01-02 03:04:05.123456+00|2024-01-02 03:04:00|2024-01-02 03:04:05+00|1999-12-31|10:20:00\n2024-01-02 00:00:00+00||||"),
        ("select d, t from v11 order by id", "2024-02-30|24:00:00\n0000-00-00|now\n|\n2024-01-01|2024-01-01 00:00:00"),
        ("select count(*) from v11 where d = '' and t = ''", "1"),
    ]);
    let (_, why) = outcome_of(&records, "mismatched values", "v11.d");
    assert!(why.contains("1; 2; 3"), "{why}");
}

/// A time that PostgreSQL would round stays a text, or is rounded because a rule says so; neither is a reject.
#[test]
fn v10_digits_beyond_the_microsecond_are_decided_in_the_plan() {
    let world = World::of(
        "create table t (id integer primary key, at datetime, nanos datetime, c time);
         insert into t values (1, '2024-01-02 03:04:05.1234567Z', 1704164645123456789, '23:59:59.9999999'), (2, '2024-01-02 03:04:05.9999995Z', 1704164645000000000, '10:20:30');",
    );
    let records = world.run(&[]).ended(0);
    let (_, why) = outcome_of(&records, "mismatched values", "t.at");
    assert!(why.contains("finer than a microsecond"), "{why}");
    world.gives(&[(
        "select at, nanos, c, pg_typeof(at), pg_typeof(nanos) from t order by id",
        "2024-01-02 03:04:05.1234567Z|1704164645123456789|23:59:59.9999999|text|bigint\n2024-01-02 03:04:05.9999995Z|1704164645000000000|10:20:30|text|bigint",
    )]);
    world.verified();
    world.run(&["--undo"]).ended(0);
    world.run(&["--on-invalid", "round"]).ended(0);
    world.gives(&[(
        "select at, nanos, c from t order by id",
        "2024-01-02 03:04:05.123457+00|2024-01-02 03:04:05.123457+00|24:00:00\n2024-01-02 03:04:06+00|2024-01-02 03:04:05+00|10:20:30",
    )]);
    world.verified();
    assert!(!world.path("app-migration/rejects.jsonl").exists(), "rounded by rule is no reject");
    world.run(&["--undo"]).ended(0);
    world.run(&["--on-invalid", "replace"]).refused_in_a_line(3, "4 values");
    let kept = std::fs::read_to_string(world.path("app-migration/rejects.jsonl")).expect("rejects");
    assert!(kept.contains("finer than a microsecond"), "{kept}");
    world.run(&["--undo"]).ended(0);
    world.run(&["--on-invalid", "replace", "--accept-rejects"]).ended(0);
    world.verified();
}

/// A double needs up to 17 digits; however it is written, the shortest that read back the same are the copy's.
#[test]
fn v6_doubles_in_numeric_columns_are_their_shortest_digits() {
    let world = World::new();
    let db = rusqlite::Connection::open(world.file()).expect("open");
    db.execute_batch("create table t (id integer primary key, n numeric, d decimal(10,2), m money, f real)")
        .expect("make");
    let mut dice = testkit::Dice::new(testkit::seed());
    for id in 0..2000 {
        let n = match id % 5 {
            0 => dice.below(1_000_000) as f64 / 100.0 * 1.19,
            1 => dice.below(1000) as f64 / 7.0,
            2 => f64::from_bits(dice.below(u64::MAX)),
            3 => 10_f64.powi(i32::try_from(dice.below(600)).expect("small") - 300) * 1.1,
            _ => [0.1 + 0.2, 1.0 / 3.0, 255.0 / 7.0, 2.0 / 3.0][dice.index(4)],
        };
        let n = if n.is_finite() { n } else { 0.5 };
        db.execute("insert into t values (?1, ?2, ?2, ?2, ?2)", (id, n)).expect("insert");
    }
    drop(db);
    world.run(&[]).ended(0);
    world.gives(&[(
        "select count(*), count(*) filter (where n::float8 = f and d::float8 = f and m::float8 = f) from t",
        "2000|2000",
    )]);
    world.verified();
}

/// A copy that somebody else made may write a double with more digits; the number is the same, and no other is.
#[test]
fn v6_doubles_that_another_tool_wrote_in_full_are_the_same() {
    let world = World::of(
        "create table t (id integer primary key, n numeric, x text); insert into t values (1, 1 / 3.0, '0.12345678901234567890'), (2, 255 / 7.0, '7'), (3, 0.1 + 0.2, '-1.50'), (4, 9007199254740993, '9007199254740993');",
    );
    world.psql(
        "create table t (id bigint generated by default as identity primary key, n numeric, x numeric)",
    );
    let rows = world.sqlite("select '(' || id || ', ' || quote(n) || ', ' || x || ')' from t");
    world.psql(&format!("insert into t values {}; select setval('t_id_seq', 4)", rows.replace('\n', ", ")));
    let shown = world.psql("select n from t where id = 1");
    assert!(shown.starts_with("0.3333333333333333148"), "as SQLite writes it: {shown}");
    world.verified();
    for wrong in [
        "n = 0.3333333333333334 where id = 1",
        "x = 0.12345678901234567891 where id = 1",
        "n = 9007199254740992 where id = 4",
    ] {
        world.psql(&format!("create table kept as table t; update t set {wrong}"));
        let ran = world.tool(&["verify", "app.db", "--json"]);
        assert_eq!(ran.status, Some(4), "{wrong}: {ran:?}");
        world.psql("delete from t; insert into t table kept; drop table kept");
    }
}

#[test]
fn v12_to_v16_classes_that_mix() {
    let world = World::of(
        "create table v12 (b blob); insert into v12 values (x''), (zeroblob(100000)), (x'00ff');
         create table v13 (b blob, t text, u text); insert into v13 values ('aGVsbG8=', x'ff00', x'6869'), (x'01', 'plain', 'x');
         create table v14 (x, y, z); insert into v14 values (1, 'a', 1), (2, 'b', 'b'), (3, 'c', x'00');
         create table v15 (n integer, m integer, k integer); insert into v15 values ('abc', 1.5, '  12  '), ('', 2, 1e3), (7, 3, 4);
         create table v16p (code integer_or_text primary key); insert into v16p values (1), ('EPSG');
         create table v16c (id integer primary key, code integer_or_text references v16p); insert into v16c values (1, 1), (2, 1);",
    );
    world.run(&[]).ended(0);
    world.gives(&[
        ("select md5(b), octet_length(b) from v12", "d41d8cd98f00b204e9800998ecf8427e|0\n0019d23bef56a136a1891211d7007f6f|100000\nd07d34efac6328007ad67c7e0a985e00|2"),
        ("select encode(b, 'escape'), t, u from v13", "aGVsbG8=|\\xff00|hi\n\u{1}|\\x706c61696e|x"),
        ("select x, y, z->>'t', z->>'v', pg_typeof(x) from v14", "1|a|integer|1|bigint\n2|b|text|b|bigint\n3|c|blob|00|bigint"),
        ("select n, m, k from v15", "abc|1.5|12\n|2|1000\n7|3|4"),
        ("select pg_typeof(c.code), convalidated from v16c c, pg_constraint where conrelid = 'v16c'::regclass and contype = 'f' and c.id = 1", "text|t"),
    ]);
}

#[test]
fn v17_to_v21_text_that_postgresql_cannot_hold() {
    let world = World::of(
        "create table t (id integer primary key, x text); insert into t values (1, 'a' || char(0) || 'b'), (2, cast(x'c328' as text)), (3, ''), (4, null), (5, 'é');",
    );
    let records = world.run(&["--report", "told"]).records();
    world.gives(&[(
        "select id, x, x is null from t order by id",
        "1|a␀b|f\n2|\u{fffd}(|f\n3||f\n4||t\n5|é|f",
    )]);
    let (_, why) = outcome_of(&records, "mismatched values", "t.x");
    assert!(why.contains("NUL") || why.contains("UTF-8"), "{why}");
    let kept = std::fs::read_to_string(world.path("told/rejects.jsonl")).expect("rejects");
    assert!(kept.contains("610062") && kept.contains("c328"), "{kept}");
    world.run(&["--undo"]).ended(0);
    world.run(&["--on-invalid", "bytea"]).ended(0);
    world.gives(&[("select encode(x, 'hex') from t where id < 3 order by id", "610062\nc328")]);
}

#[test]
fn v18_text_of_an_old_windows_is_read_as_such() {
    let world = World::of(
        "create table t (id integer primary key, x text, y varchar(3), n int); insert into t values (1, cast(x'4dfc6c6c657220803520939594' as text), cast(x'e9e9e9' as text), 7), (2, 'Müller', 'abc', 8), (3, cast(x'81ff' as text), null, 9);",
    );
    world.run(&["--on-invalid", "cp1252", "--report", "told"]).ended(0);
    world.gives(&[
        (
            "select x, y, pg_typeof(n) from t where id < 3 order by id",
            "Müller €5 “•”|ééé|bigint\nMüller|abc|bigint",
        ),
        ("select to_hex(ascii(x)), substr(x, 2) from t where id = 3", "81|ÿ"),
    ]);
    world.verified();
    world.psql("update t set x = 'Muller €5 “•”' where id = 1");
    assert_eq!(world.verify().status, Some(4));
    world.run(&["--undo", "--even-if-changed"]).ended(0);

    // A NUL byte is still one that nothing stands for, and what is too long when it is read so is no text of the column.
    world.sqlite("insert into t values (4, cast(x'e900' as text), null, null), (5, 'x', 'abcd', 1)");
    world.run(&["--on-invalid", "cp1252", "--report", "told"]).refused_in_a_line(3, "1 values");
    world.gives(&[("select x from t where id = 4", "é␀")]);
    assert_eq!(world.verify().status, Some(3));
    world.run(&["--undo"]).ended(0);
    world.psql("create table t (id bigint primary key, x text, y varchar(3), n bigint)");
    let existing = ["--existing", "refuse", "--on-invalid", "cp1252", "--accept-rejects"];
    world.run(&existing).refused_in_a_line(4, "1 values do not fit");
    world.sqlite("delete from t where id = 5");
    world.run(&existing).ended(0);
    world.gives(&[("select y from t where id = 1", "ééé")]);
}

#[test]
fn v19_and_v20_utf_16_arrives_like_its_utf_8_twin() {
    let rows =
        "create table t (id integer primary key, x text); insert into t values (1, 'é€😀'), (2, 'plain');";
    let mut sums = Vec::new();
    for encoding in ["UTF-8", "UTF-16le", "UTF-16be"] {
        let world = World::of(&format!("pragma encoding = '{encoding}'; {rows}"));
        world.run(&[]).ended(0);
        sums.push(world.psql("select md5(string_agg(id || x, ',' order by id)) from t"));
    }
    assert!(sums.windows(2).all(|w| w[0] == w[1]), "{sums:?}");
}

#[test]
fn v22_to_v27_text_json_uuid() {
    let world = World::of(
        "create table v22 (s varchar(5)); insert into v22 values ('0123456789');
         create table v23 (a json, b json, c json, d json); insert into v23 values ('{\"b\":1,\"a\":[1.0,2]}', '{\"a\":1,\"a\":2}', '{bad', '\"\\u0000\"');
         create table v24 (a uuid, b guid, c uuid); insert into v24 values ('00112233-4455-6677-8899-AABBCCDDEEFF', x'33221100554477668899aabbccddeeff', 'no'), ('{00112233445566778899aabbccddeeff}', null, null);
         create table v25 (s text check (s in ('New', 'Closed'))); insert into v25 values ('New');
         create table v27 (g geometry); insert into v27 values (x'47500001');",
    );
    world.run(&["--cast", "v24.b=guid"]).ended(0);
    world.gives(&[
        ("select s, pg_typeof(s) from v22", "0123456789|text"),
        ("select a, b, c, d, pg_typeof(a), pg_typeof(b), pg_typeof(c), pg_typeof(d) from v23", "{\"a\": [1.0, 2], \"b\": 1}|{\"a\":1,\"a\":2}|{bad|\"\\u0000\"|jsonb|json|text|json"),
        ("select a, b, c, pg_typeof(a), pg_typeof(c) from v24", "00112233-4455-6677-8899-aabbccddeeff|00112233-4455-6677-8899-aabbccddeeff|no|uuid|text\n00112233-4455-6677-8899-aabbccddeeff|||uuid|text"),
        ("select count(*) from pg_constraint where conrelid = 'v25'::regclass and contype = 'c' and convalidated", "1"),
        ("select encode(g, 'hex') from v27", "47500001"),
    ]);
}

/// V23: binary JSON is read by SQLite itself; a column that holds other blobs stays what it is.
#[test]
fn v23_binary_json_becomes_jsonb() {
    let world = World::new();
    let db = rusqlite::Connection::open(world.file()).expect("open");
    db.execute_batch(
        "create table t (id integer primary key, j json, b blob, x jsonb); insert into t values (1, jsonb('{\"b\":1,\"a\":[1.10,null]}'), jsonb('[1]'), jsonb('[2]')), \
         (2, '{\"text\":true}', x'00', x'ffff'), (3, null, null, null)",
    )
    .expect("make");
    world.run(&[]).ended(0);
    world.gives(&[
        (
            "select j, pg_typeof(j), pg_typeof(b), pg_typeof(x) from t where id = 1",
            "{\"a\": [1.10, null], \"b\": 1}|jsonb|bytea|bytea",
        ),
        ("select j from t where id = 2", "{\"text\": true}"),
        ("select encode(b, 'hex'), encode(x, 'hex') from t where id = 2", "00|ffff"),
    ]);
    world.verified();
}
