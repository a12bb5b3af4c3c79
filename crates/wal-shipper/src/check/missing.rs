//! What of the WAL a repository lacks: missing ranges, recorded gaps, histories. Pure.
//!
//! A restore begins at a backup: the positions that only an older backup leads to are lost with the WAL that it needs,
//! and nothing can be done about it any more. So a newer backup, `prune` and an acknowledgement each end the alarm.

use super::stored::first_needed;
use super::{Judge, RepoWal, finding};
use crate::rulebook;
use toban_core::Severity;
use toban_core::check::Finding;
use toban_core::repo::Repo;
use toban_core::repo::archive::MissingRange;
use toban_core::repo::gap::Gap;
use toban_core::wal::{Timeline, WalName};

impl Judge<'_> {
    pub(super) fn check_missing(&self, repo: &str, stored: &RepoWal) -> Vec<Finding> {
        let mut findings = self.check_ranges(repo, stored);
        let histories = &stored.path.inventory.histories;
        let lines = stored.path.inventory.timelines.keys().copied();
        let unknown = lines.chain([self.server.id.timeline]).filter(|t| t.0 > 1 && !histories.contains(t));
        let unknown: std::collections::BTreeSet<Timeline> = unknown.collect();
        findings.extend(unknown.into_iter().filter_map(|t| self.check_history(repo, stored, t)));
        findings
    }

    fn check_ranges(&self, repo: &str, stored: &RepoWal) -> Vec<Finding> {
        let history = stored.history(self.server.id.timeline);
        let (missing, lost) = match &history {
            None => (stored.missing_anywhere(), Vec::new()),
            Some(history) => {
                let backup = stored.newest_backup(history);
                let needed = stored.missing_ranges(history, backup);
                let all = stored.missing_ranges(history, None).into_iter().chain(stored.missing_anywhere());
                let inside = |h: &MissingRange| needed.iter().any(|n| do_overlap(n, h));
                // Without a backup it is not known what is needed: all that is missing on the path counts.
                (needed.clone(), all.filter(|h| !inside(h)).collect())
            }
        };
        let urgent =
            missing.into_iter().filter(|h| !self.is_coming(h)).map(|h| self.judge_range(repo, stored, &h));
        let lost = lost.into_iter().filter(|h| !self.is_coming(h)).map(|h| unneeded_range(repo, &h));
        let mut findings: Vec<Finding> = urgent.collect();
        // The same range may be missing on a timeline by itself and on the recovery path.
        for old in lost {
            if findings.iter().all(|f| f.text != old.text) {
                findings.push(old);
            }
        }
        findings
    }

    fn judge_range(&self, repo: &str, stored: &RepoWal, range: &MissingRange) -> Finding {
        let (first, last) = (range.first.name(), range.last.name());
        if let Some(reason) = stored.acknowledged_reason(range.first.into(), range.last.into()) {
            let text = format!("{first} to {last} are missing, and acknowledged: {reason}");
            return missing_range(repo, range, Severity::Ok, text);
        }
        let text =
            format!("{first} to {last} are missing: no later position can be restored from an older backup");
        missing_range(repo, range, Severity::Critical, text).advise(advise_backup(&first, &last))
    }

    /// Recovery asks for it wherever it begins on an older timeline.
    fn check_history(&self, repo: &str, stored: &RepoWal, timeline: Timeline) -> Option<Finding> {
        let name = WalName::History(timeline);
        let older = stored.backups.iter().any(|b| b.timeline >= timeline);
        if older && timeline != self.server.id.timeline {
            return None;
        }
        if let Some(reason) = stored.acknowledged_reason(name, name) {
            let text = format!("{name} is missing, and acknowledged: {reason}");
            return Some(finding(repo, &rulebook::HISTORY, Severity::Ok, text));
        }
        let text = format!("the history of timeline {timeline} is missing: recovery would not find it");
        let advice = format!("pg_wal of a server of that timeline has it: wal-shipper push pg_wal/{name}");
        Some(finding(repo, &rulebook::HISTORY, Severity::Critical, text).advise(advice))
    }

    /// A recorded gap that is open still. `holder` has the record; the repository that lacks the WAL may not be among those
    /// we asked.
    pub(super) fn check_gap(&self, holder: &Repo, gap: &Gap, asked: &[(&Repo, RepoWal)]) -> Option<Finding> {
        let lacks = gap.repo.as_deref().unwrap_or(&holder.name);
        let there = asked.iter().find(|(r, _)| r.name == lacks).map(|(_, s)| s);
        if there.is_some_and(|s| !gap.is_open(&s.path.inventory, self.server.id.segment_size)) {
            return None;
        }
        let (Ok(first), Ok(last)) = (gap.first.parse::<WalName>(), gap.last.parse::<WalName>()) else {
            let text = format!("a record of a gap names no files: {} to {}", gap.first, gap.last);
            return Some(finding(lacks, &rulebook::GAP_UNREADABLE, Severity::Warning, text));
        };
        let what = format!("{} to {} did not come, {}: {}", gap.first, gap.last, gap.at, gap.why);
        // Acknowledged where the record lies, or where the WAL is missing.
        let known = asked.iter().filter(|(r, _)| r.name == lacks || r.name == holder.name);
        if let Some(reason) = known.filter_map(|(_, s)| s.acknowledged_reason(first, last)).next() {
            let text = format!("{what}; acknowledged: {reason}");
            return Some(finding(lacks, &rulebook::GAP, Severity::Ok, text));
        }
        if there.is_some_and(|s| self.is_before_a_backup(s, last)) {
            let text = format!("{what}; a newer backup begins after it");
            return Some(finding(lacks, &rulebook::GAP, Severity::Ok, text));
        }
        let unseen = if there.is_some() { "" } else { "; it was not asked now" };
        let gap = finding(lacks, &rulebook::GAP, Severity::Critical, format!("{what}{unseen}"));
        let advice = advise_backup(&first.to_string(), &last.to_string());
        Some(gap.with_key(format!("{first}-{last}")).advise(advice))
    }

    /// Whether the newest backup on the server's recovery path begins after `last`.
    pub(super) fn is_before_a_backup(&self, stored: &RepoWal, last: WalName) -> bool {
        let backup = stored.history(self.server.id.timeline);
        let backup = backup.as_ref().and_then(|h| stored.newest_backup(h));
        backup.is_some_and(|b| match last.segment(stored.path.size) {
            Some(segment) => segment.number < first_needed(b, stored.path.size),
            None => b.timeline >= last.timeline(),
        })
    }

    /// Every segment of the range still waits for the archiver, or was written after we asked.
    fn is_coming(&self, range: &MissingRange) -> bool {
        let mut segments =
            std::iter::successors(Some(range.first), |s| (s.number < range.last.number).then(|| s.next()));
        let waiting = &self.server.archiver.waiting;
        segments.all(|s| s.start() > self.server.written || waiting.contains_key(&s.name()))
    }
}

fn unneeded_range(repo: &str, range: &MissingRange) -> Finding {
    let (first, last) = (range.first.name(), range.last.name());
    let text = format!("{first} to {last} are missing; no restore from the newest backup needs them");
    missing_range(repo, range, Severity::Ok, text)
}

fn missing_range(repo: &str, range: &MissingRange, severity: Severity, text: String) -> Finding {
    let key = format!("{}-{}", range.first.name(), range.last.name());
    finding(repo, &rulebook::MISSING_RANGE, severity, text).with_key(key)
}

fn advise_backup(first: &str, last: &str) -> String {
    format!(
        "take a new backup now (pg-backup run), or acknowledge it: wal-shipper acknowledge {first} {last}"
    )
}

fn do_overlap(a: &MissingRange, b: &MissingRange) -> bool {
    a.first.number <= b.last.number && b.first.number <= a.last.number
}
