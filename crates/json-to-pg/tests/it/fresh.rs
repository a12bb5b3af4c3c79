//! Tables that the run makes: numbers, times, shapes, what comes back.

use crate::world::World;
use serde_json::Value;
use testkit::SigningKey;

#[test]
fn every_value_arrives_in_a_type_that_holds_it() {
    let text = r#"[
  {"id": 1, "n": 9007199254740993, "big": 18446744073709551616, "d": 1.10, "e": 1e400, "zip": "01234", "b": true,
   "t": "2026-01-07T11:49:50.796833", "day": "2024-06-23", "u": "00112233-4455-6677-8899-aabbccddeeff",
   "tags": ["a", "日"], "nums": [1, 2], "mixed": [1, null], "o": {"b": 1.0, "a": []}, "any": 1, "s": "", "z": -0},
  {"id": 3, "n": -9223372036854775808, "big": 1, "d": 100, "e": 0.5, "zip": null, "b": false,
   "t": "2026-01-10T09:30:00Z", "day": null, "u": null, "tags": [], "nums": null, "mixed": [], "o": {}, "any": "x",
   "late": 1E5, "s": "a\tb\\\"\u3042", "z": 0}
]"#;
    let world = World::of(&[("f.json", text)]);
    let records = world.plan(&[]);
    assert_eq!(
        crate::world::questions(&records),
        [(String::new(), String::new())],
        "the zone alone is asked"
    );
    assert!(crate::world::has_finding(&records, "mixed-times"));
    world.run().refused(2, "questions of the plan without an answer (1)");
    world.answer(&[("", "", "Asia/Tokyo")]);
    let signer = SigningKey::make(&world.path("."), "sign");
    std::fs::write(world.path("toban.toml"), format!("sign_key = {:?}\n", signer.key)).expect("write");
    let ran = ["run", "plan.toml", "--json", "--report", "report.jsonl", "--config", "toban.toml"];
    let printed = world.tool(&ran).ended(0);
    let report = std::fs::read_to_string(world.path("report.jsonl")).expect("the report");
    let (head, lines) = report.split_once('\n').expect("lines");
    assert!(head.contains("json-to-pg.report/1") && head.contains("database postgres"), "{head}");
    let kept: Vec<Value> = lines.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    assert_eq!(kept, printed);
    assert!(signer.signed(&world.path("report.jsonl"), "json-to-pg"));
    world.verified();
    world.gives(&[
        (
            "select n, big, d from f order by id",
            "9007199254740993|18446744073709551616|1.1\n-9223372036854775808|1|100",
        ),
        ("select e = 1e400, zip, b from f where id = 1", "t|01234|t"),
        ("select t from f order by id", "2026-01-07 02:49:50.796833+00\n2026-01-10 09:30:00+00"),
        (
            "select day, u, tags, nums, mixed, o from f where id = 1",
            "2024-06-23|00112233-4455-6677-8899-aabbccddeeff|{a,日}|{1,2}|[1, null]|{\"a\": [], \"b\": 1.0}",
        ),
        ("select \"any\", late, s = E'a\\tb\\\\\"あ', z from f where id = 3", "\"x\"|100000|t|0"),
        ("select s is not null, zip is null from f where id in (1, 3) order by id", "t|f\nt|t"),
        ("insert into f (n) values (1) returning id", "4"),
    ]);
}

#[test]
fn lists_of_objects_become_rows_and_come_back_in_their_order() {
    let text = r#"[{"id":7,"title":"x","steps":[{"text":"b","sub":[{"n":1},{"n":2}]},{"text":"a","sub":[]}],"address":{"city":"Tokyo","a.b":1}},
        {"id":8,"title":"y","steps":[],"address":{"city":null,"a.b":2}}]"#;
    let world = World::of(&[("sop.json", text)]);
    let explode =
        ["--explode", "sop.json:steps", "--explode", "sop.json:steps[].sub", "--split", "sop.json:address"];
    world.moved(&explode);
    world.gives(&[
        ("select sop_id, ord, text from sop_steps order by 1, 2", "7|1|b\n7|2|a"),
        ("select sop_id, sop_steps_ord, ord, n from sop_steps_sub order by 1, 2, 3", "7|1|1|1\n7|1|2|2"),
        ("select address_city, \"address_a_b\" from sop order by id", "Tokyo|1\n|2"),
        ("select count(*) from pg_constraint where contype = 'f'", "2"),
    ]);
    world.psql("update sop_steps set ord = 3 - ord + 100 where sop_id = 7 and false; update sop_steps set text = 'c' where text = 'a'");
    let ran = world.tool(&["verify", "--json"]);
    assert!(matches!(ran.status, Some(3 | 4)) && ran.stdout.contains("steps"), "{ran:?}");
}

