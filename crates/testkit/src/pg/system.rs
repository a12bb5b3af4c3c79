//! Users, programs and processes below a test server.

use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;
use toban_core::machine::Account;

/// `TOBAN_TEST_MAJOR`, else 15.
pub fn default_major() -> u32 {
    std::env::var("TOBAN_TEST_MAJOR").ok().and_then(|m| m.parse().ok()).unwrap_or(15)
}

/// The majors of this test run: 15, 16 and 18; 14 and 17 too with TOBAN_ALL_MAJORS.
pub fn majors() -> Vec<u32> {
    if std::env::var_os("TOBAN_ALL_MAJORS").is_some() { vec![14, 15, 16, 17, 18] } else { vec![15, 16, 18] }
}

/// A program of this major: Debian's, else from [`crate::tools`].
///
/// # Panics
/// When this PostgreSQL is not there, with the command that gets it.
pub fn program(major: u32, name: &str) -> PathBuf {
    let debian = PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"));
    let fetched = crate::tools().join(format!("pg{major}/bin"));
    let found = [debian, fetched].into_iter().map(|d| d.join(name)).find(|p| p.exists());
    found.unwrap_or_else(|| panic!("PostgreSQL {major} is not there: run cargo xtask setup ({name})"))
}

/// A command that runs as the server's user: `postgres` when we are root, which the server refuses to be.
pub fn as_owner(program: &Path) -> Command {
    let mut command = clean(program);
    if let Some((uid, gid)) = owner() {
        command.uid(uid).gid(gid);
    }
    command
}

/// A command that no PG* variable of ours reaches.
pub fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    let ours = std::env::vars_os().map(|(k, _)| k).filter(|k| k.to_string_lossy().starts_with("PG"));
    ours.for_each(|k| {
        command.env_remove(k);
    });
    // Without it a fetched server's libpqwalreceiver takes the system's older libpq, and standbys never connect.
    let lib =
        program.parent().map(|bin| bin.with_file_name("lib")).filter(|lib| lib.join("libpq.so.5").exists());
    if let Some(lib) = lib {
        command.env("LD_LIBRARY_PATH", lib);
    }
    command.current_dir("/");
    command
}

/// The ids of the server's user; none when that is us.
fn owner() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let account = Account::by_name("postgres");
    let account = account.expect("PostgreSQL's user is not there: run cargo xtask setup");
    Some((account.uid, account.gid))
}

pub(super) fn owner_spec() -> String {
    owner()
        .map_or_else(|| rustix::process::geteuid().as_raw().to_string(), |(uid, gid)| format!("{uid}:{gid}"))
}

/// Short, since a socket's path has 107 bytes at most, and where the server's user may go.
pub(super) fn folder() -> TempDir {
    let dir =
        tempfile::Builder::new().prefix("toban-pg-").tempdir_in(place()).expect("make a server's folder");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("open the folder");
    give(dir.path());
    dir
}

/// `$TOBAN_TEST_DIR`, else memory where there is plenty (a start takes a tenth of the time), else /tmp.
fn place() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let free = rustix::fs::statvfs(memory).map_or(0, |fs| fs.f_bavail * fs.f_frsize);
    let usual = if free > 8 << 30 { memory } else { Path::new("/tmp") };
    std::env::var_os("TOBAN_TEST_DIR").map_or_else(|| usual.to_path_buf(), PathBuf::from)
}

pub(super) fn give(path: &Path) {
    if let Some((uid, gid)) = owner() {
        chown(path, Some(uid), Some(gid)).expect("chown to postgres");
    }
}

pub(super) fn run(command: &mut Command) {
    let Output { status, stderr, .. } = command.output().expect("run a program");
    assert!(status.success(), "{command:?}: {status}: {}", String::from_utf8_lossy(&stderr));
}

pub(super) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind 127.0.0.1");
    listener.local_addr().expect("an address").port()
}

pub(super) fn signal_to(id: u32, signal: Signal) {
    let pid = i32::try_from(id).ok().and_then(Pid::from_raw);
    let _ = kill_process(pid.expect("a process id"), signal);
}

pub(super) fn children(id: u32) -> Vec<u32> {
    let listed = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    listed.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// A process nobody reaped yet (state Z) is gone for us.
pub(super) fn lives(pid: &u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next()).is_some_and(|state| state != 'Z')
}
