//! Updates: what waits, how fresh the lists are, what still runs the old version, and how long the release lives.

use crate::fact::SubjectReport;
use crate::finding::HostFinding;
use crate::host::{HostView, ProgramQuestion, Sight, Unseen};
use crate::look::processes::{ProcessTable, RunningProgram};
use crate::look::versions::compare_versions;
use crate::rules;
use crate::subject::HostSubject;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use toban_core::Severity;
use toban_core::check::Rule;

/// Lists of this age are told; older ones prove nothing.
const LISTS_WARN: SignedDuration = SignedDuration::from_hours(3 * 24);
const LISTS_UNKNOWN: SignedDuration = SignedDuration::from_hours(14 * 24);
/// Security support ends (Debian's with LTS, Ubuntu's standard), and the day this table was read from their pages.
const ENDS: [(&str, &str, &str); 9] = [
    ("debian", "10", "2024-06-30"),
    ("debian", "11", "2026-08-31"),
    ("debian", "12", "2028-06-30"),
    ("debian", "13", "2030-06-30"),
    ("ubuntu", "18.04", "2023-05-31"),
    ("ubuntu", "20.04", "2025-05-31"),
    ("ubuntu", "22.04", "2027-06-01"),
    ("ubuntu", "24.04", "2029-05-31"),
    ("ubuntu", "26.04", "2031-05-31"),
];
const TABLE_OF: &str = "2026-11-30";

/// A package with a newer version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PendingUpdate {
    name: String,
    version: String,
    security: bool,
}

/// Everything that was asked.
#[derive(Debug)]
pub(crate) struct UpdateFacts {
    pending: Sight<Vec<PendingUpdate>>,
    held: Sight<Vec<String>>,
    broken: Sight<String>,
    lists: Sight<Timestamp>,
    release: Sight<BTreeMap<String, String>>,
    kernel: Sight<KernelFacts>,
    reboot_required: bool,
    /// apt's own settings, where unattended-upgrades is installed.
    periodic: Option<Sight<String>>,
}

/// The kernel that runs, and those that are installed: package and version.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct KernelFacts {
    running: String,
    build: String,
    installed: Vec<(String, String)>,
}

/// Asks apt and dpkg; None where they are not there.
pub(crate) fn read_updates(host: &HostView) -> Sight<UpdateFacts> {
    if host.read_some("/var/lib/dpkg/status")?.is_none() {
        return Err(Unseen::new("updates", "there is no dpkg here")
            .cure("dnf updateinfo list --security; needs-restarting -r"));
    }
    // Without the lock: apt may run at this very moment. With dist-upgrade, as upgrade leaves new kernels out.
    let simulate = ["apt-get", "-s", "-o", "Debug::NoLocking=true", "dist-upgrade"];
    let asked = |label: &str, command: &[&str]| host.ask(&ProgramQuestion { label, command, also: &[1] });
    Ok(UpdateFacts {
        pending: host
            .ask(&ProgramQuestion { label: "apt-upgrade", command: &simulate, also: &[] })
            .map(|t| parse_pending(&t)),
        held: asked("apt-held", &["apt-mark", "showhold"]).map(|t| t.lines().map(String::from).collect()),
        broken: asked("dpkg-audit", &["dpkg", "--audit"]),
        lists: find_list_age(host),
        release: host.read_text("/etc/os-release").map(|t| parse_release(&t)),
        kernel: read_kernels(host),
        reboot_required: host.path("/run/reboot-required").exists(),
        periodic: host.path("/var/lib/dpkg/info/unattended-upgrades.list").exists().then(|| {
            host.ask(&ProgramQuestion {
                label: "apt-config",
                command: &["apt-config", "dump", "APT::Periodic"],
                also: &[],
            })
        }),
    })
}

