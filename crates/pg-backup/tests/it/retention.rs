//! `prune` by the real binary on made-up repositories whose backups share packs: what the dry run says is what is done,
//! a kill at any moment leaves nothing that does not restore, and `--undo` brings everything back.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testkit::{Dice, Ran, ended, rounds, seed};
use toban_core::repo::sealed::seal;

const SIZE: u64 = 16 << 20;
const ROOT: &str = "main/7500000000000000000";

/// A repository of a few bytes, without any server.
struct MadeUp {
    dir: TempDir,
    dice: Dice,
    /// IDs, oldest first, with the packs that each names: in whose folder, and its number there.
    backups: Vec<(String, Vec<(String, u64)>)>,
}

impl MadeUp {
    /// `count` backups, one on each of the last days, with WAL between them.
    fn new(dice: Dice, count: u64) -> MadeUp {
        let mut made = MadeUp { dir: tempfile::tempdir().expect("a folder"), dice, backups: Vec::new() };
        for n in 0..count {
            made.add_backup(n, count - n);
        }
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("repo").join(ROOT).join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("make a folder");
        fs::write(path, bytes).expect("write it");
    }

    fn add_backup(&mut self, n: u64, days: u64) {
        let age = Duration::from_secs(days * 86_400);
        let started = jiff::Timestamp::try_from(std::time::SystemTime::now() - age).expect("a time");
        let id = format!("{}-{n:06}", started.strftime("%Y%m%dT%H%M%SZ"));
        let mut packs: Vec<(String, u64)> = Vec::new();
        if let Some((_, base)) = self.backups.last().cloned() {
            packs.extend(base.into_iter().filter(|_| self.dice.below(4) > 0));
        }
        for _ in 0..1 + self.dice.below(4) {
            // Numbers are of the manifest, and none stands twice in it.
            let number = packs.iter().map(|(_, number)| number + 1).max().unwrap_or(0);
            self.put(&format!("backup/{id}/pack/{number:05}.tar"), b"pack");
            packs.push((id.clone(), number));
        }
        self.put(&format!("backup/{id}/files.jsonl.zst"), b"index");
        self.put(&format!("backup/{id}/digests.zst"), b"digest");
        let sum = |bytes: u64| json!({ "bytes": bytes, "sha256": "00" });
        let named = packs.iter().map(|(of, number)| {
            let mut pack = sum(4);
            pack["number"] = (*number).into();
            if *of != id {
                pack["of"] = of.as_str().into();
            }
            pack
        });
        let owners: BTreeSet<&String> = packs.iter().map(|(of, _)| of).collect();
        let digests = owners.into_iter().map(|of| {
            let mut digests = sum(6);
            if *of != id {
                digests["of"] = of.as_str().into();
            }
            digests
        });
        let number = 2 + n * 4;
        let lsn =
            |offset: u64| format!("{:X}/{:X}", (number * SIZE) >> 32, (number * SIZE + offset) & 0xFFFF_FFFF);
        let manifest = json!({
            "format": 1, "id": id, "cluster": "main", "system_identifier": "7500000000000000000", "label": null,
            "started": started, "finished": started, "server_version": "15.1", "major": 15, "standby": false,
            "timeline": 1, "start_lsn": lsn(40), "stop_lsn": lsn(900), "wal_segment_size": SIZE, "codec": "none",
            "files": 1, "bytes": 100, "packs": named.collect::<Vec<_>>(), "index": sum(5), "checksums": false,
            "digests": digests.collect::<Vec<_>>(),
            "damage": { "pages": 0, "first": [] }, "tablespaces": [],
            "owner": { "user": "p", "group": "p", "uid": 1, "gid": 1, "mode": 448 },
            "host": { "name": "h", "libc": "", "icu": null, "locale": "C", "preload": "", "extensions": [] },
        });
        let text = serde_json::to_string_pretty(&manifest).expect("written");
        self.put(&format!("backup/{id}/backup.json"), seal(&format!("{text}\n")).as_bytes());
        self.backups.push((id, packs));
        for segment in number..number + 4 {
            if self.dice.below(30) == 0 {
                continue;
            }
            let name = format!("00000001{:08X}{:08X}", segment >> 8, segment & 0xFF);
            self.put(&format!("wal/00000001/{:08X}/{name}", segment >> 8), b"wal");
            let file = fs::File::options()
                .write(true)
                .open(self.path(&format!("wal/00000001/{:08X}/{name}", segment >> 8)));
            let written = std::time::SystemTime::now() - age;
            file.and_then(|f| f.set_modified(written)).expect("date it");
        }
    }

    fn command(&self, repo: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pg-backup"));
        command.args(args).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", self.dir.path());
        command.env("TOBAN_STATE_DIR", self.dir.path().join("state"));
        command.env("TOBAN_REPO", format!("file://{}", repo.display()));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        ended(self.command(&self.dir.path().join("repo"), args).spawn().expect("start pg-backup"))
    }

    fn ids(&self) -> Vec<String> {
        let listed = self.run(&["list", "--json"]).json();
        listed.iter().map(|r| r["id"].as_str().expect("an id").to_string()).collect()
    }

