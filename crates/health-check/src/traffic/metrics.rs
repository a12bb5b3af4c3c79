//! Metrics in Prometheus' text form: counters of requests by status, and histograms of their times.

use super::{Tally, Times};
use crate::net::http::Endpoint;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use toban_core::{Error, Result};

/// Metrics that are longer are not of one application.
const MOST: u64 = 32 << 20;
/// Seconds between two looks of one run.
const OWN_WINDOW: Duration = Duration::from_secs(2);
/// Names of the counter, the best first; then any that ends like them.
const COUNTERS: &[&str] =
    &["http_requests_total", "http_request_duration_seconds_count", "http_server_requests_total"];
const STATUS: &[&str] = &["status", "status_code", "code", "http_status_code", "http_response_status_code"];

/// One look at all counters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scrape {
    /// What tells one process from another.
    process: BTreeSet<String>,
    pub(crate) tally: Tally,
}

/// One sample.
struct MetricSample<'a> {
    name: &'a str,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Scrape {
    /// Looks now.
    ///
    /// # Errors
    /// When the endpoint does not answer with metrics, or they hold no counter of requests.
    pub(crate) fn take(endpoint: &Endpoint, deadline: Instant) -> Result<Scrape> {
        let answer = endpoint.ask(MOST, deadline)?;
        if answer.status != 200 {
            return Err(Error::failed(format!("status {} instead of metrics", answer.status)));
        }
        if answer.body.len() as u64 >= MOST {
            return Err(Error::failed("more than 32 MiB of metrics"));
        }
        Scrape::parse(&String::from_utf8_lossy(&answer.body))
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// Failed when it has no counter of requests with their status.
    pub(crate) fn parse(text: &str) -> Result<Scrape> {
        let samples: Vec<MetricSample<'_>> = text.lines().filter_map(parse_sample).collect();
        let status =
            |sample: &MetricSample<'_>| STATUS.iter().find_map(|key| sample.labels.get(*key).cloned());
        let counter = find_counter(&samples).ok_or_else(|| {
            Error::failed("the metrics hold no counter of requests with a label status, status_code or code")
                .hint("http_requests_total{status=…} is what Prometheus' clients call it")
        })?;
        let counted = || samples.iter().filter(|s| s.name == counter);
        let failed = counted().filter(|s| status(s).is_some_and(|status| status.starts_with('5')));
        let process = samples.iter().filter_map(|s| match s.name {
            "process_start_time_seconds" => Some(format!("{} {:?}", s.value, s.labels)),
            _ => s.labels.get("pid").cloned(),
        });
        let tally = Tally {
            requests: counted().map(|s| s.value).sum(),
            errors: failed.map(|s| s.value).sum(),
            times: read_buckets(&samples),
        };
        Ok(Scrape { process: process.collect(), tally })
    }

    /// What was counted since `before`; none where another process answered, or the counters began anew.
    pub(crate) fn since(&self, before: &Scrape) -> Option<Tally> {
        let (now, then) = (&self.tally, &before.tally);
        let requests = now.requests - then.requests;
        if self.process != before.process || requests < 0.0 || now.errors < then.errors {
            return None;
        }
        let times = match (&now.times, &then.times) {
            (Times::Buckets(now), Times::Buckets(then)) if now.len() == then.len() => {
                Times::Buckets(now.iter().zip(then).map(|([bound, a], [_, b])| [*bound, a - b]).collect())
            }
            _ => Times::Untold,
        };
        Some(Tally { requests, errors: now.errors - then.errors, times })
    }

    /// Looks twice. Behind a pm2 cluster or several gunicorn workers each look is answered by another process, and the
    /// difference of their counters is no rate of anything.
    ///
    /// # Errors
    /// Those of [`Scrape::take`]; Failed when two processes answer by turns.
    pub(crate) fn watch(endpoint: &Endpoint, window: Duration) -> Result<Tally> {
        let limit = || Instant::now() + Duration::from_secs(5);
        let before = Scrape::take(endpoint, limit())?;
        let ends = Instant::now() + window.max(OWN_WINDOW);
        while Instant::now() < ends {
            toban_core::shutdown::check()?;
            std::thread::sleep(
                Duration::from_millis(200).min(ends.saturating_duration_since(Instant::now())),
            );
        }
        let after = Scrape::take(endpoint, limit())?;
        after.since(&before).ok_or_else(|| {
            Error::failed("another process answered the second time, so that the difference of the counters means nothing")
                .hint("give the access log instead, or metrics that all workers share")
        })
    }
}

