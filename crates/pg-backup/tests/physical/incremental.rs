//! Backups that share packs: each restores alone and equals a full backup of the same moment, page by page.

use crate::lab::{amcheck, back_up, content, fill, lab, restore};
use crate::world::{World, majors};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::{Dice, Pg, rounds, seed};

fn added(record: &Value) -> u64 {
    record["stored_bytes"].as_u64().expect("a number")
}

fn packs(world: &World, id: &Value) -> Vec<PathBuf> {
    let folder = format!("backup/{}/pack/", id.as_str().expect("an ID"));
    world.files().into_iter().filter(|f| f.display().to_string().contains(&folder)).collect()
}

fn state(world: &World) -> PathBuf {
    let find =
        Command::new("find").arg(world.path("state")).args(["-name", "*.blocks"]).output().expect("run find");
    String::from_utf8_lossy(&find.stdout).trim().into()
}

#[test]
fn what_changed_is_stored_and_every_backup_restores_alone() {
    let mut world = lab(15);
    fill(&world, 200_000);
    world.pg.psql("postgres", "vacuum freeze; checkpoint");
    let full = back_up(&world, &[]);
    assert_eq!(full["built_on"], Value::Null);
    let first = content(&world.pg);
    world.pg.psql("postgres", "update big set t = 'changed' where n = 77777");
    let plan = world.run(&["run", "--dry-run", "--json"]).json().remove(0);
    assert_eq!(plan["built_on"], full["id"]);
    let second = back_up(&world, &[]);
    assert_eq!(second["built_on"], full["id"]);
    assert!(added(&second) * 5 < added(&full), "{second} after {full}");
    world.pg.psql(
        "postgres",
        "delete from big where n % 2 = 0; vacuum big; create table new as select * from big",
    );
    let third = back_up(&world, &[]);
    assert_eq!(third["built_on"], second["id"]);
    let last = content(&world.pg);
    let listed = world.run(&["list", "--json"]).json();
    assert_eq!(listed[1]["built_on"], full["id"]);
    assert!(listed.iter().all(|b| b["freed_bytes"].as_u64() <= b["stored_bytes"].as_u64()), "{listed:?}");
    assert_eq!(listed[2]["freed_bytes"], listed[2]["stored_bytes"], "nothing builds on it");
    world.run(&["verify"]).fine();
    world.run(&["check"]).fine();

    // What is not known is stored: another codec, digests that are gone, or when it is asked for.
    let why = |more: &[&str]| {
        let args: Vec<&str> = ["run", "--dry-run", "--json"].iter().chain(more).copied().collect();
        world.run(&args).json()[0]["full_because"].as_str().unwrap_or_default().to_string()
    };
    assert!(why(&["--full"]).contains("--full"));
    assert!(why(&["--full-every", "0s"]).contains("the last full backup is"));
    assert!(why(&["--compress", "gzip"]).contains("is compressed otherwise"));
    let digests: Vec<PathBuf> = world.files().into_iter().filter(|f| f.ends_with("digests.zst")).collect();
    assert_eq!(digests.len(), 3, "one for each run");
    // Without the digests beside the backups the map is needed; a backup that lacks them is no base.
    let hidden: Vec<Vec<u8>> = digests.iter().map(|f| fs::read(f).expect("read")).collect();
    digests.iter().for_each(|f| fs::remove_file(f).expect("lose it"));
    assert!(why(&[]).contains("has no usable backup"), "{}", why(&[]));
    digests.iter().zip(&hidden).for_each(|(f, bytes)| fs::write(f, bytes).expect("find it again"));
    assert_eq!(why(&[]), "");

    world.pg.stop();
    restore(&world, "third", &[]);
    assert_eq!(content(&Pg::promoted(15, &world.path("third"))), last);
    for (id, name) in [(&full["id"], "first"), (&second["id"], "second")] {
        let target = world.path(name).display().to_string();
        world.run(&["restore", id.as_str().expect("an ID"), "--pgdata", &target]).fine();
    }
    assert_eq!(content(&Pg::promoted(15, &world.path("first"))), first);
    let second = Pg::promoted(15, &world.path("second"));
    assert_eq!(second.psql("postgres", "select t from big where n = 77777"), "changed");
    amcheck(&second);
    drop(second);
    // Another system in the same place, which happens to have a file of the same name: content decides.
    world.run(&["verify", "--fast"]).fine();
}

