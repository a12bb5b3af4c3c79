//! `gate`: may a new version have more of the requests, or must it go back?

use crate::cli::GateArgs;
use crate::net::http::Endpoint;
use crate::reading::{percent, seconds};
use crate::traffic::Tally;
use crate::traffic::access_log::read_log;
use crate::traffic::metrics::Scrape;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::path::Path;
use std::time::Duration;
use toban_core::sync::joined;
use toban_core::{Error, Kind, Out, Record, Result};

/// Standard deviations that are no chance: one step of 2,000 sends a good version back, however often a script asks.
const BEYOND_CHANCE: f64 = 3.3;
/// Times the baseline's 95th percentile: less is measurable, and nobody feels it.
const NOTICEABLE: f64 = 1.2;

/// What the gate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// More requests.
    Go,
    /// Not enough requests to tell.
    Wait,
    /// Back to the version that serves.
    Back,
}

/// Both sides and what follows.
#[derive(Debug, Serialize)]
struct GateRecord {
    verdict: Verdict,
    reasons: Vec<String>,
    baseline: GateSide,
    candidate: GateSide,
}

/// One version's requests.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct GateSide {
    requests: f64,
    errors: f64,
    p95_seconds: Option<f64>,
}

/// When a version goes back whatever the other one does.
struct GateLimits {
    min_requests: f64,
    max_errors: f64,
    max_p95: f64,
}

/// Reads both sides, and judges.
pub(crate) fn judge_rollout(args: &GateArgs, out: &mut Out<'_>) -> Result<()> {
    if !(0.0..=100.0).contains(&args.max_errors) {
        return Err(Error::usage("--max-errors is per cent"));
    }
    let (window, now) = (args.window.0, args.at.now());
    // At the same time, so that both are of the same minute.
    let (baseline, candidate) = std::thread::scope(|scope| {
        let other = scope.spawn(|| count_requests(&args.baseline, window, now));
        let candidate = count_requests(&args.candidate, window, now);
        (joined(other.join()), candidate)
    });
    let limits = GateLimits {
        min_requests: args.min_requests as f64,
        max_errors: args.max_errors / 100.0,
        max_p95: args.max_p95.0.as_secs_f64(),
    };
    let record = compare_versions(&baseline?, &candidate?, &limits);
    out.emit(&record)?;
    let why = record.reasons.join("; ");
    match record.verdict {
        Verdict::Go => Ok(()),
        Verdict::Wait => Err(Error::retry(why).hint("ask again when there were more requests")),
        Verdict::Back => Err(Error::new(Kind::Findings, format!("the new version must go back: {why}"))
            .hint("send all requests to the version that served before")),
    }
}

fn count_requests(source: &str, window: Duration, now: Timestamp) -> Result<Tally> {
    if source.starts_with("http://") || source.starts_with("https://") {
        return Scrape::watch(&Endpoint::parse(source, None)?, window);
    }
    let since = SignedDuration::try_from(window).ok().and_then(|window| now.checked_sub(window).ok());
    read_log(Path::new(source), None, since).map(|(tally, _)| tally)
}

fn compare_versions(baseline: &Tally, candidate: &Tally, limits: &GateLimits) -> GateRecord {
    let mut reasons = Vec::new();
    let verdict = if candidate.requests < limits.min_requests {
        reasons.push(format!(
            "{} of {} requests that it takes to tell",
            candidate.requests, limits.min_requests
        ));
        // What already failed beyond the limit among so many as it takes needs no more requests.
        let certain = candidate.errors > limits.min_requests * limits.max_errors;
        if certain {
            reasons.push(format!("and {} of them failed, more than may of all", candidate.errors));
        }
        if certain { Verdict::Back } else { Verdict::Wait }
    } else {
        reasons.extend(over_limits(candidate, limits));
        if baseline.requests >= limits.min_requests {
            reasons.extend(worse_errors(baseline, candidate));
            reasons.extend(slower(baseline, candidate));
        }
        if reasons.is_empty() { Verdict::Go } else { Verdict::Back }
    };
    GateRecord {
        verdict,
        reasons,
        baseline: GateSide::of_tally(baseline),
        candidate: GateSide::of_tally(candidate),
    }
}

fn over_limits(candidate: &Tally, limits: &GateLimits) -> Vec<String> {
    let share = candidate.error_share();
    let errors = (share > limits.max_errors).then(|| {
        format!("{} of its requests fail, at most {} may", percent(share), percent(limits.max_errors))
    });
    let times = candidate.p95().filter(|p95| *p95 > limits.max_p95).map(|p95| {
        format!("95 of 100 requests take up to {}, at most {} may", seconds(p95), seconds(limits.max_p95))
    });
    errors.into_iter().chain(times).collect()
}

/// Two shares are compared by their common one (the z-test of two proportions).
fn worse_errors(baseline: &Tally, candidate: &Tally) -> Option<String> {
    let (old, new) = (baseline.error_share(), candidate.error_share());
    let all = baseline.requests + candidate.requests;
    let common = (baseline.errors + candidate.errors) / all;
    let spread = (common * (1.0 - common) * (1.0 / baseline.requests + 1.0 / candidate.requests)).sqrt();
    let worse = spread > 0.0 && (new - old) / spread > BEYOND_CHANCE;
    worse.then(|| {
        format!(
            "{} of its requests fail, {} of the baseline's: that is no chance",
            percent(new),
            percent(old)
        )
    })
}

