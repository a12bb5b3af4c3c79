//! A server that archives by wal-shipper and is backed up by pg-backup, both as they are installed: side by side.

use e2e::bins;
use serde_json::Value;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::pg::{as_owner, clean};
use testkit::{Pg, Ran, Site, run_in};

/// Everything one test needs; gone when dropped.
pub(crate) struct Lab {
    site: Site,
    pub(super) repo: String,
    pub(super) env: Vec<(String, String)>,
}

/// What the server was like after a row was written.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    pub(crate) rows: i32,
    pub(crate) time: String,
    pub(crate) lsn: String,
    pub(crate) xid: String,
    pub(crate) name: String,
}

impl Deref for Lab {
    type Target = Site;
    fn deref(&self) -> &Site {
        &self.site
    }
}

impl DerefMut for Lab {
    fn deref_mut(&mut self) -> &mut Site {
        &mut self.site
    }
}

impl Lab {
    /// A server of this major whose archive is the repository `repo`, a folder.
    pub(crate) fn new(major: u32) -> Lab {
        let lab = Lab::bare(major);
        let repo = format!("file://{}", lab.folder("repo").display());
        lab.in_repos(&repo, Vec::new())
    }

    /// The same with this repository, or several by commas, and what it needs in the environment.
    pub(crate) fn in_repos(mut self, repos: &str, env: Vec<(String, String)>) -> Lab {
        self.repo = repos.to_string();
        self.env = env;
        self.pg.archive_by(&self.push_command());
        self.pg.psql("postgres", "create table ledger (n int); create table filler (n int)");
        self
    }

    /// A server with archiving on, and nowhere to.
    pub(crate) fn bare(major: u32) -> Lab {
        let pg = Pg::builder_major(major)
            .set("archive_mode=on")
            .set("archive_command=false")
            .set("max_prepared_transactions=10")
            .set("wal_level=replica");
        let programs = ["pg-backup", "pg-drill", "wal-shipper"].map(|tool| bins().join(tool));
        let site = Site::new(pg.start(), &programs.each_ref().map(PathBuf::as_path));
        site.folder("");
        Lab { site, repo: String::new(), env: vec![] }
    }

    /// `wal-shipper push …`, as an archive_command.
    pub(crate) fn push_command(&self) -> String {
        let env: String = self.env.iter().map(|(n, v)| format!("{n}={v} ")).collect();
        format!("{env}{} push --repo {} %p", self.path("bin/wal-shipper").display(), self.repo)
    }

    /// Runs one of the tools.
    pub(crate) fn run(&self, tool: &str, args: &[&str]) -> Ran {
        run_in(self.dir.path(), self.command(tool, args))
    }

    /// The command of such a run.
    pub(crate) fn command(&self, tool: &str, args: &[&str]) -> Command {
        // As the server's user, whose archive it is.
        let mut command = as_owner(&self.path("bin").join(tool));
        command.args(args).env_clear().env("PATH", "/usr/bin:/bin").env("TOBAN_REPO", &self.repo);
        command.env("DATABASE_URL", self.pg.url()).env("TOBAN_RETRY_FOR", "5s").env("HOME", self.dir.path());
        command.env("TOBAN_STATE_DIR", self.path("state")).envs(self.env.iter().map(|(n, v)| (n, v)));
        command
    }

    /// Takes a backup; its record.
    pub(crate) fn back_up(&self) -> Value {
        self.run("pg-backup", &["run", "--json"]).json().remove(0)
    }

    /// Restores into the folder `name`; the records: what can be reached, and what was done.
    pub(crate) fn restore(&self, name: &str, args: &[&str]) -> (PathBuf, Vec<Value>) {
        let ran = self.restoring(name, args);
        (self.path(name), ran.json())
    }

    /// The same, however it ends.
    pub(crate) fn restoring(&self, name: &str, args: &[&str]) -> Ran {
        let target = self.path(name).display().to_string();
        let args = [&["restore", "--json", "--pgdata", &target][..], args].concat();
        self.run("pg-backup", &args)
    }

    /// Writes the next row, and tells how the server is then.
    pub(crate) fn row(&self) -> Moment {
        row(&self.pg)
    }
}

pub(crate) fn row(pg: &Pg) -> Moment {
    let said = pg.psql(
        "postgres",
        "begin; select txid_current(); insert into ledger select count(*) + 1 from ledger; commit; \
         select count(*) from ledger; select pg_create_restore_point('row ' || count(*)) from ledger; \
         select pg_current_wal_insert_lsn(); select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
    );
    let lines: Vec<&str> = said.lines().collect();
    let (rows, xid) = (lines[1].parse().expect("a number"), lines[0].to_string());
    Moment { rows, xid, name: format!("row {rows}"), lsn: lines[3].into(), time: lines[4].into() }
}

/// The rows that a restored server has: all up to a number, and none behind.
#[track_caller]
pub(crate) fn rows(pg: &Pg) -> i32 {
    let said = pg.psql("postgres", "select count(*), coalesce(max(n), 0) from ledger");
    let (count, max) = said.split_once('|').expect("two numbers");
    assert_eq!(count, max, "rows are missing in between");
    count.parse().expect("a number")
}

/// PostgreSQL's own judge of a restored folder.
pub(crate) fn verified(pg: &Pg, dir: &Path) {
    let done = clean(&pg.bin("pg_verifybackup")).arg("-n").arg(dir).output().expect("run pg_verifybackup");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