/// A lost, damaged or foreign map is made anew from what lies beside the backups: what changed is stored, and no more.
#[test]
fn a_lost_state_directory_costs_no_full_backup() {
    let world = lab(15);
    fill(&world, 200_000);
    world.pg.psql("postgres", "vacuum freeze; checkpoint");
    let full = back_up(&world, &[]);
    let change = |n: u32| {
        world.pg.psql("postgres", &format!("update big set t = 'changed {n}' where n % 20000 = {n}"));
    };
    change(1);
    back_up(&world, &[]);
    let old = fs::read(state(&world)).expect("read the map");
    change(2);
    let mut last = back_up(&world, &["--jobs", "1"]);
    let map = state(&world);
    let lost: [(&str, &dyn Fn()); 3] = [
        ("lost", &|| fs::remove_dir_all(world.path("state")).expect("lose it")),
        ("cut off", &|| fs::write(&map, &old[..old.len() - 9]).expect("cut it")),
        ("of an older backup", &|| fs::write(&map, &old).expect("set it back")),
    ];
    for (n, (what, lose)) in lost.into_iter().enumerate() {
        lose();
        change(3 + n as u32);
        let next = back_up(&world, &[]);
        assert_eq!(next["built_on"], last["id"], "{what}");
        assert!(added(&next) * 5 < added(&full), "{what}: {next} after {full}");
        last = next;
    }
    // With the map that it leaves the next one goes on as ever.
    let shared = back_up(&world, &[]);
    assert!(shared["built_on"] == last["id"] && added(&shared) * 5 < added(&full), "{shared}");
    let same = back_up(&world, &["--full"]);
    for (record, name) in [(&shared, "shared"), (&same, "same")] {
        let target = world.path(name).display().to_string();
        world.run(&["restore", record["id"].as_str().expect("an ID"), "--pgdata", &target]).fine();
    }
    same_pages(&world.path("shared"), &world.path("same"));
    // With a prune that takes the first ones away, the digests of the packs that stay are there still.
    world.run(&["prune", "--keep-last", "2", "--undelete", "0s"]).fine();
    fs::remove_dir_all(world.path("state")).expect("lose it");
    let next = back_up(&world, &[]);
    assert_eq!(next["built_on"], same["id"]);
    // Digests that are damaged are no guess.
    world.run(&["verify"]).fine();
    let id = next["id"].as_str().expect("an ID");
    let own = format!("{id}/digests.zst");
    let own = world.files().into_iter().find(|f| f.ends_with(&own)).expect("it is there");
    let mut bytes = fs::read(&own).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&own, &bytes).expect("damage it");
    fs::remove_dir_all(world.path("state")).expect("lose it");
    let ran = world.run(&["run", "--json", "-v"]);
    assert!(ran.stderr.contains("digests.zst: "), "{ran:?}");
    let record: Value = serde_json::from_str(&ran.stdout).expect("a record");
    assert_eq!(record["built_on"], Value::Null);
    world.run(&["verify", id]).refused(5, "digests.zst is damaged");
}

#[test]
fn a_pack_that_goes_while_a_run_builds_on_it_leaves_no_backup() {
    let world = lab(15);
    fill(&world, 100_000);
    let full = back_up(&world, &[]);
    world.pg.psql("postgres", "update big set t = 'changed' where n % 10 = 0");
    let size = |path: &PathBuf| path.metadata().expect("look").len();
    let pack = packs(&world, &full["id"]).into_iter().max_by_key(size).expect("a pack");
    let mut run = world.command(&["run", "--max-rate", "10M"]).spawn().expect("start");
    testkit::until("the run has begun", std::time::Duration::from_secs(20), || {
        let begun = world.files().iter().any(|f| f.display().to_string().contains("/intent/"));
        begun.then_some(()).ok_or_else(|| "not yet".into())
    });
    fs::rename(&pack, world.path("away")).expect("take a pack away");
    assert_eq!(run.wait().expect("it ends").code(), Some(75));
    assert_eq!(world.run(&["list", "--json"]).json().len(), 1, "nothing visible");
    let next = back_up(&world, &[]);
    assert_eq!(next["built_on"], Value::Null, "the damaged one is no base");
    restore(&world, "restored", &[]);
}

