//! `check`: do the repositories have what the server has written?

mod server;
mod stored;

use crate::cli;
use jiff::Timestamp;
use serde::Serialize;
use server::{Server, Slot};
use stored::Stored;
use toban_core::config::Config;
use toban_core::repo::Repo;
use toban_core::repo::archive::{Archive, Hole, Tail};
use toban_core::repo::gap::{self, Gap};
use toban_core::repo::keys::System;
use toban_core::wal::Lsn;
use toban_core::{Out, Record, Result, Severity};

/// What was judged.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Finding {
    /// The repository; `-` for the server itself.
    repo: String,
    /// `lag`, `hole`, `gap`, `history`, `tails`, `archiver`, `slot`, or `repository` when it could not be asked.
    check: &'static str,
    severity: Severity,
    text: String,
    #[serde(skip)]
    perf: Option<String>,
}

impl Record for Finding {
    const SCHEMA: &'static str = "wal-shipper.check/1";
    const HEAD: &'static [&'static str] = &["repo", "check", "severity", "finding"];
    fn cells(&self) -> Vec<String> {
        vec![self.repo.clone(), self.check.into(), self.severity.to_string(), self.text.clone()]
    }
}

/// Runs the verb.
pub(crate) fn run(args: &cli::Check, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let repos = args.repos.open(config)?;
    let section = config.cluster.get(&args.repos.cluster);
    let server = Server::ask(args.db.as_deref().or(section.and_then(|s| s.db.as_deref())))?;
    let system = System { cluster: args.repos.cluster.clone(), identifier: server.system };
    let judge = Judge { server: &server, now: args.at.now(), args };
    let mut findings = judge.server();
    let (mut asked, mut trouble) = (Vec::new(), Vec::new());
    for repo in &repos {
        match Stored::ask(&Archive::new(&*repo.store, system.clone())) {
            Ok(stored) => asked.push((repo, stored)),
            Err(e) => trouble.push((repo, e)),
        }
    }
    findings.extend(asked.iter().flat_map(|(repo, stored)| judge.repo(repo, stored)));
    for (repo, _) in &asked {
        let gaps = gap::all(&*repo.store, &system)?;
        findings.extend(gaps.iter().filter_map(|gap| judge.gap(repo, gap, &asked)));
    }
    if trouble.len() == repos.len() {
        return Err(trouble.remove(0).1);
    }
    findings
        .extend(trouble.iter().map(|(r, e)| finding(&r.name, "repository", Severity::Unknown, e.chain())));
    toban_core::finding::tell(&findings, args.monitoring.monitoring, out)
}

fn finding(repo: &str, check: &'static str, severity: Severity, text: String) -> Finding {
    Finding { repo: repo.into(), check, severity, text, perf: None }
}

impl toban_core::finding::Finding for Finding {
    fn severity(&self) -> Severity {
        self.severity
    }

    fn sentence(&self) -> String {
        format!("{} in {}: {}", self.check, self.repo, self.text)
    }

    fn perf(&self) -> Option<&str> {
        self.perf.as_deref()
    }
}

/// Facts of the server against those of a repository; pure.
struct Judge<'a> {
    server: &'a Server,
    now: Timestamp,
    args: &'a cli::Check,
}

