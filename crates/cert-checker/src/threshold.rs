//! When an expiry comes too soon: by a rule that fits every life, or as the user says.

use crate::facts::{UnixSeconds, format_span};
use serde::Deserialize;
use toban_core::{Error, Result, Severity};

const DAY: f64 = 86_400.0;

/// How much time left is too little: a length of time or a part of the life, between a floor and a ceiling.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Threshold {
    least: Amount,
    floor: Option<Amount>,
    ceiling: Option<Amount>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Amount {
    Seconds(f64),
    /// Percent of the whole life.
    Percent(f64),
}

impl Amount {
    fn seconds_of(self, life: i64) -> f64 {
        match self {
            Amount::Seconds(s) => s,
            Amount::Percent(p) => life.max(0) as f64 * p / 100.0,
        }
    }
}

/// Both thresholds; the default is the rule that fits 6 days as well as 10 years.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Thresholds {
    pub(crate) warning: Threshold,
    pub(crate) critical: Threshold,
}

impl Thresholds {
    /// Warn below min(30 % of the life, 25 d), critical below min(15 %, 7 d), where nothing else is given.
    ///
    /// # Errors
    /// Usage when warnings would come after the critical threshold.
    pub(crate) fn new(warning: Option<Threshold>, critical: Option<Threshold>) -> Result<Thresholds> {
        // Renewal is due after two thirds of the life: below 30 % it has failed. Above 83 days of life, 25 days are time enough
        // for whoever renews by hand, and warnings for months would be ignored.
        let rule = |percent, days: f64| Threshold {
            least: Amount::Percent(percent),
            floor: None,
            ceiling: Some(Amount::Seconds(days * DAY)),
        };
        let both = Thresholds {
            warning: warning.unwrap_or(rule(30.0, 25.0)),
            critical: critical.unwrap_or(rule(15.0, 7.0)),
        };
        match warning.zip(critical).is_some_and(|(w, c)| are_swapped(w.least, c.least)) {
            true => Err(Error::usage("the warning threshold is below the critical one")
                .hint("--warning is the longer time left, as --warning 25d --critical 7d")),
            false => Ok(both),
        }
    }

    /// How bad it is that `not_after` comes so soon after `now`; only for what has not expired.
    pub(crate) fn judge(&self, life: i64, remaining: i64) -> Severity {
        let below = |t: Threshold| (remaining as f64) < t.seconds_of(life);
        match (below(self.critical), below(self.warning)) {
            (true, _) => Severity::Critical,
            (false, true) => Severity::Warning,
            (false, false) => Severity::Ok,
        }
    }

    /// The thresholds in seconds for a life, warning first: what perfdata shows.
    pub(crate) fn seconds(&self, life: i64) -> (i64, i64) {
        (self.warning.seconds_of(life) as i64, self.critical.seconds_of(life) as i64)
    }
}

impl Threshold {
    fn seconds_of(&self, life: i64) -> f64 {
        let least = self.least.seconds_of(life);
        let capped = self.ceiling.map_or(least, |c| least.min(c.seconds_of(life)));
        self.floor.map_or(capped, |f| capped.max(f.seconds_of(life)))
    }
}

fn are_swapped(warning: Amount, critical: Amount) -> bool {
    match (warning, critical) {
        (Amount::Seconds(w), Amount::Seconds(c)) | (Amount::Percent(w), Amount::Percent(c)) => w < c,
        _ => false,
    }
}

const HINT: &str =
    "days (20, 0.5), a time (48h, 25d) or a part of the life (30%), then ,>=FLOOR and ,<=CEILING if you like";

impl std::str::FromStr for Threshold {
    type Err = Error;

    fn from_str(text: &str) -> Result<Threshold> {
        let mut parts = text.split(',');
        let mut threshold =
            Threshold { least: parse_amount(parts.next().unwrap_or_default())?, floor: None, ceiling: None };
        for part in parts {
            let part = part.trim();
            match (part.strip_prefix(">="), part.strip_prefix("<=")) {
                (Some(floor), _) => threshold.floor = Some(parse_amount(floor)?),
                (_, Some(ceiling)) => threshold.ceiling = Some(parse_amount(ceiling)?),
                _ => {
                    return Err(Error::usage(format!("{part:?} is neither >=FLOOR nor <=CEILING")).hint(HINT));
                }
            }
        }
        Ok(threshold)
    }
}

impl TryFrom<String> for Threshold {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Threshold, String> {
        text.parse().map_err(|e: Error| e.chain())
    }
}

