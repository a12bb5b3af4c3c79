//! Timers, units, runs, drills and notifications. Pure.

use super::facts::Facts;
use super::{finding, judge_learned, rulebook};
use crate::units::{STREAM, Unit};
use std::path::Path;
use toban_core::Severity;
use toban_core::check::Finding;

/// Everything that should happen by itself.
pub(super) fn judge_jobs(facts: &Facts) -> Vec<Finding> {
    let mut findings = judge_learned("systemd", &facts.units, |units| {
        let mut found = judge_timers(facts, units);
        found.extend(units.iter().flat_map(|unit| judge_unit(facts, unit)));
        found
    });
    findings.extend(judge_runs(facts));
    findings.extend(judge_drills(facts));
    findings.extend(judge_notifications(facts));
    findings
}

/// Each promise has its timer: one that stores, and those that prove, watch and clear up.
fn judge_timers(facts: &Facts, units: &[Unit]) -> Vec<Finding> {
    let timer = |job: &str| units.iter().find(|u| u.is_timer() && u.is_of(job));
    let on = |job: &str| timer(job).is_some_and(Unit::is_on);
    let mut wanted = vec!["pg-backup-prune", "pg-backup-verify", "pg-backup-check"];
    if !on("pg-backup-run") && !on("pg-backup-dump") {
        wanted.push("pg-backup-run");
    }
    if facts.server.as_ref().is_ok_and(|s| s.setting("archive_command").contains("wal-shipper") || s.streamed)
    {
        wanted.push("wal-shipper-check");
    }
    let off = wanted.into_iter().filter(|job| !on(job));
    let describe = |job: &str| {
        let name = format!("{job}@{}.timer", facts.cluster);
        let text = match timer(job) {
            Some(unit) if unit.installed && unit.enabled => "it is enabled, and not active",
            Some(unit) if unit.installed => "it is not enabled",
            _ => "it is not installed",
        };
        let advice = format!("systemctl enable --now {name}");
        finding(&rulebook::TIMER_DISABLED, Severity::Warning, &name).says(text).advise(advice)
    };
    off.map(describe).collect()
}

/// A unit that failed, and of a service in use what it may not reach.
fn judge_unit(facts: &Facts, unit: &Unit) -> Vec<Finding> {
    let mut findings = Vec::new();
    if unit.failed {
        // Not reset-failed: that takes the finding away, and leaves a stream that nobody starts.
        let advice = format!("journalctl --no-pager -n 20 -u {}; systemctl restart {0}", unit.name);
        findings.push(finding(&rulebook::UNIT_FAILED, Severity::Critical, &unit.name).advise(advice));
    }
    let job = unit.name.split('@').next().unwrap_or_default();
    let timer = facts.units.iter().flatten().find(|u| u.is_timer() && u.is_of(job));
    let used = if job == STREAM { unit.is_on() } else { timer.is_some_and(Unit::is_on) };
    if unit.is_timer() || !unit.installed || !used {
        return findings;
    }
    let writes = !["pg-backup-check", "wal-shipper-check"].contains(&job);
    let folders = facts.repos.iter().filter_map(|r| r.folder.as_ref());
    for folder in folders {
        if writes && !unit.may_write(&folder.path) {
            findings.push(read_only(unit, &folder.path));
        }
        let point = folder.mount.as_ref().map(|(point, _)| point);
        let waits = |point: &Path| unit.mounts.iter().any(|m| m.starts_with(point));
        findings.extend(point.filter(|point| !waits(point)).map(|point| {
            let text = format!("it does not wait for {}", point.display());
            let advice = edit_command(unit, "Unit", "RequiresMountsFor", &folder.path);
            finding(&rulebook::UNIT_MOUNT, Severity::Warning, &unit.name).says(text).advise(advice)
        }));
    }
    let textfile = facts.machine.textfile.iter().flatten().map(|access| &access.path);
    findings.extend(textfile.filter(|path| !unit.may_write(path)).map(|path| read_only(unit, path)));
    findings
}

fn read_only(unit: &Unit, folder: &Path) -> Finding {
    let text = format!("it may not write into {}", folder.display());
    let advice = edit_command(unit, "Service", "ReadWritePaths", folder);
    finding(&rulebook::UNIT_READ_ONLY, Severity::Critical, &unit.name).says(text).advise(advice)
}

/// Both settings are lists, to which each file adds: so each folder has a file of its own, and no cure takes back another.
fn edit_command(unit: &Unit, section: &str, setting: &str, path: &Path) -> String {
    let folder = format!("/etc/systemd/system/{}.d", unit.name);
    let path = path.display().to_string();
    let name = format!("{}{}", section.to_lowercase(), path.replace('/', "-"));
    format!(
        "mkdir -p {folder} && printf '[{section}]\\n{setting}={path}\\n' > {folder}/{name}.conf && systemctl daemon-reload"
    )
}

/// Jobs whose last run did not end well. A check's findings are its own.
fn judge_runs(facts: &Facts) -> Vec<Finding> {
    let failed = facts.machine.runs.iter().filter(|run| ![0, 3].contains(&run.status));
    let describe = |run: &toban_core::run_record::RunRecord| {
        let why = run.error.as_deref().unwrap_or("no reason is recorded");
        let at = run.ended.strftime("%Y-%m-%d %H:%M").to_string();
        let text = format!("its last run, at {at} UTC, ended with {}: {why}", run.status);
        let name = format!("{} {} {}", run.tool, run.verb, run.instance);
        let advice = format!("correct that, then: {} {}", run.tool, run.verb);
        finding(&rulebook::RUN_FAILED, Severity::Critical, &name).says(text).advise(advice)
    };
    failed.map(describe).collect()
}

/// Whether a drill has proven anything; dumps are proven by `verify --deep`.
fn judge_drills(facts: &Facts) -> Option<Finding> {
    let contents: Vec<_> = facts.repos.iter().filter_map(|r| r.content.as_ref().ok()).collect();
    let backups: usize = contents.iter().flat_map(|c| &c.systems).map(|s| s.backups).sum();
    let never = backups > 0 && !contents.iter().any(|c| c.drilled);
    let advice =
        format!("pg-drill --cluster {0} && systemctl enable --now pg-drill@{0}.timer", facts.cluster);
    never.then(|| finding(&rulebook::DRILL_NEVER, Severity::Warning, &facts.cluster).advise(advice))
}

fn judge_notifications(facts: &Facts) -> Vec<Finding> {
    let machine = &facts.machine;
    if machine.channels.is_empty() {
        return vec![finding(&rulebook::NOTIFY_NONE, Severity::Warning, "notifications")];
    }
    let broken = machine.channels.iter().filter_map(|(name, broken)| Some((name, broken.as_ref()?)));
    let broken = broken.map(|(name, why)| {
        finding(&rulebook::NOTIFY_UNDELIVERED, Severity::Critical, name)
            .says(format!("it cannot be used: {why}"))
    });
    let waiting = machine.undelivered.iter().map(|u| {
        let text = format!("{} notifications of {} were never delivered", u.waiting, u.job);
        finding(&rulebook::NOTIFY_UNDELIVERED, Severity::Critical, &u.channel).says(text)
    });
    broken.chain(waiting).collect()
}