/// One step of a history.
fn change(dice: &mut Dice, number: u64, major: u32) -> String {
    let table = format!("t{}", dice.below(4));
    let step = match dice.below(13) {
        0 if major < 15 => format!("create database d{number}"),
        0 => format!("create database d{number} strategy wal_log"),
        1 if major >= 15 => format!("create database d{number} strategy file_copy"),
        2 => "select 'drop database ' || datname from pg_database where datname like 'd%' limit 1 \\gexec"
            .into(),
        3 => format!(
            "drop table {table}; create table {table} as select g n, md5(g::text) t from generate_series(1, 20000) g"
        ),
        4 => format!("truncate {table}; insert into {table} select g, 'x' from generate_series(1, 500) g"),
        5 => format!("vacuum full {table}"),
        6 => format!("delete from {table} where n > 9000; vacuum {table}"),
        7 => format!(
            "create index on {table} (n); update {table} set t = t || 'y' where n % 97 = {}",
            dice.below(97)
        ),
        8 => "create unlogged table if not exists u (n int); insert into u select generate_series(1, 5000)"
            .into(),
        9 => "create table if not exists u (n int); alter table u set logged".into(),
        10 => format!("alter table {table} set unlogged; alter table {table} set logged"),
        11 => format!("reindex table {table}; select count(*) from {table}"),
        _ => format!(
            "insert into {table} select g, repeat(md5(random()::text), 100) from generate_series(1, 300) g"
        ),
    };
    format!("create table if not exists {table} (n int, t text);\n{step}\n;")
}

/// Every file below `dir` whose pages are compared.
fn relations(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let find = Command::new("find")
        .args(["base", "global", "-type", "f"])
        .current_dir(dir)
        .output()
        .expect("run find");
    let names = String::from_utf8_lossy(&find.stdout).into_owned();
    let kept =
        names.lines().filter(|name| !name.ends_with("pg_control") && !name.ends_with("pg_internal.init"));
    kept.map(|name| (name.to_string(), fs::read(dir.join(name)).expect("read"))).collect()
}

/// A page without what a reader may change: its position, checksum and flags, hint bits and dead line pointers.
fn masked(page: &[u8]) -> Vec<u8> {
    let mut page = page.to_vec();
    if page.len() < 8192 {
        return page;
    }
    page[0..12].fill(0);
    page[20..24].fill(0);
    let lower = usize::from(u16::from_le_bytes([page[12], page[13]]));
    for at in (24..lower.min(8192)).step_by(4) {
        let pointer = u32::from_le_bytes([page[at], page[at + 1], page[at + 2], page[at + 3]]);
        let (offset, flags) = ((pointer & 0x7FFF) as usize, pointer >> 15 & 3);
        if flags == 1 && offset + 24 <= 8192 {
            page[offset + 21] &= 0xF0;
        }
        if flags == 3 {
            page[at + 1] = page[at + 1] & 0x7F | 0x80;
        }
    }
    page
}

fn same_pages(shared: &Path, full: &Path) {
    let (shared, full) = (relations(shared), relations(full));
    let names = |r: &BTreeMap<String, Vec<u8>>| r.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&shared), names(&full));
    for (name, bytes) in &shared {
        let other = &full[name];
        assert_eq!(bytes.len(), other.len(), "{name}");
        if bytes == other {
            continue;
        }
        for (n, (a, b)) in bytes.chunks(8192).zip(other.chunks(8192)).enumerate() {
            assert!(a == b || masked(a) == masked(b), "{name} differs in block {n}");
        }
    }
}