/// `Inst NAME [OLD] (NEW ORIGIN:VERSION/SUITE, … [ARCH])`; warnings of apt begin with other words.
fn parse_pending(text: &str) -> Vec<PendingUpdate> {
    let update = |line: &str| {
        let rest = line.strip_prefix("Inst ")?;
        let (name, rest) = rest.split_once(' ')?;
        let inside = rest.split_once('(')?.1;
        let version = inside.split_whitespace().next()?.trim_end_matches(')').to_string();
        // By the origin's label or the suite's end: `stable` becomes `oldstable` one day, and is still security.
        let security =
            inside.contains("-Security:") || inside.contains("-security") || inside.contains("UbuntuESM");
        Some(PendingUpdate { name: name.into(), version, security })
    };
    text.lines().filter_map(update).collect()
}

fn find_list_age(host: &HostView) -> Sight<Timestamp> {
    let stamp = "/var/lib/apt/periodic/update-success-stamp";
    let lists = ["/var/lib/apt/lists/partial", "/var/lib/apt/lists"];
    let modified = |path: &str| {
        host.path(path).metadata().ok()?.modified().ok().and_then(|t| Timestamp::try_from(t).ok())
    };
    // The stamp where Ubuntu writes it; else when the folder was last written to. A list's own time is the archive's.
    let newest = modified(stamp).or_else(|| lists.iter().filter_map(|l| modified(l)).max());
    newest.ok_or_else(|| Unseen::new("package lists", "there are none").cure("apt-get update"))
}

fn parse_release(text: &str) -> BTreeMap<String, String> {
    let pair =
        |line: &str| line.split_once('=').map(|(k, v)| (k.to_string(), v.trim_matches('"').to_string()));
    text.lines().filter_map(pair).collect()
}

fn read_kernels(host: &HostView) -> Sight<KernelFacts> {
    let build = host.read_text("/proc/version")?;
    let running = build.split_whitespace().nth(2).unwrap_or_default().to_string();
    let installed = parse_kernels(&host.read_text("/var/lib/dpkg/status")?);
    Ok(KernelFacts { running, build, installed })
}

fn parse_kernels(status: &str) -> Vec<(String, String)> {
    let field = |entry: &str, name: &str| {
        entry.lines().find_map(|l| l.strip_prefix(name)).map(|v| v.trim().to_string())
    };
    let kernel = |entry: &str| {
        let name = field(entry, "Package:")?
            .strip_prefix("linux-image-")?
            .trim_start_matches("unsigned-")
            .to_string();
        let is_one = name.starts_with(|c: char| c.is_ascii_digit()) && !name.ends_with("-dbg");
        let installed = field(entry, "Status:")?.ends_with(" installed");
        (is_one && installed).then_some((name, field(entry, "Version:")?))
    };
    status.split("\n\n").filter_map(kernel).collect()
}

impl KernelFacts {
    /// The newest kernel, when it is another than the one that runs; None also where the running one is no package's.
    fn find_newer(&self) -> Option<String> {
        let running = self.installed.iter().find(|k| k.0 == self.running)?;
        let newest = self.installed.iter().max_by(|a, b| compare_versions(&a.1, &b.1))?;
        if newest.0 != running.0 {
            return (compare_versions(&newest.1, &running.1).is_gt())
                .then(|| format!("{} {}", newest.0, newest.1));
        }
        // The same name in another build: /proc/version says which one was booted (Debian; Ubuntu's new build has a new name).
        let (_, booted) = self.build.split_once(" Debian ")?;
        (booted.split_whitespace().next()? != running.1).then(|| format!("{} {}", running.0, running.1))
    }
}

