//! What systemd knows of the units that work for a cluster.

use jiff::Timestamp;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A timer or service of ours, as `systemctl show` describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unit {
    /// `pg-backup-run@main.timer`.
    pub(crate) name: String,
    /// Its file is there.
    pub(crate) installed: bool,
    /// It is started with the machine.
    pub(crate) enabled: bool,
    pub(crate) active: bool,
    pub(crate) failed: bool,
    /// It may write nowhere but below [`Unit::writable`].
    pub(crate) confined: bool,
    pub(crate) writable: Vec<PathBuf>,
    /// Folders that it needs mounted.
    pub(crate) mounts: Vec<PathBuf>,
    /// The `OnCalendar=` of a timer.
    pub(crate) calendars: Vec<String>,
    /// When a timer elapses next.
    pub(crate) next: Option<Timestamp>,
}

impl Unit {
    /// Whether it is the timer or service `job` of some cluster.
    pub(crate) fn is_of(&self, job: &str) -> bool {
        self.name.split('@').next() == Some(job)
    }

    pub(crate) fn is_timer(&self) -> bool {
        self.name.ends_with(".timer")
    }

    /// Whether it runs, or is started again, by itself.
    pub(crate) fn is_on(&self) -> bool {
        self.installed && self.enabled && self.active
    }

    /// Whether it may write into `folder`.
    pub(crate) fn may_write(&self, folder: &Path) -> bool {
        !self.confined || self.writable.iter().any(|own| folder.starts_with(own))
    }
}

/// Jobs with a timer.
pub(crate) const TIMED: [&str; 8] = [
    "pg-backup-run",
    "pg-backup-dump",
    "pg-backup-copy",
    "pg-backup-prune",
    "pg-backup-verify",
    "pg-backup-check",
    "wal-shipper-check",
    "pg-drill",
];
/// The service without a timer.
pub(crate) const STREAM: &str = "wal-shipper-stream";

const PROPERTIES: &str = "Id,LoadState,UnitFileState,ActiveState,ProtectSystem,ReadWritePaths,StateDirectory,\
                          RequiresMountsFor,TimersCalendar,NextElapseUSecRealtime";

/// The units of the cluster.
///
/// # Errors
/// Why systemd does not tell, in a sentence.
pub(crate) fn read_units(cluster: &str) -> Result<Vec<Unit>, String> {
    let timed = TIMED.iter().flat_map(|job| ["timer", "service"].map(|end| format!("{job}@{cluster}.{end}")));
    let names: Vec<String> = timed.chain([format!("{STREAM}@{cluster}.service")]).collect();
    let mut show = Command::new("systemctl");
    // In UTC: --timestamp=unix is not heeded for the time at which a timer elapses next (systemd 252), only the zone is.
    show.env("TZ", "UTC").args(["show", "--property", PROPERTIES, "--"]).args(&names);
    let said = show.output().map_err(|e| format!("systemctl does not run: {e}"))?;
    if !said.status.success() {
        let why = String::from_utf8_lossy(&said.stderr);
        return Err(why.lines().next().unwrap_or("systemctl show failed").trim().to_string());
    }
    let units = parse_units(&String::from_utf8_lossy(&said.stdout));
    // What is not described is not known to be off either.
    if units.len() == names.len() { Ok(units) } else { Err("systemctl does not describe every unit".into()) }
}

/// Blocks of `NAME=VALUE`, with an empty line between them.
fn parse_units(text: &str) -> Vec<Unit> {
    text.split("\n\n").filter(|block| !block.trim().is_empty()).map(parse_unit).collect()
}

fn parse_unit(block: &str) -> Unit {
    let mut unit = Unit::default();
    let words = |value: &str| value.split_whitespace().map(str::to_string).collect::<Vec<_>>();
    // `-/path` is a path that may be missing, `+/path` one of the unit's own root (systemd.exec(5), ReadWritePaths).
    let paths = |value: &str| words(value).iter().map(|w| w.trim_start_matches(['-', '+']).into()).collect();
    for (name, value) in block.lines().filter_map(|line| line.split_once('=')) {
        match name {
            "Id" => unit.name = value.into(),
            "LoadState" => unit.installed = value == "loaded",
            "UnitFileState" => unit.enabled = value.starts_with("enabled"),
            "ActiveState" => (unit.active, unit.failed) = (value == "active", value == "failed"),
            "ProtectSystem" => unit.confined = value == "strict",
            "ReadWritePaths" => unit.writable.extend::<Vec<PathBuf>>(paths(value)),
            "StateDirectory" => {
                unit.writable.extend(words(value).iter().map(|w| Path::new("/var/lib").join(w)));
            }
            "RequiresMountsFor" => unit.mounts = paths(value),
            "TimersCalendar" => unit.calendars.extend(parse_calendar(value)),
            "NextElapseUSecRealtime" => unit.next = parse_time(value),
            _ => {}
        }
    }
    unit
}

/// `{ OnCalendar=*-*-* 01:00:00 ; next_elapse=… }`.
fn parse_calendar(value: &str) -> Option<String> {
    let rest = value.split_once("OnCalendar=")?.1;
    Some(rest.split(" ;").next()?.trim().to_string())
}

/// `Wed 2026-12-02 01:11:10 UTC`; empty where the timer waits for nothing.
fn parse_time(value: &str) -> Option<Timestamp> {
    let (_weekday, time) = value.strip_suffix(" UTC")?.split_once(' ')?;
    time.parse::<jiff::civil::DateTime>()
        .ok()?
        .to_zoned(jiff::tz::TimeZone::UTC)
        .ok()
        .map(|at| at.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemctl_shows() {
        let text = "TimersCalendar={ OnCalendar=*-*-* 01:00:00 ; next_elapse=Wed 2026-12-02 01:00:00 UTC }\n\
                    NextElapseUSecRealtime=Wed 2026-12-02 01:11:10 UTC\n\
                    Id=pg-backup-run@main.timer\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\n\n\
                    StateDirectory=toban\nReadWritePaths=/var/backups/toban -/var/lib/x\nProtectSystem=strict\n\
                    Id=pg-backup-run@main.service\nRequiresMountsFor=/var/backups/toban\nLoadState=loaded\n\
                    ActiveState=failed\nUnitFileState=static\n\nId=pg-drill@main.timer\nLoadState=not-found\nActiveState=inactive\n";
        let units = parse_units(text);
        let [timer, service, missing] = &units[..] else { panic!("three: {units:?}") };
        assert!(timer.is_of("pg-backup-run") && timer.is_timer() && timer.is_on() && !timer.confined);
        assert_eq!(timer.calendars, ["*-*-* 01:00:00"]);
        assert_eq!(timer.next.map(|at| at.to_string()).as_deref(), Some("2026-12-02T01:11:10Z"));
        assert!(service.failed && !service.is_on() && service.confined);
        for (folder, may) in [("/var/backups/toban/x", true), ("/var/lib/toban", true), ("/srv", false)] {
            assert_eq!(service.may_write(Path::new(folder)), may, "{folder}");
        }
        assert_eq!(service.mounts, [Path::new("/var/backups/toban")]);
        assert!(!missing.installed && !missing.is_on());
    }
}
