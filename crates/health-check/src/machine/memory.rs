//! Memory: what is not available, of the host or of the container's limit; and processes killed for want of it.

use super::cgroup::{Cgroup, CgroupMemory};
use super::mounts::Mount;
use super::{Machine, find_value};
use crate::damping::MEMORY;
use crate::reading::{Checked, Facts, Limits, Measure, Reading, percent};
use crate::rules;
use serde_json::json;
use toban_core::Severity;
use toban_core::out::bytes;

const OOM_FACT: &str = "oom-kills";

/// Used and all bytes, and whose they are.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Used {
    used: f64,
    all: f64,
    from: &'static str,
}

/// Memory and the kernel's kills since the last run.
pub(crate) fn check_memory(machine: &Machine, mounts: &[Mount], limits: Limits, before: &Facts) -> Checked {
    let group = Cgroup::find(machine, mounts, "memory");
    let host = read_host(machine, mounts);
    let total = host.as_ref().map_or(f64::INFINITY, |host| host.all);
    let own = group.as_ref().and_then(|group| group.read_memory(machine, total));
    let reading = match own.map(of_group).map_or(host, Ok) {
        Ok(used) => judge_used(&used, limits, &describe_swap(machine)),
        Err(why) => Reading::unknown(&rules::MEMORY, why),
    };
    let kills = read_kills(machine, group.as_ref());
    let mut checked = Checked::from(vec![reading]);
    if let Some(kills) = kills {
        let known = before.get(OOM_FACT).and_then(serde_json::Value::as_f64);
        checked.readings.push(judge_kills(kills, known));
        checked.facts.insert(OOM_FACT.into(), json!(kills));
    }
    checked
}

fn of_group(group: CgroupMemory) -> Used {
    Used { used: group.used, all: group.limit, from: "cgroup" }
}

fn read_host(machine: &Machine, mounts: &[Mount]) -> Result<Used, String> {
    let info = machine.read_text("/proc/meminfo").map_err(|e| e.chain())?;
    let arc = machine.read_text("/proc/spl/kstat/zfs/arcstats").unwrap_or_default();
    let from = if mounts.iter().any(|m| m.kind == "fuse.lxcfs") { "lxcfs" } else { "host" };
    parse_host(&info, &arc).map(|used| Used { from, ..used })
}

fn parse_host(info: &str, arc: &str) -> Result<Used, String> {
    let value = |key: &str| find_value(info, key).map(|kib| kib * 1024.0);
    let missing = |key: &str| format!("/proc/meminfo has no {key}");
    let total = value("MemTotal").ok_or_else(|| missing("MemTotal"))?;
    let available =
        value("MemAvailable").ok_or_else(|| missing("MemAvailable: the kernel is older than 3.14"))?;
    // Huge pages are set aside for good, for a database's shared memory: they are no more used than free.
    let huge = find_value(info, "HugePages_Total").unwrap_or(0.0) * value("Hugepagesize").unwrap_or(0.0);
    // The cache of ZFS is given back like the page cache, and is not in MemAvailable.
    let kstat = |key: &str| {
        let line = arc.lines().find(|l| l.split_whitespace().next() == Some(key))?;
        line.split_whitespace().nth(2)?.parse::<f64>().ok()
    };
    let cache = kstat("size").unwrap_or(0.0) - kstat("c_min").unwrap_or(0.0);
    let all = total - huge;
    if all <= 0.0 {
        return Err("/proc/meminfo contradicts itself: huge pages are more than all memory".into());
    }
    let used = (all - available - cache.max(0.0)).clamp(0.0, all);
    Ok(Used { used, all, from: "host" })
}

fn describe_swap(machine: &Machine) -> String {
    let info = machine.read_text("/proc/meminfo").unwrap_or_default();
    let value = |key: &str| find_value(&info, key).unwrap_or(0.0);
    let (total, free) = (value("SwapTotal"), value("SwapFree"));
    if total > 0.0 { format!(", swap {} used", percent((total - free) / total)) } else { String::new() }
}

fn judge_used(used: &Used, limits: Limits, swap: &str) -> Reading {
    let part = used.used / used.all;
    let whose = if used.from == "cgroup" { "of the limit of " } else { "of " };
    let text = format!("{} {whose}{} used{swap}", percent(part), bytes(used.all as u64));
    let measure = Measure::new(part, "ratio").judged_by(limits).seen_by(used.from);
    Reading::of_measure(&rules::MEMORY, measure, text).damped_by(&MEMORY)
}

/// Kills on the whole machine, or in the container that is all we see.
fn read_kills(machine: &Machine, group: Option<&Cgroup>) -> Option<f64> {
    let host = || find_value(&machine.read_text("/proc/vmstat").ok()?, "oom_kill");
    let own = group.and_then(|group| group.read_oom_kills(machine));
    own.into_iter().chain(host()).reduce(f64::max)
}

fn judge_kills(kills: f64, known: Option<f64>) -> Reading {
    let new = known.map_or(0.0, |known| kills - known);
    let measure = Measure::new(kills, "");
    let (severity, text) = match known {
        Some(_) if new > 0.0 => (
            Severity::Critical,
            format!("the kernel killed {new} processes for want of memory since the last run"),
        ),
        Some(_) => (Severity::Ok, "none since the last run".to_string()),
        None => (Severity::Ok, format!("{kills} since the machine started; from now on new ones are told")),
    };
    Reading::of_state(&rules::OOM_KILL, severity, text).with_measure(measure)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "MemTotal:       1000 kB\nMemFree:          10 kB\nMemAvailable:    300 kB\n";

    #[test]
    fn used_is_what_is_not_available() {
        let used = |info: &str, arc: &str| parse_host(info, arc).map(|u| (u.used / 1024.0, u.all / 1024.0));
        assert_eq!(used(INFO, ""), Ok((700.0, 1000.0)));
        // Half of the memory is huge pages: of the other half 200 of 500 are used.
        let huge = format!("{INFO}HugePages_Total:      5\nHugepagesize:        100 kB\n");
        assert_eq!(used(&huge, ""), Ok((200.0, 500.0)));
        let arc = "13 1 0x01\nname type data\nc_min 4 20480\nsize 4 225280\n";
        assert_eq!(used(INFO, arc), Ok((500.0, 1000.0)));
        assert!(used("MemTotal: 1000 kB\nMemFree: 10 kB\n", "").is_err_and(|why| why.contains("3.14")));
        assert!(used("", "").is_err());
    }

    #[test]
    fn a_kill_since_the_last_run_is_critical() {
        assert_eq!(judge_kills(4.0, Some(3.0)).severity, Severity::Critical);
        assert_eq!(judge_kills(4.0, Some(4.0)).severity, Severity::Ok);
        assert_eq!(judge_kills(4.0, None).severity, Severity::Ok);
        assert_eq!(judge_kills(0.0, Some(4.0)).severity, Severity::Ok, "a reboot");
    }
}