/// What waits and since when nothing is known.
pub(crate) fn judge_updates(
    facts: &UpdateFacts,
    processes: &Sight<ProcessTable>,
    now: Timestamp,
    report: &mut SubjectReport,
) {
    let pending = facts.pending.as_ref().map(Vec::as_slice).unwrap_or_default();
    let security: Vec<&PendingUpdate> = pending.iter().filter(|p| p.security).collect();
    report.looked_at = format!("{} updates wait, {} of them for security", pending.len(), security.len());
    report.gaps.extend(facts.pending.as_ref().err().cloned());
    report.gaps.extend(facts.held.as_ref().err().cloned());
    report.gaps.extend(facts.broken.as_ref().err().cloned());
    judge_lists(facts, now, report);
    if !security.is_empty() {
        let named: Vec<String> =
            security.iter().take(5).map(|p| format!("{} {}", p.name, p.version)).collect();
        let more = security.len() - named.len();
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        let said = format!("{} security updates: {}{rest}", security.len(), named.join(", "));
        report.findings.push(update_finding(&rules::SECURITY_UPDATES, "security", said));
    }
    // A held package is not in the simulation: it is named for what it is, as nobody can tell what waits behind it.
    for name in facts.held.as_ref().map(Vec::as_slice).unwrap_or_default() {
        let said = "held: no update is installed, no security update either".to_string();
        report.findings.push(update_finding(&rules::HELD_PACKAGE, &format!("held/{name}"), said));
    }
    if let Some(text) = facts.broken.as_ref().ok().filter(|t| !t.trim().is_empty()) {
        let said = text.lines().find(|l| !l.trim().is_empty()).unwrap_or_default().trim().to_string();
        report.findings.push(
            HostFinding::new(HostSubject::Updates, &rules::PACKAGES_BROKEN, "dpkg", Severity::Critical)
                .says(said),
        );
    }
    match &facts.periodic {
        Some(Ok(text)) => report.findings.extend(
            find_off_setting(text).map(|said| update_finding(&rules::UNATTENDED_OFF, "unattended", said)),
        ),
        Some(Err(unseen)) => report.gaps.push(unseen.clone()),
        None => {}
    }
    judge_reboot(facts, report);
    judge_release(&facts.release, now, report);
    match processes {
        Ok(table) => report.findings.extend(restart_findings(table)),
        Err(unseen) => report.gaps.push(unseen.clone()),
    }
}

/// The setting that keeps unattended-upgrades from running: one that is 0, or not there.
fn find_off_setting(dump: &str) -> Option<String> {
    ["Update-Package-Lists", "Unattended-Upgrade"].into_iter().find_map(|name| {
        let prefix = format!("APT::Periodic::{name} \"");
        let value = dump.lines().find_map(|l| l.strip_prefix(&prefix)).map(|v| v.trim_end_matches("\";"));
        match value {
            Some("0") | None => Some(format!("APT::Periodic::{name} is {}", value.unwrap_or("not set"))),
            Some(_) => None,
        }
    })
}

fn update_finding(rule: &'static Rule, key: &str, said: String) -> HostFinding {
    HostFinding::new(HostSubject::Updates, rule, key, Severity::Warning).says(said)
}

fn judge_lists(facts: &UpdateFacts, now: Timestamp, report: &mut SubjectReport) {
    match &facts.lists {
        Err(unseen) => report.gaps.push(unseen.clone()),
        Ok(at) if now.duration_since(*at) > LISTS_UNKNOWN => {
            let days = now.duration_since(*at).as_hours() / 24;
            let why = format!("the lists are {days} days old: what came since is not known");
            report
                .gaps
                .push(Unseen::new("pending updates", why).cure("apt-get update; is apt-daily.timer on?"));
        }
        Ok(at) if now.duration_since(*at) > LISTS_WARN => {
            let days = now.duration_since(*at).as_hours() / 24;
            report.findings.push(
                update_finding(&rules::LISTS_OLD, "lists", format!("they are {days} days old"))
                    .since(Some(*at)),
            );
        }
        Ok(_) => {}
    }
}

fn judge_reboot(facts: &UpdateFacts, report: &mut SubjectReport) {
    let newer = match &facts.kernel {
        Ok(kernel) => {
            kernel.find_newer().map(|newer| format!("{} runs, {newer} is installed", kernel.running))
        }
        Err(unseen) => {
            report.gaps.push(unseen.clone());
            None
        }
    };
    let asked = facts.reboot_required.then(|| "a package asked for it: /run/reboot-required".to_string());
    report
        .findings
        .extend(newer.or(asked).map(|said| update_finding(&rules::REBOOT_PENDING, "reboot", said)));
}

