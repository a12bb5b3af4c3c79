//! `toban_core::pg` against real servers, judged by psql on the same inputs.

#[path = "pg/certificates.rs"]
mod certificates;
#[path = "pg/children.rs"]
mod children;
#[path = "pg/hosts.rs"]
mod hosts;
#[path = "pg/quoting.rs"]
mod quoting;
#[path = "pg/same_as_psql.rs"]
mod same_as_psql;
#[path = "pg/trouble.rs"]
mod trouble;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::Pg;
use toban_core::Result;
use toban_core::pg::{ConnInfo, Environment};

/// Who, where, how: what a session says of itself.
const PROBE: &str = "select current_user, current_database(), \
    coalesce(host(inet_server_addr()), 'socket'), current_setting('port'), current_setting('application_name'), \
    current_setting('work_mem'), (select ssl from pg_stat_ssl where pid = pg_backend_pid())";

/// Environment of these variables alone.
fn around(variables: &[(String, String)], home: &Path) -> Environment {
    let process = Environment::of_process();
    Environment {
        variables: variables.iter().cloned().collect::<BTreeMap<_, _>>(),
        home: Some(home.into()),
        ..process
    }
}

/// What we get: the probe's answer.
fn ours(given: Option<&str>, around: &Environment) -> Result<String> {
    let mut client = ConnInfo::resolve_in(given, "psql", around)?.connect()?;
    let messages = client.simple_query(PROBE).expect("the probe runs");
    Ok(messages.iter().find_map(row).expect("one row"))
}

fn row(message: &postgres::SimpleQueryMessage) -> Option<String> {
    let postgres::SimpleQueryMessage::Row(row) = message else { return None };
    let cells: Vec<&str> = (0..row.len()).map(|i| row.get(i).unwrap_or("")).collect();
    Some(cells.join("|"))
}

/// What this psql gets, in an environment of `around` alone.
fn theirs(psql: &Path, given: Option<&str>, around: &Environment) -> Result<String, String> {
    let mut command = Command::new(psql);
    command.env_clear().envs(&around.variables).args(["-X", "-At", "-w", "-c", PROBE]);
    command.env("HOME", around.home.as_ref().expect("a home"));
    given.map(|g| command.arg("-d").arg(g));
    said(&mut command)
}

/// stdout of a program that succeeds, stderr of one that does not.
fn said(command: &mut Command) -> Result<String, String> {
    let done = command.output().expect("run a program");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim_end().to_string();
    if done.status.success() { Ok(text(done.stdout)) } else { Err(text(done.stderr)) }
}

/// psql of the newest PostgreSQL the tests have: it knows every keyword.
fn newest_psql() -> PathBuf {
    testkit::pg::program(18, "psql")
}

fn file(path: &Path, mode: u32, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("make the folder");
    std::fs::write(path, text).expect("write a file");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("chmod");
}

/// Both agree: the same session, or no session.
fn agree(psql: &Path, given: Option<&str>, around: &Environment) -> Result<(), String> {
    match (ours(given, around), theirs(psql, given, around)) {
        (Ok(a), Ok(b)) if a == b => Ok(()),
        (Err(_), Err(_)) => Ok(()),
        (a, b) => Err(format!("ours: {a:?}\n    psql: {b:?}")),
    }
}

fn temp() -> tempfile::TempDir {
    tempfile::tempdir().expect("make a folder")
}

fn server(hba: &[&str]) -> testkit::pg::Builder {
    hba.iter().fold(Pg::builder().tcp(), |b, line| b.hba(line))
}
