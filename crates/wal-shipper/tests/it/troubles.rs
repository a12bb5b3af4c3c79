//! `check` against planted troubles of the server, the archive, the repository and the clock: each turns it, and when
//! the trouble is mended it is content again.

use crate::world::{World, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use testkit::until;
use testkit::{Dice, rounds, seed};

/// A server that archives into a repository that holds all of it.
struct Lab {
    world: World,
    system: String,
    command: String,
}

/// A planted trouble: what `check` must name, how it is asked, and how it is mended.
struct Planted {
    what: String,
    /// The check that must complain.
    check: &'static str,
    args: Vec<String>,
    mend: Box<dyn FnOnce(&Lab)>,
}

type Plant = fn(&Lab, &mut Dice) -> Planted;

/// Every kind of trouble; its parameters are the dice's.
const KINDS: &[(&str, Plant)] = &[
    ("the command fails", fails),
    ("the command ends the archiver", ends_the_archiver),
    ("the command is a program that cannot be run", no_program),
    ("the command is empty", no_command),
    ("the command stores nowhere", stores_nowhere),
    ("the command hangs", hangs),
    ("the command is slower than the WAL", is_slow),
    ("a slot that nobody reads", slot),
    ("segments are gone", hole),
    ("segments are gone, and acknowledged", acknowledged_hole),
    ("segments are gone, and a backup is behind them", hole_behind_a_backup),
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
    ("this machine's clock is behind", behind),
];

impl Lab {
    fn new() -> Lab {
        let world = World::archiving(15);
        let system = world.pg.psql("postgres", "select system_identifier from pg_control_system()");
        let command = format!("{} %p", world.command("push"));
        // What a command that stores nowhere took must still be there when it is brought over by hand.
        world.pg.psql("postgres", "alter system set wal_keep_size = '256MB'");
        world.pg.psql("postgres", "select pg_reload_conf()");
        let lab = Lab { world, system, command };
        (0..6).for_each(|_| drop(lab.ship()));
        lab.content("at the beginning");
        lab
    }

    fn ship(&self) -> String {
        let name = self.world.switch();
        self.world.archived(&name);
        name
    }

    fn root(&self) -> PathBuf {
        self.world.path("repo").join("main").join(&self.system)
    }

    fn object(&self, name: &str) -> PathBuf {
        self.root().join(format!("wal/{}/{}/{name}", &name[..8], &name[8..16]))
    }

    /// The names of the segments of timeline 1 that are stored.
    fn segments(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root().join("wal/00000001/00000000")).expect("list").flatten();
        let names = entries.map(|e| e.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|n| n.len() == 24).collect();
        names.sort();
        names
    }

    /// Waits until `check` has nothing to say.
    fn content(&self, when: &str) {
        until(&format!("check is content {when}"), Duration::from_secs(60), || {
            let done = self.world.run(&["check"]);
            match done.status.code() {
                Some(0) => Ok(()),
                other => Err(format!("{other:?}: {}{}", text(&done.stdout), text(&done.stderr))),
            }
        });
    }

    /// Waits until `check` complains, and never ends with 0 once the trouble shows.
    fn turned(&self, planted: &Planted) {
        let args: Vec<&str> =
            std::iter::once("check").chain(planted.args.iter().map(String::as_str)).collect();
        until(&format!("{} is told", planted.what), Duration::from_secs(40), || {
            let done = self.world.run(&args);
            let said = format!("{}{}", text(&done.stdout), text(&done.stderr));
            let named = text(&done.stdout)
                .lines()
                .any(|l| l.split('\t').nth(1) == Some(planted.check) && !l.contains("\tOK\t"));
            let told = match planted.check {
                "" => !matches!(done.status.code(), Some(0 | 4)),
                _ => done.status.code() == Some(4) && named,
            };
            if told { Ok(()) } else { Err(format!("{:?}: {said}", done.status.code())) }
        });
    }

    /// The command is `command` for one segment at least; mended by the old one.
    fn archive_by(&self, what: &str, command: &str) -> Planted {
        self.world.archive_by(command);
        self.world.switch();
        let mend = Box::new(|lab: &Lab| {
            lab.world.archive_by(&lab.command);
            // One that hangs or sleeps is waited for by nobody.
            lab.world.pg.psql(
                "postgres",
                "select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'archiver'",
            );
            lab.ship();
        });
        Planted { what: format!("{what}: {command}"), check: "archiver", args: Vec::new(), mend }
    }

    /// Puts a file away; mended by bringing it back.
    fn hide(&self, what: String, check: &'static str, paths: Vec<PathBuf>) -> Planted {
        let aside =
            |p: &Path| p.with_file_name(format!(".{}", p.file_name().expect("a name").to_string_lossy()));
        paths.iter().for_each(|p| fs::rename(p, aside(p)).expect("put it away"));
        let mend = Box::new(move |_: &Lab| {
            paths.iter().for_each(|p| fs::rename(aside(p), p).expect("bring it back"));
        });
        Planted { what, check, args: Vec::new(), mend }
    }

    /// Writes an object that was not there; mended by removing it.
    fn plant(&self, what: String, check: &'static str, path: PathBuf, content: &[u8]) -> Planted {
        fs::create_dir_all(path.parent().expect("a folder")).expect("make a folder");
        fs::write(&path, content).expect("plant it");
        let mend = Box::new(move |_: &Lab| fs::remove_file(path).expect("remove it"));
        Planted { what, check, args: Vec::new(), mend }
    }

    /// A backup's manifest, as far as `check` reads it.
    fn backup(&self, start: u64) -> PathBuf {
        let path = self.root().join(format!("backup/20260101T000000Z-{start:06}/backup.json"));
        fs::create_dir_all(path.parent().expect("a folder")).expect("make a folder");
        let (start, stop) = (start << 24, (start << 24) + 0x100);
        let json = format!(
            r#"{{"id":"x","timeline":1,"start_lsn":"{:X}/{:X}","stop_lsn":"{:X}/{:X}","standby":false}}"#,
            start >> 32,
            start & 0xFFFF_FFFF,
            stop >> 32,
            stop & 0xFFFF_FFFF
        );
        fs::write(&path, json).expect("plant a manifest");
        path
    }

    /// A stretch of stored segments that is neither the first nor the last of them.
    fn stretch(&self, dice: &mut Dice) -> Vec<String> {
        let all = self.segments();
        let from = 1 + dice.index(all.len() - 2);
        let count = 1 + dice.index((all.len() - 1 - from).min(3));
        all[from..from + count].to_vec()
    }
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
    let lost = lab.world.switch();
    let mend = planted.mend;
    let bring = Box::new(move |lab: &Lab| {
        mend(lab);
        // The segments are in pg_wal still: push them by hand.
        let wal = lab.world.pg.data_dir().join("pg_wal");
        let stored = lab.segments();
        for n in number(&stored[0])..=number(&lost) {
            let name = format!("0000000100000000{n:08X}");
            if wal.join(&name).exists() && !stored.contains(&name) {
                let path = wal.join(&name).display().to_string();
                let done = lab.world.run_in(lab.world.pg.data_dir(), &["push", &path, "--ahead", "0"]);
                assert!(done.status.success(), "{}", text(&done.stderr));
            }
        }
    });
    Planted { mend: bring, ..planted }
}

