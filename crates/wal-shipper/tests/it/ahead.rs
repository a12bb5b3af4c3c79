//! Getting ahead: segments come before they are asked for, are checked before they are handed over, and leave nothing.

use crate::world::World;
use rustix::process::Pid;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use testkit::until;

/// A bare data directory to fetch into, and the names of `n` archived segments.
fn data(world: &World, n: usize) -> (PathBuf, Vec<String>) {
    let names = world.ship(n);
    let data = world.folder("data");
    fs::create_dir_all(data.join("global")).expect("make a folder");
    fs::create_dir_all(data.join("pg_wal")).expect("make a folder");
    fs::copy(world.pg.data_dir().join("global/pg_control"), data.join("global/pg_control")).expect("copy");
    (data, names)
}

fn spool(data: &Path) -> PathBuf {
    data.join("pg_wal/toban-ahead")
}

/// The complete file of `name` in the spool.
fn kept(data: &Path, name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(spool(data)).into_iter().flatten().flatten();
    entries
        .map(|e| e.path())
        .find(|p| p.file_name().is_some_and(|f| f.to_string_lossy().starts_with(&format!("{name}-"))))
}

fn waits_for(data: &Path, names: &[String]) {
    until("they are got ahead", Duration::from_secs(60), || {
        match names.iter().find(|n| kept(data, n).is_none()) {
            None => Ok(()),
            Some(name) => Err(name.clone()),
        }
    });
}

/// The process that looks after the spool.
fn keeper(data: &Path) -> Pid {
    let lock = fs::read_to_string(spool(data).join("lock")).expect("who looks after it");
    let pid = lock.strip_prefix("pid ").and_then(|l| l.split(',').next()?.parse().ok());
    Pid::from_raw(pid.expect("a process")).expect("a process")
}

/// Ends the process that stays: it goes when its folder is gone.
fn end(data: &Path) {
    let folder = spool(data);
    until("the process that gets ahead ends", Duration::from_secs(30), || {
        let _ = fs::remove_dir_all(&folder);
        if folder.exists() { Err("its folder is there".into()) } else { Ok(()) }
    });
}

#[test]
fn segments_come_ahead_and_the_store_is_not_asked_again() {
    let world = World::archiving(15);
    let (data, names) = data(&world, 6);
    let fetch = |name: &str| world.run_in(&data, &["fetch", "--ahead", "3", name, "pg_wal/RECOVERYXLOG"]);
    let content = |name: &str| fs::read(world.pg.data_dir().join("pg_wal").join(name)).ok();
    fetch(&names[0]).ended_with(0, "");
    waits_for(&data, &names[1..4]);
    assert!(kept(&data, &names[4]).is_none(), "no more than was asked for");
    // With the repository out of reach what was got ahead is still handed over.
    let away = world.path("away");
    fs::rename(world.path("repo"), &away).expect("move the repository away");
    fetch(&names[1]).ended_with(0, "");
    let handed = fs::read(data.join("pg_wal/RECOVERYXLOG")).expect("handed over");
    assert!(content(&names[1]).is_none_or(|c| c == handed), "byte for byte");
    fs::rename(&away, world.path("repo")).expect("move it back");
    fetch(&names[2]).ended_with(0, "");
    waits_for(&data, &names[3..6]);
    assert!(kept(&data, &names[1]).is_none() && kept(&data, &names[2]).is_none(), "what was used is gone");
    end(&data);
}

#[test]
fn what_is_damaged_or_of_another_time_is_never_handed_over() {
    let world = World::archiving(15);
    let (data, names) = data(&world, 6);
    let wanted = data.join("pg_wal/RECOVERYXLOG");
    let fetch = |name: &str| world.run_in(&data, &["fetch", "--ahead", "3", name, "pg_wal/RECOVERYXLOG"]);
    let bare = |name: &str| {
        let place = data.join("bare");
        world.run_in(&data, &["fetch", "--ahead", "0", name, "bare"]).ended_with(0, "");
        fs::read(place).expect("read")
    };
    let whole: Vec<Vec<u8>> = names.iter().map(|name| bare(name)).collect();
    fetch(&names[0]).ended_with(0, "");
    waits_for(&data, &names[1..4]);

    // A flipped byte on this disk; a file that was cut; another segment's content under this name.
    let flipped = kept(&data, &names[1]).expect("there");
    let mut bytes = whole[1].clone();
    bytes[9_000_000] ^= 1;
    fs::write(flipped, bytes).expect("flip");
    fs::write(kept(&data, &names[2]).expect("there"), &whole[2][..4096]).expect("cut");
    // The very file of another segment, under this one's name.
    let other = kept(&data, &names[3]).expect("there");
    let file = other.file_name().expect("a name").to_string_lossy().replace(&names[3], &names[4]);
    if let Some(own) = kept(&data, &names[4]) {
        fs::remove_file(own).expect("remove");
    }
    fs::hard_link(&other, spool(&data).join(file)).expect("another segment's file, untouched");
    for number in 1..5 {
        fetch(&names[number]).ended_with(0, "");
        assert!(fs::read(&wanted).expect("handed over") == whole[number], "segment {number} is not its own");
    }
    end(&data);
}

