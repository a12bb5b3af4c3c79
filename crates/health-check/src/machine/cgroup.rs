//! The control group that we run in, by cgroup v2 or v1: in a container its limits count and not the host's.

use super::mounts::Mount;
use super::{Machine, find_value};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where cgroup v1 stops counting: `memory.limit_in_bytes` of a group without a limit.
const UNLIMITED: f64 = 9e18;

/// Our group and those above it, of one controller.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cgroup {
    /// From the group to the root of its tree.
    folders: Vec<PathBuf>,
    unified: bool,
}

/// Used and allowed bytes of a group that has a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CgroupMemory {
    pub(crate) used: f64,
    pub(crate) limit: f64,
}

/// The quota of a group, and what it used of it since it is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CgroupCpu {
    /// Processors.
    pub(crate) quota: f64,
    pub(crate) used_seconds: f64,
    pub(crate) periods: f64,
    pub(crate) throttled: f64,
}

impl Cgroup {
    /// The group in the tree that has this controller: hosts may have both versions mounted, and only one works.
    pub(crate) fn find(machine: &Machine, mounts: &[Mount], controller: &str) -> Option<Cgroup> {
        let own = machine.read_text("/proc/self/cgroup").ok()?;
        let lines: Vec<Vec<&str>> = own.lines().map(|l| l.splitn(3, ':').collect()).collect();
        let of_v1 = lines.iter().find(|l| l.len() == 3 && l[1].split(',').any(|c| c == controller));
        if let Some(line) = of_v1 {
            let has = |m: &&Mount| m.kind == "cgroup" && m.super_options.split(',').any(|o| o == controller);
            return Some(Cgroup::open(mounts.iter().find(has)?, line[2], false));
        }
        let line = lines.iter().find(|l| l.len() == 3 && l[0] == "0" && l[1].is_empty())?;
        Some(Cgroup::open(mounts.iter().find(|m| m.kind == "cgroup2")?, line[2], true))
    }

    fn open(mount: &Mount, path: &str, unified: bool) -> Cgroup {
        // What is mounted may be a part of the tree only, as in a container without a name space of its own.
        let below = path.strip_prefix(mount.root.trim_end_matches('/')).unwrap_or(path);
        let below = PathBuf::from(below.trim_start_matches('/'));
        let folders = below.ancestors().map(|folder| PathBuf::from(&mount.point).join(folder)).collect();
        Cgroup { folders, unified }
    }

    /// The group nearest to its limit, of those that have one below `total` bytes.
    pub(crate) fn read_memory(&self, machine: &Machine, total: f64) -> Option<CgroupMemory> {
        let groups = self.folders.iter().filter_map(|folder| self.memory_of(machine, folder));
        let fullest = |a: &CgroupMemory, b: &CgroupMemory| (a.used / a.limit).total_cmp(&(b.used / b.limit));
        groups.filter(|group| group.limit < total).max_by(fullest)
    }

    fn memory_of(&self, machine: &Machine, folder: &std::path::Path) -> Option<CgroupMemory> {
        let number = |name: &str| machine.read_number(folder.join(name));
        let (limit, used, cache) = match self.unified {
            true => {
                let limits = [number("memory.max"), number("memory.high")];
                let limit = limits.into_iter().flatten().min_by(f64::total_cmp)?;
                (limit, number("memory.current")?, "inactive_file")
            }
            false => {
                let limit = number("memory.limit_in_bytes").filter(|limit| *limit < UNLIMITED)?;
                (limit, number("memory.usage_in_bytes")?, "total_inactive_file")
            }
        };
        let stat = machine.read_text(folder.join("memory.stat")).unwrap_or_default();
        // The page cache is part of what is used and goes when it must.
        let used = (used - find_value(&stat, cache).unwrap_or(0.0)).max(0.0);
        (limit > 0.0).then_some(CgroupMemory { used, limit })
    }

    /// The smallest quota of the group and those above it.
    pub(crate) fn read_cpu(&self, machine: &Machine) -> Option<CgroupCpu> {
        let groups = self.folders.iter().filter_map(|folder| match self.unified {
            true => cpu_of_v2(machine, folder),
            false => cpu_of_v1(machine, folder),
        });
        groups.min_by(|a, b| a.quota.total_cmp(&b.quota))
    }

    /// How many of the group's processes the kernel killed for want of memory; v2 alone tells.
    pub(crate) fn read_oom_kills(&self, machine: &Machine) -> Option<f64> {
        let folder = self.folders.first().filter(|_| self.unified)?;
        find_value(&machine.read_text(folder.join("memory.events")).ok()?, "oom_kill")
    }

    /// The folder of the group, where it has files of pressure.
    pub(crate) fn pressure_folder(&self) -> Option<&PathBuf> {
        self.folders.first().filter(|_| self.unified)
    }
}

fn cpu_of_v2(machine: &Machine, folder: &std::path::Path) -> Option<CgroupCpu> {
    let max = machine.read_text(folder.join("cpu.max")).ok()?;
    let mut words = max.split_whitespace().map_while(|word| word.parse::<f64>().ok());
    let (quota, period) = (words.next()?, words.next()?);
    let stat = machine.read_text(folder.join("cpu.stat")).ok()?;
    let value = |key| find_value(&stat, key).unwrap_or(0.0);
    let used_seconds = find_value(&stat, "usage_usec")? / 1e6;
    let (periods, throttled) = (value("nr_periods"), value("nr_throttled"));
    Some(CgroupCpu { quota: quota / period, used_seconds, periods, throttled })
}

fn cpu_of_v1(machine: &Machine, folder: &std::path::Path) -> Option<CgroupCpu> {
    let quota = machine.read_number(folder.join("cpu.cfs_quota_us")).filter(|quota| *quota > 0.0)?;
    let period = machine.read_number(folder.join("cpu.cfs_period_us"))?;
    // cpu and cpuacct are mounted together nearly everywhere; where they are not, the usage is not told.
    let used_seconds = machine.read_number(folder.join("cpuacct.usage"))? / 1e9;
    let stat = machine.read_text(folder.join("cpu.stat")).unwrap_or_default();
    let value = |key| find_value(&stat, key).unwrap_or(0.0);
    let (periods, throttled) = (value("nr_periods"), value("nr_throttled"));
    Some(CgroupCpu { quota: quota / period, used_seconds, periods, throttled })
}
