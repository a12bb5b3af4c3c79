//! Tablespaces: moved, made while the backup runs, and beside what belongs to others.

use crate::lab::{back_up, fill, folder, lab, restore};
use crate::world::ended;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use testkit::Pg;
use testkit::pg::as_owner;

#[test]
fn one_that_is_made_during_the_run_goes_where_it_shall() {
    let mut world = lab(15);
    fill(&world, 1000);
    let late = folder(&world, "late").display().to_string();
    let run = world.command(&["run", "--max-rate", "8M"]).spawn().expect("start");
    testkit::until("files are being copied", Duration::from_secs(30), || {
        let temporary = world.path("repo/.tmp");
        // The store's lock and the index, then packs: these come after the start.
        fs::read_dir(temporary).map_err(|e| e.to_string())?.nth(3).map(drop).ok_or("not yet".to_string())
    });
    world.pg.psql("postgres", &format!("create tablespace late location '{late}'"));
    world.pg.psql("postgres", "create table there tablespace late as select * from big");
    ended(run).fine();
    let before = hashes(&[Path::new(&late)]);
    let target = world.path("t").display().to_string();
    let elsewhere = folder(&world, "elsewhere");
    let moved = format!("{late}={}/", elsewhere.display());
    let args = ["restore", "--pgdata", &target, "-T", &moved];
    world.run(&args[..3]).refused(1, "creates tablespace");
    world.run(&["restore", "--pgdata", &target, "--dry-run"]).refused(1, "creates tablespace");
    world.run(&[&args[..], &["--keep-archiving"]].concat()).refused(2, "must not archive that WAL");
    assert!(!Path::new(&target).exists(), "something was written");
    let restored = Pg::promoted(15, &restore(&world, "t", &args[3..]));
    assert_eq!(restored.psql("postgres", "select count(*) from there"), "1000");
    restored.psql("postgres", "update there set n = -1; checkpoint");
    let location = "select pg_tablespace_location(oid) from pg_tablespace where spcname = 'late'";
    assert_eq!(restored.psql("postgres", location), elsewhere.display().to_string());
    assert_eq!(hashes(&[Path::new(&late)]), before, "the live tablespace was touched");
    drop(restored);
    // Where it was, when that place is free.
    world.pg.stop();
    fs::remove_dir_all(&late).expect("lose the tablespace");
    let restored = Pg::promoted(15, &restore(&world, "u", &[]));
    assert_eq!(restored.psql("postgres", "select count(*) from there"), "1000");
    assert_eq!(restored.psql("postgres", location), late);
}

/// `late` in backup.json that no WAL creates: it was made after the server had ended the backup.
#[test]
fn one_that_came_too_late_leaves_no_link() {
    let mut world = lab(15);
    fill(&world, 1000);
    let record = back_up(&world, &[]);
    let place = folder(&world, "orphan").display().to_string();
    world.pg.psql("postgres", &format!("create tablespace orphan location '{place}'"));
    crate::refused::rewrite_manifest(&world, record["id"].as_str().expect("an id"), |json| {
        json["tablespaces"] = serde_json::json!([{ "oid": 99_999, "location": place, "late": true }]);
    });
    let target = restore(&world, "t", &[]);
    assert!(!target.join("pg_tblspc/99999").is_symlink());
    let mut restored = Pg::promoted(15, &target);
    restored.stop();
    let done = as_owner(&world.pg.bin("pg_checksums")).arg("-D").arg(&target).output().expect("run it");
    assert!(done.status.success(), "{done:?}");
    world.pg.stop();
}

#[test]
fn two_never_share_a_place_and_a_live_place_is_never_taken() {
    let world = lab(15);
    fill(&world, 1000);
    let (one, two) = (folder(&world, "one"), folder(&world, "two"));
    for (name, place) in [("one", &one), ("two", &two)] {
        world.pg.psql("postgres", &format!("create tablespace {name} location '{}'", place.display()));
        world.pg.psql("postgres", &format!("create table in_{name} tablespace {name} as select * from big"));
    }
    world.pg.psql("postgres", "checkpoint");
    back_up(&world, &[]);
    let before = hashes(&[&one, &two]);
    let target = world.path("t").display().to_string();
    let map = |from: &Path, to: &str| format!("{}={}", from.display(), world.path(to).display());
    let (a, b) = (map(&one, "a"), map(&two, "a"));
    let args = ["restore", "--pgdata", &target];
    world.run(&[&args[..], &["-T", &a, "-T", &b]].concat()).refused(2, "would both lie in");
    world.run(&[&args[..], &["-T", "/no/such=/x"]].concat()).refused(2, "has a tablespace in /no/such");
    world.run(&[&args[..], &["-T", &a]].concat()).refused(1, "of a tablespace is not empty");
    assert!(!Path::new(&target).exists());
    let all = world.path("all").display().to_string();
    restore(&world, "t", &["--tablespace-dir", &all]);
    // Once more over it, and the mapping is forgotten: the places in the backup are the live server's.
    world.run(&[&args[..], &["--delta"]].concat()).refused(1, "of a tablespace is not empty");
    world.run(&[&args[..], &["--delta", "-T", &a]].concat()).refused(1, "of a tablespace is not empty");
    assert_eq!(hashes(&[&one, &two]), before, "a live tablespace was touched");
    restore(&world, "t", &["--tablespace-dir", &all, "--delta"]);
    let restored = Pg::promoted(15, Path::new(&target));
    assert_eq!(
        restored.psql("postgres", "select count(*) from in_one, in_two where in_one.n = in_two.n"),
        "1000"
    );
    assert_eq!(hashes(&[&one, &two]), before, "a live tablespace was touched");
}

