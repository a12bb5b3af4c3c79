//! The hour after a mistake: rows, tables and databases come back exactly, and nothing else of the live server changes.

use super::lab::Lab;
use postgres::{Client, NoTls};
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use testkit::{Dice, Pg, Ran, rounds, seed};

/// An application's schema, with what a rescue may stumble over: types of its own, a quoted name, partitions, a generated
/// column, a trigger that changes what is written, a foreign key.
const APPLICATION: &str = r#"
create schema app;
create type app.severity as enum ('low', 'high');
create table app.customers (id int primary key, name text not null);
insert into app.customers select n, 'customer ' || n from generate_series(1, 50) n;
create table app.incidents (
  id bigint generated always as identity primary key, customer int not null references app.customers,
  "Severity" app.severity not null, paid numeric(10,2), at timestamptz not null, tags text[], raw jsonb, photo bytea,
  twice numeric generated always as (paid * 2) stored, touched int not null default 0);
create index on app.incidents (customer);
create function app.touch() returns trigger language plpgsql as 'begin new.touched := new.touched + 1; return new; end';
create trigger touch before insert or update on app.incidents for each row execute function app.touch();
insert into app.incidents (customer, "Severity", paid, at, tags, raw, photo)
  select 1 + n % 50, (array['low', 'high'])[1 + n % 2]::app.severity, n / 7.0, '2026-01-01'::timestamptz + n * '1 min'::interval,
    array['a' || n, null, 'b\c'], jsonb_build_object('n', n, 't', E'tab\there'), decode(md5(n::text), 'hex')
  from generate_series(1, 3000) n;
create table app."Parts of it" (n int, t text, primary key (n)) partition by range (n);
create table app.parts_1 partition of app."Parts of it" for values from (0) to (500);
create table app.parts_2 partition of app."Parts of it" for values from (500) to (100000);
insert into app."Parts of it" select n, repeat(md5(n::text), 5) from generate_series(0, 999) n;
create table app.keyless as select n, 'x' || n t from generate_series(1, 100) n;
"#;
const TABLES: [&str; 4] = ["app.customers", "app.incidents", "app.\"Parts of it\"", "app.keyless"];

/// The server, and the application in the database `shop` beside others.
pub(super) fn shop_lab(major: u32) -> Lab {
    let lab = Lab::new(major);
    lab.pg.psql("postgres", "create database shop; create database busy");
    lab.pg.psql("shop", APPLICATION);
    lab.pg.psql("busy", "create table noise (n bigint primary key, t text); create index on noise (t)");
    lab
}

/// Writes into another database until it ends, also pages that a checkpoint has just written.
struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Load {
    fn start(pg: &Pg) -> Load {
        let mut client = Client::connect(&pg.conninfo("busy"), NoTls).expect("connect");
        let stop = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let sql = "insert into noise select extract(epoch from clock_timestamp()) * 1e6 + n, md5(n::text) from \
                       generate_series(1, 50) n on conflict do nothing; update noise set t = t || 'x' where n % 97 = 0; \
                       delete from noise where n % 31 = 0; create table if not exists passing as select * from noise limit 5; \
                       drop table passing; vacuum noise";
            while !ended.load(Ordering::SeqCst) {
                // One by one: VACUUM is no part of a transaction.
                sql.split("; ").for_each(|sql| client.batch_execute(sql).expect("write"));
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        Load { stop, thread }
    }

    fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("the load ends");
    }
}

/// What a table holds, in an order of its own, as text.
fn content(pg: &Pg, table: &str) -> String {
    pg.psql(
        "shop",
        &format!("select count(*), md5(string_agg(t::text, E'\\n' order by t::text)) from {table} t"),
    )
}

/// The server's clock, with all before it committed and all after it later.
pub(super) fn now(pg: &Pg) -> String {
    std::thread::sleep(Duration::from_millis(5));
    let sql = "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    let now = pg.psql("postgres", sql);
    std::thread::sleep(Duration::from_millis(5));
    now
}

pub(super) fn rescue(lab: &Lab, args: &[&str]) -> Ran {
    // Of the server's own major, wherever its programs lie.
    let bin = lab.pg.bin("postgres");
    let bin = bin.parent().expect("a folder").display().to_string();
    lab.run("pg-backup", &[&["rescue", "--json", "--database", "shop", "--bin-dir", &bin][..], args].concat())
}

