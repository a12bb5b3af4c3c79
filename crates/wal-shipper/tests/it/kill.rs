//! Killed at any moment: no hole, nothing under a wrong name, nothing half; of two servers one wins.

use crate::world::World;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use testkit::{Dice, majors, rounds, seed, until};

/// How often a push that was missed is tried again.
const TRIES: usize = 4;

/// Every object of the archive, by the segment's name.
fn objects(world: &World) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    walk(&world.path("repo"), &mut found);
    found
}

fn walk(dir: &Path, found: &mut Vec<(String, PathBuf)>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        match entry.path().is_dir() {
            true if !name.starts_with('.') => walk(&entry.path(), found),
            false if name.len() == 24 => found.push((name, entry.path())),
            _ => {}
        }
    }
}

/// One stretch from the first segment to `last`, and nothing that `check` complains of.
fn no_hole(world: &World, last: &str) {
    let listed = world.run(&["list"]).stdout;
    let missing: Vec<&str> = listed.lines().filter(|l| l.contains("missing")).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(listed.contains(last), "{last} is not the end of {listed}");
    world.run(&["check"]).ended_with(0, "");
}

/// Every object unpacks to what the server wrote.
fn same_content(world: &World) {
    for (name, object) in objects(world) {
        let unpacked = Command::new("zstd").args(["-q", "-dc"]).arg(&object).output().expect("run zstd");
        assert!(unpacked.status.success(), "{name}: {unpacked:?}");
        let wrote = fs::read(world.pg.data_dir().join("pg_wal").join(&name)).expect("the server's own");
        assert!(unpacked.stdout == wrote, "{name} is not what the server wrote");
    }
}

/// A server that archives, and keeps all it wrote as a judge.
fn judged(major: u32) -> World {
    let world = World::archiving(major);
    world.pg.set_parameter("wal_keep_size", "8GB");
    world
}

fn pushers(world: &World) -> Vec<u32> {
    let program = world.program();
    let entries = fs::read_dir("/proc").expect("list /proc").flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program)).collect()
}

/// Those of a millisecond later: a push takes some thirty.
fn soon_pushers(world: &World) -> Vec<u32> {
    std::thread::sleep(Duration::from_millis(1));
    pushers(world)
}

#[test]
fn push_and_server_at_random_moments() {
    let majors = majors();
    let rounds = rounds(6).div_ceil(majors.len());
    let mut dice = Dice::new(seed());
    for major in majors {
        let mut world = judged(major);
        let mut last = world.pg.switch_wal();
        world.pg.wait_until_archived(&last);
        let length = length(&world);
        let mut hits = 0;
        for round in 0..rounds {
            let mut moment = length.mul_f64((round as f64 + dice.part()) / rounds as f64);
            // The archiver starts it, not we: it may be over before we see it, and is tried again, sooner.
            let hit = (0..TRIES).any(|_| {
                let (name, hit) = kill_a_push(&world, moment);
                last = name;
                moment /= 2;
                hit
            });
            hits += usize::from(hit);
            if round % 3 == 2 {
                world.pg.kill();
                world.pg.restart();
            }
        }
        archiver_runs(&world);
        world.pg.wait_until_archived(&last);
        eprintln!("PostgreSQL {major}: {hits} of {rounds} kills hit a push");
        assert!(hits * 2 >= rounds, "only {hits} of {rounds} kills hit");
        no_hole(&world, &last);
        same_content(&world);
    }
}

/// How long an undisturbed push takes.
fn length(world: &World) -> Duration {
    let name = world.pg.ship_wal();
    let copy = world.folder("length/pg_wal").join(&name);
    fs::copy(world.pg.data_dir().join("pg_wal").join(&name), &copy).expect("copy a segment");
    let repo = world.folder("length/repo").display().to_string();
    let begun = Instant::now();
    world.run(&["push", "--repo", &repo, &copy.display().to_string()]).ended_with(0, "");
    begun.elapsed()
}

/// Waits until the archiver is back: it dies with a command that is killed, and PostgreSQL starts it 10 s later, but
/// only when something else wakes it.
fn archiver_runs(world: &World) {
    until("the archiver runs", Duration::from_secs(60), || {
        let sql = "select count(*) from pg_stat_activity where backend_type = 'archiver'";
        if world.pg.psql("postgres", sql) == "1" { Ok(()) } else { Err(world.pg.log()) }
    });
}

