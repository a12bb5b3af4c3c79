//! A repository that earlier tools wrote (tests/fixtures/old-repository) is listed, verified, restored, extended and
//! pruned by today's.

use e2e::{bins, root};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use testkit::pg::as_owner;
use testkit::{Pg, Ran, run_in, until};

/// The major that the fixture was made by.
const MAJOR: u32 = 15;

/// A copy of the fixture that may be changed, as the user of the servers.
struct OldRepository {
    dir: TempDir,
    /// What PostgreSQL's programs come from, and whose user owns the repository; restored dumps go there.
    scratch: Pg,
}

impl OldRepository {
    fn unpack() -> OldRepository {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).expect("open it");
        let archive = root().join("tests/fixtures/old-repository/repository.tar.zst");
        let unpack = "zstd -q -dc --long=27 \"$0\" | tar -x -C \"$1\" --no-same-owner";
        let done = Command::new("sh").args(["-c", unpack]).arg(archive).arg(dir.path()).status();
        assert!(done.expect("run tar").success());
        let old = OldRepository { dir, scratch: Pg::start_major(MAJOR, &[]) };
        std::fs::create_dir(old.path("bin")).expect("make a folder");
        for tool in ["pg-backup", "wal-shipper"] {
            testkit::install_program(&bins().join(tool), &old.path("bin").join(tool));
        }
        for name in [".", "state"] {
            std::fs::create_dir_all(old.path(name)).expect("make a folder");
            give_to_owner_of(old.scratch.data_dir(), &old.path(name));
        }
        let mut chown = Command::new("chown");
        chown.arg("-R").arg("--reference").arg(old.scratch.data_dir()).arg(old.path("repo"));
        assert!(chown.status().expect("run chown").success());
        old
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs one of today's tools on the repository, with `server` as the one to back up.
    fn run_on(&self, server: &Pg, tool: &str, args: &[&str]) -> Ran {
        let mut command = as_owner(&self.path("bin").join(tool));
        command.args(args).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", self.dir.path());
        command.env("TOBAN_REPO", format!("file://{}", self.path("repo").display()));
        command.env("TOBAN_STATE_DIR", self.path("state")).env("DATABASE_URL", server.url());
        run_in(self.dir.path(), command)
    }

    fn run(&self, tool: &str, args: &[&str]) -> Ran {
        self.run_on(&self.scratch, tool, args)
    }

    /// Restores a backup and starts a server there, which is promoted when this returns.
    fn restore(&self, name: &str, args: &[&str]) -> Pg {
        let target = self.path(name);
        let args = [&["restore", "-D", target.to_str().expect("UTF-8")][..], args].concat();
        // Without a target it says what WAL it leaves out.
        self.run("pg-backup", &args).ended_with(0, "");
        let server = Pg::builder_major(MAJOR).serve(&target).start();
        until("it is promoted", Duration::from_secs(60), || {
            match server.psql("postgres", "select pg_is_in_recovery()").as_str() {
                "f" => Ok(()),
                _ => Err(server.log()),
            }
        });
        server
    }

    /// The ID of the backup, or of the dump, with this label.
    fn id_of(&self, kind: &str, label: &str) -> String {
        let rows = self.run("pg-backup", &["list", "--json"]).json();
        let found =
            rows.iter().find(|r| r["label"] == label && (r["database"].is_string() == (kind == "dump")));
        found.unwrap_or_else(|| panic!("no {kind} {label} in {rows:#?}"))["id"]
            .as_str()
            .expect("an ID")
            .to_string()
    }
}

fn give_to_owner_of(like: &Path, path: &Path) {
    let owner = std::fs::metadata(like).expect("look at it");
    chown(path, Some(owner.uid()), Some(owner.gid())).expect("give it away");
}

