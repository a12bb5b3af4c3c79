//! A live server with its backups and its archive, and a place to drill in.

use serde_json::Value;
use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use testkit::pg::{as_owner, program};
use testkit::{Pg, Ran, Site, until};

/// Everything one test needs; gone when dropped.
pub(crate) struct World(Site);

impl Deref for World {
    type Target = Site;
    fn deref(&self) -> &Site {
        &self.0
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Site {
        &mut self.0
    }
}

/// What each drill of a test is given besides.
const TABLES: &str = "create table ledger (n int primary key, t text);
    insert into ledger select n, md5(n::text) from generate_series(1, 20000) n;
    create index on ledger (t); create view recent as select * from ledger where n > 100;";

impl World {
    /// A server that archives by wal-shipper into `repo`, page checksums on, with a table of 20,000 rows.
    pub(crate) fn new(major: u32) -> World {
        World::with(major, &[])
    }

    pub(crate) fn with(major: u32, settings: &[&str]) -> World {
        let builder = Pg::builder_major(major).set("archive_mode=on").set("archive_command=false");
        let mut pg = settings.iter().fold(builder, |b, s| b.set(s)).start();
        pg.stop();
        let mut enable = as_owner(&pg.bin("pg_checksums"));
        // Since 18 they are on from the begin, which the program then complains of.
        enable.args(["--enable", "--no-sync", "-D"]).arg(pg.data_dir()).output().expect("run pg_checksums");
        pg.restart();
        let dir = tempfile::Builder::new().prefix("dr").tempdir_in("/var/tmp").expect("a folder");
        let beside = |name: &str| Path::new(env!("CARGO_BIN_EXE_pg-drill")).with_file_name(name);
        let programs = ["pg-drill", "pg-backup", "wal-shipper"].map(beside);
        let world = World(Site::in_folder(pg, dir, &programs.each_ref().map(PathBuf::as_path)));
        world.folder("repo");
        world.pg.psql("postgres", TABLES);
        world.pg.archive_by(&format!("{} %p", world.shipper("push")));
        world
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).expect("write a file");
        self.text(name)
    }

    /// `wal-shipper VERB`, as PostgreSQL's settings name it.
    pub(crate) fn shipper(&self, verb: &str) -> String {
        format!("{} {verb} --repo {}", self.text("bin/wal-shipper"), self.text("repo"))
    }

    /// Backs up; the ID.
    pub(crate) fn back_up(&self) -> String {
        self.back_up_with(&[])
    }

    /// The same with more arguments.
    pub(crate) fn back_up_with(&self, more: &[&str]) -> String {
        let mut run = as_owner(&self.path("bin/pg-backup"));
        run.args(["run", "--json", "--repo", &self.text("repo"), "--db", &self.pg.url()]).args(more);
        run.env("TOBAN_STATE_DIR", self.folder("owner-state")).env("HOME", self.path("repo"));
        let ran = Ran::from(run.output().expect("run pg-backup"));
        ran.json().remove(0)["id"].as_str().expect("an id").to_string()
    }

    /// Ends the current segment and waits until it is archived.
    pub(crate) fn ship(&self) -> String {
        let segment = self.pg.ship_wal();
        until("in the repository", Duration::from_secs(60), || {
            if self.object(&segment).exists() { Ok(()) } else { Err(self.pg.log()) }
        });
        segment
    }

    /// A restore of the newest backup that then follows the archive, as a command for the drill.
    pub(crate) fn restorer(&self) -> String {
        let script = format!(
            "set -e\n{} restore -D \"$PGDATA\" --repo {} $MAPPING\n\
             sed -i '/^recovery_target/d;/^restore_command/d' \"$PGDATA/postgresql.auto.conf\"\n\
             echo \"restore_command = '{} %f %p'\" >> \"$PGDATA/postgresql.auto.conf\"\n",
            self.text("bin/pg-backup"),
            self.text("repo"),
            self.shipper("fetch"),
        );
        self.write("restore.sh", &script)
    }

