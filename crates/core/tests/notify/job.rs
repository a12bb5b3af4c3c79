//! A job in a process of its own: this test program, started again with an environment made for it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use toban_core::config::Config;
use toban_core::systemd;
use toban_core::{Error, Kind};

/// How this program is told to be the job.
const CHILD: [&str; 4] = ["--exact", "job::child", "--ignored", "--nocapture"];

/// One job's folder: configuration, secrets, state, metrics.
pub(crate) struct Job {
    folder: tempfile::TempDir,
    env: Vec<(String, String)>,
}

/// What came of one run.
pub(crate) struct Ran {
    /// The status that `run::job` ended with.
    pub status: String,
    /// Everything it printed.
    pub output: String,
    pub took: Duration,
}

impl Job {
    /// A job with this configuration, in which `%/` stands for its folder.
    pub(crate) fn new(config: &str) -> Job {
        let job = Job { folder: tempfile::tempdir().expect("a folder"), env: Vec::new() };
        std::fs::create_dir(job.path("metrics")).expect("a folder");
        job.file("toban.toml", &config.replace("%/", &job.path("").to_string_lossy()));
        job
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file that only its owner can read.
    pub(crate) fn file(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(self.path(name), text).expect("write");
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o600)).expect("chmod");
    }

    pub(crate) fn env(&mut self, name: &str, value: &str) {
        self.env.push((name.to_string(), value.to_string()));
    }

    /// The process of a run that ends with `status` (`panic` is one too) and notes `note`.
    pub(crate) fn start(&self, status: &str, note: &str) -> Child {
        let mut child = Command::new(std::env::current_exe().expect("this program"));
        child.args(CHILD);
        self.spawn(child, status, note)
    }

    /// The same on a terminal, which `script` of util-linux makes.
    pub(crate) fn on_terminal(&self) -> String {
        let program = std::env::current_exe().expect("this program");
        let mut script = Command::new("script");
        script.args(["-qec", &format!("{} {}", program.display(), CHILD.join(" ")), "/dev/null"]);
        let done = self.spawn(script, "0", "a note").wait_with_output().expect("ends");
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    fn spawn(&self, mut child: Command, status: &str, note: &str) -> Child {
        child.env_clear().stdin(Stdio::null());
        child.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        child.envs([("TOBAN_STATE_DIR", self.path("state")), ("TOBAN_CONFIG", self.path("toban.toml"))]);
        child.envs([("JOB_STATUS", status), ("JOB_NOTE", note)]).envs(self.env.iter().cloned());
        child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts")
    }

    /// Runs to the end.
    pub(crate) fn run(&self, status: &str) -> Ran {
        let begin = Instant::now();
        let done = self.start(status, "a note").wait_with_output().expect("ends");
        let output = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        let said = output.split("job ended with ").nth(1).and_then(|rest| rest.split_whitespace().next());
        let status = said.unwrap_or("a panic").to_string();
        Ran { status, output, took: begin.elapsed() }
    }
}

/// Every file below `folder`, with what is in it.
pub(crate) fn files(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => {
                let text = String::from_utf8_lossy(&std::fs::read(&path).expect("a file")).into_owned();
                found.push((path, text));
            }
        }
    }
    found
}

#[test]
#[ignore = "the process that the other tests start"]
fn child() {
    let Ok(status) = std::env::var("JOB_STATUS") else { return };
    let var = |name: &str| std::env::var(name).unwrap_or_default();
    toban_core::log::init("pg-backup", var("JOB_VERBOSITY").parse().unwrap_or(0));
    let config = Config::load(Some(Path::new(&var("TOBAN_CONFIG")))).expect("a configuration");
    let instance = std::env::var("JOB_INSTANCE").unwrap_or("main".into());
    let done = toban_core::run::job(&config, "pg-backup", "dump", &instance, |report| {
        report.note(var("JOB_NOTE"));
        if let Ok(says) = std::env::var("JOB_SAYS") {
            systemd::show_status(&says);
        }
        report.gauge("pg_backup_dump_size_bytes", "Size of the dump.", &[("database", "a\"b\\c\nd")], 42.0);
        body(&status)
    });
    // One write: the harness writes to stderr as well.
    eprint!("{}", format_args!("\njob ended with {}\n", done.map_or_else(|e| e.kind().status(), |()| 0)));
}

fn body(status: &str) -> toban_core::Result<()> {
    if std::env::var_os("JOB_PROGRESS").is_some() {
        let progress = toban_core::progress::Progress::bytes("dump app", Some(64 << 20), false);
        let mut source = progress.wrap(std::io::Read::take(std::io::repeat(7), 64 << 20));
        std::io::copy(&mut source, &mut std::io::sink()).expect("memory");
    }
    let kind = |k: &&Kind| k.status().to_string() == status;
    match Kind::ALL.iter().find(kind) {
        Some(kind) => Err(Error::new(*kind, "dump app").because("the disk is full").hint("make room")),
        None if status == "0" => Ok(()),
        None => panic!("a bug"),
    }
}
