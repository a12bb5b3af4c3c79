//! An application's own schema and files, of the shape that was met: the plan asks what nobody but people knows.

use crate::world::{World, has_finding, questions};
use std::collections::BTreeSet;

pub(crate) const SCHEMA: &str = "
create schema auth; create schema audit;
create table alembic_version (version_num varchar(32)); insert into alembic_version values ('a1');
create table auth.users (id serial primary key, username varchar(50) unique not null, email varchar(120), full_name varchar(100),
  department varchar(50), password_hash varchar(255) not null, is_active boolean, mfa_enabled boolean, created_at timestamp);
create table auth.roles (id serial primary key, name varchar(50) unique not null);
insert into auth.roles (name) values ('admin'), ('editor'), ('viewer');
create table auth.user_roles (user_id int references auth.users, role_id int references auth.roles, primary key (user_id, role_id));
create table knowledge (id serial primary key, title varchar(200) not null, content text not null, tags varchar(20)[],
  created_at timestamp, updated_at timestamptz, created_by_id int references auth.users);
create table incidents (id serial primary key, title varchar(200) not null, corrective_actions jsonb, incident_date date,
  severity varchar(20) not null default 'low');
create table projects (id serial primary key, code varchar(20) unique not null, name varchar(100) not null, type varchar(20) not null, budget int);
create table experts (id serial primary key, user_id int not null references auth.users, specialization varchar(50) not null, rating int);
create table audit.access_logs (id serial primary key, user_id int references auth.users, action varchar(30), ip_address inet, created_at timestamp);";

/// bcrypt of nothing in particular.
pub(crate) const HASH: &str = "$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234";

