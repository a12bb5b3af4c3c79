//! What became of requests: how many, how many failed, how long they took; of metrics or of an access log.

pub(crate) mod access_log;
pub(crate) mod metrics;

use serde::{Deserialize, Serialize};

/// Requests of a stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) requests: f64,
    /// Answers of 500 and above.
    pub(crate) errors: f64,
    pub(crate) times: Times,
}

/// How long they took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) enum Times {
    /// Nobody wrote it down.
    #[default]
    Untold,
    /// Each, in seconds, sorted.
    Each(Vec<f64>),
    /// How many took up to so many seconds, the bounds in order, the last of them infinite.
    Buckets(Vec<[f64; 2]>),
}

impl Tally {
    /// The part that failed.
    pub(crate) fn error_share(&self) -> f64 {
        if self.requests > 0.0 { self.errors / self.requests } else { 0.0 }
    }

    /// The time that 95 of 100 requests did not exceed; of buckets the bound of the bucket it lies in.
    pub(crate) fn p95(&self) -> Option<f64> {
        match &self.times {
            Times::Untold => None,
            Times::Each(times) => {
                let at = (times.len() as f64 * 0.95).ceil() as usize;
                times.get(at.saturating_sub(1)).copied()
            }
            Times::Buckets(buckets) => {
                let all = buckets.last().map(|[_, n]| *n).filter(|n| *n > 0.0)?;
                buckets.iter().find(|[_, n]| *n >= all * 0.95).map(|[bound, _]| *bound)
            }
        }
    }

    /// The part that took longer than so many seconds.
    pub(crate) fn slower_than(&self, seconds: f64) -> Option<f64> {
        match &self.times {
            Times::Untold => None,
            Times::Each(times) if times.is_empty() => None,
            Times::Each(times) => {
                Some(times.iter().filter(|t| **t > seconds).count() as f64 / times.len() as f64)
            }
            Times::Buckets(buckets) => {
                let all = buckets.last().map(|[_, n]| *n).filter(|n| *n > 0.0)?;
                let quick = buckets.iter().find(|[bound, _]| *bound >= seconds).map_or(all, |[_, n]| *n);
                Some((all - quick) / all)
            }
        }
    }
}
