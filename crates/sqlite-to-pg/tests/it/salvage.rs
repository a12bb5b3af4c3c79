//! Damaged files with --salvage: what the sqlite3 shell can still read arrives, and the rest is named.

use crate::world::{World, bytes};
use serde_json::Value;

const ROWS: &str = "with recursive c(i) as (select 1 union all select i + 1 from c where i < 3000)";

/// The lines about what was not salvaged.
fn losses(records: &[Value]) -> Vec<String> {
    let own = records.iter().filter(|r| r["kind"] == "salvage");
    own.map(|r| format!("{} {}", r["name"].as_str().unwrap_or(""), r["why"].as_str().unwrap_or(""))).collect()
}

/// Fills a page with noise.
fn break_page(world: &World, page: usize) {
    let mut file = bytes(&world.file());
    file[(page - 1) * 4096..page * 4096].fill(0xa5);
    std::fs::write(world.file(), file).expect("damage it");
}

/// The pages of a table's leaves, in their order.
fn leaves(world: &World, table: &str) -> Vec<usize> {
    let sql = format!("select pageno from dbstat where name = '{table}' and pagetype = 'leaf' order by path");
    world.sqlite(&sql).lines().map(|l| l.parse().expect("a number")).collect()
}

#[test]
fn d19_rows_around_damaged_pages_arrive() {
    let world = World::of(&format!(
        "create table t (id integer primary key autoincrement, x text unique); {ROWS} insert into t select i, printf('%0100d', i) from c;
         create table w (k text primary key, x) without rowid; {ROWS} insert into w select printf('%06d', i), zeroblob(60) from c;
         create table plain (x text); {ROWS} insert into plain select printf('%080d', i) from c; create view v as select count(*) as n from t;
         create index by_x on plain (x); create table whole (a int); insert into whole values (1), (2); insert into t (id, x) values (9000, 'last'); delete from t where id = 9000;"
    ));
    let (of_t, of_w, of_plain) = (leaves(&world, "t"), leaves(&world, "w"), leaves(&world, "plain"));
    let lost = |name: &str, page: usize| {
        world.sqlite(&format!("select ncell from dbstat where name = '{name}' and pageno = {page}"))
    };
    let (two, one) = (lost("t", of_t[10]), lost("plain", of_plain[0]));
    let expected_t =
        3000 - two.parse::<i64>().expect("cells") - lost("t", of_t[30]).parse::<i64>().expect("cells");
    let expected_plain = 3000 - one.parse::<i64>().expect("cells");
    for page in [of_t[10], of_t[30], of_w[5], of_plain[0]] {
        break_page(&world, page);
    }
    world.run(&[]).refused_in_a_line(5, "app.db is damaged");
    let ran = world.run(&["--salvage", "--report", "told"]);
    ran.refused_in_a_line(3, "objects (salvage ");
    let told = losses(&ran.records());
    let about = |table: &str| told.iter().filter(|l| l.starts_with(&format!("{table} ("))).count();
    assert_eq!((about("t"), about("w"), about("plain"), about("whole")), (2, 1, 1, 0), "{told:#?}");
    assert!(told.iter().any(|l| l.contains("after rowid") && l.contains("cannot be read")), "{told:#?}");
    assert!(told.iter().any(|l| l.contains("between the keys 00")), "{told:#?}");
    world.gives(&[
        ("select count(*) from t", &expected_t.to_string()),
        ("select count(*) from plain", &expected_plain.to_string()),
        ("select count(*) from t where x <> lpad(id::text, 100, '0')", "0"),
        ("select n from v", &expected_t.to_string()),
        ("select min(k) || ' ' || max(k) from w", "000001 003000"),
        ("insert into t (x) values ('new') returning id", "9001"),
        ("select count(*) from whole", "2"),
    ]);
}

#[test]
fn a_whole_file_loses_nothing_to_it_and_one_without_a_schema_is_refused() {
    let world = World::of(
        "create table t (a int, b text); insert into t values (1, 'x'), (2, cast(x'ff' as text)), (1, null); create index i on t (a); create trigger g after insert on t begin select 1; end;",
    );
    world.run(&["--salvage", "--accept-rejects", "--exclude", "g"]).ended(0);
    world.gives(&[("select count(*), count(b) from t", "3|2")]);
    world.run(&["--undo"]).ended(0);
    let mut file = bytes(&world.file());
    file[100..4096].fill(0);
    std::fs::write(world.file(), file).expect("damage it");
    world.run(&["--salvage"]).refused_in_a_line(5, "not even the schema");
    world.untouched();
}

#[test]
fn a_file_that_was_cut_off_gives_its_beginning() {
    let world = World::of(&format!(
        "create table t (id integer primary key, x text); {ROWS} insert into t select i, printf('%0100d', i) from c;"
    ));
    let whole = bytes(&world.file());
    std::fs::write(world.file(), &whole[..whole.len() / 2]).expect("cut");
    let ran = world.run(&["--salvage"]);
    ran.refused_in_a_line(3, "objects (salvage ");
    let told = losses(&ran.records());
    assert!(told.iter().any(|l| l.starts_with("t (") && l.contains("cannot be read")), "{told:#?}");
    let rows: u32 =
        world.psql("select count(*) from t where x = lpad(id::text, 100, '0')").parse().expect("a number");
    assert!((1000..2000).contains(&rows), "{rows}");
}
