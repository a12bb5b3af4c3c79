//! Threads of one process.

use crate::error::{Error, Result};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, whether or not a thread that held the lock has panicked: its panic is told where it is joined, and what our
/// locks guard is changed in single steps.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the mutex guarded, when nobody else has it any more.
pub fn into_inner<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// What a thread ended with, by its `join()`; a panic is on stderr already.
///
/// # Errors
/// The thread's; Failed when it panicked.
pub fn joined<T>(joined: std::thread::Result<Result<T>>) -> Result<T> {
    joined
        .unwrap_or_else(|_| Err(Error::failed("a thread panicked: this is a bug, and its message is above")))
}
