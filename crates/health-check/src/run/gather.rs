//! All checks at once, each with its deadline: one that hangs hides none of the others.

use crate::reading::{Checked, Reading};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use toban_core::check::Rule;
use toban_core::{Severity, shutdown};

/// One check that runs by itself.
pub(crate) struct Task {
    /// Which finding tells that it did not end.
    pub(crate) rule: &'static Rule,
    pub(crate) object: String,
    pub(crate) limit: Duration,
    /// How bad it is that it does not end: of a service that was asked for it is down.
    pub(crate) late: Severity,
    pub(crate) job: Box<dyn FnOnce() -> Checked + Send>,
}

/// How long a wait lasts before it is looked whether the process must stop.
const SLICE: Duration = Duration::from_millis(100);

/// Runs them side by side and gives what each saw, in their order. Those that are late are left behind: the process ends
/// without them.
pub(crate) fn run_tasks(tasks: Vec<Task>) -> Vec<Checked> {
    let began = Instant::now();
    let (sender, receiver) = channel();
    let mut late = Vec::new();
    for (at, task) in tasks.into_iter().enumerate() {
        let sender = sender.clone();
        let reading =
            Reading::of_state(task.rule, task.late, format!("no answer within {} s", task.limit.as_secs()));
        late.push((task.limit, reading.about(task.object)));
        let job = task.job;
        // A thread that cannot be started answers never, and is late.
        let _ = std::thread::Builder::new().spawn(move || drop(sender.send((at, job()))));
    }
    drop(sender);
    let mut seen: Vec<Option<Checked>> = late.iter().map(|_| None).collect();
    loop {
        let waiting = seen.iter().zip(&late).filter(|(seen, _)| seen.is_none()).map(|(_, (limit, _))| *limit);
        let Some(left) = waiting.max().map(|limit| limit.saturating_sub(began.elapsed())) else { break };
        if left.is_zero() || shutdown::due() {
            break;
        }
        match receiver.recv_timeout(left.min(SLICE)) {
            Ok((at, checked)) => seen[at] = Some(checked),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
        }
    }
    seen.into_iter().zip(late).map(|(seen, (_, late))| seen.unwrap_or_else(|| late.into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules;

    #[test]
    fn one_that_hangs_and_one_that_breaks_hide_nothing() {
        let task = |job: Box<dyn FnOnce() -> Checked + Send>| Task {
            rule: &rules::HTTP,
            object: "x".into(),
            limit: Duration::from_millis(300),
            late: Severity::Critical,
            job,
        };
        let fine = || Checked::from(Reading::of_state(&rules::CPU, Severity::Ok, "well"));
        let (hold, held) = channel::<()>();
        let tasks = vec![
            task(Box::new(move || {
                let _ = held.recv();
                Checked::default()
            })),
            task(Box::new(|| panic!("on purpose"))),
            task(Box::new(fine)),
        ];
        let found: Vec<Severity> = run_tasks(tasks).iter().map(|c| c.readings[0].severity).collect();
        assert_eq!(found, [Severity::Critical, Severity::Critical, Severity::Ok]);
        drop(hold);
    }
}
