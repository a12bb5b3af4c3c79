//! `check` against planted faults of the repository and the clock.

use crate::lab::{back_up, fill, lab};
use crate::world::World;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use testkit::{Checked, Dice, Plant, plant_each};

/// Two backups and two dumps, verified, and nothing else.
struct Lab {
    world: World,
    root: PathBuf,
    /// IDs, oldest first.
    backups: Vec<String>,
    dumps: Vec<String>,
}

type Planted = testkit::Planted<Lab>;

const KINDS: &[Plant<Lab>] = &[
    ("an object of a backup is gone", gone),
    ("an object of a backup is cut", cut),
    ("an object of a dump is gone or cut", dump_part),
    ("a manifest is damaged", manifest),
    ("WAL without a backup", wal_alone),
    ("WAL that was never verified", wal_unverified),
    ("damaged WAL", wal_damaged),
    ("a hole behind the newest backup", hole),
    ("found damaged", damage),
    ("a proof of the future hides damage", hidden_damage),
    ("a drill failed", drill),
    ("a pass of the future hides a failed drill", hidden_drill),
    ("an old one is the newest", old),
    ("this machine's clock is behind", behind),
    ("a database that has no dump", absent),
    ("another repository never got the dumps", elsewhere),
    ("the repository is away", away),
];

impl Checked for Lab {
    fn content(&self, when: &str) {
        let ran = self.world.run(&["check"]);
        assert_eq!(ran.status, Some(0), "{when}: {ran:?}");
    }

    fn turned(&self, planted: &Planted) {
        let args: Vec<&str> =
            ["check", "--json"].into_iter().chain(planted.args.iter().map(String::as_str)).collect();
        let ran = self.world.run(&args);
        let mut findings =
            ran.stdout.lines().filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok());
        let named = findings.any(|f| f["check"] == planted.check && f["severity"] != "ok");
        let told =
            if planted.check.is_empty() { ran.status != Some(0) } else { ran.status == Some(4) && named };
        assert!(told, "{}: {ran:?}", planted.what);
    }
}

impl Lab {
    fn new() -> Lab {
        let world = lab(15);
        // No file of pg_wal goes: they are what an archive would have.
        world.pg.psql("postgres", "select pg_create_physical_replication_slot('keep', true)");
        fill(&world, 1000);
        world.app();
        let backups = (0..2).map(|_| back_up(&world, &[])["id"].as_str().expect("an id").into()).collect();
        let dumps = (0..2).map(|_| world.dump("app", &[])).collect();
        world.run(&["verify"]).fine();
        let system = world.pg.system_identifier();
        let root = world.path("repo").join("main").join(system);
        let lab = Lab { world, root, backups, dumps };
        lab.content("at the beginning");
        lab
    }

    /// Every object of one of the backups but its manifest.
    fn parts(&self, dice: &mut Dice) -> PathBuf {
        let id = &self.backups[dice.index(self.backups.len())];
        let folder = self.root.join("backup").join(id);
        let all: Vec<PathBuf> = self
            .world
            .files()
            .into_iter()
            .filter(|f| f.starts_with(&folder) && !f.ends_with("backup.json"))
            .collect();
        all[dice.index(all.len())].clone()
    }

    fn change(&self, what: &str, check: &'static str, path: PathBuf, content: Option<Vec<u8>>) -> Planted {
        let before = fs::read(&path).expect("read it");
        let what = format!("{what}: {}", path.display());
        match content {
            None => fs::remove_file(&path).expect("remove it"),
            Some(content) => fs::write(&path, content).expect("change it"),
        }
        Planted::new(what, check, move |_| fs::write(path, before).expect("write it back"))
    }

    fn plant(&self, check: &'static str, names: &[String], content: &str) -> Planted {
        let paths: Vec<PathBuf> = names.iter().map(|n| self.root.join(n)).collect();
        for path in &paths {
            fs::create_dir_all(path.parent().expect("a folder")).expect("make a folder");
            fs::write(path, content).expect("plant it");
        }
        let remove = move |_: &Lab| paths.iter().for_each(|p| fs::remove_file(p).expect("remove it"));
        Planted::new(format!("{names:?}"), check, remove)
    }

