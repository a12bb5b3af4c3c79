//! One thread per connection, and the error that began a failure.

use std::sync::atomic::{AtomicBool, Ordering};
use toban_core::sync::{into_inner, lock};
use toban_core::{Error, Result};

/// Runs `work` once for each of `things`, side by side. When one fails, `work` of the others sees the flag set and
/// should end at its next step.
///
/// # Errors
/// The first error that came about.
pub(crate) fn each<T: Send>(
    things: &mut [T],
    work: &(dyn Fn(&mut T, &AtomicBool) -> Result<()> + Sync),
) -> Result<()> {
    let failed = AtomicBool::new(false);
    let first = std::sync::Mutex::new(None);
    let run = |thing: &mut T| {
        if let Err(e) = work(thing, &failed)
            && !failed.swap(true, Ordering::SeqCst)
        {
            *lock(&first) = Some(e);
        }
    };
    let panicked = std::thread::scope(|scope| {
        let handles: Vec<_> = things.iter_mut().map(|thing| scope.spawn(|| run(thing))).collect();
        handles.into_iter().filter_map(|h| h.join().err()).count() > 0
    });
    let first = into_inner(first);
    match first {
        Some(e) => Err(e),
        None if panicked => Err(Error::failed("a thread panicked")),
        None => Ok(()),
    }
}
