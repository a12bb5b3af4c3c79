//! The server: started on a socket that only its user reaches, ended with its run.

use super::found;
use super::server_log;
use super::{Runner, disk_full_error, read_tail};
use crate::pg::{ConnInfo, Environment, keyvalue, programs};
use crate::{Context, Error, Result, shutdown};
use postgres::Client;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// PostgreSQL's programs of one major, all from one folder.
#[derive(Clone, Debug)]
pub struct Programs {
    folder: PathBuf,
    /// Their major.
    pub major: u32,
}

impl Programs {
    /// Those of this very major: a data directory starts under no other.
    ///
    /// # Errors
    /// Failed, with what to install.
    pub fn find(major: u32, bin_dir: Option<&Path>) -> Result<Programs> {
        let hint = format!("apt-get install postgresql-{major}, or give --bin-dir");
        let postgres = programs::find_program("postgres", major, bin_dir).map_err(|e| e.hint(&hint))?;
        let there = programs::read_version(&postgres)?;
        if there != major {
            let e = Error::failed(format!("the backup is of PostgreSQL {major}; here is only {there}"));
            return Err(e.hint(hint));
        }
        Ok(Programs { folder: postgres.parent().unwrap_or(Path::new("/")).to_path_buf(), major })
    }

    /// Those of the newest major on this machine.
    ///
    /// # Errors
    /// Failed, with what to install.
    pub fn newest(bin_dir: Option<&Path>) -> Result<Programs> {
        let majors = (14..40).rev();
        let found = majors.filter_map(|major| Programs::find(major, bin_dir).ok()).next();
        found.ok_or_else(|| Error::failed("no PostgreSQL server is installed here").hint("give --bin-dir"))
    }

    /// The program of this name.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// A running server; ended when dropped.
pub struct PrivateServer {
    child: Child,
    runner: Runner,
    major: u32,
    /// Whom sessions are of.
    pub role: String,
    ended: Arc<AtomicBool>,
}

/// A database that every cluster has; `postgres` may have been dropped.
pub const TEMPLATE: &str = "template1";
/// Where its log is, below the folder.
pub const LOG: &str = "server.log";

impl PrivateServer {
    /// Starts it in the folder's data directory, with the settings that were written there, for sessions of `role`.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(runner: &Runner, programs: &Programs, role: &str) -> Result<PrivateServer> {
        let path = runner.scratch.join(LOG);
        let log = File::create(&path).doing(|| format!("create {}", path.display()))?;
        let mut postgres = runner.command(programs.path("postgres"));
        // The restored postgresql.conf is not read at all: a list of harmless settings would be out of date with every
        // extension, and one that is missed could reach production.
        let config = format!("config_file={}", runner.scratch.join("postgresql.conf").display());
        postgres.arg("-D").arg(runner.scratch.join("data")).args(["-c", &config]);
        let both = log.try_clone().doing(|| "open the log again".into())?;
        let child = postgres.current_dir(&runner.scratch).stdout(both).stderr(log).spawn();
        let child = child.doing(|| "start postgres".into())?;
        let ended = Arc::new(AtomicBool::new(false));
        end_in_time(child.id(), runner.end, ended.clone());
        Ok(PrivateServer { child, runner: runner.clone(), major: programs.major, role: role.into(), ended })
    }

