//! A server, a SQLite file, and the tool between them.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;
use testkit::{Pg, Ran};

/// Everything one test needs; gone when dropped.
pub(crate) struct World {
    pub(crate) pg: Pg,
    pub(crate) dir: TempDir,
}

/// The outcome and the reason of what is called so.
#[track_caller]
pub(crate) fn outcome_of(records: &[Value], kind: &str, name: &str) -> (String, String) {
    let found = records.iter().find(|r| r["kind"] == kind && r["name"] == name);
    let found = found.unwrap_or_else(|| panic!("no {kind} {name} in {records:#?}"));
    let text = |f: &str| found[f].as_str().unwrap_or_default().to_string();
    (text("outcome"), text("why"))
}

impl World {
    /// An empty database and no file yet.
    pub(crate) fn new() -> World {
        World::with(Pg::start(&[]))
    }

    pub(crate) fn with(pg: Pg) -> World {
        World { pg, dir: tempfile::tempdir().expect("a folder") }
    }

    /// A file that these statements make.
    pub(crate) fn of(sql: &str) -> World {
        let world = World::new();
        world.sqlite(sql);
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.path("app.db")
    }

    /// What the sqlite3 shell prints for these statements.
    #[track_caller]
    pub(crate) fn sqlite(&self, sql: &str) -> String {
        let mut shell = Command::new("sqlite3");
        shell
            .arg("-batch")
            .arg(self.file())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut shell = shell.spawn().expect("sqlite3 is not there: run cargo xtask setup");
        std::io::Write::write_all(&mut shell.stdin.take().expect("its stdin"), sql.as_bytes())
            .expect("tell sqlite3");
        let done = shell.wait_with_output().expect("wait for sqlite3");
        assert!(done.stderr.is_empty(), "{}\n{sql}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim_end().to_string()
    }

    /// What psql prints.
    #[track_caller]
    pub(crate) fn psql(&self, sql: &str) -> String {
        self.pg.psql("postgres", &format!("set timezone = 'UTC'; set datestyle = 'ISO'; {sql}"))
    }

    /// The tool as a command, at work in our folder.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sqlite-to-pg"));
        let home = self.dir.path();
        command
            .args(args)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", home)
            .env("TOBAN_STATE_DIR", home);
        command.env("DATABASE_URL", self.pg.url()).current_dir(home).stdin(Stdio::null());
        command
    }

    pub(crate) fn tool(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).output().expect("run sqlite-to-pg"))
    }

    /// `run` of the file, as JSON, with more arguments.
    pub(crate) fn run(&self, more: &[&str]) -> Ran {
        self.tool(&[&["run", "app.db", "--json"], more].concat())
    }

    /// `verify` says that the copy is whole.
    #[track_caller]
    pub(crate) fn verified(&self) {
        self.verify().ended(0);
    }

    /// `verify` says that nothing lacks but what the run said.
    #[track_caller]
    pub(crate) fn verified_but_for(&self, objects: usize) {
        let records = self.verify().ended(3);
        let left = records.iter().filter(|r| r["kind"] == "left-out").count();
        assert_eq!(left, objects, "{records:#?}");
    }

    /// `verify`, as JSON.
    pub(crate) fn verify(&self) -> Ran {
        self.tool(&["verify", "app.db", "--against", &self.pg.url(), "--json"])
    }

    /// Each statement gives this in psql.
    #[track_caller]
    pub(crate) fn gives(&self, cases: &[(&str, &str)]) {
        for (sql, expected) in cases {
            assert_eq!(self.psql(sql), *expected, "{sql}");
        }
    }

    /// No schema of ours is left over.
    #[track_caller]
    pub(crate) fn untouched(&self) {
        let left = "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace \
                    where n.nspname !~ '^(pg_|information_schema)'";
        assert_eq!(self.psql(left), "0");
    }
}

/// The bytes of a file.
pub(crate) fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The majors of this test run.
pub(crate) fn majors() -> Vec<u32> {
    if std::env::var_os("TOBAN_ALL_MAJORS").is_some() { vec![14, 15, 16, 17, 18] } else { vec![15, 16, 18] }
}