/// The records of a rescue that may warn, of one schema.
#[track_caller]
pub(super) fn records(ran: Ran, schema: &str) -> Vec<Value> {
    assert_eq!(ran.status, Some(0), "{ran:?}");
    let schema = format!("{schema}/1");
    ran.records().into_iter().filter(|r| r["schema"] == schema).collect()
}

/// Everything of the database but the schema that rescues write into.
fn dump(pg: &Pg, database: &str, more: &[&str]) -> String {
    let done = Command::new(pg.bin("pg_dump")).args(more).arg("-d").arg(pg.conninfo(database)).output();
    let done = done.expect("run pg_dump");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    text.lines().filter(|l| !l.contains("restrict ")).flat_map(|l| [l, "\n"]).collect()
}

fn cleared(lab: &Lab) {
    assert!(!lab.path("state/rescue/main/scratch").exists(), "the scratch folder is left");
}

#[test]
fn random_mistakes_come_back() {
    let mut dice = Dice::new(seed());
    let rounds = rounds(10);
    let majors = testkit::majors();
    // A server for every few rounds: the first backup before it, the WAL of all mistakes since after it.
    for life in 0..rounds.div_ceil(5) {
        let lab = shop_lab(majors[(life + dice.index(majors.len())) % majors.len()]);
        lab.back_up();
        for round in 0..(rounds - life * 5).min(5) {
            let load = Load::start(&lab.pg);
            mistake(&lab, &mut dice, life * 5 + round);
            load.end();
        }
    }
}

fn mistake(lab: &Lab, dice: &mut Dice, round: usize) {
    let pg = &lab.pg;
    pg.psql("shop", "update app.incidents set paid = paid + 1 where id % 3 = 0; insert into app.keyless values (0, 'new')");
    std::thread::sleep(Duration::from_millis(dice.below(1000)));
    if dice.below(3) == 0 {
        lab.back_up();
    }
    let before: Vec<String> = TABLES.iter().map(|table| content(pg, table)).collect();
    let at = now(pg);
    let which = dice.index(TABLES.len());
    let table = TABLES[which];
    let sql = match dice.below(6) {
        0 => format!("delete from {table} where ctid is not null"),
        1 if table == "app.keyless" => "update app.keyless set t = 'wrong'".into(),
        1 => "update app.incidents set paid = 0, raw = null, tags = '{}'".into(),
        2 => format!("truncate {table} cascade"),
        3 => format!("drop table {table} cascade"),
        4 => "drop schema app cascade".into(),
        _ => "drop database shop".into(),
    };
    let (whole, schema) = (sql.starts_with("drop database"), sql.starts_with("drop schema"));
    eprintln!("round {round}, PostgreSQL {}: {sql} at {at}", pg.major());
    // Rows that others refer to go with those that refer to them.
    let sql = if sql.starts_with("delete from app.customers") {
        format!("delete from app.incidents; {sql}")
    } else {
        sql
    };
    pg.psql(if whole { "postgres" } else { "shop" }, &sql);
    pg.ship_wal();
    let live = (!whole).then(|| dump(pg, "shop", &[]));
    let begun = Instant::now();
    let (database, place) = match whole {
        true => {
            let ran = rescue(lab, &["--target-time", &at]);
            assert_eq!(ran.status, Some(0), "{ran:?}");
            ("shop_rescued", "app")
        }
        false => {
            let names: Vec<&str> = TABLES.iter().flat_map(|t| ["--table", t]).collect();
            let args = if schema || dice.below(2) == 0 { vec!["--schema", "app"] } else { names };
            let ran = rescue(lab, &[&args[..], &["--target-time", &at]].concat());
            let records = records(ran, "pg-backup.rescue");
            assert_eq!(records.len(), TABLES.len(), "{records:?}");
            ("shop", "rescued")
        }
    };
    eprintln!("  rescued in {:.1} s", begun.elapsed().as_secs_f64());
    cleared(lab);
    for (table, before) in TABLES.iter().zip(&before) {
        let table = table.replace("app.", &format!("{place}."));
        let sql =
            format!("select count(*), md5(string_agg(t::text, E'\\n' order by t::text)) from {table} t");
        assert_eq!(pg.psql(database, &sql), *before, "{table}");
    }
    if let Some(live) = live {
        pg.psql("shop", "drop schema rescued cascade");
        assert_eq!(dump(pg, "shop", &[]), live, "the live database was touched");
        pg.psql("postgres", "drop database shop");
    } else {
        pg.psql("postgres", "drop database shop_rescued");
    }
    pg.psql("postgres", "create database shop");
    pg.psql("shop", APPLICATION);
}