fn hangs(lab: &Lab, dice: &mut Dice) -> Planted {
    let pid = lab.world.folder("hanging").join("pid");
    let planted = lab.archive_by("it hangs", &format!("echo $$ > {}; exec sleep 1000", pid.display()));
    let lag = 1 + dice.below(4);
    let args = vec![format!("--critical-lag={lag}s"), format!("--warn-lag={lag}s")];
    let mend = planted.mend;
    let wake = Box::new(move |lab: &Lab| {
        // The archiver waits for it whatever the setting says now.
        let hanging = fs::read_to_string(pid).expect("it was started");
        let _ = Command::new("kill").args(["-9", hanging.trim()]).status();
        mend(lab);
    });
    Planted { args, mend: wake, ..planted }
}

fn is_slow(lab: &Lab, dice: &mut Dice) -> Planted {
    let slow = format!("sleep 2; {} --ahead 0", lab.command);
    let planted = lab.archive_by("it is slow", &slow);
    (0..4).for_each(|_| drop(lab.world.switch()));
    let args = vec![format!("--critical-lag={}s", 3 + dice.below(2)), "--warn-lag=2s".into()];
    Planted { check: "lag", args, ..planted }
}

fn slot(lab: &Lab, dice: &mut Dice) -> Planted {
    let name = format!("s{}", dice.below(1 << 30));
    lab.world.pg.psql("postgres", &format!("select pg_create_physical_replication_slot('{name}', true)"));
    let drop_it = format!("select pg_drop_replication_slot('{name}')");
    let mend = Box::new(move |lab: &Lab| drop(lab.world.pg.psql("postgres", &drop_it)));
    Planted { what: "a slot that nobody reads".into(), check: "slot", args: Vec::new(), mend }
}

