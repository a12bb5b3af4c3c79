//! `stream` between a server and a repository: what runs, and what a restore of it has.

use crate::world::program;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use testkit::pg::as_owner;
use testkit::{Pg, Ran, until};

/// A repository, and the tool as a user's own copy.
pub(crate) struct Place {
    dir: TempDir,
    /// What `--repo` names.
    pub(crate) repo: String,
    /// The environment that reaches it.
    pub(crate) env: Vec<(String, String)>,
}

impl Place {
    /// A folder.
    pub(crate) fn folder() -> Place {
        let dir = tempfile::tempdir().expect("a folder");
        open(dir.path());
        let repo = dir.path().join("repo");
        fs::create_dir(&repo).expect("make a folder");
        fs::set_permissions(&repo, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("open it");
        Place::of(dir, repo.display().to_string(), Vec::new())
    }

    /// A bucket of a real S3 service.
    pub(crate) fn bucket(env: Vec<(String, String)>, url: String) -> Place {
        let dir = tempfile::tempdir().expect("a folder");
        open(dir.path());
        Place::of(dir, url, env)
    }

    fn of(dir: TempDir, repo: String, env: Vec<(String, String)>) -> Place {
        testkit::install_program(program(), &dir.path().join("wal-shipper"));
        Place { dir, repo, env }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn tool(&self, verb: &str) -> Command {
        // As the server's user, who archives into the same folder.
        let mut command = as_owner(&self.path("wal-shipper"));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("TOBAN_RETRY_FOR", "3s");
        command.envs(self.env.iter().cloned()).env("TMPDIR", self.dir.path());
        command.args([verb, "--repo", &self.repo]);
        command
    }

    /// Starts the service.
    pub(crate) fn stream(&self, db: &str, args: &[&str]) -> Stream {
        let log = self.path(&format!("log-{}", fs::read_dir(self.dir.path()).expect("list").count()));
        let to = fs::File::create(&log).expect("make a log");
        let mut command = self.tool("stream");
        command.args(["-v", "--db", db]).args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(to);
        Stream { child: command.spawn().expect("start wal-shipper"), log }
    }

    pub(crate) fn run(&self, verb: &str, args: &[&str]) -> Ran {
        Ran::from(self.tool(verb).args(args).stdin(Stdio::null()).output().expect("run wal-shipper"))
    }

    /// `fetch` as the restore_command of a server of any user.
    pub(crate) fn restore_command(&self) -> String {
        let env: String = self.env.iter().map(|(k, v)| format!("{k}={v} ")).collect();
        format!(
            "{env}TOBAN_RETRY_FOR=5s {} fetch --repo {} %f %p",
            self.path("wal-shipper").display(),
            self.repo
        )
    }

    /// Waits until `check` is content: nothing is missing, nothing lags.
    pub(crate) fn complete(&self, pg: &Pg) {
        self.checked(pg, |done| done.status == Some(0));
    }

    /// Waits until the repository has what the server has written, whatever else `check` says.
    pub(crate) fn level(&self, pg: &Pg) {
        self.checked(pg, |_| true);
    }

    fn checked(&self, pg: &Pg, fine: impl Fn(&Ran) -> bool) {
        until("the repository has everything", Duration::from_secs(60), || {
            let done = self.run("check", &["--db", &pg.url()]);
            let level = done.stdout.lines().any(|l| l.contains("\tlag\t") && l.contains("\t0 bytes behind"));
            if level && fine(&done) { Ok(()) } else { Err(done.said()) }
        });
    }

    /// What the folder holds of segments and histories, unpacked by zstd itself.
    pub(crate) fn stored(&self, name: &str) -> Option<Vec<u8>> {
        let found =
            files(Path::new(&self.repo)).into_iter().find(|p| p.file_name().is_some_and(|f| f == name))?;
        let done = Command::new("zstd").args(["-q", "-dc"]).arg(found).output().expect("run zstd");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Some(done.stdout)
    }

    /// The names of all that the repository holds below `wal` or `wal-tail`.
    pub(crate) fn names(&self, below: &str) -> Vec<String> {
        let below = format!("/{below}/");
        let all = files(Path::new(&self.repo)).into_iter().map(|p| p.display().to_string());
        let mut all: Vec<String> = all.filter(|p| p.contains(&below) && !p.ends_with(".attr")).collect();
        all.sort();
        all
    }
}

fn open(dir: &Path) {
    fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("open it");
}

pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.flat_map(|e| if e.path().is_dir() { files(&e.path()) } else { vec![e.path()] }).collect()
}

/// The running service; killed when dropped.
pub(crate) struct Stream {
    pub(crate) child: Child,
    log: PathBuf,
}

impl Stream {
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it streams.
    pub(crate) fn streams(&self) {
        self.says("stream from");
    }

    /// Waits until its log holds `words`.
    pub(crate) fn says(&self, words: &str) {
        until(words, Duration::from_secs(60), || {
            if self.log().contains(words) { Ok(()) } else { Err(self.log()) }
        });
    }

    /// SIGTERM, as systemd stops it: it must end with 0.
    pub(crate) fn stop(mut self) -> String {
        self.signal("TERM");
        assert_eq!(self.ended(), Some(0), "{}", self.log());
        self.log()
    }

    /// The status that it ends with.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let status = until("it ends", Duration::from_secs(60), || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            other => Err(format!("{other:?}: {}", fs::read_to_string(&self.log).unwrap_or_default())),
        });
        status.code()
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().expect("run kill").success());
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The server that a restore of `base` to the end of the repository gives.
pub(crate) fn restored(major: u32, base: &Path, target: &Path, place: &Place, more: &str) -> Pg {
    let copied = Command::new("cp").arg("-a").arg(base).arg(target).status().expect("run cp");
    assert!(copied.success());
    let auto = target.join("postgresql.auto.conf");
    let settings = format!("\nrestore_command = '{}'\narchive_mode = off\n{more}\n", place.restore_command());
    // What the source was told by ALTER SYSTEM is none of the restored server's.
    fs::write(&auto, settings).expect("write");
    fs::write(target.join("recovery.signal"), "").expect("write");
    fs::set_permissions(target, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("close it");
    Pg::promoted(major, target)
}
