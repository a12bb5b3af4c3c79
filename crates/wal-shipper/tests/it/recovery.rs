//! `fetch` as a server's restore_command: recovery goes on to the end of the archive, and never ends early by mistake.

use crate::world::World;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use testkit::pg::as_owner;
use testkit::{Pg, majors, until};

/// A copy of `base` that recovers by `command`.
fn recovering(world: &World, base: &Path, name: &str, command: &str) -> PathBuf {
    let target = world.folder(name);
    let copied = Command::new("cp").arg("-a").arg(base.join(".")).arg(&target).status().expect("run cp");
    assert!(copied.success());
    let settings = format!("\nrestore_command = '{command}'\narchive_mode = off\n");
    let auto = target.join("postgresql.auto.conf");
    let old = fs::read_to_string(&auto).expect("read");
    fs::write(&auto, old + &settings).expect("write");
    fs::write(target.join("recovery.signal"), "").expect("write");
    world.give_all(name);
    fs::set_permissions(&target, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("close it");
    target
}

/// Writes `n` segments with a row in each, and waits until all are archived.
fn written(world: &World, n: i32) -> Vec<String> {
    world.pg.psql("postgres", "create table if not exists ledger (n int)");
    let names: Vec<String> = (0..n)
        .map(|i| {
            world.pg.psql("postgres", &format!("insert into ledger values ({i})"));
            world.pg.switch_wal()
        })
        .collect();
    names.iter().for_each(|name| world.pg.wait_until_archived(name));
    names
}

#[test]
fn recovery_ends_at_the_end_of_the_archive() {
    for major in majors() {
        let world = World::archiving(major);
        let base = world.path("base");
        world.pg.base_backup(&base);
        written(&world, 12);
        let target = recovering(&world, &base, "target", &format!("{} %f %p", world.command("fetch")));
        let pg = Pg::promoted(major, &target);
        assert_eq!(pg.psql("postgres", "select count(*) from ledger"), "12");
    }
}

/// Starts a server whose recovery must not end; its log. Before it stops it may answer read-only for a moment.
fn refused(world: &World, dir: &Path) -> String {
    let log = world.folder("log").join("server.log");
    let _ = fs::remove_file(&log);
    let control = |args: &[&str]| {
        let mut program = as_owner(&world.pg.bin("pg_ctl"));
        program
            .args(args)
            .arg("-D")
            .arg(dir)
            .arg("-l")
            .arg(&log)
            .output()
            .expect("run pg_ctl")
            .status
            .success()
    };
    let socket = format!("-c listen_addresses= -c unix_socket_directories={}", world.folder("log").display());
    control(&["start", "-W", "-o", &socket]);
    let said = || fs::read_to_string(&log).unwrap_or_default();
    until("it stops by itself", Duration::from_secs(60), || {
        if said().contains("database system is shut down") { Ok(()) } else { Err(said()) }
    });
    assert!(!control(&["status"]), "it runs: {}", said());
    assert!(dir.join("recovery.signal").exists(), "it was promoted: {}", said());
    said()
}

#[test]
fn a_hole_and_damage_stop_recovery_and_promote_nothing() {
    let world = World::archiving(15);
    let base = world.path("base");
    world.pg.base_backup(&base);
    let names = written(&world, 6);
    let command = format!("{} %f %p", world.command("fetch"));

    let lost = world.object(&names[3]);
    let kept = fs::read(&lost).expect("read");
    fs::remove_file(&lost).expect("lose a segment");
    let log = refused(&world, &recovering(&world, &base, "hole", &command));
    assert!(
        log.contains(&format!("{} is missing: there is WAL after it, from {}", names[3], names[4])),
        "{log}"
    );

    let mut flipped = kept.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    fs::write(&lost, flipped).expect("flip");
    let log = refused(&world, &recovering(&world, &base, "flipped", &command));
    assert!(log.contains("is damaged"), "{log}");

    fs::write(&lost, kept).expect("mend");
    let pg = Pg::promoted(15, &recovering(&world, &base, "mended", &command));
    assert_eq!(pg.psql("postgres", "select count(*) from ledger"), "6");
}

#[test]
fn an_unreachable_repository_stops_recovery() {
    let world = World::archiving(15);
    let base = world.path("base");
    world.pg.base_backup(&base);
    written(&world, 3);
    let nobody = "TOBAN_RETRY_FOR=1s AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=b AWS_REGION=x";
    let command = format!(
        "{nobody} {} fetch --repo s3://nobody/x --s3-endpoint http://127.0.0.1:9 %f %p",
        world.program().display()
    );
    let log = refused(&world, &recovering(&world, &base, "target", &command));
    assert!(log.contains("exit code 255") || log.contains("127.0.0.1:9"), "{log}");
}

#[test]
fn the_status_of_every_answer() {
    let world = World::archiving(15);
    let names = written(&world, 3);
    let data = world.folder("data");
    fs::create_dir_all(data.join("global")).expect("make a folder");
    fs::create_dir_all(data.join("pg_wal")).expect("make a folder");
    fs::copy(world.pg.data_dir().join("global/pg_control"), data.join("global/pg_control")).expect("copy");
    let fetch = |args: &[&str]| world.run_in(&data, &[&["fetch", "--ahead", "0"], args].concat());
    let wanted = "pg_wal/RECOVERYXLOG";

    fetch(&[&names[1], wanted]).ended_with(0, "");
    let same = fs::read(data.join(wanted)).expect("read")
        == fs::read(world.pg.data_dir().join("pg_wal").join(&names[1])).unwrap_or_default();
    assert!(same, "byte for byte");
    fetch(&["0000000100000000000000FE", wanted]).ended_with(1, "in no repository");
    fetch(&["00000002.history", "pg_wal/RECOVERYHISTORY"]).ended_with(1, "in no repository");
    fetch(&["nonsense", wanted]).ended_with(255, "not the name of a file");
    fetch(&["--nonsense"]).ended_with(255, "--nonsense");
    let behind_a_flag =
        world.run_in(&data, &["--quiet", "fetch", "--repo", "/nowhere/at/all", &names[1], wanted]);
    behind_a_flag.ended_with(255, "");
    fetch(&["--repo", "/nowhere/at/all", &names[1], wanted]).ended_with(255, "");

    fs::remove_file(world.object(&names[1])).expect("lose a segment");
    fetch(&[&names[1], wanted]).ended_with(255, "is missing: there is WAL after it");
    // What recovery has at hand counts as much: a backup carries its own WAL.
    fs::copy(data.join(wanted), data.join("pg_wal").join(&names[1])).expect("copy");
    fetch(&[&names[1], wanted]).ended_with(1, "in no repository");
    let away = ["--repo", "/nowhere/at/all", &names[1], wanted];
    // The last of them may end anywhere: what follows its end is in the repository, which does not answer.
    fetch(&away).ended_with(255, "");
    let theirs = world.pg.data_dir().join("pg_wal").join(&names[2]);
    fs::copy(theirs, data.join("pg_wal").join(&names[2])).expect("copy");
    fetch(&away).ended_with(1, "in no repository");
    fs::remove_file(data.join("pg_wal").join(&names[1])).expect("remove");
    fs::write(data.join("standby.signal"), "").expect("write");
    fetch(&[&names[1], wanted]).ended_with(1, "is missing: there is WAL after it");
}
