//! The restore: any command, into the drill's data directory or into an empty server.

use crate::cli::Target;
use crate::control;
use crate::findings::found;
use crate::plan::Plan;
use crate::process::{Ended, Runner, full};
use crate::server::{Programs, Server};
use crate::{conf, scratch::Scratch};
use std::path::Path;
use std::process::Command;
use toban_core::{Context, Error, Kind, Result};

/// Variables by which a command could come to the live server instead of the drill's.
const ELSEWHERE: [&str; 9] = [
    "DATABASE_URL",
    "PGHOSTADDR",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGOPTIONS",
    "PGPASSWORD",
    "PGPASSFILE",
    "PGTARGETSESSIONATTRS",
    "PGSSLMODE",
];

/// Runs the command and sees to it that it ended well.
///
/// # Errors
/// Findings with what it said last; Retry and Corrupt where our own pg-backup said so; Failed on a full disk.
pub(crate) fn run(plan: &Plan, runner: &Runner) -> Result<()> {
    let words: Vec<String> = plan.command.iter().map(|w| filled(w, runner)).collect();
    let (program, args) = words.split_first().ok_or_else(|| Error::usage("the command is empty"))?;
    let mut command = Command::new(program);
    command.args(args).env("PGDATA", runner.scratch.join("data"));
    if plan.into == Target::Server {
        ELSEWHERE.iter().for_each(|name| _ = command.env_remove(name));
        command.env_remove("PGDATA").env("PGHOST", runner.scratch.join("run")).env("PGPORT", "5432");
        command.env("PGUSER", role(plan)).env("PGDATABASE", "postgres");
    }
    runner.dress(&mut command);
    let name = Path::new(program).file_name().map_or(program.clone(), |n| n.to_string_lossy().into_owned());
    let ended = runner.run(command, &name, "restore.log").map_err(|e| match e.kind() {
        Kind::Failed => e.hint("is the command installed, and may the drill's user run it?"),
        _ => e,
    })?;
    judge(&name, &ended, runner)
}

fn filled(word: &str, runner: &Runner) -> String {
    let path = |name: &str| runner.scratch.join(name).display().to_string();
    word.replace("{dir}", &path("data")).replace("{tablespaces}", &path("tablespaces"))
}

fn judge(name: &str, ended: &Ended, runner: &Runner) -> Result<()> {
    if ended.status.success() {
        return Ok(());
    }
    if let Some(e) = full(&ended.said, &runner.scratch) {
        return Err(e);
    }
    let why = format!("{name} ended with {}: {}", ended.status, complaint(&ended.said));
    // Only our own statuses say whose fault it is.
    let ours = name == "pg-backup";
    match ended.status.code() {
        Some(75) if ours => Err(Error::retry(why)),
        Some(5) if ours => Err(Error::corrupt(why)),
        _ => Err(found(why)),
    }
}

/// The last lines that look like a complaint, else the last that was said.
fn complaint(said: &str) -> String {
    let lines: Vec<&str> =
        said.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("hint:")).collect();
    let looks = |l: &&&str| {
        let lower = l.to_lowercase();
        ["error", "fatal", "cannot", "could not", "damaged", "denied", "no such"]
            .iter()
            .any(|w| lower.contains(w))
    };
    let line = lines.iter().rfind(looks).or(lines.last());
    line.map_or("it says nothing".into(), |l| l.chars().take(500).collect())
}

fn role(plan: &Plan) -> String {
    plan.role.clone().unwrap_or_else(|| "postgres".into())
}

/// An empty server to restore a dump into.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn empty_server(plan: &Plan, scratch: &Scratch, runner: &Runner) -> Result<(Programs, Server)> {
    let programs = Programs::newest(plan.bin_dir.as_deref())?;
    let mut initdb = runner.command(programs.path("initdb"));
    initdb.args(["--encoding=UTF8", "--locale=C.UTF-8", "--auth=trust", "--username", &role(plan)]);
    if programs.major < 18 {
        initdb.arg("--data-checksums");
    }
    initdb.arg("-D").arg(scratch.path("data"));
    let ended = runner.run(initdb, "initdb", "initdb.log")?;
    if !ended.status.success() {
        return Err(full(&ended.said, &runner.scratch)
            .unwrap_or_else(|| Error::failed(format!("initdb: {}", complaint(&ended.said)))));
    }
    let control = control::read(runner.command(programs.path("pg_controldata")), &scratch.path("data"))?;
    let wishes = conf::Wishes {
        major: programs.major,
        preload: &plan.preload,
        in_place_tablespaces: false,
        recovery: None,
    };
    conf::write(scratch, &conf::text(Some(&control), &scratch.dir, &wishes), runner.user)?;
    let mut server = Server::start(runner, &programs, &role(plan))?;
    server.recovered().doing(|| "start an empty server".into())?;
    Ok((programs, server))
}

#[cfg(test)]
mod tests {
    use super::complaint;

    #[test]
    fn the_last_complaint_of_a_command() {
        let said = "P00 INFO: begin\nERROR: [055]: unable to open 'x'\nP00 INFO: end 3s\nhint: y\n";
        assert_eq!(complaint(said), "ERROR: [055]: unable to open 'x'");
        assert_eq!((complaint("one\ntwo\n").as_str(), complaint("").as_str()), ("two", "it says nothing"));
    }
}
