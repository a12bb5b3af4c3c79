//! `check` against planted faults of the server, the archive, the repository and the clock.

use crate::world::World;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use testkit::{Checked, Dice, Plant, plant_each, until};
use toban_core::repo::sealed::seal;

type Planted = testkit::Planted<Lab>;

/// A server that archives into a repository that holds all of it.
struct Lab {
    world: World,
    command: String,
}

/// Every kind of fault; its parameters are the dice's.
const KINDS: &[Plant<Lab>] = &[
    ("the command fails", fails),
    ("the command ends the archiver", ends_the_archiver),
    ("the command is a program that cannot be run", no_program),
    ("the command is empty", no_command),
    ("the command stores nowhere", stores_nowhere),
    ("the command hangs", hangs),
    ("the command is slower than the WAL", is_slow),
    ("a slot that no client reads", slot),
    ("segments are gone", missing),
    ("segments are gone, and acknowledged", acknowledged),
    ("segments are gone, and a backup begins after them", missing_before_a_backup),
    ("segments are empty", empty),
    ("a backup begins before the WAL", begins_late),
    ("a timeline without a history", no_history),
    ("a history that does not read", bad_history),
    ("cluster.json is gone or another's", cluster),
    ("a recorded gap", gap),
    ("a record that does not read", bad_record),
    ("the repository is ahead of the server", ahead),
    ("the repository is away", away),
    ("an object of the future", future),
    ("this machine's clock is slow", slow_clock),
];

impl Checked for Lab {
    /// Waits until `check` has nothing to say.
    fn content(&self, when: &str) {
        until(&format!("check is content {when}"), Duration::from_secs(60), || {
            let done = self.world.run(&["check"]);
            if done.status == Some(0) { Ok(()) } else { Err(format!("{done:?}")) }
        });
    }

    /// Waits until `check` complains, and never ends with 0 once the fault shows.
    fn turned(&self, planted: &Planted) {
        let args: Vec<&str> =
            ["check", "--json"].into_iter().chain(planted.args.iter().map(String::as_str)).collect();
        until(&format!("{} is told", planted.what), Duration::from_secs(40), || {
            let done = self.world.run(&args);
            let mut findings =
                done.stdout.lines().filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok());
            let named = findings.any(|f| f["check"] == planted.check && f["severity"] != "ok");
            let turned = match planted.check {
                "" => !matches!(done.status, Some(0 | 4)),
                _ => done.status == Some(4) && named,
            };
            if turned { Ok(()) } else { Err(format!("{done:?}")) }
        });
    }
}

impl Lab {
    fn new() -> Lab {
        let world = World::archiving(15);
        let command = format!("{} %p", world.command("push"));
        // What a command that stores nowhere took must still be there when it is brought over by hand.
        world.pg.set_parameter("wal_keep_size", "256MB");
        world.ship(6);
        let lab = Lab { world, command };
        lab.content("at the beginning");
        lab
    }

