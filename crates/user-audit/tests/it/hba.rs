//! Each weakness planted in pg_hba.conf is found, and a real connection shows that the rule lets in.

use crate::world::{World, of, text};
use std::process::Command;
use testkit::{Pg, majors};

/// The line, the rule that must name it, and a role that it lets in.
const LINES: [(&str, &str, &str); 12] = [
    ("host app trusted 127.0.0.1/32 trust", "hba-trust", "trusted"),
    ("host app plain 127.0.0.1/32 password", "hba-password", "plain"),
    ("host app hashed 127.0.0.1/32 md5", "hba-md5", "hashed"),
    ("host app scrammed 127.0.0.1/32 md5", "hba-md5", "scrammed"),
    ("host app world 0.0.0.0/0 scram-sha-256", "hba-wide", "world"),
    ("host app anywhere all scram-sha-256", "hba-wide", "anywhere"),
    ("hostnossl app nossl 127.0.0.1/32 scram-sha-256", "hba-cleartext", "nossl"),
    ("host app +team 127.0.0.1/32 trust", "hba-trust", "member"),
    ("host sameuser own 127.0.0.0/8 trust", "hba-trust", "own"),
    ("host samerole peer 127.0.0.1/32 trust", "hba-trust", "peer"),
    ("host app here samehost trust", "hba-trust", "here"),
    ("host app chief 0.0.0.0/0 scram-sha-256", "hba-superuser-remote", "chief"),
];

fn server(major: u32) -> World {
    let mut builder = Pg::builder_major(major).tcp();
    builder = builder.hba("host app banned 127.0.0.1/32 reject").hba("host app banned 127.0.0.1/32 trust");
    for (line, ..) in LINES {
        builder = builder.hba(line);
    }
    let world = World::with(builder.hba("host app last 127.0.0.1/32 scram-sha-256").start());
    world.pg.psql(
        "postgres",
        "create database app; create database own; create database team_db; create role team; create role team_db; \
         create role chief superuser login password 'pw'; create role trusted login; \
         create role plain login password 'pw'; create role world login password 'pw'; create role nossl login password 'pw'; \
         create role scrammed login password 'pw'; create role anywhere login password 'pw'; create role here login; \
         create role member login in role team; create role own login; create role peer login in role team_db; \
         create role banned login; create role last login password 'pw'; \
         set password_encryption = md5; create role hashed login password 'pw'",
    );
    world
}

fn psql(world: &World, to: &str, password: Option<&str>) -> Command {
    let mut psql = testkit::pg::clean(&world.pg.bin("psql"));
    psql.args(["-XAtqw", "-d", &format!("{to} connect_timeout=10"), "-c", "select 1"]);
    if let Some(password) = password {
        psql.env("PGPASSWORD", password);
    }
    psql
}

/// Whether a real psql gets in over TCP.
fn enters(world: &World, role: &str, database: &str, password: Option<&str>) -> bool {
    let to = format!("host=127.0.0.1 port={} user={role} dbname={database}", world.pg.port());
    psql(world, &to, password).output().expect("run psql").status.success()
}

#[test]
fn each_planted_weakness_is_found_and_lets_in() {
    for major in majors() {
        let world = server(major);
        let records = world.records(&["roles"]);
        for (line, rule, role) in LINES {
            let told = |r: &&serde_json::Value| text(r, "object") == line;
            assert!(of(&records, rule).iter().any(told), "{major}: {rule}: {line}: {:?}", of(&records, rule));
            let words: Vec<&str> = line.split(' ').collect();
            let database = match words[1] {
                "sameuser" => role,
                "samerole" => "team_db",
                named => named,
            };
            let password = (words[4] != "trust").then_some("pw");
            assert!(enters(&world, role, database, password), "{line}: {role} does not get in");
            assert!(words[4] == "trust" || !enters(&world, role, database, Some("wrong")), "{line}");
        }
        let said = |object: &str| {
            let all = of(&records, "hba-md5");
            let one = all.iter().find(|r| text(r, "object").contains(object)).expect("it was told above");
            text(one, "text").to_string()
        };
        assert!(said("scrammed").contains("kept as SCRAM already") && said("hashed").contains("replayed"));
    }
}

