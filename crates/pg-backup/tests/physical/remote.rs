//! A backup host: the same backup over the replication protocol, from a server that it cannot read a file of.

use crate::lab::{back_up, content, fill, folder, lab, restore};
use crate::world::World;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use testkit::pg::{as_owner, majors};
use testkit::{Cable, Pg, until};

/// Majors that can be asked.
fn remote_majors() -> impl Iterator<Item = u32> {
    majors().into_iter().filter(|major| *major >= 15)
}

/// Every file below `dir`, with its content, but what differs from one backup to the next by nature.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![dir.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(dir).expect("below it").to_path_buf();
            let text = name.display().to_string();
            let own = [
                "backup_label",
                "backup_manifest",
                "global/pg_control",
                "postgresql.auto.conf",
                "tablespace_map",
            ];
            if !own.contains(&text.as_str()) && !text.starts_with("pg_wal/") {
                found.insert(name, fs::read(&path).expect("read"));
            }
        }
    }
    found
}

/// From now on with the rights alone that the guide gives.
fn lend_role(world: &mut World) {
    let url = world.pg.url().replace("postgresql://postgres@", "postgresql://backup@");
    world.set("DATABASE_URL", &url);
}

#[test]
fn it_is_the_local_one_page_by_page() {
    for major in remote_majors() {
        eprintln!("PostgreSQL {major}");
        let pg = Pg::builder_major(major).hba("local all all trust").hba("local replication all trust");
        let mut world = World::with(pg.start());
        fs::set_permissions(world.dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .expect("open it");
        let one = folder(&world, "one").display().to_string();
        world.pg.psql("postgres", &format!("create tablespace one location '{one}'"));
        fill(&world, 50_000);
        world.pg.psql(
            "postgres",
            "create role backup login replication; grant pg_read_all_settings to backup; create table away tablespace one as select generate_series(1, 1000) n; create unlogged table quick as select 1 n; \
             vacuum freeze; checkpoint",
        );
        let base = world.dir.path().to_path_buf();
        let map = |name: &str| format!("{one}={}", base.join(name).display());
        back_up(&world, &[]);
        let local = restore(&world, "local", &["-T", &map("local-one")]);
        let remote_url = format!("file://{}", world.path("remote-repo").display());
        let args = ["--remote", "--repo", &remote_url];
        let full = {
            let args: Vec<&str> = ["run", "--json"].iter().chain(&args).copied().collect();
            lend_role(&mut world);
            let plan = world.run(&[&args[..], &["--dry-run"]].concat()).json().remove(0);
            assert!(plan["files"].is_null() && plan["bytes"].as_u64() > Some(20 << 20), "{plan}");
            assert!(plan["tablespaces"] == 1 && plan["built_on"].is_null(), "{plan}");
            assert!(!world.path("remote-repo").exists(), "a plan stores nothing");
            world.run(&args).json().remove(0)
        };
        assert!(full["built_on"].is_null(), "{full}");
        let remote = restore(&world, "remote", &["-T", &map("remote-one"), "--repo", &remote_url]);
        let (ours, theirs) = (files(&remote), files(&local));
        let differ: Vec<&PathBuf> =
            theirs.keys().filter(|name| ours.get(*name) != theirs.get(*name)).collect();
        assert_eq!((differ, ours.len()), (Vec::new(), theirs.len()), "PostgreSQL {major}");

        // Only what changed is stored, and local and remote runs build on each other.
        world.pg.psql("postgres", "update big set t = 'x' where n % 1000 = 0");
        let next = back_up(&world, &["--remote", "--repo", &remote_url]);
        assert_eq!(next["built_on"], full["id"]);
        let bytes = |record: &serde_json::Value, name: &str| record[name].as_u64().expect("a number");
        assert!(bytes(&next, "stored_bytes") * 3 < bytes(&full, "stored_bytes"), "{next}");
        let url = world.pg.url();
        world.set("DATABASE_URL", &url);
        let third = back_up(&world, &["--repo", &remote_url]);
        assert_eq!(third["built_on"], next["id"]);
        world.run(&["verify", "--repo", &remote_url]).fine();
        let before = content(&world.pg);
        world.pg.stop();
        for (number, id) in [&next, &third].into_iter().enumerate() {
            let id = id["id"].as_str().expect("an id");
            let (name, place) = (format!("again-{number}"), map(&format!("again-one-{number}")));
            let target = restore(&world, &name, &[id, "-T", &place, "--repo", &remote_url]);
            let pg = Pg::promoted(major, &target);
            assert_eq!(content(&pg), before);
            assert_eq!(pg.psql("postgres", "select count(*) from away"), "1000");
        }
    }
}

/// A page that is damaged over there is reported, and the backup is kept.
#[test]
fn damage_over_there_is_told() {
    for major in remote_majors() {
        let mut world = lab(major);
        fill(&world, 20_000);
        let file = world.pg.psql("postgres", "checkpoint; select pg_relation_filepath('big')");
        let path = world.pg.data_dir().join(file.lines().last().expect("a path"));
        world.pg.stop();
        let relation = fs::File::options().write(true).open(&path).expect("open");
        relation.write_all_at(b"damage", 5 * 8192 + 4000).expect("write");
        world.pg.restart();
        let ran = world.run(&["run", "--remote", "--json"]);
        let record = ran.ended(3).remove(0);
        assert_eq!(record["damaged_pages"], 1, "PostgreSQL {major}: {ran:?}");
        assert!(ran.stderr.contains("block 5"), "{}", ran.stderr);
    }
}

/// Cut off, restarted, without room for its WAL: no half of a backup, a clear line, the right status; then it works again.
#[test]
fn what_breaks_it_off_is_named() {
    let pg = Pg::builder_major(15).set("max_wal_size=32MB").set("min_wal_size=32MB").tcp();
    let pg = pg.hba("host all all 127.0.0.1/32 trust").hba("host replication all 127.0.0.1/32 trust").start();
    let mut world = World::with(pg);
    fs::set_permissions(world.dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("open it");
    fill(&world, 200_000);
    let socket = world.pg.url();
    let cable = Cable::to(([127, 0, 0, 1], world.pg.port()).into());
    let over = |port: u16| format!("postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=disable");
    world.set("DATABASE_URL", &over(cable.addr().port()));
    let none = |world: &World| _ = world.run(&["list"]).refused(2, "holds no backup");

    cable.cut_after(3 << 20);
    let ran = world.run(&["run", "--remote"]);
    ran.refused(75, "connection");
    none(&world);
    cable.mend();

    // Slowly, so that there is time to do something to the server.
    let slow = ["run", "--remote", "--max-rate", "2M"];
    let copying = |world: &World| {
        let sql = "select phase from pg_stat_progress_basebackup";
        until("it streams", Duration::from_secs(60), || match world.pg.psql("postgres", sql) {
            phase if phase.contains("streaming") => Ok(()),
            phase => Err(phase),
        });
    };
    let child = world.command(&slow).spawn().expect("start");
    copying(&world);
    world.pg.restart();
    let ran = testkit::ended(child);
    assert_eq!(ran.status, Some(75), "{ran:?}");
    none(&world);

    // The slot is lost, and the WAL with it.
    world.pg.set_parameter("max_slot_wal_keep_size", "1MB");
    let child = world.command(&slow).spawn().expect("start");
    copying(&world);
    for _ in 0..8 {
        world.pg.psql(
            "postgres",
            "create table if not exists noise as select 1 n; select pg_switch_wal(); checkpoint",
        );
        world.pg.psql("postgres", "insert into noise select generate_series(1, 50000); checkpoint");
    }
    let ran = testkit::ended(child);
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("has already been removed"), "{}", ran.stderr);
    none(&world);

    world.pg.set_parameter("max_slot_wal_keep_size", "-1");
    world.run(&["run", "--remote"]).fine();
    world.set("DATABASE_URL", &socket);
    let before = content(&world.pg);
    let target = restore(&world, "restored", &[]);
    let pg = Pg::promoted(15, &target);
    assert_eq!(content(&pg), before);
    let left =
        as_owner(Path::new("/usr/bin/find")).arg(world.path("state/receive")).output().expect("run find");
    assert!(left.stdout.split(|b| *b == b'\n').count() <= 2, "{left:?}");
}

#[test]
fn what_cannot_be_is_refused() {
    let world = World::with(Pg::builder().hba("local all all trust").start());
    world.pg.psql("postgres", "create role weak login; grant pg_read_all_settings to weak");
    let url = world.pg.url().replace("postgresql://postgres@", "postgresql://weak@");
    let ran = world.run(&["run", "--remote", "--db", &url]);
    ran.refused(1, "lacks rights");
    assert!(
        ran.stderr.contains("alter role \"weak\" replication") && !ran.stderr.contains("pg_backup_start"),
        "{ran:?}"
    );
}
