//! `stream` and its server killed at random moments: no hole, nothing with other content, no garbage that nobody names.

use crate::streaming::Place;
use std::process::Stdio;
use std::time::Duration;
use testkit::pg::clean;
use testkit::{Dice, Pg, rounds, seed, until};

#[test]
fn stream_and_its_server_at_random_moments() {
    let mut dice = Dice::new(seed());
    let place = Place::folder();
    let settings =
        ["wal_level=replica", "wal_keep_size=20GB", "max_slot_wal_keep_size=20GB", "max_wal_size=64MB"];
    let mut pg = Pg::start(&settings);
    let mut bench = clean(&pg.bin("pgbench"));
    bench.args(["-i", "-q", "-s", "5", "-h"]).arg(pg.socket_dir()).args(["-U", "postgres", "postgres"]);
    assert!(bench.stderr(Stdio::null()).status().expect("run pgbench").success());
    let mut stream = place.stream(&pg.url(), &["--interval", "100ms"]);
    stream.streams();
    let mut hits = 0;
    let rounds = rounds(3);
    for _ in 0..rounds {
        let mut load = clean(&pg.bin("pgbench"));
        load.args(["-c", "4", "-T", "60", "-n", "-h"])
            .arg(pg.socket_dir())
            .args(["-U", "postgres", "postgres"]);
        let mut load = load.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("run pgbench");
        std::thread::sleep(Duration::from_millis(200 + dice.below(2500)));
        let moving = stream.child.try_wait().expect("look").is_none();
        hits += usize::from(moving);
        match dice.below(3) {
            0 => pg.kill(),
            1 => stream.kill(),
            _ => {
                stream.kill();
                pg.kill();
            }
        }
        let _ = load.kill();
        let _ = load.wait();
        pg.restart();
        stream.kill();
        stream = place.stream(&pg.url(), &["--interval", "100ms"]);
    }
    assert!(hits * 10 >= rounds * 9, "{hits} of {rounds} hit a running stream");
    let last = pg.switch_wal();
    place.complete(&pg);
    let said = place.run("check", &["--db", &pg.url()]);
    said.ended_with(0, "");
    let names = place.names("wal");
    let segments: Vec<&str> =
        names.iter().filter_map(|n| n.rsplit('/').next()).filter(|n| n.len() == 24).collect();
    assert_eq!(segments.last(), Some(&last.as_str()));
    for name in &segments {
        let theirs = std::fs::read(pg.data_dir().join("pg_wal").join(name)).expect("the server keeps it");
        assert!(place.stored(name).expect("there") == theirs, "{name}");
    }
    until("what killed streams left is swept", Duration::from_secs(30), || {
        let left: Vec<String> =
            place.names("wal-tail").into_iter().filter(|t| segments.iter().any(|s| t.contains(s))).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?} {}", said.stdout)) }
    });
    eprintln!("{rounds} rounds, {} segments", segments.len());
    stream.stop();
}
