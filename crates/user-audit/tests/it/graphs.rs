//! Random role graphs: what we compute from pg_auth_members is what the server says and does.

use std::collections::BTreeMap;
use testkit::{Dice, Pg, majors, rounds, seed};
use user_audit::graph::{Grant, Graph, Role, Walk};

const ROLES: usize = 7;

#[test]
fn random_graphs_agree_with_the_server() {
    let seed = seed();
    for major in majors() {
        let pg = Pg::start_major(major, &[]);
        let mut dice = Dice::new(seed.wrapping_add(major.into()));
        for round in 0..rounds(15) {
            agree(&pg, &mut dice, &format!("PostgreSQL {major}, round {round}"));
        }
    }
}

fn name(i: usize) -> String {
    format!("r{i}")
}

fn agree(pg: &Pg, dice: &mut Dice, what: &str) {
    make(pg, dice);
    let graph = read(pg);
    let oid = |i: usize| graph.oid(&name(i)).expect("it was made");
    let said = has_role(pg);
    for a in 0..ROLES {
        for b in 0..ROLES {
            let ours = [Walk::Member, Walk::Inherit, Walk::Set].map(|w| graph.reaches(oid(a), oid(b), w));
            assert_eq!(ours, said[&(a, b)][..3], "{what}: {a} {b}: MEMBER, USAGE, SET\n{}", shown(pg));
            if a != b {
                assert_eq!(
                    graph.administers(oid(a), oid(b)),
                    said[&(a, b)][3],
                    "{what}: {a} administers {b}\n{}",
                    shown(pg)
                );
            }
        }
    }
    let tables = tables(pg);
    let tried = attempts(pg);
    for a in 0..ROLES {
        for b in 0..ROLES {
            let reads = graph.reaches(oid(a), oid(b), Walk::Inherit);
            assert_eq!(reads, tables[&(a, b)], "{what}: {a} reads {b}'s table\n{}", shown(pg));
            assert_eq!(
                graph.reaches(oid(a), oid(b), Walk::Set),
                tried[&(a, b)],
                "{what}: {a} set role {b}\n{}",
                shown(pg)
            );
        }
        escalates(pg, &graph, a, what);
    }
}

/// Fresh roles with random attributes, memberships and options, and a table each.
fn make(pg: &Pg, dice: &mut Dice) {
    let names: Vec<String> = (0..ROLES).map(name).collect();
    let mut sql = String::from("reset role; set client_min_messages = warning;\n");
    for n in &names {
        sql += &format!("drop table if exists t_{n};\n");
    }
    sql += &format!("drop role if exists {};\n", names.join(", "));
    for (i, n) in names.iter().enumerate() {
        let superuser = if i == 0 || dice.below(12) == 0 { " superuser" } else { "" };
        let createrole = if dice.below(5) == 0 { " createrole" } else { "" };
        let inherit = if dice.below(3) == 0 { " noinherit" } else { "" };
        sql += &format!("create role {n} login{superuser}{createrole}{inherit};\n");
        sql += &format!("create table t_{n} (x int); alter table t_{n} owner to {n};\n");
    }
    for _ in 0..dice.below(14) {
        let (a, b) = (dice.index(ROLES), dice.index(ROLES));
        // Roles are granted upwards only, so that no circle is refused.
        let (role, member) = (a.min(b), a.max(b));
        if role != member {
            sql += &format!("grant {} to {}{};\n", name(role), name(member), options(pg.major(), dice));
        }
    }
    pg.psql("postgres", &sql);
}

fn options(major: u32, dice: &mut Dice) -> String {
    let word = |dice: &mut Dice| if dice.below(2) == 0 { "true" } else { "false" };
    match major {
        16.. => format!(" with admin {}, inherit {}, set {}", word(dice), word(dice), word(dice)),
        _ if dice.below(3) == 0 => " with admin option".into(),
        _ => String::new(),
    }
}

/// The graph from pg_roles and pg_auth_members, read by psql.
fn read(pg: &Pg) -> Graph {
    let mut graph = Graph { major: pg.major(), database_owner: Some(10), ..Graph::default() };
    let sql = "select oid, rolname, rolsuper, rolinherit, rolcreaterole from pg_roles";
    for line in pg.psql("postgres", sql).lines() {
        let c: Vec<&str> = line.split('|').collect();
        let role = Role {
            name: c[1].into(),
            superuser: c[2] == "t",
            inherit: c[3] == "t",
            createrole: c[4] == "t",
            login: true,
            ..Role::default()
        };
        graph.roles.insert(c[0].parse().expect("an oid"), role);
    }
    let options = if pg.major() >= 16 { "inherit_option, set_option" } else { "true, true" };
    let sql = format!("select member, roleid, admin_option, {options} from pg_auth_members");
    for line in pg.psql("postgres", &sql).lines() {
        let c: Vec<&str> = line.split('|').collect();
        let grant = Grant { admin: c[2] == "t", inherit: c[3] == "t", set: c[4] == "t" };
        graph.grant(c[0].parse().expect("an oid"), c[1].parse().expect("an oid"), grant);
    }
    graph
}