    /// Segments of the WAL, as this server would archive them: `count` from where the newest backup ends, but for one.
    fn wal(&self, count: u64, but: Option<u64>) -> Vec<PathBuf> {
        let listed = self.world.run(&["list", "--json"]).json();
        let newest = listed.iter().rfind(|r| r["stop_lsn"].is_string()).expect("a backup");
        let stop = newest["stop_lsn"].as_str().expect("a position").split_once('/').expect("two halves").1;
        let first = u64::from_str_radix(stop, 16).expect("a number") / (16 << 20) + 1;
        let switch = "create table if not exists filler (n int); insert into filler values (1); select pg_walfile_name(pg_switch_wal())";
        let mut paths = Vec::new();
        for n in (first..first + count).filter(|n| but.is_none_or(|b| *n != first + b)) {
            let name = format!("0000000100000000{n:08X}");
            let path = self.root.join(format!("wal/00000001/00000000/{name}"));
            let source = self.world.pg.data_dir().join("pg_wal").join(&name);
            while self.world.pg.psql("postgres", "select pg_walfile_name(pg_current_wal_lsn())") <= name {
                self.world.pg.psql("postgres", switch);
            }
            fs::create_dir_all(path.parent().expect("a folder")).expect("make a folder");
            fs::copy(&source, &path).unwrap_or_else(|e| panic!("{}: {e}", source.display()));
            paths.push(path);
        }
        paths
    }

    /// All WAL, and what `verify` said of it, is as if it had never been.
    fn forget_wal(&self) {
        let _ = fs::remove_dir_all(self.root.join("wal"));
        let proofs = fs::read_dir(self.root.join("proof")).expect("list").flatten().map(|e| e.path());
        let of_wal = |p: &PathBuf| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("wal."));
        proofs.filter(of_wal).for_each(|p| fs::remove_file(p).expect("remove a verdict"));
    }
}

/// `ahead` seconds from now, as proofs are named.
fn stamp(lab: &Lab, ahead: i64) -> String {
    let sql = format!(
        "select to_char((now() + interval '{ahead} s') at time zone 'UTC', 'YYYYMMDD\"T\"HH24MISS\"Z\"')"
    );
    lab.world.pg.psql("postgres", &sql)
}

fn gone(lab: &Lab, dice: &mut Dice) -> Planted {
    lab.change("gone", "objects", lab.parts(dice), None)
}

fn cut(lab: &Lab, dice: &mut Dice) -> Planted {
    let path = lab.parts(dice);
    let mut content = fs::read(&path).expect("read it");
    content.truncate(dice.index(content.len()));
    lab.change("cut", "objects", path, Some(content))
}

fn dump_part(lab: &Lab, dice: &mut Dice) -> Planted {
    let id = &lab.dumps[dice.index(2)];
    let ending = ["dump", "rows.jsonl.gz", "globals.sql.gz"][dice.index(3)];
    let path = lab.world.path("repo").join(format!("main/dump/app/{id}.{ending}"));
    let content = fs::read(&path).expect("read it");
    let longer = [&content[..], b"x"].concat();
    let changed = [None, Some(Vec::new()), Some(longer)][dice.index(3)].clone();
    lab.change("changed", "objects", path, changed)
}

fn manifest(lab: &Lab, dice: &mut Dice) -> Planted {
    let dump = lab.world.path("repo").join(format!("main/dump/app/{}.json", lab.dumps[dice.index(2)]));
    let backup = lab.root.join(format!("backup/{}/backup.json", lab.backups[dice.index(2)]));
    let path = [dump, backup][dice.index(2)].clone();
    let mut content = fs::read(&path).expect("read it");
    let at = dice.index(content.len());
    content[at] ^= 1 << dice.below(7);
    lab.change("flipped", "manifest", path, Some(content))
}

