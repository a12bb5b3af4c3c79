//! Rows whose foreign key has no parent: kept, left out, or without their key; sqlite3 and psql say which they are.

use crate::world::{World, outcome_of};
use std::collections::{BTreeMap, BTreeSet};
use testkit::{Dice, rounds, seed};

const SHOP: &str = "create table users (id integer primary key, name text); insert into users values (1, 'a'), (2, 'b');
    create table orders (id integer primary key, user_id int references users (id) on delete cascade); insert into orders values (10, 1), (11, 7), (12, null), (13, 8);
    create table lines (id integer primary key, order_id int not null references orders (id)); insert into lines values (100, 10), (101, 11), (102, 55);
    create table tree (id integer primary key, up int references tree); insert into tree values (1, null), (2, 1), (3, 99), (4, 3), (5, 5), (6, 4);
    create table pairs (a int, b int, primary key (b, a)) without rowid; insert into pairs values (1, 2);
    create table points (x int not null, y int, foreign key (x, y) references pairs (a, b)); insert into points values (1, 2), (1, 3), (4, null);
    create table kv (k text primary key, u int references users) without rowid; insert into kv values ('p', 1), ('q', 9);";

const INVALID: &str = "select string_agg(conrelid::regclass::text, ',' order by conrelid::regclass::text) from pg_constraint where contype = 'f' and not convalidated";

#[test]
fn d1_orphans_are_kept_unless_a_rule_says_otherwise() {
    let world = World::of(SHOP);
    for more in [&[][..], &["--orphans", "keep"]] {
        let records = world.run(more).ended(0);
        let (outcome, why) = outcome_of(&records, "foreign key", "tree.tree_up_fkey");
        assert!(outcome == "not valid" && why.starts_with("1 orphans"), "{outcome} {why}");
        world.gives(&[("select count(*) from tree", "6"), (INVALID, "kv,lines,orders,points,tree")]);
        world.run(&["--undo"]).ended(0);
    }
}

#[test]
fn d1_orphans_are_left_out_with_those_that_refer_to_them() {
    let world = World::of(SHOP);
    let ran = world.run(&["--orphans", "reject"]);
    ran.refused_in_a_line(3, "9 values");
    world.gives(&[
        (INVALID, ""),
        ("select string_agg(id::text, ',' order by id) from orders", "10,12"),
        ("select string_agg(id::text, ',') from lines", "100"),
        ("select string_agg(id::text, ',' order by id) from tree", "1,2,5"),
        ("select string_agg(x || '-' || coalesce(y::text, ''), ',' order by x) from points", "1-2,4-"),
        ("select k from kv", "p"),
    ]);
    let list = std::fs::read_to_string(world.path("app-migration/rejects.jsonl")).expect("rejects");
    let rows: Vec<serde_json::Value> = list.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    assert_eq!(rows.len(), 9, "{list}");
    let of_kv = rows.iter().find(|r| r["table"] == "kv").expect("kv is listed");
    assert_eq!((&of_kv["key"], &of_kv["column"], &of_kv["bytes"]), (&"q".into(), &"u".into(), &"9".into()));
    assert_eq!(
        (&of_kv["policy"], &of_kv["reason"]),
        (&"reject".into(), &"a foreign key without a parent".into())
    );
    // The comparison asks SQLite itself which rows these are: one that comes back is no row of the copy.
    assert_eq!(world.verify().status, Some(3));
    world.psql("alter table kv disable trigger all; insert into kv values ('q', 9)");
    assert_eq!(world.verify().status, Some(4));
}

#[test]
fn d1_keys_of_orphans_become_null() {
    let world = World::of(SHOP);
    let ran = world.run(&["--orphans", "null", "--accept-rejects"]);
    let records = ran.ended(0);
    assert_eq!(outcome_of(&records, "foreign key", "lines.lines_order_id_fkey").0, "not valid");
    world.gives(&[
        // A key that must not be NULL keeps its rows.
        (INVALID, "lines"),
        ("select count(*) from lines", "3"),
        (
            "select string_agg(id || '-' || coalesce(user_id::text, ''), ',' order by id) from orders",
            "10-1,11-,12-,13-",
        ),
        (
            "select string_agg(id || '-' || coalesce(up::text, ''), ',' order by id) from tree",
            "1-,2-1,3-,4-3,5-5,6-4",
        ),
        ("select string_agg(x || '-' || coalesce(y::text, ''), ',' order by x, y) from points", "1-2,1-,4-"),
    ]);
    world.verified();
    world.psql("update orders set user_id = null where id = 10");
    assert_eq!(world.verify().status, Some(4));
}

