//! `status`: what is protected, to which moment, and since when that is proven.

mod evidence;
mod judge;
#[cfg(test)]
mod model;

use crate::cli;
use crate::objectives::Objectives;
use crate::rulebook::{ALL_RULES, status as rulebook};
use crate::server::resolve_conninfo;
use crate::units::read_units;
use evidence::{RepoEvidence, Written, read_written};
use jiff::Timestamp;
use judge::Evidence;
use toban_core::check::{self, AcceptList};
use toban_core::config::Config;
use toban_core::pg::ConnInfo;
use toban_core::repo::{Repo, Repos};
use toban_core::{Error, Out, Result};

/// Runs the verb.
pub(crate) fn run(args: &cli::StatusArgs, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let (now, cluster) = (args.at.now(), args.repos.cluster.as_str());
    let objectives = Objectives::read(config)?;
    let accepted = AcceptList::new(config, "pg-backup", &ALL_RULES, now)?
        .only(|id| rulebook::RULES.iter().any(|rule| rule.id == id))
        .of_part(args.repos.is_part_of(config));
    let repos = args.repos.open(config)?;
    let answers = repos.ask_each(|repo: &Repo| RepoEvidence::read(repo, cluster, now));
    let (mut read, mut unasked) = (Vec::new(), Vec::new());
    for (repo, answer) in answers.iter() {
        match answer {
            Ok(evidence) => read.push(evidence.clone()),
            Err(e) => unasked.push((repo.name.clone(), e.chain())),
        }
    }
    // After a rebuild or an upgrade the same name means another system: what is stored of the old one restores
    // nothing of today.
    let read = evidence::of_newest_system(read);
    let written =
        find_written(args, config).filter(|w| read.iter().any(|repo| repo.system == Some(w.system)));
    let evidence =
        Evidence { cluster: cluster.into(), now, repos: read, unasked, written, units: read_units(cluster) };
    let status = evidence.summarize(&objectives);
    if !args.monitoring.monitoring {
        out.emit(&status)?;
    }
    check::conclude(evidence.judge(&status, &objectives), accepted, args.monitoring.monitoring, out)
}

/// What was proven of a system in any of its repositories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Proofs {
    pub(crate) backed_up: bool,
    pub(crate) verified: bool,
    pub(crate) drilled: bool,
}

/// Reads them; of a repository that cannot be asked nothing is known, and nothing is proven.
pub(crate) fn read_proofs(repos: &Repos, cluster: &str, identifier: u64) -> Proofs {
    let mut proofs = Proofs::default();
    for repo in repos {
        let evidence = RepoEvidence::read(repo, cluster, Timestamp::now()).unwrap_or_default();
        if evidence.system == Some(identifier) {
            proofs.backed_up |= !evidence.backups.is_empty();
            proofs.verified |= evidence.verified.is_some();
            proofs.drilled |= evidence.drills.passed.is_some();
        }
    }
    proofs
}

/// How far the server has written, where it answers: a dead one leaves the evidence of the repositories. Of several servers
/// the primary of the newest timeline counts.
fn find_written(args: &cli::StatusArgs, config: &Config) -> Option<Written> {
    let section = config.cluster.get(&args.repos.cluster);
    let servers = resolve_conninfo(&args.server, section).map(|conn| conn.split_hosts());
    let note = |e: Error| log::info!("{}: what it has written since is not known", e.chain());
    let ask = |at: &ConnInfo| at.connect().and_then(|mut client| read_written(&mut client));
    let found = servers.map_err(note).unwrap_or_default().into_iter();
    found.filter_map(|at| ask(&at).map_err(note).ok().flatten()).max_by_key(|w| (w.timeline, w.to))
}
