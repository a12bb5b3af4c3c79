//! `--undo` and rows that were written after the move.

use crate::world::World;

const SOURCE: &str = "create table users (id integer primary key, n text); insert into users values (1, 'a'), (2, 'b'), (3, 'c');
    create table logs (n int); insert into logs values (1), (1);";

/// What the application does meanwhile, and what is said of it.
const SINCE: [(&str, &str); 4] = [
    (
        "insert into users (n) values ('new'), ('newer')",
        "users\": 2 rows written since, 0 of the run's rows gone or replaced",
    ),
    (
        "update users set n = 'x' where id = 2",
        "users\": 1 rows written since, 1 of the run's rows gone or replaced",
    ),
    (
        "delete from logs where ctid = (select min(ctid) from logs)",
        "logs\": 0 rows written since, 1 of the run's rows gone or replaced",
    ),
    (
        "begin; savepoint s; insert into logs values (5); release savepoint s; commit; vacuum freeze logs",
        "logs\": 1 rows written since",
    ),
];

#[test]
fn rows_written_since_are_counted_and_stay_until_they_may_go() {
    let world = World::of(SOURCE);
    for (sql, words) in SINCE {
        world.run(&[]).ended(0);
        for one in sql.split("; vacuum") {
            let one = if one.starts_with(' ') { format!("vacuum{one}") } else { one.to_string() };
            world.pg.psql("postgres", &one);
        }
        let ran = world.run(&["--undo"]);
        ran.refused_in_a_line(2, words);
        world.gives(&[("select to_regclass('users') is not null", "t")]);
        let told = world.run(&["--undo", "--even-if-changed"]).ended(0);
        assert!(told[0]["step"].as_str().is_some_and(|s| s.contains(words)), "{told:?}");
        world.untouched();
    }
    // Nothing was written: VACUUM and ANALYZE, which the server does by itself, and reading are nothing.
    world.run(&[]).ended(0);
    for sql in [
        "vacuum freeze users",
        "analyze",
        "select count(*) from users",
        "begin; update users set n = 'x'; rollback",
    ] {
        world.pg.psql("postgres", sql);
    }
    world.run(&["--undo"]).ended(0);
    world.untouched();
}

#[test]
fn what_was_added_to_the_applications_tables_stays() {
    let world = World::of(SOURCE);
    world.psql("create table users (id bigint primary key, n text); create table logs (n int); insert into users values (9, 'seeded')");
    world.run(&["--existing", "truncate"]).ended(0);
    world.psql("insert into users values (10, 'written since')");
    world.run(&["--undo"]).refused_in_a_line(2, "1 rows written since");
    world.gives(&[("select count(*) from users", "4")]);
    world.run(&["--undo", "--even-if-changed"]).ended(0);
    world.gives(&[("select id, n from users", "9|seeded")]);
}

/// A run of an older program wrote nothing down: what is not known is not OK.
#[test]
fn a_run_without_marks_is_not_taken_back_unasked() {
    let world = World::of(SOURCE);
    world.run(&[]).ended(0);
    world.psql("drop table toban_undo.mark");
    world.run(&["--undo"]).refused_in_a_line(2, "is not known");
    world.run(&["--undo", "--even-if-changed"]).ended(0);
    world.untouched();
}