fn wal_alone(lab: &Lab, dice: &mut Dice) -> Planted {
    // A server that was made anew: its identifier is larger, and it has no backup yet.
    let system = lab.root.file_name().expect("a name").to_string_lossy().parse::<u64>().expect("a number");
    let root = lab.root.with_file_name((system + 1 + dice.below(1 << 40)).to_string());
    let names = [
        "wal/00000001/00000000/000000010000000000000001",
        "wal-tail/00000001/000000010000000000000001/00000000-00000010",
    ];
    let path = root.join(names[dice.index(2)]);
    fs::create_dir_all(path.parent().expect("a folder")).expect("make a folder");
    fs::write(&path, "WAL").expect("plant it");
    Planted::new(path.display().to_string(), "backup", move |_| {
        fs::remove_dir_all(root).expect("remove it");
    })
}

fn claim(lab: &Lab) {
    assert!(lab.root.join("cluster.json").exists(), "a backup claims the repository");
}

fn wal_unverified(lab: &Lab, dice: &mut Dice) -> Planted {
    claim(lab);
    lab.wal(1 + dice.below(3), None);
    Planted::new("WAL that was never verified", "wal", |lab: &Lab| {
        let newest = lab.world.run(&["verify", "--newest"]);
        assert_eq!(newest.status, Some(0), "{newest:?}");
        lab.content("when the WAL is verified");
        lab.forget_wal();
    })
}

fn wal_damaged(lab: &Lab, dice: &mut Dice) -> Planted {
    let paths = lab.wal(3, None);
    lab.world.run(&["verify"]).fine();
    lab.content("with WAL that was verified");
    let path = paths[dice.index(3)].clone();
    let whole = fs::read(&path).expect("read it");
    let mut content = whole.clone();
    match dice.below(4) {
        0 => content.truncate(dice.index(content.len())),
        1 => content[..64].fill(0),
        2 => content[8 + dice.index(8)] ^= 0x41,
        _ => content.clear(),
    }
    fs::write(&path, content).expect("damage it");
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    lab.world.run(&["verify"]).refused(5, &name);
    Planted::new(format!("{name} is damaged"), "wal", move |lab: &Lab| {
        fs::write(path, whole).expect("mend it");
        std::thread::sleep(Duration::from_millis(1100));
        lab.world.run(&["verify"]).fine();
        lab.content("when the WAL is whole again");
        lab.forget_wal();
    })
}

fn hole(lab: &Lab, dice: &mut Dice) -> Planted {
    let count = 3 + dice.below(3);
    lab.wal(count, Some(1 + dice.below(count - 2)));
    lab.world.run(&["verify"]).fine();
    Planted::new("a hole", "reach", |lab: &Lab| {
        lab.forget_wal();
    })
}

fn damage(lab: &Lab, dice: &mut Dice) -> Planted {
    // Newer than the proof, by the second that names hold.
    let at = stamp(lab, 2 + dice.below(100).cast_signed());
    match dice.below(2) {
        0 => lab.plant("verify", &[format!("damage/{}.{at}.json", lab.backups[dice.index(2)])], "{}"),
        _ => {
            lab.plant("verify", &[format!("../dump/app/{}.damage.{at}.json", lab.dumps[dice.index(2)])], "{}")
        }
    }
}

fn hidden_damage(lab: &Lab, dice: &mut Dice) -> Planted {
    let (now, future) = (stamp(lab, 2), stamp(lab, 1000 + dice.below(1_000_000_000).cast_signed()));
    let (backup, dump) = (&lab.backups[dice.index(2)], &lab.dumps[dice.index(2)]);
    let names = match dice.below(2) {
        0 => [format!("damage/{backup}.{now}.json"), format!("proof/{backup}.{future}.json")],
        _ => [
            format!("../dump/app/{dump}.damage.{now}.json"),
            format!("../dump/app/{dump}.proof.{future}.json"),
        ],
    };
    lab.plant("verify", &names, "{}")
}

fn drill(lab: &Lab, dice: &mut Dice) -> Planted {
    let at = stamp(lab, -dice.below(1_000_000).cast_signed());
    lab.plant("drill", &[format!("proof/drill.{at}-failed.json")], "{}")
}

