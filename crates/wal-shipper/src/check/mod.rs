//! `check`: do the repositories have what the server has written?

mod archiver;
mod lag;
mod missing;
mod server;
mod stored;

use crate::{cli, rulebook};
use jiff::Timestamp;
use server::Server;
use std::time::Duration;
use stored::RepoWal;
use toban_core::check::{self, AcceptList, Finding, Rule};
use toban_core::config::Config;
use toban_core::repo::archive::Tail;
use toban_core::repo::keys::System;
use toban_core::repo::{Reached, Repo};
use toban_core::wal::Lsn;
use toban_core::{Out, Result, Severity};

/// How long what the server wrote last may take to be stored, before it counts.
const STORING: Duration = Duration::from_secs(3);

/// Compares the repositories with the server.
pub(crate) fn check_wal(args: &cli::Check, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let repos = args.repos.open(config)?;
    let accepted = AcceptList::new(config, "wal-shipper", rulebook::RULES, args.at.now())?
        .of_part(args.repos.is_part_of(config));
    let section = config.cluster.get(&args.repos.cluster);
    let db = args.db.as_deref().or(section.and_then(|s| s.db.as_deref()));
    let (server, unasked) = Server::query(db)?;
    let system = System { cluster: args.repos.cluster.clone(), identifier: server.id.system };
    let now = args.at.now();
    let shift = now.duration_since(Timestamp::now()).as_secs_f64();
    let judge = Judge { server: &server, now, shift, args };
    let mut findings = judge.check_server();
    findings.extend(
        unasked
            .iter()
            .map(|e| server_finding(&rulebook::SERVER, "server", Severity::Warning).says(e.chain())),
    );
    let read = |repo: &Repo| RepoWal::read(repo, &system, server.id.segment_size, now);
    let Reached { answers: mut asked, unreached } = repos.ask_each(read).reached()?;
    judge.read_lagging_again(&mut asked, &system);
    findings.extend(asked.iter().flat_map(|(repo, stored)| judge.check_repo(repo, stored)));
    findings.extend(check_ahead(db, &server, &asked)?);
    let gaps = asked.iter().flat_map(|(repo, stored)| stored.gaps.iter().map(move |gap| (repo, gap)));
    let mut seen = std::collections::BTreeSet::new();
    for found in gaps.filter_map(|(repo, gap)| judge.check_gap(repo, gap, &asked)) {
        // It is recorded in several repositories, and by every try.
        if seen.insert((found.source.clone(), found.text.clone())) {
            findings.push(found);
        }
    }
    findings.extend(
        unreached.iter().map(|(r, e)| finding(&r.name, &rulebook::REPOSITORY, Severity::Unknown, e.chain())),
    );
    let accepted = accepted.of_part(!unreached.is_empty());
    check::conclude(findings, accepted, args.monitoring.monitoring, out)
}

/// A finding about the WAL in a repository.
fn finding(repo: &str, rule: &'static Rule, severity: Severity, text: impl Into<String>) -> Finding {
    Finding::new(rule, severity).in_source(repo).about("WAL").says(text)
}

/// A finding about the server itself.
fn server_finding(rule: &'static Rule, object: &str, severity: Severity) -> Finding {
    Finding::new(rule, severity).in_source("server").about(object)
}

/// How bad it is that something waits for so many seconds.
fn grade_lag(seconds: f64, args: &cli::Check) -> Severity {
    match seconds {
        s if s >= args.critical_lag.0.as_secs_f64() => Severity::Critical,
        s if s >= args.warn_lag.0.as_secs_f64() => Severity::Warning,
        _ => Severity::Ok,
    }
}

/// A repository that has more than its server wrote: another server writes into it, or this one was set back. The
/// server is asked again, since the repository was asked after it.
fn check_ahead(db: Option<&str>, server: &Server, asked: &[(&Repo, RepoWal)]) -> Result<Vec<Finding>> {
    let further = |(_, stored): &&(&Repo, RepoWal)| {
        !server.id.standby && stored.reach(server).is_some_and(|r| r.to > server.written)
    };
    if !asked.iter().any(|one| further(&one)) {
        return Ok(Vec::new());
    }
    let (now, _) = Server::query(db)?;
    let text = |to: Lsn| {
        format!(
            "it goes on to {to} on timeline {}, the server has written up to {}: another server stores its WAL here, or \
             this one was set back to an earlier state without a new timeline",
            now.id.timeline, now.written
        )
    };
    let same = now.id.system == server.id.system && now.id.timeline == server.id.timeline && !now.id.standby;
    let found = asked.iter().filter(|_| same).filter_map(|(repo, stored)| {
        let to = stored.reach(&now)?.to;
        (to > now.written).then(|| finding(&repo.name, &rulebook::AHEAD, Severity::Critical, text(to)))
    });
    Ok(found.collect())
}

