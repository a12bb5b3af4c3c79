//! The restore: any command, into the drill's data directory or into an empty server.

use crate::PURPOSE;
use crate::cli::Target;
use crate::findings::found;
use crate::plan::DrillPlan;
use std::path::Path;
use std::process::Command;
use toban_core::private_server::{
    PrivateServer, ProgramEnd, Programs, Runner, Scratch, conf, control, disk_full_error,
};
use toban_core::{Context, Error, Kind, Result};

/// Variables by which a command could reach the live server instead of the drill's.
const LEADING_ELSEWHERE: [&str; 9] = [
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

/// Runs the restore command.
///
/// # Errors
/// Findings with its last complaint; Retry and Corrupt where our own pg-backup ended so; Failed on a full disk.
pub(crate) fn run_command(plan: &DrillPlan, runner: &Runner) -> Result<()> {
    let words: Vec<String> = plan.command.iter().map(|w| fill_placeholders(w, runner)).collect();
    let (program, args) = words.split_first().ok_or_else(|| Error::usage("the command is empty"))?;
    let mut command = Command::new(program);
    command.args(args).env("PGDATA", runner.scratch.join("data"));
    // A dump's restore would otherwise find the live server by the caller's own variables and write there.
    if plan.into == Target::Server {
        LEADING_ELSEWHERE.iter().for_each(|name| _ = command.env_remove(name));
        command.env_remove("PGDATA").env("PGHOST", runner.scratch.join("run")).env("PGPORT", "5432");
        command.env("PGUSER", superuser(plan)).env("PGDATABASE", "postgres");
    }
    runner.prepare(&mut command);
    let name = Path::new(program).file_name().map_or(program.clone(), |n| n.to_string_lossy().into_owned());
    let ended = runner.run_program(command, &name, "restore.log").map_err(|e| match e.kind() {
        Kind::Failed => e.hint("is the command installed, and may the drill's user run it?"),
        _ => e,
    })?;
    check_end(&name, &ended, runner)
}

fn fill_placeholders(word: &str, runner: &Runner) -> String {
    let path = |name: &str| runner.scratch.join(name).display().to_string();
    word.replace("{dir}", &path("data")).replace("{tablespaces}", &path("tablespaces"))
}

fn check_end(name: &str, ended: &ProgramEnd, runner: &Runner) -> Result<()> {
    if ended.status.success() {
        return Ok(());
    }
    if let Some(e) = disk_full_error(&ended.output, &runner.scratch) {
        return Err(e);
    }
    let why = format!("{name} ended with {}: {}", ended.status, last_complaint(&ended.output));
    // Only pg-backup's statuses tell a store that does not answer (75) and damage (5) from other failures.
    let ours = name == "pg-backup";
    match ended.status.code() {
        Some(75) if ours => Err(Error::retry(why)),
        Some(5) if ours => Err(Error::corrupt(why)),
        _ => Err(found(why)),
    }
}

/// The last line that looks like a complaint, else the last one.
fn last_complaint(output: &str) -> String {
    let lines: Vec<&str> =
        output.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("hint:")).collect();
    let looks = |l: &&&str| {
        let lower = l.to_lowercase();
        ["error", "fatal", "cannot", "could not", "damaged", "denied", "no such"]
            .iter()
            .any(|w| lower.contains(w))
    };
    let line = lines.iter().rfind(looks).or(lines.last());
    line.map_or("it wrote nothing".into(), |l| l.chars().take(500).collect())
}

fn superuser(plan: &DrillPlan) -> String {
    plan.role.clone().unwrap_or_else(|| "postgres".into())
}

/// An empty server to restore a dump into.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn start_empty_server(
    plan: &DrillPlan,
    scratch: &Scratch,
    runner: &Runner,
) -> Result<(Programs, PrivateServer)> {
    let programs = Programs::newest(plan.bin_dir.as_deref())?;
    let mut initdb = runner.command(programs.path("initdb"));
    initdb.args(["--encoding=UTF8", "--locale=C.UTF-8", "--auth=trust", "--username", &superuser(plan)]);
    // From 18 on initdb makes page checksums without being asked (release notes of 18).
    if programs.major < 18 {
        initdb.arg("--data-checksums");
    }
    initdb.arg("-D").arg(scratch.path("data"));
    let ended = runner.run_program(initdb, "initdb", "initdb.log")?;
    if !ended.status.success() {
        return Err(disk_full_error(&ended.output, &runner.scratch)
            .unwrap_or_else(|| Error::failed(format!("initdb: {}", last_complaint(&ended.output)))));
    }
    let control =
        control::read_control(runner.command(programs.path("pg_controldata")), &scratch.path("data"))?;
    let options = conf::ServerOptions {
        purpose: &PURPOSE,
        major: programs.major,
        preload: &plan.preload,
        in_place_tablespaces: false,
        recovery: None,
        pauses: false,
        more: &[],
    };
    conf::write_files(scratch, &conf::postgresql_conf(Some(&control), &scratch.dir, &options), runner)?;
    let mut server = PrivateServer::start(runner, &programs, &superuser(plan))?;
    server.wait_until_recovered().doing(|| "start an empty server".into())?;
    Ok((programs, server))
}

#[cfg(test)]
mod tests {
    use super::last_complaint;

    #[test]
    fn the_last_complaint_of_a_command() {
        let said = "P00 INFO: begin\nERROR: [055]: unable to open 'x'\nP00 INFO: end 3s\nhint: y\n";
        assert_eq!(last_complaint(said), "ERROR: [055]: unable to open 'x'");
        assert_eq!(
            (last_complaint("one\ntwo\n").as_str(), last_complaint("").as_str()),
            ("two", "it wrote nothing")
        );
    }
}
