//! `copy`: the same bytes over there, whatever happens on the way, and never a backup that does not restore.

use crate::lab::{back_up, fill, lab, restore, verified};
use crate::world::{World, ended};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use testkit::{Azure, Cable, Dice, Gcs, S3, rounds, seed};
use toban_core::sum::{hex, sha256};

/// A repository with two backups, of which the newer builds on the older, two dumps, WAL of every kind with its
/// records, and proofs of it all.
struct Near {
    world: World,
    root: PathBuf,
    backups: Vec<String>,
    /// A tail whose segment is not whole.
    segments: Vec<PathBuf>,
}

impl Near {
    fn new() -> Near {
        let world = lab(15);
        world.pg.psql("postgres", "select pg_create_physical_replication_slot('keep', true)");
        fill(&world, 20_000);
        world.app();
        let root = world.path("repo").join("main").join(world.pg.system_identifier());
        let mut near = Near { world, root, backups: Vec::new(), segments: Vec::new() };
        for _ in 0..2 {
            near.backups.push(back_up(&near.world, &[])["id"].as_str().expect("an ID").into());
            near.world.dump("app", &[]);
            near.world.pg.psql("postgres", "update big set t = 'changed' where n % 1000 = 0");
        }
        near.store_wal();
        near.world.run(&["verify"]).fine();
        near
    }

