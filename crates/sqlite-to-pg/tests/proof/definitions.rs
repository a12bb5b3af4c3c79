//! Changes of definitions after a copy of ours, one at a time and by chance: each must be found. The judge of what is
//! there is PostgreSQL, which says itself whether it took the change.

use crate::world::{World, ran};
use testkit::{Dice, rounds, seed};

const SOURCE: &str = "create table parent (id integer primary key autoincrement, code text not null unique, n int default 7, at datetime default current_timestamp, price decimal(10,2) check (price >= 0));
    create table child (id integer primary key, parent_id int not null references parent on delete cascade on update cascade, a int, b text default 'x', c real, double_a int generated always as (a * 2) stored, flag boolean default 1, constraint small check (a < 1000));
    create table pair (a int, b text, note text, primary key (a, b)) without rowid;
    create table lone (x text collate nocase unique, y int references parent (id));
    create unique index one_b on child (b, a) where flag = 1; create unique index one_c on child (c); create index by_a on child (a desc); create index by_low on child (lower(b));
    create view seen as select p.id, p.code, c.a from parent p join child c on c.parent_id = p.id where c.a > 1; create view counted as select count(*) as n from seen;
    insert into parent (code, price) values ('a', 1.5), ('b', 2); insert into child (parent_id, a, b, c) values (1, 5, 'p', 0.5), (2, 6, 'q', 1.5); insert into pair values (1, 'x', 'n'); insert into lone values ('L', 1);";

/// The statements that change one definition; `$N` is a number of chance.
const CHANGES: [&str; 50] = [
    "drop index one_c; create index one_c on child (c)",
    "drop index one_b; create unique index one_b on child (b, a)",
    "drop index one_b; create unique index one_b on child (b, a) where not flag",
    "drop index one_b; create unique index one_b on child (a, b) where flag",
    "drop index by_a; create index by_a on child (c)",
    "drop index by_a; create index by_a on child (a)",
    "drop index by_low; create index by_low on child (upper(b))",
    "drop index by_low",
    "alter index one_c rename to other_$N",
    "alter table child drop constraint child_parent_id_fkey; alter table child add constraint child_parent_id_fkey foreign key (parent_id) references parent on update cascade",
    "alter table child drop constraint child_parent_id_fkey; alter table child add constraint child_parent_id_fkey foreign key (parent_id) references parent on delete cascade",
    "alter table child drop constraint child_parent_id_fkey; alter table child add constraint child_parent_id_fkey foreign key (parent_id) references parent on delete cascade on update cascade deferrable",
    "alter table child drop constraint child_parent_id_fkey; alter table child add constraint child_parent_id_fkey foreign key (parent_id) references parent on delete cascade on update cascade not valid",
    "alter table child drop constraint child_parent_id_fkey",
    "alter table lone drop constraint lone_y_fkey; alter table lone add constraint lone_y_fkey foreign key (y) references parent on delete set null",
    "alter table parent alter n set default $N",
    "alter table parent alter n drop default",
    "alter table parent alter code set default 'new $N'",
    "alter table child alter b set default 'y$N'",
    "alter table parent alter at set default '2000-01-01'",
    "alter table child drop constraint small; alter table child add constraint small check (a < 2000$N)",
    "alter table child drop constraint small",
    "alter table child drop constraint small; alter table child add constraint small check (a < 1000) not valid",
    "alter table child add constraint more_$N check (a > -$N - 1)",
    "alter table child alter parent_id drop not null",
    "alter table child alter a set not null",
    "alter table parent alter code drop not null",
    "alter table parent drop constraint parent_code_key",
    "alter table parent drop constraint parent_code_key; create unique index parent_code_key on parent (code)",
    "alter table parent drop constraint parent_code_key; create index parent_code_key on parent (code)",
    "alter table pair drop constraint pair_pkey; alter table pair add constraint pair_pkey primary key (b, a)",
    "alter table pair drop constraint pair_pkey; alter table pair add constraint pair_pkey unique (a, b)",
    "create or replace view seen as select p.id, p.code, c.a from parent p join child c on c.parent_id = p.id where c.a > $N",
    "create or replace view counted as select count(*) + 0 as n from seen",
    "drop view counted",
    "alter view seen set (security_barrier = true)",
    "alter table parent disable trigger all",
    "alter table child disable trigger all",
    "alter table child enable row level security",
    "alter table lone enable row level security; alter table lone force row level security",
    "create function no_$N() returns trigger language plpgsql as 'begin return null; end'; create trigger t_$N before insert on child for each row execute function no_$N()",
    "create rule r_$N as on insert to lone do instead nothing",
    "alter table pair alter a type integer",
    "alter table pair alter note type varchar(40)",
    "alter table parent alter id drop identity",
    "alter table parent alter id set generated always",
    "alter table parent alter id set increment by 1$N",
    "alter table child alter double_a drop expression",
    "alter table pair set unlogged",
    "alter table pair alter note type text collate \"C\"",
];

