//! Whether something takes the WAL off the server: the archiver, the slots, a standby's own source. Pure.

use super::server::PhysicalSlot;
use super::{Judge, finding, grade_lag, rulebook, server_finding};
use toban_core::Severity;
use toban_core::check::{Finding, perf_label};
use toban_core::repo::CLOCK_TOLERANCE;

/// PostgreSQL starts an archiver that ended anew at most this often (`PGARCH_RESTART_INTERVAL`).
const ARCHIVER_RESTART: f64 = 10.0;
/// A client reports every few seconds (wal_receiver_status_interval, 10 s); after wal_sender_timeout, 60 s, the server ends
/// the connection.
const SILENCE_LIMIT: f64 = 120.0;

impl Judge<'_> {
    /// What the server knows of its archiver, its slots and its clock.
    pub(super) fn check_server(&self) -> Vec<Finding> {
        let archiver = self.judge_archiver();
        let waiting = &self.server.archiver.waiting;
        let perf = format!(
            "'archiver waiting'={} 'archiver oldest'={:.0}s;{};{}",
            waiting.len(),
            self.oldest_waiting().map_or(0.0, |(_, age)| age),
            self.args.warn_lag.0.as_secs(),
            self.args.critical_lag.0.as_secs()
        );
        let slots = self.server.slots.iter().map(|slot| self.judge_slot(slot));
        let mut findings: Vec<Finding> = std::iter::once(archiver.with_perf(perf)).chain(slots).collect();
        findings.extend(self.check_clock());
        if self.server.cut_off {
            let cut_off = &rulebook::STANDBY_CUT_OFF;
            findings.push(server_finding(cut_off, "standby", Severity::Warning).says(cut_off.meaning));
        }
        findings
    }

    /// The file that waits longest for the archiver.
    fn oldest_waiting(&self) -> Option<(&str, f64)> {
        let waiting = self.server.archiver.waiting.iter().map(|(n, age)| (n.as_str(), age + self.shift));
        waiting.max_by(|a, b| a.1.total_cmp(&b.1))
    }

    fn judge_archiver(&self) -> Finding {
        let critical = |rule, text: String| server_finding(rule, "archiver", Severity::Critical).says(text);
        let archiving =
            |severity, text: String| server_finding(&rulebook::ARCHIVER, "archiver", severity).says(text);
        let (server, archiver) = (self.server, &self.server.archiver);
        let many = archiver.waiting.len();
        match archiver.mode.as_str() {
            "off" if server.slots.is_empty() => {
                return critical(&rulebook::ARCHIVER_OFF, rulebook::ARCHIVER_OFF.meaning.into());
            }
            "off" => return archiving(Severity::Ok, "archive_mode is off".into()),
            "on" if server.id.standby => return archiving(Severity::Ok, "a standby archives nothing".into()),
            _ => {}
        }
        if !archiver.is_set {
            let text = format!(
                "archive_mode is on and archive_command is empty: {many} files wait, and pg_wal grows until the disk is full"
            );
            return critical(&rulebook::ARCHIVER_EMPTY, text);
        }
        // A file that look-ahead stored after the failure does not wait any more.
        if let Some(failing) = archiver.failing.as_ref().filter(|_| many > 0) {
            let text = format!("archiving {} fails since {}; {many} files wait", failing.name, failing.at);
            return critical(&rulebook::ARCHIVER_FAILS, text);
        }
        if let Some(text) = self.dying_archiver() {
            return critical(&rulebook::ARCHIVER_DIES, format!("{text}; {many} files wait"));
        }
        match self.oldest_waiting() {
            Some((name, age)) => {
                let severity = grade_lag(age, self.args);
                let how = if severity == Severity::Ok { "it works" } else { "it is slow or hangs" };
                archiving(severity, format!("{how}; {many} files wait, {name} for {age:.0} s"))
            }
            None => archiving(Severity::Ok, "it works; 0 files wait".into()),
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
    fn judge_slot(&self, slot: &PhysicalSlot) -> Finding {
        let (rule, severity, text) = match (slot.status.as_str(), slot.silent) {
            ("lost", _) => {
                let text = "its WAL is lost: a gap is there or near".to_string();
                (&rulebook::SLOT_LOST, Severity::Critical, text)
            }
            ("unreserved", _) => {
                let text = "its WAL is about to be removed".to_string();
                (&rulebook::SLOT_UNRESERVED, Severity::Critical, text)
            }
            _ if !slot.active && !self.server.id.standby => {
                let text = format!("no client streams from it, and it holds {} bytes", slot.holds);
                (&rulebook::SLOT_INACTIVE, Severity::Warning, text)
            }
            (_, Some(silent)) if silent > SILENCE_LIMIT => {
                let text = format!("its client reported nothing for {silent:.0} s");
                (&rulebook::SLOT_SILENT, Severity::Warning, text)
            }
            _ => (&rulebook::SLOT, Severity::Ok, format!("it holds {} bytes", slot.holds)),
        };
        server_finding(rule, &format!("slot {}", slot.name), severity).with_key(&slot.name).says(text)
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
        Some(server_finding(&rulebook::CLOCK, "clock", Severity::Warning).says(text))
    }

    /// What PostgreSQL was told is archived must be here: a command that ends with 0 and stores nothing, or stores it
    /// elsewhere, no statistics show.
    pub(super) fn check_archived_here(&self, repo: &str, stored: &super::RepoWal) -> Option<Finding> {
        let archiver = &self.server.archiver;
        let (name, _) = archiver.last.as_ref().filter(|_| archiver.mode != "off")?;
        let segment = name.parse::<toban_core::wal::WalName>().ok()?.segment(self.server.id.segment_size)?;
        let whole = name.len() == 24 && !stored.path.inventory.has(&segment);
        let line = stored.path.inventory.timelines.get(&segment.timeline);
        let begun = line.and_then(|l| Some(l.ranges(segment.timeline, segment.size).first()?.0.number));
        let pruned = begun.is_some_and(|first| first > segment.number);
        let recorded = stored.gaps.iter().any(|g| g.first == *name || g.last == *name);
        // What is lost for good, and what no restore needs any more, is judged as a missing range.
        let file = toban_core::wal::WalName::from(segment);
        let known = stored.acknowledged_reason(file, file).is_some() || self.is_before_a_backup(stored, file);
        if !whole || pruned || recorded || known || self.server.is_streamed() {
            return None;
        }
        let text = format!("PostgreSQL has {name} for archived, and it is not here");
        Some(finding(repo, &rulebook::ARCHIVER_ELSEWHERE, Severity::Critical, text).with_key(name))
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
