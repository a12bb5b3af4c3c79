//! The first hour: from nothing to a proven restore by one command, a second time without any change, and then the disk
//! is gone.

use e2e::bins;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use testkit::pg::as_owner;
use testkit::{Pg, Ran, ended, until};

/// A machine with a server and our programs, and no systemd.
struct Machine {
    pg: Pg,
    dir: tempfile::TempDir,
}

impl Machine {
    fn new(major: u32) -> Machine {
        let pg = Pg::builder_major(major).set("max_wal_size=64MB").start();
        let dir = tempfile::tempdir().expect("a folder");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("open it");
        fs::create_dir(dir.path().join("bin")).expect("make it");
        fs::create_dir(dir.path().join("mnt")).expect("make it");
        for tool in ["pg-backup", "pg-drill", "wal-shipper"] {
            testkit::install_program(&bins().join(tool), &dir.path().join("bin").join(tool));
        }
        Machine { pg, dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, tool: &str, args: &[&str]) -> Command {
        let mut command = Command::new(self.path("bin").join(tool));
        let bin_dir = self.pg.bin("psql").parent().expect("a folder").to_path_buf();
        command.env_clear().args(args).current_dir("/").stdin(Stdio::null());
        command.env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("DATABASE_URL", self.pg.url());
        command.env("TOBAN_CONFIG", self.path("etc/toban.toml")).env("TOBAN_STATE_DIR", self.path("state"));
        command.env("TOBAN_PG_BIN", bin_dir);
        command
    }

    fn run(&self, tool: &str, args: &[&str]) -> Ran {
        let mut command = self.command(tool, args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        ended(command.spawn().expect("start it"))
    }

    fn init(&self, more: &[&str]) -> Ran {
        let repo = format!("file://{}", self.path("mnt/toban").display());
        let args: Vec<&str> = ["init", "--json", "--repo", &repo].iter().chain(more).copied().collect();
        self.run("pg-backup", &args)
    }
}

/// `state what` of each step.
fn steps(ran: &Ran) -> Vec<String> {
    let records = ran.records();
    let own = records.iter().filter(|r| r["schema"] == "pg-backup.init-step/1");
    own.map(|r| format!("{} {}", r["state"], r["what"]).replace('"', "")).collect()
}

/// Everything below a folder, with the time of its last change.
fn snapshot(folder: &Path) -> Vec<(PathBuf, std::time::SystemTime)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("list").flatten() {
            let meta = entry.metadata().expect("look");
            if meta.is_dir() {
                folders.push(entry.path());
            } else {
                found.push((entry.path(), meta.modified().expect("a time")));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn init_leads_from_nothing_to_a_proven_restore() {
    let machine = Machine::new(18);
    machine.pg.psql(
        "postgres",
        "create table incidents as select n, md5(n::text) t from generate_series(1, 1000) n",
    );
    let planned = machine.init(&[]);
    let told = steps(&planned);
    assert_eq!(planned.status, Some(0), "{planned:?}");
    for step in
        ["to do the first backup", "to do the first drill", "by hand the WAL goes into the repositories"]
    {
        assert!(told.iter().any(|t| t == step), "{step} is not in {told:?}");
    }
    assert!(!machine.path("etc").exists() && !machine.path("mnt/toban").exists(), "a plan changes nothing");
    machine.init(&["--apply"]).refused(2, "the plan cannot be confirmed");
    let begun = Instant::now();
    let applied = machine.init(&["--apply", "--yes"]);
    let took = begun.elapsed();
    assert_eq!(applied.status, Some(0), "{applied:?}");
    eprintln!("from nothing to a proven restore: {took:?}");
    assert!(took < Duration::from_secs(300), "{took:?}");
    let done = steps(&applied);
    for step in ["done the first backup", "done the first verification", "done the first drill"] {
        assert!(done.iter().any(|t| t == step), "{step} is not in {done:?}");
    }
    let status: Value =
        applied.records().into_iter().find(|r| r["schema"] == "pg-backup.status/1").expect("one screen");
    for known in ["restorable_to", "recovery_seconds", "covered_since", "verified", "drilled"] {
        assert!(!status[known].is_null(), "{known}: {status}");
    }
    let before = snapshot(machine.dir.path());
    let again = machine.init(&["--apply", "--yes"]);
    assert_eq!(again.status, Some(0), "{again:?}");
    let left: Vec<String> = steps(&again).into_iter().filter(|s| !s.starts_with("there ")).collect();
    assert_eq!(left, ["by hand the WAL goes into the repositories"]);
    assert_eq!(snapshot(machine.dir.path()), before, "a second run changes nothing");
    let other = format!("file://{}", machine.path("mnt/other").display());
    let args = ["init", "--json", "--repo", &other, "--apply", "--yes"];
    let differs = machine.run("pg-backup", &args);
    differs.refused(3, "what is there differs");
    assert_eq!(snapshot(machine.dir.path()), before, "what differs is told, and nothing is changed");
    the_disk_is_gone(machine);
}

/// The stream runs, rows are written, and the machine's disk dies.
fn the_disk_is_gone(machine: Machine) {
    // As its unit would: what root stored, the restored server could not read.
    let mut own = as_owner(&machine.path("bin/wal-shipper"));
    let shipper = machine.command("wal-shipper", &[]);
    let env = shipper.get_envs().filter_map(|(name, value)| Some((name, value?)));
    own.env_clear().envs(env).arg("stream").stdin(Stdio::null()).stderr(Stdio::null());
    let mut stream = own.spawn().expect("start it");
    machine.pg.psql("postgres", "insert into incidents select n, 'late' from generate_series(1001, 1500) n");
    until("the stream has it all", Duration::from_secs(60), || {
        let ran = machine.run("pg-backup", &["status", "--json"]);
        let status = ran.records().remove(0);
        if status["loss_seconds"] == 0 { Ok(()) } else { Err(status["restorable_lsn"].to_string()) }
    });
    let shipped =
        || steps(&machine.init(&[])).into_iter().find(|s| s.contains("the WAL goes")).expect("a step");
    assert_eq!(shipped(), "there the WAL goes into the repositories");
    stream.kill().expect("end it");
    stream.wait().expect("it ended");
    // Its slot is still there: that is no stream.
    until("nobody streams", Duration::from_secs(60), || {
        if shipped().starts_with("by hand ") { Ok(()) } else { Err(shipped()) }
    });
    let Machine { pg, dir } = machine;
    let (major, port) = (pg.major(), pg.port());
    let bin_dir = pg.bin("psql").parent().expect("a folder").to_path_buf();
    drop(pg);
    eprintln!("the server of port {port} and its disk are gone");
    let target = dir.path().join("restored");
    let mut restore = Command::new(dir.path().join("bin/pg-backup"));
    restore.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("TOBAN_PG_BIN", bin_dir);
    restore
        .env("TOBAN_CONFIG", dir.path().join("etc/toban.toml"))
        .env("TOBAN_STATE_DIR", dir.path().join("state"));
    restore.args(["restore", "--target", "latest", "--pgdata"]).arg(&target);
    let done = restore.output().expect("run it");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let restored = Pg::builder_major(major).serve(&target).start();
    assert_eq!(restored.psql("postgres", "select count(*) from incidents"), "1500");
}

#[test]
fn init_goes_on_where_it_stopped() {
    let machine = Machine::new(15);
    fs::remove_file(machine.path("bin/pg-drill")).expect("remove");
    let first = machine.init(&["--apply", "--yes"]);
    assert_eq!(first.status, Some(0), "{first:?}");
    assert!(steps(&first).iter().any(|s| s == "by hand the first drill"), "{first:?}");
    fs::remove_dir_all(machine.path("mnt/toban/main")).expect("the backups are gone");
    let second = machine.init(&["--apply", "--yes"]);
    assert_eq!(second.status, Some(0), "{second:?}");
    let done: Vec<String> = steps(&second).into_iter().filter(|s| s.starts_with("done ")).collect();
    assert_eq!(done, ["done the first backup", "done the first verification"]);
    fs::remove_dir(machine.path("mnt")).expect_err("it holds the repository");
    let gone = format!("file://{}", machine.path("absent/toban").display());
    let plan = machine.run("pg-backup", &["init", "--json", "--repo", &gone]);
    plan.refused(3, "what is there differs");
}
