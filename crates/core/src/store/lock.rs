//! Locks by which a store itself keeps objects: S3 Object Lock.

use super::Key;
use crate::config::LockMode;
use jiff::Timestamp;
use std::time::Duration;

/// How long, and how hard, the objects of a repository are locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Who may end it.
    pub mode: LockMode,
    /// From the time at which an object is written or its lock renewed.
    pub span: Duration,
}

impl Lock {
    /// When the lock ends of an object that is written or renewed at `now`, to the second.
    pub fn end(&self, now: Timestamp) -> Timestamp {
        let span = i64::try_from(self.span.as_secs()).unwrap_or(i64::MAX);
        Timestamp::from_second(now.as_second().saturating_add(span)).unwrap_or(Timestamp::MAX)
    }
}

/// What a store must know of a repository to lock it, and to read what is locked.
#[derive(Clone, Copy, Debug)]
pub struct LockRules {
    /// What every object gets; none: they are written without.
    pub lock: Option<Lock>,
    /// Objects that are removed in the ordinary course of things, and that no lock may keep.
    pub is_passing: fn(&Key) -> bool,
}