    /// The names of the segments of timeline 1 that are stored.
    fn segments(&self) -> Vec<String> {
        let entries = fs::read_dir(self.world.system_root().join("wal/00000001/00000000")).expect("list");
        let names = entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|n| n.len() == 24).collect();
        names.sort();
        names
    }

    /// The command is `command` for one segment at least; undone by the old one.
    fn archive_by(&self, what: &str, command: &str) -> Planted {
        self.world.pg.archive_by(command);
        self.world.pg.switch_wal();
        Planted::new(format!("{what}: {command}"), "archiver", |lab: &Lab| {
            lab.world.pg.archive_by(&lab.command);
            // One that hangs or sleeps need not end by itself.
            lab.world.pg.psql(
                "postgres",
                "select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'archiver'",
            );
            lab.world.pg.ship_wal();
        })
    }

    /// Puts files away; undone by bringing them back.
    fn hide(&self, what: String, check: &'static str, paths: Vec<PathBuf>) -> Planted {
        let aside =
            |p: &Path| p.with_file_name(format!(".{}", p.file_name().expect("a name").to_string_lossy()));
        paths.iter().for_each(|p| fs::rename(p, aside(p)).expect("put it away"));
        Planted::new(what, check, move |_| {
            paths.iter().for_each(|p| fs::rename(aside(p), p).expect("bring it back"));
        })
    }

    /// Puts segments away.
    fn hide_segments(&self, names: &[String]) -> Planted {
        let objects = names.iter().map(|n| self.world.object(n)).collect();
        self.hide(format!("{names:?} are gone"), "missing-range", objects)
    }

    /// Writes an object that was not there; undone by removing it.
    fn plant(&self, what: String, check: &'static str, path: PathBuf, content: &[u8]) -> Planted {
        fs::create_dir_all(path.parent().expect("a folder")).expect("make a folder");
        fs::write(&path, content).expect("plant it");
        Planted::new(what, check, move |_| fs::remove_file(path).expect("remove it"))
    }

    /// A backup's manifest, as far as `check` reads it.
    fn backup(&self, start: u64) -> PathBuf {
        let path = self.world.system_root().join(format!("backup/20260101T000000Z-{start:06}/backup.json"));
        fs::create_dir_all(path.parent().expect("a folder")).expect("make a folder");
        let position = |lsn: u64| format!("{:X}/{:X}", lsn >> 32, lsn & 0xFFFF_FFFF);
        let (start, stop) = (position(start << 24), position((start << 24) + 0x100));
        let json = format!(
            r#"{{"format":1,"id":"x","timeline":1,"start_lsn":"{start}","stop_lsn":"{stop}","standby":false,"finished":"2026-01-01T00:00:00Z"}}"#
        );
        fs::write(&path, seal(&json)).expect("plant a manifest");
        path
    }

    /// A range of stored segments that is neither the first nor the last of them.
    fn some_segments(&self, dice: &mut Dice) -> Vec<String> {
        let all = self.segments();
        let from = 1 + dice.index(all.len() - 2);
        let count = 1 + dice.index((all.len() - 1 - from).min(3));
        all[from..from + count].to_vec()
    }

    /// Acknowledges what is missing: `check` is content until that is forgotten again.
    fn acknowledge(&self, first: &str, last: &str) {
        self.world.run(&["acknowledge", first, last, "--reason", "a test"]).ended_with(0, "");
        self.content("when it is acknowledged");
    }
}

fn forget_backup(manifest: &Path) {
    fs::remove_dir_all(manifest.parent().expect("a folder")).expect("remove the manifest");
}

fn number(name: &str) -> u64 {
    u64::from_str_radix(&name[16..], 16).expect("a number")
}

fn fails(lab: &Lab, dice: &mut Dice) -> Planted {
    lab.archive_by("the command fails", &format!("exit {}", 1 + dice.below(125)))
}

fn ends_the_archiver(lab: &Lab, dice: &mut Dice) -> Planted {
    let ways = [
        "exit 126",
        "exit 127",
        "exit 128",
        "exit 200",
        "exit 255",
        "kill -9 $$",
        "sleep 1; exit 127",
        "kill -6 $$",
    ];
    lab.archive_by("the archiver ends", ways[dice.index(ways.len())])
}

fn no_program(lab: &Lab, dice: &mut Dice) -> Planted {
    let ways = ["wal-shiper push %p", "/nowhere/wal-shipper push %p", "/etc/passwd %p", "/tmp %p"];
    lab.archive_by("no program", ways[dice.index(ways.len())])
}

fn no_command(lab: &Lab, _: &mut Dice) -> Planted {
    lab.archive_by("no command", "")
}

fn stores_nowhere(lab: &Lab, dice: &mut Dice) -> Planted {
    let elsewhere = lab.world.folder("elsewhere");
    let ways = ["true".to_string(), format!("cp %p {}/%f", elsewhere.display()), "exit 0 # %p".into()];
    let planted = lab.archive_by("nowhere", &ways[dice.index(ways.len())]);
    let lost = lab.world.pg.switch_wal();
    planted.then(move |lab| {
        // The segments are in pg_wal still: push them by hand.
        let wal = lab.world.pg.data_dir().join("pg_wal");
        let stored = lab.segments();
        for n in number(&stored[0])..=number(&lost) {
            let name = format!("0000000100000000{n:08X}");
            if wal.join(&name).exists() && !stored.contains(&name) {
                let path = wal.join(&name).display().to_string();
                let push = ["push", &path, "--ahead", "0"];
                lab.world.run_in(lab.world.pg.data_dir(), &push).ended_with(0, "");
            }
        }
    })
}

