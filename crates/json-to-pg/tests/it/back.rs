//! The way back: what the database holds after days of use is in the files again, or named; and what the files hold beside the
//! database is named before anybody deletes them.

use crate::world::World;

const MICROS: &str = "2026-01-02 03:04:05.123456+00";

#[test]
fn no_digit_no_zone_and_no_column_is_lost_by_export() {
    // (file, its times, the same times as they come back, the time that the application wrote)
    let cases = [
        ("zulu", ["2026-01-02T03:04:05Z"; 2], ["2026-01-02T03:04:05Z"; 2], "2026-01-02T03:04:05.123456Z"),
        ("naive", ["2026-01-02T12:04:05"; 2], ["2026-01-02T12:04:05"; 2], "2026-01-02T12:04:05.123456"),
        (
            "millis",
            ["2026-01-02T03:04:05.000Z"; 2],
            ["2026-01-02T03:04:05.000Z"; 2],
            "2026-01-02T03:04:05.123456Z",
        ),
        ("minutes", ["2026-01-02 12:04"; 2], ["2026-01-02 12:04"; 2], "2026-01-02 12:04:05.123456"),
        (
            "shifted",
            ["2026-01-02T09:04:05+06:00"; 2],
            ["2026-01-02T09:04:05+06:00"; 2],
            "2026-01-02T09:04:05.123456+06:00",
        ),
        (
            "blend",
            ["2026-01-02T03:04:05Z", "2026-01-02T12:04:05"],
            ["2026-01-02T03:04:05Z"; 2],
            "2026-01-02T03:04:05.123456Z",
        ),
    ];
    let text = |times: &[&str]| {
        let records = (1..).zip(times).map(|(id, at)| format!("{{\"id\":{id},\"at\":\"{at}\"}}"));
        format!("[{}]", records.collect::<Vec<_>>().join(","))
    };
    let world = World::new();
    cases.iter().for_each(|(name, times, ..)| world.write(&format!("{name}.json"), text(times)));
    world.moved(&["--zone", "Asia/Tokyo"]);
    cases
        .iter()
        .for_each(|(name, ..)| drop(world.psql(&format!("insert into {name} values (3, '{MICROS}')"))));
    let ran = world.tool(&["export", "out"]);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    for (name, _, back, written) in cases {
        let found = std::fs::read_to_string(world.path("out").join(format!("{name}.json"))).expect("a file");
        assert_eq!(found, text(&[back[0], back[1], written]), "{name}");
    }
    // What the application added since.
    world.psql("alter table zulu add z int default 4");
    let ran = world.tool(&["export", "more"]);
    assert_eq!(ran.status, Some(3), "{ran:?}");
    assert!(ran.stderr.contains("public.zulu.z: the values of 3 rows"), "{ran:?}");
    assert_eq!(ran.stderr.matches("in no path").count(), 1, "{ran:?}");
}

