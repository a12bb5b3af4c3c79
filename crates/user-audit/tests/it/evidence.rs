//! A pack as evidence: who was judged by what, against whom; and sums that were made anew.

use crate::data::TWELVE;
use crate::world::{World, of, text, troubles};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use testkit::SigningKey;

fn pack(world: &World, at: &str, more: &[&str]) -> String {
    let ran = world.run(&[&["app", "--pack", "packs", "--at", at], more].concat());
    assert!(matches!(ran.status, Some(0 | 4)), "{ran:?}");
    world.path(&format!("packs/{}-app", at.replace([':', '-'], ""))).display().to_string()
}

fn accept<'a>(pack: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let words = [
        "accept",
        pack,
        "--reviewer",
        "Mo",
        "--ticket",
        "7",
        "--decision",
        "approved",
        "--at",
        "2026-11-21T09:00:00Z",
    ];
    [&words[..], more].concat()
}

fn json(pack: &str, file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(Path::new(pack).join(file)).expect("a file of the pack"))
        .expect("JSON")
}

/// Changes a file of the pack and makes its sums anew, as anybody with the folder can.
fn forge(pack: &str, keep_link: bool) {
    let csv = Path::new(pack).join("findings.csv");
    let text = std::fs::read_to_string(&csv).expect("findings.csv");
    std::fs::write(&csv, text.replace("CRITICAL", "OK")).expect("write");
    let link = if keep_link { "grep ' [.][.]/' SHA256SUMS.old" } else { "true" };
    let script = format!(
        "mv SHA256SUMS SHA256SUMS.old; (sha256sum $(ls | grep -v SHA256SUMS); {link} || true) > SHA256SUMS; rm SHA256SUMS.old; \
         sha256sum --quiet -c SHA256SUMS"
    );
    // LINES names lines, and proves nothing: the forger leaves it out of the way.
    let done = Command::new("sh").args(["-ec", &script]).current_dir(pack).status().expect("run sh");
    assert!(done.success(), "the forger's sums fit");
}

