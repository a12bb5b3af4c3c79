//! What cannot be: one clear line, the right status, nothing left.

use crate::lab::{back_up, fill, lab};
use crate::world::World;
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Stdio};
use testkit::Pg;

#[test]
fn what_a_run_refuses() {
    let world = lab(15);
    world.pg.psql("postgres", "create role weak login");
    let weak = world.pg.conninfo("postgres").replace("user=postgres", "user=weak");
    let said = world.run(&["run", "--db", &weak]).refused(1, "role \"weak\" lacks rights");
    for grant in
        ["on function pg_backup_start", "on function pg_backup_stop", "replication", "pg_read_all_settings"]
    {
        assert!(said.contains(grant), "{grant}: {said}");
    }
    world.pg.psql(
        "postgres",
        "grant execute on function pg_backup_start, pg_backup_stop to weak; alter role weak replication; \
         grant pg_read_all_settings to weak",
    );
    world.run(&["run", "--db", &weak]).fine();
    world.run(&["run", "--data-dir", "/nowhere"]).refused(1, "run it on the server's machine");
    world.run(&["run", "--level", "30"]).refused(2, "--level 30");
    world.run(&["restore", "20261121T030000Z-120034", "--pgdata", "/tmp/x"]).refused(2, "no backup");
    let other = lab(15);
    // Every test server of a major has the same identifier, as a standby has.
    let data = other.pg.data_dir().display().to_string();
    world.run(&["run", "--data-dir", &data]).refused(1, "the data directory of another server");
    let fresh = Pg::builder_major(16).start();
    world.run(&["run", "--db", &fresh.url()]).refused(1, "--new-system");
    world.run(&["run", "--db", &fresh.url(), "--new-system"]).fine();
}

#[test]
fn minimal_wal() {
    let world = World::with(Pg::start(&["wal_level=minimal", "max_wal_senders=0"]));
    world.run(&["run"]).refused(1, "wal_level=minimal");
    let world = World::with(Pg::start(&["max_replication_slots=0"]));
    world.run(&["run"]).refused(1, "max_replication_slots");
}

#[test]
fn what_a_restore_refuses() {
    let world = lab(15);
    fill(&world, 1000);
    back_up(&world, &[]);
    let live = world.pg.data_dir().display().to_string();
    world.run(&["restore", "--pgdata", &live, "--delta"]).refused(1, "a server runs in");
    let home = world.path("home");
    std::fs::create_dir_all(home.join("photos")).expect("make a folder");
    let dir = home.display().to_string();
    world.run(&["restore", "--pgdata", &dir]).refused(1, "is not empty");
    world.run(&["restore", "--pgdata", &dir, "--delta"]).refused(1, "no data directory");
    std::fs::write(home.join("PG_VERSION"), "16\n").expect("write");
    world.run(&["restore", "--pgdata", &dir, "--delta"]).refused(1, "of PostgreSQL 16, the backup of 15");
    assert!(home.join("photos").exists());
    let new = world.path("new").display().to_string();
    world.run(&["restore", "--pgdata", &new, "-T", "/x=/y"]).refused(2, "has a tablespace in /x");
    world.run(&["restore", "--pgdata", &new, "--dry-run"]).fine();
    assert!(!world.path("new").exists());
}

#[test]
fn a_second_run_names_the_first() {
    let world = lab(15);
    fill(&world, 1000);
    let mut first = world.command(&["run", "--max-rate", "1M"]).spawn().expect("start");
    let lock = world.path("state/lock");
    testkit::until("the first holds the lock", std::time::Duration::from_secs(20), || {
        lock.read_dir().ok().and_then(|mut d| d.next()).map(|_| ()).ok_or("not yet".into())
    });
    world.run(&["run"]).refused(75, &format!("already running: pid {}", first.id()));
    let _ = first.kill();
    let _ = first.wait();
}