fn hangs(lab: &Lab, dice: &mut Dice) -> Planted {
    let pid = lab.world.folder("hanging").join("pid");
    let planted = lab.archive_by("it hangs", &format!("echo $$ > {}; exec sleep 1000", pid.display()));
    let lag = 1 + dice.below(4);
    let args = [format!("--critical-lag={lag}s"), format!("--warn-lag={lag}s")];
    planted.asked_with(args).first(move |_| {
        // The archiver waits for it whatever the setting says now.
        let hanging = fs::read_to_string(pid).expect("it was started");
        let _ = Command::new("kill").args(["-9", hanging.trim()]).status();
    })
}

fn is_slow(lab: &Lab, dice: &mut Dice) -> Planted {
    let slow = format!("sleep 2; {} --ahead 0", lab.command);
    let planted = lab.archive_by("it is slow", &slow);
    (0..4).for_each(|_| drop(lab.world.pg.switch_wal()));
    let args = [format!("--critical-lag={}s", 3 + dice.below(2)), "--warn-lag=2s".into()];
    planted.seen_by("lag").asked_with(args)
}

fn slot(lab: &Lab, dice: &mut Dice) -> Planted {
    let name = format!("s{}", dice.below(1 << 30));
    lab.world.pg.psql("postgres", &format!("select pg_create_physical_replication_slot('{name}', true)"));
    let drop_it = format!("select pg_drop_replication_slot('{name}')");
    Planted::new("a slot that no client reads", "slot", move |lab: &Lab| {
        lab.world.pg.psql("postgres", &drop_it);
    })
}

fn missing(lab: &Lab, dice: &mut Dice) -> Planted {
    lab.hide_segments(&lab.some_segments(dice))
}

fn acknowledged(lab: &Lab, dice: &mut Dice) -> Planted {
    let lost = lab.some_segments(dice);
    let planted = lab.hide_segments(&lost);
    let acknowledge = move |lab: &Lab| lab.acknowledge(&lost[0], &lost[lost.len() - 1]);
    let forget = |lab: &Lab| {
        fs::remove_dir_all(lab.world.system_root().join("gap-acknowledged")).expect("forget it");
    };
    planted.first(acknowledge).then(forget)
}

fn missing_before_a_backup(lab: &Lab, dice: &mut Dice) -> Planted {
    let lost = lab.some_segments(dice);
    let last = number(&lost[lost.len() - 1]);
    lab.hide_segments(&lost).first(move |lab| {
        let manifest = lab.backup(last + 1);
        lab.content("when a backup begins after it");
        forget_backup(&manifest);
    })
}

fn empty(lab: &Lab, dice: &mut Dice) -> Planted {
    let lost = lab.some_segments(dice);
    let planted = lab.hide_segments(&lost);
    lost.iter().for_each(|n| fs::write(lab.world.object(n), "").expect("write nothing"));
    planted
}

fn begins_late(lab: &Lab, dice: &mut Dice) -> Planted {
    let all = lab.segments();
    let manifest = lab.backup(number(&all[0]) - 1);
    lab.hide_segments(&all[..1 + dice.index(2)]).then(move |lab| {
        lab.content("when the WAL begins with the backup");
        forget_backup(&manifest);
    })
}

fn no_history(lab: &Lab, dice: &mut Dice) -> Planted {
    let name = format!("{:08X}00000000{:08X}", 2 + dice.below(9), 1 + dice.below(9));
    let content = fs::read(lab.world.object(&lab.segments()[0])).expect("read a segment");
    lab.plant(format!("{name} has no history"), "history", lab.world.object(&name), &content)
}

fn bad_history(lab: &Lab, dice: &mut Dice) -> Planted {
    let path = lab.world.system_root().join(format!("wal/{:08X}.history", 2 + dice.below(9)));
    let content: &[u8] =
        [&b"x"[..], b"1\t", b"9\t0/1\tits own child\n", b"\x28\xB5\x2F\xFD half a frame"][dice.index(4)];
    lab.plant("a history that does not read".into(), "damaged", path, content)
}