#[test]
fn what_no_connection_comes_to_is_said_and_is_so() {
    let world = server(15);
    let records = world.records(&["roles"]);
    let unreachable: Vec<&str> = of(&records, "hba-unreachable").iter().map(|r| text(r, "object")).collect();
    assert_eq!(unreachable, ["host app banned 127.0.0.1/32 trust"]);
    assert!(!enters(&world, "banned", "app", None), "the rejection above it holds");
    let sound = of(&records, "hba-trust").iter().any(|r| text(r, "object").contains(" last "));
    assert!(!sound && enters(&world, "last", "app", Some("pw")));
}

#[test]
fn a_line_in_error_and_an_edit_that_was_not_loaded() {
    let world = server(15);
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

/// Lines of every kind at once; the order matters. From 16 on also regular expressions and included files.
const MIXED: [&str; 12] = [
    "local app anna scram-sha-256",
    "local all anna reject",
    "local \"own\",app +team trust",
    "local replication copier trust",
    "host all bert 127.0.0.1/32 reject",
    "host app,postgres bert,anna 127.0.0.0/8 scram-sha-256",
    "host sameuser all localhost trust",
    "hostssl all +team all trust",
    "hostnossl postgres +team 127.0.0.1 255.255.255.255 md5",
    "host app @names \\\n  samenet scram-sha-256",
    "host all all 10.0.0.0/8 trust",
    "host samegroup all 127.0.0.1/32 trust",
];
const NEWER: [&str; 4] = [
    "local all /^svc_[0-9]$ trust",
    "host /^ap.$ /nightly 127.0.0.1/32 trust",
    "include more.conf",
    "include_dir many",
];

/// A server with all of [`MIXED`], roles of every kind, and the databases app, own, own2, closed.
fn mixed(major: u32) -> World {
    let mut builder = Pg::builder_major(major).tcp().file("names", "dora, \"emil\"\n");
    builder = MIXED.iter().fold(builder, |b, line| b.hba(line));
    if major >= 16 {
        builder = builder.file("more.conf", "host app fritz 127.0.0.1/32 trust\n");
        builder = builder.file("many/many.conf", "host app svc_x 127.0.0.1/32 trust\n");
        builder = NEWER.iter().fold(builder, |b, line| b.hba(line));
    }
    let world = World::with(builder.start());
    world.pg.psql(
        "postgres",
        "create role team; create role own; create role anna login password 'pw'; create role bert login password 'pw'; \
         create role carl login in role team; create role dora login password 'pw'; create role emil login; \
         create role fritz login; create role gerd login in role team password 'pw' valid until '2020-01-01'; \
         create role own2 login; create role svc_1 login; create role svc_x login; create role do_nightly login; \
         create role hugo login in role own; create role copier login replication; create role chief login superuser; \
         set password_encryption = md5; create role ines login password 'pw'; grant team to ines; \
         create database app; create database own; create database own2; create database closed; \
         revoke connect on database closed from public",
    );
    world
}

#[test]
fn who_can_log_in_from_where_is_what_real_connections_say() {
    for major in majors() {
        let world = mixed(major);
        let records = world.records(&["roles", "--from", "127.0.0.1"]);
        let socket = world.records(&["roles"]);
        assert!(of(&records, "hba-error").is_empty(), "{:?}", of(&records, "hba-error"));
        let idle = of(&records, "hba-unreachable");
        let without_tls = |r: &&serde_json::Value| text(r, "text").ends_with("because SSL is disabled");
        assert!(idle.iter().any(without_tls), "{idle:?}");
        let roles = world.pg.psql(
            "postgres",
            "select rolname from pg_roles where rolcanlogin and rolname <> 'postgres' order by 1",
        );
        let mut ins = 0;
        for role in roles.lines() {
            let (from, all) = (said(&records, role), said(&socket, role));
            for database in ["app", "own", "own2", "postgres", "closed"] {
                let told = opens(&from, database, "from ");
                let real = enters(&world, role, database, Some("pw"));
                ins += usize::from(real);
                assert_eq!(told, real, "PostgreSQL {major}: {role} to {database} over TCP: {from}");
                let told = opens(&all, database, "by the socket");
                let to = format!(
                    "host={} port={} user={role} dbname={database}",
                    world.pg.socket_dir().display(),
                    world.pg.port()
                );
                let real = psql(&world, &to, Some("pw")).output().expect("run psql").status.success();
                assert_eq!(told, real, "PostgreSQL {major}: {role} to {database} by the socket: {all}");
                ins += usize::from(real);
            }
        }
        assert!(ins > 12, "{ins} ways in are too few to prove anything");
        assert!(opens(&said(&socket, "copier"), "replication", "by the socket"));
        let nobody = world.records(&["roles", "--from", "192.0.2.1"]);
        assert_eq!(said(&nobody, "fritz"), "nothing lets it in from 192.0.2.1");
        assert!(opens(
            &said(&world.records(&["roles", "--from", "10.1.2.3"]), "emil"),
            "own2",
            "from 10.0.0.0/8"
        ));
    }
}

fn said(records: &[serde_json::Value], role: &str) -> String {
    let one =
        of(records, "can-log-in").into_iter().find(|r| r["object"] == role).expect("each role is told of");
    text(one, "text").to_string()
}

/// Whether `from by the socket: app, own by trust (line 5); …` names a way of this kind to the database; TLS is off here.
fn opens(said: &str, database: &str, way: &str) -> bool {
    said.split("; ").filter(|w| w.starts_with(way) && !w.contains("TLS only")).any(|w| {
        let (_, rest) = w.split_once(": ").unwrap_or_default();
        let (databases, _) = rest.rsplit_once(" by ").unwrap_or_default();
        databases.split(", ").any(|d| d == database || (d == "every database" && database != "replication"))
    })
}

#[test]
fn regular_expressions_and_included_files_of_16() {
    let world = mixed(18);
    let records = world.records(&["roles"]);
    let trust = of(&records, "hba-trust");
    let find =
        |object: &str| trust.iter().find(|r| text(r, "object") == object).map_or("", |r| text(r, "text"));
    assert!(find("local all /^svc_[0-9]$ trust").ends_with("without any proof: svc_1"));
    assert!(find("host /^ap.$ /nightly 127.0.0.1/32 trust").ends_with("without any proof: do_nightly"));
    assert!(find("host app fritz 127.0.0.1/32 trust").contains("more.conf line 1: "), "{trust:?}");
    assert!(find("host app svc_x 127.0.0.1/32 trust").contains("many/many.conf line 1: "), "{trust:?}");
}

#[test]
fn a_map_by_which_root_becomes_the_superuser() {
    for major in majors() {
        let world = World::with(
            Pg::builder_major(major)
                .hba("local app all peer map=ops")
                .file("pg_ident.conf", format!("ops {0} chief\nops {0} alice\nother nobody chief\n", user()))
                .start(),
        );
        world.pg.psql("postgres", "create database app; create role chief superuser login; create role alice login; create role bert login");
        let to = |role: &str| {
            format!(
                "host={} port={} user={role} dbname=app",
                world.pg.socket_dir().display(),
                world.pg.port()
            )
        };
        let enters = |role: &str| psql(&world, &to(role), None).output().expect("run psql").status.success();
        assert_eq!([enters("chief"), enters("alice"), enters("bert")], [true, true, false], "{major}");
        let records = world.records(&["roles"]);
        let maps: Vec<&str> = of(&records, "hba-map").iter().map(|r| text(r, "object")).collect();
        match major {
            14 => assert!(of(&records, "skipped").iter().any(|r| r["object"] == "pg_ident.conf")),
            _ => assert_eq!(maps, [format!("map ops: {} chief", user())], "{major}"),
        }
    }
}

/// Who runs the tests.
fn user() -> String {
    let id = Command::new("id").arg("-un").output().expect("run id");
    String::from_utf8_lossy(&id.stdout).trim().to_string()
}
