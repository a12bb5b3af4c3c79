//! Processors: how busy they were between two looks at /proc/stat, of a container of its quota.

use super::cgroup::CgroupCpu;
use crate::damping::{AT_ONCE, PROCESSOR};
use crate::reading::{Limits, Measure, Reading, percent};
use crate::rules;
use serde::{Deserialize, Serialize};
use toban_core::Severity;

/// Throttled in more than this part of the periods is a warning: the quota is too small for the bursts.
const THROTTLED: f64 = 0.25;
/// From here on the host's other tenants are worth naming.
const STEAL: f64 = 0.10;

/// Ticks since the start, the line `cpu` of /proc/stat. Guest time is not kept: it is inside of user and nice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ticks {
    /// user, nice, system, irq, softirq: what ran here.
    busy: f64,
    idle: f64,
    iowait: f64,
    steal: f64,
}

impl Ticks {
    /// The first line of /proc/stat. Old kernels have fewer fields.
    pub(crate) fn parse(stat: &str) -> Option<Ticks> {
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let fields: Vec<f64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
        if fields.len() < 4 {
            return None;
        }
        let field = |at: usize| fields.get(at).copied().unwrap_or(0.0);
        let busy = [0, 1, 2, 5, 6].map(field).iter().sum();
        Some(Ticks { busy, idle: field(3), iowait: field(4), steal: field(7) })
    }
}

/// What was done between two looks, as parts of the whole.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Busy {
    all: f64,
    steal: f64,
}

/// None where nothing can be told: counters that stand still or went back. Idle and iowait do go back a little on their
/// own, when a processor is taken out or an I/O wait is booked to another one.
fn compare_ticks(before: &Ticks, after: &Ticks) -> Option<Busy> {
    let rested = (after.idle + after.iowait) - (before.idle + before.iowait);
    let (ran, steal) = (after.busy - before.busy, after.steal - before.steal);
    if ran < 0.0 || rested < 0.0 || steal < 0.0 {
        return None;
    }
    let all = ran + rested + steal;
    (all > 0.0).then(|| Busy { all: (ran + steal) / all, steal: steal / all })
}

/// What is asked of the processors in a window.
pub(crate) struct CpuWindow<'a> {
    pub(crate) ticks: [Option<Ticks>; 2],
    pub(crate) quota: Option<[&'a CgroupCpu; 2]>,
    pub(crate) seconds: f64,
}

/// The load of the window: of the quota where there is one, else of all processors.
pub(crate) fn judge_cpu(window: &CpuWindow<'_>, limits: Limits) -> Vec<Reading> {
    match window.quota {
        Some([before, after]) => judge_quota(before, after, window.seconds, limits),
        None => vec![judge_host(window, limits)],
    }
}

fn judge_host(window: &CpuWindow<'_>, limits: Limits) -> Reading {
    let [Some(before), Some(after)] = window.ticks else {
        return Reading::unknown(&rules::CPU, "/proc/stat has no line for the processors");
    };
    let Some(busy) = compare_ticks(&before, &after) else {
        return Reading::unknown(&rules::CPU, "the counters of /proc/stat stood still or went back");
    };
    let whose = match busy.steal >= STEAL {
        true => format!(", {} of it taken by other guests of the host (steal)", percent(busy.steal)),
        false => String::new(),
    };
    let text = format!("{} busy over {:.0} s{whose}", percent(busy.all), window.seconds);
    let measure = Measure::new(busy.all, "ratio").judged_by(limits).over(window.seconds);
    let reading = Reading::of_measure(&rules::CPU, measure, text).damped_by(&PROCESSOR);
    match busy.steal * 2.0 > busy.all {
        true => reading.advise("ask whoever runs the host: other guests take the time"),
        false => reading,
    }
}

