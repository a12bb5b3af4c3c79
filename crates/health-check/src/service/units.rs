//! Units and timers of systemd that must be active, by `systemctl show`.

use crate::damping::{AT_ONCE, TWICE};
use crate::program::run_program;
use crate::reading::{Checked, Facts, Reading};
use crate::rules;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use toban_core::Severity;

const PROPERTIES: &str = "Id,LoadState,ActiveState,SubState,Type,Result,NRestarts,ExecMainStatus,NextElapseUSecRealtime,\
                          NextElapseUSecMonotonic";
/// So many restarts within so many seconds are a loop.
const RESTARTS: f64 = 3.0;
const WITHIN: f64 = 600.0;

/// What systemd says of one unit.
type Unit = BTreeMap<String, String>;

/// Asks for all of them at once. `now` is in seconds since 1970.
pub(crate) fn check_units(names: &[String], limit: Duration, before: &Facts, now: f64) -> Checked {
    // A name that begins with a dash would be an option, and a pattern would be many.
    let mut args = vec!["show", "-p", PROPERTIES, "--"];
    args.extend(names.iter().map(String::as_str));
    let shown = match run_program("systemctl", &args, limit) {
        Ok(shown) => shown,
        Err(e) => {
            let unknown = |name: &String| Reading::unknown(&rules::UNIT, e.chain()).about(name);
            return names.iter().map(unknown).collect::<Vec<_>>().into();
        }
    };
    let units = parse_blocks(&shown);
    let mut checked = Checked::default();
    for (at, name) in names.iter().enumerate() {
        // Blocks come in the order that was asked for; an alias has another Id.
        let Some(unit) = units.get(at) else {
            checked.readings.push(Reading::unknown(&rules::UNIT, "systemctl does not tell").about(name));
            continue;
        };
        checked.readings.push(judge_unit(name, unit).about(name));
        let fact = format!("restarts {name}");
        if let Some(count) = unit.get("NRestarts").and_then(|n| n.parse::<f64>().ok()) {
            let samples = add_restarts(before.get(&fact), [now, count]);
            checked.readings.push(judge_restarts(&samples).about(name));
            checked.facts.insert(fact, json!(samples));
        }
    }
    checked
}

fn parse_blocks(shown: &str) -> Vec<Unit> {
    let blocks = shown.split("\n\n").map(str::trim).filter(|block| !block.is_empty());
    let pairs = |block: &str| {
        let lines = block.lines().filter_map(|line| line.split_once('='));
        lines.map(|(key, value)| (key.to_string(), value.to_string())).collect()
    };
    blocks.map(pairs).collect()
}

fn judge_unit(name: &str, unit: &Unit) -> Reading {
    let word = |key: &str| unit.get(key).map_or("", String::as_str);
    let (load, active, sub) = (word("LoadState"), word("ActiveState"), word("SubState"));
    let state = format!("{active}/{sub}");
    let critical = |text: String| Reading::of_state(&rules::UNIT, Severity::Critical, text);
    if load != "loaded" {
        let why = match load {
            "not-found" => "there is no such unit".to_string(),
            "masked" => "it is masked: nothing can start it".to_string(),
            other => format!("systemd could not load it: {other}"),
        };
        return critical(why);
    }
    match active {
        "active" | "reloading" if name.ends_with(".timer") => judge_timer(unit, &state),
        "active" | "reloading" => Reading::of_state(&rules::UNIT, Severity::Ok, state),
        // Between two tries: `systemctl --failed` never shows it.
        "activating" if sub == "auto-restart" => {
            critical(format!("{state}: it ended, and is started again")).damped_by(&TWICE)
        }
        "activating" | "deactivating" => {
            Reading::of_state(&rules::UNIT, Severity::Warning, state).damped_by(&TWICE)
        }
        // A job that has done its work; whether it comes again is its timer's.
        "inactive" if word("Type") == "oneshot" && word("Result") == "success" => {
            Reading::of_state(&rules::UNIT, Severity::Ok, format!("{state}, its last run succeeded"))
        }
        _ => critical(format!("{state}, result {}, exit status {}", word("Result"), word("ExecMainStatus"))),
    }
}

/// A timer that is active and will never fire: its calendar has passed, or its unit never became inactive.
fn judge_timer(unit: &Unit, state: &str) -> Reading {
    let is_set = |key: &str| {
        let value = unit.get(key).map_or("", String::as_str).trim();
        !matches!(value, "" | "0" | "n/a" | "infinity")
    };
    let running = unit.get("SubState").is_some_and(|sub| sub == "running");
    match running || is_set("NextElapseUSecRealtime") || is_set("NextElapseUSecMonotonic") {
        true => Reading::of_state(&rules::UNIT, Severity::Ok, state),
        false => Reading::of_state(
            &rules::UNIT,
            Severity::Critical,
            format!("{state}, and it will not fire again"),
        ),
    }
}

