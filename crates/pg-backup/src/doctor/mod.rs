//! `doctor`: is it set up right? Facts are read first; what is judged of them is pure.

mod archiving;
mod facts;
mod jobs;
mod machine;
mod replication;
mod repos;
mod server;
mod settings;
mod storage;
#[cfg(test)]
mod tests;
mod time;

use crate::cli;
use crate::objectives::Objectives;
use crate::rulebook::{ALL_RULES, doctor as rulebook};
use crate::units::read_units;
use facts::{Facts, Learned};
use machine::MachineScope;
pub(crate) use repos::find_folder;
use toban_core::check::{self, AcceptList, Finding, Rule};
use toban_core::config::Config;
use toban_core::{Error, Out, Result, Severity};

/// Runs the verb.
pub(crate) fn run(args: &cli::Doctor, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let own = |id: &str| rulebook::RULES.iter().any(|rule| rule.id == id);
    let accepted = AcceptList::new(config, "pg-backup", &ALL_RULES, args.at.now())?
        .only(own)
        .of_part(args.repos.is_part_of(config));
    let facts = read_facts(args, config)?;
    check::conclude(judge_facts(&facts), accepted, args.monitoring.monitoring, out)
}

fn read_facts(args: &cli::Doctor, config: &Config) -> Result<Facts> {
    let (now, cluster) = (args.at.now(), args.repos.cluster.as_str());
    let objectives = Objectives::read(config)?;
    let repos = args.repos.open(config)?;
    let read = server::read_server(&args.server, config.cluster.get(cluster));
    let pooled = matches!(read, Ok(None));
    let server = match read {
        Ok(Some(server)) => Ok(server),
        Ok(None) => Err("the connection goes through a pool in transaction mode".into()),
        Err(e) => Err(explain_error(&e)),
    };
    let scope = MachineScope { config, args: &args.server, cluster, server: server.as_ref().ok(), now };
    let machine = scope.read_machine();
    Ok(Facts {
        cluster: cluster.into(),
        pooled,
        machine,
        units: read_units(cluster),
        repos: repos.iter().map(|repo| repos::read_repo(repo, cluster, now)).collect(),
        window: objectives.window,
        server,
    })
}

/// An error with its hint, for a finding.
fn explain_error(e: &Error) -> String {
    e.find_hint().map_or_else(|| e.chain(), |hint| format!("{}; {hint}", e.chain()))
}

/// Pure: everything that is set up wrong; and of each area that it was looked at, or why not.
fn judge_facts(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let server: Vec<Finding> = match &facts.server {
        Err(_) if facts.pooled => vec![finding(&rulebook::POOLER, Severity::Critical, "connection")],
        Err(why) => vec![unknown("server", why)],
        Ok(server) => {
            let parts = [
                settings::judge_settings(server),
                archiving::judge_archiving(server, &facts.cluster),
                replication::judge_replication(server),
                replication::judge_access(server),
                settings::judge_databases(server, &facts.machine.databases),
            ];
            parts.into_iter().flatten().collect()
        }
    };
    findings.extend(examined("server", server));
    findings.extend(examined("time", time::judge_time(facts)));
    findings.extend(examined("machine", storage::judge_machine(facts)));
    for repo in &facts.repos {
        let found = storage::judge_repo(facts, repo).into_iter().map(|f| f.in_source(&repo.name));
        findings.extend(examined(&format!("repository {}", repo.name), found.collect()));
    }
    findings.extend(examined("repositories", storage::judge_repos(facts)));
    findings.extend(examined("jobs", jobs::judge_jobs(facts)));
    findings
}

/// The findings of an area; that it is well where there are none.
fn examined(area: &str, findings: Vec<Finding>) -> Vec<Finding> {
    if !findings.is_empty() {
        return findings;
    }
    vec![finding(&rulebook::EXAMINED, Severity::Ok, area).says("nothing is set up wrong")]
}

/// What could not be looked at.
fn unknown(object: &str, why: &str) -> Finding {
    finding(&rulebook::EXAMINED, Severity::Unknown, object).says(format!("it could not be looked at: {why}"))
}

/// A finding of the rule's meaning, until it says something better.
fn finding(rule: &'static Rule, severity: Severity, object: &str) -> Finding {
    Finding::new(rule, severity).about(object).says(rule.meaning)
}

/// What is known goes to `judge`; else that it is not.
fn judge_learned<T>(
    object: &str,
    learned: &Learned<T>,
    judge: impl FnOnce(&T) -> Vec<Finding>,
) -> Vec<Finding> {
    match learned {
        Ok(known) => judge(known),
        Err(why) => vec![unknown(object, why)],
    }
}

/// The command that sets a parameter, and reloads or restarts the server as the parameter wants it.
fn set_command(name: &str, value: &str, restart: bool) -> String {
    let set = format!("psql -c \"alter system set {name} = '{value}'\"");
    match restart {
        true => format!("{set} && systemctl restart postgresql"),
        false => format!("{set} -c 'select pg_reload_conf()'"),
    }
}
