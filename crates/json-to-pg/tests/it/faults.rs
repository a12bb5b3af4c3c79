//! Faults planted into the database, each of which `verify` must find and name; and clean runs without an alarm.

use crate::world::{World, records};
use testkit::{Dice, rounds, seed};

const ROWS: u64 = 60;

/// A statement that plants a fault into the row of `id`, and the path that must be named; empty for a whole record.
fn fault(dice: &mut Dice, id: u64) -> (String, &'static str) {
    let other = id % ROWS + 1;
    let cases: [(String, &str); 12] = [
        (format!("delete from f_steps where f_id = {id}; delete from f where id = {id}"), ""),
        (format!("update f set n = n + 1 where id = {id}"), "n"),
        (format!("update f set name = name || ' ' where id = {id}"), "name"),
        (format!("update f set name = '' where id = {id}"), "name"),
        (format!("update f set note = case when note is null then '' end where id = {id}"), "note"),
        (format!("update f set at = at + interval '9 hours' where id = {id}"), "at"),
        (
            format!(
                "update f set tags = array(select t from unnest(tags) with ordinality u (t, o) order by o desc) where id = {id}"
            ),
            "tags",
        ),
        (format!("update f set o = jsonb_set(o, '{{a,0}}', '99') where id = {id}"), "o"),
        (
            format!(
                "update f_steps set ord = -ord where f_id = {id}; update f_steps set ord = 3 + ord where f_id = {id}"
            ),
            "steps",
        ),
        (format!("delete from f_steps where f_id = {id} and ord = 2"), "steps"),
        (
            format!(
                "update f a set n = b.n, name = b.name from f b where (a.id, b.id) in (({id}, {other}), ({other}, {id}))"
            ),
            "n",
        ),
        (format!("update f set long = left(long, 255) where id = {id}"), "long"),
    ];
    cases.into_iter().nth(dice.index(12)).expect("a case")
}

#[test]
fn every_planted_fault_is_found_and_named() {
    let long = "x".repeat(300);
    let text: Vec<String> = (1..=ROWS)
        .map(|n| {
            format!(
                r#"{{"id":{n},"n":{},"name":"名 {n}","note":{},"at":"2026-01-07T11:49:50.{n:03}","tags":["a","{n}"],"o":{{"a":[{n},2]}},"steps":[{{"t":"p{n}"}},{{"t":"q"}}],"long":"{long}"}}"#,
                n * 10,
                if n % 2 == 0 { "null" } else { "\"\"" }
            )
        })
        .collect();
    let world = World::of(&[("f.json", &format!("[{}]", text.join(",")))]);
    world.plan(&["--explode", "f.json:steps", "--zone", "Asia/Tokyo"]);
    world.ran();
    world
        .psql("create schema kept; create table kept.f as table f; create table kept.steps as table f_steps");
    let mut dice = Dice::new(seed());
    for _ in 0..rounds(25) {
        // As it was loaded, by the same hand as the run as far as anybody can tell: no alarm.
        let id = dice.below(ROWS) + 1;
        let row = id.to_string();
        let (sql, path) = fault(&mut dice, id);
        world.psql(&sql);
        let ran = world.tool(&["verify", "--json"]);
        assert!(matches!(ran.status, Some(3 | 4)), "{sql}: {ran:?}");
        let named = records(&ran).into_iter().any(|r| r["row"] == row.as_str() && r["path"] == path);
        assert!(named, "{sql}: {ran:?}");
        let rows = "delete from f_steps; delete from f; insert into f select * from kept.f; insert into f_steps select * from kept.steps";
        world.psql(rows);
        world.verified();
    }
}
