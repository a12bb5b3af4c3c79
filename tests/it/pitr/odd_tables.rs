//! Tables in which something of the application would change what a rescue puts back, or hide what it looks for.

use super::rescue::{now, records, rescue, shop_lab};

/// An identity that is no key, partitions with triggers of their own and one that is off, a rule, tables that refer to
/// others, keys of a type of an extension's, a function that only the table's own schema has.
const APPLICATION: &str = r"
create schema odd;
create function odd.is_old(n int) returns bool language sql immutable as 'select n < 1000';
create table odd.codes (code text primary key, n int generated always as identity, v text);
insert into odd.codes (code, v) select 'c' || n, 'v' || n from generate_series(1, 100) n;
create table odd.log (t text);
create function odd.note() returns trigger language plpgsql as
  'begin insert into odd.log values (tg_table_name); return new; end';
create table odd.events (id int, day int not null, t text, primary key (id, day)) partition by range (day);
create table odd.events_1 partition of odd.events for values from (0) to (50);
create table odd.events_2 partition of odd.events for values from (50) to (100);
create trigger on_part after insert or update on odd.events_1 for each row execute function odd.note();
create trigger on_all after insert or update on odd.events for each row execute function odd.note();
alter table odd.events_2 disable trigger on_all;
insert into odd.events select n, n % 100, 'x' || n from generate_series(1, 1000) n;
create table odd.ruled (id int primary key, v int);
insert into odd.ruled select n, n from generate_series(1, 100) n;
create rule no_update as on update to odd.ruled do instead nothing;
create table odd.users (id int primary key);
create table odd.orders (id int primary key, buyer int references odd.users);
insert into odd.users values (1), (2);
insert into odd.orders values (1, 1), (2, 2);
truncate odd.log;
";
const MISTAKES: &str = "update odd.codes set v = 'bad' where n < 20; delete from odd.codes where n = 99; \
    delete from odd.events where id <= 300; update odd.events set t = 'wrong' where id > 900; \
    delete from odd.ruled where id > 90; alter table odd.ruled disable rule no_update; \
    update odd.ruled set v = -1 where id < 50; alter table odd.ruled enable rule no_update; \
    truncate odd.users cascade; truncate odd.log";
const TABLES: [&str; 5] = ["odd.codes", "odd.events", "odd.orders", "odd.ruled", "odd.users"];

#[test]
fn nothing_of_the_application_changes_what_is_put_back() {
    let lab = shop_lab(15);
    lab.pg.psql("shop", APPLICATION);
    lab.back_up();
    let at = now(&lab.pg);
    let content = |table: &str| {
        lab.pg.psql("shop", &format!("select string_agg(t::text, ' ' order by t::text) from {table} t"))
    };
    let switches = || {
        let triggers = "select string_agg(concat(tgrelid::regclass, tgname, tgenabled), ' ' order by 1) from \
                        (select * from pg_trigger where tgname like 'on_%' order by tgrelid, tgname) t";
        let others = "select (select ev_enabled from pg_rewrite where rulename = 'no_update'), \
                      (select attidentity from pg_attribute where attrelid = 'odd.codes'::regclass and attname = 'n')";
        lab.pg.psql("shop", triggers) + &lab.pg.psql("shop", others)
    };
    let (before, on) = (TABLES.map(content), switches());
    lab.pg.psql("shop", MISTAKES);
    lab.pg.ship_wal();

    let found = rescue(&lab, &["--find", "DELETED FROM odd.events", "--target-time", &at]);
    let found = records(found, "pg-backup.rescue-find");
    assert_eq!(found.len(), 1, "of partitions too: {found:?}");
    assert_eq!((found[0]["deleted"].as_u64(), found[0]["updated"].as_u64()), (Some(300), Some(0)));

    let some =
        ["--table", "odd.ruled", "--where", "is_old(id)", "--into-schema", "some", "--target-time", &at];
    let record = records(rescue(&lab, &some), "pg-backup.rescue").remove(0);
    assert_eq!((record["live_rows"].as_u64(), record["gone"].as_u64()), (Some(90), Some(10)), "{record}");

    let named: Vec<&str> = TABLES.iter().flat_map(|table| ["--table", table]).collect();
    let args = [&named[..], &["--replace", "--target-time", &at]].concat();
    let told = records(rescue(&lab, &args), "pg-backup.rescue");
    let put_back: u64 = told.iter().filter_map(|record| record["put_back"].as_u64()).sum();
    assert_eq!(put_back, 20 + 400 + 59 + 2 + 2, "{told:?}");
    assert_eq!(TABLES.map(content), before);
    assert_eq!(switches(), on, "triggers, rules and identities are as they were");
    assert_eq!(lab.pg.psql("shop", "select count(*) from odd.log"), "0", "no trigger fired");
    rescue(&lab, &args).refused(1, "is there already");

    // A partitioned table that is gone: with its partitions, their rows and the states of their triggers.
    lab.pg.psql("shop", "drop table odd.events");
    lab.pg.ship_wal();
    let gone = ["--table", "odd.events", "--into-schema", "other", "--replace", "--target-time", &at];
    let record = records(rescue(&lab, &gone), "pg-backup.rescue").remove(0);
    assert_eq!(record["rows"].as_u64(), Some(1000), "{record}");
    assert_eq!(TABLES.map(content), before);
    assert_eq!(switches().replace(' ', ""), on.replace(' ', ""));

    // What was not there at that moment is looked for a step later.
    let absent = lab.run("pg-backup", &["rescue", "--database", "nowhere", "--target-time", &at]);
    let said = absent.refused(1, "there was no database nowhere");
    assert!(said.contains("--step"), "{said}");
    rescue(&lab, &["--find", "odd.codes", "--step", "-1d"]).refused(1, "before the end of the oldest backup");
}
