//! What the evidence proves, and whether that meets the objectives. Pure: never better than the truth.

use super::evidence::{BackupEvidence, RepoEvidence, RestorePoint, Written};
use super::rulebook;
use crate::list::format_local;
use crate::objectives::Objectives;
use crate::units::Unit;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::time::Duration;
use toban_core::check::{Finding, Rule};
use toban_core::config::Span;
use toban_core::wal::Lsn;
use toban_core::{Record, Severity};

/// Proofs that are older prove little.
const OLD_PROOF: SignedDuration = SignedDuration::from_hours(35 * 24);
/// Bytes of the header that begins a segment's first page (XLogLongPageHeaderData).
const HEADER: u64 = 40;

/// Everything that is known of a cluster.
pub(super) struct Evidence {
    pub(super) cluster: String,
    pub(super) now: Timestamp,
    pub(super) repos: Vec<RepoEvidence>,
    /// Repositories that could not be asked, and why.
    pub(super) unasked: Vec<(String, String)>,
    /// None where the server was not asked, or did not answer.
    pub(super) written: Option<Written>,
    pub(super) units: Result<Vec<Unit>, String>,
}

/// What can be promised of a cluster now; what nothing proves is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Status {
    pub(super) cluster: String,
    /// The newest moment that can be restored, and its position.
    pub(super) restorable_to: Option<Timestamp>,
    pub(super) restorable_lsn: Option<Lsn>,
    /// Seconds of commits that would be lost now.
    pub(super) loss_seconds: Option<u64>,
    /// Seconds that a restore takes.
    pub(super) recovery_seconds: Option<u64>,
    /// Every moment from here on can be restored.
    pub(super) covered_since: Option<Timestamp>,
    pub(super) verified: Option<Timestamp>,
    pub(super) wal_verified: Option<Timestamp>,
    pub(super) drilled: Option<Timestamp>,
    /// The identity that opens the newest backup was last used by a drill.
    pub(super) key_tested: Option<Timestamp>,
    pub(super) backups: usize,
    pub(super) verdict: &'static str,
}

impl Record for Status {
    const SCHEMA: &'static str = "pg-backup.status/1";
    const HEAD: &'static [&'static str] = &[
        "cluster",
        "restorable to",
        "lost now",
        "a restore takes",
        "every moment since",
        "verified",
        "drilled",
        "verdict",
    ];
    fn cells(&self) -> Vec<String> {
        let time = |at: Option<Timestamp>| at.map_or("unknown".into(), format_local);
        let ever = |at: Option<Timestamp>| at.map_or("never".into(), format_local);
        let span = |seconds: Option<u64>| seconds.map_or("unknown".into(), describe_seconds);
        vec![
            self.cluster.clone(),
            time(self.restorable_to),
            span(self.loss_seconds),
            span(self.recovery_seconds),
            time(self.covered_since),
            ever(self.verified),
            ever(self.drilled),
            self.verdict.into(),
        ]
    }
}

fn describe_seconds(seconds: u64) -> String {
    Span(Duration::from_secs(seconds)).to_string()
}

impl Evidence {
    /// The furthest point of the newest timeline that a repository leads to.
    pub(super) fn newest_point(&self) -> Option<RestorePoint> {
        // By the timeline first: the one that was left may have WAL at higher positions than the one in use, and
        // none of it is today's (manual, "Timelines").
        self.backups().map(|b| b.point).max_by_key(|p| (p.timeline, p.to, p.at))
    }

    fn backups(&self) -> impl Iterator<Item = &BackupEvidence> {
        self.repos.iter().flat_map(|repo| &repo.backups)
    }

    fn newest_backup(&self) -> Option<&BackupEvidence> {
        self.backups().max_by_key(|b| b.ended)
    }

    /// What is proven, as of now.
    pub(super) fn summarize(&self, objectives: &Objectives) -> Status {
        let point = self.newest_point();
        let drill = self.repos.iter().max_by_key(|r| r.drills.passed);
        let passed = drill.and_then(|r| r.drills.passed);
        let restorable_to = point.map_or_else(|| self.dumped_to(), |p| p.at);
        let mut status = Status {
            cluster: self.cluster.clone(),
            restorable_to,
            restorable_lsn: point.map(|p| p.to),
            loss_seconds: self.measure_loss(point, restorable_to),
            recovery_seconds: drill.and_then(|repo| self.estimate_recovery(repo)),
            covered_since: point.and_then(|p| self.find_covered_since(p)),
            verified: self.repos.iter().filter_map(|r| r.verified).max(),
            wal_verified: self.repos.iter().filter_map(|r| r.wal_verified).max(),
            drilled: passed,
            key_tested: self.find_key_test(),
            backups: self.backups().count(),
            verdict: "",
        };
        status.verdict = self.judge_objectives(&status, objectives).0.name();
        status
    }