/// What `--delta` finds in a target that has links to another cluster: nothing behind them is written or deleted.
#[test]
fn a_delta_restore_stops_at_links() {
    let mut world = lab(15);
    fill(&world, 1000);
    back_up(&world, &[]);
    let target = restore(&world, "t", &[]);
    let other = folder(&world, "other");
    let own = |name: &str| {
        let path = folder(&world, &format!("other/{name}"));
        fs::write(path.join("000000010000000000000001"), "another's").expect("write");
        path
    };
    let heap = world.pg.psql("postgres", "select pg_relation_filepath('big')");
    let database = heap.rsplit_once('/').expect("a folder").0.to_string();
    let args = ["restore", "--pgdata", &target.display().to_string(), "--delta"];
    for name in ["pg_wal", &database, "pg_xact", "global", "log", "pg_wal/archive_status"] {
        let (link, behind) = (target.join(name), own(&name.replace('/', "-")));
        let aside = world.path("aside");
        let there = fs::rename(&link, &aside).is_ok();
        symlink(&behind, &link).expect("link");
        let before = hashes(&[&other, &target]);
        let said = world.run(&args).refused(1, "does not write or delete through links");
        assert!(said.contains(&format!("{name} leads to {}", behind.display())), "{said}");
        assert_eq!(hashes(&[&other, &target]), before, "{name}");
        fs::remove_file(&link).expect("remove the link");
        if there {
            fs::rename(&aside, &link).expect("put it back");
        }
    }
    // A disk of its own that was emptied is used; a file's link and a file's second name go, and what they lead to stays.
    let wal = folder(&world, "wal");
    fs::remove_dir_all(target.join("pg_wal")).expect("remove");
    symlink(&wal, target.join("pg_wal")).expect("link");
    fs::rename(target.join("PG_VERSION"), other.join("PG_VERSION")).expect("move");
    symlink(other.join("PG_VERSION"), target.join("PG_VERSION")).expect("link");
    fs::write(target.join(&heap), "changed").expect("change");
    fs::hard_link(target.join(&heap), other.join("second")).expect("link");
    let before = hashes(&[&other]);
    world.run(&args).fine();
    assert_eq!(hashes(&[&other]), before);
    assert!(target.join("pg_wal").is_symlink() && fs::read_dir(&wal).expect("look").count() > 0);
    world.pg.stop();
    let restored = Pg::promoted(15, &target);
    assert_eq!(restored.psql("postgres", "select count(*) from big"), "1000");
}

/// Names, links and the sums of all files below.
fn hashes(dirs: &[&Path]) -> String {
    let script = "for d; do find \"$d\" -printf '%P %y %l %m\\n' | sort; find \"$d\" -type f -exec sha256sum {} + | sort; done";
    let done = Command::new("sh").args(["-c", script, "sh"]).args(dirs).output().expect("run find");
    assert!(done.status.success(), "{done:?}");
    String::from_utf8_lossy(&done.stdout).into_owned()
}

#[test]
fn a_delta_restore_spares_what_is_not_ours() {
    let mut world = lab(15);
    let one = folder(&world, "one");
    world.pg.psql("postgres", &format!("create tablespace one location '{}'", one.display()));
    fill(&world, 1000);
    world.pg.psql("postgres", "create table there tablespace one as select * from big");
    fs::create_dir_all(one.join("lost+found/1")).expect("make a folder");
    fs::create_dir_all(one.join("PG_14_202107181/5")).expect("make a folder");
    fs::write(one.join("PG_14_202107181/5/16384"), "the old server's").expect("write");
    back_up(&world, &[]);
    world.pg.psql("postgres", "create table more tablespace one as select * from big");
    world.pg.stop();
    let data = world.pg.data_dir().to_path_buf();
    world.run(&["restore", "--pgdata", &data.display().to_string(), "--delta"]).fine();
    assert_eq!(fs::read(one.join("PG_14_202107181/5/16384")).expect("spared"), b"the old server's");
    assert!(one.join("lost+found/1").exists());
    let restored = Pg::promoted(15, &data);
    assert_eq!(restored.psql("postgres", "select count(*) from there"), "1000");
    assert_eq!(restored.psql("postgres", "select count(*) from pg_class where relname = 'more'"), "0");
}
