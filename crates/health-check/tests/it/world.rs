//! A machine made of files, and the tool run on it.

use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;
use testkit::{Ran, run_in};

/// A root with /proc and /sys, and a state directory; gone when dropped.
pub(crate) struct World {
    dir: TempDir,
}

/// A machine that is well.
const WELL: &[(&str, &str)] = &[
    ("proc/stat", "cpu  1000 0 0 9000 0 0 0 0 0 0\ncpu0 1000 0 0 9000 0 0 0 0 0 0\n"),
    ("proc/uptime", "1000.00 900.00\n"),
    ("proc/sys/kernel/random/boot_id", "0a\n"),
    ("proc/meminfo", "MemTotal: 1000000 kB\nMemFree: 10 kB\nMemAvailable: 700000 kB\nSwapTotal: 0 kB\n"),
    ("proc/vmstat", "nr_free_pages 5\noom_kill 3\n"),
    ("proc/sys/fs/file-nr", "1323\t0\t2466165\n"),
    ("proc/self/mountinfo", "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"),
    ("proc/self/cgroup", "0::/\n"),
    ("proc/net/dev", "Inter-|\n face |\n"),
];

impl World {
    pub(crate) fn new() -> World {
        let world = World { dir: tempfile::tempdir().expect("a folder") };
        WELL.iter().for_each(|(path, text)| world.put(&format!("root/{path}"), text));
        world
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file.
    pub(crate) fn put(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    /// A file of the machine's.
    pub(crate) fn set(&self, name: &str, text: &str) {
        self.put(&format!("root/{name}"), text);
    }

    /// `run` with these words.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        let mut tool = Command::new(env!("CARGO_BIN_EXE_health-check"));
        tool.arg("run").args(args).args(["--root", &self.path("root").display().to_string()]);
        self.started(tool)
    }

    /// Another verb.
    pub(crate) fn call(&self, args: &[&str]) -> Ran {
        let mut tool = Command::new(env!("CARGO_BIN_EXE_health-check"));
        tool.args(args);
        self.started(tool)
    }

    fn started(&self, mut tool: Command) -> Ran {
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        tool.env_clear()
            .env("PATH", path)
            .env("HOME", self.dir.path())
            .env("TOBAN_STATE_DIR", self.path("state"));
        let config = self.path("toban.toml");
        if config.exists() {
            tool.env("TOBAN_CONFIG", config);
        }
        run_in(self.dir.path(), tool)
    }
}

/// `id object severity` of every record that needs attention.
pub(crate) fn alarms(ran: &Ran) -> Vec<String> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
    let bad = ran.records().into_iter().filter(|r| r["severity"] != "ok");
    bad.map(|r| format!("{} {} {}", text(&r["id"]), text(&r["object"]), text(&r["severity"]))).collect()
}