fn hidden_drill(lab: &Lab, dice: &mut Dice) -> Planted {
    let (failed, passed) = (stamp(lab, -60), stamp(lab, 1000 + dice.below(1_000_000_000).cast_signed()));
    let names = [format!("proof/drill.{failed}-failed.json"), format!("proof/drill.{passed}-passed.json")];
    lab.plant("drill", &names, "{}")
}

fn at(lab: &Lab, ahead: i64) -> Vec<String> {
    let sql = format!(
        "select to_char((now() + interval '{ahead} s') at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
    );
    vec!["--at".into(), lab.world.pg.psql("postgres", &sql)]
}

fn old(lab: &Lab, dice: &mut Dice) -> Planted {
    let ahead = 30 * 3600 + dice.below(100_000_000).cast_signed();
    Planted::new(format!("{ahead} s later"), "age", |_| {}).asked_with(at(lab, ahead))
}

fn behind(lab: &Lab, dice: &mut Dice) -> Planted {
    let ahead = -(7200 + dice.below(100_000_000).cast_signed());
    Planted::new(format!("{ahead} s"), "age", |_| {}).asked_with(at(lab, ahead))
}

fn absent(_: &Lab, dice: &mut Dice) -> Planted {
    let args = [["gone", "App", "app "][dice.index(3)].to_string()];
    Planted::new(format!("{args:?}"), "age", |_| {}).asked_with(args)
}

fn elsewhere(lab: &Lab, _: &mut Dice) -> Planted {
    // It has dumps of another database only.
    let far = lab.world.path("far").display().to_string();
    lab.world.run(&["dump", "postgres", "--repo", &far]).status.expect("it ends");
    lab.world.run(&["verify", "--repo", &far]).status.expect("it ends");
    let near = lab.world.path("repo").display().to_string();
    let args = ["--repo", &near, "--repo", &far].map(String::from);
    let remove = move |_: &Lab| fs::remove_dir_all(far).expect("remove it");
    Planted::new("another repository", "age", remove).asked_with(args)
}

fn away(lab: &Lab, _: &mut Dice) -> Planted {
    let (repo, aside) = (lab.world.path("repo"), lab.world.path("away"));
    fs::rename(&repo, &aside).expect("put it away");
    let back = move |path: &Path| fs::rename(&aside, path).expect("bring it back");
    Planted::new("away", "age", move |_| back(&repo))
}

#[test]
fn each_planted_trouble_turns_it_and_its_end_clears_it() {
    plant_each(&Lab::new(), KINDS, 17, 1);
}

/// A dump whose date lies in the future, as a machine with a wrong clock makes it: the manifest says so, and its seal
/// fits.
fn redate(world: &World, id: &str, year: u32) -> String {
    let new = format!("{year}{}", &id[4..]);
    let folder = world.path("repo/main/dump/app");
    for path in world.files().into_iter().filter(|f| f.display().to_string().contains(id)) {
        let name = path.file_name().expect("a name").to_string_lossy().replace(id, &new);
        fs::rename(&path, folder.join(name)).expect("rename it");
    }
    let path = folder.join(format!("{new}.json"));
    let text = fs::read_to_string(&path).expect("read the manifest");
    let (_, rest) = text.split_once("\",").expect("a seal");
    let rest = rest.replace(id, &new).replace("\"started\": \"2026", &format!("\"started\": \"{year}"));
    let rest = rest.replace("\"finished\": \"2026", &format!("\"finished\": \"{year}"));
    let rest = rest.replace("\"server_time\": \"2026", &format!("\"server_time\": \"{year}"));
    reseal(&path, &rest);
    new
}

/// As a program that did not yet ask the server where it is.
fn without_source(world: &World, id: &str) {
    let path = world.path(&format!("repo/main/dump/app/{id}.json"));
    let text = fs::read_to_string(&path).expect("read the manifest");
    let (_, rest) = text.split_once("\",").expect("a seal");
    let (head, tail) = rest.split_once(",\n  \"source\": {").expect("a source");
    let (_, tail) = tail.split_once('}').expect("its end");
    reseal(&path, &format!("{head}{tail}"));
}