/// Of the baseline one request in twenty is slower than its 95th percentile, by definition; of the new version more than
/// chance allows.
fn slower(baseline: &Tally, candidate: &Tally) -> Option<String> {
    let (old, new) = (baseline.p95()?, candidate.p95()?);
    let (expected, seen) = (baseline.slower_than(old)?.max(0.05), candidate.slower_than(old)?);
    let spread = (expected * (1.0 - expected) * (1.0 / baseline.requests + 1.0 / candidate.requests)).sqrt();
    let worse = new > old * NOTICEABLE && (seen - expected) / spread > BEYOND_CHANCE;
    worse.then(|| {
        format!(
            "95 of 100 requests take up to {}, {} with the baseline: that is no chance",
            seconds(new),
            seconds(old)
        )
    })
}

impl GateSide {
    fn of_tally(tally: &Tally) -> GateSide {
        GateSide { requests: tally.requests, errors: tally.errors, p95_seconds: tally.p95() }
    }

    fn describe(&self) -> String {
        let p95 = self.p95_seconds.map(|p95| format!(", p95 {}", seconds(p95))).unwrap_or_default();
        format!("{} requests, {} failed{p95}", self.requests, self.errors)
    }
}

impl Record for GateRecord {
    const SCHEMA: &'static str = "health-check.gate/1";
    const HEAD: &'static [&'static str] = &["verdict", "baseline", "candidate", "reasons"];

    fn cells(&self) -> Vec<String> {
        let verdict = match self.verdict {
            Verdict::Go => "go",
            Verdict::Wait => "wait",
            Verdict::Back => "back",
        };
        vec![verdict.into(), self.baseline.describe(), self.candidate.describe(), self.reasons.join("; ")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::Times;

    const LIMITS: GateLimits = GateLimits { min_requests: 100.0, max_errors: 0.05, max_p95: 2.0 };

    fn tally(requests: f64, errors: f64, slow: f64) -> Tally {
        let mut times = vec![0.1; (requests - slow) as usize];
        times.extend(vec![1.0; slow as usize]);
        Tally { requests, errors, times: Times::Each(times) }
    }

    #[test]
    fn a_version_goes_back_for_what_is_no_chance() {
        for (what, baseline, candidate, verdict) in [
            ("as good", tally(9500.0, 10.0, 50.0), tally(500.0, 1.0, 3.0), Verdict::Go),
            ("a few errors more", tally(9500.0, 10.0, 50.0), tally(500.0, 2.0, 3.0), Verdict::Go),
            ("ten times the errors", tally(9500.0, 10.0, 50.0), tally(500.0, 10.0, 3.0), Verdict::Back),
            ("over the limit", tally(9500.0, 900.0, 50.0), tally(500.0, 26.0, 3.0), Verdict::Back),
            (
                "at the limit, as the baseline",
                tally(9500.0, 475.0, 50.0),
                tally(500.0, 25.0, 3.0),
                Verdict::Go,
            ),
            ("slower", tally(9500.0, 10.0, 50.0), tally(500.0, 1.0, 60.0), Verdict::Back),
            ("a few slow ones", tally(9500.0, 10.0, 400.0), tally(500.0, 1.0, 27.0), Verdict::Go),
            ("too few", tally(9500.0, 10.0, 50.0), tally(99.0, 5.0, 3.0), Verdict::Wait),
            ("too few, and all fail", tally(9500.0, 10.0, 50.0), tally(20.0, 20.0, 3.0), Verdict::Back),
            ("none", tally(9500.0, 10.0, 50.0), Tally::default(), Verdict::Wait),
            ("no baseline yet", Tally::default(), tally(500.0, 10.0, 3.0), Verdict::Go),
            ("no errors at all", tally(9500.0, 0.0, 0.0), tally(500.0, 0.0, 0.0), Verdict::Go),
        ] {
            let record = compare_versions(&baseline, &candidate, &LIMITS);
            assert_eq!(record.verdict, verdict, "{what}: {:?}", record.reasons);
        }
        let slow = Tally { times: Times::Each(vec![2.1; 500]), ..tally(500.0, 0.0, 0.0) };
        assert_eq!(compare_versions(&Tally::default(), &slow, &LIMITS).verdict, Verdict::Back);
    }

    #[test]
    fn a_good_version_rarely_goes_back() {
        let mut dice = testkit::Dice::new(7);
        let mut back = 0;
        for _ in 0..2000 {
            let mut errors = |n: u64| (0..n).filter(|_| dice.below(100) == 0).count() as f64;
            let (old, new) = (errors(2000), errors(500));
            let record = compare_versions(&tally(2000.0, old, 20.0), &tally(500.0, new, 5.0), &LIMITS);
            back += usize::from(record.verdict == Verdict::Back);
        }
        assert!(back <= 10, "{back} of 2000");
    }
}
