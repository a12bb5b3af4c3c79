//! A run beside prunes beside a copy, one or two of them killed at any moment: whatever is listed in either repository
//! is whole and restores.

use crate::encrypted::encrypt_to;
use crate::lab::{back_up_after_kill, fill, lab, verified};
use crate::world::{World, ended};
use std::fs;
use std::process::Child;
use std::time::{Duration, Instant};
use testkit::{AgeKey, Dice, rounds, seed};

/// What works at the same time.
const ACTORS: [&[&str]; 4] = [
    &["run", "--jobs", "1", "--repo", "near"],
    &["prune", "--keep-last", "2", "--undelete", "0s", "--repo", "near"],
    &["copy", "--from", "near", "--to", "far"],
    &["prune", "--keep-last", "2", "--undelete", "0s", "--repo", "far"],
];

/// Two repositories of one server, and how long each actor takes beside the others.
struct Pair {
    world: World,
    lengths: [Duration; ACTORS.len()],
}

impl Pair {
    /// Of which everything is encrypted when `encrypts` says so.
    fn new(encrypts: bool) -> Pair {
        let mut world = lab(15);
        fill(&world, 20_000);
        if encrypts {
            let key = AgeKey::make(&world.path("key"));
            encrypt_to(&mut world, &[&key]);
            world.set("TOBAN_IDENTITY", &key.path());
        }
        let d = world.dir.path().display().to_string();
        let toml = format!("[repo.near]\nurl = \"file://{d}/repo\"\n[repo.far]\nurl = \"file://{d}/far\"\n");
        fs::write(world.path("toban.toml"), toml).expect("write");
        world.set("TOBAN_CONFIG", &world.path("toban.toml").display().to_string());
        world.set("TOBAN_REPO", "near");
        for _ in 0..3 {
            world.run(ACTORS[0]).fine();
            world.run(ACTORS[2]).fine();
            world.pg.psql("postgres", "update big set t = t || 'x' where n % 50 = 0");
        }
        Pair { world, lengths: [Duration::MAX; ACTORS.len()] }
    }

    /// Marks become some of years ago, so that the next prune removes what was marked; and something changes.
    fn next_day(&self) {
        for repo in ["repo", "far"] {
            let marks =
                self.world.path(repo).join("main").join(self.world.pg.system_identifier()).join("mark");
            for mark in fs::read_dir(marks).into_iter().flatten().flatten() {
                let name = mark.file_name().to_string_lossy().into_owned();
                let Some((id, _)) = name.split_once('.').filter(|(id, _)| !id.is_empty()) else { continue };
                let old = mark.path().with_file_name(format!("{id}.20200101T000000Z.json"));
                fs::rename(mark.path(), old).expect("rename a mark");
            }
        }
        self.world.pg.psql("postgres", "update big set t = t || 'x' where n % 50 = 0");
    }

    /// Starts all and kills some, each after its delay; how many of these were at work still.
    fn work(&mut self, victims: &[(usize, Duration)]) -> usize {
        let begun = Instant::now();
        let mut all: Vec<Option<Child>> =
            ACTORS.iter().map(|args| Some(self.world.command(args).spawn().expect("start"))).collect();
        let mut hits = 0;
        while all.iter().any(Option::is_some) {
            for (n, slot) in all.iter_mut().enumerate() {
                let Some(child) = slot else { continue };
                if child.try_wait().expect("ask for it").is_some() {
                    let took = begun.elapsed();
                    let ran = ended(slot.take().expect("it is there"));
                    // What another took away meanwhile is no error of ours, and is said to be tried again.
                    assert!(matches!(ran.status, Some(0 | 75)), "{:?}: {ran:?}", ACTORS[n]);
                    if ran.status == Some(0) {
                        self.lengths[n] = self.lengths[n].min(took);
                    }
                } else if victims.iter().any(|(victim, delay)| *victim == n && begun.elapsed() >= *delay) {
                    child.kill().expect("kill it");
                    ended(slot.take().expect("it is there"));
                    hits += 1;
                }
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        hits
    }

    /// Whatever is listed is whole, and with `restores` the newest of both restores.
    fn check(&self, restores: bool) {
        for repo in ["near", "far"] {
            self.world.run(&["verify", "--repo", repo]).fine();
            if restores {
                let target = self.world.path("target");
                let listed = self.world.run(&["list", "--json", "--repo", repo]).json();
                for id in [&listed[0]["id"], &listed[listed.len() - 1]["id"]] {
                    let dir = target.display().to_string();
                    let id = id.as_str().expect("an ID");
                    self.world.run(&["restore", id, "--pgdata", &dir, "--repo", repo]).fine();
                    verified(&self.world.pg, &target);
                    fs::remove_dir_all(&target).expect("clear it");
                }
            }
        }
    }
}

#[test]
fn killed_beside_each_other() {
    kill_pair(Pair::new(false));
}

#[test]
fn killed_beside_each_other_and_encrypted() {
    kill_pair(Pair::new(true));
}

fn kill_pair(mut pair: Pair) {
    for _ in 0..2 {
        pair.work(&[]);
        pair.next_day();
    }
    let (mut dice, count) = (Dice::new(seed()), rounds(3));
    let (mut hits, mut kills) = (0, 0);
    for round in 0..count {
        let first = dice.index(ACTORS.len());
        // Two of three times another one too.
        let second = (first + 1 + dice.index(ACTORS.len() - 1)) % ACTORS.len();
        let victims = if dice.below(3) > 0 { vec![first, second] } else { vec![first] };
        let moment = (round as f64 + dice.part()) / count as f64;
        let victims: Vec<(usize, Duration)> = victims
            .into_iter()
            .map(|n| (n, pair.lengths[n].mul_f64(if n == first { moment } else { dice.part() })))
            .collect();
        kills += victims.len();
        hits += pair.work(&victims);
        pair.check(round % 10 == 2);
        pair.next_day();
    }
    eprintln!("{hits} of {kills} kills hit within {:?}", pair.lengths);
    // A few rounds on a busy machine may miss more often than many do.
    let enough = if count < 20 { 1 } else { kills * 2 / 3 };
    assert!(hits >= enough, "only {hits} of {kills} kills hit");
    // And in peace all of it comes to a good end.
    back_up_after_kill(&pair.world);
    for args in ACTORS {
        pair.world.run(args).fine();
    }
    pair.check(true);
}
