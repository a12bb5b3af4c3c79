//! Evidence packs, reviews, and what changed since; judged by sha256sum.

use crate::data::TWELVE;
use crate::world::{World, of, text, troubles};
use std::path::Path;
use std::process::Command;

const ADMIN: &str = "insert into roles values (1, 'admin'); insert into users (id, email, is_active, last_login_at, password_changed_at, created_at) \
    select n, 'u' || n || '@x.org', true, '2026-11-20', '2026-11-20', '2026-01-01' from generate_series(1, 4) n; \
    insert into user_roles (user_id, role_id) values (1, 1), (2, 1);";

fn pack(world: &World, at: &str, more: &[&str]) -> String {
    let ran = world.run(&[&["app", "--pack", "packs", "--at", at], more].concat());
    assert!(matches!(ran.status, Some(0 | 4)), "{ran:?}");
    let day = at.replace([':', '-'], "");
    world.path(&format!("packs/{day}-app")).display().to_string()
}

fn accept(world: &World, pack: &str, decision: &str) {
    let words = [
        "accept",
        pack,
        "--reviewer",
        "Mo",
        "--ticket",
        "SEC-7",
        "--decision",
        decision,
        "--at",
        "2026-11-21T09:00:00Z",
    ];
    let ran = world.run(&words);
    assert_eq!(ran.status, Some(0), "{ran:?}");
}

fn sha256sum(pack: &str) -> bool {
    Command::new("sha256sum")
        .args(["--strict", "--status", "-c", "SHA256SUMS"])
        .current_dir(pack)
        .status()
        .expect("sha256sum")
        .success()
}

#[test]
fn every_change_is_told_first_until_it_is_accepted() {
    let world = World::app(ADMIN);
    assert_eq!(world.troubles(&["app"]), ["admin u1@x.org", "admin u2@x.org"], "the first run");
    accept(&world, &pack(&world, "2026-11-21T08:00:00Z", &[]), "approved");
    let reviewed = world.records(&["app"]);
    assert_eq!(troubles(&reviewed), [""; 0], "no change");
    assert!(text(of(&reviewed, "review")[0], "text").contains("by Mo (SEC-7)"));
    let changes = [
        (
            "insert into user_roles values (3, 1)",
            "delete from user_roles where user_id = 3",
            "new-access u3@x.org",
        ),
        (
            "update users set email = 'new@x.org' where id = 2",
            "update users set email = 'u2@x.org' where id = 2",
            "changed-access new@x.org",
        ),
        (
            "update roles set name = 'system_admin'",
            "update roles set name = 'admin'",
            "changed-access u1@x.org",
        ),
        (
            "update users set id = 9 where id = 2; update user_roles set user_id = 9 where user_id = 2",
            "update users set id = 2 where id = 9; update user_roles set user_id = 2 where user_id = 9",
            "recreated-access u2@x.org",
        ),
    ];
    for (change, back, told) in changes {
        world.pg.psql("app", change);
        let records = world.records(&["app"]);
        assert!(troubles(&records).contains(&told.to_string()), "{change}: {:?}", troubles(&records));
        assert!(text(&records[0], "id").ends_with("-access"), "{change}: it comes first: {}", records[0]);
        world.pg.psql("app", back);
        assert_eq!(world.troubles(&["app"]), [""; 0], "{back}");
    }
    world.pg.psql("app", "update user_roles set user_id = 4 where user_id = 2");
    let swapped = world.records(&["app"]);
    assert_eq!(
        [&swapped[0], &swapped[1]].map(|r| (text(r, "id"), text(r, "object"))),
        [("new-access", "u4@x.org"), ("removed-access", "u2@x.org")],
        "the role changed hands"
    );
    world.pg.psql("app", "delete from user_roles where user_id = 4");
    assert_eq!(text(&world.records(&["app"])[0], "text"), "no longer admin by admin");
}

