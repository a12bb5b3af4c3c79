//! What became of users' requests since the last run. A health path tells of itself alone.

use crate::damping::{AT_ONCE, DELAY};
use crate::net::http::Endpoint;
use crate::reading::{Checked, Facts, Limits, Measure, Reading, percent, seconds};
use crate::rules;
use crate::settings::TrafficSettings;
use crate::traffic::Tally;
use crate::traffic::access_log::{LogPosition, read_log};
use crate::traffic::metrics::Scrape;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use toban_core::config::Span;
use toban_core::{Error, Result, Severity};

/// Of fewer requests a share says nothing.
const ENOUGH: f64 = 100.0;
/// How old the last run's look may be, in seconds.
const FRESH: std::ops::RangeInclusive<f64> = 20.0..=900.0;

/// The share of errors and the 95th percentile; `now` is in seconds since 1970.
pub(crate) fn check_traffic(
    name: &str,
    settings: &TrafficSettings,
    limit: Duration,
    before: &Facts,
    now: f64,
) -> Checked {
    let fact = format!("traffic {name}");
    let known = before.get(&fact);
    let counted = match settings.source.starts_with("http://") || settings.source.starts_with("https://") {
        true => count_metrics(&settings.source, limit, known, now),
        false => count_log(&settings.source, known),
    };
    let (readings, kept) = match counted {
        Ok((tally, kept)) => (judge_tally(&tally, settings), Some(kept)),
        Err(e) => (vec![judge_failure(&e)], None),
    };
    let readings = readings.into_iter().map(|reading| reading.about(name)).collect();
    Checked { readings, facts: kept.into_iter().map(|kept| (fact.clone(), kept)).collect() }
}

fn judge_failure(e: &Error) -> Reading {
    let reading = Reading::unknown(&rules::ERRORS, e.chain());
    match e.find_hint() {
        Some(hint) => reading.advise(hint),
        None => reading,
    }
}

fn count_metrics(url: &str, limit: Duration, known: Option<&Value>, now: f64) -> Result<(Tally, Value)> {
    let endpoint = Endpoint::parse(url, None)?;
    let scrape = Scrape::take(&endpoint, Instant::now() + limit)?;
    let last = known
        .and_then(|v| Some((v.get("at")?.as_f64()?, serde_json::from_value(v.get("scrape")?.clone()).ok()?)));
    let since = last
        .filter(|(at, _)| FRESH.contains(&(now - at)))
        .and_then(|(_, last): (f64, Scrape)| scrape.since(&last));
    let tally = match since {
        Some(tally) => tally,
        None => Scrape::watch(&endpoint, Duration::ZERO)?,
    };
    Ok((tally, json!({ "at": now, "scrape": scrape })))
}

/// The first look only remembers where the log ends: what is in it may be of last week.
fn count_log(path: &str, known: Option<&Value>) -> Result<(Tally, Value)> {
    let from: Option<LogPosition> = known.and_then(|v| serde_json::from_value(v.clone()).ok());
    let (tally, position) = read_log(Path::new(path), from, None)?;
    Ok((if from.is_some() { tally } else { Tally::default() }, json!(position)))
}

fn judge_tally(tally: &Tally, settings: &TrafficSettings) -> Vec<Reading> {
    if tally.requests < ENOUGH {
        let text = format!("{} requests since the last look: too few for a share", tally.requests);
        return vec![Reading::of_state(&rules::ERRORS, Severity::Ok, text)];
    }
    let share = tally.error_share();
    let measure = Measure::new(share, "ratio").judged_by(settings.errors.limits(1.0, 5.0)).seen_by("server");
    let text = format!("{} of {} requests failed ({})", tally.errors, tally.requests, percent(share));
    let mut readings = vec![Reading::of_measure(&rules::ERRORS, measure, text).damped_by(&AT_ONCE)];
    let limit = |span: Option<Span>, default: f64| span.map_or(default, |span| span.0.as_secs_f64());
    if let Some(p95) = tally.p95() {
        let limits =
            Limits { warning: limit(settings.warning, 1.0), critical: limit(settings.critical, 2.0) };
        let measure = Measure::new(p95, "s").judged_by(limits).seen_by("server");
        let text = format!("95 of 100 requests took up to {}", seconds(p95));
        readings.push(Reading::of_measure(&rules::REQUEST_TIME, measure, text).damped_by(&DELAY));
    }
    readings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Thresholds;

    #[test]
    fn two_of_ninety_nine_are_no_share() {
        let settings = TrafficSettings {
            source: String::new(),
            errors: Thresholds::default(),
            warning: None,
            critical: None,
        };
        let judged = |requests, errors| {
            let tally = Tally { requests, errors, ..Tally::default() };
            judge_tally(&tally, &settings)[0].severity
        };
        assert_eq!(judged(99.0, 2.0), Severity::Ok);
        assert_eq!(judged(200.0, 1.0), Severity::Ok);
        assert_eq!(judged(100.0, 1.0), Severity::Warning);
        assert_eq!(judged(100.0, 5.0), Severity::Critical);
        assert_eq!(judged(0.0, 0.0), Severity::Ok);
    }
}
