//! A PostgreSQL of our own, in a folder of its own, that goes when the task goes, however it goes.

use crate::sh::{self, Context, Failure, Result, is_root, read};
use crate::tools;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Runs the server and waits for the end of its stdin: a pipe from the task, which the kernel closes at the task's
/// end, Ctrl-C and SIGKILL included. Then it stops what a task left running there, by its files `*.pid`, and the server
/// that runs there by then, which a task may have started anew, and removes the folder.
const KEEPER: &str = r#"
trap '' HUP INT TERM
bin=$1 dir=$2; shift 2
"$bin"/postgres -D "$dir"/data -k "$dir"/run -c listen_addresses= -c shared_buffers=256MB -c max_wal_size=4GB "$@" \
    >"$dir"/server.log 2>&1 </dev/null &
cat >/dev/null
for pid in $(cat "$dir"/*.pid 2>/dev/null); do kill $pid; done
server=$(head -n 1 "$dir"/data/postmaster.pid)
kill -QUIT $server; wait
while kill -0 $server; do sleep 0.1; done
cd / && rm -rf "$dir"
"#;

/// The server and the folder it lives in, which is also where the task works.
pub(crate) struct Scratch {
    dir: PathBuf,
    bin: PathBuf,
    user: Option<User>,
    keeper: Option<Child>,
}

/// Who runs the server when we are root: PostgreSQL refuses to.
#[derive(Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

impl Scratch {
    /// Starts one of `major`, or of any that is here, in `/tmp/toban-NAME-PID`, with settings `NAME=VALUE`.
    pub(crate) fn start(name: &str, major: Option<u32>, settings: &[&str]) -> Result<Scratch> {
        let bin = major.map_or_else(tools::any_postgres, tools::postgres);
        let bin =
            bin.ok_or_else(|| Failure::new("no such PostgreSQL on this machine; run: cargo xtask setup"))?;
        let dir = std::env::temp_dir().join(format!("toban-{name}-{}", std::process::id()));
        let user = user()?;
        folder(&dir, user)?;
        let mut scratch = Scratch { dir, bin, user, keeper: None };
        scratch.init()?;
        scratch.keeper = Some(scratch.keep(settings)?);
        scratch.wait()?;
        Ok(scratch)
    }

    /// The folder, which the server's user owns.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A sub-folder, made for the server's user.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.dir.join(name);
        folder(&path, self.user)?;
        Ok(path)
    }

    /// Writes a file that the server's user can read, and run when `mode` says so.
    pub(crate) fn file(&self, name: &str, mode: u32, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.dir.join(name);
        let doing = || format!("write {}", path.display());
        std::fs::write(&path, bytes).doing(doing)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).doing(doing)?;
        give(&path, self.user)?;
        Ok(path)
    }

    /// `program` as the server's user, in the folder, with nothing of our environment but what reaches the server.
    pub(crate) fn command(&self, program: &str) -> Command {
        let path = format!("{}/bin:{}:/usr/bin:/bin", self.dir.display(), self.bin.display());
        let mut command = Command::new(find(program, &path));
        command.current_dir(&self.dir).env_clear();
        command.env("PATH", path).env("HOME", &self.dir).env("LC_ALL", "C.UTF-8");
        command.env("PGHOST", self.dir.join("run")).env("PGUSER", "postgres").env("PGDATABASE", "postgres");
        // Programs of another place than Debian's would not be found by their major.
        command.env("TOBAN_PG_BIN", &self.bin).env("TOBAN_STATE_DIR", self.dir.join("state"));
        if let Ok(terminal) = std::env::var("TERM") {
            command.env("TERM", terminal);
        }
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command.stdin(Stdio::null());
        command
    }

    /// A line of shell, run as [`Scratch::command`] runs a program.
    pub(crate) fn shell(&self, line: &str) -> Command {
        let mut command = self.command("sh");
        command.args(["-c", line]);
        command
    }

    /// What a query of the database answers, unaligned, without titles.
    pub(crate) fn psql(&self, database: &str, sql: &str) -> Result<String> {
        let mut psql = self.command("psql");
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql]);
        Ok(read(&mut psql)?.trim().to_string())
    }

    fn init(&self) -> Result<()> {
        self.folder("run")?;
        self.folder("bin")?;
        let mut init = self.command("initdb");
        init.args(["--locale=C.UTF-8", "-E", "UTF8", "-A", "trust", "-U", "postgres", "--no-sync", "-D"]);
        read(init.arg(self.dir.join("data"))).map(drop)
    }

    fn keep(&self, settings: &[&str]) -> Result<Child> {
        let mut keeper = self.shell(KEEPER);
        keeper.arg("keeper").arg(&self.bin).arg(&self.dir);
        keeper.args(settings.iter().flat_map(|setting| ["-c", setting]));
        // Its own group: Ctrl-C must reach the task first.
        keeper.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        keeper.current_dir("/").spawn().doing(|| "start PostgreSQL".into())
    }

    fn wait(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !sh::succeeds(self.command("psql").args(["-Xqc", "select 1"])) {
            if Instant::now() > deadline {
                let log = std::fs::read_to_string(self.dir.join("server.log")).unwrap_or_default();
                return Err(Failure::new(format!("PostgreSQL did not start within 30 s:\n{log}")));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        match self.keeper.take() {
            // wait() closes the keeper's stdin, which is what it waits for.
            Some(mut keeper) => drop(keeper.wait()),
            None => drop(std::fs::remove_dir_all(&self.dir)),
        }
    }
}

/// std looks a program up on our PATH, not on the child's.
fn find(program: &str, path: &str) -> PathBuf {
    let places = path.split(':').map(|dir| Path::new(dir).join(program));
    places.into_iter().find(|p| p.is_file()).unwrap_or_else(|| program.into())
}

fn user() -> Result<Option<User>> {
    if !is_root() {
        return Ok(None);
    }
    let id = |flag| -> Result<u32> {
        let text = read(Command::new("id").args([flag, "postgres"]))?;
        text.trim().parse().doing(|| "read the id of the user postgres".into())
    };
    Ok(Some(User { uid: id("-u")?, gid: id("-g")? }))
}

/// The name holds our process id, so an old folder is one that a crash of the whole machine left.
fn folder(path: &Path, user: Option<User>) -> Result<()> {
    let doing = || format!("create {}", path.display());
    std::fs::create_dir(path).doing(doing)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).doing(doing)?;
    give(path, user)
}

fn give(path: &Path, user: Option<User>) -> Result<()> {
    let Some(user) = user else { return Ok(()) };
    chown(path, Some(user.uid), Some(user.gid)).doing(|| format!("give {} to postgres", path.display()))
}
