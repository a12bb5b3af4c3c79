//! Open points, answers, and files that are not those of the plan.

use crate::world::{World, questions};

#[test]
fn what_is_new_at_the_final_run_ends_it_with_the_difference() {
    let uuid = r#"[{"id":1,"u":"00112233-4455-6677-8899-aabbccddeeff"}]"#;
    let world = World::of(&[
        ("f.json", r#"[{"id":1,"v":1,"o":{"a":1}},{"id":2,"v":2,"o":{}}]"#),
        ("g.json", "[]"),
        ("u.json", uuid),
    ]);
    world.plan(&[]);
    let cases = [
        (r#"[{"id":1,"v":1,"o":{}},{"id":2,"v":2,"o":{},"new":1}]"#, "f.json: new is new (record 2)"),
        (r#"[{"id":1,"v":"x","o":{}},{"id":2,"v":2,"o":{}}]"#, "f.json: v holds string, which is new"),
        (r#"[{"id":1,"v":null,"o":{}},{"id":2,"v":2,"o":{}}]"#, "f.json: v holds null, which is new"),
        ("[]", "f.json: 0 records, and there were 2"),
    ];
    for (text, words) in cases {
        world.write("f.json", text);
        world.run().refused(2, words);
        world.untouched();
    }
    // A column of type uuid would give it back in lower case.
    world.write("u.json", uuid.replace("aa", "AA"));
    world.run().refused(2, "u.json: u holds UUID in another form, which is new");
    world.untouched();
    world.write("u.json", uuid);
    world.write("h.json", "[]");
    world.write("f.json", r#"[{"id":1,"v":1,"o":{"b":2}},{"id":2,"v":2,"o":{}},{"id":3,"v":3,"o":{}}]"#);
    world.run().refused(2, "h.json is not in the plan");
    std::fs::remove_file(world.path("data/h.json")).expect("remove");
    // More records, and other members inside of what moves whole, are no difference.
    world.ran();
    world.verified();
    world.gives(&[("select count(*) from f", "3")]);
}

#[test]
fn copies_and_temporary_files_are_asked() {
    let world = World::of(&[("f.json", r#"[{"id":1,"v":1},{"id":2,"v":2}]"#)]);
    std::fs::create_dir(world.path("copy")).expect("a folder");
    std::fs::write(world.path("copy/f.json"), r#"[{"id":1,"v":1},{"id":2,"v":3},{"id":4}]"#).expect("write");
    let records = world.plan(&["--copy", "copy"]);
    let asked = records.iter().find(|r| r["schema"] == "json-to-pg.question/1").expect("a question");
    assert!(
        asked["ask"].as_str().is_some_and(|a| a.contains("differs in 2 records (3 there, 2 here)")),
        "{asked}"
    );
    world.answer(&[("f.json", "", "this file")]);
    world.ran();
}

#[test]
fn passwords_in_plain_text_are_asked_and_never_shown() {
    let world = World::of(&[(
        "users.json",
        r#"[{"id":1,"password":"hunter2hunter2"},{"id":2,"password":"$2b$12$abc"}]"#,
    )]);
    let records = world.plan(&[]);
    assert!(crate::world::has_finding(&records, "plain-password"));
    assert_eq!(questions(&records), [("users.json".to_string(), "password".to_string())]);
    world.run().refused(2, "passwords in plain text: 1");
    world.answer(&[("users.json", "password", "accept plain")]);
    world.ran();
    world.psql("update users set password = 'x' where id = 1");
    let ran = world.tool(&["verify"]);
    assert_eq!(ran.status, Some(3), "{ran:?}");
    assert!(!ran.said().contains("hunter2") && ran.said().contains("not shown"), "{ran:?}");
}

#[test]
fn samples_are_left_out_and_rejects_listed_where_the_plan_says_so() {
    let world = World::of(&[(
        "f.json",
        r#"[{"id":1,"v":1},{"id":2,"mail":"a@example.com","v":2},{"id":3,"v":"x"}]"#,
    )]);
    world.psql("create table f (id int primary key, v int, mail text)");
    world.plan_existing(&[]);
    world.answer(&[("f.json", "", "leave out"), ("f.json", "v", "leave out")]);
    let ran = world.run();
    assert_eq!(ran.status, Some(3), "{ran:?}");
    assert!(ran.stderr.contains("record 3, byte") && ran.stderr.contains("not a number: \"x\""), "{ran:?}");
    world.verified();
    world.gives(&[("select string_agg(id::text, ',') from f", "1")]);
}

#[test]
fn a_plan_with_an_unknown_word_is_refused_with_its_line() {
    let world = World::of(&[("f.json", r#"[{"id":1}]"#)]);
    world.plan(&[]);
    let path = world.path("plan.toml");
    let text =
        std::fs::read_to_string(&path).expect("the plan").replace("column = \"id\"", "colunm = \"id\"");
    std::fs::write(&path, text).expect("write");
    let said = world.run().refused(2, "unknown field `colunm`");
    assert!(said.contains("line"), "{said}");
    world.untouched();
}

#[test]
fn times_that_no_zone_knows_are_refused() {
    for (time, words) in [("2026-03-29T02:30:00", "jumped over"), ("2026-10-25T02:30:00", "showed twice")] {
        let world = World::of(&[("f.json", &format!(r#"[{{"id":1,"t":"{time}"}}]"#))]);
        world.plan(&["--zone", "Europe/Paris"]);
        world.run().refused(2, words);
        world.untouched();
    }
}
