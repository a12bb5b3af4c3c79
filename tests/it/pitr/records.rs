//! Our reading of the WAL against pg_waldump's.

use super::lab::Lab;
use std::ops::ControlFlow;
use testkit::majors;
use testkit::pg::clean;
use toban_core::wal::{Record, Records, WalName, What, apply_changes};

#[test]
fn records_as_pg_waldump_sees_them() {
    for major in majors() {
        let lab = Lab::new(major);
        let first = lab.pg.ship_wal();
        lab.row();
        // Places of all lengths up to what a path may have, so that some records lie over two pages.
        for number in 0..30 {
            let name = format!("places/{}{number}", "x".repeat(number * 5))
                .replace(&"x".repeat(100), &format!("{}/", "y".repeat(99)));
            let place = lab.folder(&name).display().to_string();
            lab.folder("places");
            lab.pg.psql("postgres", &format!("create tablespace t{number} location '{place}'"));
            lab.pg.psql(
                "postgres",
                &format!("select pg_logical_emit_message(false, 'x', repeat('x', {}))", 700 + number * 31),
            );
        }
        lab.pg.psql("postgres", "begin; lock table ledger; commit");
        // A transaction of many parts, and one larger than a segment: records lie across pages and segments.
        lab.pg.psql(
            "postgres",
            "begin; insert into ledger values (7); savepoint a; insert into ledger values (8); release a; commit; \
             begin; truncate ledger; rollback; create table wide as select n, repeat(md5(n::text), 30) t from generate_series(1, 30000) n; \
             alter table wide alter t set storage external; update wide set t = repeat(t, 20) where n < 200; drop table wide",
        );
        // Prepared ones, whose numbers lie behind lists of parts, files, statistics and invalidations.
        let many: String = (0..40)
            .map(|n| {
                format!("create table many_{n} (n int); savepoint s_{n}; insert into many_{n} values (1); ")
            })
            .collect();
        let drops: String = (0..40).map(|n| format!("drop table many_{n}; ")).collect();
        lab.pg.psql(
            "postgres",
            &format!(
                "begin; insert into ledger values (9); prepare transaction 'few'; commit prepared 'few'; \
                 begin; {many} prepare transaction 'many'; commit prepared 'many'; \
                 begin; {drops} prepare transaction 'drops'; commit prepared 'drops'; \
                 begin; create table never (n int); savepoint s; insert into never values (1); prepare transaction 'never'; rollback prepared 'never'"
            ),
        );
        let last = lab.pg.ship_wal();
        let names = names(&first, &last);
        assert!(names.len() > 2, "{names:?}");
        let (mut ours, mut records) = (Vec::new(), Records::default());
        for name in &names {
            let object = lab.object(name);
            let bytes = std::process::Command::new("zstd")
                .args(["-q", "-dc"])
                .arg(object)
                .output()
                .expect("run zstd")
                .stdout;
            let segment = name.parse::<WalName>().expect("a name").segment(16 << 20).expect("a segment");
            let mut each = |record: Record| {
                ours.push(line(&record));
                ControlFlow::<()>::Continue(())
            };
            assert!(records.read_records(&segment, &bytes, &mut each).is_continue());
            std::fs::write(lab.path(name), bytes).expect("write");
        }
        let theirs = waldump(&lab, &names);
        let differ = ours.iter().zip(&theirs).position(|(a, b)| a != b);
        assert!(
            differ.is_none() && ours.len() == theirs.len(),
            "PostgreSQL {major}: {} and {} records, the first that differ: {:?}",
            ours.len(),
            theirs.len(),
            differ.map(|i| (&ours[i], &theirs[i]))
        );
        changed(&lab, &names);
        eprintln!("PostgreSQL {major}: {} records in {} segments", ours.len(), names.len());
    }
}

/// Every CREATE TABLESPACE changed into one inside the data directory: pg_waldump reads all to the same end, with whole
/// checksums, and finds no place any more.
fn changed(lab: &Lab, names: &[String]) {
    let before = waldump(lab, names).len();
    let (mut changes, mut records) = (Vec::new(), Records::default());
    let segment =
        |name: &String| name.parse::<WalName>().expect("a name").segment(16 << 20).expect("a segment");
    for name in names {
        let bytes = std::fs::read(lab.path(name)).expect("read");
        let mut each = |record: Record| {
            if let What::TablespaceCreated { in_place, .. } = record.what {
                changes.extend(in_place);
            }
            ControlFlow::<()>::Continue(())
        };
        assert!(records.read_records(&segment(name), &bytes, &mut each).is_continue());
    }
    let torn = changes.chunks(2).filter(|c| c[0].lsn.0 >> 13 != c[1].lsn.0 >> 13).count();
    assert_eq!(changes.len(), 60);
    let made: usize =
        names.iter().map(|n| apply_changes(&changes, &segment(n), &lab.path(n)).expect("made")).sum();
    assert_eq!(made, 60);
    let after = waldump(lab, names);
    assert_eq!(after.len(), before);
    assert_eq!(after.iter().filter(|l| l.contains(" create ") && l.ends_with(" \"\"")).count(), 30);
    eprintln!("{torn} of them over two pages");
}