    /// Every mark becomes one of years ago.
    fn grow_old(&self) {
        for entry in fs::read_dir(self.path("mark")).expect("list").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let (id, _) = name.split_once('.').expect("an id and a time");
            let old = entry.path().with_file_name(format!("{id}.20200101T000000Z.json"));
            fs::rename(entry.path(), old).expect("rename a mark");
        }
    }
}

/// Records but those of moments, and moments of one kind without that word.
fn part_moments(records: Vec<Value>, when: &str) -> (Vec<Value>, Vec<Value>) {
    let (mut moments, steps): (Vec<Value>, Vec<Value>) =
        records.into_iter().partition(|r| r["schema"] == "pg-backup.prune-moments/1");
    moments.retain(|r| r["when"] == when);
    moments.iter_mut().for_each(|r| r["when"] = Value::Null);
    (steps, moments)
}

/// Whatever backup is there has all that it names.
#[track_caller]
fn assert_whole(repo: &Path) {
    let folder = repo.join(ROOT).join("backup");
    for name in list_below(&folder).into_iter().filter(|n| n.ends_with("backup.json")) {
        let text = fs::read(folder.join(&name)).expect("read a manifest");
        let manifest: Value = serde_json::from_slice(&text).expect("parses");
        let id = manifest["id"].as_str().expect("an ID");
        let packs = manifest["packs"].as_array().expect("packs").iter();
        let packs = packs.map(|p| {
            format!("{}/pack/{:05}.tar", p["of"].as_str().unwrap_or(id), p["number"].as_u64().expect("n"))
        });
        let digests = manifest["digests"].as_array().expect("digests").iter();
        let digests = digests.map(|d| format!("{}/digests.zst", d["of"].as_str().unwrap_or(id)));
        for object in packs.chain(digests).chain([format!("{id}/files.jsonl.zst")]) {
            assert!(folder.join(&object).exists(), "{id} needs {object}");
        }
    }
}

#[test]
fn retention_model_by_the_binary() {
    let mut dice = Dice::new(seed());
    for _ in 0..rounds(200) / 40 {
        let made = MadeUp::new(Dice::new(dice.below(u64::MAX)), 4 + dice.below(20));
        let all = made.ids();
        let (last, daily, wal) = (dice.below(5), dice.below(5), 1 + dice.below(20));
        let rules = ["--keep-last".into(), last.to_string(), "--keep-daily".into(), daily.to_string()];
        let window = ["--keep-wal".into(), format!("{wal}d")];
        let has_window = dice.below(2) == 0;
        let rules: Vec<String> = rules.into_iter().chain(window.into_iter().filter(|_| has_window)).collect();
        let prune = |more: &[&str]| {
            let args: Vec<&str> =
                ["prune", "--json"].into_iter().chain(rules.iter().map(String::as_str)).collect();
            made.run(&[&args[..], more].concat()).json()
        };
        let (planned, after) = part_moments(prune(&["--dry-run"]), "after");
        assert_eq!(made.ids(), all, "a dry run changes nothing");
        assert_eq!(prune(&[]), planned, "what was planned is what was done");
        let (_, now) = part_moments(prune(&["--dry-run"]), "before");
        assert_eq!(now, after, "what can be reached is what was told");
        assert_whole(&made.dir.path().join("repo"));
        made.run(&["prune", "--undo"]).fine();
        assert_eq!(made.ids(), all, "all that was deleted is back");
        assert_whole(&made.dir.path().join("repo"));
    }
}

/// What lies below a folder.
fn list_below(path: &Path) -> Vec<String> {
    let found =
        Command::new("find").arg(path).args(["-type", "f", "-printf", "%P\\n"]).output().expect("run find");
    let mut names: Vec<String> = String::from_utf8_lossy(&found.stdout).lines().map(String::from).collect();
    names.sort();
    names
}

#[test]
fn prune_killed_at_any_moment() {
    let made = MadeUp::new(Dice::new(seed()), 60);
    made.run(&["prune", "--keep-last", "30"]).fine();
    made.grow_old();
    let copy = made.dir.path().join("copy");
    let again = || {
        let _ = fs::remove_dir_all(&copy);
        let done = Command::new("cp").arg("-a").arg(made.dir.path().join("repo")).arg(&copy).status();
        assert!(done.expect("run cp").success());
    };
    let args = ["prune", "--keep-last", "5", "--keep-wal", "1d"];
    let run = |args: &[&str]| ended(made.command(&copy, args).spawn().expect("start pg-backup"));
    let mut length = Duration::MAX;
    for _ in 0..2 {
        again();
        let begun = Instant::now();
        run(&args).fine();
        length = length.min(begun.elapsed());
    }
    let packs = || {
        list_below(&copy).into_iter().filter(|n| !n.contains("/mark/") && !n.starts_with(".tmp/")).collect()
    };
    let whole: Vec<String> = packs();
    let start = || {
        again();
        made.command(&copy, &args).spawn().expect("start pg-backup")
    };
    testkit::killed(length, rounds(5), start, || {
        assert_whole(&copy);
        run(&args).fine();
        assert_eq!(packs(), whole, "a second prune ends what the first began");
        run(&["prune", "--undo"]).fine();
        assert_whole(&copy);
    });
}
