//! stub until merge
use std::io::Read;
pub struct Progress;
impl Progress {
    pub fn bytes(_what: &str, _total: Option<u64>, _quiet: bool) -> Progress { Progress }
    pub fn wrap<R: Read>(self, inner: R) -> R { inner }
}