#[test]
fn the_pack_says_who_was_judged_by_what() {
    let mut world = World::app(TWELVE);
    world.pg.psql("postgres", "create role auditor login; grant pg_read_all_data to auditor");
    let db = world.pg.conninfo("app").replace("user=postgres", "user=auditor");
    world.config("[audit]\nunused = '60d'\nadmin_roles = ['chief', '!owner']\n");
    let pack = pack(&world, "2026-11-22T12:00:00Z", &["--db", &db]);
    let run = json(&pack, "run.json");
    let database = &run["databases"]["main/app"];
    assert!(
        text(database, "server").starts_with("PostgreSQL 1") && text(database, "auditor") == "auditor",
        "{run}"
    );
    assert!(!text(database, "identity").is_empty() && database["mapping"]["users"] == "users", "{run}");
    assert_eq!(run["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (text(&run["parameters"], "unused"), &run["parameters"]["admin_roles_added"][0]),
        ("1440h", &Value::from("chief"))
    );
    let accounts: u64 = world.pg.psql("app", "select count(*) from users").parse().expect("a number");
    assert_eq!(run["population"]["main/app"], accounts);
    let list = std::fs::read_to_string(Path::new(&pack).join("population.csv")).expect("the list");
    assert_eq!(list.lines().count() as u64, accounts + 1);
    assert!(list.contains("main/app,user/1,ok@example.org,active,no,\"88; editor\","), "{list}");
    assert!(list.contains("main/app,user/14,boss@example.org,active,yes,admin,"), "{list}");
    let findings = json(&pack, "findings.json");
    let findings = findings.as_array().expect("a list");
    for (rule, counts) in run["findings"].as_object().expect("counts") {
        let told = findings.iter().filter(|f| f["id"] == *rule).count() as u64;
        let sum: u64 = counts.as_object().expect("by severity").values().filter_map(Value::as_u64).sum();
        assert_eq!(told, sum, "{rule}");
    }
    let order: Vec<&str> = findings.iter().map(|f| text(f, "severity")).collect();
    let mut sorted = order.clone();
    sorted.sort_by_key(|s| ["critical", "unknown", "warning", "ok"].iter().position(|o| o == s));
    assert_eq!(order, sorted, "the gravest first");
    let html = std::fs::read_to_string(Path::new(&pack).join("report.html")).expect("the report");
    let at = |words: &str| html.find(words).unwrap_or_else(|| panic!("{words} is not in the report"));
    let parts = [at("What happened"), at("What is missing"), at("What is to be done"), at("<table>")];
    assert!(parts.is_sorted() && parts[3] < 9000, "on the first screen: {parts:?}");
    assert!(
        at("asked as auditor") < parts[1] && at("disabled-with-roles: no administrator is in use") < parts[3]
    );
}

#[test]
fn sums_that_were_made_anew_are_known() {
    let world = World::app(TWELVE);
    let first = pack(&world, "2026-09-01T00:00:00Z", &[]);
    let second = pack(&world, "2026-10-01T00:00:00Z", &[]);
    let copy = |from: &str, to: &str| {
        let done = Command::new("cp").args(["-a", from, to]).status().expect("run cp");
        assert!(done.success());
    };
    let whole = world.path("packs").display().to_string();
    let aside = world.path("aside").display().to_string();
    copy(&whole, &aside);
    let back = || {
        std::fs::remove_dir_all(&whole).expect("remove");
        copy(&aside, &whole);
    };
    // The newest, with its link and without it.
    forge(&second, true);
    world.run(&accept(&second, &[])).refused(5, "made anew");
    back();
    forge(&second, false);
    let elsewhere = ["--reviews", "elsewhere"];
    world.run(&accept(&second, &elsewhere)).refused(5, "does not follow 20260901T000000Z-app");
    back();
    // The one before, and the link to it.
    forge(&first, true);
    let sum =
        Command::new("sha256sum").arg("SHA256SUMS").current_dir(&first).output().expect("run sha256sum");
    let sum = String::from_utf8_lossy(&sum.stdout)[..64].to_string();
    let manifest = Path::new(&second).join("SHA256SUMS");
    let text = std::fs::read_to_string(&manifest).expect("the manifest");
    let linked: Vec<String> = text
        .lines()
        .map(|l| if l.contains(" ../") { format!("{sum}{}", &l[64..]) } else { l.to_string() })
        .collect();
    std::fs::write(&manifest, linked.join("\n") + "\n").expect("write");
    world.run(&accept(&second, &[])).refused(5, "made anew");
    back();
    assert_eq!(world.run(&accept(&second, &[])).status, Some(0), "as it was made");
    world.run(&["app", "--pack", "packs", "--at", "2026-09-15T00:00:00Z"]).refused(2, "is later than");
}

#[test]
fn a_signature_that_ssh_keygen_checks() {
    let mut world = World::app(TWELVE);
    let [own, other] = ["key", "other"].map(|name| SigningKey::make(&world.path("."), name));
    let shown = |path: &Path| path.display().to_string();
    let (ours, others, key) = (shown(&own.allowed_signers), shown(&other.allowed_signers), shown(&own.key));
    let plain = pack(&world, "2026-09-01T00:00:00Z", &[]);
    let signed = pack(&world, "2026-10-01T00:00:00Z", &["--sign-key", &key]);
    let manifest = Path::new(&signed).join("SHA256SUMS");
    assert!(own.signed(&manifest, "user-audit") && !other.signed(&manifest, "user-audit"));
    world.run(&accept(&plain, &["--allowed-signers", &ours])).refused(5, "there is no signature");
    world.run(&accept(&signed, &["--allowed-signers", &others])).refused(5, "is not signed by anybody");
    let dry = world.run(&accept(&signed, &["--allowed-signers", &ours, "-n"]));
    assert!(dry.status == Some(0) && dry.stdout.ends_with("\twould be recorded\n"), "{dry:?}");
    assert!(!world.path("state/reviews/log.jsonl").exists(), "nothing was recorded");
    forge(&signed, true);
    let elsewhere = ["--reviews", "elsewhere", "--allowed-signers", &ours];
    world.run(&accept(&signed, &elsewhere)).refused(5, "is not signed by anybody");
    world.config(&format!("sign_key = '{key}'\n[audit]\nallowed_signers = '{ours}'\n"));
    let third = pack(&world, "2026-11-01T00:00:00Z", &["--reviews", "elsewhere"]);
    assert!(Path::new(&third).join("SHA256SUMS.sig").exists(), "by the configuration");
    world.run(&["app", "--pack", "more", "--sign-key", "/nowhere"]).refused(1, "/nowhere does not sign");
    assert!(
        std::fs::read_dir(world.path("more")).map_or(0, Iterator::count) == 0,
        "no pack without its signature"
    );
}

const STAFF: &str = "insert into roles values (1, 'admin'), (2, 'editor'), (3, 'clerk'); insert into users (id, email, password_hash, is_active, last_login_at, password_changed_at, created_at) \
    select n, 'u' || n || '@x.org', 'x', n <> 5, '2026-11-20', '2026-11-20', '2026-01-01' from generate_series(1, 6) n; \
    insert into user_roles (user_id, role_id) values (1, 1), (2, 1), (3, 2), (4, 2), (4, 3);";

#[test]
fn a_review_is_of_every_account() {
    let world = World::app(STAFF);
    let made = pack(&world, "2026-11-21T08:00:00Z", &[]);
    let ran = world.run(&accept(&made, &[]));
    assert!(
        ran.status == Some(0) && ran.stdout.contains("\t2\t6\t") && ran.stdout.ends_with("\trecorded\n"),
        "{ran:?}"
    );
    assert_eq!(world.troubles(&["app"]), [""; 0], "nothing changed");
    world.pg.psql(
        "app",
        "insert into user_roles (user_id, role_id) values (3, 3); delete from user_roles where user_id = 4 and role_id = 3; \
         insert into users (id, email, password_hash, is_active, last_login_at, password_changed_at, created_at) values \
         (7, 'new@x.org', 'x', true, '2026-11-20', '2026-11-20', '2026-11-20'), (8, 'bare@x.org', 'x', true, '2026-11-20', '2026-11-20', '2026-11-20'); \
         insert into user_roles (user_id, role_id) values (7, 2), (5, 3); update users set is_active = true where id = 5; delete from users where id = 6",
    );
    let records = world.records(&["app"]);
    assert_eq!(
        troubles(&records),
        ["changed-account u3@x.org", "changed-account u5@x.org", "new-account new@x.org"]
    );
    let said = |object: &str| {
        let all = of(&records, "changed-account");
        all.iter()
            .find(|r| text(r, "object") == object)
            .map(|r| text(r, "text").to_string())
            .unwrap_or_default()
    };
    assert_eq!(said("u3@x.org"), "new roles: clerk");
    assert_eq!(said("u4@x.org"), "no longer: clerk");
    assert_eq!(said("u5@x.org"), "new roles: clerk; was disabled, is active");
    assert_eq!(said("accounts"), "1 new accounts without a role; 1 others are gone");
    assert!(text(&records[0], "id").ends_with("-account"), "changes come first: {}", records[0]);
    let list = world.path("state/reviews/app.main%2Fapp.population.csv");
    let good = std::fs::read_to_string(&list).expect("the list of the review");
    let cut: Vec<&str> = good.lines().take(3).collect();
    std::fs::write(&list, cut.join("\r\n") + "\r\n").expect("cut");
    let records = world.records(&["app"]);
    assert_eq!(text(of(&records, "review")[0], "severity"), "unknown", "{:?}", of(&records, "review"));
}

#[test]
fn two_idle_administrators_are_not_both_told_to_go() {
    let world = World::app(&format!("{STAFF} update users set last_login_at = '2026-01-01' where id <= 3"));
    let records = world.records(&["app"]);
    let advice: Vec<&str> = of(&records, "unused").iter().map(|r| text(r, "advice")).collect();
    assert_eq!(advice.iter().filter(|a| **a == "disable it").count(), 1, "the editor alone: {advice:?}");
    world.pg.psql("app", "update users set last_login_at = '2026-11-20' where id = 1");
    let records = world.records(&["app"]);
    let idle = of(&records, "unused").into_iter().find(|r| text(r, "object") == "u2@x.org").expect("idle");
    assert_eq!(text(idle, "advice"), "disable it", "another one is in use");
}

#[test]
fn doubles_are_named_and_roles_are_known_however_they_are_written() {
    let mut world = World::app(&format!(
        "{STAFF} update users set email = 'U3@x.org ' where id = 4; update users set email = '' where id = 6; insert into users (id, email, is_active, last_login_at, password_changed_at, created_at) \
         values (9, '', true, '2026-11-20', '2026-11-20', '2026-01-01'); update roles set name = 'ROLE_ADMIN' where id = 1; update roles set name = 'Chief Clerk' where id = 3"
    ));
    let records = world.records(&["app", "--admin-role", "chief_clerk"]);
    let doubles: Vec<&str> = of(&records, "duplicate-address").iter().map(|r| text(r, "text")).collect();
    assert_eq!(doubles.len(), 2, "an empty address is nobody's: {doubles:?}");
    assert!(
        doubles[0].contains("U3@x.org (user 4)") && doubles[1].contains("u3@x.org (user 3)"),
        "{doubles:?}"
    );
    let empty: Vec<&str> = of(&records, "no-address").iter().map(|r| text(r, "object")).collect();
    assert_eq!(empty, ["user 6", "user 9"]);
    let admins: Vec<&str> = of(&records, "admin").iter().map(|r| text(r, "object")).collect();
    assert_eq!(admins, ["u1@x.org", "u2@x.org", "U3@x.org "], "the usual names stay");
    let counted = text(of(&records, "admin-roles")[0], "text").to_string();
    assert_eq!(
        counted,
        "roles that make an administrator: ROLE_ADMIN, Chief Clerk; roles that do not: editor"
    );
    world.config("[audit]\nadmin_roles = ['!admin']\n");
    assert!(of(&world.records(&["app"]), "admin").is_empty(), "a usual name taken out");
}
