//! Each weakness planted in pg_hba.conf is found, and a real connection shows that the rule lets in.

use crate::world::{World, of, text};
use testkit::Pg;

const LINES: [(&str, &str, &str); 8] = [
    ("host app trusted 127.0.0.1/32 trust", "hba-trust", "trusted"),
    ("host app plain 127.0.0.1/32 password", "hba-password", "plain"),
    ("host app hashed 127.0.0.1/32 md5", "hba-md5", "hashed"),
    ("host app world 0.0.0.0/0 scram-sha-256", "hba-wide", "world"),
    ("hostnossl app nossl 127.0.0.1/32 scram-sha-256", "hba-cleartext", "nossl"),
    ("host app +team 127.0.0.1/32 trust", "hba-trust", "member"),
    ("host sameuser own 127.0.0.1/32 trust", "hba-trust", "own"),
    ("host app root 10.0.0.0/8 scram-sha-256", "hba-superuser-remote", ""),
];

fn server() -> World {
    let mut builder = Pg::builder().tcp();
    builder = builder.hba("host app banned 127.0.0.1/32 reject").hba("host app banned 127.0.0.1/32 trust");
    for (line, ..) in LINES {
        builder = builder.hba(line);
    }
    let world = World::with(builder.hba("host app last 127.0.0.1/32 scram-sha-256").start());
    world.pg.psql(
        "postgres",
        "create database app; create database own; create role team; create role root superuser login; create role trusted login; \
         create role plain login password 'pw'; create role world login password 'pw'; create role nossl login password 'pw'; \
         create role member login in role team; create role own login; create role banned login; create role last login password 'pw'; \
         set password_encryption = md5; create role hashed login password 'pw'",
    );
    world
}

/// Whether a real psql gets in over TCP.
fn enters(world: &World, role: &str, database: &str, password: Option<&str>) -> bool {
    let mut psql = testkit::pg::clean(&world.pg.bin("psql"));
    let to =
        format!("host=127.0.0.1 port={} user={role} dbname={database} connect_timeout=10", world.pg.port());
    psql.args(["-XAtqw", "-d", &to, "-c", "select 1"]);
    if let Some(password) = password {
        psql.env("PGPASSWORD", password);
    }
    psql.output().expect("run psql").status.success()
}

#[test]
fn each_planted_weakness_is_found_and_lets_in() {
    let world = server();
    let records = world.records(&["roles"]);
    for (line, rule, role) in LINES {
        let words: Vec<&str> = line.split(' ').collect();
        let told = |r: &&serde_json::Value| {
            words.iter().all(|w| text(r, "object").contains(w.trim_end_matches("/0")))
        };
        assert!(of(&records, rule).iter().any(told), "{rule}: {line}: {:?}", of(&records, rule));
        let database = if words[1] == "sameuser" { role } else { words[1] };
        let password = (words[4] != "trust").then_some("pw");
        assert!(
            role.is_empty() || enters(&world, role, database, password),
            "{line}: {role} does not get in"
        );
        if words[4] == "trust" {
            continue;
        }
        assert!(role.is_empty() || !enters(&world, role, database, Some("wrong")), "{line}");
    }
}

#[test]
fn what_no_connection_comes_to_is_said_and_is_so() {
    let world = server();
    let records = world.records(&["roles"]);
    let unreachable: Vec<&str> = of(&records, "hba-unreachable").iter().map(|r| text(r, "object")).collect();
    assert_eq!(unreachable.len(), 1, "{unreachable:?}");
    assert!(unreachable[0].ends_with("host app banned 127.0.0.1/32 trust"), "{unreachable:?}");
    assert!(!enters(&world, "banned", "app", None), "the rejection above it holds");
    let sound = of(&records, "hba-trust").iter().any(|r| text(r, "object").contains(" last "));
    assert!(!sound && enters(&world, "last", "app", Some("pw")));
}

#[test]
fn a_line_in_error_and_an_edit_that_was_not_loaded() {
    let world = server();
    let file = world.pg.data_dir().join("pg_hba.conf");
    let before = world.records(&["roles"]);
    assert!(of(&before, "hba-error").is_empty() && of(&before, "hba-not-loaded").is_empty(), "{before:?}");
    let text_of = std::fs::read_to_string(&file).expect("read");
    std::fs::write(&file, format!("{text_of}host app all 127.0.0.1/32 nonsense\n")).expect("write");
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
    std::fs::File::options().write(true).open(&file).expect("open").set_modified(later).expect("touch");
    let records = world.records(&["roles"]);
    assert_eq!((of(&records, "hba-error").len(), of(&records, "hba-not-loaded").len()), (1, 1));
}