fn reseal(path: &Path, rest: &str) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), rest).expect("write");
    let sum = std::process::Command::new("sha256sum").arg(file.path()).output().expect("run sha256sum");
    let sum = String::from_utf8_lossy(&sum.stdout)[..64].to_string();
    fs::write(path, format!("{{\n  \"sha256\": \"{sum}\",{rest}")).expect("write the manifest");
}

#[test]
fn a_dump_of_the_future_is_not_the_newest_and_deletes_nothing() {
    let world = World::new();
    world.app();
    let first = world.dump("app", &[]);
    world.pg.psql("app", "insert into users values (9001, 'later')");
    let true_newest = world.dump("app", &[]);
    let future = redate(&world, &first, 2099);
    let latest = || {
        let ran = world.run(&["restore-dump", "latest", "--of", "app", "--into", "copy", "--json"]);
        assert_eq!(ran.status, Some(0), "{ran:?}");
        let rows = world.pg.psql("copy", "select count(*) from users where id = 9001");
        world.pg.psql("postgres", "drop database copy");
        rows
    };
    assert_eq!(latest(), "1", "the WAL tells which is the newest");
    world.run(&["verify"]).fine();
    let ids = || -> Vec<String> {
        let listed = world.run(&["list", "--json"]).json();
        listed.iter().map(|r| r["id"].as_str().expect("an id").into()).collect()
    };
    assert_eq!(ids(), [future.clone(), true_newest.clone()], "in the order of the WAL");
    world.run(&["check"]).fine();
    let planned = world.run(&["prune", "--keep-last", "1", "--dry-run", "--json"]).json();
    let action = |id: &str| planned.iter().find(|s| s["id"] == id).expect("a step")["action"].clone();
    assert_eq!((action(&future), action(&true_newest)), ("delete".into(), "keep".into()));

    // Nothing but its date tells: it is not the newest, it is not deleted, and it is told.
    without_source(&world, &future);
    assert_eq!(latest(), "1");
    let ran = world.run(&["check"]);
    assert!(ran.stdout.contains("is dated in the future"), "{ran:?}");
    ran.refused(4, "");
    world.run(&["prune", "--keep-last", "1"]).fine();
    assert_eq!(ids(), [future.clone(), true_newest], "both stay");

    // When the newest itself is of the future, its age is not known.
    let newest = redate(&world, &world.dump("app", &[]), 2098);
    let ran = world.run(&["check"]);
    assert!(ran.stdout.contains(&format!("the newest, {newest}, is dated in the future")), "{ran:?}");
    ran.refused(4, "");
}

#[test]
fn damaged_dumps_and_failed_drills_use_up_no_place() {
    let world = lab(15);
    fill(&world, 100);
    world.app();
    let dumps: Vec<String> = (0..3).map(|_| world.dump("app", &[])).collect();
    let backups: Vec<String> =
        (0..3).map(|_| back_up(&world, &[])["id"].as_str().expect("an id").into()).collect();
    // Of the dumps the newest lost a part; of the backups the newest failed its drill.
    let body = world.path(&format!("repo/main/dump/app/{}.dump", dumps[2]));
    fs::write(&body, "cut").expect("damage it");
    let manifest = world.files().into_iter().find(|f| f.ends_with("backup.json")).expect("a manifest");
    let proofs = manifest.ancestors().nth(3).expect("the system's folder").join("proof");
    fs::create_dir_all(&proofs).expect("make a folder");
    let proof = format!("{{\"format\":1,\"backup\":\"{}\"}}", backups[2]);
    fs::write(proofs.join("drill.20261121T090000Z-failed.json"), proof).expect("plant a proof");
    let prune = || world.run(&["prune", "--keep-last", "1", "--dry-run", "--json"]).json();
    let steps = prune();
    let action = |id: &String| steps.iter().find(|s| s["id"] == **id).expect("a step")["action"].clone();
    for all in [&dumps, &backups] {
        let said: Vec<_> = all.iter().map(action).collect();
        assert_eq!(said, ["delete", "keep", "keep"], "{all:?}: {steps:?}");
    }
    let proof = format!("{{\"format\":1,\"backup\":\"{}\"}}", backups[2]);
    fs::write(proofs.join("drill.20261121T100000Z-passed.json"), proof).expect("plant a proof");
    let steps = prune();
    let action = |id: &String| steps.iter().find(|s| s["id"] == **id).expect("a step")["action"].clone();
    assert_eq!(backups.iter().map(action).collect::<Vec<_>>(), ["delete", "delete", "keep"]);
}