type Answers<T> = BTreeMap<(usize, usize), T>;

fn pairs<T>(lines: &str, value: impl Fn(&[&str]) -> T) -> Answers<T> {
    let pair = |line: &str| {
        let c: Vec<&str> = line.split('|').collect();
        ((c[0][1..].parse().expect("r1"), c[1][1..].parse().expect("r2")), value(&c[2..]))
    };
    lines.lines().map(pair).collect()
}

const OURS: &str = "from pg_roles a, pg_roles b where a.rolname ~ '^r[0-9]$' and b.rolname ~ '^r[0-9]$'";

fn has_role(pg: &Pg) -> Answers<Vec<bool>> {
    let set = if pg.major() >= 16 { "SET" } else { "MEMBER" };
    let sql = format!(
        "select a.rolname, b.rolname, pg_has_role(a.oid, b.oid, 'MEMBER'), pg_has_role(a.oid, b.oid, 'USAGE'), \
         pg_has_role(a.oid, b.oid, '{set}'), pg_has_role(a.oid, b.oid, 'MEMBER WITH ADMIN OPTION') {OURS}"
    );
    pairs(&pg.psql("postgres", &sql), |c| c.iter().map(|v| *v == "t").collect())
}

fn tables(pg: &Pg) -> Answers<bool> {
    let sql = format!(
        "select a.rolname, b.rolname, has_table_privilege(a.oid, 't_' || b.rolname, 'SELECT') {OURS}"
    );
    pairs(&pg.psql("postgres", &sql), |c| c[0] == "t")
}

/// Real sessions: each role tries SET ROLE to each other.
fn attempts(pg: &Pg) -> Answers<bool> {
    let mut tried = Answers::new();
    for a in 0..ROLES {
        let sql: String = (0..ROLES)
            .map(|b| format!("select 'try'; set role {}; select current_user; reset role;\n", name(b)))
            .collect();
        let said = as_role(pg, a, &sql);
        for (b, answer) in said.split("try\n").skip(1).enumerate() {
            tried.insert(
                (a, b),
                answer.lines().any(|l| l == name(b)) && (a == b || !answer.contains("denied")),
            );
        }
    }
    for ((a, b), done) in &mut tried {
        // Without SET ROLE current_user is still the session's own.
        *done = *done || a == b;
    }
    tried
}

/// psql's output and errors for `sql`, in a session that logged in as role `a`; an error does not end it.
fn as_role(pg: &Pg, a: usize, sql: &str) -> String {
    let mut psql = testkit::pg::clean(&pg.bin("psql"));
    let to =
        format!("host={} port={} user={} dbname=postgres", pg.socket_dir().display(), pg.port(), name(a));
    let done =
        psql.args(["-X", "-At", "-q", "-d", &to, "-c"]).arg("\\set ON_ERROR_STOP off").args(["-f", "-"]);
    let mut child = done
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("run psql");
    std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), sql.as_bytes())
        .expect("write to psql");
    String::from_utf8_lossy(&child.wait_with_output().expect("psql ends").stdout).into_owned()
}

/// Where we say that `a` comes to superuser by itself, it does; where we say not, no chain of grants and SET ROLE
/// that it tries by itself leads there. A membership the other way round, which would be a circle, it first revokes.
fn escalates(pg: &Pg, graph: &Graph, a: usize, what: &str) {
    let oid = graph.oid(&name(a)).expect("it was made");
    let ours = graph.acts(oid).path("superuser");
    let grant = if pg.major() >= 16 { " with inherit true, set true" } else { "" };
    let mut sql = String::from("begin;\n");
    // Each round may open the next; four are more than seven roles need.
    for _ in 0..4 {
        for via in 0..ROLES {
            for role in 0..ROLES {
                if role != a {
                    sql += &format!(
                        "savepoint s; set local role {}; revoke {2} from {1}; grant {1} to {2}{grant}; release s; rollback to s; reset role;\n",
                        name(via),
                        name(role),
                        name(a)
                    );
                }
            }
        }
    }
    sql = sql.replace("release s; rollback to s; reset role;", "reset role;");
    for target in 0..ROLES {
        sql += &format!(
            "reset role; set role {};\nselect 'power' where (select rolsuper from pg_roles where rolname = current_user);\n",
            name(target)
        );
    }
    sql += "rollback;\n";
    let said = as_role(pg, a, &format!("\\set ON_ERROR_ROLLBACK on\n{sql}"));
    assert_eq!(ours.is_some(), said.contains("power"), "{what}: {a}: {ours:?}\n{}", shown(pg));
}

fn shown(pg: &Pg) -> String {
    let options = if pg.major() >= 16 { ", inherit_option, set_option" } else { "" };
    pg.psql(
        "postgres",
        &format!(
            "select rolname, rolsuper, rolinherit, rolcreaterole from pg_roles where rolname ~ '^r[0-9]$' order by 1; \
             select member::regrole, roleid::regrole, admin_option{options} from pg_auth_members where member > 16000"
        ),
    )
}
