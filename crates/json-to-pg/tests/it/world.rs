//! A server, a folder of JSON files, and the tool between them.

use postgres::{Client, NoTls};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use testkit::{Pg, Ran, run_in};

/// Everything one test needs; gone when dropped.
pub(crate) struct World {
    pub(crate) pg: Pg,
    dir: TempDir,
}

impl World {
    /// An empty database and an empty folder.
    pub(crate) fn new() -> World {
        let world = World { pg: Pg::start(&[]), dir: tempfile::tempdir().expect("a folder") };
        std::fs::create_dir(world.path("data")).expect("a folder for the files");
        world
    }

    /// With these files.
    pub(crate) fn of(files: &[(&str, &str)]) -> World {
        let world = World::new();
        files.iter().for_each(|(name, text)| world.write(name, text));
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file of the application's.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path("data").join(name), text).expect("write");
    }

    /// The tool as a command, at work in our folder.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_json-to-pg"));
        let home: &Path = self.dir.path();
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
        run_in(self.dir.path(), self.command(args))
    }

    /// The tool beside a session that has written this and commits as soon as the tool waits for a lock.
    pub(crate) fn tool_beside(&self, written: &str, args: &[&str]) -> Ran {
        let mut writer = Client::connect(&self.pg.conninfo("postgres"), NoTls).expect("a session");
        writer.batch_execute(&format!("begin; {written}")).expect("write");
        let mut command = self.command(args);
        let tool = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start");
        testkit::until("a lock that the tool waits for", Duration::from_secs(60), || {
            match self.psql("select count(*) from pg_locks where not granted").as_str() {
                "0" => Err("no session waits".to_string()),
                _ => Ok(()),
            }
        });
        writer.batch_execute("commit").expect("commit");
        testkit::ended(tool)
    }

    /// `plan` of the folder into plan.toml; the records.
    #[track_caller]
    pub(crate) fn plan(&self, more: &[&str]) -> Vec<Value> {
        // One that is there is not written over.
        let _ = std::fs::remove_file(self.path("plan.toml"));
        let ran = self.tool(&[&["plan", "data", "-o", "plan.toml", "--json", "-q"], more].concat());
        assert_eq!(ran.status, Some(0), "{ran:?}");
        records(&ran)
    }

    /// The same for the tables that are there.
    #[track_caller]
    pub(crate) fn plan_existing(&self, more: &[&str]) -> Vec<Value> {
        let url = self.pg.url();
        self.plan(&[&["--for", url.as_str()], more].concat())
    }

    pub(crate) fn run(&self) -> Ran {
        self.tool(&["run", "plan.toml", "--json"])
    }

    /// `run` ends well; its records.
    #[track_caller]
    pub(crate) fn ran(&self) -> Vec<Value> {
        let ran = self.run();
        assert_eq!(ran.status, Some(0), "{ran:?}");
        records(&ran)
    }

    /// Plans, runs and verifies.
    #[track_caller]
    pub(crate) fn moved(&self, more: &[&str]) {
        self.plan(more);
        self.ran();
        self.verified();
    }

    #[track_caller]
    pub(crate) fn verified(&self) {
        let ran = self.tool(&["verify", "--json"]);
        assert_eq!(ran.status, Some(0), "{ran:?}");
    }

    /// The plan, to be edited.
    pub(crate) fn edit(&self, change: impl FnOnce(&mut toml::Table)) {
        let path = self.path("plan.toml");
        let mut plan: toml::Table = std::fs::read_to_string(&path).expect("the plan").parse().expect("TOML");
        change(&mut plan);
        std::fs::write(path, toml::to_string(&plan).expect("TOML")).expect("write the plan");
    }

    /// Answers each question about (file, about) so; every answer must find its question.
    #[track_caller]
    pub(crate) fn answer(&self, answers: &[(&str, &str, &str)]) {
        self.edit(|plan| {
            let questions = plan["question"].as_array_mut().expect("questions");
            for (file, about, answer) in answers {
                let text = |q: &toml::Value, field: &str| {
                    q.get(field).and_then(|v| v.as_str()).unwrap_or_default().to_string()
                };
                let mut fitting = questions
                    .iter_mut()
                    .filter(|q| text(q, "file") == *file && text(q, "about") == *about)
                    .peekable();
                assert!(fitting.peek().is_some(), "no question {file} {about}");
                fitting.for_each(|q| {
                    q.as_table_mut().expect("a question").insert("answer".into(), (*answer).into());
                });
            }
        });
    }

    #[track_caller]
    pub(crate) fn psql(&self, sql: &str) -> String {
        self.pg.psql("postgres", &format!("set timezone = 'UTC'; {sql}"))
    }

    /// Each statement gives this in psql.
    #[track_caller]
    pub(crate) fn gives(&self, cases: &[(&str, &str)]) {
        for (sql, expected) in cases {
            assert_eq!(self.psql(sql), *expected, "{sql}");
        }
    }

    /// Nothing of ours and no table is left.
    #[track_caller]
    pub(crate) fn untouched(&self) {
        let left = "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace \
                    where n.nspname !~ '^(pg_|information_schema)'";
        assert_eq!(self.psql(left), "0");
    }
}

pub(crate) fn records(ran: &Ran) -> Vec<Value> {
    ran.stdout.lines().map(|l| serde_json::from_str(l).expect("a JSON record")).collect()
}

/// (file, about) of the questions.
pub(crate) fn questions(records: &[Value]) -> Vec<(String, String)> {
    let text = |r: &Value, field: &str| r[field].as_str().unwrap_or_default().to_string();
    let asked = records.iter().filter(|r| r["schema"] == "json-to-pg.question/1");
    asked.map(|r| (text(r, "file"), text(r, "about"))).collect()
}

/// Whether a finding of this id is among them.
pub(crate) fn has_finding(records: &[Value], id: &str) -> bool {
    records.iter().any(|r| r["id"] == id)
}
