//! When a value that goes up and down becomes an alarm, and when the alarm ends: k of the last n runs raise it, and a
//! lower limit clears it. Pure.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use toban_core::Severity;

/// Samples that are kept of one thing.
const MOST: usize = 30;
/// A sample that is older says nothing of the runs in a row: the timer was off meanwhile.
const FRESH: SignedDuration = SignedDuration::from_hours(1);

/// How bad, without not knowing: that is told as it is, and changes nothing here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    #[default]
    Ok,
    Warning,
    Critical,
}

impl Level {
    /// The level that `value` reaches: a limit that is met is reached.
    pub(crate) fn of_value(value: f64, warning: Option<f64>, critical: Option<f64>) -> Level {
        let met = |limit: Option<f64>| limit.is_some_and(|limit| value >= limit);
        match (met(critical), met(warning)) {
            (true, _) => Level::Critical,
            (false, true) => Level::Warning,
            (false, false) => Level::Ok,
        }
    }

    /// The level of a severity that was judged.
    pub(crate) fn of_severity(severity: Severity) -> Option<Level> {
        match severity {
            Severity::Ok => Some(Level::Ok),
            Severity::Warning => Some(Level::Warning),
            Severity::Critical => Some(Level::Critical),
            Severity::Unknown => None,
        }
    }
}

impl From<Level> for Severity {
    fn from(level: Level) -> Severity {
        match level {
            Level::Ok => Severity::Ok,
            Level::Warning => Severity::Warning,
            Level::Critical => Severity::Critical,
        }
    }
}

/// At least so many of the last so many runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quorum {
    pub(crate) least: usize,
    pub(crate) last: usize,
}

/// When a kind of value is raised and cleared.
#[derive(Debug, PartialEq)]
pub(crate) struct Policy {
    pub(crate) warning: Quorum,
    pub(crate) critical: Quorum,
    /// So many good runs in a row clear it.
    pub(crate) clear: usize,
    /// By how much a value must be under the limit for a run to be good, in the value's own unit.
    pub(crate) margin: f64,
}

const fn quorum(least: usize, last: usize) -> Quorum {
    Quorum { least, last }
}

/// A state: down, lost, refused. Told at once, over with the next good run.
pub(crate) static AT_ONCE: Policy = policy(quorum(1, 1), 1, 0.0);
/// A state that a restart passes through.
pub(crate) static TWICE: Policy = policy(quorum(2, 2), 1, 0.0);
/// Processors: a burst of a compression or a build is legal.
pub(crate) static PROCESSOR: Policy =
    Policy { warning: quorum(3, 5), critical: quorum(5, 5), clear: 2, margin: 0.05 };
/// A line that is busy.
pub(crate) static TRAFFIC: Policy = policy(quorum(3, 5), 2, 0.05);
/// Memory.
pub(crate) static MEMORY: Policy = policy(quorum(2, 3), 1, 0.03);
/// Space: it does not come back by itself.
pub(crate) static SPACE: Policy = policy(quorum(1, 1), 1, 0.02);
/// Sessions.
pub(crate) static SESSIONS: Policy = policy(quorum(2, 2), 1, 0.05);
/// Answer times and lag: one slow answer is no outage.
pub(crate) static DELAY: Policy = policy(quorum(2, 3), 2, 0.0);

const fn policy(raise: Quorum, clear: usize, margin: f64) -> Policy {
    Policy { warning: raise, critical: raise, clear, margin }
}

/// What one run saw: the level by the limits, and the level by the lower limits that clear.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) level: Level,
    pub(crate) low: Level,
}

/// What is remembered of one thing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Watched {
    /// The level that is told.
    pub(crate) told: Level,
    /// Since when.
    pub(crate) since: Option<Timestamp>,
    samples: Vec<Sample>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Sample {
    at: Timestamp,
    #[serde(flatten)]
    seen: Seen,
}

impl Watched {
    /// Takes what this run saw, and gives the level to tell.
    pub(crate) fn take_sample(&mut self, seen: Seen, policy: &Policy, now: Timestamp) -> Level {
        // A clock that was set back leaves samples of the future, one that was off leaves old ones.
        self.samples.retain(|s| s.at <= now && now.duration_since(s.at) <= FRESH);
        self.samples.push(Sample { at: now, seen });
        let excess = self.samples.len().saturating_sub(MOST);
        self.samples.drain(..excess);
        let level = self.raised(policy).max(self.held(policy));
        if level < self.told {
            // What raised it once must not count again: the next excursion begins with nothing.
            self.samples.clear();
        }
        self.tell(level, now);
        level
    }

    /// Tells `level` without asking earlier runs: there are none.
    pub(crate) fn begin_with(&mut self, seen: Seen, now: Timestamp) {
        self.samples = vec![Sample { at: now, seen }];
        self.tell(seen.level, now);
    }

    /// How many of the last runs that count for `level` saw it, and how many must.
    pub(crate) fn count_of(&self, level: Level, policy: &Policy) -> (usize, usize) {
        let quorum = if level == Level::Critical { policy.critical } else { policy.warning };
        let last = self.samples.iter().rev().take(quorum.last);
        (last.filter(|s| s.seen.level >= level).count(), quorum.least)
    }