impl Judge<'_> {
    /// What the server says of itself.
    fn server(&self) -> Vec<Finding> {
        let archiver = match (&self.server.archive_mode[..], &self.server.failing) {
            ("off", _) if self.server.slots.is_empty() => finding(
                "-",
                "archiver",
                Severity::Critical,
                "archive_mode is off and no slot is there: nothing ships the WAL".into(),
            ),
            ("off", _) => finding("-", "archiver", Severity::Ok, "archive_mode is off".into()),
            (_, Some(failing)) => finding(
                "-",
                "archiver",
                Severity::Critical,
                format!(
                    "archiving {} fails since {}; {} files wait",
                    failing.name,
                    failing.at,
                    self.server.waiting.len()
                ),
            ),
            (_, None) => finding(
                "-",
                "archiver",
                Severity::Ok,
                format!("it works; {} files wait", self.server.waiting.len()),
            ),
        };
        let slots = self.server.slots.iter().map(|slot| {
            let (severity, text) = self.slot(slot);
            finding("-", "slot", severity, format!("slot {}: {text}", slot.name))
        });
        std::iter::once(archiver).chain(slots).collect()
    }

    /// A standby's slots wait there for its promotion.
    fn slot(&self, slot: &Slot) -> (Severity, String) {
        match slot.status.as_str() {
            "lost" => (Severity::Critical, "its WAL is lost: a gap is there or near".to_string()),
            "unreserved" => (Severity::Critical, "its WAL is about to be removed".to_string()),
            _ if !slot.active && !self.server.standby => {
                (Severity::Warning, format!("nobody streams from it, and it holds {} bytes", slot.behind))
            }
            _ => (Severity::Ok, format!("{} bytes behind", slot.behind)),
        }
    }

    /// What one repository has of what the server wrote.
    fn repo(&self, repo: &Repo, stored: &Stored) -> Vec<Finding> {
        let inventory = &stored.inventory;
        let mut findings = vec![self.lag(repo, stored)];
        findings.extend(garbage(repo, stored));
        let holes = stored.holes(self.server.segment_size).into_iter();
        findings.extend(holes.filter(|h| !self.on_its_way(h)).map(|hole| {
            let (first, last) = (hole.first.name(), hole.last.name());
            let text = format!(
                "{first} to {last} are missing: no moment behind them can be restored from an older backup"
            );
            finding(&repo.name, "hole", Severity::Critical, text)
        }));
        let lines = inventory.lines.keys().filter(|t| t.0 > 1 && !inventory.histories.contains(t));
        findings.extend(lines.map(|t| {
            let text = format!("the history of timeline {t} is missing: recovery would not find it");
            finding(&repo.name, "history", Severity::Critical, text)
        }));
        findings
    }

    /// A recorded gap that is open still. `told` has the record; who lacks the WAL may not be among those we asked.
    fn gap(&self, told: &Repo, gap: &Gap, asked: &[(&Repo, Stored)]) -> Option<Finding> {
        let lacks = gap.repo.as_deref().unwrap_or(&told.name);
        let inventory = asked.iter().find(|(r, _)| r.name == lacks).map(|(_, s)| &s.inventory);
        if inventory.is_some_and(|i| !gap.is_open(i, self.server.segment_size)) {
            return None;
        }
        let unseen = if inventory.is_some() { "" } else { "; it was not asked now" };
        let text = format!("{} to {} did not come, {}: {}{unseen}", gap.first, gap.last, gap.at, gap.why);
        Some(finding(lacks, "gap", Severity::Critical, text))
    }

    /// Every segment of the hole still waits for the archiver, or was written after we asked.
    fn on_its_way(&self, hole: &Hole) -> bool {
        let mut segments =
            std::iter::successors(Some(hole.first), |s| (s.number < hole.last.number).then(|| s.next()));
        segments.all(|s| s.start() > self.server.written || self.server.waiting.contains(&s.name()))
    }

    /// How much of the server's newest WAL is not there, in bytes and in seconds.
    fn lag(&self, repo: &Repo, stored: &Stored) -> Finding {
        let server = self.server;
        let Some((reach, newest)) = stored.reach(server) else {
            let text = format!("it has no WAL of timeline {}, the server's", server.timeline);
            return finding(&repo.name, "lag", Severity::Critical, text);
        };
        let bytes = server.written.0.saturating_sub(reach.0);
        // Within the segment that is being written nothing could have come yet, unless it is old.
        let newest = newest.unwrap_or(self.now);
        let seconds = match self.is_idle(reach) {
            true => 0,
            false => u64::try_from(self.now.duration_since(newest).as_secs()).unwrap_or(0),
        };
        let severity = match seconds {
            s if s >= self.args.critical_lag.0.as_secs() => Severity::Critical,
            s if s >= self.args.warn_lag.0.as_secs() => Severity::Warning,
            _ => Severity::Ok,
        };
        let perf = format!(
            "'{0} lag'={seconds}s;{1};{2} '{0} lag bytes'={bytes}B",
            repo.name.replace(['=', '\'', '|'], "_"),
            self.args.warn_lag.0.as_secs(),
            self.args.critical_lag.0.as_secs()
        );
        let text = format!("{bytes} bytes behind the server; the newest came {seconds} s before");
        Finding { perf: Some(perf), ..finding(&repo.name, "lag", severity, text) }
    }

    /// A server that wrote nothing since it began the segment has nothing to lose.
    fn is_idle(&self, reach: Lsn) -> bool {
        let begun = reach.0.is_multiple_of(self.server.segment_size.max(1));
        let header = if begun { 40 } else { 0 };
        self.server.written.0 <= reach.0 + header
    }
}

/// Tails of segments that are whole: `stream` leaves them where its credential may not delete.
fn garbage(repo: &Repo, stored: &Stored) -> Option<Finding> {
    let tails: Vec<&Tail> = stored.tails.iter().filter(|t| stored.is_whole(t.segment)).collect();
    let (first, last) = (tails.iter().map(|t| t.segment).min()?, tails.iter().map(|t| t.segment).max()?);
    let count = tails.len();
    let text = format!("{count} tails of {first} to {last} are garbage: the segments are whole");
    Some(finding(&repo.name, "tails", Severity::Ok, text))
}
