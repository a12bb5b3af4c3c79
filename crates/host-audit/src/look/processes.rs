//! Processes: one pass over /proc, and what is odd about them.

use crate::fact::{HostFact, SubjectReport};
use crate::finding::HostFinding;
use crate::host::{HostView, Sight, Unseen};
use crate::look::accounts::AccountTable;
use crate::look::packages::{PackageOwners, find_owners};
use crate::rules;
use crate::subject::HostSubject;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::ErrorKind;
use toban_core::Severity;
use toban_core::check::Rule;

/// `PF_KTHREAD` of the kernel's include/linux/sched.h: nothing in user space can set it.
const KERNEL_THREAD: u64 = 0x0020_0000;
/// `USER_HZ`: the unit of times in /proc on every architecture that Debian knows.
const TICKS: u64 = 100;
/// runc runs a copy of itself in memory for a moment: younger programs in memory are not told.
const SETTLED: u64 = 300;
/// Folders that everybody may write to.
const OPEN_FOLDERS: [&str; 4] = ["/tmp/", "/var/tmp/", "/dev/shm/", "/run/lock/"];
const INTERPRETERS: [&str; 10] =
    ["python", "perl", "ruby", "node", "php", "bash", "dash", "sh", "lua", "zsh"];

/// What `/proc/PID/exe` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RunningProgram {
    File(String),
    /// The file is gone; `again` when another has its name.
    Deleted {
        path: String,
        again: bool,
    },
    InMemory(String),
    /// A zombie or a kernel thread has none.
    None,
    Unreadable,
}

/// One process.
#[derive(Clone, Debug)]
pub(crate) struct HostProcess {
    pub(crate) pid: u32,
    pub(crate) comm: String,
    pub(crate) arg0: String,
    pub(crate) is_kernel: bool,
    /// Seconds since it began.
    pub(crate) age: u64,
    pub(crate) uid: Option<u32>,
    pub(crate) program: RunningProgram,
    /// What an interpreter runs.
    pub(crate) script: Option<String>,
    pub(crate) unit: String,
    pub(crate) in_container: bool,
    pub(crate) stale_libraries: bool,
    pub(crate) net: Option<String>,
}

/// Everything that runs, and who holds which socket.
#[derive(Debug, Default)]
pub(crate) struct ProcessTable {
    pub(crate) processes: Vec<HostProcess>,
    /// The place in `processes` of whoever holds a socket, by inode.
    pub(crate) holders: HashMap<u64, usize>,
    pub(crate) gaps: Vec<Unseen>,
    pub(crate) owners: Option<PackageOwners>,
}

/// Reads /proc once. Of sockets only those in `wanted` are kept.
pub(crate) fn read_processes(host: &HostView, wanted: &HashSet<u64>) -> Sight<ProcessTable> {
    let uptime = host.read_text("/proc/uptime")?;
    let now = uptime.split('.').next().and_then(|s| s.parse().ok()).unwrap_or(0_u64);
    let pids: Vec<u32> = host.list_names("/proc")?.iter().filter_map(|n| n.parse().ok()).collect();
    if !pids.contains(&1) {
        return Err(Unseen::new("processes", "process 1 is not visible: hidepid, or a namespace of our own")
            .cure("run it as root with CAP_SYS_PTRACE; a unit needs ProtectProc=default"));
    }
    let mut table = ProcessTable::default();
    let (mut unreadable, mut closed) = (0_u64, 0_u64);
    for pid in pids {
        // It may end at any moment between two reads: then it is not there, and that is no trouble.
        let Some(process) = read_process(host, pid, now) else { continue };
        unreadable += u64::from(process.program == RunningProgram::Unreadable);
        closed += u64::from(!take_sockets(host, pid, wanted, &mut table));
        table.processes.push(process);
    }
    let told = |n: u64, what: &str| {
        (n > 0).then(|| {
            Unseen::new(what, format!("permission denied for {n} processes"))
                .cure("run it as root with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH")
        })
    };
    table.gaps.extend(told(unreadable, "programs of processes"));
    table.gaps.extend(told(closed, "open files of processes"));
    let paths = table.processes.iter().filter(|p| !p.in_container).flat_map(HostProcess::paths).collect();
    match find_owners(host, &paths) {
        Ok(owners) => table.owners = Some(owners),
        Err(unseen) => table.gaps.push(unseen),
    }
    Ok(table)
}

