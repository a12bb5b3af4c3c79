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
    assert!(text(of(&reviewed, "review")[0], "finding").contains("by Mo (SEC-7)"));
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
        assert!(text(&records[0], "rule").ends_with("-access"), "{change}: it comes first: {}", records[0]);
        world.pg.psql("app", back);
        assert_eq!(world.troubles(&["app"]), [""; 0], "{back}");
    }
    world.pg.psql("app", "delete from user_roles where user_id = 2");
    assert_eq!(text(&world.records(&["app"])[0], "finding"), "no longer admin by admin");
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
        assert!(text(said, "severity") == "unknown" && text(said, "finding").contains(word), "{said}");
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
