//! Work that several connections share.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use toban_core::sync::{into_inner, lock};
use toban_core::{Error, Result, shutdown};

/// Does `work` for each of `items` by whichever of `workers` is free, one thread each; the answers are in the order of
/// `items`. When one fails, the others end with the item that they have.
pub(crate) fn share<W: Send, I: Sync, R: Send>(
    workers: &mut [W],
    items: &[I],
    work: impl Fn(&mut W, &I) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (done, first) = (Mutex::new(Vec::with_capacity(items.len())), Mutex::new(None));
    let take_all = |worker: &mut W| {
        while !failed.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return };
            match shutdown::check().and_then(|()| work(worker, item)) {
                Ok(answer) => lock(&done).push((at, answer)),
                Err(e) => {
                    lock(&first).get_or_insert(e);
                    failed.store(true, Ordering::Relaxed);
                }
            }
        }
    };
    let panicked = thread::scope(|scope| {
        let handles: Vec<_> = workers.iter_mut().map(|worker| scope.spawn(|| take_all(worker))).collect();
        handles.into_iter().filter_map(|handle| handle.join().err()).count() > 0
    });
    match into_inner(first) {
        Some(e) => return Err(e),
        None if panicked => return Err(Error::failed("a thread panicked: this is a bug")),
        None => {}
    }
    let mut done = into_inner(done);
    done.sort_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, answer)| answer).collect())
}