/// Whether the open files could be read.
fn take_sockets(host: &HostView, pid: u32, wanted: &HashSet<u64>, table: &mut ProcessTable) -> bool {
    let entries = match std::fs::read_dir(host.path(&format!("/proc/{pid}/fd"))) {
        Ok(entries) => entries,
        Err(e) => return e.kind() != ErrorKind::PermissionDenied,
    };
    for entry in entries.flatten() {
        let Ok(link) = std::fs::read_link(entry.path()) else { continue };
        let inode = link.to_str().and_then(|l| l.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
        if let Some(inode) = inode.filter(|inode| wanted.contains(inode)) {
            // A socket that was handed on is the first one's, which listens: systemd before the service.
            table.holders.entry(inode).or_insert(table.processes.len());
        }
    }
    true
}

fn read_process(host: &HostView, pid: u32, now: u64) -> Option<HostProcess> {
    let file = |name: &str| host.read_text(&format!("/proc/{pid}/{name}")).ok();
    let stat = parse_stat(&file("stat")?)?;
    let uid = file("status").and_then(|s| find_field(&s, "Uid:")?.split_whitespace().next()?.parse().ok());
    let command = file("cmdline").unwrap_or_default();
    let arguments: Vec<&str> = command.split('\0').collect();
    let cgroup = file("cgroup").unwrap_or_default();
    let is_kernel = stat.flags & KERNEL_THREAD != 0;
    let program = if is_kernel { RunningProgram::None } else { read_program(host, pid) };
    let script = match &program {
        RunningProgram::File(path) => find_script(host, pid, path, &arguments),
        _ => None,
    };
    let maps = if is_kernel { None } else { file("maps") };
    let net = std::fs::read_link(host.path(&format!("/proc/{pid}/ns/net"))).ok();
    Some(HostProcess {
        pid,
        comm: stat.comm,
        arg0: arguments.first().copied().unwrap_or_default().to_string(),
        is_kernel,
        age: now.saturating_sub(stat.start / TICKS),
        uid,
        program,
        script,
        unit: find_unit(&cgroup),
        in_container: is_container(&cgroup),
        stale_libraries: maps.is_some_and(|m| m.lines().any(is_stale_library)),
        net: net.map(|n| n.to_string_lossy().into_owned()),
    })
}

struct ProcessStat {
    comm: String,
    flags: u64,
    start: u64,
}

/// proc(5): field 2 is the name in parentheses and may hold anything, so what follows begins at the last one.
fn parse_stat(text: &str) -> Option<ProcessStat> {
    let (head, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse().ok();
    let comm = head.split_once('(')?.1.to_string();
    Some(ProcessStat { comm, flags: number(9)?, start: number(22)? })
}

fn find_field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|l| l.strip_prefix(name)).map(str::trim)
}

fn read_program(host: &HostView, pid: u32) -> RunningProgram {
    let link = match std::fs::read_link(host.path(&format!("/proc/{pid}/exe"))) {
        Ok(link) => link.to_string_lossy().into_owned(),
        Err(e) if e.kind() == ErrorKind::PermissionDenied => return RunningProgram::Unreadable,
        Err(_) => return RunningProgram::None,
    };
    if link.starts_with("/memfd:") {
        return RunningProgram::InMemory(link);
    }
    match link.strip_suffix(" (deleted)") {
        Some(path) => {
            RunningProgram::Deleted { path: path.into(), again: host.path(path).symlink_metadata().is_ok() }
        }
        None => RunningProgram::File(link),
    }
}

