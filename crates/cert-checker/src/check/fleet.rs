//! Many targets at once, told in the order in which they were given.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use toban_core::{Context, Result, stop};

/// Stack of a worker: a handshake and a chain's judgement need a tenth of it; what is not touched costs nothing.
const STACK: usize = 1 << 20;

/// Does `one` for every number below `count`, at most `jobs` at a time, and hands the results to `emit` in order.
///
/// # Errors
/// Those of `emit`; Retry once the process is told to stop; a thread that cannot be started.
pub(crate) fn run<R: Send>(
    count: usize,
    jobs: usize,
    one: impl Fn(usize) -> R + Sync,
    mut emit: impl FnMut(R) -> Result<()>,
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
        for _ in 0..jobs.min(count) {
            let builder = std::thread::Builder::new().stack_size(STACK);
            builder.spawn_scoped(scope, work(send.clone())).doing(|| "start a worker".into())?;
        }
        drop(send);
        let told = in_order(&receive, &mut emit);
        over.store(true, Ordering::Relaxed);
        drop(receive);
        told
    })
}

fn in_order<R>(receive: &mpsc::Receiver<(usize, R)>, emit: &mut impl FnMut(R) -> Result<()>) -> Result<()> {
    let mut early = BTreeMap::new();
    let mut due = 0;
    for (at, result) in receive {
        stop::check()?;
        early.insert(at, result);
        while let Some(result) = early.remove(&due) {
            emit(result)?;
            due += 1;
        }
    }
    Ok(())
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
        run(200, 16, one, |r| {
            seen.push(r);
            Ok(())
        })
        .expect("runs");
        assert_eq!(seen, (0..200).map(|n| n * 2).collect::<Vec<_>>());
    }

    #[test]
    fn an_error_ends_the_run() {
        let done = run(1000, 4, |at| at, |_| Err(toban_core::Error::failed("full disk")));
        assert_eq!(done.unwrap_err().chain(), "full disk");
    }
}