fn parse_amount(text: &str) -> Result<Amount> {
    let text = text.trim();
    let bad = || Error::usage(format!("{text:?} is no threshold")).hint(HINT);
    let number = |t: &str| t.trim().parse::<f64>().ok().filter(|n| n.is_finite());
    if let Some(percent) = text.strip_suffix('%') {
        return number(percent).filter(|p| (0.0..=100.0).contains(p)).map(Amount::Percent).ok_or_else(bad);
    }
    // A bare number is days, as every check_ssl_cert, check_http and ssl-cert-check takes it; also negative.
    match number(text) {
        Some(days) => Ok(Amount::Seconds(days * DAY)),
        None => {
            let span: toban_core::config::Span = text.parse().map_err(|_| bad())?;
            Ok(Amount::Seconds(span.0.as_secs_f64()))
        }
    }
}

/// `in 12 d, on 2026-12-04T00:00:00Z`.
pub(crate) fn format_remaining(remaining: i64, not_after: UnixSeconds) -> String {
    match remaining < 0 {
        true => format!("{} ago, on {not_after}", format_span(-remaining)),
        false => format!("in {}, on {not_after}", format_span(remaining)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(warning: &str, critical: &str, life_days: f64, left_days: f64) -> Severity {
        let parse = |t: &str| (!t.is_empty()).then(|| t.parse().expect("a threshold"));
        let both = Thresholds::new(parse(warning), parse(critical)).expect("in order");
        both.judge((life_days * DAY) as i64, (left_days * DAY) as i64)
    }

    #[test]
    fn the_rule_fits_every_life() {
        use Severity::{Critical as C, Ok as O, Warning as W};
        // Days of life, and what is judged with so many days left: exactly on the threshold is not below it.
        let cases = [
            (1.0, [(0.31, O), (0.29, W), (0.14, C)]),
            (160.0 / 24.0, [(2.0, O), (1.9, W), (0.9, C)]),
            (47.0, [(14.2, O), (14.0, W), (6.9, C)]),
            (90.0, [(25.0, O), (24.9, W), (6.9, C)]),
            (398.0, [(25.0, O), (24.9, W), (6.9, C)]),
            (3650.0, [(25.0, O), (7.0, W), (6.9, C)]),
            (364_635.0, [(25.0, O), (24.9, W), (6.9, C)]),
        ];
        for (life, expected) in cases {
            for (left, severity) in expected {
                assert_eq!(judged("", "", life, left), severity, "life {life} d, left {left} d");
            }
        }
    }

    #[test]
    fn thresholds_as_people_give_them() {
        use Severity::{Critical as C, Ok as O, Warning as W};
        let cases = [
            ("20", "10", 365.0, 20.0, O),
            ("20", "10", 365.0, 19.99, W),
            ("0.5", "-0.5", 365.0, 0.4, W),
            ("0.5", "-0.5", 365.0, 0.0, W),
            ("48h", "12h", 6.0, 1.9, W),
            ("48h", "12h", 6.0, 0.4, C),
            ("50%", "25%", 100.0, 50.0, O),
            ("50%", "25%", 100.0, 24.0, C),
            ("50%,>=10d,<=30d", "1d", 10.0, 9.0, W),
            ("50%,>=10d,<=30d", "1d", 3650.0, 31.0, O),
        ];
        for (warning, critical, life, left, severity) in cases {
            assert_eq!(judged(warning, critical, life, left), severity, "{warning} {critical} {life} {left}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for bad in ["", "soon", "120%", "-1%", "5d,10d", "nan", "5x"] {
            assert!(bad.parse::<Threshold>().is_err(), "{bad:?}");
        }
        let (five, ten) = ("5".parse().expect("days"), "10".parse().expect("days"));
        assert_eq!(Thresholds::new(Some(five), Some(ten)).unwrap_err().kind(), toban_core::Kind::Usage);
    }

    /// A timer of at most a twentieth of the life and at most a day, at any of its phases: nothing is reported before the
    /// renewal at two thirds, and who does not renew is warned at least twice, of the critical state too.
    #[test]
    fn every_life_from_an_hour_to_ten_years_has_notice() {
        let rule = Thresholds::new(None, None).expect("the rule");
        let (hour, day) = (3600.0_f64, DAY as i64);
        let longest = 3653.0 * DAY;
        for n in 0..=2000 {
            let life = (hour * (longest / hour).powf(f64::from(n) / 2000.0)) as i64;
            for timer in [life / 20, day].into_iter().filter(|t| *t <= life / 20 || life >= 160 * 3600) {
                let timer = timer.min(day);
                for phase in 0..10 {
                    let looks = (0..).map(|k| phase * timer / 10 + k * timer).take_while(|at| *at <= life);
                    let said: Vec<(i64, Severity)> = looks
                        .map(|at| (at, rule.judge(life, life - at)))
                        .filter(|(_, s)| *s != Severity::Ok)
                        .collect();
                    assert!(said.iter().all(|(at, _)| *at * 3 > life * 2), "false warning: life {life} s");
                    assert!(said.len() >= 2, "life {life} s, timer {timer} s, phase {phase}: {said:?}");
                    assert!(said.is_sorted_by_key(|(_, s)| *s == Severity::Critical), "{said:?}");
                }
            }
        }
    }
}