/// The file that an interpreter runs: what matters of `python3 /tmp/x.py` is not Python.
fn find_script(host: &HostView, pid: u32, program: &str, arguments: &[&str]) -> Option<String> {
    let name = program.rsplit('/').next()?;
    INTERPRETERS.iter().find(|i| name.starts_with(**i))?;
    let script = arguments.iter().skip(1).find(|a| !a.is_empty()).filter(|a| !a.starts_with('-'))?;
    if script.starts_with('/') {
        return Some((*script).to_string());
    }
    let folder = std::fs::read_link(host.path(&format!("/proc/{pid}/cwd"))).ok()?;
    Some(folder.join(script.trim_start_matches("./")).to_string_lossy().into_owned())
}

/// The unit of systemd that a process is of; a session of a person is `session`, whatever its number.
fn find_unit(cgroup: &str) -> String {
    let path = cgroup
        .lines()
        .find_map(|l| l.strip_prefix("0::").or_else(|| l.split_once("name=systemd:").map(|x| x.1)));
    let parts: Vec<&str> = path.unwrap_or_default().split('/').filter(|p| !p.is_empty()).collect();
    if parts.iter().any(|p| p.starts_with("user-") || *p == "user.slice") {
        return "session".into();
    }
    let unit = parts.iter().rev().find(|p| [".service", ".scope", ".socket"].iter().any(|e| p.ends_with(e)));
    unit.map(ToString::to_string).unwrap_or_default()
}

fn is_container(cgroup: &str) -> bool {
    let engines = ["docker", "containerd", "kubepods", "libpod", "lxc", "crio", "machine.slice"];
    cgroup.lines().any(|l| engines.iter().any(|e| l.contains(e)))
}

/// A library that was replaced under a running program; what programs map and delete on purpose is none.
fn is_stale_library(line: &str) -> bool {
    let Some(path) = line.strip_suffix(" (deleted)").and_then(|l| Some(&l[l.find('/')?..])) else {
        return false;
    };
    let passing = ["/memfd:", "/dev/", "/SYSV", "/[aio]", "/drm", "/tmp/", "/run/", "/i915", "/home/"];
    line.split_whitespace().nth(1).is_some_and(|mode| mode.contains('x'))
        && !passing.iter().any(|p| path.starts_with(p))
}

impl HostProcess {
    /// What it runs, with what its interpreter runs.
    pub(crate) fn paths(&self) -> Vec<String> {
        let program = match &self.program {
            RunningProgram::File(path) | RunningProgram::Deleted { path, .. } => Some(path.clone()),
            _ => None,
        };
        program.into_iter().chain(self.script.clone()).collect()
    }

    /// What it runs, for keys: the script before its interpreter.
    pub(crate) fn main_path(&self) -> String {
        self.paths().pop().unwrap_or_else(|| format!("[{}]", self.comm))
    }

    /// For people: what it runs, as whom, in which unit.
    pub(crate) fn describe(&self, accounts: &AccountTable) -> String {
        let unit = if self.unit.is_empty() { "no unit" } else { &self.unit };
        let user = self.uid.map_or_else(|| "?".into(), |uid| accounts.name_of(uid));
        format!("{} as {user} in {unit}, pid {}", self.main_path(), self.pid)
    }
}

/// What is odd about each, the same thing of many processes once.
pub(crate) fn judge_processes(table: &ProcessTable, accounts: &AccountTable, report: &mut SubjectReport) {
    report.gaps.extend(table.gaps.iter().filter(|g| g.what != "open files of processes").cloned());
    let (containers, own): (Vec<&HostProcess>, Vec<&HostProcess>) =
        table.processes.iter().partition(|p| p.in_container);
    report.looked_at =
        format!("{} processes; {} in containers, judged by name only", own.len(), containers.len());
    let mut told: BTreeMap<String, HostFinding> = BTreeMap::new();
    for process in &table.processes {
        if let Some((rule, what)) = find_oddity(process, accounts) {
            let finding =
                HostFinding::new(HostSubject::Processes, rule, &process.main_path(), Severity::Critical);
            let text = format!("{what}: {}", process.describe(accounts));
            told.entry(format!("{} {}", rule.id, process.main_path())).or_insert(finding.says(text));
        }
    }
    report.findings.extend(told.into_values());
    let Some(owners) = &table.owners else { return };
    report.facts.extend(own.into_iter().filter_map(|p| strange_fact(p, owners, accounts)));
}