    /// Without backups each database restores to its newest dump: the oldest of these counts.
    fn dumped_to(&self) -> Option<Timestamp> {
        let mut newest = std::collections::BTreeMap::new();
        for (database, at) in self.repos.iter().flat_map(|repo| &repo.dumps) {
            let known: &mut Timestamp = newest.entry(database).or_insert(*at);
            *known = (*known).max(*at);
        }
        newest.into_values().min()
    }

    /// Nothing is lost where the server has written nothing since; else all that came after the newest moment.
    fn measure_loss(&self, point: Option<RestorePoint>, to: Option<Timestamp>) -> Option<u64> {
        let idle = |written: Written, point: RestorePoint| {
            // A segment that was just begun holds nothing but the header of its first page: no commit is after the
            // position then.
            let begun = point.to.0.is_multiple_of(written.segment_size.max(1));
            let header = if begun { HEADER } else { 0 };
            written.timeline == point.timeline && written.to.0 <= point.to.0 + header
        };
        if self.written.zip(point).is_some_and(|(written, point)| idle(written, point)) {
            return Some(0);
        }
        // 0 says that nothing would be lost: less than a second counts as one.
        Some(age(to?, self.now).max(1))
    }

    /// As long as the drill took, and longer by as much as the cluster has grown.
    fn estimate_recovery(&self, repo: &RepoEvidence) -> Option<u64> {
        let drill = repo.drill.as_ref()?;
        let seconds = drill.recovery_seconds.filter(|s| s.is_finite() && *s >= 0.0)?;
        let now = self.newest_backup()?.bytes;
        let growth = if drill.bytes == 0 { return None } else { now as f64 / drill.bytes as f64 };
        Some((seconds * growth.max(1.0)).ceil() as u64)
    }

    /// The end of the oldest backup from which WAL leads to the newest moment without a missing range.
    fn find_covered_since(&self, newest: RestorePoint) -> Option<Timestamp> {
        let leads =
            |b: &&BackupEvidence| !b.broken && (b.point.timeline, b.point.to) == (newest.timeline, newest.to);
        self.backups().filter(leads).map(|b| b.ended).min()
    }

    /// Whether a drill has opened what is encrypted to whom the newest backup is.
    fn find_key_test(&self) -> Option<Timestamp> {
        let newest = self.newest_backup()?;
        let opened = |repo: &&RepoEvidence| {
            let by = repo.drill.as_ref().map(|d| &d.opened_by);
            by.is_some_and(|by| by.iter().any(|name| newest.recipients.contains(name)))
        };
        self.repos.iter().filter(opened).filter_map(|repo| repo.drills.passed).max()
    }