/// Random changes with backups in between: the last one restored is what a full backup of the same moment is, and one
/// in the middle is whole.
fn random_histories_of(start: impl Fn() -> Pg, major: u32, count: usize) {
    let seed = seed();
    let mut world = World::with(start());
    for round in 0..count {
        // Databases come more often than they go: a cluster that only grew would make each history longer.
        if round % 40 == 39 {
            world = World::with(start());
        }
        let mut dice = Dice::new(seed.wrapping_add(round as u64));
        let mut ids = Vec::new();
        for step in 0..1 + dice.below(4) {
            for change_number in 0..1 + dice.below(3) {
                let number = (round as u64 * 10 + step) * 10 + change_number;
                world.pg.psql("postgres", &change(&mut dice, number, major));
            }
            ids.push(back_up(&world, &["--jobs", ["1", "2"][dice.index(2)]])["id"].clone());
        }
        world.pg.psql("postgres", "checkpoint");
        let shared = back_up(&world, &[]);
        let full = back_up(&world, &["--full"]);
        assert_eq!(full["built_on"], Value::Null);
        let target = |name: &str| {
            let target = world.path(name);
            let _ = fs::remove_dir_all(&target);
            target
        };
        let restored = |id: &Value, name: &str| {
            let dir = target(name);
            let shown = dir.display().to_string();
            world.run(&["restore", id.as_str().expect("an ID"), "--pgdata", &shown]).fine();
            crate::lab::verified(&world.pg, &dir);
            dir
        };
        let (a, b) = (restored(&shared["id"], "shared"), restored(&full["id"], "full"));
        same_pages(&a, &b);
        let middle = &ids[dice.index(ids.len())];
        let middle = Pg::promoted(major, &restored(middle, "middle"));
        if dice.below(5) == 0 {
            amcheck(&middle);
        }
        drop(middle);
        eprintln!("history {round} of seed {seed} on {major}: {} backups", ids.len());
    }
    world.run(&["verify"]).fine();
}

#[test]
fn random_histories_equal_full_backups() {
    for major in majors() {
        let start = || Pg::builder_major(major).set("autovacuum=off").set("max_wal_size=256MB").start();
        let count = if major == 15 { rounds(4) } else { rounds(4).div_ceil(4) };
        random_histories_of(start, major, count);
    }
}

/// A server that summarizes its WAL.
fn summarizing() -> Pg {
    Pg::builder_major(17).set("summarize_wal=on").set("wal_log_hints=on").set("autovacuum=off").start()
}

fn read(record: &Value) -> u64 {
    record["read_bytes"].as_u64().expect("a number")
}