/// What no honest process does.
fn find_oddity(p: &HostProcess, accounts: &AccountTable) -> Option<(&'static Rule, &'static str)> {
    if p.is_kernel {
        return None;
    }
    let fake = |name: &str| name.starts_with('[') && name.ends_with(']');
    if (fake(&p.arg0) || fake(&p.comm)) && p.program != RunningProgram::None {
        return Some((&rules::FALSE_KERNEL_THREAD, "imitates a kernel thread"));
    }
    let in_tmp = |path: &String| OPEN_FOLDERS.iter().any(|f| path.starts_with(f));
    match &p.program {
        RunningProgram::InMemory(_) if p.age >= SETTLED => {
            return Some((&rules::PROGRAM_IN_MEMORY, "runs from memory"));
        }
        _ if p.in_container => return None,
        RunningProgram::Deleted { again: false, .. } => {
            return Some((&rules::DELETED_PROGRAM, "its program was deleted"));
        }
        _ if p.paths().iter().any(in_tmp) => {
            return Some((&rules::PROGRAM_IN_TMP, "its program lies where everybody writes"));
        }
        _ => {}
    }
    let unknown = p.uid.filter(|uid| accounts.is_whole() && accounts.find_uid(*uid).is_none());
    // systemd gives numbers of this range to units with DynamicUser= (systemd.exec(5)).
    let unknown = unknown.filter(|uid| !(61184..=65519).contains(uid));
    unknown.map(|_| (&rules::UNKNOWN_USER, "its user has no account"))
}

fn strange_fact(p: &HostProcess, owners: &PackageOwners, accounts: &AccountTable) -> Option<HostFact> {
    let strange: Vec<String> = p.paths().into_iter().filter(|path| owners.of(path).is_none()).collect();
    let path = strange.last()?;
    let user = p.uid.map_or_else(|| "?".into(), |uid| accounts.name_of(uid));
    let weight = if p.uid == Some(0) { Severity::Critical } else { Severity::Warning };
    let key =
        format!("{user}:{path}{}", if p.unit.is_empty() { String::new() } else { format!("@{}", p.unit) });
    Some(
        HostFact::new(key, "")
            .says(format!("no package brought {}", p.describe(accounts)))
            .weighs(weight)
            .happened(None),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let tail = "S 1 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        for name in ["a) R 1 (b", "two words", "new\nline", "(", ""] {
            let stat = parse_stat(&format!("7 ({name}) {tail}")).expect("a stat");
            assert_eq!((stat.comm.as_str(), stat.flags, stat.start), (name, 4_194_560, 4711), "{name:?}");
        }
        for cut in ["", "7", "7 (x", "7 (x) S 1"] {
            assert!(parse_stat(cut).is_none(), "{cut:?}");
        }
    }

    #[test]
    fn units_and_containers_are_read_from_either_hierarchy() {
        for (cgroup, unit, container) in [
            ("0::/system.slice/nginx.service\n", "nginx.service", false),
            ("1:name=systemd:/system.slice/cron.service\n0::/\n", "cron.service", false),
            ("0::/user.slice/user-1000.slice/session-7.scope\n", "session", false),
            ("0::/system.slice/docker-0123abc.scope\n", "docker-0123abc.scope", true),
            ("0::/\n", "", false),
        ] {
            assert_eq!((find_unit(cgroup).as_str(), is_container(cgroup)), (unit, container), "{cgroup}");
        }
    }

    #[test]
    fn a_replaced_library_is_told_from_what_programs_delete_themselves() {
        let line =
            |mode: &str, path: &str| format!("7f00-7f01 {mode} 00000000 fe:01 123    {path} (deleted)");
        assert!(is_stale_library(&line("r-xp", "/usr/lib/x86_64-linux-gnu/libssl.so.3")));
        for (mode, path) in [
            ("r-xp", "/dev/zero"),
            ("r--p", "/usr/lib/libssl.so.3"),
            ("rwxp", "/memfd:x"),
            ("r-xp", "/SYSV00"),
        ] {
            assert!(!is_stale_library(&line(mode, path)), "{path}");
        }
    }
}