/// Counts of the last ten minutes with the new one; a count that fell began anew.
fn add_restarts(known: Option<&Value>, new: [f64; 2]) -> Vec<[f64; 2]> {
    let mut samples: Vec<[f64; 2]> =
        known.and_then(|v| serde_json::from_value(v.clone()).ok()).unwrap_or_default();
    samples.retain(|[at, count]| (0.0..=WITHIN).contains(&(new[0] - at)) && *count <= new[1]);
    samples.push(new);
    samples
}

fn judge_restarts(samples: &[[f64; 2]]) -> Reading {
    let risen = samples.last().zip(samples.first()).map_or(0.0, |([_, last], [_, first])| last - first);
    let (severity, text) = match risen >= RESTARTS {
        true => (Severity::Critical, format!("started again {risen} times in the last ten minutes")),
        false => (Severity::Ok, format!("{risen} restarts in the last ten minutes")),
    };
    Reading::of_state(&rules::UNIT_RESTARTS, severity, text).damped_by(&AT_ONCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_judged() {
        let ok = "Type=simple\nResult=success\nExecMainStatus=0\n";
        for (name, block, severity) in [
            ("a.service", format!("LoadState=loaded\nActiveState=active\nSubState=running\n{ok}"), Severity::Ok),
            ("a.service", format!("LoadState=loaded\nActiveState=active\nSubState=exited\n{ok}"), Severity::Ok),
            ("a.socket", format!("LoadState=loaded\nActiveState=active\nSubState=listening\n{ok}"), Severity::Ok),
            ("a.service", format!("LoadState=not-found\nActiveState=inactive\nSubState=dead\n{ok}"), Severity::Critical),
            ("a.service", format!("LoadState=masked\nActiveState=inactive\nSubState=dead\n{ok}"), Severity::Critical),
            ("a.service", format!("LoadState=bad-setting\nActiveState=inactive\nSubState=dead\n{ok}"), Severity::Critical),
            ("a.service", format!("LoadState=loaded\nActiveState=failed\nSubState=failed\n{ok}"), Severity::Critical),
            ("a.service", format!("LoadState=loaded\nActiveState=inactive\nSubState=dead\n{ok}"), Severity::Critical),
            ("a.service", "LoadState=loaded\nActiveState=inactive\nSubState=dead\nType=oneshot\nResult=success".into(), Severity::Ok),
            ("a.service", "LoadState=loaded\nActiveState=inactive\nSubState=dead\nType=oneshot\nResult=exit-code".into(), Severity::Critical),
            ("a.service", format!("LoadState=loaded\nActiveState=activating\nSubState=auto-restart\n{ok}"), Severity::Critical),
            ("a.service", format!("LoadState=loaded\nActiveState=activating\nSubState=start\n{ok}"), Severity::Warning),
            ("a.timer", "LoadState=loaded\nActiveState=active\nSubState=waiting\nNextElapseUSecRealtime=Tue 2026-12-01 02:00:00 UTC".into(), Severity::Ok),
            ("a.timer", "LoadState=loaded\nActiveState=active\nSubState=waiting\nNextElapseUSecMonotonic=1d 2h".into(), Severity::Ok),
            ("a.timer", "LoadState=loaded\nActiveState=active\nSubState=running\nNextElapseUSecMonotonic=infinity".into(), Severity::Ok),
            ("a.timer", "LoadState=loaded\nActiveState=active\nSubState=elapsed\nNextElapseUSecRealtime=\nNextElapseUSecMonotonic=infinity".into(), Severity::Critical),
            ("a.timer", "LoadState=loaded\nActiveState=inactive\nSubState=dead".into(), Severity::Critical),
            ("a.service", String::new(), Severity::Critical),
        ] {
            let unit = parse_blocks(&block).pop().unwrap_or_default();
            assert_eq!(judge_unit(name, &unit).severity, severity, "{name} {block}");
        }
    }

    #[test]
    fn a_loop_is_three_restarts_in_ten_minutes() {
        let mut known = None;
        let mut severity = |at: f64, count: f64| {
            let samples = add_restarts(known.as_ref(), [at, count]);
            known = Some(json!(samples));
            judge_restarts(&samples).severity
        };
        assert_eq!(severity(0.0, 7.0), Severity::Ok, "what was before is not known");
        assert_eq!(severity(60.0, 9.0), Severity::Ok);
        assert_eq!(severity(120.0, 10.0), Severity::Critical);
        assert_eq!(severity(700.0, 10.0), Severity::Ok, "ten minutes later");
        assert_eq!(severity(760.0, 1.0), Severity::Ok, "reset-failed");
        assert_eq!(severity(800.0, 5.0), Severity::Critical);
    }
}