/// On a full disk the hinted `prune` must free what the run that failed has left, and at once.
#[test]
fn what_a_dead_run_left_is_freed_at_once() {
    let world = lab(15);
    fill(&world, 20_000);
    back_up(&world, &[]);
    let mut child = world.command(&["run", "--max-rate", "4M"]).spawn().expect("start");
    let packs = || world.files().iter().filter(|f| f.display().to_string().contains("/intent/")).count();
    testkit::until("the run has begun", Duration::from_secs(30), || {
        if packs() == 1 { Ok(()) } else { Err("no intent".into()) }
    });
    let running = world.run(&["prune", "--keep-last", "1", "--json"]).json();
    assert!(running.iter().all(|s| s["action"] == "keep"), "while it runs nothing of it goes: {running:?}");
    child.kill().expect("kill it");
    child.wait().expect("it ends");
    // What it had stored before it died.
    let intent =
        world.files().into_iter().find(|f| f.display().to_string().contains("/intent/")).expect("there");
    let id = intent.file_stem().expect("a name").to_string_lossy().into_owned();
    let pack = intent
        .parent()
        .and_then(Path::parent)
        .expect("the root")
        .join(format!("backup/{id}/pack/00000.tar.zst"));
    fs::create_dir_all(pack.parent().expect("a folder")).expect("make a folder");
    fs::write(&pack, vec![7; 1 << 20]).expect("plant a pack");
    let steps = world.run(&["prune", "--keep-last", "1", "--json"]).json();
    assert!(steps.iter().any(|s| s["id"] == *id && s["action"] == "remove"), "{steps:?}");
    assert!(!pack.exists() && !intent.exists());
    world.run(&["verify"]).fine();
}

/// Names of the segments and tails that lie in the repository.
fn stored_wal(lab: &Lab) -> Vec<String> {
    let files = lab
        .world
        .files()
        .into_iter()
        .filter(|f| f.starts_with(lab.root.join("wal")) || f.starts_with(lab.root.join("wal-tail")));
    files.map(|f| f.strip_prefix(&lab.root).expect("below").display().to_string()).collect()
}

