//! What only two looks tell: processors and lines. The first look is the last run's, when it is recent; else we look
//! twice ourselves.

use super::Machine;
use super::cgroup::{Cgroup, CgroupCpu};
use super::cpu::{CpuWindow, Ticks, judge_cpu};
use super::mounts::Mount;
use super::network::{Interface, NetworkWindow, judge_network, read_interfaces};
use crate::reading::Reading;
use crate::settings::{Settings, Thresholds};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Seconds between two looks of one run. Less shows our own start and the gap between two bursts.
const OWN_WINDOW: Duration = Duration::from_secs(2);
/// How old the last run's look may be, in seconds.
const FRESH: std::ops::RangeInclusive<f64> = 20.0..=900.0;

/// One look at all counters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Counters {
    /// Which start of the machine they are of.
    boot: String,
    /// Seconds since that start.
    uptime: f64,
    ticks: Option<Ticks>,
    group: Option<CgroupCpu>,
    interfaces: BTreeMap<String, Interface>,
}

impl Counters {
    /// Reads them now.
    pub(crate) fn read_now(machine: &Machine, mounts: &[Mount]) -> Counters {
        let stat = machine.read_text("/proc/stat").unwrap_or_default();
        let group = Cgroup::find(machine, mounts, "cpu").and_then(|group| group.read_cpu(machine));
        Counters {
            boot: machine.boot_id(),
            uptime: machine.uptime().unwrap_or_default(),
            ticks: Ticks::parse(&stat),
            group,
            interfaces: read_interfaces(machine),
        }
    }

    /// Whether they can be the beginning of a window that ends with `after`.
    fn begin(&self, after: &Counters) -> bool {
        self.boot == after.boot && FRESH.contains(&(after.uptime - self.uptime))
    }

    /// Whether the machine was started anew since.
    pub(crate) fn is_before_boot(&self, after: &Counters) -> bool {
        !self.boot.is_empty() && !after.boot.is_empty() && self.boot != after.boot
    }
}

/// Two looks and what is between them.
pub(crate) struct RateWindow {
    before: Counters,
    after: Counters,
    seconds: f64,
}

impl RateWindow {
    /// From the last run's look to `now`, else of two seconds from now.
    pub(crate) fn open(
        machine: &Machine,
        mounts: &[Mount],
        last: Option<Counters>,
        now: Counters,
    ) -> RateWindow {
        if let Some(before) = last.filter(|last| last.begin(&now)) {
            let seconds = now.uptime - before.uptime;
            return RateWindow { before, after: now, seconds };
        }
        std::thread::sleep(OWN_WINDOW);
        let after = Counters::read_now(machine, mounts);
        let measured = after.uptime - now.uptime;
        let seconds = if measured > 0.0 { measured } else { OWN_WINDOW.as_secs_f64() };
        RateWindow { before: now, after, seconds }
    }

    /// How busy the processors were.
    pub(crate) fn judge_cpu(&self, thresholds: &Thresholds) -> Vec<Reading> {
        let quota = self.before.group.as_ref().zip(self.after.group.as_ref()).map(|(a, b)| [a, b]);
        let ticks = [self.before.ticks, self.after.ticks];
        judge_cpu(&CpuWindow { ticks, quota, seconds: self.seconds }, thresholds.limits(70.0, 85.0))
    }

    /// How busy the lines were.
    pub(crate) fn judge_network(&self, settings: &Settings) -> Vec<Reading> {
        let window = NetworkWindow {
            before: &self.before.interfaces,
            after: &self.after.interfaces,
            seconds: self.seconds,
        };
        judge_network(&window, &settings.network)
    }
}