#[test]
fn a_repository_of_a_later_program() {
    let world = lab(15);
    fill(&world, 1000);
    back_up(&world, &[]);
    let target = world.path("t").display().to_string();
    let object = |name: &str| world.files().into_iter().find(|f| f.ends_with(name)).expect("it is there");
    let manifest = object("backup.json");
    let old = std::fs::read_to_string(&manifest).expect("read");
    std::fs::write(&manifest, sealed(&old.replace("\"format\": 1,", "\"format\": 4,"))).expect("write");
    let said =
        world.run(&["restore", "--pgdata", &target]).refused(2, "has format 4; this program reads up to 3");
    assert!(said.contains("hint: use a newer version of toban"), "{said}");
    world.run(&["verify"]).refused(2, "has format 4");
    world.run(&["list"]).refused(2, "has format 4");
    std::fs::write(&manifest, &old).expect("write");
    world.run(&["verify"]).fine();
    let cluster = object("cluster.json");
    let old = std::fs::read_to_string(&cluster).expect("read");
    std::fs::write(&cluster, old.replace("\"format\": 1,", "\"format\": 2,")).expect("write");
    world.run(&["run"]).refused(2, "has format 2");
}

/// The manifest with the sum of what it now says, by sha256sum.
fn sealed(json: &str) -> String {
    let (_, rest) = json.split_once("\",").expect("the sum is its first member");
    let mut sum =
        Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start");
    sum.stdin.take().expect("piped").write_all(rest.as_bytes()).expect("write");
    let said = sum.wait_with_output().expect("wait");
    let sum = String::from_utf8_lossy(&said.stdout)[..64].to_string();
    format!("{{\n  \"sha256\": \"{sum}\",{rest}")
}

/// Changes what backup.json of this backup says, and seals it again.
pub(crate) fn rewrite_manifest(world: &World, id: &str, edit: impl FnOnce(&mut Value)) {
    let manifest = world.files().into_iter().find(|f| f.ends_with(format!("{id}/backup.json")));
    let manifest = manifest.expect("it is there");
    let mut json: Value =
        serde_json::from_str(&std::fs::read_to_string(&manifest).expect("read")).expect("JSON");
    json.as_object_mut().expect("an object").remove("sha256");
    edit(&mut json);
    let text = serde_json::to_string_pretty(&json).expect("JSON");
    let text = format!("{{\n  \"sha256\": \"x\",{}\n", text.trim_start_matches('{'));
    std::fs::write(&manifest, sealed(&text)).expect("write");
}