/// `--replace`: what is gone or changed is again as it was, what was added stays, and the state before is kept.
#[test]
fn what_is_put_back_is_exactly_what_was_lost() {
    let lab = shop_lab(15);
    lab.back_up();
    let at = now(&lab.pg);
    let before = lab.pg.psql("shop", "select * from app.incidents order by id");
    lab.pg.psql(
        "shop",
        "delete from app.incidents where id % 3 = 0; update app.incidents set paid = 0 where id % 3 = 1; \
         insert into app.incidents (customer, \"Severity\", at) values (1, 'low', now())",
    );
    let after = content(&lab.pg, "app.incidents");
    lab.pg.ship_wal();
    // Beside first: it is counted, and nothing is changed.
    let ran = rescue(&lab, &["--table", "app.incidents", "--where", "customer <= 25", "--target-time", &at]);
    let record = records(ran, "pg-backup.rescue").remove(0);
    let count = |name: &str| record[name].as_u64();
    assert_eq!(
        (count("rows"), count("gone"), count("changed")),
        (Some(1500), Some(500), Some(500)),
        "{record}"
    );
    assert_eq!(
        (count("added"), count("put_back"), count("live_rows")),
        (Some(1), Some(0), Some(1001)),
        "{record}"
    );
    assert_eq!(content(&lab.pg, "app.incidents"), after);
    let again = rescue(&lab, &["--table", "app.incidents", "--target-time", &at]);
    again.refused(1, "is there already");

    let args = ["--table", "app.incidents", "--into-schema", "saved", "--replace", "--target-time", &at];
    let record = records(rescue(&lab, &args), "pg-backup.rescue").remove(0);
    assert_eq!((record["put_back"].as_u64(), record["added"].as_u64()), (Some(2000), Some(1)), "{record}");
    assert_eq!(lab.pg.psql("shop", "select * from app.incidents where id <= 3000 order by id"), before);
    assert_eq!(lab.pg.psql("shop", "select count(*) from app.incidents"), "3001");
    assert_eq!(content(&lab.pg, "saved.incidents_before_rescue"), after);
    let enabled = "select tgenabled from pg_trigger where tgname = 'touch'";
    assert_eq!(lab.pg.psql("shop", enabled), "O", "the trigger is on again");

    // Without a key nobody knows which row is which.
    lab.pg.psql("shop", "delete from app.keyless where n > 50");
    lab.pg.ship_wal();
    let refused = rescue(&lab, &["--table", "app.keyless", "--replace", "--target-time", &at]);
    refused.refused(1, "has no primary key and is not empty");
    assert_eq!(lab.pg.psql("shop", "select to_regclass('rescued.keyless')"), "", "nothing is left of it");
}

/// What was dropped comes back whole: indexes, constraints, types, sequences, and a database with its owner.
#[test]
fn what_was_dropped_is_whole_again() {
    let lab = shop_lab(15);
    lab.pg.psql("postgres", "create role shopkeeper; alter database shop owner to shopkeeper");
    lab.back_up();
    let at = now(&lab.pg);
    let before = dump(&lab.pg, "shop", &[]);
    for sql in ["drop table app.incidents", "drop schema app cascade", "drop database shop"] {
        lab.pg.psql(if sql.ends_with("shop") { "postgres" } else { "shop" }, sql);
        lab.pg.ship_wal();
        let what: &[&str] = match sql {
            "drop table app.incidents" => &["--table", "app.incidents"],
            "drop schema app cascade" => &["--schema", "app"],
            _ => &[],
        };
        let ran = rescue(&lab, &[what, &["--replace", "--target-time", &at]].concat());
        assert_eq!(ran.status, Some(0), "{sql}: {ran:?}");
        cleared(&lab);
        let now = dump(&lab.pg, "shop", &[]);
        // A table by itself has what belongs to it; the trigger's function was never gone.
        assert_eq!(now, before, "{sql}");
    }
    let owner = "select rolname from pg_database d join pg_roles r on r.oid = datdba where datname = 'shop'";
    assert_eq!(lab.pg.psql("postgres", owner), "shopkeeper");
}