#[test]
fn wal_summaries_spare_the_reading_and_are_proven() {
    let world = World::with(summarizing());
    fill(&world, 300_000);
    world.pg.psql("postgres", "create table other as select * from big; vacuum freeze");
    let full = back_up(&world, &[]);
    world.pg.psql("postgres", "update big set t = 'changed' where n between 1000 and 1100");
    let second = back_up(&world, &[]);
    assert_eq!(second["built_on"], full["id"]);
    assert!(read(&second) * 4 < read(&full), "{second} after {full}");
    assert!(added(&second) * 10 < added(&full), "{second} after {full}");
    // Truncated and filled again, made anew, extended: all of it in the summaries.
    world.pg.psql(
        "postgres",
        "truncate other; insert into other select * from big where n < 90000; vacuum full big",
    );
    let third = back_up(&world, &[]);
    let same = world.run(&["run", "--full", "--json"]).json().remove(0);
    for (record, name) in [(&third, "third"), (&same, "same")] {
        let target = world.path(name).display().to_string();
        world.run(&["restore", record["id"].as_str().expect("an ID"), "--pgdata", &target]).fine();
        crate::lab::verified(&world.pg, &world.path(name));
    }
    same_pages(&world.path("third"), &world.path("same"));

    // A database whose files are copied there and back: the summaries tell of it by its number alone.
    world.pg.psql("postgres", "create database moved");
    world.pg.psql(
        "moved",
        "create table m as select n, repeat('x', 200) t from generate_series(1, 4000) n; vacuum m",
    );
    world.pg.psql(
        "postgres",
        &format!(
            "create tablespace away location '{}'; checkpoint",
            crate::lab::folder(&world, "away").display()
        ),
    );
    back_up(&world, &[]);
    world.pg.psql("postgres", "alter database moved set tablespace away");
    world.pg.psql("moved", "update m set t = repeat('z', 200) where n % 100 = 0");
    world
        .pg
        .psql("postgres", "alter database moved set tablespace pg_default; drop tablespace away; checkpoint");
    let shared = back_up(&world, &[]);
    let same = back_up(&world, &["--full"]);
    for (record, name) in [(&shared, "moved"), (&same, "moved-full")] {
        let target = world.path(name).display().to_string();
        world.run(&["restore", record["id"].as_str().expect("an ID"), "--pgdata", &target]).fine();
    }
    same_pages(&world.path("moved"), &world.path("moved-full"));

    // Pages that changed although no summary says so, as by a server with a fault: a sample finds them, everything is read,
    // and the backup is whole.
    world.pg.psql("postgres", "checkpoint");
    let file = world.pg.data_dir().join(world.pg.psql("postgres", "select pg_relation_filepath('big')"));
    let mut bytes = fs::read(&file).expect("read the table");
    bytes.chunks_mut(8192).for_each(|page| page[8100] ^= 1);
    let modified = file.metadata().and_then(|meta| meta.modified()).expect("look");
    fs::write(&file, &bytes).expect("write the table");
    // As if nobody had written: else the file is read whole for its time.
    let written = fs::File::options().write(true).open(&file).expect("open the table");
    written.set_modified(modified).expect("set the time");
    let ran = world.run(&["run", "--json"]);
    let changed = ran.refused(5, "the server's WAL summaries are untrue: base/");
    assert!(changed.contains("summarize_wal = off"), "{changed}");
    let listed = world.run(&["list", "--json"]).json();
    let newest = listed.last().expect("it is there");
    assert_eq!(newest["built_on"], same["id"]);
    let target = world.path("told").display().to_string();
    world.run(&["restore", newest["id"].as_str().expect("an ID"), "--pgdata", &target]).fine();
    let name = file.strip_prefix(world.pg.data_dir()).expect("below it");
    assert!(fs::read(world.path("told").join(name)).expect("read") == bytes, "the pages as they are now");

    let advice = || {
        let found = world.run(&["check", "--json"]).findings();
        let found = found.into_iter().find(|f| f["check"] == "summaries")?;
        Some((found["severity"].to_string(), found["text"].as_str().expect("text").to_string()))
    };
    assert_eq!(advice(), None);
    world.pg.psql("postgres", "alter system set summarize_wal = off; select pg_reload_conf()");
    back_up(&world, &[]);
    let (severity, text) = advice().expect("it would help");
    assert!(severity == "\"ok\"" && text.contains("summarize_wal = on"), "{severity} {text}");
}

#[test]
fn random_histories_by_wal_summaries() {
    random_histories_of(summarizing, 17, rounds(2));
}

#[test]
fn a_server_that_was_set_back_is_read_whole() {
    let mut world = World::with(summarizing());
    fill(&world, 50_000);
    let (data, old) = (world.pg.data_dir().to_path_buf(), world.path("old"));
    let copy = |from: &Path, to: &Path| {
        let done = Command::new("cp").arg("-a").args([from, to]).status().expect("run cp");
        assert!(done.success());
    };
    world.pg.stop();
    copy(&data, &old);
    world.pg.restart();
    world.pg.psql("postgres", "update big set t = 'lost'");
    let full = back_up(&world, &[]);
    world.pg.stop();
    fs::remove_dir_all(&data).expect("lose the data directory");
    copy(&old, &data);
    world.pg.restart();
    let before = content(&world.pg);
    let ran = world.run(&["run", "--json"]);
    assert!(ran.status == Some(0) && ran.stderr.contains("which was set back"), "{ran:?}");
    let second: Value = serde_json::from_str(&ran.stdout).expect("a record");
    assert_eq!(second["built_on"], full["id"]);
    assert!(read(&second) * 2 > read(&full), "{second} after {full}");
    world.pg.stop();
    let target = world.path("restored").display().to_string();
    world.run(&["restore", second["id"].as_str().expect("an ID"), "--pgdata", &target]).fine();
    assert_eq!(content(&Pg::promoted(17, &world.path("restored"))), before);
}
