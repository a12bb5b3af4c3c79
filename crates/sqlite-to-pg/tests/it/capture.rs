//! What the triggers of `capture` log, and that the application does not notice.

use crate::workload::{KEYED, SCHEMA, statement};
use crate::world::World;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use std::path::Path;
use testkit::{Dice, rounds, seed};

fn open(path: &Path, pragmas: &str) -> Connection {
    let db = Connection::open(path).expect("open");
    db.execute_batch(&format!("pragma synchronous = off; {pragmas}")).expect("set up");
    db
}

/// What the application sees of a statement: its rows or its error, and SQLite's counts.
fn outcome(db: &Connection, sql: &str) -> String {
    let mut seen = String::new();
    let done = db.prepare(sql).and_then(|mut statement| {
        let width = statement.column_count();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            for at in 0..width {
                seen += &format!("{:?} ", row.get_ref(at)?);
            }
        }
        Ok(())
    });
    // After a statement that failed the number is another: with any trigger SQLite looks for the parent after the row.
    let no_number = ["on conflict", "into c ", "into w "].iter().any(|other| sql.contains(other));
    let inserted = sql.starts_with("insert") && !no_number && done.is_ok() && db.changes() > 0;
    let number = inserted.then(|| db.last_insert_rowid());
    format!("{seen}{done:?} {} {number:?} {}", db.changes(), db.is_autocommit())
}

/// All rows of a table, sorted.
fn dump(db: &Connection, table: &str) -> Vec<String> {
    let mut all = db.prepare(&format!("select * from {table}")).expect("select");
    let width = all.column_count();
    let rows = all.query_map([], |r| (0..width).map(|at| Ok(format!("{:?}", r.get_ref(at)?))).collect());
    let mut rows: Vec<String> =
        rows.expect("rows").map(|r: rusqlite::Result<Vec<String>>| r.expect("a row").join(" ")).collect();
    rows.sort();
    rows
}

/// Replays the log on a copy of the file as it was when the capture began: what it names is deleted there, and taken
/// over as it is now.
fn replay(db: &Connection, before: &Path, tables: &serde_json::Value) {
    db.execute("attach ?1 as old", [before.display().to_string()]).expect("attach");
    db.execute_batch("pragma foreign_keys = off").expect("off");
    for table in tables.as_array().expect("tables") {
        let keys: Vec<&str> =
            table["key"].as_array().expect("key").iter().filter_map(|k| k.as_str()).collect();
        if keys.is_empty() {
            continue;
        }
        let name = table["name"].as_str().expect("a name");
        let logged: Vec<String> = (1..=keys.len()).map(|k| format!("k{k}")).collect();
        let sql =
            format!("select distinct {} from _toban_log where t = {}", logged.join(", "), table["number"]);
        let mut log = db.prepare(&sql).expect("log");
        let rows: Vec<Vec<Value>> = log
            .query_map([], |r| (0..keys.len()).map(|at| r.get(at)).collect())
            .expect("log")
            .map(|r| r.expect("an entry"))
            .collect();
        let test: Vec<String> = keys
            .iter()
            .enumerate()
            .map(|(at, k)| format!("(\"{k}\" collate binary) is ?{}", at + 1))
            .collect();
        let test = test.join(" and ");
        for row in &rows {
            let gone = format!("delete from old.\"{name}\" where {test}");
            db.execute(&gone, params_from_iter(row)).expect("delete");
        }
        let columns =
            "select group_concat('\"' || name || '\"') from pragma_table_xinfo(?1) where hidden = 0";
        let columns: String = db.query_row(columns, [name], |r| r.get(0)).expect("columns");
        for row in rows {
            let now = format!(
                "insert into old.\"{name}\" ({columns}) select {columns} from main.\"{name}\" where {test}"
            );
            db.execute(&now, params_from_iter(row)).expect("insert");
        }
    }
}

/// What the log says has happened already: the application's triggers must not do it once more.
fn drop_triggers(path: &Path) {
    let db = open(path, "");
    let mut names = db.prepare("select name from sqlite_schema where type = 'trigger'").expect("triggers");
    let names: Vec<String> =
        names.query_map([], |r| r.get(0)).expect("triggers").map(|n| n.expect("a name")).collect();
    for name in names {
        db.execute_batch(&format!("drop trigger {name}")).expect("drop");
    }
}