fn find_counter<'a>(samples: &[MetricSample<'a>]) -> Option<&'a str> {
    let fits = |s: &&MetricSample<'a>| STATUS.iter().any(|key| s.labels.contains_key(*key));
    let named = |name: &str| samples.iter().filter(fits).find(|s| s.name == name).map(|s| s.name);
    let like = |s: &&MetricSample<'a>| {
        let ends = s.name.ends_with("_requests_total") || s.name.ends_with("_request_total");
        ends || (s.name.contains("request") && s.name.ends_with("_count"))
    };
    COUNTERS
        .iter()
        .find_map(|name| named(name))
        .or_else(|| samples.iter().filter(fits).find(like).map(|s| s.name))
}

/// The buckets of all labels together, of the first histogram of request times.
fn read_buckets(samples: &[MetricSample<'_>]) -> Times {
    let is = |s: &&MetricSample<'_>| {
        s.name.ends_with("_bucket") && s.name.contains("request") && s.labels.contains_key("le")
    };
    let Some(name) = samples.iter().find(is).map(|s| s.name) else { return Times::Untold };
    let unit = if name.contains("_milliseconds") || name.contains("_ms_") { 1e-3 } else { 1.0 };
    let mut buckets: Vec<[f64; 2]> = Vec::new();
    for sample in samples.iter().filter(|s| s.name == name) {
        let bound = match sample.labels.get("le").map(String::as_str) {
            Some("+Inf") => f64::MAX,
            Some(le) => le.parse::<f64>().map_or(f64::MAX, |bound| bound * unit),
            None => continue,
        };
        match buckets.iter_mut().find(|[known, _]| *known == bound) {
            Some(bucket) => bucket[1] += sample.value,
            None => buckets.push([bound, sample.value]),
        }
    }
    buckets.sort_by(|a, b| a[0].total_cmp(&b[0]));
    Times::Buckets(buckets)
}

/// `name{label="value",…} value [timestamp]`; comments and what does not parse are none.
fn parse_sample(line: &str) -> Option<MetricSample<'_>> {
    let line = line.trim_start();
    if line.starts_with('#') {
        return None;
    }
    let end = line.find(['{', ' ', '\t'])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => parse_labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let value = rest.split_whitespace().next()?.parse::<f64>().ok().filter(|value| value.is_finite())?;
    Some(MetricSample { name, labels, value })
}

fn parse_labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (key, after) = rest.split_once("=\"")?;
        let (mut value, mut escaped, mut end) = (String::new(), false, None);
        for (at, c) in after.char_indices() {
            match (escaped, c) {
                (true, c) => value.push(if c == 'n' { '\n' } else { c }),
                (false, '"') => {
                    end = Some(at);
                    break;
                }
                (false, '\\') => {}
                (false, c) => value.push(c),
            }
            escaped = !escaped && c == '\\';
        }
        labels.insert(key.trim().to_string(), value);
        rest = &after[end? + 1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# HELP http_requests_total All.
# TYPE http_requests_total counter
http_requests_total{method="GET",path="/a\"b}",status="200"} 900 1700000000000
http_requests_total{method="GET",path="/",status="503"} 20
http_requests_total{method="GET",path="/",status="404"} 80
http_request_duration_seconds_bucket{le="0.1"} 500
http_request_duration_seconds_bucket{le="0.5"} 940
http_request_duration_seconds_bucket{le="2"} 990
http_request_duration_seconds_bucket{le="+Inf"} 1000
process_start_time_seconds 1.7e9
broken{le="x 5
nan_total{status="500"} NaN
"#;

    #[test]
    fn requests_errors_and_times_are_read() {
        let scrape = Scrape::parse(TEXT).expect("metrics");
        assert_eq!((scrape.tally.requests, scrape.tally.errors), (1000.0, 20.0));
        assert_eq!((scrape.tally.p95(), scrape.tally.slower_than(0.5)), (Some(2.0), Some(0.06)));
        for label in ["status_code", "code"] {
            let other = Scrape::parse(&TEXT.replace("status=", &format!("{label}="))).expect("metrics");
            assert_eq!(other.tally.errors, 20.0, "{label}");
        }
        assert!(Scrape::parse("up 1\n").is_err());
    }

    #[test]
    fn a_difference_is_of_one_process_alone() {
        let first = Scrape::parse(TEXT).expect("metrics");
        let later = TEXT.replace("} 900 ", "} 1900 ").replace("} 20\n", "} 30\n");
        let tally = Scrape::parse(&later).expect("metrics").since(&first).expect("a difference");
        assert_eq!((tally.requests, tally.errors), (1010.0, 10.0));
        for other in [later.replace("1.7e9", "1.8e9"), TEXT.replace("} 900 ", "} 5 ")] {
            assert!(Scrape::parse(&other).expect("metrics").since(&first).is_none());
        }
    }
}
