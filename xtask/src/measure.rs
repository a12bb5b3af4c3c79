//! What a run costs: wall clock, processor, memory.

use crate::sh::{Context, Failure, Result, shown};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// One run, or the medians of several.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cost {
    pub(crate) wall: f64,
    /// User and system time of the process and of all it waited for.
    pub(crate) cpu: f64,
    /// The largest resident set of one process, itself or one that it started, in MiB.
    pub(crate) rss: f64,
}

/// Runs to the end and measures.
pub(crate) fn cost(command: &mut Command) -> Result<Cost> {
    cost_ending(command, 0)
}

/// The same for a run that must end with `status`, as 4 where a check finds something.
pub(crate) fn cost_ending(command: &mut Command, ending: i32) -> Result<Cost> {
    let (begin, before) = (Instant::now(), children_cpu()?);
    let mut child = command.spawn().doing(|| format!("run {}", shown(command)))?;
    let (status, rss) = watch(&mut child)?;
    let wall = begin.elapsed().as_secs_f64();
    if status.code() != Some(ending) {
        return Err(Failure::new(format!("{}: {status}", shown(command))));
    }
    Ok(Cost { wall, cpu: children_cpu()? - before, rss })
}

/// VmHWM only grows, so the last look before the end is nearly the peak; std has no wait4.
fn watch(child: &mut Child) -> Result<(std::process::ExitStatus, f64)> {
    let mut peak = 0.0_f64;
    loop {
        peak = peak.max(largest(&child.id().to_string()));
        if let Some(status) = child.try_wait().doing(|| "wait for the program".into())? {
            return Ok((status, peak));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn largest(pid: &str) -> f64 {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let own = high_water(pid).unwrap_or(0.0);
    children.split_whitespace().map(largest).fold(own, f64::max)
}

fn high_water(pid: &str) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0)
}

/// Seconds that our finished children, and theirs, have used: fields 16 and 17 of proc(5)'s stat, in 1/100 s.
fn children_cpu() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").doing(|| "read /proc/self/stat".into())?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let field = |n: usize| after_name.split_whitespace().nth(n - 3).and_then(|f| f.parse::<f64>().ok());
    match (field(16), field(17)) {
        (Some(user), Some(system)) => Ok((user + system) / 100.0),
        _ => Err(Failure::new("/proc/self/stat has an unknown shape")),
    }
}

/// The median of each figure by itself.
pub(crate) fn median(costs: &[Cost]) -> Cost {
    let of = |figure: fn(&Cost) -> f64| {
        let mut values: Vec<f64> = costs.iter().map(figure).collect();
        values.sort_by(f64::total_cmp);
        match (values.get(values.len() / 2), values.get(values.len().saturating_sub(1) / 2)) {
            (Some(high), Some(low)) => (high + low) / 2.0,
            _ => 0.0,
        }
    };
    Cost { wall: of(|c| c.wall), cpu: of(|c| c.cpu), rss: of(|c| c.rss) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_each_figure() {
        let cost = |wall, cpu| Cost { wall, cpu, rss: 1.0 };
        assert_eq!(median(&[cost(3.0, 1.0), cost(1.0, 2.0), cost(2.0, 9.0)]), cost(2.0, 2.0));
        assert_eq!(median(&[cost(3.0, 1.0), cost(1.0, 2.0)]), cost(2.0, 1.5));
    }

    #[test]
    fn a_busy_child_and_its_child_cost_processor_time() {
        let line = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done'";
        let cost = cost(Command::new("sh").args(["-c", line])).expect("runs");
        assert!(cost.cpu > 0.02 && cost.wall > 0.02 && cost.rss > 0.2, "{cost:?}");
    }
}
