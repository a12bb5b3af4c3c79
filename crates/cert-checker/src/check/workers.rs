//! Many targets at once, reported in the order in which they were given.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use toban_core::{Context, Result, shutdown};

/// Stack of a worker: a handshake and a chain's judgement need a tenth of it; what is not touched costs nothing.
const STACK: usize = 1 << 20;
/// Workers that begin at once. More of them would only wait for each other, and each costs some 50 KiB.
const FIRST: usize = 512;
/// When targets are still waiting after this time, the ones before them are slow or silent: every worker begins.
const CREW_DELAY: Duration = Duration::from_millis(200);

/// Files that the process needs beside its connections: a generous guess.
const OTHER_FILES: u64 = 64;

/// How many of `jobs` may run at once, for each needs a socket, and a second one for a name with several addresses.
/// The soft limit of open files, which many systems keep at 1024 for ancient programs, is raised to the hard one.
pub(crate) fn most_at_once(jobs: u16) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    // Without it a thousand targets at once would end in "too many open files" (the limit is 1024 for programs that use
    // select(2), which this one does not).
    let raised = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, ..now });
    let files = if raised.is_ok() { now.maximum } else { now.current }.unwrap_or(u64::MAX);
    let fits = files.saturating_sub(OTHER_FILES) / 2;
    usize::from(jobs).min(usize::try_from(fits).unwrap_or(usize::MAX)).max(1)
}

/// Does `one` for every number below `count`, at most `jobs` at a time, and hands the results to `emit` in order.
///
/// # Errors
/// Those of `emit`; Retry once the process must stop; a thread that cannot be started.
pub(crate) fn run_ordered<R: Send>(
    count: usize,
    jobs: usize,
    one: impl Fn(usize) -> R + Sync,
    emit: impl FnMut(R) -> Result<()>,
) -> Result<()> {
    let (next, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (send, receive) = mpsc::sync_channel(jobs.max(1));
    let work = |send: mpsc::SyncSender<(usize, R)>| {
        let (next, over, one) = (&next, &over, &one);
        move || {
            while !over.load(Ordering::Relaxed) {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= count || send.send((at, one(at))).is_err() {
                    break;
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let crew = |size: usize, send: &mpsc::SyncSender<(usize, R)>| {
            (0..size).try_for_each(|_| {
                let builder = std::thread::Builder::new().stack_size(STACK);
                builder.spawn_scoped(scope, work(send.clone())).map(drop).doing(|| "start a worker".into())
            })
        };
        // The first crew is enough for targets that answer at once. Only when some do not, more threads are worth their
        // memory: then the silent ones wait side by side.
        let (first, mut ordered) = (jobs.min(count).min(FIRST), OrderedEmitter::new(emit));
        let ended = crew(first, &send)
            .and_then(|()| ordered.take_until(&receive, Instant::now() + CREW_DELAY))
            .and_then(|()| {
                let waiting = count.saturating_sub(next.load(Ordering::Relaxed));
                crew(waiting.min(jobs - first), &send)
            })
            .and_then(|()| {
                drop(send);
                ordered.take_rest(&receive)
            });
        over.store(true, Ordering::Relaxed);
        drop(receive);
        ended
    })
}

/// Emits results in the order of their numbers, and keeps those that come early.
struct OrderedEmitter<R, E> {
    early: BTreeMap<usize, R>,
    due: usize,
    emit: E,
}

impl<R, E: FnMut(R) -> Result<()>> OrderedEmitter<R, E> {
    fn new(emit: E) -> OrderedEmitter<R, E> {
        OrderedEmitter { early: BTreeMap::new(), due: 0, emit }
    }

    /// Takes what comes before that time.
    fn take_until(&mut self, receive: &mpsc::Receiver<(usize, R)>, until: Instant) -> Result<()> {
        while let Ok((at, result)) = receive.recv_timeout(until.saturating_duration_since(Instant::now())) {
            self.take_result(at, result)?;
        }
        shutdown::check()
    }

    /// Takes all that still comes, and checks every now and then whether the process must stop.
    fn take_rest(&mut self, receive: &mpsc::Receiver<(usize, R)>) -> Result<()> {
        loop {
            match receive.recv_timeout(CREW_DELAY) {
                Ok((at, result)) => self.take_result(at, result)?,
                Err(RecvTimeoutError::Timeout) => shutdown::check()?,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    fn take_result(&mut self, at: usize, result: R) -> Result<()> {
        shutdown::check()?;
        self.early.insert(at, result);
        while let Some(result) = self.early.remove(&self.due) {
            (self.emit)(result)?;
            self.due += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_whoever_is_first() {
        let mut seen = Vec::new();
        let one = |at: usize| {
            std::thread::yield_now();
            at * 2
        };
        run_ordered(200, 16, one, |r| {
            seen.push(r);
            Ok(())
        })
        .expect("runs");
        assert_eq!(seen, (0..200).map(|n| n * 2).collect::<Vec<_>>());
    }

    #[test]
    fn silent_ones_hold_up_no_other() {
        let began = Instant::now();
        let one = |at: usize| {
            if at.is_multiple_of(2) {
                std::thread::park_timeout(Duration::from_secs(2));
            }
        };
        run_ordered(1000, 1024, one, |()| Ok(())).expect("runs");
        assert!(began.elapsed() < Duration::from_millis(3500), "{:?}", began.elapsed());
    }

    #[test]
    fn an_error_ends_the_run() {
        let done = run_ordered(1000, 4, |at| at, |_| Err(toban_core::Error::failed("full disk")));
        assert_eq!(done.unwrap_err().chain(), "full disk");
    }
}
