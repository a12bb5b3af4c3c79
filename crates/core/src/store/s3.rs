//! S3 as a store.
use super::{Attrs, Key, Object, Store, Stored};
use crate::error::Result;
use std::io::Read;

/// A bucket.
pub struct S3 {}

impl S3 {
    /// Opens `path`.
    pub fn open(_place: &str, _options: &S3Options) -> Result<S3> {
        unimplemented!()
    }
}

impl Store for S3 {
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

/// How to reach an S3 service.
#[derive(Clone, Debug, Default)]
pub struct S3Options {
    /// Endpoint of a service that is not AWS; path style is used with it.
    pub endpoint: Option<String>,
    /// Region; `AWS_REGION` and the profile's otherwise, at last us-east-1.
    pub region: Option<String>,
}
