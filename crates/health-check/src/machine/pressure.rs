//! Pressure: how long tasks stood still for want of processors, memory or disks (Documentation/accounting/psi.rst).

use super::Machine;
use super::cgroup::Cgroup;
use super::mounts::Mount;
use crate::reading::{Limits, Measure, Reading, percent};
use crate::rules;
use std::path::PathBuf;

/// The kernel's own average over a minute: no second look is needed.
const WINDOW: f64 = 60.0;
/// Everything stood still for want of memory: it pages instead of working.
const MEMORY_FULL: Limits = Limits { warning: 0.05, critical: 0.10 };
/// Everything waited for a disk; a restore may do so for long, hence never more than a warning.
const IO_FULL: f64 = 0.40;

/// What the kernel tells; nothing where it is built or started without it (`psi=0`, as RHEL's default).
pub(crate) fn check_pressure(machine: &Machine, mounts: &[Mount]) -> Vec<Reading> {
    let group = Cgroup::find(machine, mounts, "memory");
    let own = group.as_ref().and_then(Cgroup::pressure_folder).filter(|folder| {
        let limited = group.as_ref().is_some_and(|g| g.read_memory(machine, f64::INFINITY).is_some());
        limited && machine.path(folder.join("memory.pressure")).exists()
    });
    let readings = ["memory", "io", "cpu"].into_iter().filter_map(|what| {
        let path = match own {
            Some(folder) => folder.join(format!("{what}.pressure")),
            None => PathBuf::from(format!("/proc/pressure/{what}")),
        };
        let text = machine.read_text(path).ok()?;
        judge_pressure(what, &text, if own.is_some() { "cgroup" } else { "host" })
    });
    readings.collect()
}

fn judge_pressure(what: &'static str, text: &str, from: &'static str) -> Option<Reading> {
    // Of processors `full` means nothing: there is always one task that runs.
    let kind = if what == "cpu" { "some" } else { "full" };
    let line = text.lines().find(|l| l.split_whitespace().next() == Some(kind))?;
    let average = line.split_whitespace().find_map(|word| word.strip_prefix("avg60="))?;
    let part = average.parse::<f64>().ok()? / 100.0;
    let measure = Measure::new(part, "ratio").over(WINDOW).seen_by(from);
    let measure = match what {
        "memory" => measure.judged_by(MEMORY_FULL),
        "io" => Measure { warning: Some(IO_FULL), ..measure },
        _ => measure,
    };
    let who = if what == "cpu" { "some tasks" } else { "all tasks" };
    let text = format!("{who} stood still for {what} for {} of the last minute", percent(part));
    Some(Reading::of_measure(&rules::PRESSURE, measure, text).about(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use toban_core::Severity;

    #[test]
    fn only_what_the_kernel_tells_is_judged() {
        let psi = |average: &str| {
            format!(
                "some avg10=0.00 avg60=90.00 avg300=0.00 total=1\nfull avg10=0.00 avg60={average} avg300=0.00 total=0\n"
            )
        };
        let severity = |what, text: &str| judge_pressure(what, text, "host").map(|r| r.severity);
        assert_eq!(severity("memory", &psi("9.99")), Some(Severity::Warning));
        assert_eq!(severity("memory", &psi("10.00")), Some(Severity::Critical));
        assert_eq!(severity("io", &psi("95.00")), Some(Severity::Warning));
        assert_eq!(severity("cpu", &psi("0.00")), Some(Severity::Ok), "some, not full");
        assert_eq!(severity("memory", ""), None);
        assert_eq!(severity("memory", "some avg10=1.00\n"), None);
    }
}
