//! `push` driven as the archiver would, on segments of a real server.

use crate::world::World;
use std::fs;
use std::path::PathBuf;
use testkit::Ran;

/// A segment of a real server, in a folder of its own.
fn segment(world: &World, folder: &str) -> (PathBuf, String) {
    let name = world.pg.switch_wal();
    let copy = world.path(folder).join(&name);
    fs::create_dir_all(world.path(folder)).expect("make a folder");
    fs::copy(world.pg.data_dir().join("pg_wal").join(&name), &copy).expect("copy a segment");
    (copy, name)
}

#[test]
fn the_same_again_is_fine_and_other_content_is_refused() {
    let world = World::new(15);
    let (path, name) = segment(&world, "w/pg_wal");
    let path = path.display().to_string();
    world.run(&["push", &path]).ended_with(0, "");
    world.run(&["push", &path]).ended_with(0, "");
    let before = fs::read(&path).expect("read");
    let mut other = before.clone();
    *other.last_mut().expect("a byte") ^= 1;
    fs::write(&path, other).expect("write");
    world.run(&["push", &path]).ended_with(1, &format!("{name} is in the repository with other content"));
    fs::write(&path, before).expect("write");
    world.run(&["push", &path]).ended_with(0, "");
}

#[test]
fn what_is_not_a_segment_is_refused_with_the_reason() {
    let world = World::new(15);
    let (path, name) = segment(&world, "w/pg_wal");
    let whole = fs::read(&path).expect("read");
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = whole.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    let cases: [(Vec<u8>, &str); 6] = [
        (whole[..whole.len() - 1].to_vec(), "16777215 bytes"),
        (vec![0; whole.len()], "does not begin with the header"),
        (with(0, &[1, 2]), "does not begin with the header"),
        (with(0, &[0xFF]), "of no PostgreSQL that this program knows"),
        (with(4, &[9]), "written by timeline 9"),
        (with(12, &[7]), "holds the WAL at 7/"),
    ];
    for (bytes, words) in cases {
        fs::write(&path, bytes).expect("write");
        let done = world.run(&["push", &path.display().to_string()]);
        let status = done.status.expect("no signal");
        assert!((1..=125).contains(&status), "{status}");
        done.ended_with(status, words);
    }
    let stored = world.path("repo").join("main");
    let found = walk(&stored).into_iter().filter(|p| p.to_string_lossy().contains(&name)).count();
    assert_eq!(found, 0, "something was stored");
}

fn walk(folder: &std::path::Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.flat_map(|e| if e.path().is_dir() { walk(&e.path()) } else { vec![e.path()] }).collect()
}

#[test]
fn usage_errors_never_restart_the_archiver() {
    let world = World::new(15);
    for args in
        [&["push"][..], &["push", "--nonsense", "x"], &["push", "no-such-file"], &["push", "/etc/passwd"]]
    {
        let status = world.run(args).status.expect("no signal");
        assert!((1..=125).contains(&status), "{args:?}: {status}");
    }
}

#[test]
fn a_store_that_hangs_does_not_hang_the_archiver() {
    let world = World::new(15);
    let (path, _) = segment(&world, "w/pg_wal");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", silent.local_addr().expect("its address"));
    let mut command = std::process::Command::new(world.program());
    command
        .args(["push", "--timeout", "2s", "--repo", "s3://bucket/x", "--s3-endpoint", &endpoint])
        .arg(&path);
    command
        .env_clear()
        .env("AWS_ACCESS_KEY_ID", "a")
        .env("AWS_SECRET_ACCESS_KEY", "b")
        .env("AWS_REGION", "x");
    let began = std::time::Instant::now();
    let done = Ran::from(command.output().expect("run wal-shipper"));
    done.ended_with(75, "not done within 2s");
    assert!(began.elapsed() < std::time::Duration::from_secs(10));
}
