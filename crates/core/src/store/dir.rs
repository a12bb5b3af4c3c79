//! A directory as a store.
use super::{Attrs, Key, Object, Store, Stored};
use crate::error::Result;
use std::io::Read;

/// A directory on this machine, or on a file system mounted here.
pub struct Dir {}

impl Dir {
    /// Opens `path`.
    pub fn open(_path: &str) -> Result<Dir> {
        unimplemented!()
    }
}

impl Store for Dir {
    fn put(&self, _: &Key, _: &mut dyn Read, _: &Attrs) -> Result<Stored> {
        unimplemented!()
    }
    fn get(&self, _: &Key, _: u64) -> Result<Option<Box<dyn Read + Send + '_>>> {
        unimplemented!()
    }
    fn stat(&self, _: &Key) -> Result<Option<Object>> {
        unimplemented!()
    }
    fn list(&self, _: &str) -> Result<Vec<Object>> {
        unimplemented!()
    }
    fn remove(&self, _: &Key) -> Result<()> {
        unimplemented!()
    }
    fn sweep(&self, _: std::time::Duration) -> Result<usize> {
        unimplemented!()
    }
}