#[test]
fn references_by_id_are_foreign_keys() {
    let world = World::of(&[
        ("users.json", r#"[{"id":1,"name":"a"},{"id":2,"name":"b"}]"#),
        ("posts.json", r#"[{"id":1,"user_id":2,"other_id":9},{"id":2,"user_id":null,"other_id":9}]"#),
    ]);
    world.moved(&[]);
    world.gives(&[(
        "select conrelid::regclass, pg_get_constraintdef(oid) from pg_constraint where contype = 'f'",
        "posts|FOREIGN KEY (user_id) REFERENCES users(id)",
    )]);
}

#[test]
fn exported_files_are_those_that_were_loaded() {
    let python = "[\n  {\n    \"id\": 1,\n    \"名前\": \"日本 \\\"x\\\"\",\n    \"at\": \"2026-01-07T11:49:50.796833\",\n    \"roles\": [\n      {\n        \"name\": \"b\",\n        \"a\": 1\n      }\n    ],\n    \"tags\": []\n  },\n  {\n    \"id\": 2,\n    \"名前\": \"\",\n    \"at\": \"2026-01-07T11:49:50\",\n    \"roles\": [],\n    \"tags\": [\n      \"x\"\n    ]\n  }\n]";
    let files = [
        ("python.json", python),
        ("compact.json", "[{\"id\":2,\"a\":1.5,\"b\":null},{\"id\":5,\"a\":2,\"b\":true}]"),
        ("lines.jsonl", "{\"id\": 1, \"x\": \"\\u65e5\"}\n{\"id\": 2, \"x\": \"a\"}\n"),
        ("keyed.json", "{\"u1\": {\"n\": 1}, \"u2\": {\"n\": 2}}\n"),
        ("under.json", "{\"items\": [{\"id\": 1}]}"),
        // Texts that a type would read and write another way.
        (
            "texts.json",
            "[{\"id\":\"00112233-4455-6677-8899-AABBCCDDEEFF\",\"md5\":\"d41d8cd98f00b204e9800998ecf8427e\",\
             \"u\":\"00112233-4455-6677-8899-aabbccddeeff\",\"braced\":\"{00112233-4455-6677-8899-aabbccddeeff}\",\
             \"n\":\"1.50\",\"zip\":\"007\",\"e\":\"1E5\",\"yes\":\"yes\",\"true\":\"TRUE\",\"ip\":\"10.0.0.1/32\",\
             \"mac\":\"08-00-2B-01-02-03\",\"hex\":\"\\\\xFF\",\"clock\":\"9:05\",\"day\":\"2024-06-23\",\"span\":\"1 hour\"}]",
        ),
    ];
    let world = World::of(&files);
    world.plan(&["--zone", "Asia/Tokyo", "--explode", "python.json:roles"]);
    world.ran();
    let ran = world.tool(&["export", "out", "--json"]);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    for (name, text) in files {
        let written = std::fs::read_to_string(world.path("out").join(name)).expect("a file");
        assert_eq!(written, text, "{name}");
    }
    world.tool(&["export", "out"]).refused(2, "is there already");
}

#[test]
fn the_order_of_the_file_is_kept_where_it_is_asked_for() {
    let text = "[{\"id\":3},{\"id\":1},{\"id\":2}]";
    let world = World::of(&[("f.json", text)]);
    assert!(crate::world::has_finding(&world.plan(&[]), "order-lost"));
    world.moved(&["--keep-order"]);
    assert_eq!(world.tool(&["export", "out"]).status, Some(0));
    assert_eq!(std::fs::read_to_string(world.path("out/f.json")).expect("a file"), text);
}