/// Facts of the server against those of a repository. Pure but for [`Judge::read_lagging_again`].
struct Judge<'a> {
    server: &'a Server,
    now: Timestamp,
    /// Seconds between the time to judge by and the time when the server was asked.
    shift: f64,
    args: &'a cli::Check,
}

impl Judge<'_> {
    /// Asks repositories that seem to lag a second time: after a quiet night the first WAL that is written looks as old
    /// as the night, until `stream` has stored it a second later.
    fn read_lagging_again(&self, asked: &mut [(&Repo, RepoWal)], system: &System) {
        let lags = |stored: &RepoWal| {
            let reached = stored.reach(self.server).filter(|r| !r.whole || self.server.is_streamed());
            reached.is_some_and(|r| grade_lag(self.measure_lag(r).seconds, self.args) != Severity::Ok)
        };
        if !asked.iter().any(|(_, stored)| lags(stored)) {
            return;
        }
        std::thread::sleep(STORING);
        for (repo, stored) in asked {
            // One that cannot be asked now could be a few seconds ago: what it had then is judged.
            if let Ok(now) = RepoWal::read(repo, system, self.server.id.segment_size, self.now) {
                *stored = now;
            }
        }
    }

    /// What one repository has of what the server wrote.
    fn check_repo(&self, repo: &Repo, stored: &RepoWal) -> Vec<Finding> {
        let name = repo.name.as_str();
        let mut findings = vec![self.check_lag(name, stored)];
        findings.extend(self.check_archived_here(name, stored));
        findings.extend(check_garbage(repo, stored));
        findings.extend(self.check_missing(name, stored));
        findings.extend(
            stored.damaged.iter().map(|e| finding(name, &rulebook::DAMAGED, Severity::Critical, e.chain())),
        );
        findings.extend(self.check_cluster(name, stored));
        findings.extend(stored.future.map(|at| {
            let text = format!(
                "an object is dated {at}, in the future: the store's clock or this machine's is wrong"
            );
            finding(name, &rulebook::CLOCK, Severity::Warning, text)
        }));
        findings
    }

    /// What cluster.json says must be this server's: without it nothing is listed or restored.
    fn check_cluster(&self, repo: &str, stored: &RepoWal) -> Option<Finding> {
        let Some(cluster) = &stored.cluster else {
            let empty = stored.path.inventory.timelines.is_empty() && stored.tails.is_empty();
            let explained = empty || stored.damaged.iter().any(|e| e.chain().contains("cluster.json"));
            let missing = &rulebook::CLUSTER_MISSING;
            return (!explained).then(|| finding(repo, missing, Severity::Critical, missing.meaning));
        };
        let (major, size) = (self.server.id.major, self.server.id.segment_size);
        if (cluster.major, cluster.wal_segment_size) == (major, size) {
            return None;
        }
        let text = format!(
            "it is of PostgreSQL {} with WAL segments of {} bytes; this server is {major} with {size}",
            cluster.major, cluster.wal_segment_size
        );
        Some(finding(repo, &rulebook::CLUSTER_DIFFERS, Severity::Critical, text))
    }
}

/// Tails of segments that are whole: `stream` leaves them where its credential may not delete.
fn check_garbage(repo: &Repo, stored: &RepoWal) -> Option<Finding> {
    let tails: Vec<&Tail> = stored.tails.iter().filter(|t| stored.is_whole(t.segment)).collect();
    let (first, last) = (tails.iter().map(|t| t.segment).min()?, tails.iter().map(|t| t.segment).max()?);
    let count = tails.len();
    let text = format!("{count} tails of {first} to {last} are garbage: the segments are whole");
    Some(finding(&repo.name, &rulebook::TAILS, Severity::Ok, text))
}