fn judge_quota(before: &CgroupCpu, after: &CgroupCpu, seconds: f64, limits: Limits) -> Vec<Reading> {
    let used = after.used_seconds - before.used_seconds;
    if used < 0.0 || seconds <= 0.0 {
        return vec![Reading::unknown(&rules::CPU, "the counters of the cgroup went back")];
    }
    let busy = used / seconds / after.quota;
    let text = format!("{} of a quota of {} processors over {seconds:.0} s", percent(busy), after.quota);
    let measure = Measure::new(busy, "ratio").judged_by(limits).over(seconds).seen_by("cgroup");
    let cpu = Reading::of_measure(&rules::CPU, measure, text).damped_by(&PROCESSOR);
    let periods = after.periods - before.periods;
    if periods <= 0.0 {
        return vec![cpu];
    }
    let part = (after.throttled - before.throttled) / periods;
    let measure = Measure::new(part, "ratio").over(seconds).seen_by("cgroup");
    let severity = if part > THROTTLED { Severity::Warning } else { Severity::Ok };
    let text = format!("held back in {} of the periods", percent(part));
    let throttled = Reading::of_state(&rules::CPU_THROTTLED, severity, text).with_measure(measure);
    vec![cpu, throttled.damped_by(if part > THROTTLED { &PROCESSOR } else { &AT_ONCE })]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::damping::Level;

    const LIMITS: Limits = Limits { warning: 0.70, critical: 0.85 };

    fn judged(before: &str, after: &str) -> Reading {
        let ticks = [Ticks::parse(before), Ticks::parse(after)];
        judge_host(&CpuWindow { ticks, quota: None, seconds: 60.0 }, LIMITS)
    }

    #[test]
    fn busy_is_what_is_not_idle() {
        for (after, severity, value) in [
            ("cpu  0 0 0 1000 0 0 0 0 0 0", Severity::Ok, 0.0),
            ("cpu  700 0 0 300 0 0 0 0 0 0", Severity::Warning, 0.70),
            ("cpu  850 0 0 150 0 0 0 0 0 0", Severity::Critical, 0.85),
            ("cpu  500 100 200 0 0 100 100 0 0 0", Severity::Critical, 1.0),
            // Guest time is in user already.
            ("cpu  600 0 0 400 0 0 0 0 600 0", Severity::Ok, 0.60),
            // Waiting for a disk is not being busy.
            ("cpu  100 0 0 0 900 0 0 0 0 0", Severity::Ok, 0.10),
            ("cpu  300 0 0 100 0 0 0 600 0 0", Severity::Critical, 0.90),
            // A kernel that knows seven fields.
            ("cpu 500 0 0 500 0 0 0", Severity::Ok, 0.50),
        ] {
            let reading = judged("cpu  0 0 0 0 0 0 0 0 0 0", after);
            assert_eq!(reading.severity, severity, "{after}: {}", reading.text);
            assert_eq!(reading.measure.map(|m| m.value), Some(value), "{after}");
        }
    }

    #[test]
    fn counters_that_go_back_judge_nothing() {
        let before = "cpu  1000 0 0 1000 50 0 0 0 0 0";
        for after in [
            before,
            "cpu  900 0 0 2000 50 0 0 0 0 0",
            "cpu  1100 0 0 600 50 0 0 0 0 0",
            "intr 5",
            "cpu  1 2",
            "",
        ] {
            assert_eq!(judged(before, after).severity, Severity::Unknown, "{after}");
        }
        // iowait alone went back, and the processors rested altogether.
        let reading = judged(before, "cpu  1100 0 0 1110 40 0 0 0 0 0");
        assert_eq!(reading.measure.map(|m| m.value), Some(0.5));
    }

    #[test]
    fn steal_is_named_and_is_the_hosts_fault() {
        let reading = judged("cpu  0 0 0 0 0 0 0 0", "cpu  300 0 0 100 0 0 0 600");
        assert!(reading.text.contains("60 % of it taken by other guests"), "{}", reading.text);
        assert!(reading.advice.expect("advice").contains("the host"));
    }

    #[test]
    fn a_quota_is_what_counts() {
        let group =
            |used, periods, throttled| CgroupCpu { quota: 2.0, used_seconds: used, periods, throttled };
        let (before, after) = (group(100.0, 1000.0, 0.0), group(208.0, 1600.0, 180.0));
        let readings = judge_quota(&before, &after, 60.0, LIMITS);
        assert_eq!(readings[0].measure.as_ref().map(|m| (m.value, m.from)), Some((0.9, "cgroup")));
        assert_eq!(readings[0].severity, Severity::Critical);
        assert_eq!(
            (readings[1].severity, readings[1].seen().map(|s| s.level)),
            (Severity::Warning, Some(Level::Warning))
        );
        assert_eq!(judge_quota(&after, &before, 60.0, LIMITS)[0].severity, Severity::Unknown);
    }
}
