//! Retries.
use super::{Attrs, Key, Object, Store, Stored};
use crate::error::Result;
use std::io::Read;

/// A store asked again until a deadline.
pub struct Retry<S> {
    inner: S,
}

impl<S: Store> Retry<S> {
    /// Wraps `inner`.
    pub fn new(inner: S) -> Retry<S> {
        Retry { inner }
    }
}

impl<S: Store> Store for Retry<S> {
    fn put(&self, key: &Key, body: &mut dyn Read, attrs: &Attrs) -> Result<Stored> {
        self.inner.put(key, body, attrs)
    }
    fn get(&self, key: &Key, from: u64) -> Result<Option<Box<dyn Read + Send + '_>>> {
        self.inner.get(key, from)
    }
    fn stat(&self, key: &Key) -> Result<Option<Object>> {
        self.inner.stat(key)
    }
    fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        self.inner.list(prefix)
    }
    fn remove(&self, key: &Key) -> Result<()> {
        self.inner.remove(key)
    }
    fn sweep(&self, older_than: std::time::Duration) -> Result<usize> {
        self.inner.sweep(older_than)
    }
}
