//! A server, a folder, and the tool between them.

use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;
use testkit::{Pg, Ran};

/// The day on which every test judges.
pub(crate) const AT: &str = "2026-11-22T12:00:00Z";

pub(crate) const SCHEMA: &str = "create table users (id bigserial primary key, email varchar(255), name varchar(255), \
    password_hash varchar(255), is_active boolean, last_login_at timestamptz, password_changed_at timestamptz, \
    created_at timestamptz); \
    create table roles (id bigserial primary key, name varchar(64)); \
    create table user_roles (user_id bigint, role_id bigint, granted_at timestamptz default now());";

/// Everything one test needs; gone when dropped.
pub(crate) struct World {
    pub(crate) pg: Pg,
    pub(crate) dir: TempDir,
    env: Vec<(String, String)>,
}

impl World {
    pub(crate) fn new() -> World {
        World::with(Pg::start(&[]))
    }

    pub(crate) fn with(pg: Pg) -> World {
        let dir = tempfile::tempdir().expect("a folder");
        let home = dir.path().display().to_string();
        let env = [
            ("PATH", "/usr/bin:/bin".to_string()),
            ("HOME", home.clone()),
            ("TOBAN_STATE_DIR", format!("{home}/state")),
            ("DATABASE_URL", pg.url()),
        ];
        World { pg, dir, env: env.map(|(k, v)| (k.to_string(), v)).to_vec() }
    }

    /// With the users' own schema in the database `app`, and these statements after it.
    pub(crate) fn app(sql: &str) -> World {
        let mut world = World::new();
        world.pg.psql("postgres", "create database app");
        world.pg.psql("app", &format!("set timezone = 'UTC'; {SCHEMA} {sql}"));
        let url = world.pg.url_of("app");
        world.set("DATABASE_URL", &url);
        world
    }

    /// Sets a variable for the tool.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.env.retain(|(n, _)| n != name);
        self.env.push((name.into(), value.into()));
    }

    /// Writes a configuration and has the tool read it.
    pub(crate) fn config(&mut self, text: &str) {
        let path = self.path("toban.toml");
        std::fs::write(&path, text).expect("write the configuration");
        self.set("TOBAN_CONFIG", &path.display().to_string());
    }

    /// Runs the tool to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_user-audit"));
        command.args(args).env_clear().envs(self.env.iter().map(|(k, v)| (k, v)));
        Ran::from(command.current_dir(self.dir.path()).stdin(Stdio::null()).output().expect("run user-audit"))
    }

    /// The records of a verb, judged on [`AT`].
    pub(crate) fn records(&self, args: &[&str]) -> Vec<Value> {
        self.run(&[args, &["--json", "--at", AT]].concat()).findings()
    }

    /// `rule object` of everything that needs attention, sorted.
    pub(crate) fn troubles(&self, args: &[&str]) -> Vec<String> {
        troubles(&self.records(args))
    }

    /// A path in this world's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

pub(crate) fn text<'a>(record: &'a Value, field: &str) -> &'a str {
    record[field].as_str().unwrap_or_default()
}

/// `rule object` of everything that needs attention, sorted.
pub(crate) fn troubles(records: &[Value]) -> Vec<String> {
    let wrong = records.iter().filter(|r| r["severity"] != "ok");
    let mut found: Vec<String> = wrong.map(|r| format!("{} {}", text(r, "id"), text(r, "object"))).collect();
    found.sort();
    found
}

/// The findings of one rule.
pub(crate) fn of<'a>(records: &'a [Value], rule: &str) -> Vec<&'a Value> {
    records.iter().filter(|r| r["id"] == rule).collect()
}