/// Ends a segment, and kills the push `after` that was seen at work: the name, and whether the kill hit.
fn kill_a_push(world: &World, after: Duration) -> (String, bool) {
    archiver_runs(world);
    let name = OnceLock::new();
    let hit = std::thread::scope(|scope| {
        // Beside us: a push may be over before psql is.
        scope.spawn(|| name.set(world.pg.switch_wal()));
        let over = || name.get().is_some_and(|name| world.pg.is_archived(name));
        let found = until("a push runs, or is over", Duration::from_secs(90), || {
            match (0..50).map(|_| soon_pushers(world)).find(|found| !found.is_empty() || over()) {
                Some(found) => Ok(found),
                None => Err(world.pg.log()),
            }
        });
        std::thread::sleep(after);
        let hit = found.iter().any(|pid| pushers(world).contains(pid));
        found.iter().for_each(|pid| kill(*pid));
        hit
    });
    (name.into_inner().expect("switched"), hit)
}

fn kill(pid: u32) {
    let _ = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status();
}

#[test]
fn of_two_servers_that_push_one_name_exactly_one_wins() {
    let world = World::new(15);
    let names: Vec<String> = (0..4).map(|_| world.pg.switch_wal()).collect();
    for (round, name) in names.iter().enumerate() {
        let whole = fs::read(world.pg.data_dir().join("pg_wal").join(name)).expect("read a segment");
        let paths: Vec<PathBuf> = ["one", "two"]
            .iter()
            .enumerate()
            .map(|(side, folder)| {
                let mut bytes = whole.clone();
                let at = bytes.len() - 1 - side;
                bytes[at] ^= 0x55;
                let path = world.folder(&format!("{folder}-{round}/pg_wal")).join(name);
                fs::write(&path, bytes).expect("write");
                path
            })
            .collect();
        let push = |path: &Path| world.run(&["push", &path.display().to_string()]);
        let done = std::thread::scope(|scope| {
            let both: Vec<_> = paths.iter().map(|path| scope.spawn(|| push(path))).collect();
            both.into_iter().map(|t| t.join().expect("it ran")).collect::<Vec<_>>()
        });
        let well: Vec<usize> = (0..2).filter(|i| done[*i].status == Some(0)).collect();
        assert_eq!(well.len(), 1, "{done:?}");
        done[1 - well[0]].ended_with(1, "with other content");
        let (_, object) = objects(&world).into_iter().find(|(n, _)| n == name).expect("stored");
        let stored = Command::new("zstd").args(["-q", "-dc"]).arg(object).output().expect("run zstd").stdout;
        assert!(stored == fs::read(&paths[well[0]]).expect("read"), "the winner's content");
        // The loser does not win later either.
        push(&paths[1 - well[0]]).ended_with(1, "with other content");
        push(&paths[well[0]]).ended_with(0, "");
    }
}

#[test]
fn a_repository_that_is_not_required_does_not_hold_up_and_its_gap_is_told() {
    let world = World::new(15);
    let config = world.path("toban.toml");
    let (near, far) = (world.path("repo"), world.folder("far"));
    let text = format!(
        "[repo.near]\nurl = \"{}\"\n[repo.far]\nurl = \"{}\"\nrequired = false\n",
        near.display(),
        far.display()
    );
    fs::write(&config, text).expect("write");
    let program = world.program().display().to_string();
    let repos = format!("--config {} --repo near,far", config.display());
    world.pg.archive_by(&format!("{program} push {repos} %p"));
    world.pg.ship_wal();
    let check = |world: &World| {
        world.run(&["check", "--config", &config.display().to_string(), "--repo", "near,far"])
    };
    check(&world).ended_with(0, "");
    let away = world.path("away");
    fs::rename(&far, &away).expect("unmount it");
    let lost = world.pg.ship_wal();
    check(&world).ended_with(4, &format!("{lost} to {lost} did not come"));
    let list =
        |repos: &str| world.run(&["list", "--config", &config.display().to_string(), "--repo", repos]).stdout;
    let gaps = |said: &str| said.lines().filter(|l| l.starts_with("far\t") && l.contains("\tgap\t")).count();
    let known = list("near");
    assert!(gaps(&known) == 1 && known.contains(&format!("\t{lost}\t{lost}\t")), "{known}");
    fs::rename(&away, &far).expect("mount it");
    // Also where nothing comes behind it: a hole would not show.
    check(&world).ended_with(4, &format!("{lost} to {lost} did not come"));
    world.pg.ship_wal();
    let said = check(&world);
    said.ended_with(4, &format!("{lost} to {lost} are missing"));
    let listed = list("near,far");
    assert!(gaps(&listed) == 1 && listed.contains("repository far: "), "{listed}");
    // Brought over from the other repository, the gap is closed.
    let copied = Command::new("sh")
        .args(["-c", &format!("cp -an {}/. {}/", near.display(), far.display())])
        .status()
        .expect("run cp");
    assert!(copied.success());
    until("the gap is closed", Duration::from_secs(10), || match check(&world).status {
        Some(0) => Ok(()),
        other => Err(format!("{other:?} {said:?}")),
    });
    assert_eq!(gaps(&list("near,far")), 0);
}
