//! A PostgreSQL server of any major, in its own folder, gone when dropped.

mod builder;
mod system;
mod template;
mod wal;

pub use builder::Builder;
pub use system::{as_owner, clean, default_major, majors, program};

use crate::until;
use rustix::process::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use system::{children, lives, signal_to};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);

/// A running server; stopped and removed when dropped, and also when the test process dies.
#[derive(Debug)]
pub struct Pg {
    major: u32,
    dir: TempDir,
    data: PathBuf,
    port: u16,
    tcp: bool,
    server: Option<Child>,
    watch: Option<Child>,
}

impl Pg {
    /// A server of major `TOBAN_TEST_MAJOR` (default 15) with these settings (`wal_level=logical`).
    pub fn start(settings: &[&str]) -> Pg {
        Pg::start_major(default_major(), settings)
    }

    /// A server of this major.
    pub fn start_major(major: u32, settings: &[&str]) -> Pg {
        settings.iter().fold(Pg::builder_major(major), |b, s| b.set(s)).start()
    }

    /// For TCP, TLS, pg_hba lines, standbys; major `TOBAN_TEST_MAJOR` (default 15).
    pub fn builder() -> Builder {
        Pg::builder_major(default_major())
    }

    /// The same for this major.
    pub fn builder_major(major: u32) -> Builder {
        // Shared memory as files of the cluster: a killed server leaves nothing in /dev/shm.
        let settings = ["fsync=off", "shared_buffers=16MB", "dynamic_shared_memory_type=mmap"]
            .map(String::from)
            .to_vec();
        let (hba, files) = (Vec::new(), Vec::new());
        Builder { major, settings, hba, files, tcp: false, primary: None, served: None, segment_mib: None }
    }

    /// The server's major.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// The data directory; it belongs to the server's user.
    pub fn data_dir(&self) -> &Path {
        &self.data
    }

    /// The folder of the Unix socket.
    pub fn socket_dir(&self) -> &Path {
        self.dir.path()
    }

    /// The port, of the socket's name and of 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The postmaster's process id.
    pub fn pid(&self) -> u32 {
        self.server.as_ref().expect("the server runs").id()
    }

    /// One of this major's programs (`pg_dump`).
    pub fn bin(&self, name: &str) -> PathBuf {
        program(self.major, name)
    }

    /// A URI of the database `postgres` as the superuser, by the socket.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// A URI of the database `db` as the superuser, by the socket.
    pub fn url_of(&self, db: &str) -> String {
        let (db, host) = (percent(db), percent(&self.socket_dir().display().to_string()));
        format!("postgresql://postgres@/{db}?host={host}&port={}", self.port)
    }

    /// The same as key=value.
    pub fn conninfo(&self, db: &str) -> String {
        let db = db.replace('\\', r"\\").replace('\'', r"\'");
        format!("host={} port={} user=postgres dbname='{db}'", self.socket_dir().display(), self.port)
    }

    /// What the real psql prints for `sql` (several statements are fine): unaligned, tuples only, no last newline.
    ///
    /// # Panics
    /// When a statement fails, with psql's stderr.
    pub fn psql(&self, db: &str, sql: &str) -> String {
        let script = tempfile::NamedTempFile::new().expect("make a script for psql");
        fs::write(script.path(), sql).expect("write a script for psql");
        let mut psql = clean(&self.bin("psql"));
        psql.args(["-X", "-At", "-q", "-v", "ON_ERROR_STOP=1", "-d"]).arg(self.conninfo(db));
        let done = psql.arg("-f").arg(script.path()).output().expect("run psql");
        assert!(done.status.success(), "psql {db}: {}\n{sql}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim_end_matches('\n').to_string()
    }

    /// The server's log since its last start.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// SIGKILL to the postmaster, as a crash; returns when its children are gone too.
    pub fn kill(&mut self) {
        self.end(Signal::KILL);
    }

    /// Stops at once if it still runs (SIGQUIT, so that recovery follows), and starts again.
    pub fn restart(&mut self) {
        self.end(Signal::QUIT);
        self.boot().unwrap_or_else(|log| panic!("{log}"));
    }

    /// Stops as an administrator does (SIGINT, "fast"): sessions end, a checkpoint is made.
    pub fn stop(&mut self) {
        self.end(Signal::INT);
    }

    fn end(&mut self, signal: Signal) {
        let Some(mut server) = self.server.take() else { return };
        let family = children(server.id());
        signal_to(server.id(), signal);
        until("the postmaster ends", LIMIT, || match server.try_wait() {
            Ok(Some(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        });
        // They hold the shared memory, and a new postmaster refuses to start while they do.
        until("the server's children end", LIMIT, || match family.iter().find(|pid| lives(pid)) {
            Some(pid) => Err(format!("process {pid} is there")),
            None => Ok(()),
        });
    }

    /// Starts the server and waits until it takes connections.
    ///
    /// # Errors
    /// Its log, when it ended instead.
    fn boot(&mut self) -> Result<(), String> {
        let log = fs::File::create(self.log_path()).expect("open the log");
        let mut postgres = as_owner(&program(self.major, "postgres"));
        postgres
            .arg("-D")
            .arg(&self.data)
            .arg("-k")
            .arg(self.socket_dir())
            .args(["-p", &self.port.to_string()]);
        postgres.arg("-c").arg(if self.tcp { "listen_addresses=127.0.0.1" } else { "listen_addresses=" });
        let spawned = postgres.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        self.server = Some(spawned.expect("start postgres"));
        until("PostgreSQL starts", LIMIT, || self.outcome().ok_or_else(|| self.log()))
    }

    /// None while it is starting. postmaster.pid: the first line is the process id, the eighth the state.
    fn outcome(&mut self) -> Option<Result<(), String>> {
        let server = self.server.as_mut().expect("boot made it");
        let pid = server.id().to_string();
        if let Ok(Some(status)) = server.try_wait() {
            self.server = None;
            return Some(Err(format!("PostgreSQL {} ended, {status}:\n{}", self.major, self.log())));
        }
        let lock = fs::read_to_string(self.data.join("postmaster.pid")).unwrap_or_default();
        let lines: Vec<&str> = lock.lines().map(str::trim).collect();
        let up = lines.first() == Some(&pid.as_str()) && matches!(lines.get(7), Some(&"ready" | &"standby"));
        up.then_some(Ok(()))
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// A shell that waits for our end (its stdin closes) and then stops the server and removes the folder: after a
    /// SIGKILL of the tests, and for servers in statics, nobody else does.
    fn watchdog(&self) -> Child {
        let script = "trap '' INT TERM HUP; read _; p=$(head -n 1 \"$1/postmaster.pid\") && kill -QUIT \"$p\" && \
                      while kill -0 \"$p\"; do sleep 0.1; done; rm -rf \"$2\"";
        let mut sh = Command::new("sh");
        sh.args(["-c", script, "sh"]).arg(&self.data).arg(self.dir.path()).current_dir("/");
        sh.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        sh.spawn().expect("run sh")
    }
}

impl Drop for Pg {
    fn drop(&mut self) {
        if let Some(mut watch) = self.watch.take() {
            let _ = watch.kill();
            let _ = watch.wait();
        }
        if let Some(mut server) = self.server.take() {
            signal_to(server.id(), Signal::QUIT);
            let _ = server.wait();
        }
    }
}

fn percent(text: &str) -> String {
    let safe = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if safe(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests;