#[test]
fn d1_orphans_beside_tables_of_the_application_and_in_a_plan() {
    let world = World::of(SHOP);
    let made = "create table users (id int primary key, name varchar(9)); create table orders (id int primary key, user_id int references users);
        create table lines (id int primary key, order_id int not null references orders); create table tree (id int primary key, up int references tree);
        create table pairs (a int, b int, primary key (b, a)); create table points (x int not null, y int, foreign key (x, y) references pairs (a, b));
        create table kv (k text primary key, u int references users)";
    world.psql(made);
    let existing = ["--existing", "refuse", "--report", "told"];
    world.run(&existing).ended(0);
    world.gives(&[(INVALID, "kv,lines,orders,points,tree"), ("select count(*) from orders", "4")]);
    world.run(&["--undo"]).ended(0);
    // The lines without an order have a key that must not be NULL: they are kept.
    world.run(&[&existing[..], &["--orphans", "null"]].concat()).refused_in_a_line(3, "5 values");
    world.gives(&[
        (INVALID, "lines"),
        ("select count(*) from lines", "3"),
        ("select count(*) from points", "3"),
    ]);
    world.run(&["--undo"]).ended(0);
    world.run(&[&existing[..], &["--orphans", "reject"]].concat()).refused_in_a_line(3, "9 values");
    world.gives(&[("select count(*) from lines", "1"), ("select count(*) from points", "2")]);

    world.psql("drop table points, pairs, kv, lines, orders, users, tree; drop schema toban_undo cascade");
    assert_eq!(world.tool(&["plan", "app.db", "-o", "p.toml", "--orphans", "null"]).status, Some(0));
    let plan = std::fs::read_to_string(world.path("p.toml")).expect("plan");
    let edited = plan.replace("nulled = [\"up\"]", "nulled = []");
    assert_ne!(plan, edited, "{plan}");
    std::fs::write(world.path("p.toml"), edited).expect("edit");
    world.run(&["--plan", "p.toml", "--accept-rejects"]).ended(0);
    world.gives(&[("select count(*) from tree", "3"), ("select count(*) from orders", "4")]);
    world.verified();
}

/// A forest of random parents, some of them missing, with leaves that refer to it.
#[test]
fn random_forests_lose_what_hangs_on_nothing() {
    let mut dice = Dice::new(seed());
    for round in 0..rounds(6) {
        let world = World::new();
        let n = 2 + dice.below(60);
        let ups: BTreeMap<u64, Option<u64>> =
            (1..=n).map(|id| (id, (dice.below(5) > 0).then(|| 1 + dice.below(n + n / 8 + 1)))).collect();
        let leaves: BTreeMap<u64, u64> = (1..=n).map(|id| (id, 1 + dice.below(n + 3))).collect();
        let shown = |up: &Option<u64>| up.map_or("null".into(), |up| up.to_string());
        let nodes: Vec<String> = ups.iter().map(|(id, up)| format!("({id}, {})", shown(up))).collect();
        let hung: Vec<String> = leaves.iter().map(|(id, node)| format!("({id}, {node})")).collect();
        world.sqlite(&format!(
            "create table n (id integer primary key, up int references n); insert into n values {}; create table l (id integer primary key, n int references n); insert into l values {};",
            nodes.join(", "),
            hung.join(", ")
        ));
        let mut stay: BTreeSet<u64> = ups.keys().copied().collect();
        loop {
            let next: BTreeSet<u64> =
                stay.iter().copied().filter(|id| ups[id].is_none_or(|up| stay.contains(&up))).collect();
            if next == stay {
                break;
            }
            stay = next;
        }
        let expected = |ids: Vec<u64>| ids.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        let ran = world.run(&["--orphans", "reject", "--accept-rejects"]);
        assert_eq!(ran.status, Some(0), "round {round} of seed {}: {ran:?}", seed());
        world.gives(&[
            (INVALID, ""),
            (
                "select string_agg(id::text, ',' order by id) from n",
                &expected(stay.iter().copied().collect()),
            ),
            (
                "select string_agg(id::text, ',' order by id) from l",
                &expected(leaves.iter().filter(|(_, n)| stay.contains(n)).map(|(id, _)| *id).collect()),
            ),
        ]);
    }
}