/// The way to the moment: which transaction it was, psql there, a step back and forward; a dry run; what is refused.
#[test]
fn the_moment_is_found() {
    let lab = shop_lab(15);
    lab.back_up();
    let early = now(&lab.pg);
    let delete = "begin; delete from app.incidents where id <= 700; savepoint s; delete from app.incidents where id = 701; \
                  release s; select txid_current(); commit";
    let xid = lab.pg.psql("shop", delete);
    lab.pg.psql("shop", "begin; delete from app.incidents where id > 800; rollback; update app.incidents set paid = 1 where id = 900");
    lab.pg.psql("shop", "delete from app.keyless; truncate app.incidents");
    let late = now(&lab.pg);
    lab.pg.psql("shop", "insert into app.keyless values (1, 'after')");
    lab.pg.ship_wal();
    let find = |what: &str, at: &str| {
        records(rescue(&lab, &["--find", what, "--target-time", at]), "pg-backup.rescue-find")
    };
    let found = find("deleted from app.incidents", &early);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(
        (found[0]["deleted"].as_u64(), found[0]["xid"].to_string()),
        (Some(701), xid.clone()),
        "{found:?}"
    );
    assert_eq!(found[1]["locked"], true, "{found:?}");
    assert_eq!(find("updated app.incidents", &early).len(), 1);
    assert_eq!(find("truncated app.incidents", &late), found[1..]);

    // psql, by the transaction that was found: just before it.
    let shell = |args: &[&str], sql: &str| {
        let mut command =
            lab.command("pg-backup", &[&["rescue", "--shell", "--database", "shop"][..], args].concat());
        command
            .current_dir(lab.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("start");
        child.stdin.take().expect("a pipe").write_all(sql.as_bytes()).expect("write");
        let ran = testkit::ended(child);
        assert_eq!(ran.status, Some(0), "{ran:?}");
        ran.stdout
    };
    let count = "\\t \\a select 'rows ' || count(*) from app.incidents;\n";
    let there = |args: &[&str]| {
        let said = shell(args, &count.replace("\\t \\a ", "\\t on\n\\a\n"));
        said.lines().rfind(|l| l.contains("rows ")).expect("an answer").trim().to_string()
    };
    assert_eq!(there(&["--target-xid", &xid, "--target-exclusive"]), "rows 3000");
    assert_eq!(there(&["--target-xid", &xid]), "rows 2299");
    assert_eq!(there(&["--target-time", &late]), "rows 0");
    // A step counts from the last time that was named.
    assert_eq!(there(&["--target-time", &early]), "rows 3000");
    let time = |text: &str| text.parse::<jiff::Timestamp>().expect("a time");
    let step = time(&late).duration_since(time(&early)).as_micros();
    assert_eq!(there(&["--step", &format!("+{step}us")]), "rows 0");
    assert_eq!(there(&["--step", &format!("-{step}us")]), "rows 3000");
    rescue(&lab, &["--find", "app.incidents", "--step", "-1d"])
        .refused(1, "before the end of the oldest backup");

    let plan = rescue(&lab, &["--table", "app.incidents", "--target-time", &early, "--dry-run"]);
    let plan = records(plan, "pg-backup.rescue-plan").remove(0);
    assert_eq!(
        (plan["into"].as_str(), plan["left_out"].as_u64()),
        (Some("schema rescued"), Some(2)),
        "{plan}"
    );
    cleared(&lab);
    for (args, words) in [
        (["--table", "app.nothing", "--target-time", &early], "there is no table"),
        (["--table", "a.b.c", "--target-time", &early], "is not the name of a table"),
        (["--table", "app.incidents", "--target-time", "2026-11-21 14:04"], "no time zone"),
    ] {
        let ran = rescue(&lab, &args);
        assert!(matches!(ran.status, Some(1 | 2)) && ran.stderr.contains(words), "{words}: {ran:?}");
        cleared(&lab);
    }
    let other = lab.run("pg-backup", &["rescue", "--database", "nowhere", "--target-time", &early]);
    other.refused(1, "there was no database nowhere");
    assert_eq!(lab.pg.psql("shop", "select count(*) from pg_namespace where nspname = 'rescued'"), "0");
}

/// Of a large server only the wanted database's part of the packs is read.
#[test]
fn only_its_share_is_read() {
    let lab = shop_lab(15);
    let fill = "create table big as select n, md5(random()::text) || md5(random()::text) t from generate_series(1, 500000) n";
    lab.pg.psql("busy", fill);
    lab.pg.psql("shop", fill);
    lab.back_up();
    // Some of it in packs of a later backup.
    lab.pg.psql("shop", "update big set t = reverse(t) where n % 500 < 20");
    lab.pg.psql("busy", "update big set t = reverse(t) where n % 500 < 20");
    let backup = lab.back_up();
    let at = now(&lab.pg);
    lab.pg.psql("shop", "delete from app.keyless");
    lab.pg.ship_wal();
    let record = records(rescue(&lab, &["--table", "app.keyless", "--target-time", &at]), "pg-backup.rescue");
    let read = record[0]["read_bytes"].as_u64().expect("a number");

    let other = lab.pg.psql(
        "postgres",
        "select string_agg(oid::text, ' ') from pg_database where datname in ('busy', 'postgres')",
    );
    let left_out: Vec<String> = other.split(' ').map(|oid| format!("base/{oid}/")).collect();
    let id = backup["id"].as_str().expect("an id");
    let index = lab.system_root().join(format!("backup/{id}/files.jsonl.zst"));
    let text = Command::new("zstd").args(["-q", "-dc"]).arg(index).output().expect("run zstd").stdout;
    let (mut share, mut all) = (0.0, 0.0);
    for line in String::from_utf8_lossy(&text).lines() {
        let entry: Value = serde_json::from_str(line).expect("a line");
        let number = |piece: &Value, name: &str| piece[name].as_f64().expect("a number");
        let pieces = entry["pieces"].as_array().into_iter().flatten();
        let stored: f64 = pieces.map(|p| number(p, "stored") * number(p, "bytes") / number(p, "plain")).sum();
        all += stored;
        let path = entry["path"].as_str().expect("a path");
        share += if left_out.iter().any(|folder| path.starts_with(folder)) { 0.0 } else { stored };
    }
    let part = read as f64 / share;
    eprintln!("read {read} bytes: {part:.3} of the share of {share:.0}, of {all:.0} in all");
    assert!(part <= 1.15 && share < all * 0.7, "{part}");
}

/// Killed at any moment: the live database is as it was, or has all of the rows; the next run clears and does it.
#[test]
fn killed_at_any_moment() {
    let lab = shop_lab(15);
    lab.back_up();
    let at = now(&lab.pg);
    let rows = content(&lab.pg, "app.incidents");
    lab.pg.psql("shop", "delete from app.incidents");
    lab.pg.ship_wal();
    let before = dump(&lab.pg, "shop", &[]);
    let args = ["rescue", "--database", "shop", "--schema", "app", "--target-time", &at];
    let begun = Instant::now();
    lab.run("pg-backup", &args);
    let length = begun.elapsed();
    let start = || {
        lab.pg.psql("shop", "drop schema if exists rescued cascade");
        let mut command = lab.command("pg-backup", &args);
        command.current_dir(lab.dir.path()).stdin(Stdio::null()).stderr(Stdio::null());
        command.stdout(Stdio::null()).spawn().expect("start")
    };
    testkit::killed(length, rounds(3), start, || {
        // The server ends what the killed session had open.
        std::thread::sleep(Duration::from_millis(100));
        if !lab.pg.psql("shop", "select to_regclass('rescued.incidents')").is_empty() {
            assert_eq!(content(&lab.pg, "rescued.incidents"), rows);
            lab.pg.psql("shop", "drop schema rescued cascade");
        }
        assert_eq!(dump(&lab.pg, "shop", &[]), before);
    });
    lab.pg.psql("shop", "drop schema if exists rescued cascade");
    let ran = lab.run("pg-backup", &args);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert_eq!(content(&lab.pg, "rescued.incidents"), rows);
    cleared(&lab);
}