#[test]
fn a_review_that_cannot_be_used_is_unknown_and_never_well() {
    let world = World::app(ADMIN);
    let first = pack(&world, "2026-11-21T08:00:00Z", &[]);
    accept(&world, &first, "rejected");
    assert_eq!(world.troubles(&["app"]).len(), 2, "a rejected review accepts nothing");
    accept(&world, &first, "approved");
    let file = world.path("state/reviews/app.main%2Fapp.json");
    let good = std::fs::read_to_string(&file).expect("the review");
    for (bad, word) in [
        (good[..40].to_string(), "read the review"),
        (good.replace("user-audit.review/1", "user-audit.review/0"), "its schema is \"user-audit.review/0\""),
        (good.replace("\"identity\": \"", "\"identity\": \"1"), "is of another database"),
    ] {
        std::fs::write(&file, bad).expect("damage");
        let records = world.records(&["app"]);
        let said = of(&records, "review")[0];
        assert!(text(said, "severity") == "unknown" && text(said, "text").contains(word), "{said}");
    }
    let log = std::fs::read_to_string(world.path("state/reviews/log.jsonl")).expect("the log");
    assert_eq!(log.lines().count(), 2);
}

#[test]
fn packs_are_chained_and_any_change_is_named() {
    let world = World::app(TWELVE);
    let days = ["2026-09-01T00:00:00Z", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"];
    let packs = days.map(|d| pack(&world, d, &[]));
    assert!(packs.iter().all(|p| sha256sum(p)));
    let accept =
        || world.run(&["accept", &packs[2], "--reviewer", "Mo", "--ticket", "1", "--decision", "approved"]);
    assert_eq!(accept().status, Some(0));
    for (n, file) in [(0, "findings.csv"), (1, "report.html"), (2, "access.json"), (0, "SHA256SUMS")] {
        let path = Path::new(&packs[n]).join(file);
        let good = std::fs::read(&path).expect("a file of the pack");
        let mut bad = good.clone();
        bad[10] ^= 1;
        std::fs::write(&path, bad).expect("flip");
        let said = accept().refused(5, file);
        assert!(said.contains(&format!("{}-app", days[n].replace([':', '-'], ""))), "{said}");
        std::fs::write(&path, good).expect("mend");
    }
    std::fs::write(Path::new(&packs[1]).join("more.txt"), "x").expect("add");
    accept().refused(5, "more.txt is not in the manifest");
    std::fs::remove_file(Path::new(&packs[1]).join("more.txt")).expect("remove");
    std::fs::rename(&packs[0], world.path("away")).expect("truncate the chain");
    accept().refused(5, "is gone");
    assert!(!sha256sum(&packs[1]), "sha256sum sees it too");
    world.run(&["app", "--pack", "packs", "--at", days[2]]).refused(2, "is there already");
}

#[test]
fn a_change_is_found_by_its_file_and_line() {
    let world = World::app(TWELVE);
    let packs = ["2026-09-01T00:00:00Z", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"]
        .map(|d| pack(&world, d, &[]));
    let accept = |pack: &str| {
        world.run(&["accept", pack, "--reviewer", "Mo", "--ticket", "1", "--decision", "approved", "-n"])
    };
    let moved = |lines: &mut Vec<&str>| lines.swap(3, 5);
    let taken = |lines: &mut Vec<&str>| {
        lines.remove(2);
    };
    type Change = fn(&mut Vec<&str>);
    let changes: [(Change, &str); 4] = [
        (|l| l[4] = "main/app,OK,admin,,,,,,,", "line 5 is another"),
        (|l| l.insert(6, "main/app,OK,admin,,,,,,,\r"), "1 lines were put in, from line 7 on"),
        (taken, "1 lines were taken out before line 3"),
        (moved, "lines 4 to 6 are in another order"),
    ];
    for file in ["findings.csv", "findings.json", "report.html"] {
        let path = Path::new(&packs[1]).join(file);
        let good = std::fs::read_to_string(&path).expect("a file of the pack");
        for (change, said) in &changes {
            let mut lines: Vec<&str> = good.split('\n').collect();
            change(&mut lines);
            std::fs::write(&path, lines.join("\n")).expect("change");
            let told = accept(&packs[2]).refused(5, said);
            assert!(told.contains(file) && told.contains("20261001T000000Z-app"), "{told}");
            assert!(!sha256sum(&packs[1]));
        }
        std::fs::write(&path, &good).expect("mend");
    }
    assert_eq!(accept(&packs[2]).status, Some(0));
    // The same flip, bit by bit, in one line: each is told by its number.
    let path = Path::new(&packs[0]).join("findings.csv");
    let good = std::fs::read(&path).expect("findings.csv");
    for at in (0..good.len()).step_by(97).filter(|at| good[*at] != b'\n') {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&path, &bad).expect("flip");
        let line = good[..at].iter().filter(|b| **b == b'\n').count() + 1;
        accept(&packs[2]).refused(5, &format!("line {line} is another"));
    }
    std::fs::write(&path, &good).expect("mend");
    assert_eq!(accept(&packs[2]).status, Some(0));
}

#[test]
fn packs_that_changed_places_and_a_chain_that_was_cut() {
    let world = World::app(TWELVE);
    let packs = ["2026-09-01T00:00:00Z", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"]
        .map(|d| pack(&world, d, &[]));
    let accept = |pack: &str| {
        world.run(&["accept", pack, "--reviewer", "Mo", "--ticket", "1", "--decision", "approved", "-n"])
    };
    let swap = |a: usize, b: usize| {
        let aside = world.path("aside").display().to_string();
        for (from, to) in [(&packs[a], &aside), (&packs[b], &packs[a]), (&aside, &packs[b])] {
            std::fs::rename(from, to).expect("rename");
        }
    };
    for (a, b, word) in [(0, 1, "in place of another"), (1, 2, "holds the pack 20261001T000000Z-app")] {
        swap(a, b);
        accept(&packs[2]).refused(5, word);
        swap(a, b);
        assert_eq!(accept(&packs[2]).status, Some(0));
    }
    for gone in [0, 1] {
        let aside = world.path("aside");
        std::fs::rename(&packs[gone], &aside).expect("take out");
        accept(&packs[2]).refused(5, "SHA256SUMS is gone");
        std::fs::rename(&aside, &packs[gone]).expect("put back");
    }
}

#[test]
fn a_review_that_is_overdue() {
    let mut world = World::app(ADMIN);
    accept(&world, &pack(&world, "2026-11-21T08:00:00Z", &[]), "approved");
    let said = |at: &str, more: &[&str]| {
        let records = world
            .run(&[&["app", "--json", "--at", at, "--unused", "1y", "--password-age", "1y"], more].concat())
            .findings();
        let review = of(&records, "review")[0].clone();
        (text(&review, "severity").to_string(), text(&review, "text").to_string())
    };
    assert_eq!(said("2026-12-26T09:00:00Z", &[]).0, "ok", "35 days to the second");
    let (severity, finding) = said("2026-12-26T09:00:01Z", &[]);
    assert_eq!(severity, "warning");
    assert_eq!(
        finding,
        "overdue: compared with the review of 2026-11-21 by Mo (SEC-7), 35 days ago; one every 35 days is asked for"
    );
    assert_eq!(said("2026-12-26T09:00:01Z", &["--review-every", "92d"]).0, "ok");
    world.config("[audit]\nreview_every = '7d'\n");
    let records = world.run(&["app", "--json", "--at", "2026-11-29T09:00:00Z"]).findings();
    assert_eq!(of(&records, "review")[0]["severity"], "warning");
    world.config(
        "[[accept]]\ntool = 'user-audit'\nid = 'review'\nobject = '*'\nreason = 'x'\nowner = 'x'\nuntil = '2030-01-01'\n",
    );
    world.run(&["app"]).refused(2, "review cannot be accepted");
}

#[test]
fn identical_input_gives_identical_bytes() {
    let world = World::app(TWELVE);
    let at = "2026-11-01T00:00:00Z";
    let first = pack(&world, at, &[]);
    std::fs::rename(world.path("packs"), world.path("first")).expect("set aside");
    let second = pack(&world, at, &[]);
    for file in ["findings.csv", "findings.json", "access.json", "report.html", "SHA256SUMS"] {
        let read = |dir: &str| std::fs::read(Path::new(dir).join(file)).expect("a file of the pack");
        assert_eq!(read(&first.replace("/packs/", "/first/")), read(&second), "{file}");
    }
}

#[test]
fn what_users_typed_is_neither_formula_nor_markup_and_no_hash_is_told() {
    let world = World::app(
        "insert into users (email, password_hash, is_active, created_at) values ('=HYPERLINK(\"http://x\")@x.org', '$2b$secret', true, '2026-01-01'), \
         ('<script>alert(1)</script>@x.org', '$2b$secret', true, '2026-01-01'), (E'tab\\t@x.org', '$2b$secret', true, '2026-01-01')",
    );
    let pack = pack(&world, "2026-11-01T00:00:00Z", &[]);
    let read = |file: &str| std::fs::read_to_string(Path::new(&pack).join(file)).expect("a file of the pack");
    let (csv, html, json) = (read("findings.csv"), read("report.html"), read("findings.json"));
    assert!(csv.contains(",\"'=HYPERLINK(\"\"http://x\"\")@x.org\","), "{csv}");
    assert!(html.contains("&lt;script&gt;") && !html.contains("<script") && !html.contains("src="), "{html}");
    let records: Vec<serde_json::Value> = serde_json::from_str(&json).expect("JSON");
    assert!(records.len() > 3);
    for text in [csv, html, json, read("access.json")] {
        assert!(!text.contains("$2b$"), "a password's hash");
    }
}

#[test]
fn redacted_addresses_can_still_be_joined() {
    let mut world = World::app(TWELVE);
    world.run(&["app", "--redact", "email"]).refused(2, "has no key");
    world.set("TOBAN_REDACT_KEY", "thirty-two characters, at random");
    let pack = pack(&world, "2026-11-22T12:00:00Z", &["--redact", "email"]);
    for entry in std::fs::read_dir(&pack).expect("the pack") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("text");
        assert!(!text.contains("example.org"), "{}", path.display());
    }
    let records = world.records(&["app", "--redact", "email"]);
    let boss = text(of(&records, "admin")[0], "object").to_string();
    assert!(
        boss.starts_with("email-") && of(&records, "unused").iter().any(|r| text(r, "object") == boss),
        "{boss}"
    );
    world.set("TOBAN_REDACT_KEY", "another key");
    assert_ne!(text(of(&world.records(&["app", "--redact", "email"]), "admin")[0], "object"), boss);
}

#[test]
fn redaction_leaves_accepted_findings_and_the_last_review_as_they_are() {
    let mut world = World::app(ADMIN);
    world.pg.psql("app", "update users set last_login_at = '2026-01-01' where id = 3");
    let entry = |object: &str| {
        format!(
            "[[accept]]\ntool = 'user-audit'\nid = 'unused'\nobject = '{object}'\nreason = 'asked boss@x.org'\nowner = 'ops@x.org'\nuntil = '2027-01-01'\n"
        )
    };
    world.config(&[entry("u3@x.org"), entry("gone@x.org")].concat());
    accept(&world, &pack(&world, "2026-11-21T08:00:00Z", &[]), "approved");
    world.set("TOBAN_REDACT_KEY", "thirty-two characters, at random");
    let records = world.records(&["app", "--redact", "email"]);
    let all: Vec<String> = records.iter().map(ToString::to_string).collect();
    assert!(!all.iter().any(|r| r.contains("x.org")), "{all:?}");
    assert_eq!(troubles(&records).len(), 1, "the entry that fits nothing: {:?}", troubles(&records));
    assert_eq!(
        text(of(&records, "unused")[0], "severity"),
        "ok",
        "the address itself is what the entry names"
    );
    world.pg.psql("postgres", "create role \"anna@x.org\" login superuser");
    let records = world.records(&["roles", "--redact", "email"]);
    let all: Vec<String> = records.iter().map(ToString::to_string).collect();
    assert!(!all.iter().any(|r| r.contains("anna")), "roles may have addresses as names: {all:?}");
    let names: Vec<&str> = ["superuser", "can-log-in"]
        .map(|rule| {
            of(&records, rule).into_iter().map(|r| text(r, "object")).find(|o| o.starts_with("email-"))
        })
        .into_iter()
        .flatten()
        .collect();
    assert!(names.len() == 2 && names[0] == names[1], "and can be joined: {names:?}");
}