    /// Segments from where the newest backup ended on, compressed and as they are, a history, a tail, records.
    fn store_wal(&mut self) {
        let switch = "create table if not exists filler (n int); insert into filler values (1); select pg_walfile_name(pg_switch_wal())";
        let own = self.world.pg.psql("postgres", "select pg_walfile_name(pg_current_wal_lsn())");
        let first = u64::from_str_radix(&own[16..], 16).expect("a number") + 1;
        for n in first..first + 6 {
            let name = format!("0000000100000000{n:08X}");
            let source = self.world.pg.data_dir().join("pg_wal").join(&name);
            while self.world.pg.psql("postgres", "select pg_walfile_name(pg_current_wal_lsn())") <= name {
                self.world.pg.psql("postgres", switch);
            }
            let content = fs::read(source).expect("read a segment");
            if n == first + 5 {
                self.plant(&format!("wal-tail/00000001/{name}/00000000-00002000"), &content[..0x2000]);
            } else if n == first + 1 {
                self.segments.push(self.plant(&format!("wal/00000001/00000000/{name}"), &content));
            } else {
                let packed = zstd::encode_all(&content[..], 1).expect("compress");
                let path = self.plant(&format!("wal/00000001/00000000/{name}"), &packed);
                let sum = hex(&sha256(&content));
                let attrs = format!(r#"{{"bytes":"{}","sha256":"{sum}"}}"#, content.len());
                fs::write(format!("{}.attr", path.display()), attrs).expect("write the attributes");
                self.segments.push(path);
            }
        }
        self.plant("wal/00000002.history", b"1\t0/5000000\tno recovery target specified\n");
        let gap = r#"{"format":1,"first":"000000010000000000000001","last":"000000010000000000000001","repo":null,"at":"2026-11-21T00:00:00Z","why":"a test"}"#;
        self.plant("gap/000000010000000000000001.20261121T000000000000Z.json", gap.as_bytes());
        let known = gap.replace("repo\":null", "reason\":\"a test\"").replace(",\"why\":\"a test\"", "");
        self.plant("gap-acknowledged/000000010000000000000001.20261121T000000000000Z.json", known.as_bytes());
        self.plant("proof/drill.20261121T000000Z-passed.json", b"{}");
    }

    fn plant(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.root.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("make a folder");
        fs::write(&path, content).expect("plant it");
        path
    }

    fn copy(&self, from: &str, to: &str, more: &[&str]) -> testkit::Ran {
        let args: Vec<&str> =
            ["copy", "--from", from, "--to", to, "--json"].iter().chain(more).copied().collect();
        self.world.run(&args)
    }

    fn url(&self, name: &str) -> String {
        format!("file://{}", self.world.path(name).display())
    }

    /// Objects below `folder` of the first repository.
    fn objects(&self, folder: &str) -> Vec<PathBuf> {
        let of = self.root.join(folder);
        self.world.files().into_iter().filter(|f| f.starts_with(&of)).collect()
    }

    /// What lies in the folder repository `name`, compared with the first byte by byte, attributes and all.
    fn differences(&self, name: &str) -> String {
        let mut diff = Command::new("diff");
        diff.args(["-r", "--exclude=.tmp"]).arg(self.world.path("repo")).arg(self.world.path(name));
        String::from_utf8_lossy(&diff.output().expect("run diff").stdout).into_owned()
    }

    fn list(&self, repo: &str) -> Vec<Value> {
        self.world.run(&["list", "--json", "--repo", repo]).json()
    }
}

fn names(records: &[Value]) -> Vec<String> {
    records.iter().map(|r| format!("{} {}", r["kind"].as_str().unwrap_or("?"), r["objects"])).collect()
}

#[test]
fn the_same_bytes_there_and_back_and_no_damage_goes_over() {
    let mut near = Near::new();
    go_there_and_back(&mut near);
    name_damage(&near);
}

fn go_there_and_back(near: &mut Near) {
    let s3 = S3::start();
    let bucket = s3.url("copies");
    s3.env().iter().for_each(|(name, value)| near.world.set(name, value));
    let (repo, far) = (near.url("repo"), near.url("far"));

    let planned = near.copy(&repo, &bucket, &["--dry-run"]).json();
    near.world.run(&["list", "--repo", &bucket]).refused(2, "it is empty");
    let copied = near.copy(&repo, &bucket, &[]).json();
    assert_eq!(names(&planned), names(&copied), "{planned:?} {copied:?}");
    let kinds: Vec<&str> = copied.iter().filter_map(|r| r["kind"].as_str()).collect();
    assert_eq!(kinds, ["backup", "backup", "wal", "wal", "records", "dump", "dump"]);
    assert_eq!(copied[0]["id"], near.backups[1].as_str(), "the newest first");
    assert_eq!(near.copy(&repo, &bucket, &[]).fine(), "", "there is nothing more to do");

    // From service to service, and back into a folder.
    let (azure, gcs) = (Azure::start(), Gcs::start(&["copies"]));
    azure.env().into_iter().chain(gcs.env()).for_each(|(name, value)| near.world.set(&name, &value));
    let (container, google) = (azure.url("copies") + "/p", "gs://copies/p".to_string());
    near.copy(&bucket, &container, &[]).json();
    near.copy(&container, &google, &[]).json();
    assert_eq!(near.copy(&bucket, &google, &[]).fine(), "", "there is nothing more to do");
    near.copy(&google, &far, &[]).json();
    assert_eq!(near.differences("far"), "");
    near.world.run(&["verify", "--repo", &container]).fine();
    restore(&near.world, "from-container", &["--repo", &container]);
    near.world.run(&["verify", "--repo", &far]).fine();
    near.world.run(&["verify", "--repo", &bucket]).fine();
    for (n, id) in near.backups.iter().enumerate() {
        let target = near.world.path(&format!("target-{n}"));
        near.world.run(&["restore", id, "--pgdata", &target.display().to_string(), "--repo", &far]).fine();
        verified(&near.world.pg, &target);
    }
    restore(&near.world, "from-bucket", &["--repo", &bucket]);

    // What is proven of the source later says nothing of the copy.
    let proofs = |name: &str| {
        let files = Command::new("find").arg(near.world.path(name)).args(["-path", "*/proof/*"]).output();
        String::from_utf8_lossy(&files.expect("run find").stdout).lines().count()
    };
    std::thread::sleep(Duration::from_millis(1100));
    let before = proofs("far");
    near.world.run(&["verify"]).fine();
    assert_eq!(near.copy(&repo, &far, &[]).fine(), "");
    assert_eq!(proofs("far"), before);

    // One alone, and without the WAL.
    let one = near.url("one");
    let copied = near.copy(&bucket, &one, &[&near.backups[1]]).json();
    assert_eq!(names(&copied).len(), 1);
    assert_eq!(near.list(&one).len(), 1);
    near.world.run(&["verify", "--repo", &one]).fine();
    near.copy(&bucket, &one, &["20200101T000000Z-000000"]).refused(2, "no dump or backup");
    near.copy(&repo, &repo, &[]).refused(2, "copied to itself");
    near.world.run(&["copy"]).refused(2, "nothing says what to copy");
}

/// Changes a file, and gives it back.
fn changed(path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let whole = fs::read(path).expect("read it");
    let mut bytes = whole.clone();
    change(&mut bytes);
    fs::write(path, bytes).expect("change it");
    whole
}

/// What is damaged or missing in the source is named, and the others go over.
fn name_damage(near: &Near) {
    let (repo, far) = (near.url("repo"), near.url("second"));
    let again = || near.copy(&repo, &far, &[]);
    let listed = || near.list(&far).len();
    let own_pack = |id: &str| near.objects(&format!("backup/{id}/pack")).remove(0);
    let flip = |bytes: &mut Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    };

