//! A folder, and the tool run in it.

use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use tempfile::TempDir;
use testkit::Ran;

/// When every test judges: noon of tomorrow, after any moment at which openssl makes a certificate.
pub(crate) fn judged_at() -> &'static str {
    static AT: LazyLock<String> = LazyLock::new(|| at_text(crate::mint::now()));
    &AT
}

/// As `--at` takes it, by somebody else's calendar.
pub(crate) fn at_text(seconds: i64) -> String {
    let text = ok("date", &["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%SZ"]);
    String::from_utf8(text).expect("UTF-8").trim().to_string()
}

/// Everything one test needs; gone when dropped.
pub(crate) struct World {
    pub(crate) dir: TempDir,
    env: Vec<(String, String)>,
}

/// What a check found.
pub(crate) trait Found {
    /// `id severity` of every finding, sorted.
    fn finding_ids(&self) -> Vec<String>;
}

impl Found for Ran {
    #[track_caller]
    fn finding_ids(&self) -> Vec<String> {
        let mut all: Vec<String> = self.records().iter().flat_map(findings).collect();
        all.sort();
        all
    }
}

/// `id severity` of every finding of one record.
pub(crate) fn findings(record: &Value) -> Vec<String> {
    let list = record["findings"].as_array().expect("findings").iter();
    let text = |v: &Value| v.as_str().expect("text").to_string();
    list.map(|f| format!("{} {}", text(&f["id"]), text(&f["severity"]))).collect()
}

impl World {
    pub(crate) fn new() -> World {
        let dir = tempfile::tempdir().expect("a folder");
        let home = dir.path().display().to_string();
        let env = [
            ("PATH", "/usr/bin:/bin".to_string()),
            ("HOME", home.clone()),
            ("TOBAN_STATE_DIR", format!("{home}/state")),
        ];
        World { dir, env: env.map(|(k, v)| (k.to_string(), v)).to_vec() }
    }

    /// Sets a variable for the tool.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.env.push((name.into(), value.into()));
    }

    /// A file in the folder.
    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(&path, bytes).expect("a file");
        path
    }

    /// The path of a name in the folder, as text.
    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cert-checker"));
        command.args(args).env_clear().envs(self.env.iter().cloned()).current_dir(self.dir.path());
        command
    }

    /// Runs the tool in a mount namespace of its own, after what `setup` mounts there.
    pub(crate) fn run_after(&self, setup: &str, args: &[&str]) -> Ran {
        let script = format!("{setup} && exec \"$0\" \"$@\"");
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &script, env!("CARGO_BIN_EXE_cert-checker")]).args(args);
        command.env_clear().envs(self.env.iter().cloned()).current_dir(self.dir.path()).stdin(Stdio::null());
        Ran::from(command.output().expect("unshare, which root may use"))
    }

    /// Runs the tool.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, b"")
    }

    /// The same with bytes on stdin.
    pub(crate) fn run_with(&self, args: &[&str], stdin: &[u8]) -> Ran {
        let mut command = self.command(args);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("runs");
        // The tool may end without reading.
        let _ = child.stdin.take().expect("piped").write_all(stdin);
        Ran::from(child.wait_with_output().expect("ends"))
    }

    /// `check` at [`judged_at`] with JSON.
    pub(crate) fn check(&self, args: &[&str]) -> Ran {
        let at: &[&str] = if args.contains(&"--at") { &[] } else { &["--at", judged_at()] };
        self.run(&[&["check", "--json"], at, args].concat())
    }
}

/// Runs somebody else's program to a good end.
#[track_caller]
pub(crate) fn ok(program: &str, args: &[&str]) -> Vec<u8> {
    let ended = Command::new(program).args(args).stdin(Stdio::null()).output();
    let ended = ended.unwrap_or_else(|e| panic!("{program}: {e}; run: cargo xtask setup"));
    assert!(ended.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&ended.stderr));
    ended.stdout
}
