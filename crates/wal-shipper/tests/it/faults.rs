//! A store that fails while a server recovers from it: it stops or goes on, and is never promoted before the end of
//! what was shipped. Beside it, what a command of the usual kind does in the same schedules.

use crate::world::World;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use testkit::pg::{as_owner, clean};
use testkit::{Cable, Dice, Ran, S3, rounds, seed, until};

/// Segments that recovery must fetch, with a row in each.
const SEGMENTS: i32 = 8;

/// An archive in a bucket, a base backup before all of it, and a cable in between.
struct Scene {
    world: World,
    s3: S3,
    cable: Cable,
    base: PathBuf,
    system: String,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// So many requests are throttled.
    Throttled(usize),
    /// Nothing passes for longer than anybody waits.
    Stalled,
    /// The connection is cut after so many bytes.
    Cut(u64),
    /// A few bytes come in the place of so many answers.
    Truncated(usize),
}

/// A fault, and the number of the request that meets it.
type Schedule = Vec<(usize, Fault)>;

fn schedule(dice: &mut Dice, requests: usize) -> Schedule {
    let mut schedule: Schedule = (0..2)
        .map(|_| {
            let fault = match dice.below(4) {
                0 => Fault::Throttled(1 + dice.index(12)),
                1 => Fault::Stalled,
                2 => Fault::Cut(dice.below(200_000)),
                _ => Fault::Truncated(1 + dice.index(3)),
            };
            (dice.index(requests), fault)
        })
        .collect();
    schedule.sort_by_key(|(at, _)| *at);
    schedule
}

impl Scene {
    fn new() -> Scene {
        let (world, s3) = (World::new(15), S3::start());
        let cable = Cable::http(s3.addr());
        let env =
            |env: Vec<(String, String)>| env.iter().map(|(n, v)| format!("{n}={v} ")).collect::<String>();
        let program = world.program().display().to_string();
        let url = s3.url("wal");
        world.pg.archive_by(&format!("{}{program} push --repo {url} %p", env(s3.env())));
        let base = world.path("base");
        world.pg.base_backup(&base);
        world.pg.psql("postgres", "create table ledger (n int)");
        let names = (0..SEGMENTS).map(|n| {
            world.pg.psql("postgres", &format!("insert into ledger values ({n})"));
            world.pg.switch_wal()
        });
        names.collect::<Vec<_>>().iter().for_each(|name| world.pg.wait_until_archived(name));
        let system = world.pg.system_identifier();
        Scene { world, s3, cable, base, system }
    }

    fn ours(&self) -> String {
        let env: String =
            S3::env_at(&self.cable.endpoint()).iter().map(|(n, v)| format!("{n}={v} ")).collect();
        let program = self.world.program().display().to_string();
        format!("TOBAN_RETRY_FOR=1s {env}{program} fetch --ahead 2 --repo s3://wal %f %p")
    }