/// The files, in the layout of Python's json.dump(indent=2, ensure_ascii=False).
pub(crate) fn write_files(world: &World) {
    let list = |items: Vec<String>| {
        let value: serde_json::Value = serde_json::from_str(&format!("[{}]", items.join(","))).expect("JSON");
        serde_json::to_string_pretty(&value).expect("JSON")
    };
    let user = |n: usize| {
        let roles = if n == 1 { r#"["admin","editor"]"# } else { r#"["viewer"]"# };
        format!(
            r#"{{"id":{n},"username":"user{n}","email":"u{n}@city.test","full_name":"山田 {n}","department":"工事部",
               "password_hash":"{HASH}","is_active":true,"roles":{roles},"created_at":"2026-01-0{n}T09:00:00"}}"#
        )
    };
    world.write("users.json", list((1..=6).map(user).collect()));
    let article = |n: usize| {
        format!(
            r#"{{"id":{},"title":"[サンプル] 手順 {n}","content":"本文 {n}","tags":["安全","{n}"],"created_at":"2026-01-07T11:49:50.796833",
               "updated_at":"2026-01-10T09:30:00Z","created_by_id":{},"views":{n}}}"#,
            57 + n,
            n % 6 + 1
        )
    };
    world.write("knowledge.json", list((1..=10).map(article).collect()));
    let detail = |n: usize| format!(r#"{{"id":{},"title":"別の記事 {n}","content":"別"}}"#, 57 + n);
    world.write("knowledge_details.json", list((1..=30).map(detail).collect()));
    let incident = |n: usize| {
        let (severity, actions) = if n == 1 { ("高", r#"{"b":1,"a":[]}"#) } else { ("high", "{}") };
        format!(
            r#"{{"id":{n},"title":"事故","corrective_actions":{actions},"incident_date":"2024-06-23","severity":"{severity}"}}"#
        )
    };
    world.write("incidents.json", list((1..=2).map(incident).collect()));
    let project = |n: usize| {
        format!(
            r#"{{"id":{n},"name":"橋 {n}","budget":315846000,"members":[{{"name":"a"}}],"contact":"p{n}@example.com"}}"#
        )
    };
    world.write("projects.json", list((1..=20).map(project).collect()));
    let expert = |n: usize| {
        format!(r#"{{"id":{n},"name":"山田 {}","rating":{}}}"#, n % 6 + 1, if n == 3 { "4.2" } else { "4" })
    };
    world.write("experts.json", list((1..=20).map(expert).collect()));
    world.write("notifications.json", "[]");
    let log = |n: u32| {
        let user = if n.is_multiple_of(7) { format!("\"{}\"", n % 6 + 1) } else { (n % 6 + 1).to_string() };
        let time = if n.is_multiple_of(4) { "created_at" } else { "timestamp" };
        format!(
            r#"{{"id":{n},"user_id":{user},"action":"read","ip_address":"192.168.1.{}","session_id":"s{n}","{time}":"2026-01-07T11:49:{:02}.5"}}"#,
            n % 250,
            n % 60
        )
    };
    world.write("access_logs.json", list((1..=200).map(log).collect()));
}

/// What is answered, by (file, about).
pub(crate) const ANSWERS: [(&str, &str, &str); 19] = [
    ("", "", "UTC"),
    ("users.json", "roles", "link"),
    ("users.json", "mfa_enabled", "false"),
    ("knowledge.json", "views", "drop: counted anew"),
    ("knowledge.json", "", "load"),
    ("knowledge_details.json", "", "drop: other articles under the same ids"),
    ("projects.json", "code", "from: id"),
    ("projects.json", "type", "value: bridge"),
    ("projects.json", "members", "drop: kept in the old system"),
    ("projects.json", "contact", "drop: sample addresses"),
    ("projects.json", "", "load"),
    ("experts.json", "name", "drop: it is the user's"),
    ("experts.json", "user_id", "from: name lookup auth.users.full_name"),
    ("experts.json", "specialization", "value: general"),
    ("experts.json", "rating", "round"),
    ("notifications.json", "", "drop: nothing in it"),
    ("access_logs.json", "session_id", "drop: sessions are over"),
    ("access_logs.json", "timestamp", "column: created_at"),
    ("access_logs.json", "user_id", "numbers"),
];

/// An application whose files are planned and answered.
pub(crate) fn answered() -> World {
    let world = World::new();
    world.psql(SCHEMA);
    write_files(&world);
    world.plan_existing(&["--zone", "Asia/Tokyo"]);
    world.answer(&ANSWERS);
    world
}

#[test]
fn the_plan_asks_exactly_the_open_points_and_the_answers_load_it() {
    let world = World::new();
    world.psql(SCHEMA);
    write_files(&world);
    let records = world.plan_existing(&["--zone", "Asia/Tokyo"]);
    let asked: BTreeSet<(String, String)> = questions(&records).into_iter().collect();
    let expected: BTreeSet<(String, String)> =
        ANSWERS.iter().map(|(f, a, _)| (f.to_string(), a.to_string())).collect();
    assert_eq!(asked, expected);
    for id in ["sample-data", "password-scheme", "no-records", "details-differ"] {
        assert!(has_finding(&records, id), "{id}: {records:#?}");
    }
    let details = records.iter().find(|r| r["id"] == "details-differ").expect("the details");
    assert_eq!(
        details["finding"].as_str().or(details["text"].as_str()),
        Some("shares 10 ids with knowledge.json, and under 0 of them stands the same title")
    );
    let refused = world.run().refused(2, "questions of the plan without an answer");
    assert!(refused.contains("experts.json user_id") && refused.contains("projects.json code"), "{refused}");
    world.answer(&ANSWERS);
    world.ran();
    world.verified();
    world.gives(&[
        ("select count(distinct password_hash), min(password_hash) from auth.users", &format!("1|{HASH}")),
        ("select string_agg(u.username || ':' || r.name, ',' order by u.id, r.id) from auth.user_roles k join auth.users u on u.id = user_id join auth.roles r on r.id = role_id where u.id < 3", "user1:admin,user1:editor,user2:viewer"),
        ("select created_at, updated_at from knowledge where id = 58", "2026-01-07 02:49:50.796833|2026-01-10 09:30:00+00"),
        ("select tags from knowledge where id = 58", "{安全,1}"),
        ("select corrective_actions, incident_date, severity from incidents where id = 1", "{\"a\": [], \"b\": 1}|2024-06-23|高"),
        ("select code, type, budget from projects where id = 20", "20|bridge|315846000"),
        ("select rating, user_id, specialization from experts where id = 3", "4|4|general"),
        ("select count(*), count(created_at), count(ip_address), sum(user_id) from audit.access_logs", &format!("200|200|200|{}", (1..=200).map(|n| n % 6 + 1).sum::<i32>())),
        ("select nextval('auth.users_id_seq'), nextval('knowledge_id_seq'), nextval('audit.access_logs_id_seq')", "7|68|201"),
    ]);
    // Again: nothing changes, and nothing is said to.
    let again = world.ran();
    assert!(
        again
            .iter()
            .filter(|r| r["schema"] == "json-to-pg.table/1")
            .all(|r| r["inserted"] == 0 && r["updated"] == 0),
        "{again:#?}"
    );
    world.verified();
    // No secret in any output or in the plan.
    let plan = std::fs::read_to_string(world.path("plan.toml")).expect("the plan");
    let said = format!("{records:?}{again:?}{plan}");
    assert!(!said.contains(HASH) && !said.contains("\"s7\""), "a secret is shown");
    assert_eq!(world.tool(&["undo"]).status, Some(0));
    world.gives(&[
        ("select count(*) from auth.users", "0"),
        ("select count(*) from auth.roles", "3"),
        ("select to_regnamespace('toban_json') is null", "t"),
    ]);
}

#[test]
fn migrations_and_rights_that_differ_end_the_run_before_it_writes() {
    let world = answered();
    world.psql("update alembic_version set version_num = 'b2'");
    world.run().refused(2, "alembic_version b2 now, alembic_version a1 then");
    world.psql("update alembic_version set version_num = 'a1'; create role plain login; grant create on database postgres to plain; grant select, insert on all tables in schema public to plain; grant select on alembic_version to plain; grant usage on schema audit to plain; grant select on all tables in schema audit to plain");
    let url = world.pg.url().replace("postgres@", "plain@");
    let ran = world.tool(&["run", "plan.toml", "--to", &url]);
    assert_eq!(ran.status, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("may not"), "{ran:?}");
    world.gives(&[
        ("select count(*) from knowledge", "0"),
        ("select to_regnamespace('toban_json') is null", "t"),
    ]);
}
