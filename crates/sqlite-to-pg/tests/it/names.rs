//! What later migrations of the application rely on: names of constraints and of views' columns, sequences, defaults.

use crate::world::World;

#[test]
fn constraints_keep_their_names() {
    let world = World::of(
        "create table users (id integer, name text not null, mail text collate nocase constraint uq_mail unique, long text, org int constraint fk_org references orgs (id) on delete set null,
           constraint pk_users primary key (id), constraint uq_name unique (name), constraint \"uq two\" unique (org, name), constraint ck_name check (length(name) > 0),
           constraint fk_self foreign key (id) references users (id));
         create table orgs (id integer constraint pk_orgs primary key, code text constraint uq_code unique constraint nn not null constraint ck_code check (code <> ''));
         create table nulls (k text constraint pk_nulls primary key); insert into nulls values (null), ('a');
         create table without (a int, b int, constraint \"pk without\" primary key (b, a)) without rowid;
         create table same1 (a int constraint twice unique); create table same2 (a int constraint twice unique);
         create table plain (id integer primary key, u text unique, f int references orgs (id));
         insert into orgs values (1, 'x'); insert into users values (1, 'ann', 'A@x', 'l', 1);",
    );
    world.run(&[]).ended(0);
    world.gives(&[
        (
            "select conrelid::regclass::text, contype, string_agg(conname, ',' order by conname) from pg_constraint \
             where connamespace = 'public'::regnamespace and contype in ('p', 'u', 'f', 'c') and conrelid::regclass::text not in ('same1', 'same2') group by 1, 2 order by 1, 2",
            "nulls|u|pk_nulls\norgs|c|ck_code\norgs|p|pk_orgs\norgs|u|uq_code\nplain|f|plain_f_fkey\nplain|p|plain_pkey\nplain|u|plain_u_key\n\
             users|c|ck_name\nusers|f|fk_org,fk_self\nusers|p|pk_users\nusers|u|uq two,uq_name\nwithout|p|pk without",
        ),
        ("select indexname from pg_indexes where tablename = 'users' and indexdef ~ 'lower'", "uq_mail"),
        ("select string_agg(conname, ',' order by conname) from pg_constraint where conrelid::regclass::text in ('same1', 'same2')", "twice,twice_2"),
        ("select confdeltype from pg_constraint where conname = 'fk_org'", "n"),
    ]);
    world.verified();
}

#[test]
fn columns_of_views_are_called_as_sqlite_calls_them() {
    let world = World::of(
        "create table emp (id integer primary key, name text, sal real, dept text); insert into emp values (1, 'Ann', 10.5, 'hr'), (2, 'Bob', 2, 'it');
         create view v1 as select dept, count(*), max( sal ), id+1 from emp group by dept, id;
         create view v2 as select e.id, f.id, e.name from emp e join emp f on e.id = f.id;
         create view v3 (a, b) as select upper(name), 1 from emp;
         create view v4 as select \"count(*)\" as n, dept from v1;
         create view v5 as select lower(name) from emp union select 'x';
         create view v6 as select *, length(name) from emp;",
    );
    world.run(&[]).ended(0);
    for view in ["v1", "v2", "v3", "v4", "v5", "v6"] {
        let expected = world.sqlite(&format!("select name from pragma_table_info('{view}') order by cid"));
        let found = world.psql(&format!(
            "select attname from pg_attribute where attrelid = '{view}'::regclass and attnum > 0 order by attnum"
        ));
        assert_eq!(found, expected, "{view}");
    }
    world.gives(&[
        ("select n, dept from v4 order by dept", "1|hr\n1|it"),
        ("select \"id:1\" from v2 order by 1", "1\n2"),
    ]);
}

#[test]
fn defaults_at_the_edge_of_integers() {
    let world = World::of(
        "create table t (id integer primary key, a int default -9223372036854775808, b int default 9223372036854775807, c int default 0x7fffffff, d int default (-(5)), e numeric default -9223372036854775809, f text default -9223372036854775808);",
    );
    world.run(&[]).ended(0);
    world.psql("insert into t (id) values (1)");
    world.sqlite("insert into t (id) values (1)");
    let expected = world.sqlite("select a, b, c, d, f from t");
    world.gives(&[("select a, b, c, d, f from t", &expected), ("select e from t", "-9223372036854775809")]);
}

/// A default may use a sequence that no column owns, that several tables share, or that is only named by a text.
#[test]
fn sequences_that_are_only_used_go_on_too() {
    let world = World::of(
        "create table a (id integer primary key autoincrement, x text); insert into a values (40, 'x'); delete from a; insert into a values (7, 'y');
         create table b (id integer primary key, x text); insert into b values (90, 'x');
         create table c (id integer primary key); insert into c values (5); create table d (id integer primary key); insert into d values (-3), (-8);
         create table e (id integer primary key, n text); insert into e values (1, 'E-12'); create table f (id integer primary key); insert into f values (3);",
    );
    world.psql(
        "create sequence shared; create sequence \"Late One\"; create sequence down increment -1; create sequence words; create sequence ahead;
         create table a (id bigint primary key default nextval('shared'), x text); create table b (id int primary key default nextval('public.shared'), x text);
         create table c (id bigint primary key default nextval('\"Late One\"'::text)); create table d (id int primary key default nextval('down'));
         create table e (id serial primary key, n text default 'E-' || nextval('words')); create table f (id int primary key default nextval('ahead')); select setval('ahead', 500);",
    );
    let ran = world.run(&["--existing", "refuse"]);
    assert!(matches!(ran.status, Some(0 | 3)), "{ran:?}");
    let (_, why) = crate::world::outcome_of(&ran.records(), "sequence", "public.words");
    assert!(why.contains("e.n") && why.contains("setval"), "{why}");
    world.gives(&[
        ("insert into a (x) values ('z') returning id", "91"),
        ("insert into b (x) values ('z') returning id", "92"),
        ("insert into c default values returning id", "6"),
        ("insert into d default values returning id", "-9"),
        ("insert into e (n) values ('z') returning id", "2"),
        ("insert into f default values returning id", "501"),
    ]);
}