fn judge_release(release: &Sight<BTreeMap<String, String>>, now: Timestamp, report: &mut SubjectReport) {
    let release = match release {
        Ok(release) => release,
        Err(unseen) => return report.gaps.push(unseen.clone()),
    };
    let value = |name: &str| release.get(name).map(String::as_str).unwrap_or_default();
    let (id, version) = (value("ID"), value("VERSION_ID"));
    let today = now.to_zoned(TimeZone::UTC).date();
    let end = ENDS.iter().find(|e| (e.0, e.1) == (id, version)).and_then(|e| e.2.parse::<Date>().ok());
    let table: Date = TABLE_OF.parse().unwrap_or(today);
    let gap =
        |why: String| Unseen::new("end of life", why).cure("look at the distribution's page of releases");
    match end {
        Some(end) if end < today => {
            let said = format!("{id} {version} got its last security update on {end}");
            report.findings.push(
                HostFinding::new(HostSubject::Updates, &rules::END_OF_LIFE, "release", Severity::Critical)
                    .says(said),
            );
        }
        None => report.gaps.push(gap(format!("{id} {version} is not in the table of {TABLE_OF}"))),
        Some(_) if (today - table).get_days() > 365 => {
            report.gaps.push(gap(format!("the table is of {TABLE_OF}, more than a year ago")));
        }
        Some(_) => {}
    }
}

/// Services that run what was replaced, each once.
fn restart_findings(table: &ProcessTable) -> Vec<HostFinding> {
    let old = |p: &&crate::look::processes::HostProcess| {
        !p.in_container
            && (p.stale_libraries || matches!(p.program, RunningProgram::Deleted { again: true, .. }))
    };
    let name = |p: &crate::look::processes::HostProcess| {
        if p.unit.is_empty() { p.main_path() } else { p.unit.clone() }
    };
    let units: BTreeSet<String> = table.processes.iter().filter(old).map(name).collect();
    let finding = |unit: String| {
        let advice = if unit.ends_with(".service") {
            format!("systemctl restart {unit}")
        } else {
            "log out and in, or reboot".into()
        };
        update_finding(
            &rules::RESTART_PENDING,
            &format!("restart/{unit}"),
            format!("{unit} runs a program or a library that was replaced"),
        )
        .advise(advice)
    };
    units.into_iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn security_is_told_by_origin_or_suite() {
        let text = "NOTE: This is only a simulation!\nW: some list is old\n\
            Inst libssl3 [3.0.15] (3.0.17 Debian:12.15/oldstable, Debian-Security:12/oldstable-security [amd64])\n\
            Inst vim [2:9.0] (2:9.1 Debian:12.15/stable [amd64])\n\
            Inst linux-image-6.1.0-40-amd64 (6.1.153-1 Debian-Security:12/stable-security [amd64])\n\
            Inst bash [5.2] (5.2.1 Ubuntu:24.04/noble-security [amd64])\n\
            Conf vim (2:9.1 Debian:12.15/stable [amd64])\n";
        let told: Vec<(String, bool)> =
            parse_pending(text).into_iter().map(|p| (p.name, p.security)).collect();
        let wanted =
            [("libssl3", true), ("vim", false), ("linux-image-6.1.0-40-amd64", true), ("bash", true)];
        assert_eq!(told, wanted.map(|(n, s)| (n.to_string(), s)));
    }

    #[test]
    fn a_newer_kernel_waits_for_a_reboot() {
        let kernels = |installed: &[(&str, &str)], build: &str| KernelFacts {
            running: "6.1.0-37-amd64".into(),
            build: format!("Linux version 6.1.0-37-amd64 (x) #1 SMP Debian {build} (2025-05-22)"),
            installed: installed.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect(),
        };
        let old = ("6.1.0-37-amd64", "6.1.140-1");
        assert_eq!(kernels(&[old], "6.1.140-1").find_newer(), None);
        assert_eq!(kernels(&[old, ("6.1.0-9-amd64", "6.1.27-1")], "6.1.140-1").find_newer(), None);
        assert!(kernels(&[old, ("6.1.0-40-amd64", "6.1.153-1")], "6.1.140-1").find_newer().is_some());
        assert!(
            kernels(&[("6.1.0-37-amd64", "6.1.147-1")], "6.1.140-1").find_newer().is_some(),
            "the same name, a newer build"
        );
        assert_eq!(
            kernels(&[("6.12.9-cloud-amd64", "6.12.9-1")], "6.1.140-1").find_newer(),
            None,
            "not a package's"
        );
    }
}