    // A pack of the newer one, a part of a dump, a segment of the WAL.
    let pack = own_pack(&near.backups[1]);
    let segment = near.segments[2].clone();
    let dump =
        near.world.files().into_iter().find(|f| f.extension().is_some_and(|e| e == "dump")).expect("a dump");
    let (of_pack, of_segment) = (changed(&pack, flip), changed(&segment, flip));
    let of_dump = fs::read(&dump).expect("read it");
    fs::remove_file(&dump).expect("remove it");
    let ran = again();
    let said = ran.refused(5, "copies failed");
    for path in [&pack, &segment, &dump] {
        let key = path.strip_prefix(near.world.path("repo")).expect("below it").display().to_string();
        assert!(said.contains(&key), "{key} is not in {said}");
    }
    assert_eq!(listed(), 2, "the older backup and the other dump");
    let there = |path: &Path| {
        near.world.path("second").join(path.strip_prefix(near.world.path("repo")).expect("below"))
    };
    let present: Vec<bool> = near.segments.iter().map(|s| there(s).exists()).collect();
    assert_eq!(present, [true, true, false, true, true]);
    near.world.run(&["verify", "--repo", &far]).fine();
    for (path, whole) in [(&pack, &of_pack), (&segment, &of_segment), (&dump, &of_dump)] {
        fs::write(path, whole).expect("write it back");
    }
    near.copy(&repo, &far, &[]).json();
    let only = near.differences("second");
    assert!(only.lines().all(|l| l.contains("/second/") && l.contains("proof")), "{only}");