    /// Waits until it has recovered, is promoted, and answers a query.
    ///
    /// # Errors
    /// Findings with the log's reason when it ends instead; Failed when that is a full disk.
    pub fn wait_until_recovered(&mut self) -> Result<Client> {
        loop {
            self.check_running()?;
            self.runner.check_time("recovery")?;
            // hot_standby is off: it takes connections only when it is promoted, so the first answer is the end of recovery.
            if let Ok(mut client) = self.connect(TEMPLATE)
                && client.simple_query("select 1").is_ok()
            {
                return Ok(client);
            }
            self.check_role()?;
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until it can be read at the recovery target: paused, or promoted where nothing comes after the target.
    ///
    /// # Errors
    /// Findings with the log's reason when it ends instead; Failed when that is a full disk, or a setting is too low.
    pub fn wait_until_readable(&mut self) -> Result<Client> {
        // A function of a paused replay is an error for a server that is promoted.
        let sql = "select case when pg_is_in_recovery() then pg_get_wal_replay_pause_state() = 'paused' else true end";
        loop {
            self.check_running()?;
            self.runner.check_time("recovery")?;
            // Replay pauses too where the primary raised a setting that this server has lower (manual, "Hot Standby",
            // "Administrator's Overview"), and that is not the target.
            let log = read_tail(&self.runner.scratch.join(LOG));
            if let Some((_, low)) = log.split_once("insufficient parameter settings") {
                let detail = low.lines().nth(1).unwrap_or_default();
                return Err(Error::failed(format!("replay cannot go on: {}", detail.trim())));
            }
            if let Ok(mut client) = self.connect(TEMPLATE)
                && client.query_one(sql, &[]).is_ok_and(|row| row.get(0))
            {
                return Ok(client);
            }
            self.check_role()?;
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// It answers, but knows no such role: nothing will change that.
    fn check_role(&self) -> Result<()> {
        let log = read_tail(&self.runner.scratch.join(LOG));
        if log.contains(&format!("role \"{}\" does not exist", self.role)) {
            let e = Error::usage(format!("the restored server has no role {}", self.role));
            return Err(e.hint("--role names its superuser"));
        }
        Ok(())
    }

    /// Fails when it has ended.
    ///
    /// # Errors
    /// Findings with the log's reason; Failed when that is nothing against the backup.
    pub fn check_running(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait().doing(|| "ask for the server".into())? else {
            return Ok(());
        };
        self.ended.store(true, Ordering::SeqCst);
        shutdown::check()?;
        self.runner.check_time("the server")?;
        let log = read_tail(&self.runner.scratch.join(LOG));
        if let Some(e) = disk_full_error(&log, &self.runner.scratch) {
            return Err(e);
        }
        let why = format!("the restored server ended ({status}): {}", server_log::failure_reason(&log));
        // That the kernel refuses memory for a second server says nothing about the backup.
        let machine = ["could not map anonymous shared memory", "could not create shared memory segment"];
        match machine.iter().any(|words| log.contains(words)) {
            true => Err(Error::failed(why).hint("this machine has no room for a second server")),
            false => Err(found(why)),
        }
    }

    /// How to connect to `database` as the superuser.
    ///
    /// # Errors
    /// Usage for a name that cannot be one.
    pub fn conninfo(&self, database: &str) -> Result<ConnInfo> {
        let quote = keyvalue::quote_value;
        let conninfo = format!(
            "host={} port=5432 user={} dbname={} connect_timeout=10 sslmode=disable options={}",
            quote(&self.socket_dir().display().to_string()),
            quote(&self.role),
            quote(database),
            quote(&self.options()),
        );
        ConnInfo::resolve_in(Some(&conninfo), self.runner.purpose.tool, &Environment::default())
    }

    /// A session as the superuser in which no code of the application runs by itself.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn connect(&self, database: &str) -> Result<Client> {
        self.conninfo(database)?.connect()
    }

    /// Settings of the database or the role would come before those of the server; these come before theirs.
    pub fn options(&self) -> String {
        let mut options = "-c session_preload_libraries= -c local_preload_libraries= \
                           -c default_transaction_read_only=off -c statement_timeout=0 -c lock_timeout=0"
            .to_string();
        if self.major >= 17 {
            options += " -c event_triggers=off";
        }
        options
    }

    /// Where its socket is.
    pub fn socket_dir(&self) -> PathBuf {
        self.runner.scratch.join("run")
    }

    /// Ends it by a shutdown with a checkpoint (SIGINT, "fast"), so that pg_checksums takes its files.
    ///
    /// # Errors
    /// Findings when it does not end within its time.
    pub fn stop(&mut self) -> Result<()> {
        self.send_signal(Signal::INT);
        if self.ends_within(Duration::from_secs(120)) {
            Ok(())
        } else {
            Err(found("the server did not shut down"))
        }
    }

    fn send_signal(&self, signal: Signal) {
        if let Some(pid) = to_pid(self.child.id()).filter(|_| !self.ended.load(Ordering::SeqCst)) {
            let _ = kill_process(pid, signal);
        }
    }

    fn ends_within(&mut self, time: Duration) -> bool {
        let end = Instant::now() + time;
        while Instant::now() < end {
            if self.ended.load(Ordering::SeqCst) || matches!(self.child.try_wait(), Ok(Some(_))) {
                self.ended.store(true, Ordering::SeqCst);
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        // Nothing of it is kept, so that no checkpoint is needed; its children end with it, which KILL does not ensure.
        self.send_signal(Signal::QUIT);
        if self.ends_within(Duration::from_secs(20)) {
            return;
        }
        if let Some(pid) = to_pid(self.child.id()) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let _ = self.child.wait();
        self.ended.store(true, Ordering::SeqCst);
    }
}

fn to_pid(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw)
}

/// Ends the server when we are told to stop or the time is over, so that a long query ends with an error.
fn end_in_time(id: u32, end: Instant, ended: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        while !ended.load(Ordering::SeqCst) {
            if shutdown::due() || Instant::now() > end {
                to_pid(id).map(|pid| kill_process(pid, Signal::QUIT));
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    });
}
