//! What is lost when the server and its disk go: of a stream that commits do not wait for, and of one that they do.

use crate::streaming::{Place, Stream, restored};
use postgres::{Client, NoTls};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use testkit::pg::clean;
use testkit::{Dice, Pg, S3, rounds, seed, until};

/// Commits that were acknowledged, with the time of it; it ends with its server.
fn ledger(pg: &Pg) -> Receiver<(i64, Instant)> {
    let mut client = Client::connect(&pg.conninfo("postgres"), NoTls).expect("connect");
    let (note, noted) = channel();
    std::thread::spawn(move || {
        for n in 1_i64.. {
            if client.execute("insert into ledger values ($1)", &[&n]).is_err() {
                return;
            }
            let _ = note.send((n, Instant::now()));
        }
    });
    noted
}

fn pgbench(pg: &Pg, args: &[&str]) -> Child {
    let mut program = clean(&pg.bin("pgbench"));
    program.args(args).arg("-h").arg(pg.socket_dir()).args(["-U", "postgres", "postgres"]);
    program.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("run pgbench")
}

/// One server that dies `after` its load began; how long before its end the first commit was acknowledged that is
/// missing, and how many are.
fn lost(name: &str, more: &[&str], db: &str, after: Duration) -> (Duration, usize) {
    let s3 = S3::shared();
    let place = Place::bucket(S3::env_at(&s3.endpoint()), s3.url(name));
    let mut pg = Pg::start(
        &[&["wal_level=replica", "max_slot_wal_keep_size=10GB", "max_wal_size=1GB"], more].concat(),
    );
    let mut stream = place.stream(&format!("{}{db}", pg.url()), &[]);
    stream.streams();
    until("the server knows whether commits wait", Duration::from_secs(30), || {
        let state = pg.psql("postgres", "select sync_state from pg_stat_replication");
        if (state == "sync") != more.is_empty() { Ok(()) } else { Err(state) }
    });
    pg.psql("postgres", "create table ledger (n bigint primary key)");
    assert!(pgbench(&pg, &["-i", "-s", "10", "-q"]).wait().expect("wait").success());
    pg.base_backup(&place.path("base"));
    let mut load = pgbench(&pg, &["-c", "8", "-j", "2", "-T", "120", "-n"]);
    let noted = ledger(&pg);
    std::thread::sleep(after);
    let end = destroy(&mut stream, &mut pg);
    let _ = load.wait();
    let acknowledged: Vec<(i64, Instant)> = noted.iter().collect();
    let pg = restored(
        pg.major(),
        &place.path("base"),
        &place.path("target"),
        &place,
        "synchronous_standby_names = ''",
    );
    let there: Vec<i64> = pg
        .psql("postgres", "select n from ledger order by n")
        .lines()
        .map(|n| n.parse().expect("a number"))
        .collect();
    assert!(there.iter().copied().eq(1..=there.len() as i64), "the ledger has a hole");
    let missing = acknowledged.iter().filter(|(n, _)| *n > there.len() as i64);
    let since = missing.clone().map(|(_, at)| end.saturating_duration_since(*at)).max().unwrap_or_default();
    let count = missing.count();
    eprintln!(
        "{name}: {count} of {} acknowledged commits are missing, the oldest {since:?} old",
        acknowledged.len()
    );
    (since, count)
}

/// The streamer goes with the server's machine; when the last commit can have been acknowledged.
fn destroy(stream: &mut Stream, pg: &mut Pg) -> Instant {
    stream.kill();
    let data = pg.data_dir().to_path_buf();
    let end = Instant::now();
    pg.kill();
    std::fs::remove_dir_all(data).expect("destroy the disk");
    end
}

fn moments(seconds: u64) -> impl Iterator<Item = Duration> {
    let mut dice = Dice::new(seed());
    (0..rounds(1)).map(move |_| Duration::from_millis(2000 + dice.below(seconds * 1000)))
}

#[test]
fn at_most_two_seconds_are_lost() {
    let lost: Vec<Duration> =
        moments(8).enumerate().map(|(n, at)| lost(&format!("loss-{n}"), &[], "", at).0).collect();
    let mut sorted = lost.clone();
    sorted.sort();
    let (median, most) = (sorted[sorted.len() / 2], sorted[sorted.len() - 1]);
    eprintln!("lost at most {most:?}, median {median:?} of {}", lost.len());
    assert!(
        most <= Duration::from_secs(2) && (lost.len() < 5 || median < Duration::from_secs(1)),
        "{lost:?}"
    );
}

#[test]
fn nothing_is_lost_that_commits_waited_for() {
    for (n, at) in moments(8).enumerate() {
        let level = if n % 2 == 0 { "synchronous_commit=on" } else { "synchronous_commit=remote_apply" };
        let more = ["synchronous_standby_names=toban", level];
        assert_eq!(lost(&format!("none-lost-{n}"), &more, "&application_name=toban", at).1, 0);
    }
}