fn cluster(lab: &Lab, dice: &mut Dice) -> Planted {
    let path = lab.world.system_root().join("cluster.json");
    let planted = lab.hide("cluster.json".into(), "cluster", vec![path.clone()]);
    let text = |major, size| {
        format!(
            r#"{{"format":1,"system_identifier":"{}","major":{major},"wal_segment_size":{size}}}"#,
            lab.world.pg.system_identifier()
        )
    };
    let (check, content) = match dice.below(4) {
        0 => ("cluster", None),
        1 => ("cluster", Some(text(16, 16 << 20))),
        2 => ("cluster", Some(text(15, 1 << 20))),
        _ => ("damaged", Some("{".to_string())),
    };
    if let Some(content) = content {
        fs::write(&path, content).expect("plant another");
    }
    planted.seen_by(check)
}

fn gap(lab: &Lab, dice: &mut Dice) -> Planted {
    let last = number(lab.segments().last().expect("one"));
    let name = format!("0000000100000000{:08X}", last + 20 + dice.below(100));
    let json = format!(
        r#"{{"format":1,"first":"{name}","last":"{name}","repo":null,"at":"2026-11-21T00:00:00Z","why":"a test"}}"#
    );
    let path = lab.world.system_root().join(format!("gap/{name}.20261121T000000000000Z.json"));
    let planted = lab.plant(format!("a gap, {name}"), "gap", path, json.as_bytes());
    planted.first(move |lab| lab.acknowledge(&name, &name))
}

fn bad_record(lab: &Lab, dice: &mut Dice) -> Planted {
    let folder = ["gap", "gap-acknowledged"][dice.index(2)];
    let path = lab
        .world
        .system_root()
        .join(format!("{folder}/000000010000000000000002.20261121T000000000000Z.json"));
    lab.plant(format!("a damaged record in {folder}"), "damaged", path, b"{")
}

fn ahead(lab: &Lab, dice: &mut Dice) -> Planted {
    let all = lab.segments();
    let last = number(all.last().expect("one"));
    let name = format!("0000000100000000{:08X}", last + 2 + dice.below(50));
    let content = fs::read(lab.world.object(&all[0])).expect("read a segment");
    lab.plant(format!("{name} is ahead"), "ahead", lab.world.object(&name), &content)
}

fn away(lab: &Lab, _: &mut Dice) -> Planted {
    let repo = lab.world.path("repo");
    let planted = lab.hide("the repository is away".into(), "", vec![repo.clone()]);
    // A file where the folder was: it can be asked nothing.
    fs::write(&repo, "").expect("plant a file");
    planted.first(move |_| fs::remove_file(&repo).expect("remove it"))
}

fn future(lab: &Lab, dice: &mut Dice) -> Planted {
    let all = lab.segments();
    let path = lab.world.object(&all[dice.index(all.len())]);
    let before = fs::metadata(&path).and_then(|m| m.modified()).expect("its time");
    let ahead = Duration::from_secs(600 + dice.below(100_000_000));
    let set = |path: &Path, at| {
        fs::File::options().write(true).open(path).and_then(|f| f.set_modified(at)).expect("set the time");
    };
    set(&path, std::time::SystemTime::now() + ahead);
    Planted::new(format!("an object {ahead:?} ahead"), "clock", move |_| set(&path, before))
}

fn slow_clock(lab: &Lab, dice: &mut Dice) -> Planted {
    let ago = 3600 + dice.below(1_000_000);
    let sql = format!(
        "select to_char((now() - interval '{ago} s') at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
    );
    let at = lab.world.pg.psql("postgres", &sql);
    Planted::new(format!("our clock is {ago} s slow"), "clock", |_| {}).asked_with(["--at".into(), at])
}

#[test]
fn each_planted_trouble_turns_it_and_its_end_clears_it() {
    // Every kind in turn: a short run has each of them rarely enough to be short.
    plant_each(&Lab::new(), KINDS, 6, 5);
}