fn hole(lab: &Lab, dice: &mut Dice) -> Planted {
    let lost = lab.stretch(dice);
    lab.hide(format!("{lost:?} are gone"), "missing-range", lost.iter().map(|n| lab.object(n)).collect())
}

fn acknowledged_hole(lab: &Lab, dice: &mut Dice) -> Planted {
    let lost = lab.stretch(dice);
    let planted =
        lab.hide(format!("{lost:?} are gone"), "missing-range", lost.iter().map(|n| lab.object(n)).collect());
    let (first, last) = (lost[0].clone(), lost[lost.len() - 1].clone());
    let bring = planted.mend;
    let mend = Box::new(move |lab: &Lab| {
        let said = lab.world.run(&["acknowledge", &first, &last, "--reason", "a test"]);
        assert!(said.status.success(), "{}", text(&said.stderr));
        lab.content("when it is acknowledged");
        bring(lab);
        fs::remove_dir_all(lab.root().join("gap-acknowledged")).expect("forget it");
    });
    Planted { mend, ..planted }
}

fn hole_behind_a_backup(lab: &Lab, dice: &mut Dice) -> Planted {
    let lost = lab.stretch(dice);
    let planted =
        lab.hide(format!("{lost:?} are gone"), "missing-range", lost.iter().map(|n| lab.object(n)).collect());
    let last = number(&lost[lost.len() - 1]);
    let bring = planted.mend;
    let mend = Box::new(move |lab: &Lab| {
        let manifest = lab.backup(last + 1);
        lab.content("when a backup is behind it");
        fs::remove_dir_all(manifest.parent().expect("a folder")).expect("remove the manifest");
        bring(lab);
    });
    Planted { mend, ..planted }
}

fn empty(lab: &Lab, dice: &mut Dice) -> Planted {
    let lost = lab.stretch(dice);
    let planted = lab.hide(
        format!("{lost:?} are empty"),
        "missing-range",
        lost.iter().map(|n| lab.object(n)).collect(),
    );
    let paths: Vec<PathBuf> = lost.iter().map(|n| lab.object(n)).collect();
    paths.iter().for_each(|p| fs::write(p, "").expect("write nothing"));
    planted
}

fn begins_late(lab: &Lab, dice: &mut Dice) -> Planted {
    let first = number(&lab.segments()[0]);
    let lost: Vec<String> = lab.segments()[..1 + dice.index(2)].to_vec();
    let manifest = lab.backup(first - 1);
    let planted =
        lab.hide(format!("{lost:?} are gone"), "missing-range", lost.iter().map(|n| lab.object(n)).collect());
    let bring = planted.mend;
    let mend = Box::new(move |lab: &Lab| {
        bring(lab);
        lab.content("when the WAL begins with the backup");
        fs::remove_dir_all(manifest.parent().expect("a folder")).expect("remove the manifest");
    });
    Planted { mend, ..planted }
}

fn no_history(lab: &Lab, dice: &mut Dice) -> Planted {
    let name = format!("{:08X}00000000{:08X}", 2 + dice.below(9), 1 + dice.below(9));
    let content = fs::read(lab.object(&lab.segments()[0])).expect("read a segment");
    lab.plant(format!("{name} has no history"), "history", lab.object(&name), &content)
}

fn bad_history(lab: &Lab, dice: &mut Dice) -> Planted {
    let path = lab.root().join(format!("wal/{:08X}.history", 2 + dice.below(9)));
    let content: &[u8] =
        [&b"x"[..], b"1\t", b"9\t0/1\tits own child\n", b"\x28\xB5\x2F\xFD half a frame"][dice.index(4)];
    lab.plant("a history that does not read".into(), "damaged", path, content)
}

