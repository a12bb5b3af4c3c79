//! `app`: the catalogue of accounts, on PostgreSQL and SQLite.

use crate::data::{DOUBTS, TWELVE, sqlite};
use crate::world::{World, of, text, troubles};

#[test]
fn twelve_kinds_of_doubt_none_missed_and_none_invented() {
    let world = World::app(TWELVE);
    let records = world.records(&["app"]);
    assert_eq!(troubles(&records), DOUBTS);
    sqlite(&world.path("app.db"), TWELVE);
    let same = world.records(&["app", "--db", &format!("sqlite:{}", world.path("app.db").display())]);
    assert_eq!(troubles(&same), DOUBTS, "SQLite");
    assert_eq!(text(&same[0], "source"), "main/app.db");
    let disable: Vec<&str> =
        records.iter().filter(|r| text(r, "advice") == "disable it").map(|r| text(r, "object")).collect();
    assert_eq!(disable, ["never@example.org", "idle@example.org"], "nobody else is to go");
    assert!(text(of(&records, "password-none")[0], "text").starts_with("1 accounts have no password"));
}

#[test]
fn a_column_of_any_type_and_any_zone() {
    let now = "2026-11-22T12:00:00Z".parse::<jiff::Timestamp>().expect("a time").as_second();
    let at = |days: i64| now - days * 86400;
    let cases = [
        ("timestamptz", format!("to_timestamp({})", at(91)), format!("to_timestamp({})", at(89))),
        (
            "timestamp",
            format!("to_timestamp({}) at time zone 'UTC'", at(91)),
            format!("to_timestamp({}) at time zone 'UTC'", at(89)),
        ),
        ("date", "date '2026-08-20'".into(), "date '2026-08-30'".into()),
        ("bigint", at(91).to_string(), at(89).to_string()),
        ("bigint", (at(91) * 1000).to_string(), (at(89) * 1000).to_string()),
        ("text", "'2026-08-20T00:00:00.000Z'".into(), "'2026-08-30 00:00:00.000 +02:00'".into()),
    ];
    let world = World::app(
        "alter database app set timezone = 'Pacific/Kiritimati'; insert into users (email, is_active) values ('a@x.org', true), ('b@x.org', true)",
    );
    for (kind, old, new) in cases {
        world.pg.psql("app", &format!(
            "alter table users drop column last_login_at; alter table users add column last_login_at {kind}; \
             update users set created_at = '2026-01-01', password_changed_at = '2026-11-20', last_login_at = case id when 1 then {old} else {new} end"
        ));
        let records = world.records(&["app", "--admin-role", "none"]);
        let unused: Vec<&str> = of(&records, "unused").iter().map(|r| text(r, "object")).collect();
        assert_eq!(unused, ["a@x.org"], "{kind} {old}");
    }
}