#[test]
fn wal_goes_when_no_kept_backup_needs_it_and_not_before() {
    let lab = Lab::new();
    let first = lab.wal(4, None);
    let tail = lab.root.join(format!(
        "wal-tail/00000001/{}/00000000-00000040",
        first[0].file_name().expect("a name").to_string_lossy()
    ));
    fs::create_dir_all(tail.parent().expect("a folder")).expect("make a folder");
    fs::write(&tail, [7; 64]).expect("plant a tail");
    let gap = lab.root.join("gap/000000010000000000000001.20261121T000000000000Z.json");
    let record = r#"{"format":1,"first":"000000010000000000000001","last":"000000010000000000000001","repo":null,"at":"2026-11-21T00:00:00Z","why":"a test"}"#;
    fs::create_dir_all(gap.parent().expect("a folder")).expect("make a folder");
    fs::write(&gap, record).expect("plant a record");
    let before = stored_wal(&lab);
    let wal = |args: &[&str]| {
        let args: Vec<&str> = ["prune", "--json"].iter().chain(args).copied().collect();
        let steps = lab.world.run(&args).json();
        let of_wal = steps.into_iter().filter(|s| s["schema"] == "pg-backup.prune-wal/1");
        of_wal
            .map(|s| {
                (s["action"].as_str().expect("a word").to_string(), s["objects"].as_u64().expect("a number"))
            })
            .collect::<Vec<_>>()
    };
    // Both backups are kept, and all of it lies behind the newer one: nothing goes but the record of what is gone.
    assert_eq!(wal(&["--keep-last", "2", "--dry-run"]), [("keep".into(), 5), ("remove".into(), 1)]);
    wal(&["--keep-last", "2"]);
    assert_eq!(stored_wal(&lab), before);
    assert!(!gap.exists());
    // A backup behind all of it: what lies before its beginning goes, when the older ones do.
    let newest = back_up(&lab.world, &[]);
    lab.wal(1, None);
    lab.world.run(&["verify"]).refused(5, "00000000-00000040");
    fs::remove_file(&tail).expect("remove the tail");
    lab.world.run(&["verify"]).fine();
    fs::write(&tail, [7; 64]).expect("plant it again");
    let at_once = ["--keep-last", "1", "--undelete", "0s"];
    wal(&["--keep-last", "1"]);
    assert_eq!(stored_wal(&lab).len(), before.len() + 1, "what can be put back needs it");
    lab.world.run(&["prune", "--undo"]).fine();
    let planned = wal(&[&at_once[..], &["--dry-run"]].concat());
    assert!(planned.contains(&("remove".into(), 5)), "{planned:?}");
    assert_eq!(stored_wal(&lab).len(), before.len() + 1, "a dry run removes nothing");
    // The last verified one is kept by its own rule, so the new one must be verified for the others to go.
    wal(&at_once);
    let left = stored_wal(&lab);
    assert_eq!(left.len(), 1, "{left:?}");
    let listed = lab.world.run(&["list", "--json"]).json();
    let kept = listed.iter().find(|r| r["id"] == newest["id"]).expect("the newest is there");
    assert!(kept["missing"].is_null(), "{kept}");
    lab.world.run(&["verify"]).fine();
    lab.content("after the prune");
    crate::lab::restore(&lab.world, "restored", &["--target", "immediate"]);

    // Where the manifest of one does not read, nobody knows what it needs.
    let manifest = lab.root.join(format!("backup/{}/backup.json", newest["id"].as_str().expect("an id")));
    let whole = fs::read(&manifest).expect("read it");
    fs::write(&manifest, &whole[1..]).expect("damage it");
    lab.world.run(&["prune", "--keep-last", "1"]).refused(5, "damaged");
    assert_eq!(stored_wal(&lab), left);
    // And where no backup is, none of the WAL is touched: it may belong to another program's.
    fs::remove_dir_all(lab.root.join("backup")).expect("remove the backups");
    lab.world.run(&["prune", "--keep-last", "1"]).fine();
    assert_eq!(stored_wal(&lab), left);
}

/// With a window of its own the WAL of older backups goes, and they still restore by themselves.
#[test]
fn a_window_of_wal_keeps_what_its_first_moment_needs() {
    let lab = Lab::new();
    lab.wal(2, None);
    back_up(&lab.world, &[]);
    lab.wal(2, None);
    lab.world.run(&["verify"]).fine();
    let all = stored_wal(&lab);
    assert_eq!(all.len(), 4);
    lab.world.run(&["prune", "--keep-last", "9", "--keep-wal", "1h"]).fine();
    assert_eq!(stored_wal(&lab), all, "the window begins before all of them");
    std::thread::sleep(Duration::from_secs(2));
    lab.world.run(&["prune", "--keep-last", "9", "--keep-wal", "1s"]).fine();
    assert_eq!(stored_wal(&lab), all, "for three more days what is deleted finds its WAL");
    let at_once = ["prune", "--keep-last", "9", "--keep-wal", "1s", "--undelete", "0s"];
    lab.world.run(&at_once).fine();
    assert_eq!(stored_wal(&lab), all[2..], "the newest backup begins the window");
    assert_eq!(lab.world.run(&["list", "--json"]).json().len(), 5, "every backup and dump is kept");
    lab.content("after the prune");
    lab.world
        .run(&["restore", &lab.backups[0], "--pgdata", &lab.world.path("old").display().to_string()])
        .fine();
}
