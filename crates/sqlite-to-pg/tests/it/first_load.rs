//! The first load copies by a sample: what the sample did not show decides all the same, and nothing is there or listed twice.

use crate::world::{World, outcome_of};

const ROWS: &str = "with recursive c(i) as (select 1 union all select i + 1 from c where i < 250000)";

#[test]
fn values_that_no_sample_shows_decide_like_all_others() {
    let world = World::of(&format!(
        "create table p (code integer primary key, note text); {ROWS} insert into p select i, 'n' || i from c;
         create table late (id integer primary key, n integer, at datetime, x text, j json); {ROWS} insert into late select i, i, '2024-01-02 03:04:05', 'x', '{{}}' from c;
         create table clean (id integer primary key, n integer not null, d decimal(10,2)); {ROWS} insert into clean select i, -i, i / 4.0 from c;
         create table keys (k int_or_text primary key) without rowid; {ROWS} insert into keys select i from c;
         create table of_keys (id integer primary key, k int_or_text references keys); insert into of_keys values (1, 7), (2, 8);
         create table broken (id integer primary key, x text); {ROWS} insert into broken select i, 'x' from c;
         create table doubled (id integer primary key, n integer, twice integer generated always as (n * 2) stored); {ROWS} insert into doubled (id, n) select i, i from c;
         update late set n = 'seven' where id = 123456; update late set at = '2024-01-02 03:04:05Z', j = '{{\"a\":1,\"a\":2}}' where id = 123457;
         insert into keys values ('zz'); update broken set x = cast(x'c328' as text) where id = 200001;",
    ));
    let ran = world.run(&["--report", "told"]);
    ran.refused_in_a_line(3, "1 values");
    let records = ran.records();
    let of =
        |table: &str| records.iter().find(|r| r["kind"] == "table" && r["name"] == table).expect("a table");
    for (table, rows) in
        [("p", 250_000), ("late", 250_000), ("clean", 250_000), ("keys", 250_001), ("broken", 250_000)]
    {
        assert_eq!((of(table)["rows"].as_u64(), &of(table)["equal"]), (Some(rows), &true.into()), "{table}");
    }
    assert!(outcome_of(&records, "mismatched values", "late.n").1.contains("123456"));
    world.gives(&[
        ("select pg_typeof(n), pg_typeof(at), pg_typeof(j), n from late where id = 123456", "text|timestamp with time zone|json|seven"),
        ("select pg_typeof(n), pg_typeof(d), n from clean where id = 1", "bigint|numeric|-1"),
        ("select count(*), count(distinct id), sum(n) from clean", "250000|250000|-31250125000"),
        // Both ends of a foreign key have the type that the values of one of them ask for.
        ("select pg_typeof(o.k), pg_typeof(k.k), count(*) over () from of_keys o join keys k using (k) limit 1", "text|text|2"),
        ("select x from broken where id = 200001", "\u{fffd}("),
        ("select sum(twice) from doubled", "62500250000"),
        ("select count(*) from pg_namespace where nspname like 'toban_staging%'", "0"),
    ]);
    let kept = std::fs::read_to_string(world.path("told/rejects.jsonl")).expect("rejects");
    assert_eq!(kept.lines().count(), 1, "{kept}");
    assert_eq!(world.verify().status, Some(3));

    // The very plan that `plan` prints was carried out.
    assert_eq!(world.tool(&["plan", "app.db", "-o", "p.toml"]).status, Some(0));
    let read = |name: &str| std::fs::read_to_string(world.path(name)).expect(name);
    assert_eq!(read("p.toml"), read("told/plan.toml"));
}