    /// Whether a run of the last day saw it: what is not checked any more is forgotten.
    pub(crate) fn is_recent(&self, now: Timestamp) -> bool {
        let last = self.samples.last().map(|s| s.at).or(self.since);
        last.is_some_and(|at| now.duration_since(at) <= SignedDuration::from_hours(24))
    }

    fn tell(&mut self, level: Level, now: Timestamp) {
        if level != self.told || self.since.is_none() {
            self.since = Some(now);
        }
        self.told = level;
    }

    /// The highest level that enough of the last runs reached.
    fn raised(&self, policy: &Policy) -> Level {
        let enough = |level: &Level| {
            let (seen, least) = self.count_of(*level, policy);
            seen >= least
        };
        [Level::Critical, Level::Warning].into_iter().find(enough).unwrap_or_default()
    }

    /// The highest level up to the told one that the last runs have not cleared.
    fn held(&self, policy: &Policy) -> Level {
        let last = || self.samples.iter().rev().take(policy.clear);
        let cleared = |level: Level| last().count() == policy.clear && last().all(|s| s.seen.low < level);
        let mut levels = [Level::Critical, Level::Warning].into_iter().filter(|l| *l <= self.told);
        levels.find(|level| !cleared(*level)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: i64 = 1_790_000_000;

    fn minute(n: usize) -> Timestamp {
        Timestamp::from_second(START + 60 * n as i64).expect("a time")
    }

    fn seen(value: f64, policy: &Policy) -> Seen {
        let (warning, critical) = (0.70, 0.85);
        Seen {
            level: Level::of_value(value, Some(warning), Some(critical)),
            low: Level::of_value(value, Some(warning - policy.margin), Some(critical - policy.margin)),
        }
    }

    /// `w` for a warning, `c` for a critical, `.` for well: what is told of these values.
    fn told(values: &[f64], policy: &Policy) -> String {
        let mut watched = Watched::default();
        let letter =
            |(n, value): (usize, &f64)| match watched.take_sample(seen(*value, policy), policy, minute(n)) {
                Level::Ok => '.',
                Level::Warning => 'w',
                Level::Critical => 'c',
            };
        values.iter().enumerate().map(letter).collect()
    }

    #[test]
    fn three_of_five_raise_and_two_below_the_lower_limit_clear() {
        let (high, low, held) = (0.75, 0.10, 0.66);
        for (values, expected) in [
            (&[high, high, high][..], "..w"),
            (&[high, low, high, low, high], "....w"),
            (&[high, high, low, low, low, high, high], "......."),
            (&[high, high, high, held, held, held, held], "..wwwww"),
            (&[high, high, high, low, low, low], "..www."),
            (&[high, high, high, low, low, low, high, high], "..www..."),
            // The limit itself is reached, and what clears is below the lower one.
            (&[0.70, 0.70, 0.70, 0.65, 0.65, 0.65, 0.65], "..wwwww"),
            (&[0.699, 0.699, 0.699], "..."),
            // Critical takes five of five.
            (&[0.9, 0.9, 0.9, 0.9, 0.9, 0.9], "..wwcc"),
        ] {
            assert_eq!(told(values, &PROCESSOR), expected, "{values:?}");
        }
        assert_eq!(told(&[0.9, 0.1, 0.9], &AT_ONCE), "c.c");
        assert_eq!(told(&[0.9, 0.1, 0.9, 0.9], &TWICE), "...c");
        assert_eq!(told(&[0.86, 0.84, 0.82, 0.69, 0.67], &SPACE), "ccww.");
    }

    #[test]
    fn what_is_old_or_of_the_future_does_not_count() {
        let mut watched = Watched::default();
        for n in [0, 1] {
            watched.take_sample(seen(0.9, &PROCESSOR), &PROCESSOR, minute(n));
        }
        let later = watched.clone().take_sample(seen(0.9, &PROCESSOR), &PROCESSOR, minute(200));
        assert_eq!(later, Level::Ok, "two runs of three hours ago");
        let back = Timestamp::from_second(START - 3600).expect("a time");
        assert_eq!(watched.take_sample(seen(0.9, &PROCESSOR), &PROCESSOR, back), Level::Ok);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1000, ..ProptestConfig::default() })]
        #[test]
        fn an_excursion_raises_at_most_once(
            values in prop::collection::vec(prop_oneof![0.0..1.0f64, 0.6..0.9f64], 1..200),
            which in 0..8usize,
        ) {
            let policy = [&AT_ONCE, &TWICE, &PROCESSOR, &TRAFFIC, &MEMORY, &SPACE, &SESSIONS, &DELAY][which];
            let mut watched = Watched::default();
            for level in [Level::Warning, Level::Critical] {
                // An excursion ends when so many runs in a row are below the lower limit.
                let (mut good, mut raises, mut before) = (policy.clear, 0, Level::Ok);
                watched = Watched::default();
                for (n, value) in values.iter().enumerate() {
                    let seen = seen(*value, policy);
                    good = if seen.low < level { good + 1 } else { 0 };
                    if good >= policy.clear {
                        raises = 0;
                    }
                    let now = watched.take_sample(seen, policy, minute(n));
                    raises += usize::from(now >= level && before < level);
                    prop_assert!(raises <= 1, "{level:?} twice by run {n}: {values:?}");
                    before = now;
                }
            }
            prop_assert!(watched.samples.len() <= MOST);
        }
    }
}
