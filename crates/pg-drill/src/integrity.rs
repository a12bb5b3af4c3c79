//! PostgreSQL's own checkers over all of the restored cluster: pg_amcheck while it runs, pg_checksums when it is stopped.

use crate::findings::DrillFindings;
use crate::rulebook;
use std::process::Command;
use toban_core::machine;
use toban_core::private_server::{PrivateServer, Programs, Runner, TEMPLATE};
use toban_core::{Context, Error, Kind, Result};

/// Before 17 no setting keeps the application's event triggers from firing: they are disabled in every database.
///
/// # Errors
/// Findings when a database cannot be connected to.
pub(crate) fn disable_event_triggers(server: &PrivateServer) -> Result<()> {
    let broken = |e: Error| e.kind_as(Kind::Findings);
    let all = "select datname::text from pg_database where datallowconn order by 1";
    let disable = "do $$ declare t name; begin for t in select evtname from pg_event_trigger where evtenabled <> 'D' \
         loop execute format('alter event trigger %I disable', t); end loop; end $$";
    // A login or DDL trigger runs in the sessions of the checks, and could reach out of the sandbox.
    let mut client = server.connect(TEMPLATE).map_err(broken)?;
    for row in client.query(all, &[]).doing(|| "ask for the databases".into()).map_err(broken)? {
        let database: String = row.get(0);
        let mut client = server.connect(&database).map_err(broken)?;
        let done = client.batch_execute(disable);
        done.doing(|| format!("disable the event triggers of {database}")).map_err(broken)?;
    }
    Ok(())
}

/// Heaps and B-trees of every database.
///
/// # Errors
/// When the program is missing, or we were told to stop.
pub(crate) fn run_amcheck(
    runner: &Runner,
    programs: &Programs,
    server: &PrivateServer,
    findings: &mut DrillFindings,
) -> Result<()> {
    let mut check = runner.command(programs.path("pg_amcheck"));
    // The restored databases have amcheck where the live ones have it. It may be installed here: the folder is
    // cleared.
    check.args(["--all", "--install-missing", "--jobs", &cores(), "--username", &server.role]);
    check.arg("--host").arg(server.socket_dir()).args(["--port", "5432", "--maintenance-db", TEMPLATE]);
    check.env("PGOPTIONS", server.options());
    let ended = runner.run_program(check, "pg_amcheck", "amcheck.log")?;
    let lines: Vec<&str> = ended.output.lines().filter(|l| !l.trim().is_empty()).collect();
    let shown = lines.iter().take(4).map(|l| l.trim()).collect::<Vec<_>>().join(" ");
    // 2 is damage that was found; any other status than 0 is a check that did not take place (pg_amcheck.c), and proves
    // nothing.
    match ended.status.code() {
        Some(0) => findings.passed(&rulebook::AMCHECK, "no damage in heaps and B-trees"),
        Some(2) => findings.failed(&rulebook::AMCHECK, format!("damage: {shown}")),
        _ => findings.unknown(&rulebook::AMCHECK, format!("pg_amcheck could not check: {shown}")),
    }
    Ok(())
}

/// Every page of the stopped cluster, where it has checksums.
///
/// # Errors
/// When the program is missing, or we were told to stop.
pub(crate) fn run_checksums(
    runner: &Runner,
    programs: &Programs,
    findings: &mut DrillFindings,
) -> Result<()> {
    let mut check: Command = runner.command(programs.path("pg_checksums"));
    check.arg("--check").arg("-D").arg(runner.scratch.join("data"));
    let ended = runner.run_program(check, "pg_checksums", "checksums.log")?;
    if ended.status.success() {
        findings.passed(&rulebook::CHECKSUMS, "every page has the checksum that it was written with");
        return Ok(());
    }
    let first = ended.output.lines().find(|l| l.contains("failed") || l.contains("error:"));
    findings.failed(&rulebook::CHECKSUMS, first.unwrap_or(ended.output.trim()).to_string());
    Ok(())
}

fn cores() -> String {
    machine::cores().to_string()
}
