//! All that befalls a stream, mixed at random, and in the end nothing is left but the repository.

use super::pair::{Kind, Pair, Rebuild, gaps};
use postgres::{Client, NoTls};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use testkit::{Dice, Pg, S3, rounds, seed};

/// Commits one row after the other; when each was acknowledged.
struct Writer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeMap<i32, Instant>>,
}

impl Writer {
    fn start(pg: &Pg) -> Writer {
        let mut client = Client::connect(&pg.conninfo("postgres"), NoTls).expect("connect");
        let stop = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut acknowledged = BTreeMap::new();
            let row =
                client.query_one("select coalesce(max(n), 0) from ledger", &[]).expect("the newest row");
            for n in row.get::<_, i32>(0) + 1.. {
                let done = client.execute("insert into ledger values ($1)", &[&n]);
                if done.is_err() || ended.load(Ordering::SeqCst) {
                    acknowledged.extend(done.ok().map(|_| (n, Instant::now())));
                    break;
                }
                acknowledged.insert(n, Instant::now());
                std::thread::sleep(Duration::from_millis(1));
            }
            acknowledged
        });
        Writer { stop, thread }
    }

    fn end(self) -> BTreeMap<i32, Instant> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("the writer ends")
    }
}

/// What one round came to.
struct Lost {
    rows: usize,
    since: Duration,
}

/// One life of a pair of servers; what the restore of its repository lacks.
fn life(round: usize, s3: &S3, dice: &mut Dice) -> Lost {
    let (synchronous, bucket) = (round.is_multiple_of(2), format!("disasters-{round}"));
    let kind = Kind {
        major: [15, 18][dice.index(2)],
        mib: [1, 16][dice.index(2)],
        settings: if synchronous { &["synchronous_standby_names=\"wal-shipper\""] } else { &[] },
        bucket: (dice.below(2) == 0).then_some((s3, bucket.as_str())),
    };
    let place = if kind.bucket.is_some() { "S3" } else { "a folder" };
    eprintln!(
        "round {round}: PostgreSQL {}, {} MiB, {place}, synchronous: {synchronous}",
        kind.major, kind.mib
    );
    let mut pair = Pair::start(&kind);
    pair.write(dice);
    pair.stored();
    let backup = pair.run("pg-backup", &["run", "--json"]).json().remove(0);
    let mut acknowledged = BTreeMap::new();
    for _ in 0..4 + dice.below(4) {
        acknowledged.extend(event(&mut pair, dice));
    }
    pair.stored();
    let writer = Writer::start(pair.primary());
    std::thread::sleep(Duration::from_millis(500 + dice.below(2500)));
    let end = Instant::now();
    pair.destroy();
    acknowledged.extend(writer.end());

    let id = backup["id"].as_str().expect("an id");
    let target = pair.dir.path().join("all");
    let listed = pair.run("wal-shipper", &["list", "--json"]).json();
    assert!(gaps(&listed).is_empty(), "{:?}\n{}", gaps(&listed), pair.log());
    pair.restore(&[id], &target);
    let auto = target.join("postgresql.auto.conf");
    let text = std::fs::read_to_string(&auto).expect("read");
    std::fs::write(&auto, text + "synchronous_standby_names = ''\n").expect("write");
    let server = Pg::promoted(kind.major, &target);
    let said = server.psql("postgres", "select count(*), coalesce(max(n), 0) from ledger");
    let (count, newest) = said.split_once('|').expect("two numbers");
    assert_eq!(count, newest, "rows are missing in between");
    let newest: i32 = newest.parse().expect("a number");
    let missing = acknowledged.range(newest + 1..);
    let since = missing.clone().map(|(_, at)| end.saturating_duration_since(*at)).max().unwrap_or_default();
    Lost { rows: missing.count(), since }
}

/// Something happens while rows are written; the rows that were acknowledged.
fn event(pair: &mut Pair, dice: &mut Dice) -> BTreeMap<i32, Instant> {
    let writer = Writer::start(pair.primary());
    let pause = Duration::from_millis(100 + dice.below(800));
    std::thread::sleep(pause);
    match dice.below(6) {
        0 => {
            pair.store_is(false, dice);
            std::thread::sleep(Duration::from_millis(300 + dice.below(4000)));
            pair.store_is(true, dice);
            writer.end()
        }
        1 => {
            pair.kill_stream();
            std::thread::sleep(pause);
            pair.start_stream();
            writer.end()
        }
        2 => {
            pair.crash();
            writer.end()
        }
        3 => {
            for _ in 0..1 + dice.below(3) {
                pair.primary().psql("postgres", "select pg_switch_wal()");
                std::thread::sleep(Duration::from_millis(dice.below(200)));
            }
            writer.end()
        }
        _ => {
            let rows = writer.end();
            let rebuild = [Rebuild::BaseBackup, Rebuild::Rewind, Rebuild::Restore][dice.index(3)];
            pair.written = *rows.keys().last().expect("rows were written");
            // The stream may be away when its server dies, or come back to another one.
            let away = dice.below(3) == 0 && !matches!(rebuild, Rebuild::Restore);
            if away {
                pair.store_is(false, dice);
            }
            pair.fail_over(rebuild, dice);
            if away {
                pair.store_is(true, dice);
            }
            // What the dead server wrote is nowhere else until the stream has it: a rebuilt one begins later.
            pair.stored();
            rows
        }
    }
}

#[test]
fn mixed_disasters_lose_what_they_may() {
    let (s3, mut dice) = (S3::shared(), Dice::new(seed()));
    let (mut most, mut rounds_done) = (Duration::ZERO, 0);
    for round in 0..rounds(2) {
        let lost = life(round, &s3, &mut dice);
        eprintln!(
            "round {round}: {} acknowledged rows are missing, the oldest {:?} old",
            lost.rows, lost.since
        );
        assert!(round % 2 == 1 || lost.rows == 0, "a commit that waited for the repository is lost");
        assert!(lost.since <= Duration::from_secs(2), "{:?}", lost.since);
        most = most.max(lost.since);
        rounds_done += 1;
    }
    eprintln!("{rounds_done} rounds, at most {most:?} lost");
}
