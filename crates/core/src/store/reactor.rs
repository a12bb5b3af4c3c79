//! The one thread that drives every connection of the process. Callers run their own requests on it and wait, so
//! uploads of several threads do not queue behind each other.

use crate::error::{Context, Error, Result};
use crate::shutdown;
use std::pin::pin;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::runtime::{Builder, Handle};

static HANDLE: OnceLock<Handle> = OnceLock::new();

/// How often a waiting caller looks whether the process was told to stop.
const LOOK: Duration = Duration::from_millis(200);

/// The way to the reactor, which is started by its first user.
pub(super) fn reactor_handle() -> Result<&'static Handle> {
    if HANDLE.get().is_none() {
        // Two threads may start one each at first: the second's runtime drives nothing and sleeps, which costs a
        // thread.
        let _ = HANDLE.set(start_reactor()?);
    }
    Ok(HANDLE.get().expect("set above"))
}

fn start_reactor() -> Result<Handle> {
    let runtime =
        Builder::new_current_thread().enable_all().build().doing(|| "start the HTTP client".into())?;
    let handle = runtime.handle().clone();
    let drive = move || runtime.block_on(std::future::pending::<()>());
    std::thread::Builder::new().name("store".into()).spawn(drive).doing(|| "start the HTTP client".into())?;
    Ok(handle)
}

/// What `future` yields.
///
/// # Errors
/// Retry as soon as the process is told to stop; `future` is dropped then.
pub(super) fn wait_for<F: Future>(future: F) -> Result<F::Output> {
    reactor_handle()?.block_on(async {
        let mut future = pin!(future);
        loop {
            shutdown::check()?;
            if let Ok(done) = tokio::time::timeout(LOOK, future.as_mut()).await {
                return Ok(done);
            }
        }
    })
}

/// What `future` yields within `limit`, also after the process was told to stop: for cleaning up.
///
/// # Errors
/// Retry when the time is up.
pub(super) fn wait_anyway<F: Future>(limit: Duration, future: F) -> Result<F::Output> {
    let late = || Error::retry(format!("no answer within {} s", limit.as_secs()));
    reactor_handle()?.block_on(async { tokio::time::timeout(limit, future).await }).map_err(|_| late())
}