fn names(first: &str, last: &str) -> Vec<String> {
    let number = |name: &str| u64::from_str_radix(&name[16..], 16).expect("a number");
    (number(first)..=number(last)).map(|n| format!("{}{n:08X}", &first[..16])).collect()
}

fn line(record: &Record) -> String {
    match &record.what {
        What::End { xid, .. } => format!("{} end {xid}", record.lsn),
        What::Switch => format!("{} switch", record.lsn),
        What::Point { name, .. } => format!("{} point {name}", record.lsn),
        What::TablespaceCreated { oid, location, .. } => {
            format!("{} create {oid} \"{location}\"", record.lsn)
        }
        What::TableLocked { xid, database, table } => format!("{} lock {xid} {database} {table}", record.lsn),
        What::RowsChanged { xid, database, file, change, rows } => {
            format!("{} {rows} rows {change:?} by {xid} in {database}/{file}", record.lsn)
        }
        What::EndedBelow(_) | What::Other => record.lsn.to_string(),
    }
}

/// By pg_waldump's word, as `HOT_UPDATE` and `INSERT+INIT`.
fn row_change(word: &str) -> Option<&'static str> {
    match word.split('+').next()? {
        "INSERT" | "MULTI_INSERT" => Some("Inserted"),
        "UPDATE" | "HOT_UPDATE" => Some("Updated"),
        "DELETE" => Some("Deleted"),
        _ => None,
    }
}

/// The same lines of `rmgr: Transaction len (rec/tot): 34/34, tx: 736, lsn: 0/0400, prev …, desc: COMMIT 2026-…`.
fn waldump(lab: &Lab, names: &[String]) -> Vec<String> {
    let mut program = clean(&lab.pg.bin("pg_waldump"));
    let done = program.arg("-p").arg(lab.dir.path()).args([&names[0], &names[names.len() - 1]]).output();
    let text = String::from_utf8_lossy(&done.expect("run pg_waldump").stdout).into_owned();
    let field = |line: &str, name: &str| {
        let rest = line.split_once(name).expect("the field is there").1.trim_start();
        rest.split(',').next().unwrap_or_default().trim().to_string()
    };
    let told = |line: &str| {
        let lsn = field(line, "lsn:").parse::<toban_core::wal::Lsn>().expect("a position");
        let desc = line.split_once("desc:").expect("a description").1.trim();
        let word = desc.split([' ', ':']).next().unwrap_or_default();
        match word {
            "COMMIT" | "ABORT" if line.starts_with("rmgr: Transaction") => {
                format!("{lsn} end {}", field(line, "tx:"))
            }
            "CREATE" if line.starts_with("rmgr: Tablespace") => {
                format!("{lsn} create {}", desc.split_once(' ').unwrap_or_default().1)
            }
            "LOCK" if line.starts_with("rmgr: Standby") => {
                let numbers = desc.split(' ').filter(|w| w.bytes().all(|b| b.is_ascii_digit()));
                format!("{lsn} lock {}", numbers.collect::<Vec<_>>().join(" "))
            }
            // `COMMIT_PREPARED 740: 2026-…`: the number that it was prepared under.
            "COMMIT_PREPARED" | "ABORT_PREPARED" if line.starts_with("rmgr: Transaction") => {
                let number = desc.split([' ', ':']).nth(1).unwrap_or_default();
                format!("{lsn} end {number}")
            }
            _ if line.starts_with("rmgr: Heap") && row_change(word).is_some() => {
                let change = row_change(word).expect("it is one");
                let count = desc
                    .split(|c: char| !c.is_ascii_digit())
                    .find(|w| !w.is_empty())
                    .filter(|_| word.starts_with("MULTI"));
                let file = field(&line.replace(' ', ","), "blkref,#0:,rel,");
                let file = file.split_once('/').expect("the tablespace").1;
                format!("{lsn} {} rows {change} by {} in {file}", count.unwrap_or("1"), field(line, "tx:"))
            }
            "SWITCH" => format!("{lsn} switch"),
            "RESTORE_POINT" => format!("{lsn} point {}", desc.split_once(' ').unwrap_or_default().1.trim()),
            _ => lsn.to_string(),
        }
    };
    text.lines().filter(|l| l.starts_with("rmgr:")).map(told).collect()
}