/// The rows of `ledger` and `notes`, after psql found that each is the one that was written.
#[track_caller]
fn rows(server: &Pg, database: &str) -> (i32, i32) {
    let wrong =
        "select count(*) from notes where text <> 'nöte ' || id or body <> decode(md5(id::text), 'hex')";
    assert_eq!(server.psql(database, wrong), "0");
    let counts = "select count(*) = max(n), count(*), (select count(*) from notes) from ledger";
    let counts = server.psql(database, counts);
    let numbers: Vec<&str> = counts.split('|').collect();
    assert_eq!(numbers[0], "t", "rows are missing in between");
    (numbers[1].parse().expect("a number"), numbers[2].parse().expect("a number"))
}

#[test]
fn everything_is_listed_and_verified() {
    let old = OldRepository::unpack();
    assert_eq!(labels(&old), ["first", "first", "second", "second"]);
    let wal = old.run("wal-shipper", &["list", "--json"]).json();
    let states: Vec<&str> = wal.iter().filter_map(|r| r["state"].as_str()).collect();
    for state in ["there", "begun", "gap"] {
        assert!(states.contains(&state), "no {state} in {wal:#?}");
    }
    assert!(!states.contains(&"missing"), "{wal:#?}");
    old.run("pg-backup", &["verify"]).fine();
}

#[test]
fn every_backup_comes_back() {
    let old = OldRepository::unpack();
    let (first, second) = (old.id_of("backup", "first"), old.id_of("backup", "second"));
    assert_eq!(rows(&old.restore("first", &[&first]), "app"), (1, 500));
    assert_eq!(rows(&old.restore("second", &[&second]), "app"), (4, 500));
    // Over a promotion, and into the tail of the segment that was never finished.
    assert_eq!(rows(&old.restore("latest", &[&first, "--target", "latest"]), "app"), (6, 400));
}

#[test]
fn every_dump_comes_back() {
    let old = OldRepository::unpack();
    for (label, expected) in [("first", (2, 500)), ("second", (4, 400))] {
        let id = old.id_of("dump", label);
        old.run("pg-backup", &["restore-dump", &id, "--of", "app", "--into", label, "--globals"]).fine();
        assert_eq!(rows(&old.scratch, label), expected);
    }
}

#[test]
fn it_is_extended_and_pruned() {
    let old = OldRepository::unpack();
    let server = old.restore("latest", &["--target", "latest"]);
    old.run_on(&server, "pg-backup", &["run", "--label", "third"]).fine();
    server.psql("app", "insert into ledger select max(n) + 1, now() from ledger");
    old.run_on(&server, "pg-backup", &["dump", "app", "--label", "third"]).fine();
    let segment = server.psql("app", "select pg_walfile_name(pg_switch_wal())");
    let segment = server.data_dir().join("pg_wal").join(segment);
    old.run("wal-shipper", &["push", segment.to_str().expect("UTF-8")]).fine();
    assert_eq!(rows(&old.restore("extended", &["--target", "latest"]), "app"), (7, 400));

    let prune = ["prune", "--keep-last", "1", "--keep-min", "1"];
    let planned = old.run("pg-backup", &[&prune[..], &["--dry-run", "--json"]].concat()).json();
    // Those that were verified by the earlier tools are kept beside the newest.
    let deleted = planned.iter().filter(|r| r["action"] == "delete").count();
    assert_eq!(deleted, 2, "{planned:#?}");
    assert_eq!(labels(&old), ["first", "first", "second", "second", "third", "third"]);
    old.run("pg-backup", &["verify"]).fine();
    old.run("pg-backup", &prune).fine();
    // The last backup that a drill proved is never deleted.
    assert_eq!(labels(&old), ["second", "third", "third"]);
    old.run("pg-backup", &["verify"]).fine();
    assert_eq!(rows(&old.restore("pruned", &["--target", "latest"]), "app"), (7, 400));
}

/// The labels of all backups and dumps, sorted.
fn labels(old: &OldRepository) -> Vec<String> {
    let listed = old.run("pg-backup", &["list", "--json"]).json();
    let mut labels: Vec<String> =
        listed.iter().filter_map(|r| Some(r["label"].as_str()?.to_string())).collect();
    labels.sort();
    labels
}
