//! A server, a repository in a folder, and the tool between them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;
use testkit::Pg;
pub(crate) use testkit::{Ran, ended, majors};

/// Everything one test needs; gone when dropped.
pub(crate) struct World {
    pub(crate) pg: Pg,
    pub(crate) dir: TempDir,
    env: Vec<(String, String)>,
    repo: String,
}

impl World {
    /// With a server of the default major.
    pub(crate) fn new() -> World {
        World::with(Pg::start(&[]))
    }

    /// With a server of this major.
    pub(crate) fn major(major: u32) -> World {
        World::with(Pg::start_major(major, &[]))
    }

    pub(crate) fn with(pg: Pg) -> World {
        let dir = tempfile::tempdir().expect("a folder");
        let bin = pg.bin("pg_dump").parent().expect("a folder").display().to_string();
        let home = dir.path().display().to_string();
        let env = [
            ("PATH", "/usr/bin:/bin".to_string()),
            ("HOME", home.clone()),
            ("TMPDIR", "/tmp".into()),
            ("TOBAN_PG_BIN", bin),
            ("TOBAN_STATE_DIR", format!("{home}/state")),
            ("DATABASE_URL", pg.url()),
        ];
        let env = env.map(|(k, v)| (k.to_string(), v)).to_vec();
        let repo = format!("file://{home}/repo");
        World { pg, dir, env, repo }
    }

    /// The same world with another repository and what it needs in the environment.
    pub(crate) fn in_repo(mut self, url: &str, env: Vec<(String, String)>) -> World {
        self.repo = url.to_string();
        self.env.extend(env);
        self
    }

    /// Sets a variable for the tool.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.env.retain(|(n, _)| n != name);
        self.env.push((name.into(), value.into()));
    }

    /// The tool with these words, its environment and no other.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pg-backup"));
        command.args(args).env_clear().envs(self.env.iter().map(|(k, v)| (k, v)));
        command.env("TOBAN_REPO", &self.repo).current_dir(self.dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the tool to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        ended(self.command(args).spawn().expect("start pg-backup"))
    }

    /// A path in this world's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A database `app` with a little of everything a test counts.
    pub(crate) fn app(&self) {
        self.pg.psql("postgres", "create database app");
        self.pg.psql(
            "app",
            "create table users (id integer primary key, name text); create table empty (x integer); \
             insert into users select n, 'user ' || n from generate_series(1, 1000) n;",
        );
    }

    /// Dumps `database` and tells its ID.
    pub(crate) fn dump(&self, database: &str, more: &[&str]) -> String {
        let args: Vec<&str> = ["dump", database, "--json"].iter().chain(more).copied().collect();
        let records = self.run(&args).json();
        records[0]["id"].as_str().expect("an id").to_string()
    }

    /// Names of the server's databases but the stock ones.
    pub(crate) fn databases(&self) -> Vec<String> {
        let sql = "select datname from pg_database where datname !~ '^template' and datname <> 'postgres' order by 1";
        self.pg.psql("postgres", sql).lines().map(String::from).collect()
    }

    /// What pg_dump says of a database, without the random words it brackets its output by.
    pub(crate) fn text(&self, database: &str, more: &[&str]) -> String {
        let mut dump = Command::new(self.pg.bin("pg_dump"));
        let done = dump.args(more).arg("-d").arg(self.pg.conninfo(database)).output().expect("run pg_dump");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        text.lines().filter(|l| !l.contains("restrict ")).flat_map(|l| [l, "\n"]).collect()
    }

    /// Every object of the folder repository.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        walk(&self.path("repo"), &mut files);
        files.sort();
        files
    }
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.')) {
            continue;
        }
        if path.is_dir() { walk(&path, files) } else { files.push(path) }
    }
}

/// Two dumps say the same; else the first lines that differ.
#[track_caller]
pub(crate) fn same(now: &str, before: &str, what: &str) {
    let differ = now.lines().zip(before.lines()).position(|(a, b)| a != b);
    let shown = |text: &str| text.lines().skip(differ.unwrap_or(0)).take(4).collect::<Vec<_>>().join("\n");
    assert!(now == before, "{what}: line {differ:?}: now\n{}\nbefore\n{}", shown(now), shown(before));
}