/// A repository by somebody else's hand, whose sums all hold.
#[test]
fn what_verify_refuses_no_restore_takes() {
    let world = lab(15);
    fill(&world, 1000);
    let id = back_up(&world, &[])["id"].as_str().expect("an id").to_string();
    let index = world.files().into_iter().find(|f| f.ends_with("files.jsonl.zst")).expect("it is there");
    let kept = std::fs::read(&index).expect("read");
    let shell = |script: &str| {
        let done = Command::new("sh").args(["-c", script, "sh"]).arg(&index).output().expect("run sh");
        assert!(done.status.success(), "{done:?}");
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    let lines = shell("zstd -dc \"$1\"");
    let size = |name: &str| {
        let line = lines.lines().find(|l| l.contains(&format!("\"{name}\""))).expect("a line");
        serde_json::from_str::<Value>(line).expect("JSON")["size"].as_u64().expect("a size")
    };
    let label = size("backup_label");
    let target = world.path("t").display().to_string();
    let cases = [
        ("grep -v '/PG_VERSION\"'", 0, 0, "has"),
        ("grep -v '\"backup_label\"'", 1, label, "has no backup_label"),
        ("grep -v '\"global/pg_control\"'", 1, size("global/pg_control"), "has no global/pg_control"),
        ("sed 's/\"stored\":[0-9]*/\"stored\":4000000000/'", 0, 0, "does not make up"),
    ];
    for (edit, files, bytes, words) in cases {
        std::fs::write(&index, &kept).expect("write");
        shell(&format!("zstd -dc \"$1\" | {edit} | zstd -qc > \"$1.new\" && mv \"$1.new\" \"$1\""));
        let sum = shell("sha256sum < \"$1\"")[..64].to_string();
        let length = index.metadata().expect("look").len();
        let mut was = Value::Null;
        rewrite_manifest(&world, &id, |json| {
            was = json.clone();
            json["index"] = serde_json::json!({ "bytes": length, "sha256": sum });
            json["files"] = (json["files"].as_u64().expect("a number") - files).into();
            json["bytes"] = (json["bytes"].as_u64().expect("a number") - bytes).into();
        });
        world.run(&["verify"]).refused(5, words);
        world.run(&["restore", "--pgdata", &target]).refused(5, words);
        assert!(!world.path("t").exists(), "{edit}: something was written");
        rewrite_manifest(&world, &id, |json| *json = was);
    }
}

#[test]
fn another_machine_is_told() {
    let world = lab(15);
    fill(&world, 1000);
    back_up(&world, &[]);
    let manifest = world.files().into_iter().find(|f| f.ends_with("backup.json")).expect("it is there");
    let old = std::fs::read_to_string(&manifest).expect("read");
    let library = old.lines().find(|l| l.contains("\"icu_library\"")).expect("Debian's server has ICU");
    let new = old
        .replace("\"glibc 2.", "\"glibc 9.")
        .replace(library, "    \"icu_library\": \"/lib/libicuuc.so.999.1\",")
        .replace("\"C.UTF-8\"\n    ]", "\"xx_YY.UTF-8\"\n    ]");
    std::fs::write(&manifest, sealed(&new)).expect("write");
    let target = world.path("t").display().to_string();
    let ran = world.run(&["restore", "--pgdata", &target]);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    for what in ["glibc 9.", "libicuuc.so.999.1", "xx_YY.UTF-8", "reindex"] {
        assert!(ran.stderr.contains(what), "{what}: {}", ran.stderr);
    }
}

#[test]
fn a_dry_run_shows_and_leaves_nothing() {
    let world = lab(15);
    fill(&world, 1000);
    let plan = world.run(&["run", "--dry-run", "--json"]).json();
    assert_eq!((&plan[0]["checksums"], &plan[0]["standby"]), (&true.into(), &false.into()));
    assert!(plan[0]["bytes"].as_u64().expect("a number") > 10 << 20, "{plan:?}");
    assert!(!world.path("repo").exists());
}

#[test]
fn wal_that_the_server_took_away() {
    let pg = Pg::builder_major(15).set("max_slot_wal_keep_size=48MB").set("wal_keep_size=0");
    let world = World::with(pg.set("max_wal_size=64MB").set("min_wal_size=32MB").start());
    fill(&world, 1000);
    let mut first = world.command(&["run", "--max-rate", "3M"]).spawn().expect("start");
    let began = "select count(*) from pg_replication_slots";
    testkit::until("the backup begins", std::time::Duration::from_secs(30), || {
        assert!(first.try_wait().expect("ask for it").is_none(), "it ended too soon");
        match world.pg.psql("postgres", began).as_str() {
            "1" => Ok(()),
            n => Err(n.to_string()),
        }
    });
    for _ in 0..6 {
        let sql = "create table much as select n, md5(n::text) from generate_series(1, 300000) n; drop table much; checkpoint";
        world.pg.psql("postgres", sql);
    }
    let ran = crate::world::ended(first);
    match ran.status {
        // All that it needs was copied before it went.
        Some(0) => world.run(&["verify"]).fine(),
        _ => ran.refused(1, "raise max_slot_wal_keep_size"),
    };
    world.run(&["run"]).fine();
    world.run(&["verify", "--newest"]).fine();
}

#[test]
fn a_restored_server_leaves_the_old_archive_alone() {
    let mut world = lab(15);
    fill(&world, 1000);
    let mark = world.path("marks");
    std::fs::create_dir(&mark).expect("make a folder");
    std::fs::set_permissions(&mark, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("open it");
    let touch = |name: &str| format!("touch {}/{name}", mark.display());
    let sql = format!(
        "alter system set archive_command = '{}'; alter system set archive_cleanup_command = '{}'; \
         alter system set recovery_end_command = '{}'; alter system set archive_mode = on",
        touch("pushed"),
        touch("cleaned"),
        touch("ended")
    );
    sql.split("; ").for_each(|sql| drop(world.pg.psql("postgres", sql)));
    back_up(&world, &[]);
    world.pg.stop();
    let restored = testkit::Pg::promoted(15, &crate::lab::restore(&world, "restored", &[]));
    restored.psql("postgres", "select pg_switch_wal(); checkpoint");
    assert_eq!(restored.psql("postgres", "show archive_mode"), "off");
    assert_eq!(std::fs::read_dir(&mark).expect("list").count(), 0, "a command ran");
}