#[test]
fn a_killed_process_leaves_nothing_that_counts() {
    let world = World::archiving(15);
    let (data, names) = data(&world, 4);
    let fetch = |name: &str| world.run_in(&data, &["fetch", "--ahead", "2", name, "pg_wal/RECOVERYXLOG"]);
    fs::create_dir_all(spool(&data)).expect("make the spool");
    // What a process that was killed leaves: a mark that something comes, and the half of it.
    fs::write(spool(&data).join(format!("{}.coming", names[1])), "").expect("write");
    fs::write(spool(&data).join(format!("{}.toban-1", names[1])), vec![0; 4096]).expect("write");
    fetch(&names[0]).ended_with(0, "");
    let done = fetch(&names[1]);
    done.ended_with(0, "");
    assert!(done.stderr.is_empty(), "{done:?}");
    end(&data);
}

#[test]
fn what_nobody_looks_after_is_not_trusted() {
    let world = World::archiving(15);
    let (data, names) = data(&world, 3);
    let fetch = |name: &str| world.run_in(&data, &["fetch", "--ahead", "2", name, "pg_wal/RECOVERYXLOG"]);
    fetch(&names[0]).ended_with(0, "");
    waits_for(&data, &names[1..3]);
    let kept = kept(&data, &names[1]).expect("there");
    let whole = fs::read(&kept).expect("read");
    rustix::process::kill_process(keeper(&data), rustix::process::Signal::KILL).expect("kill it");

    // Read back from a disk after the machine crashed, say: a byte is another, and no clock tells.
    let written = kept.metadata().and_then(|m| m.modified()).expect("a time");
    let mut bytes = whole.clone();
    bytes[9_000_000] ^= 1;
    let mut file = fs::OpenOptions::new().write(true).open(&kept).expect("open");
    file.write_all(&bytes).and_then(|()| file.set_modified(written)).expect("flip");
    fetch(&names[1]).ended_with(0, "");
    assert!(fs::read(data.join("pg_wal/RECOVERYXLOG")).expect("handed over") == whole, "it was trusted");
    end(&data);
}

/// As pg_rewind does with what it has listed: file after file, then the folder, of which nothing may be gone by then.
#[test]
fn another_program_can_remove_the_folder() {
    let world = World::archiving(15);
    let (data, names) = data(&world, 3);
    let fetch = |name: &str| world.run_in(&data, &["fetch", "--ahead", "2", name, "pg_wal/RECOVERYXLOG"]);
    fetch(&names[0]).ended_with(0, "");
    waits_for(&data, &names[1..3]);
    let keeper = keeper(&data);
    for entry in fs::read_dir(spool(&data)).expect("list").flatten() {
        fs::remove_file(entry.path()).expect("remove a file");
    }
    until("the process that gets ahead ends", Duration::from_secs(30), || {
        let ended = rustix::process::test_kill_process(keeper).is_err();
        if ended { Ok(()) } else { Err("it runs".into()) }
    });
    fs::remove_dir(spool(&data)).expect("the folder is there to be removed");
}

#[test]
fn the_folder_goes_with_its_server() {
    let world = World::archiving(15);
    let (data, names) = data(&world, 3);
    let fetch = |name: &str| world.run_in(&data, &["fetch", "--ahead", "2", name, "pg_wal/RECOVERYXLOG"]);
    let mut server = std::process::Command::new("sleep").arg("600").spawn().expect("a process");
    fs::write(data.join("postmaster.pid"), format!("{}\n{}\n", server.id(), data.display())).expect("write");
    fetch(&names[0]).ended_with(0, "");
    waits_for(&data, &names[1..3]);
    server.kill().and_then(|()| server.wait()).expect("kill it");
    until("the folder is gone", Duration::from_secs(20), || {
        if spool(&data).exists() { Err("it is there".into()) } else { Ok(()) }
    });
}