#[test]
fn names_with_dots_quotes_and_reserved_words() {
    let mut world = World::app("");
    world.pg.psql("app", r#"create schema "my.app"; create table "my.app"."us""er" ("select" int, "e.mail" text, "from" text, "last" timestamptz);
        insert into "my.app"."us""er" values (1, 'a@x.org', 'ENABLED', '2026-01-01'), (2, 'b@x.org', 'blocked', '2026-01-01')"#);
    world.config(
        r#"[audit.mapping.odd]
users = ["my.app", "us\"er"]
id = "select"
email = "e.mail"
active = "from"
last_login = "last"
"#,
    );
    let records = world.records(&["app", "--mapping", "odd"]);
    assert_eq!(troubles(&records), ["unused a@x.org"]);
    let unmapped = records.iter().filter(|r| text(r, "text").starts_with("not judged")).count();
    assert_eq!(unmapped, 2, "roles and password ages: said, not hidden");
}

#[test]
fn django_as_it_is_and_detected() {
    let world = World::app(
        "drop table users, roles, user_roles; \
         create table auth_user (id serial primary key, password text, last_login timestamptz, is_superuser boolean, username text, email text, is_staff boolean, is_active boolean, date_joined timestamptz); \
         create table auth_group (id serial primary key, name text); create table auth_user_groups (id serial, user_id int, group_id int); \
         insert into auth_user (password, last_login, is_superuser, email, is_active, date_joined) values \
         ('pbkdf2$x', '2026-11-20', true, 'root.admin@x.org', true, '2026-01-01'), ('!unusable', '2026-01-01', false, 'idle@x.org', true, '2026-01-01'); \
         insert into auth_group values (1, 'Admin '); insert into auth_user_groups (user_id, group_id) values (2, 1)",
    );
    let found = world.troubles(&["app", "--mapping", "django"]);
    assert_eq!(found, ["admin idle@x.org", "admin root.admin@x.org", "unused idle@x.org"]);
    let ran = world.run(&["app", "--detect"]);
    for line in [
        "[audit.mapping.\"app\"]",
        "users = \"public.auth_user\"",
        "last_login = \"last_login\"",
        "admin_flag = \"is_superuser\"",
        "user_roles = \"public.auth_user_groups\"",
        "roles = \"public.auth_group\"",
        "created = \"date_joined\"",
    ] {
        assert!(ran.status == Some(0) && ran.stdout.contains(line), "{line:?}: {ran:?}");
    }
}

#[test]
fn nested_expired_and_flagged_administrators() {
    let mut world = World::app(
        "alter table roles add column parent bigint; alter table user_roles add column until timestamptz; \
         alter table users add column otp text; alter table users add column job text; \
         insert into roles values (1, 'Admin ', null), (2, 'ops', 1), (3, 'oncall', 2), (4, 'editor', null); \
         insert into users (id, email, is_active, last_login_at, password_changed_at, created_at, otp, job) select n, 'u' || n || '@x.org', true, \
         '2026-11-20', '2026-11-20', '2026-01-01', case n when 3 then null else 's' end, case n when 5 then 'root' else 'clerk' end from generate_series(1, 6) n; \
         insert into user_roles (user_id, role_id, until) values (1, 1, null), (1, 1, null), (2, 1, '2026-11-01'), (3, 3, '2027-01-01'), (4, 4, null), (6, null, null)",
    );
    world.config(
        "[audit.mapping.own]\nusers = 'users'\nemail = 'email'\nactive = 'is_active'\nlast_login = 'last_login_at'\nroles = 'roles'\n\
         role_parent = 'parent'\nuser_roles = 'user_roles'\nuser_roles_expires = 'until'\nmfa = 'otp'\nrole = 'job'\n",
    );
    let found = world.troubles(&["app", "--mapping", "own", "--max-admins", "2"]);
    assert_eq!(
        found,
        [
            "admin u1@x.org",
            "admin u3@x.org",
            "admin u5@x.org",
            "admin-count administrators",
            "admin-without-mfa u3@x.org",
            "orphaned-assignment user 6 in role NULL"
        ]
    );
}

#[test]
fn accepted_findings_have_reasons_and_ends() {
    let mut world = World::app(TWELVE);
    let entry = |rule: &str, object: &str, until: &str| {
        format!(
            "[[accept]]\ntool = 'user-audit'\nid = '{rule}'\nobject = '{object}'\nreason = 'nightly import'\nowner = 'ops'\nuntil = '{until}'\n"
        )
    };
    let entries = [
        entry("unused", "svc-*", "2027-01-01"),
        entry("unused", "user/6", "2026-11-21"),
        entry("shared-account", "nobody@example.org", "2027-01-01"),
        entry("superuser", "postgres", "2027-01-01"),
    ];
    world.config(&entries.concat());
    let records = world.records(&["app"]);
    let unused = of(&records, "unused");
    let of_service = unused.iter().find(|r| text(r, "object").starts_with("svc-")).expect("it is still told");
    assert_eq!(text(of_service, "severity"), "ok");
    let accepted = serde_json::json!({ "reason": "nightly import", "owner": "ops", "until": "2027-01-01" });
    assert_eq!(of_service["accepted"], accepted);
    let lines = world.run(&["app", "--at", crate::world::AT]).stdout;
    assert!(lines.contains(" (accepted: nightly import; ops answers for it until 2027-01-01)\t"), "{lines}");
    let entries = ["accept-expired", "accept-unused"].map(|id| {
        let all = of(&records, id);
        assert_eq!(all.len(), 1, "{id}: {all:?}");
        (text(all[0], "severity"), text(all[0], "text"))
    });
    let ended = ("warning", "the entry of ops ended on 2026-11-21");
    assert_eq!(entries, [ended, ("warning", "the entry of ops fits nothing any more")]);
    world.config(&entry("new-access", "*", "2027-01-01"));
    world.run(&["app"]).refused(2, "new-access cannot be accepted");
}

#[test]
fn as_a_monitoring_plugin() {
    let world = World::app(TWELVE);
    let ran = world.run(&["app", "--monitoring", "--at", crate::world::AT]);
    assert_eq!((ran.status, ran.stdout.lines().count()), (Some(2), 1), "{ran:?}");
    assert!(
        ran.stdout.starts_with("CRITICAL: ") && ran.stdout.contains("; and 10 more | critical=2 "),
        "{ran:?}"
    );
    let grave = ran.stdout.find("disabled, and still holds").expect("a critical one");
    assert!(ran.stdout.find("never used").is_none_or(|at| at > grave), "the gravest come first: {ran:?}");
    let ran = world.run(&["app", "--monitoring", "--db", "host=/nowhere dbname=app"]);
    assert!(ran.status == Some(3) && ran.stdout.starts_with("UNKNOWN: "), "{ran:?}");
}

#[test]
fn the_four_answers_of_a_plugin_and_the_metrics_of_a_run() {
    let mut world = World::app(
        "insert into roles values (1, 'admin'); insert into user_roles (user_id, role_id) values (1, 1), (2, 1); \
         insert into users (id, email, password_hash, is_active, last_login_at, password_changed_at, created_at) \
         select n, 'u' || n || '@x.org', 'x', true, '2026-11-20', '2026-11-20', '2026-01-01' from generate_series(1, 3) n",
    );
    let plugin = |world: &World| {
        let ran = world.run(&["app", "--monitoring", "--at", crate::world::AT]);
        (ran.status, ran.stdout.split(':').next().unwrap_or_default().to_string())
    };
    let allow = |n: u32| {
        format!(
            "[[accept]]\ntool = 'user-audit'\nid = 'admin'\nobject = 'u{n}@x.org'\nreason = 'r'\nowner = 'o'\nuntil = '2027-01-01'\n"
        )
    };
    world.config(&[allow(1), allow(2)].concat());
    assert_eq!(plugin(&world), (Some(0), "OK".into()));
    world.pg.psql("app", "update users set last_login_at = '2026-01-01' where id = 3");
    assert_eq!(plugin(&world), (Some(1), "WARNING".into()));
    world.pg.psql("app", "update users set password_changed_at = '2026-01-02' where id = 3");
    assert_eq!(plugin(&world), (Some(1), "WARNING".into()), "75 days are a warning");
    world
        .pg
        .psql("app", "insert into user_roles values (3, 1); update users set is_active = false where id = 3");
    assert_eq!(plugin(&world), (Some(2), "CRITICAL".into()));
    world.pg.psql(
        "app",
        "delete from user_roles where user_id = 3; update users set is_active = true where id = 3",
    );
    let metrics = world.path("metrics");
    std::fs::create_dir(&metrics).expect("a folder");
    world.config(&format!("textfile_dir = '{}'\n{}{}", metrics.display(), allow(1), allow(2)));
    assert_eq!(world.run(&["app", "--at", crate::world::AT]).status, Some(4));
    let files = std::fs::read_dir(&metrics).expect("the folder");
    let text: String =
        files.map(|f| std::fs::read_to_string(f.expect("a file").path()).expect("text")).collect();
    for (rule, severity, n) in [("unused", "warning", 1), ("password-old", "warning", 1), ("admin", "ok", 2)]
    {
        let line = text.lines().find(|l| {
            l.contains(&format!("id=\"{rule}\"")) && l.contains(&format!("severity=\"{severity}\""))
        });
        assert!(line.is_some_and(|l| l.ends_with(&format!(" {n}"))), "{rule}: {text}");
    }
    world.pg.psql("app", "delete from users");
    assert_eq!(world.run(&["app", "--monitoring", "--db", "host=/nowhere dbname=app"]).status, Some(3));
}

#[test]
fn who_is_disabled_here_and_still_gets_into_the_system() {
    let mut world = World::app(
        "insert into users (email, is_active) values ('anna@x.org', false), ('bert@x.org', true), ('carl.moore@x.org', false)",
    );
    let line = |key: &str, value: &str| {
        serde_json::json!({"schema": "host-audit.fact/1", "subject": "accounts", "key": key, "value": value})
            .to_string()
    };
    let account = |name: &str, uid: u32| {
        line(
            &format!("account/{name}"),
            &format!("uid {uid} gid 1 home /home/{name} shell /bin/bash password set"),
        )
    };
    let lines = [
        account("anna", 1001),
        account("bert", 1002),
        account("cmo", 1003),
        account("dora", 1004),
        account("root", 0),
        line("group/sudo/cmo", ""),
    ];
    std::fs::write(world.path("os.json"), lines.join("\n")).expect("write");
    world.config("[audit.os_accounts]\n\"carl.moore@x.org\" = \"cmo\"\n");
    let records = world.records(&["app", "--admin-role", "none", "--os-accounts", "os.json"]);
    let told = |id: &str| -> Vec<(&str, &str)> {
        of(&records, id).iter().map(|r| (text(r, "object"), text(r, "severity"))).collect()
    };
    assert_eq!(told("os-account-open"), [("carl.moore@x.org", "critical"), ("anna@x.org", "warning")]);
    assert_eq!(told("os-account-unclaimed"), [("dora", "warning")]);
}