fn cluster(lab: &Lab, dice: &mut Dice) -> Planted {
    let path = lab.root().join("cluster.json");
    let planted = lab.hide("cluster.json".into(), "cluster", vec![path.clone()]);
    let text = |major, size| {
        format!(
            r#"{{"format":1,"system_identifier":"{}","major":{major},"wal_segment_size":{size}}}"#,
            lab.system
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
    Planted { check, ..planted }
}

fn gap(lab: &Lab, dice: &mut Dice) -> Planted {
    let last = number(lab.segments().last().expect("one"));
    let name = format!("0000000100000000{:08X}", last + 20 + dice.below(100));
    let json = format!(
        r#"{{"format":1,"first":"{name}","last":"{name}","repo":null,"at":"2026-11-21T00:00:00Z","why":"a test"}}"#
    );
    let path = lab.root().join(format!("gap/{name}.20261121T000000000000Z.json"));
    let planted = lab.plant(format!("a gap, {name}"), "gap", path, json.as_bytes());
    let remove = planted.mend;
    let mend = Box::new(move |lab: &Lab| {
        let said = lab.world.run(&["acknowledge", &name, "--reason", "a test"]);
        assert!(said.status.success(), "{}", text(&said.stderr));
        lab.content("when the gap is acknowledged");
        remove(lab);
    });
    Planted { mend, ..planted }
}

fn bad_record(lab: &Lab, dice: &mut Dice) -> Planted {
    let folder = ["gap", "gap-acknowledged"][dice.index(2)];
    let path = lab.root().join(format!("{folder}/000000010000000000000002.20261121T000000000000Z.json"));
    lab.plant(format!("a damaged record in {folder}"), "damaged", path, b"{")
}

fn ahead(lab: &Lab, dice: &mut Dice) -> Planted {
    let all = lab.segments();
    let last = number(all.last().expect("one"));
    let name = format!("0000000100000000{:08X}", last + 2 + dice.below(50));
    let content = fs::read(lab.object(&all[0])).expect("read a segment");
    lab.plant(format!("{name} is ahead"), "ahead", lab.object(&name), &content)
}

fn away(lab: &Lab, _: &mut Dice) -> Planted {
    let repo = lab.world.path("repo");
    let planted = lab.hide("the repository is away".into(), "", vec![repo.clone()]);
    // A file where the folder was: it can be asked nothing.
    fs::write(&repo, "").expect("plant a file");
    let bring = planted.mend;
    let mend = Box::new(move |lab: &Lab| {
        fs::remove_file(&repo).expect("remove it");
        bring(lab);
    });
    Planted { mend, ..planted }
}

fn future(lab: &Lab, dice: &mut Dice) -> Planted {
    let all = lab.segments();
    let path = lab.object(&all[dice.index(all.len())]);
    let before = fs::metadata(&path).and_then(|m| m.modified()).expect("its time");
    let ahead = Duration::from_secs(600 + dice.below(100_000_000));
    let set = |path: &Path, at| {
        fs::File::options().write(true).open(path).and_then(|f| f.set_modified(at)).expect("set the time");
    };
    set(&path, std::time::SystemTime::now() + ahead);
    let mend = Box::new(move |_: &Lab| set(&path, before));
    Planted { what: format!("an object {ahead:?} ahead"), check: "clock", args: Vec::new(), mend }
}

fn behind(lab: &Lab, dice: &mut Dice) -> Planted {
    let ago = 3600 + dice.below(1_000_000);
    let at = lab.world.pg.psql(
        "postgres",
        &format!("select to_char((now() - interval '{ago} s') at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"),
    );
    let args = vec!["--at".to_string(), at];
    Planted { what: format!("our clock is {ago} s behind"), check: "clock", args, mend: Box::new(|_| {}) }
}

#[test]
fn each_planted_trouble_turns_it_and_its_end_clears_it() {
    let (mut dice, lab) = (Dice::new(seed()), Lab::new());
    // Every kind in turn: a short run has each of them rarely enough to be short.
    let start = dice.index(KINDS.len());
    for round in 0..rounds(6) {
        let (kind, plant) = KINDS[(start + round * 5) % KINDS.len()];
        eprintln!("round {round}: {kind}");
        let planted = plant(&lab, &mut dice);
        lab.turned(&planted);
        let what = planted.what;
        (planted.mend)(&lab);
        lab.content(&format!("after: {what}"));
    }
}
