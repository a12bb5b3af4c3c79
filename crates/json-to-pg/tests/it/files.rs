//! Files in every shape, and what is no file of records.

use crate::world::World;
use std::process::Command;

const RECORDS: [&str; 2] = [r#"{"id":1,"name":"日本"}"#, r#"{"id":2,"name":"}\"]"}"#];

#[test]
fn the_same_records_in_every_shape() {
    let [a, b] = RECORDS;
    let world = World::new();
    let gz = |text: &str| {
        let mut gzip = Command::new("sh");
        gzip.args(["-c", "printf %s \"$1\" | gzip", "sh", text]);
        gzip.output().expect("gzip").stdout
    };
    let list = format!("[{a},\n{b}]\n");
    let cases: [(&str, Vec<u8>); 6] = [
        ("list.json", list.clone().into_bytes()),
        ("lines.json", format!("{a}\n{b}\n").into_bytes()),
        ("under.json", format!("{{\"items\": [{a}, {b}]}}").into_bytes()),
        ("bom.json", [b"\xef\xbb\xbf", list.as_bytes()].concat()),
        ("packed.json.gz", gz(&list)),
        ("packed_too.json", gz(&list)),
    ];
    for (name, text) in &cases {
        world.write(name, text);
    }
    world.write(
        "keyed.json",
        format!("{{\"1\": {}, \"2\": {}}}", a.replace("\"id\":1,", ""), b.replace("\"id\":2,", "")),
    );
    world.write("empty.json", "[]");
    world.moved(&[]);
    for table in ["list", "lines", "under", "bom", "packed", "packed_too", "keyed"] {
        world.gives(&[(
            &format!("select string_agg(id || name, ',' order by id) from {table}"),
            "1日本,2}\"]",
        )]);
    }
    world.gives(&[
        ("select count(*) from empty", "0"),
        ("select pg_typeof(id) from keyed limit 1", "text"),
        ("select nextval(pg_get_serial_sequence('list', 'id'))", "3"),
    ]);
}

#[test]
fn what_is_no_file_of_records_ends_with_2_and_its_place() {
    let world = World::new();
    let cases: [(&[u8], &str); 14] = [
        (b"[{\"id\":1},]", "byte 10, line 1, record 1: a comma before the end"),
        (b"[{\"id\":NaN}]", "byte 7, line 1, record 1: NaN"),
        (b"[\n // x\n{}]", "line 2, record 1: no value, not an object"),
        (b"[{\"id\":1},\n{\"id\":", "ends in the middle"),
        (b"[{}] [{}]", "text after the end"),
        (b"[{\"a\":\"\x01\"}]", "control character 0x01"),
        (b"[{\"a\":\"\x93\xfa\x96\x7b\x8c\xea\"}]", "no UTF-8 (it looks like Shift_JIS)"),
        (b"[{\"a\":\"\xc6\xfc\xcb\xdc\xb8\xec\"}]", "no UTF-8 (it looks like EUC-JP)"),
        (b"\xff\xfe[\0]\0", "UTF-16"),
        (b"", "is empty"),
        (b"{}", "holds no records"),
        (b"null", "null, not a list"),
        (b"[{\"a\":1,\"a\":2}]", "the key \"a\" appears twice with different values"),
        (b"[{\"id\":1,\"a\":1},{\"id\":1,\"a\":2}]", "id 1 is used by two different records, 1 and 2"),
    ];
    for (text, words) in cases {
        world.write("f.json", text);
        world.tool(&["plan", "data"]).refused(2, words);
    }
    let deep = |n: usize| format!("[{{\"a\":{}1{}}}]", "[".repeat(n), "]".repeat(n));
    world.write("f.json", deep(10_000));
    world.tool(&["plan", "data"]).refused(2, "nested deeper than 1000 levels");
    world.write("f.json", deep(129));
    world.moved(&[]);
    world.tool(&["plan", "data/none.json"]).refused(2, "none.json");
    let fifo = world.path("data/pipe.json");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo").success());
    world.tool(&["plan", "data/pipe.json"]).refused(2, "no regular file");
}

#[test]
fn equal_keys_and_records_that_stand_twice_are_told_and_loaded_once() {
    let world = World::of(&[("f.json", r#"[{"id":1,"a":1,"a":1.0},{"id":2},{"id":1,"a":1,"a":1.0}]"#)]);
    let records = world.plan(&[]);
    for id in ["doubled-key", "repeated-record"] {
        assert!(crate::world::has_finding(&records, id), "{records:#?}");
    }
    world.ran();
    world.verified();
    world.gives(&[("select id, a from f order by id", "1|1\n2|")]);
    // An id is never invented.
    let world = World::of(&[("f.json", r#"[{"id":1},{"a":2},{"id":null}]"#)]);
    assert!(crate::world::has_finding(&world.plan(&[]), "unnamed-record"));
    world.ran();
    world.gives(&[(
        "select count(*) from pg_constraint where conrelid = 'f'::regclass and contype = 'p'",
        "0",
    )]);
}

#[test]
fn files_that_change_or_are_missing_end_the_run() {
    let world = World::of(&[("a.json", r#"[{"id":1,"n":"x"}]"#), ("b.json", "[]")]);
    world.plan(&[]);
    // In place, with the same length and time: only the sum tells.
    let file = std::fs::File::options().write(true).open(world.path("data/a.json")).expect("open");
    let time = file.metadata().and_then(|m| m.modified()).expect("a time");
    std::os::unix::fs::FileExt::write_at(&file, b"y", 14).expect("write");
    file.set_modified(time).expect("set the time");
    let ran = world.run();
    assert!(matches!(ran.status, Some(75)), "{ran:?}");
    world.untouched();
    world.plan(&[]);
    std::fs::remove_file(world.path("data/b.json")).expect("remove");
    world.run().refused(2, "lacks b.json");
    world.untouched();
}
