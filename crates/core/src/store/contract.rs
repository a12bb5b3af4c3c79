//! The promises of a store, as checks.
use super::Store;

/// Panics with the promise that `store` breaks.
pub fn check(_store: &dyn Store) {}