#[test]
fn columns_that_no_path_fills_are_named_once_they_hold_what_was_not_loaded() {
    let world = World::of(&[("users.json", r#"[{"id":1,"name":"a"},{"id":2,"name":"b"}]"#)]);
    world.psql(
        "create table users (id int primary key, name text, active boolean, note text, seen timestamptz not null default now())",
    );
    world.plan_existing(&[]);
    world.answer(&[("users.json", "active", "true"), ("users.json", "note", "null")]);
    world.ran();
    assert_eq!(world.tool(&["export", "out"]).status, Some(0));
    let changes = [
        ("update users set active = false where id = 1", "public.users.active: the values of 1 rows"),
        ("update users set note = 'x' where id = 2", "public.users.note: the values of 1 rows"),
        ("alter table users add late int not null default 1", "public.users.late: the values of 2 rows"),
    ];
    for (at, (sql, words)) in changes.into_iter().enumerate() {
        world.psql(sql);
        let ran = world.tool(&["export", &format!("out{at}")]);
        assert!(ran.status == Some(3) && ran.stderr.contains(words), "{ran:?}");
    }
}

#[test]
fn verify_names_what_the_files_hold_and_no_table_does() {
    let text = r#"[{"id":1,"a":"x","o":{"b":1}},{"id":2,"a":"y","o":{}}]"#;
    let world = World::of(&[("f.json", text)]);
    world.moved(&[]);
    let cases = [
        (
            "f.json",
            r#"[{"id":1,"a":"x","o":{"b":1},"q":5},{"id":2,"a":"y","o":{}}]"#,
            4,
            "q is new (record 1)",
        ),
        ("f.json", r#"[{"id":1,"a":"x","a":"z","o":{"b":1}},{"id":2,"a":"y","o":{}}]"#, 2, "appears twice"),
        ("g.json", r#"[{"id":9}]"#, 4, "g.json is not in the plan"),
    ];
    for (name, changed, status, words) in cases {
        world.write(name, changed);
        world.tool(&["verify"]).refused(status, words);
        world.write("f.json", text);
    }
    std::fs::remove_file(world.path("data/g.json")).expect("remove");
    world.verified();
    // As many as are named are not all.
    world.psql("insert into f select n, 'x', '{}' from generate_series(10, 3000) n; update f set a = a");
    let ran = world.tool(&["verify"]);
    assert!(!ran.said().contains("differences between the files and the database: 1000"), "{ran:?}");
}

#[test]
fn what_a_file_holds_is_in_no_message() {
    let users = "[{\"id\":1,\n\"password_hash\":\"$2b$12$hunter2\"}]";
    let world = World::of(&[("users.json", users)]);
    let said = world.tool(&["run", "data/users.json"]).refused(2, "line 2");
    assert!(!said.contains("hunter2") && !said.contains("password"), "{said}");
    // A refusal of the application's own constraint shows no row.
    for constraint in ["check (length(password_hash) < 9)", "not null, check (id > 1)"] {
        world.psql(&format!("drop table if exists users; create table users (id int primary key, password_hash text {constraint})"));
        world.plan_existing(&[]);
        let said = world.run().refused(4, "violates check constraint");
        assert!(!said.contains("hunter2"), "{said}");
    }
    world.psql("drop table users; create table users (id int primary key, password_hash text unique)");
    world.psql("insert into users values (7, '$2b$12$hunter2')");
    world.plan_existing(&[]);
    let said = world.run().refused(4, "duplicate key");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn an_object_of_records_by_id_fills_the_key_of_its_table() {
    let world = World::of(&[("tickets.json", r#"{"t1":{"name":"a"},"t2":{"name":"b"}}"#)]);
    world.psql("create table tickets (id text primary key, name text)");
    let records = world.plan_existing(&[]);
    assert!(crate::world::questions(&records).is_empty(), "{records:?}");
    world.ran();
    world.verified();
    world.gives(&[("select * from tickets order by 1", "t1|a\nt2|b")]);
    assert_eq!(world.tool(&["export", "out"]).status, Some(0));
    let written = std::fs::read_to_string(world.path("out/tickets.json")).expect("a file");
    assert_eq!(written, r#"{"t1":{"name":"a"},"t2":{"name":"b"}}"#);
    // By hand, twice.
    world.edit(|plan| {
        let value =
            toml::Table::from_iter([("column".into(), "name".into()), ("from".into(), "$key".into())]);
        let file = plan["file"].as_array_mut().and_then(|f| f[0].as_table_mut()).expect("the file");
        file.insert("value".into(), toml::Value::Array(vec![value.into()]));
    });
    for more in [&[][..], &["--dry-run"][..]] {
        let ran = world.tool(&[&["run", "plan.toml"][..], more].concat());
        ran.refused(2, "the column name of public.tickets is filled twice: from name and from $key");
    }
}

#[test]
fn flags_that_name_nothing_and_a_plan_that_is_there_are_refused() {
    let world = World::of(&[("f.json", r#"[{"id":1,"o":[{"a":1}]}]"#)]);
    let cases = [
        (["--table", "f=public.x"], "names none of the files"),
        (["--table", "f.json=public.x"], "--for"),
        (["--explode", "g.json:o"], "names none of the files"),
        (["--explode", "f.json:zz"], "has no path zz"),
        (["--split", "f.json:zz"], "has no path zz"),
    ];
    for (flags, words) in cases {
        world.tool(&[&["plan", "data", "-o", "plan.toml"][..], &flags[..]].concat()).refused(2, words);
    }
    world.plan(&[]);
    world.tool(&["plan", "data", "-o", "plan.toml"]).refused(2, "is there already, with its answers");
    world.write("f.json", "[{}]");
    let records = world.plan(&[]);
    assert_eq!(crate::world::questions(&records), [("f.json".to_string(), String::new())]);
    // Texts are in order too.
    for (text, lost) in [(r#"[{"id":"u1"},{"id":"u2"}]"#, false), (r#"[{"id":"u2"},{"id":"u1"}]"#, true)] {
        world.write("f.json", text);
        assert_eq!(crate::world::has_finding(&world.plan(&[]), "order-lost"), lost, "{text}");
    }
}
