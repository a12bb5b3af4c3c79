//! Whether something takes the WAL off the server: the archiver, the slots, a standby's own source. Pure.

use super::server::PhysicalSlot;
use super::{Finding, Judge, finding, grade_lag, perf_label};
use toban_core::Severity;
use toban_core::repo::CLOCK_TOLERANCE;

/// PostgreSQL starts an archiver that ended anew at most this often (`PGARCH_RESTART_INTERVAL`).
const ARCHIVER_RESTART: f64 = 10.0;
/// A client reports every few seconds (wal_receiver_status_interval, 10 s); after wal_sender_timeout, 60 s, the server ends
/// the connection.
const SILENCE_LIMIT: f64 = 120.0;

impl Judge<'_> {
    /// What the server knows of its archiver, its slots and its clock.
    pub(super) fn check_server(&self) -> Vec<Finding> {
        let (severity, text) = self.judge_archiver();
        let waiting = &self.server.archiver.waiting;
        let perf = format!(
            "'archiver waiting'={} 'archiver oldest'={:.0}s;{};{}",
            waiting.len(),
            self.oldest_waiting().map_or(0.0, |(_, age)| age),
            self.args.warn_lag.0.as_secs(),
            self.args.critical_lag.0.as_secs()
        );
        let archiver = Finding { perf: Some(perf), ..finding("-", "archiver", severity, text) };
        let slots = self.server.slots.iter().map(|slot| {
            let (severity, text) = self.judge_slot(slot);
            finding("-", "slot", severity, format!("slot {}: {text}", slot.name))
        });
        let mut findings: Vec<Finding> = std::iter::once(archiver).chain(slots).collect();
        findings.extend(self.check_clock());
        if self.server.cut_off {
            let text = "the standby is not connected to its primary: how far the primary is is not known";
            findings.push(finding("-", "server", Severity::Warning, text.into()));
        }
        findings
    }

    /// The file that waits longest for the archiver.
    fn oldest_waiting(&self) -> Option<(&str, f64)> {
        let waiting = self.server.archiver.waiting.iter().map(|(n, age)| (n.as_str(), age + self.shift));
        waiting.max_by(|a, b| a.1.total_cmp(&b.1))
    }

    fn judge_archiver(&self) -> (Severity, String) {
        let (server, archiver) = (self.server, &self.server.archiver);
        let many = archiver.waiting.len();
        match archiver.mode.as_str() {
            "off" if server.slots.is_empty() => {
                let text = "archive_mode is off and no slot is there: nothing ships the WAL";
                return (Severity::Critical, text.into());
            }
            "off" => return (Severity::Ok, "archive_mode is off".into()),
            "on" if server.id.standby => return (Severity::Ok, "a standby archives nothing".into()),
            _ => {}
        }
        if !archiver.is_set {
            let text = format!(
                "archive_mode is on and archive_command is empty: {many} files wait, and pg_wal grows until the disk is full"
            );
            return (Severity::Critical, text);
        }
        // A file that look-ahead stored after the failure does not wait any more.
        if let Some(failing) = archiver.failing.as_ref().filter(|_| many > 0) {
            let text = format!("archiving {} fails since {}; {many} files wait", failing.name, failing.at);
            return (Severity::Critical, text);
        }
        if let Some(text) = self.dying_archiver() {
            return (Severity::Critical, format!("{text}; {many} files wait; the server's log says why"));
        }
        match self.oldest_waiting() {
            Some((name, age)) => {
                let severity = grade_lag(age, self.args);
                let how = if severity == Severity::Ok { "it works" } else { "it is slow or hangs" };
                (severity, format!("{how}; {many} files wait, {name} for {age:.0} s"))
            }
            None => (Severity::Ok, "it works; 0 files wait".into()),
        }
    }

    /// A command that ends above 125, or by a signal, ends the archiver itself, and no statistics count it: the process
    /// is gone, or was started anew while files waited and has archived none since.
    fn dying_archiver(&self) -> Option<String> {
        let archiver = &self.server.archiver;
        let Some(runs) = archiver.process else {
            let text =
                "the archiver does not run: archive_command ends with a status above 125 or by a signal";
            return (self.server.up > ARCHIVER_RESTART).then(|| text.to_string());
        };
        let waited = archiver.waiting.values().any(|age| *age > runs + 1.0);
        let archived = archiver.last.as_ref().is_some_and(|(_, age)| *age < runs);
        let anew = self.server.up > runs + ARCHIVER_RESTART;
        (waited && anew && !archived).then(|| {
            format!("the archiver was started anew {runs:.0} s ago while files waited, and has archived none since")
        })
    }

    /// A standby's slots wait there for its promotion.
    fn judge_slot(&self, slot: &PhysicalSlot) -> (Severity, String) {
        match (slot.status.as_str(), slot.silent) {
            ("lost", _) => {
                (Severity::Critical, "its WAL is lost: a gap is there or near; take a new backup".to_string())
            }
            ("unreserved", _) => (Severity::Critical, "its WAL is about to be removed".to_string()),
            _ if !slot.active && !self.server.id.standby => {
                (Severity::Warning, format!("no client streams from it, and it holds {} bytes", slot.holds))
            }
            (_, Some(silent)) if silent > SILENCE_LIMIT => {
                (Severity::Warning, format!("its client reported nothing for {silent:.0} s"))
            }
            _ => (Severity::Ok, format!("it holds {} bytes", slot.holds)),
        }
    }

    /// The server's clock against ours, and the times of its files against its clock.
    fn check_clock(&self) -> Option<Finding> {
        let limit = CLOCK_TOLERANCE.as_secs_f64();
        let ahead = self.server.ahead;
        let files = self.server.files.values().chain(self.server.archiver.waiting.values());
        let newest = files.copied().fold(0.0, f64::min);
        let text = if ahead.abs() > limit {
            let how = if ahead > 0.0 { "ahead of" } else { "behind" };
            format!("the server's clock is {:.0} s {how} this machine's: no age can be judged", ahead.abs())
        } else if newest < -limit {
            format!("files of pg_wal are dated {:.0} s ahead of the server's clock", -newest)
        } else {
            return None;
        };
        Some(finding("-", "clock", Severity::Warning, text))
    }

    /// What PostgreSQL was told is archived must be here: a command that ends with 0 and stores nothing, or stores it
    /// elsewhere, no statistics show.
    pub(super) fn check_archived_here(&self, repo: &str, stored: &super::RepoWal) -> Option<Finding> {
        let archiver = &self.server.archiver;
        let (name, _) = archiver.last.as_ref().filter(|_| archiver.mode != "off")?;
        let segment = name.parse::<toban_core::wal::WalName>().ok()?.segment(self.server.id.segment_size)?;
        let whole = name.len() == 24 && !stored.path.inventory.has(&segment);
        let line = stored.path.inventory.lines.get(&segment.timeline);
        let begun = line.and_then(|l| Some(l.ranges(segment.timeline, segment.size).first()?.0.number));
        let pruned = begun.is_some_and(|first| first > segment.number);
        let recorded = stored.gaps.iter().any(|g| g.first == *name || g.last == *name);
        // What is lost for good, and what no restore needs any more, is judged as a missing range.
        let file = toban_core::wal::WalName::from(segment);
        let known = stored.acknowledged_reason(file, file).is_some() || self.is_before_a_backup(stored, file);
        if !whole || pruned || recorded || known || self.server.is_streamed() {
            return None;
        }
        let text = format!(
            "PostgreSQL has {name} for archived, and it is not here: archive_command ends with 0 and stores it elsewhere or nowhere"
        );
        Some(finding(repo, "archiver", Severity::Critical, text))
    }
}

/// Perfdata of a repository.
pub(super) fn lag_perf(repo: &str, seconds: f64, bytes: u64, args: &crate::cli::Check) -> String {
    format!(
        "'{0} lag'={seconds:.0}s;{1};{2} '{0} lag bytes'={bytes}B",
        perf_label(repo),
        args.warn_lag.0.as_secs(),
        args.critical_lag.0.as_secs()
    )
}
