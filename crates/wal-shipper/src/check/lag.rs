//! How much of the server's newest WAL a repository lacks, and how old the oldest of it is. Pure.

use super::archiver::lag_perf;
use super::stored::Reached;
use super::{Judge, RepoWal, finding, grade_lag};
use crate::rulebook;
use toban_core::Severity;
use toban_core::check::Finding;
use toban_core::wal::{Lsn, Segment};

/// What is not stored yet.
pub(super) struct Lag {
    pub(super) bytes: u64,
    /// The age of the oldest of it.
    pub(super) seconds: f64,
}

impl Judge<'_> {
    pub(super) fn check_lag(&self, repo: &str, stored: &RepoWal) -> Finding {
        let server = self.server;
        let Some(reached) = stored.reach(server) else {
            let age = server
                .timeline_age()
                .filter(|_| stored.path.inventory.histories.contains(&server.id.timeline));
            let severity = age.map_or(Severity::Critical, |age| grade_lag(age + self.shift, self.args));
            let since = age.map_or(String::new(), |age| format!(", which it began {age:.0} s ago"));
            let text = format!("it has no WAL of timeline {}, the server's{since}", server.id.timeline);
            return finding(repo, &rulebook::LAG, severity, text);
        };
        let Lag { bytes, seconds } = self.measure_lag(reached);
        let perf = lag_perf(repo, seconds, bytes, self.args);
        let text =
            format!("{bytes} bytes behind the server; the oldest that is not stored is {seconds:.0} s old");
        finding(repo, &rulebook::LAG, grade_lag(seconds, self.args), text).with_perf(perf)
    }

    /// What the server wrote after `reached`.
    pub(super) fn measure_lag(&self, reached: Reached) -> Lag {
        let server = self.server;
        let bytes = server.written.0.saturating_sub(reached.to.0);
        if self.is_idle(reached.to) {
            return Lag { bytes, seconds: 0.0 };
        }
        let next = Segment::holding_lsn(reached.to, server.id.timeline, server.id.segment_size);
        // Whole on the server, and not stored: as old as the server's file. By the server's clock alone.
        if let Some(age) = server.whole_since(&next) {
            return Lag { bytes, seconds: (age + self.shift).max(0.0) };
        }
        let came = reached.came.map_or(0.0, |at| self.now.duration_since(at).as_secs_f64());
        let before = Segment { number: next.number.saturating_sub(1), ..next };
        let begun = match reached.whole {
            true => server.whole_since(&before).map_or(came, |age| age + self.shift),
            false => came,
        };
        // Whatever was written into the segment that is open: the server ends it after archive_timeout.
        let archiver = &server.archiver;
        let ends = archiver.timeout > 0.0 && archiver.mode != "off" && next.end() > server.written;
        let bound = if ends && reached.whole { archiver.timeout + self.shift } else { f64::MAX };
        Lag { bytes, seconds: begun.min(bound).max(0.0) }
    }

    /// A server that wrote nothing since it began the segment has nothing to lose.
    fn is_idle(&self, reach: Lsn) -> bool {
        let begun = reach.0.is_multiple_of(self.server.id.segment_size.max(1));
        let header = if begun { 40 } else { 0 };
        self.server.written.0 <= reach.0 + header
    }
}
