//! A server, a SQLite file, and the tool between them.

use rusqlite::Connection;
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;
use testkit::{Pg, Ran};

/// Everything one test needs; gone when dropped.
pub(crate) struct World {
    pub(crate) pg: Pg,
    dir: TempDir,
}

/// What a verification found.
pub(crate) trait Verified {
    /// All is equal, and nothing is on stderr but the tables.
    fn equal(self) -> Vec<Value>;
    /// Something differs: the differences as `kind table row column`, sorted.
    fn differs(self) -> Vec<String>;
}

impl Verified for Ran {
    #[track_caller]
    fn equal(self) -> Vec<Value> {
        let records = self.json();
        assert_eq!(differences(&records), Vec::<String>::new());
        records
    }

    #[track_caller]
    fn differs(self) -> Vec<String> {
        differences(&self.ended(4))
    }
}

/// `kind table row column` of each difference, sorted.
pub(crate) fn differences(records: &[Value]) -> Vec<String> {
    let own = records.iter().filter(|r| r["schema"] == "sqlite-to-pg.difference/1");
    let words = |r: &Value| {
        let parts = ["kind", "table", "row", "column"].map(|f| r[f].as_str().unwrap_or_default().to_string());
        parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join(" ")
    };
    let mut told: Vec<String> = own.map(words).collect();
    told.sort();
    told
}

impl World {
    /// An empty database and no file yet.
    pub(crate) fn new() -> World {
        World::with(Pg::start(&[]))
    }

    pub(crate) fn with(pg: Pg) -> World {
        World { pg, dir: tempfile::tempdir().expect("a folder") }
    }

    /// The same statements make both sides.
    pub(crate) fn same(sql: &str) -> World {
        World::both(sql, sql)
    }

    /// These statements make the file, those the copy.
    pub(crate) fn both(sqlite: &str, postgres: &str) -> World {
        let world = World::new();
        world.sqlite(sqlite);
        world.pg.psql("postgres", postgres);
        world
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("app.db")
    }

    /// Runs statements on the file; foreign keys are not enforced, as SQLite itself has it.
    pub(crate) fn sqlite(&self, sql: &str) {
        let db = self.open();
        db.execute_batch(sql).expect(sql);
    }

    pub(crate) fn open(&self) -> Connection {
        let db = Connection::open(self.file()).expect("open the file");
        db.execute_batch("pragma foreign_keys = off; pragma synchronous = off").expect("set up");
        db
    }

    /// A session in the database.
    pub(crate) fn client(&self) -> postgres::Client {
        postgres::Client::connect(&self.pg.conninfo("postgres"), postgres::NoTls).expect("connect")
    }

    /// `verify` of the file against the database, as JSON, with more arguments.
    pub(crate) fn verify(&self, more: &[&str]) -> Ran {
        self.verify_as(&self.pg.url(), more)
    }

    /// The same by this connection string.
    pub(crate) fn verify_as(&self, url: &str, more: &[&str]) -> Ran {
        let file = self.file().display().to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sqlite-to-pg"));
        command.args(["verify", &file, "--against", url, "--json"]).args(more);
        ran(command)
    }
}

/// Runs a command to its end, in a bare environment.
pub(crate) fn ran(mut command: Command) -> Ran {
    command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    Ran::from(command.output().expect("run sqlite-to-pg"))
}