    /// The worst of the three objectives that are set, and why.
    fn judge_objectives(&self, status: &Status, objectives: &Objectives) -> (Severity, String) {
        let parts = [
            objectives.rpo.map(|rpo| ("rpo", rpo, judge_limit(status.loss_seconds, Some(rpo)))),
            objectives.rto.map(|rto| ("rto", rto, judge_limit(status.recovery_seconds, Some(rto)))),
            objectives
                .window
                .map(|window| ("window", window, self.judge_window(status.covered_since, Some(window)))),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        let severity = match parts.is_empty() {
            true if status.restorable_to.is_none() && status.restorable_lsn.is_none() => {
                self.where_nothing_is()
            }
            true => Severity::Ok,
            false => Severity::worst(parts.iter().map(|(_, _, severity)| *severity)),
        };
        let describe = |(name, limit, severity): &(&str, Span, Severity)| {
            let how = match severity {
                Severity::Ok => "met",
                Severity::Unknown => "not known",
                Severity::Warning => "not yet met",
                Severity::Critical => "not met",
            };
            format!("{name} {limit} is {how}")
        };
        let text = match parts.is_empty() {
            true => "no [objectives] are set".into(),
            false => parts.iter().map(describe).collect::<Vec<_>>().join(", "),
        };
        (severity, text)
    }

    /// How bad it is that nothing is found: what a repository holds that could not be asked is not known.
    fn where_nothing_is(&self) -> Severity {
        if self.unasked.is_empty() { Severity::Critical } else { Severity::Unknown }
    }

    fn judge_window(&self, since: Option<Timestamp>, window: Option<Span>) -> Severity {
        let Some(since) = since else { return self.where_nothing_is() };
        let Some(window) = window else { return Severity::Ok };
        // It fills up where nothing older was ever there; a backup before it that does not lead here is another matter.
        let first =
            self.backups().map(|b| b.ended).min() == Some(since) && self.repos.iter().all(|r| r.damaged == 0);
        match age(since, self.now) >= window.0.as_secs() {
            true => Severity::Ok,
            false if first => Severity::Warning,
            false => Severity::Critical,
        }
    }

    /// Everything that status reports, one finding each.
    pub(super) fn judge(&self, status: &Status, objectives: &Objectives) -> Vec<Finding> {
        let (severity, text) = self.judge_objectives(status, objectives);
        let mut findings = vec![self.finding(&rulebook::OBJECTIVES, severity, text)];
        findings.push(self.judge_point(status, objectives));
        findings.push(self.judge_time(status, objectives));
        findings.push(self.judge_coverage(status, objectives));
        findings.extend(self.judge_proofs(status));
        findings.extend(self.judge_copies());
        findings.extend(self.judge_timers());
        let unread = self
            .repos
            .iter()
            .flat_map(|r| r.unread.iter().map(move |why| (&r.name, Severity::Critical, why)));
        let unasked = self.unasked.iter().map(|(name, why)| (name, Severity::Unknown, why));
        findings.extend(unread.chain(unasked).map(|(name, severity, why)| {
            self.finding(&rulebook::SOURCE, severity, why.clone()).in_source(name)
        }));
        findings
    }

    fn finding(&self, rule: &'static Rule, severity: Severity, text: String) -> Finding {
        Finding::new(rule, severity).about(&self.cluster).says(text)
    }

    fn judge_point(&self, status: &Status, objectives: &Objectives) -> Finding {
        let severity = match status.restorable_lsn.is_none() && status.restorable_to.is_none() {
            true => self.where_nothing_is(),
            false => judge_limit(status.loss_seconds, objectives.rpo),
        };
        let to = match (status.restorable_to, status.restorable_lsn) {
            (None, None) if self.unasked.is_empty() => "nothing can be restored".to_string(),
            (None, None) => "what can be restored is not known".to_string(),
            (at, lsn) => {
                let at = at.map_or("a moment that is not known".into(), format_local);
                let lsn = lsn.map(|lsn| format!(" ({lsn})")).unwrap_or_default();
                format!("restorable to {at}{lsn}")
            }
        };
        let loss = match status.loss_seconds {
            None => "what would be lost now is not known".into(),
            Some(0) => "nothing that the server has written is missing".into(),
            Some(seconds) => format!("commits of the last {} would be lost now", describe_seconds(seconds)),
        };
        let found = self.finding(&rulebook::RECOVERY_POINT, severity, format!("{to}; {loss}"));
        with_number(found, "loss", status.loss_seconds, objectives.rpo)
    }

    fn judge_time(&self, status: &Status, objectives: &Objectives) -> Finding {
        let text = match status.recovery_seconds {
            Some(seconds) => format!(
                "a restore takes {}, by the drill of {}",
                describe_seconds(seconds),
                describe_time(status.drilled)
            ),
            None => "how long a restore takes is not known: no drill that passed has measured it".into(),
        };
        let severity = judge_limit(status.recovery_seconds, objectives.rto);
        let found = self.finding(&rulebook::RECOVERY_TIME, severity, text);
        with_number(found, "recovery", status.recovery_seconds, objectives.rto)
    }

    fn judge_coverage(&self, status: &Status, objectives: &Objectives) -> Finding {
        let dumps_only = status.backups == 0 && status.restorable_to.is_some();
        let severity = match dumps_only && objectives.window.is_none() {
            true => Severity::Ok,
            false => self.judge_window(status.covered_since, objectives.window),
        };
        let text = match status.covered_since {
            Some(since) => format!("every moment since {} can be restored", format_local(since)),
            None if dumps_only => "there are dumps alone: each restores its own moment".into(),
            None if self.unasked.is_empty() => "no stretch of time can be restored".into(),
            None => "which stretch of time can be restored is not known".into(),
        };
        let covered = status.covered_since.map(|since| age(since, self.now));
        with_number(self.finding(&rulebook::WINDOW, severity, text), "window", covered, None)
    }

    fn judge_proofs(&self, status: &Status) -> Vec<Finding> {
        let proof = |kind: &str, severity, text: String| {
            let found = self.finding(&rulebook::LAST_PROOF, severity, text);
            found.about(format!("{} {kind}", self.cluster)).with_key(kind)
        };
        let last = |kind: &str, at: Option<Timestamp>| {
            let severity = match at {
                Some(at) if self.now.duration_since(at) <= OLD_PROOF => Severity::Ok,
                _ => Severity::Warning,
            };
            proof(kind, severity, format!("last proven: {}", describe_time(at)))
        };
        let damaged: usize = self.repos.iter().map(|r| r.damaged).sum();
        let mut findings = match damaged {
            0 => vec![last("verify", status.verified)],
            n => vec![proof(
                "verify",
                Severity::Critical,
                format!("{n} backups are damaged, or lack something"),
            )],
        };
        let wal_damaged: usize = self.repos.iter().map(|r| r.wal_damaged).sum();
        if wal_damaged > 0 {
            findings.push(proof(
                "WAL",
                Severity::Critical,
                format!("{wal_damaged} files of the WAL are damaged"),
            ));
        } else if self.repos.iter().any(|r| r.archived) {
            findings.push(last("WAL", status.wal_verified));
        }
        if status.backups > 0 {
            let failed = self.repos.iter().filter_map(|r| r.drills.failed).max();
            findings.push(match failed.filter(|at| Some(*at) > status.drilled) {
                Some(at) => {
                    proof("drill", Severity::Critical, format!("the drill of {} failed", format_local(at)))
                }
                None => last("drill", status.drilled),
            });
        }
        if self.newest_backup().is_some_and(|b| !b.recipients.is_empty()) {
            let found = last("key", status.key_tested);
            findings.push(match status.key_tested {
                Some(_) => found,
                None => Finding { severity: Severity::Unknown, ..found }.says(
                    "no drill has opened what is encrypted to the recipients of now: pg-drill --identity FILE",
                ),
            });
        }
        findings
    }

    /// Where the newest backup is, and how it is locked there.
    fn judge_copies(&self) -> Vec<Finding> {
        let Some(newest) = self.newest_backup() else { return Vec::new() };
        let judge = |repo: &RepoEvidence| {
            let has = repo.backups.iter().any(|b| b.id == newest.id);
            let lock = match (repo.locks, repo.locked_until.filter(|until| *until > self.now)) {
                (false, _) => (Severity::Ok, String::new()),
                (true, Some(until)) => (Severity::Ok, format!(", locked until {}", format_local(until))),
                (true, None) => (Severity::Warning, ", and it is not locked".into()),
            };
            let (severity, text) = match has {
                true => (lock.0, format!("it has the newest backup, {}{}", newest.id, lock.1)),
                false => (Severity::Warning, format!("it lacks the newest backup, {}", newest.id)),
            };
            self.finding(&rulebook::COPIES, severity, text).in_source(&repo.name)
        };
        self.repos.iter().map(judge).collect()
    }

    fn judge_timers(&self) -> Vec<Finding> {
        let units = match &self.units {
            Ok(units) => units,
            Err(why) => {
                let text = format!("when jobs run next is not known: {why}");
                return vec![self.finding(&rulebook::NEXT_RUN, Severity::Unknown, text)];
            }
        };
        let on: Vec<&Unit> = units.iter().filter(|u| u.is_timer() && u.is_on()).collect();
        let describe = |unit: &&Unit| {
            let next = unit.next.map_or("not known".into(), format_local);
            format!("{} {next}", unit.name.trim_end_matches(".timer"))
        };
        let stores = on.iter().any(|u| u.is_of("pg-backup-run") || u.is_of("pg-backup-dump"));
        let (severity, text) = match stores {
            true => (Severity::Ok, on.iter().map(describe).collect::<Vec<_>>().join(", ")),
            false => (Severity::Warning, "no timer takes backups or dumps".into()),
        };
        vec![self.finding(&rulebook::NEXT_RUN, severity, text)]
    }
}

fn describe_time(at: Option<Timestamp>) -> String {
    at.map_or("never".into(), format_local)
}

/// A number that must not be larger; what is not known is never well.
fn judge_limit(seconds: Option<u64>, limit: Option<Span>) -> Severity {
    match (seconds, limit) {
        (None, _) => Severity::Unknown,
        (Some(seconds), Some(limit)) if seconds > limit.0.as_secs() => Severity::Critical,
        _ => Severity::Ok,
    }
}

fn with_number(found: Finding, name: &str, seconds: Option<u64>, limit: Option<Span>) -> Finding {
    let Some(seconds) = seconds else { return found };
    let limit = limit.map(|limit| format!(";;{}", limit.0.as_secs())).unwrap_or_default();
    found.with_perf(format!("'{name}'={seconds}s{limit}"))
}

/// Seconds from `at` to `now`, rounded up; none for a clock that was set back.
fn age(at: Timestamp, now: Timestamp) -> u64 {
    now.duration_since(at).max(SignedDuration::ZERO).as_secs_f64().ceil() as u64
}
