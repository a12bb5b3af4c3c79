//! The units, judged by systemd-analyze.

use e2e::root;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[test]
fn systemd_analyze_verify_is_silent() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut command = Command::new("systemd-analyze");
    command.arg("verify").current_dir(dir.path());
    // Nothing of this machine's own units: only what we ship and what systemd brings.
    command.env("SYSTEMD_UNIT_PATH", format!("{}:", dir.path().display()));
    for unit in units() {
        std::fs::write(dir.path().join(file_name(&unit)), runnable(&unit)).expect("write");
        command.arg(format!("./{}", instance(&unit)));
        let copy = dir.path().join(instance(&unit));
        std::fs::write(copy, runnable(&unit)).expect("write");
    }
    let out = run(&mut command);
    // verify ends with 0 for an unknown key; it only says so.
    assert!(out.status.success() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn exposure_is_at_most_1_5() {
    for unit in units().iter().filter(|u| is(u, "service")) {
        let mut command = Command::new("systemd-analyze");
        // The threshold is ten times the score. The audit of a host looks at what the others close off: its unit says so
        // line by line.
        let threshold =
            if file_name(unit) == "host-audit.service" { "--threshold=32" } else { "--threshold=15" };
        command.args(["security", "--offline=true", threshold, "--no-pager"]).arg(unit);
        let out = run(&mut command);
        let said = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success(), "{}: {}", unit.display(), said.lines().last().unwrap_or_default());
    }
}

#[test]
fn timers_fire_when_their_description_says() {
    let next = [
        ("pg-backup-run", "*-*-* 01:00:00"),
        ("pg-backup-dump", "*-*-* 03:00:00"),
        ("pg-backup-copy", "*-*-* 04:30:00"),
        ("pg-backup-prune", "*-*-* 05:30:00"),
        ("pg-backup-check", "*-*-* *:45:00"),
        ("pg-backup-verify", "Sun *-*-* 06:30:00"),
        ("wal-shipper-check", "*-*-* *:00/5:00"),
        ("health-check", "*-*-* *:*:00"),
        ("cert-checker", "*-*-* 06:00:00"),
        ("host-audit", "*-*-* 06:45:00"),
        ("pg-drill", "*-*-02 09:00:00"),
        ("user-audit-app", "*-*-01 07:00:00"),
        ("user-audit-roles", "*-*-01 07:15:00"),
    ];
    for (unit, calendar) in next {
        // One for each instance, or one for the whole host.
        let [each, whole] = ["@", ""].map(|mark| root().join(format!("systemd/{unit}{mark}.timer")));
        let timer = read(if each.exists() { &each } else { &whole });
        assert!(timer.contains(&format!("OnCalendar={calendar}\n")), "{unit}:\n{timer}");
        let out = run(Command::new("systemd-analyze").args(["calendar", calendar]));
        assert!(out.status.success(), "{out:?}");
    }
}

#[test]
fn every_timer_has_its_service_and_every_service_its_limits() {
    for timer in units().iter().filter(|u| is(u, "timer")) {
        assert!(timer.with_extension("service").exists(), "{} has no service", timer.display());
        assert!(read(timer).contains("Persistent=true"), "{}", timer.display());
    }
    for service in units().iter().filter(|u| is(u, "service")) {
        let text = read(service);
        // Without it a oneshot that hangs keeps its timer from ever starting it again.
        assert!(text.contains("TimeoutStartSec="), "{}", service.display());
        let handler = file_name(service).starts_with("notify-failure");
        // A handler of its own failure would start itself for ever.
        assert_eq!(text.contains("OnFailure="), !handler, "{}", service.display());
    }
}

#[test]
fn the_hardening_is_the_same_in_every_job() {
    let jobs: Vec<PathBuf> = units()
        .into_iter()
        .filter(|u| {
            is(u, "service")
                && !["notify-failure", "host-audit"].iter().any(|own| file_name(u).starts_with(own))
        })
        .collect();
    let blocks: BTreeSet<String> = jobs.iter().map(|u| hardening(&read(u))).collect();
    assert!(jobs.len() >= 4 && blocks.len() == 1, "{} jobs, {} different blocks", jobs.len(), blocks.len());
}

/// The block; what a job needs beside it follows as an exception, with its reason.
fn hardening(text: &str) -> String {
    let block = text.split_once("# Hardening").expect("each job has the block").1;
    block.split("\n# Exceptions").next().unwrap_or(block).trim_end().to_string()
}

/// With programs that are on this machine: verify looks whether they can be run.
fn runnable(unit: &Path) -> String {
    let programs = [
        "/usr/bin/cert-checker",
        "/usr/bin/health-check",
        "/usr/bin/host-audit",
        "/usr/bin/json-to-pg",
        "/usr/bin/pg-backup",
        "/usr/bin/pg-drill",
        "/usr/bin/sqlite-to-pg",
        "/usr/bin/user-audit",
        "/usr/bin/wal-shipper",
        "/usr/lib/toban/notify-failure",
    ];
    programs.iter().fold(read(unit), |text, program| text.replace(program, "/bin/true"))
}

fn instance(unit: &Path) -> String {
    file_name(unit).replace("@.", "@main.")
}

fn units() -> Vec<PathBuf> {
    let mut units: Vec<PathBuf> = std::fs::read_dir(root().join("systemd"))
        .expect("systemd/")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| is(path, "service") || is(path, "timer"))
        .collect();
    units.sort();
    assert!(units.len() >= 9, "units are missing: {units:?}");
    units
}

fn is(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|e| e == extension)
}

fn file_name(path: &Path) -> String {
    path.file_name().expect("a unit has a name").to_string_lossy().into_owned()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn run(command: &mut Command) -> Output {
    command.output().expect("systemd-analyze is missing; run: cargo xtask setup")
}
