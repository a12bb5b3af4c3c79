//! What of the WAL a repository lacks: holes, recorded gaps, histories. Pure.
//!
//! Whoever restores begins at a backup: what only older backups would need is lost for their moments, and nothing can
//! be done about it any more. So a newer backup, `prune` and an acknowledgement each end the alarm.

use super::stored::behind;
use super::{Finding, Judge, Stored, finding};
use toban_core::Severity;
use toban_core::repo::Repo;
use toban_core::repo::archive::Hole;
use toban_core::repo::gap::Gap;
use toban_core::wal::{Timeline, WalName};

impl Judge<'_> {
    pub(super) fn missing(&self, repo: &str, stored: &Stored) -> Vec<Finding> {
        let mut findings = self.holes(repo, stored);
        let histories = &stored.way.inventory.histories;
        let lines = stored.way.inventory.lines.keys().copied();
        let unknown = lines.chain([self.server.timeline]).filter(|t| t.0 > 1 && !histories.contains(t));
        let unknown: std::collections::BTreeSet<Timeline> = unknown.collect();
        findings.extend(unknown.into_iter().filter_map(|t| self.history(repo, stored, t)));
        findings
    }

    fn holes(&self, repo: &str, stored: &Stored) -> Vec<Finding> {
        let history = stored.history(self.server.timeline);
        let (holes, lost) = match &history {
            None => (stored.holes_anywhere(), Vec::new()),
            Some(history) => {
                let backup = stored.newest_backup(history);
                let needed = stored.holes(history, backup);
                let all = stored.holes(history, None).into_iter().chain(stored.holes_anywhere());
                let inside = |h: &Hole| needed.iter().any(|n| overlap(n, h));
                // Where no backup is, nobody knows what is needed: every hole on the way counts.
                (needed.clone(), all.filter(|h| !inside(h)).collect())
            }
        };
        let urgent = holes.into_iter().filter(|h| !self.on_its_way(h)).map(|h| self.hole(repo, stored, &h));
        let lost = lost.into_iter().filter(|h| !self.on_its_way(h)).map(|h| harmless(repo, &h));
        let mut findings: Vec<Finding> = urgent.collect();
        // The same stretch may lie on a timeline's own line and on the way.
        for old in lost {
            if findings.iter().all(|f| f.text != old.text) {
                findings.push(old);
            }
        }
        findings
    }

    fn hole(&self, repo: &str, stored: &Stored, hole: &Hole) -> Finding {
        let (first, last) = (hole.first.name(), hole.last.name());
        if let Some(reason) = stored.reason(hole.first.into(), hole.last.into()) {
            let text = format!("{first} to {last} are missing, and acknowledged: {reason}");
            return finding(repo, "hole", Severity::Ok, text);
        }
        let text = format!(
            "{first} to {last} are missing: no moment behind them can be restored from an older backup; take a new \
             backup now (pg-backup run), or acknowledge it: wal-shipper acknowledge {first} {last}"
        );
        finding(repo, "hole", Severity::Critical, text)
    }

    /// Recovery asks for it wherever it begins on an older timeline.
    fn history(&self, repo: &str, stored: &Stored, timeline: Timeline) -> Option<Finding> {
        let name = WalName::History(timeline);
        let older = stored.backups.iter().any(|b| b.timeline >= timeline);
        if older && timeline != self.server.timeline {
            return None;
        }
        if let Some(reason) = stored.reason(name, name) {
            let text = format!("{name} is missing, and acknowledged: {reason}");
            return Some(finding(repo, "history", Severity::Ok, text));
        }
        let text = format!(
            "the history of timeline {timeline} is missing: recovery would not find it; pg_wal of a server of that \
             timeline has it: wal-shipper push pg_wal/{name}"
        );
        Some(finding(repo, "history", Severity::Critical, text))
    }

    /// A recorded gap that is open still. `told` has the record; who lacks the WAL may not be among those we asked.
    pub(super) fn gap(&self, told: &Repo, gap: &Gap, asked: &[(&Repo, Stored)]) -> Option<Finding> {
        let lacks = gap.repo.as_deref().unwrap_or(&told.name);
        let there = asked.iter().find(|(r, _)| r.name == lacks).map(|(_, s)| s);
        if there.is_some_and(|s| !gap.is_open(&s.way.inventory, self.server.segment_size)) {
            return None;
        }
        let (Ok(first), Ok(last)) = (gap.first.parse::<WalName>(), gap.last.parse::<WalName>()) else {
            let text = format!("a record of a gap names no files: {} to {}", gap.first, gap.last);
            return Some(finding(lacks, "gap", Severity::Warning, text));
        };
        let what = format!("{} to {} did not come, {}: {}", gap.first, gap.last, gap.at, gap.why);
        // Acknowledged where the record lies, or where the WAL is missing.
        let known = asked.iter().filter(|(r, _)| r.name == lacks || r.name == told.name);
        if let Some(reason) = known.filter_map(|(_, s)| s.reason(first, last)).next() {
            return Some(finding(lacks, "gap", Severity::Ok, format!("{what}; acknowledged: {reason}")));
        }
        if there.is_some_and(|s| self.is_behind_a_backup(s, last)) {
            return Some(finding(lacks, "gap", Severity::Ok, format!("{what}; a newer backup is behind it")));
        }
        let unseen = if there.is_some() { "" } else { "; it was not asked now" };
        let text = format!(
            "{what}{unseen}; take a new backup, or acknowledge it: wal-shipper acknowledge {first} {last}"
        );
        Some(finding(lacks, "gap", Severity::Critical, text))
    }

    /// Whether the newest backup on the server's way begins behind `last`.
    pub(super) fn is_behind_a_backup(&self, stored: &Stored, last: WalName) -> bool {
        let backup = stored.history(self.server.timeline);
        let backup = backup.as_ref().and_then(|h| stored.newest_backup(h));
        backup.is_some_and(|b| match last.segment(stored.way.size) {
            Some(segment) => segment.number < behind(b, stored.way.size),
            None => b.timeline >= last.timeline(),
        })
    }

    /// Every segment of the hole still waits for the archiver, or was written after we asked.
    fn on_its_way(&self, hole: &Hole) -> bool {
        let mut segments =
            std::iter::successors(Some(hole.first), |s| (s.number < hole.last.number).then(|| s.next()));
        let waiting = &self.server.archiver.waiting;
        segments.all(|s| s.start() > self.server.written || waiting.contains_key(&s.name()))
    }
}

fn harmless(repo: &str, hole: &Hole) -> Finding {
    let (first, last) = (hole.first.name(), hole.last.name());
    let text = format!("{first} to {last} are missing; no restore from the newest backup needs them");
    finding(repo, "hole", Severity::Ok, text)
}

fn overlap(a: &Hole, b: &Hole) -> bool {
    a.first.number <= b.last.number && b.first.number <= a.last.number
}