    /// The drill as a command, with `args`, in the folder `work`.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let bin = program(self.pg.major(), "postgres");
        let mut command = Command::new(self.path("bin/pg-drill"));
        command.env_clear().env("PATH", format!("{}:/usr/bin:/bin", self.text("bin")));
        command.env("TOBAN_PG_BIN", bin.parent().expect("a folder")).env("TOBAN_RETRY_FOR", "2s");
        command.env("TOBAN_STATE_DIR", self.path("state")).env("TOBAN_CONFIG", self.config());
        command.args(["--work-dir", &self.text("work")]).args(args);
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn config(&self) -> PathBuf {
        let path = self.path("toban.toml");
        if !path.exists() {
            fs::write(&path, "").expect("write a configuration");
        }
        path
    }

    pub(crate) fn drill(&self, args: &[&str]) -> Ran {
        let ran = Ran::from(self.command(args).output().expect("run pg-drill"));
        self.nothing_is_left();
        ran
    }

    /// A drill with our restorer, compared with the live server.
    pub(crate) fn usual(&self, more: &[&str]) -> Ran {
        let (repo, url, script) = (self.text("repo"), self.pg.url(), self.restorer());
        let mut args = vec!["--json", "--repo", &repo, "--db", &url];
        args.extend(more);
        args.extend(["--", "sh", &script, "{dir}"]);
        self.drill(&args)
    }

    /// No process works in the drill's folder, and the folder is clear.
    pub(crate) fn nothing_is_left(&self) {
        assert!(!self.path("work/scratch").exists(), "the drill left its folder");
        assert_eq!(self.processes(), Vec::<String>::new(), "the drill left processes");
    }

    /// Processes in the drill's folder.
    pub(crate) fn processes(&self) -> Vec<String> {
        let scratch = self.path("work/scratch");
        let all = fs::read_dir("/proc").expect("look into /proc").flatten();
        let inside =
            all.filter(|p| fs::read_link(p.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&scratch)));
        let named = |p: &fs::DirEntry| fs::read_to_string(p.path().join("comm")).unwrap_or_default();
        inside.map(|p| named(&p)).filter(|name| !name.is_empty()).collect()
    }

    /// The newest proof in the state directory.
    pub(crate) fn proof(&self) -> Value {
        let folder = self.path("state/drill/main/proofs");
        let mut names: Vec<PathBuf> =
            fs::read_dir(&folder).expect("a folder of proofs").flatten().map(|e| e.path()).collect();
        names.retain(|p| p.extension().is_some_and(|e| e == "json"));
        names.sort();
        let text = fs::read_to_string(names.last().expect("a proof")).expect("read the proof");
        serde_json::from_str(&text).expect("JSON")
    }
}

/// The drill failed with `status`, and says `words` on stderr or in one of its findings.
#[track_caller]
pub(crate) fn found(ran: &Ran, status: i32, words: &str) {
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.status, Some(status), "{said}");
    assert!(ran.stderr.contains("the drill failed") || !said.contains("\"critical\""), "{said}");
    assert!(said.contains(words), "{words:?} is not in: {said}");
}

/// Severity and text of a finding, by its id or, where it has an object, its id and that.
#[track_caller]
pub(crate) fn finding(ran: &Ran, name: &str) -> (String, String) {
    let records = ran.stdout.lines().map(|l| serde_json::from_str::<Value>(l).expect("a record"));
    let text = |record: &Value, member: &str| record[member].as_str().expect("text").to_string();
    let named = |r: &Value| format!("{} {}", text(r, "id"), text(r, "object")).trim() == name;
    let record = records.into_iter().find(named);
    let record = record.unwrap_or_else(|| panic!("no finding {name}: {}{}", ran.stdout, ran.stderr));
    (text(&record, "severity"), text(&record, "text"))
}