#[test]
fn random_statements_are_logged_and_go_on_as_without() {
    let world = World::new();
    let mut dice = Dice::new(seed());
    for round in 0..rounds(25) {
        let [captured, plain, before] =
            ["captured", "plain", "before"].map(|n| world.path(&format!("{n}{round}.db")));
        let pragmas = ["", "pragma recursive_triggers = on;"][dice.index(2)].to_string()
            + ["pragma foreign_keys = on;", "pragma foreign_keys = off;"][dice.index(2)];
        let mode = ["delete", "wal"][dice.index(2)];
        open(&plain, &format!("pragma journal_mode = {mode}; {SCHEMA}"));
        let db = open(&plain, &pragmas);
        for _ in 0..20 {
            outcome(&db, &statement(&mut dice));
        }
        if !db.is_autocommit() {
            db.execute_batch("commit").expect("commit");
        }
        for copy in [&captured, &before] {
            db.execute("vacuum into ?1", [copy.display().to_string()]).expect("copy");
        }
        drop_triggers(&before);
        world.tool(&["capture", captured.to_str().expect("a path")]).ended_with(0, "by key");
        // Both begin anew, with the counts that a connection keeps.
        drop(db);
        let db = open(&plain, &pragmas);
        let twin = open(&captured, &pragmas);
        let told = format!("round {round} of seed {}, {mode} {pragmas}", seed());
        let mut done = Vec::new();
        for _ in 0..120 {
            let sql = statement(&mut dice);
            let seen = [outcome(&db, &sql), outcome(&twin, &sql)];
            done.push(sql);
            assert_eq!(seen[0], seen[1], "{told}: {done:#?}");
        }
        for db in [&db, &twin].into_iter().filter(|db| !db.is_autocommit()) {
            db.execute_batch("commit").expect("commit");
        }
        let tables: String =
            twin.query_row("select tables from _toban_capture", [], |r| r.get(0)).expect("the record");
        replay(&twin, &before, &serde_json::from_str(&tables).expect("JSON"));
        for table in KEYED {
            assert_eq!(dump(&db, table), dump(&twin, table), "{told}, {table}");
            assert_eq!(
                dump(&twin, table),
                dump(&twin, &format!("old.{table}")),
                "{told}, {table}: {done:#?}"
            );
        }
    }
}

#[test]
fn it_begins_once_ends_as_it_was_and_installs_all_or_nothing() {
    let world = World::new();
    world.sqlite(&format!("pragma journal_mode = delete; {SCHEMA} insert into a (u) values ('x');"));
    let schema = world.sqlite("select type, name, tbl_name, sql from sqlite_schema order by rowid");
    let told = world.tool(&["capture", "app.db", "--dry-run", "--json"]).ended(0);
    let how = |name: &str| told.iter().find(|r| r["table"] == name).expect(name)["how"].clone();
    assert_eq!((how("a"), how("d")), ("by key".into(), "copied again".into()));
    assert_eq!(
        world.sqlite("select count(*) from sqlite_schema where name like '\\_toban%' escape '\\'"),
        "0"
    );

    // Another program keeps its lock.
    let holder = Connection::open(world.file()).expect("open");
    holder.execute_batch("begin immediate").expect("lock");
    world.tool(&["capture", "app.db"]).refused(75, "app.db");
    holder.execute_batch("rollback").expect("give back");
    assert_eq!(world.sqlite("select type, name, tbl_name, sql from sqlite_schema order by rowid"), schema);

    world.tool(&["capture", "app.db"]).fine();
    let uuid = world.sqlite("select uuid from _toban_capture");
    world.tool(&["capture", "app.db"]).fine();
    assert_eq!(world.sqlite("select uuid from _toban_capture"), uuid);
    world.tool(&["capture", "app.db", "--stop"]).fine();
    assert_eq!(world.sqlite("select type, name, tbl_name, sql from sqlite_schema order by rowid"), schema);
    world.tool(&["capture", "app.db", "--stop"]).refused(2, "not captured");

    world.sqlite("create table _toban_mine (x)");
    world.tool(&["capture", "app.db"]).refused(2, "_toban_mine");
    world.sqlite("drop table _toban_mine");
    std::fs::hard_link(world.file(), world.path("other.db")).expect("link");
    world.tool(&["capture", "app.db"]).refused(2, "2 names");
}