/// Everything that a change may touch is put back by making the copy anew.
fn copied(world: &World) {
    let mut run = std::process::Command::new(env!("CARGO_BIN_EXE_sqlite-to-pg"));
    run.args(["run", &world.file().display().to_string(), &world.pg.url_of("copy"), "--json"]);
    let done = ran(run);
    assert_eq!(done.status, Some(0), "{done:?}");
}

fn changed(change: &str, dice: &mut Dice) -> String {
    change.replace("$N", &dice.below(900).to_string())
}

#[test]
fn every_changed_definition_is_found() {
    let mut dice = Dice::new(seed());
    let world = World::new();
    world.sqlite(SOURCE);
    world.pg.psql("postgres", "create database copy");
    copied(&world);
    let whole = world.verify_as(&world.pg.url_of("copy"), &[]);
    assert_eq!(whole.status, Some(0), "{whole:?}");
    // Each once, then by chance, in a database of its own that is made from the copy.
    let many = rounds(CHANGES.len());
    for round in 0..many {
        let first = if round < CHANGES.len() { round } else { dice.index(CHANGES.len()) };
        let sql = changed(CHANGES[first], &mut dice);
        world.pg.psql("postgres", "drop database if exists round; create database round template copy");
        world.pg.psql("round", &sql);
        let ran = world.verify_as(&world.pg.url_of("round"), &[]);
        assert_eq!(ran.status, Some(4), "round {round}: {sql}: {ran:?}");
        let told = ran.records().iter().any(|r| r["schema"] == "sqlite-to-pg.difference/1");
        assert!(told, "round {round}: {sql}: {ran:?}");
    }
}

/// Without the definitions that the run kept, and without its plan, the source must do.
#[test]
fn the_worst_of_them_are_found_in_any_copy() {
    let world = World::new();
    world.sqlite(SOURCE);
    world.pg.psql("postgres", "create database copy");
    copied(&world);
    world.pg.psql("copy", "drop schema toban_undo cascade");
    let whole = world.verify_as(&world.pg.url_of("copy"), &[]);
    assert_eq!(whole.status, Some(0), "{whole:?}");
    for at in [0, 1, 4, 7, 9, 10, 13, 14, 15, 16, 18, 21, 24, 26, 27, 29, 31, 34, 36, 37, 38, 41, 44, 48] {
        let sql = CHANGES[at].replace("$N", "5");
        world.pg.psql("postgres", "drop database if exists round; create database round template copy");
        world.pg.psql("round", &sql);
        let ran = world.verify_as(&world.pg.url_of("round"), &[]);
        assert_eq!(ran.status, Some(4), "{sql}: {ran:?}");
    }
}

/// What a database's administrator does every day is no difference.
#[test]
fn what_takes_nothing_away_is_no_difference() {
    let world = World::new();
    world.sqlite(SOURCE);
    world.pg.psql("postgres", "create database copy");
    copied(&world);
    world.pg.psql(
        "copy",
        "create role reader; grant select on all tables in schema public to reader; create index more on child (c, a); comment on table child is 'words'; \
         analyze; alter table child set (fillfactor = 80); create table another (x int); create view over as select * from child; alter role reader rename to rider",
    );
    let whole = world.verify_as(&world.pg.url_of("copy"), &[]);
    assert_eq!(whole.status, Some(0), "{whole:?}");
}