    // What is over there under the same name stays, whatever it is.
    let manifest = there(&near.root.join(format!("backup/{}/backup.json", near.backups[0])));
    let whole =
        changed(&manifest, |bytes| *bytes = String::from_utf8_lossy(bytes).replace("main", "mann").into());
    near.copy(&repo, &far, &[]).refused(5, "is another than in");
    near.copy(&repo, &far, &["--dry-run"]).refused(5, "is another than in");
    assert!(String::from_utf8_lossy(&fs::read(&manifest).expect("read it")).contains("mann"));
    fs::write(&manifest, whole).expect("write it back");
    let whole = changed(&there(&pack), |bytes| bytes.truncate(9));
    near.copy(&repo, &far, &[]).refused(5, "is another than in");
    fs::write(there(&pack), whole).expect("write it back");
    // Of the WAL what is recorded of the content tells, since it may be compressed in another way.
    let attrs = PathBuf::from(format!("{}.attr", there(&segment).display()));
    let whole = changed(&there(&segment), |bytes| bytes.truncate(9));
    let recorded = changed(&attrs, |bytes| *bytes = br#"{"sha256":"another"}"#.to_vec());
    near.copy(&repo, &far, &[]).refused(5, "is another than in");
    fs::write(there(&segment), whole).expect("write it back");
    fs::write(attrs, recorded).expect("write it back");
    assert_eq!(near.copy(&repo, &far, &[]).fine(), "");

    // What over there has lost is filled up again.
    fs::remove_file(there(&pack)).expect("lose it");
    assert_eq!(near.copy(&repo, &far, &[]).json().len(), 1);
    near.world.run(&["verify", "--repo", &far]).fine();
    // A manifest of the source that does not read.
    let manifest = near.root.join(format!("backup/{}/backup.json", near.backups[0]));
    changed(&manifest, |bytes| bytes.truncate(100));
    near.copy(&repo, &near.url("new"), &[]).refused(5, "does not match its own sum");
    assert_eq!(near.list(&near.url("new")).len(), 3);
    // Another server's cluster of the same name.
    let other = near.world.path("other/main/7/cluster.json");
    fs::create_dir_all(other.parent().expect("a folder")).expect("make a folder");
    fs::write(other, r#"{"format":1,"system_identifier":"7","major":15,"wal_segment_size":16777216}"#)
        .expect("plant");
    near.copy(&repo, &near.url("other"), &[]).refused(1, "of system 7");
}

/// What is over there after a copy that ended at any moment: whatever is listed is whole, the WAL has no hole, and the
/// same again completes it.
fn converges(near: &Near, repo: &str, to: &str) {
    let ran = near.world.run(&["verify", "--fast", "--repo", to]);
    // Killed before the first manifest there is nothing to verify, which is not well, and no damage.
    let nothing = ["holds nothing", "no dump or backup"].iter().any(|words| ran.stderr.contains(words));
    assert!(ran.status == Some(0) || ran.status == Some(4) && nothing, "{ran:?}");
    if let Some(folder) = to.strip_prefix("file://") {
        let there = |path: &PathBuf| {
            let path = path.strip_prefix(near.world.path("repo")).expect("below it");
            Path::new(folder).join(path).exists()
        };
        let present: Vec<bool> = near.segments.iter().map(there).collect();
        assert!(present.is_sorted_by(|a, b| a >= b), "a hole: {present:?}");
    }
    near.copy(repo, to, &[]).json();
    near.world.run(&["verify", "--fast", "--repo", to]).fine();
}

mod kill {
    use super::*;

    #[test]
    fn copy() {
        let mut near = Near::new();
        let s3 = S3::start();
        let bucket = s3.url("copies");
        s3.env().iter().for_each(|(name, value)| near.world.set(name, value));
        let repo = near.url("repo");
        for (to, count) in [(near.url("far"), rounds(3)), (bucket, rounds(3) / 2 + 1)] {
            let number = std::cell::Cell::new(0);
            let target = || format!("{to}/{}", number.get());
            if let Some(folder) = to.strip_prefix("file://") {
                fs::create_dir_all(folder).expect("make a folder");
            }
            let mut length = Duration::MAX;
            for _ in 0..2 {
                let begun = Instant::now();
                near.copy(&repo, &target(), &[]).json();
                length = length.min(begun.elapsed());
                number.set(number.get() + 1);
            }
            let start = || {
                let args = ["copy", "--from", &repo, "--to", &target(), "--json"];
                near.world.command(&args).spawn().expect("start")
            };
            testkit::killed(length, count, start, || {
                converges(&near, &repo, &target());
                let last = target();
                number.set(number.get() + 1);
                if let Some(folder) = last.strip_prefix("file://") {
                    let name =
                        folder.rsplit_once("/far/").map(|(_, n)| format!("far/{n}")).expect("below far");
                    let left = near.differences(&name);
                    let own =
                        |l: &str| l.contains("intent") || l.starts_with("Only in") && l.ends_with(": intent");
                    assert!(left.lines().all(own), "{left}");
                    fs::remove_dir_all(folder).expect("make room");
                }
            });
        }
    }
}

mod faults {
    use super::*;

    #[test]
    fn a_copy_cut_at_any_byte() {
        let mut near = Near::new();
        let s3 = S3::start();
        let cable = Cable::http(s3.addr());
        let bucket = s3.url("copies");
        S3::env_at(&cable.endpoint()).iter().for_each(|(name, value)| near.world.set(name, value));
        near.world.set("TOBAN_RETRY_FOR", "5s");
        let repo = near.url("repo");
        let copied = near.copy(&repo, &format!("{bucket}/whole"), &[]).json();
        let whole: u64 = copied.iter().filter_map(|r| r["bytes"].as_u64()).sum();
        let mut dice = Dice::new(seed());
        for round in 0..rounds(1) {
            let to = format!("{bucket}/{round}");
            let before = cable.cuts();
            cable.cut_after(dice.below(whole));
            let ran = near.copy(&repo, &to, &[]);
            assert!(matches!(ran.status, Some(0 | 75)), "{ran:?}");
            assert!(cable.cuts() > before, "the cut did not hit");
            cable.mend();
            converges(&near, &repo, &to);
            // And the other way: a source that breaks leaves nothing half over there.
            cable.cut_after(dice.below(whole));
            let far = near.url(&format!("far-{round}"));
            let ran = near.copy(&to, &far, &[]);
            assert!(matches!(ran.status, Some(0 | 75)), "{ran:?}");
            cable.mend();
            converges(&near, &to, &far);
            fs::remove_dir_all(near.world.path(&format!("far-{round}"))).expect("make room");
        }
        near.world.set("TOBAN_RETRY_FOR", "2s");
        let to = format!("{bucket}/new");
        cable.stall();
        near.copy(&repo, &to, &[]).refused(75, "");
        cable.refuse();
        near.copy(&repo, &to, &[]).refused(75, "");
        cable.mend();
        let expired = "<Error><Code>ExpiredToken</Code><Message>The token has expired.</Message></Error>";
        cable.answer(403, expired, 200);
        near.copy(&repo, &to, &[]).refused(1, "ExpiredToken");
        cable.mend();
        converges(&near, &repo, &to);
    }
}

/// A configuration in which `near` has a copy in `far`.
fn configured(world: &mut World, keep: &str) {
    let d = world.dir.path().display().to_string();
    let toml = format!(
        "[repo.near]\nurl = \"file://{d}/repo\"\ncopies = [\"far\"]\n\
         [repo.far]\nurl = \"file://{d}/away/far\"\n{keep}\n[cluster.main]\nrepos = [\"near\"]\n"
    );
    fs::write(world.path("toban.toml"), toml).expect("write");
    world.set("TOBAN_CONFIG", &world.path("toban.toml").display().to_string());
    world.set("TOBAN_REPO", "near");
}

#[test]
fn a_run_copies_what_it_stored_and_a_timer_catches_up() {
    let mut world = lab(15);
    fill(&world, 1000);
    world.app();
    configured(&mut world, "keep = { last = 2 }");
    // The folder that the copies lie in is not mounted.
    for args in [&["run", "--repo", "near"][..], &["dump", "app", "--repo", "near"]] {
        world.run(args).refused(3, "away is not there");
    }
    let record = fs::read_to_string(world.path("state/runs/pg-backup_run_main.jsonl")).expect("a record");
    assert!(record.contains("not all was copied to far"), "{record}");
    fs::create_dir(world.path("away")).expect("mount it");
    let list = |repo: &str| {
        let listed = world.run(&["list", "--json", "--repo", repo]).json();
        listed.iter().map(|r| r["id"].as_str().expect("an ID").to_string()).collect::<Vec<_>>()
    };
    assert_eq!(world.run(&["copy", "--json"]).json().len(), 2);
    assert_eq!(list("near"), list("far"));
    let schemas = |args: &[&str]| {
        let args: Vec<&str> = args.iter().chain(&["--json", "--repo", "near"]).copied().collect();
        let records = world.run(&args).json();
        records.iter().map(|r| r["schema"].as_str().expect("a schema").to_string()).collect::<Vec<_>>()
    };
    assert_eq!(schemas(&["run"]), ["pg-backup.run/1", "pg-backup.copy/1"]);
    assert_eq!(schemas(&["dump", "app"]), ["pg-backup.dump/1", "pg-backup.copy/1"]);
    schemas(&["run"]);
    schemas(&["dump", "app"]);
    assert_eq!(list("far").len(), 6);
    restore(&world, "restored", &["--repo", "far"]);
    // A pin goes over also when what it is of is there already, and its end does.
    let near = world.run(&["list", "--json", "--repo", "near"]).json();
    let oldest = near.iter().find(|r| r["start_lsn"].is_string()).expect("a backup");
    let oldest = oldest["id"].as_str().expect("an ID");
    let copied = |count: u64| {
        let copied = world.run(&["copy", "--json"]).json();
        assert_eq!(copied.iter().map(|r| r["objects"].as_u64()).collect::<Vec<_>>(), [Some(count)]);
        world.run(&["list", "--repo", "far"]).fine().contains("pinned: case 4711")
    };
    world.run(&["pin", oldest, "--why", "case 4711", "--repo", "near"]).fine();
    assert!(copied(1));
    world.run(&["unpin", oldest, "--repo", "near"]).fine();
    assert!(!copied(1));
    world.run(&["pin", oldest, "--why", "case 4711", "--repo", "near"]).fine();
    assert!(copied(1));
    // What the rules over there do not keep goes by its prune, and does not come back with the next copy.
    world.run(&["prune", "--repo", "far"]).fine();
    let kept = list("far");
    assert_eq!(kept.len(), 5, "{kept:?}");
    assert_eq!(world.run(&["copy"]).fine(), "");
    assert_eq!(list("far"), kept);
    // Where no rules are known, what a prune has marked over there is left alone all the same.
    let url = format!("file://{}", world.path("away/far").display());
    let backups = |world: &World| {
        let listed = world.run(&["list", "--json", "--repo", "far"]).json();
        listed.iter().filter(|r| r["start_lsn"].is_string()).count()
    };
    world.run(&["copy", "--from", "near", "--to", &url]).fine();
    assert_eq!(backups(&world), 3);
    let toml = fs::read_to_string(world.path("toban.toml")).expect("read");
    fs::write(world.path("toban.toml"), toml.replace("[\"far\"]", "[\"fra\"]")).expect("write");
    world.run(&["run", "--repo", "near"]).refused(2, "no [repo.fra] section");
}

/// Everything at once, for some rounds: whatever is listed over there in the end is whole and restores.
#[test]
fn beside_run_dump_and_both_prunes() {
    let mut world = lab(15);
    fill(&world, 20_000);
    world.app();
    configured(&mut world, "keep = { last = 2 }");
    fs::create_dir(world.path("away")).expect("mount it");
    for _ in 0..2 {
        world.dump("app", &["--repo", "near"]);
    }
    for _ in 0..rounds(2) {
        world.pg.psql("postgres", "update big set t = 'x' where n % 100 = 0");
        let start = |args: &[&str]| world.command(args).spawn().expect("start");
        let all = [
            start(&["copy"]),
            start(&["run", "--repo", "near"]),
            start(&["dump", "app", "--repo", "near"]),
            start(&["prune", "--keep-last", "1", "--repo", "near"]),
            start(&["prune", "--repo", "far"]),
        ];
        for (n, child) in all.into_iter().enumerate() {
            let ran = ended(child);
            // The second prune of one cluster finds the lock taken; an empty repository is no error of ours.
            assert!(matches!(ran.status, Some(0 | 75)) || n == 4 && ran.status == Some(2), "{n}: {ran:?}");
        }
        let ran = world.run(&["verify", "--repo", "far"]);
        assert!(matches!(ran.status, Some(0 | 4)) && !ran.said().contains("damaged"), "{ran:?}");
    }
    world.run(&["copy"]).fine();
    world.run(&["verify", "--repo", "far"]).fine();
    restore(&world, "restored", &["--repo", "far"]);
}
