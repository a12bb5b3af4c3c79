//! `fetch` as a server's restore_command: recovery goes on to the end of the archive, and never ends early by mistake.

use crate::world::{World, ended, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use testkit::pg::{as_owner, clean};
use testkit::{Pg, majors, until};

/// A base backup by PostgreSQL's own program, without WAL: recovery needs the archive.
fn base(world: &World) -> PathBuf {
    let target = world.path("base");
    let mut program = clean(&world.pg.bin("pg_basebackup"));
    let done =
        program.args(["-X", "none", "-c", "fast", "--no-sync", "-d", &world.pg.url(), "-D"]).arg(&target);
    let done = done.output().expect("run pg_basebackup");
    assert!(done.status.success(), "{}", text(&done.stderr));
    target
}

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
    let owned =
        Command::new("chown").arg("-R").arg("--reference").arg(world.pg.data_dir()).arg(&target).status();
    assert!(owned.expect("run chown").success());
    fs::set_permissions(&target, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("close it");
    target
}

fn promoted(major: u32, dir: &Path) -> Pg {
    let pg = Pg::builder_major(major).serve(dir).start();
    until("it is promoted", Duration::from_secs(60), || {
        match pg.psql("postgres", "select pg_is_in_recovery()").as_str() {
            "f" => Ok(()),
            _ => Err(pg.log()),
        }
    });
    pg
}

/// Writes `n` segments with a row in each, and waits until all are archived.
fn written(world: &World, n: i32) -> Vec<String> {
    world.pg.psql("postgres", "create table if not exists ledger (n int)");
    let names: Vec<String> = (0..n)
        .map(|i| {
            world.pg.psql("postgres", &format!("insert into ledger values ({i})"));
            world.switch()
        })
        .collect();
    names.iter().for_each(|name| world.archived(name));
    names
}

fn object(world: &World, name: &str) -> PathBuf {
    let system = world.pg.psql("postgres", "select system_identifier from pg_control_system()");
    world.path("repo").join(format!("main/{system}/wal/{}/{}/{name}", &name[..8], &name[8..16]))
}

#[test]
fn recovery_ends_at_the_end_of_the_archive() {
    for major in majors() {
        let world = World::archiving(major);
        let base = base(&world);
        written(&world, 12);
        let target = recovering(&world, &base, "target", &format!("{} %f %p", world.command("fetch")));
        let pg = promoted(major, &target);
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
    let base = base(&world);
    let names = written(&world, 6);
    let command = format!("{} %f %p", world.command("fetch"));

    let lost = object(&world, &names[3]);
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
    let pg = promoted(15, &recovering(&world, &base, "mended", &command));
    assert_eq!(pg.psql("postgres", "select count(*) from ledger"), "6");
}

#[test]
fn an_unreachable_repository_stops_recovery() {
    let world = World::archiving(15);
    let base = base(&world);
    written(&world, 3);
    let nobody = "TOBAN_RETRY_FOR=1s AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=b AWS_REGION=x";
    let command = format!(
        "{nobody} {} fetch --repo s3://nobody/x --s3-endpoint http://127.0.0.1:9 %f %p",
        world.path("wal-shipper").display()
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

    ended(&fetch(&[&names[1], wanted]), 0, "");
    let same = fs::read(data.join(wanted)).expect("read")
        == fs::read(world.pg.data_dir().join("pg_wal").join(&names[1])).unwrap_or_default();
    assert!(same, "byte for byte");
    ended(&fetch(&["0000000100000000000000FE", wanted]), 1, "in no repository");
    ended(&fetch(&["00000002.history", "pg_wal/RECOVERYHISTORY"]), 1, "in no repository");
    ended(&fetch(&["nonsense", wanted]), 255, "not the name of a file");
    ended(&fetch(&["--nonsense"]), 255, "--nonsense");
    let behind_a_flag =
        world.run_in(&data, &["--quiet", "fetch", "--repo", "/nowhere/at/all", &names[1], wanted]);
    ended(&behind_a_flag, 255, "");
    ended(&fetch(&["--repo", "/nowhere/at/all", &names[1], wanted]), 255, "");

    fs::remove_file(object(&world, &names[1])).expect("lose a segment");
    ended(&fetch(&[&names[1], wanted]), 255, "is missing: there is WAL after it");
    // What recovery has at hand counts as much: a backup carries its own WAL.
    fs::copy(data.join(wanted), data.join("pg_wal").join(&names[1])).expect("copy");
    ended(&fetch(&[&names[1], wanted]), 1, "in no repository");
    fs::remove_file(data.join("pg_wal").join(&names[1])).expect("remove");
    fs::write(data.join("standby.signal"), "").expect("write");
    ended(&fetch(&[&names[1], wanted]), 1, "is missing: there is WAL after it");
}
