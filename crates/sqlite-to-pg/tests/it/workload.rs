//! Random statements of an application, on a schema with every way in which SQLite replaces, renames and cascades.

use testkit::Dice;

/// Keys of each kind, uniques of each kind, foreign keys three deep, triggers of the application, names in quotes.
pub(crate) const SCHEMA: &str = "
create table a (id integer primary key, u text unique, n text collate nocase unique, p int, q int, e text,
  g text generated always as (u || '-' || coalesce(n, '')) virtual unique, x);
create unique index a_part on a (p) where q > 2;
create unique index a_expr on a (lower(e));
create table \"b b\" (\"the key\" text primary key not null, v unique, w int default 7);
create table c (k1 text collate nocase, k2 int, v, primary key (k2, k1)) without rowid;
create table d (x, y);
create table auto (id integer primary key autoincrement, u int unique);
create table top (id integer primary key, name text);
create table middle (id integer primary key, top int references top on delete cascade on update cascade, v);
create table bottom (id integer primary key, middle int references middle on delete set null, v);
create table seen (id integer primary key, what text);
create trigger a_seen after update on a when new.x > 5 begin insert into seen (what) values ('a ' || new.id); end;
create trigger b_seen after delete on \"b b\" begin insert or replace into seen (id, what) values (old.w % 5, old.v); end;
create trigger never before insert on c when new.v = 9 begin select raise(ignore); end;
create view w as select id, u from a;
create trigger w_insert instead of insert on w begin insert or ignore into a (id, u) values (new.id, new.u); end;
";

/// The tables with a key that a log can name.
pub(crate) const KEYED: [&str; 8] = ["a", "\"b b\"", "c", "auto", "top", "middle", "bottom", "seen"];

/// One statement; it may fail, as an application's do.
pub(crate) fn statement(dice: &mut Dice) -> String {
    let or = ["", "", " or replace", " or replace", " or ignore", " or abort", " or fail", " or rollback"];
    let or = or[dice.index(or.len())];
    let mut n = |end: u64| i64::try_from(dice.below(end)).expect("small");
    let words = ["'a'", "'A'", "'b'", "'B'", "'c'", "null", "'é'"];
    let kind = n(22);
    let word = words[usize::try_from(n(7)).expect("small")];
    let other = words[usize::try_from(n(7)).expect("small")];
    match kind {
        0..=2 => format!(
            "insert{or} into a (id, u, n, p, q, e, x) values ({}, {word}, {other}, {}, {}, {word}, {})",
            n(8),
            n(4),
            n(5),
            n(9)
        ),
        3 => format!("insert{or} into a (u, n, e) values ({word}, {other}, {other})"),
        4 => format!("update{or} a set u = {word}, e = {other} where id = {}", n(8)),
        5 => format!("update{or} a set id = {}, n = {word} where id = {}", n(8), n(8)),
        6 => format!("update{or} a set x = {}, p = {}, q = q + 1 where id < {}", n(9), n(4), n(8)),
        7 => format!(
            "insert into a (id, u) values ({}, {word}) on conflict (id) do update set u = excluded.u, x = x + 1 where a.x < 7",
            n(8)
        ),
        8 => format!("insert{or} into \"b b\" values ({}, {}, {})", n(5), n(4), n(9)),
        9 => format!("update{or} \"b b\" set \"the key\" = {}, v = {} where w = {}", n(5), n(4), n(9)),
        10 => format!("insert{or} into c values ({word}, {}, {})", n(3), n(10)),
        11 => format!("update{or} c set k1 = {word}, v = v + 1 where k2 = {}", n(3)),
        12 => format!("delete from a where id = {} returning id, u", n(8)),
        13 => ["delete from \"b b\"", "delete from c", "delete from d", "delete from top"]
            [usize::try_from(n(4)).expect("small")]
        .into(),
        14 => format!("insert{or} into d values ({}, {word})", n(4)),
        15 => format!(
            "insert{or} into auto (id, u) values ({}, {})",
            ["null", "null", "3"][usize::try_from(n(3)).expect("small")],
            n(6)
        ),
        16 => format!("insert{or} into top values ({}, {word})", n(4)),
        17 => format!("insert{or} into middle values ({}, {}, {})", n(6), n(4), n(9)),
        18 => format!("insert{or} into bottom values ({}, {}, {})", n(6), n(6), n(9)),
        19 => format!("update{or} top set id = {} where id = {}", n(4), n(4)),
        20 => format!("insert into w values ({}, {word})", n(8)),
        _ => ["begin", "commit", "rollback", "savepoint s", "rollback to s", "release s"]
            [usize::try_from(n(6)).expect("small")]
        .into(),
    }
}