    /// As many people have it: the file, or else the end.
    fn naive(&self) -> String {
        let script = self.world.path("naive");
        let place = format!("{}/wal/main/{}/wal", self.cable.endpoint(), self.system);
        let text = format!(
            "#!/bin/sh\ncase $1 in *.history) o=$1 ;; \
             *) o=$(echo \"$1\" | cut -c1-8)/$(echo \"$1\" | cut -c9-16)/$1 ;; esac\n\
             curl -sf --max-time 2 {place}/$o -o $2.zst && zstd -q -dc $2.zst > $2\n"
        );
        fs::write(&script, text).expect("write");
        fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).expect("make it a program");
        format!("{} %f %p", script.display())
    }

    /// A copy of the base backup that recovers by `command`.
    fn target(&self, name: &str, command: &str) -> PathBuf {
        let target = self.world.folder(name);
        let copied =
            Command::new("cp").arg("-a").arg(self.base.join(".")).arg(&target).status().expect("run cp");
        assert!(copied.success());
        let auto = target.join("postgresql.auto.conf");
        let old = fs::read_to_string(&auto).expect("read");
        // Without hot_standby it takes connections only when it is promoted.
        let settings = "archive_mode = off\nhot_standby = off\nfsync = off\nlisten_addresses = ''";
        let more = format!(
            "\nrestore_command = '{command}'\n{settings}\nunix_socket_directories = '{}'\n",
            target.display()
        );
        fs::write(&auto, old + &more).expect("write");
        fs::write(target.join("recovery.signal"), "").expect("write");
        self.world.give_all(name);
        fs::set_permissions(&target, PermissionsExt::from_mode(0o700)).expect("close it");
        target
    }

    fn control(&self, dir: &Path, args: &[&str]) -> bool {
        let mut program = as_owner(&self.world.pg.bin("pg_ctl"));
        program.args(args).arg("-D").arg(dir).arg("-l").arg(dir.join("server.log"));
        program.output().expect("run pg_ctl").status.success()
    }

    /// Recovers under the schedule, started again whenever it stopped; the rows that the promoted server has, how often
    /// it stopped, and how many faults came before.
    fn recover(&self, name: &str, command: &str, schedule: &Schedule) -> Ended {
        let dir = self.target(name, command);
        let begun = self.cable.requests().len();
        let over = AtomicBool::new(false);
        let (hits, (rows, stops)) = std::thread::scope(|scope| {
            let faults = scope.spawn(|| self.disturb(begun, schedule, &over));
            let mut stops = 0;
            while !self.promoted(&dir) {
                stops += 1;
                assert!(stops < 20, "it stops again and again: {}", log(&dir));
            }
            over.store(true, Ordering::SeqCst);
            let rows = self.rows(&dir);
            (faults.join().expect("the faults end"), (rows, stops))
        });
        self.cable.mend();
        assert!(self.control(&dir, &["stop", "-m", "immediate"]));
        fs::remove_dir_all(&dir).expect("make room");
        Ended { rows, stops, hits }
    }

    /// Starts it, and waits until it is promoted or has stopped.
    fn promoted(&self, dir: &Path) -> bool {
        let _ = fs::remove_file(dir.join("server.log"));
        self.control(dir, &["start", "-W"]);
        until("it is promoted or stops", Duration::from_secs(120), || {
            let lock = fs::read_to_string(dir.join("postmaster.pid")).unwrap_or_default();
            let ready = lock.lines().nth(7).is_some_and(|l| l.trim() == "ready");
            let ended = log(dir).contains("database system is shut down") && lock.is_empty();
            if ready || ended { Ok(ready) } else { Err(log(dir)) }
        })
    }

    fn rows(&self, dir: &Path) -> i32 {
        let mut psql = clean(&self.world.pg.bin("psql"));
        psql.args(["-XAtq", "-U", "postgres", "-h"]).arg(dir).arg("-c").arg("select count(*) from ledger");
        let done = Ran::from(psql.arg("postgres").output().expect("run psql"));
        // Before the first segment there is not even the table.
        done.stdout.trim().parse().unwrap_or(0)
    }

    /// Applies each fault when its request comes; how many came.
    fn disturb(&self, begun: usize, schedule: &Schedule, over: &AtomicBool) -> usize {
        for (done, (at, fault)) in schedule.iter().enumerate() {
            while self.cable.requests().len() < begun + at {
                if over.load(Ordering::SeqCst) {
                    return done;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            match fault {
                Fault::Throttled(n) => self.cable.answer(503, "<Error><Code>SlowDown</Code></Error>", *n),
                Fault::Cut(bytes) => self.cable.cut_after(*bytes),
                Fault::Truncated(n) => self.cable.answer(200, "cut", *n),
                Fault::Stalled => {
                    self.cable.stall();
                    let end = Instant::now() + Duration::from_secs(3);
                    while Instant::now() < end && !over.load(Ordering::SeqCst) {
                        std::thread::sleep(Duration::from_millis(10));
                    }
                    self.cable.mend();
                }
            }
        }
        schedule.len()
    }
}

struct Ended {
    rows: i32,
    stops: usize,
    hits: usize,
}

fn log(dir: &Path) -> String {
    fs::read_to_string(dir.join("server.log")).unwrap_or_default()
}

#[test]
fn recovery_from_a_failing_s3_store() {
    let scene = Scene::new();
    let quiet = scene.cable.requests().len();
    assert_eq!(scene.recover("quiet", &scene.ours(), &Vec::new()).rows, SEGMENTS);
    let requests = scene.cable.requests().len() - quiet;
    let before = scene.cable.requests().len();
    let naive = scene.naive();
    assert_eq!(scene.recover("beside", &naive, &Vec::new()).rows, SEGMENTS, "it works while nothing happens");
    let naive_requests = scene.cable.requests().len() - before;

    let (rounds, mut dice) = (rounds(8), Dice::new(seed()));
    let (mut hits, mut stops, mut tried, mut early) = (0, 0, 0, 0);
    for round in 0..rounds {
        let planned = schedule(&mut dice, requests);
        let ended = scene.recover("target", &scene.ours(), &planned);
        assert_eq!(ended.rows, SEGMENTS, "promoted early in round {round}: {planned:?}");
        hits += ended.hits;
        stops += ended.stops;
        // The other command is tried in a fifth of them.
        if round % 5 == 0 || rounds >= 100 {
            let scaled = planned.iter().map(|(at, f)| (at * naive_requests / requests.max(1), *f)).collect();
            tried += 1;
            early += usize::from(scene.recover("beside", &naive, &scaled).rows < SEGMENTS);
        }
    }
    eprintln!(
        "{rounds} schedules, {hits} of {} faults hit, recovery stopped {stops} times, never early",
        2 * rounds
    );
    eprintln!("a naive command was promoted early in {early} of {tried}");
    assert!(hits >= rounds, "only {hits} of {} faults hit", 2 * rounds);
    drop(scene.s3);
}
