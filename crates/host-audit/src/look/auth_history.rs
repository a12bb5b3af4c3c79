//! Who logged in and who became root, from every log that is there: read once, kept by person and not by event.

use crate::host::{HostView, ProgramQuestion, Sight, Unseen};
use crate::look::auth_log::{AuthEvent, TimedEvent, parse_line, parse_message};
use crate::look::wtmp::{BOOT, RUN_LEVEL, USER, WtmpRecord, read_wtmp};
use flate2::read::MultiGzDecoder;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, BufReader, Read};
use std::net::IpAddr;

/// So many failures, then a success from the same address: a password was guessed.
const GUESSES: u32 = 10;
/// Addresses whose failures are counted at once.
const MOST_ADDRESSES: usize = 100_000;
/// A clock that is off by less is no news.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);
const LOGS: [&str; 2] = ["auth.log", "secure"];

/// When something happened first and last, how often, and who says so.
#[derive(Clone, Debug, Default)]
pub(crate) struct Occurrence {
    pub(crate) last: Option<Timestamp>,
    pub(crate) times: u64,
    pub(crate) sources: BTreeSet<String>,
    pub(crate) methods: BTreeSet<String>,
}

/// A login from a place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LoginPlace {
    pub(crate) user: String,
    pub(crate) network: String,
}

/// A way to root that somebody took.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RootUse {
    pub(crate) actor: String,
    pub(crate) target: String,
    pub(crate) program: String,
}

/// A success after many failures.
#[derive(Clone, Debug)]
pub(crate) struct GuessedLogin {
    pub(crate) user: String,
    pub(crate) address: String,
    pub(crate) failures: u32,
    pub(crate) at: Option<Timestamp>,
}

/// Everything that the logs say.
#[derive(Debug, Default)]
pub(crate) struct AuthHistory {
    pub(crate) logins: BTreeMap<LoginPlace, Occurrence>,
    pub(crate) guessed: Vec<GuessedLogin>,
    pub(crate) uses: BTreeMap<RootUse, Occurrence>,
    pub(crate) refusals: BTreeMap<String, Occurrence>,
    /// Files with bytes that are no record: path and how many.
    pub(crate) damaged: Vec<(String, u64)>,
    pub(crate) implausible: u64,
    /// Boots without a shutdown before them.
    pub(crate) unclean: Vec<Timestamp>,
    pub(crate) sources: BTreeSet<String>,
    pub(crate) gaps: Vec<Unseen>,
    failures: HashMap<String, u32>,
}

/// Reads every source that is there.
///
/// # Errors
/// When there is none at all: that is not the same as no login.
pub(crate) fn read_history(host: &HostView, now: Timestamp) -> Sight<AuthHistory> {
    let mut history = AuthHistory::default();
    let names = host.list_names("/var/log")?;
    let mut files: Vec<&String> = names.iter().filter(|n| is_log(n)).collect();
    files.sort_by_key(|n| std::cmp::Reverse(rotation_of(n)));
    for name in files {
        read_log(host, name, now, &mut history);
    }
    let rotated = |n: &&String| n.as_str() == "wtmp" || n.starts_with("wtmp.") || n.starts_with("wtmp-");
    for name in names.iter().filter(rotated) {
        read_wtmp_file(host, name, now, &mut history);
    }
    crate::look::login_dbs::read_login_dbs(host, now, &mut history);
    if !history.has_log() {
        read_journal(host, &mut history);
    }
    // An empty file proves nothing where nobody writes into it: it is there since the installation.
    match !history.has_log() && history.logins.is_empty() && history.gaps.is_empty() {
        true => Err(Unseen::new("logins", "there is no log of them: no auth.log, secure or journal, and nothing in wtmp, wtmpdb or lastlog2")
            .cure("install rsyslog, or make /var/log/journal")),
        false => Ok(history),
    }
}

fn is_log(name: &str) -> bool {
    LOGS.iter()
        .any(|log| name.strip_prefix(log).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-'])))
}

/// The higher, the older; dates of `dateext` sort the other way round.
fn rotation_of(name: &str) -> i64 {
    let number = name.split(['.', '-']).find_map(|part| part.parse::<i64>().ok());
    number.map_or(0, |n| if n > 10_000 { 100_000_000 - n } else { n })
}

fn read_log(host: &HostView, name: &str, now: Timestamp, history: &mut AuthHistory) {
    let path = format!("/var/log/{name}");
    let file = match host.open_file(&path) {
        Ok(file) => file,
        Err(unseen) => return history.gaps.push(unseen),
    };
    let modified = file.metadata().and_then(|m| m.modified()).ok().and_then(|t| Timestamp::try_from(t).ok());
    let near = modified.unwrap_or(now).min(now + AHEAD);
    let reader: Box<dyn Read> = match name.rsplit('.').next() {
        Some("gz") => Box::new(MultiGzDecoder::new(file)),
        Some("zst" | "xz" | "bz2") => {
            return history.gaps.push(
                Unseen::new(path, "it is compressed in a form that is not read here")
                    .cure("let logrotate use gzip"),
            );
        }
        _ => Box::new(file),
    };
    history.sources.insert(name.into());
    let mut lines = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        match lines.by_ref().take(1 << 16).read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(_) => {}
            Err(e) => return history.gaps.push(Unseen::new(path, e.to_string())),
        }
        if let Some(event) = parse_line(String::from_utf8_lossy(&line).trim_end(), near) {
            history.add_event(event, "log");
        }
    }
}

fn read_journal(host: &HostView, history: &mut AuthHistory) {
    let there = ["/var/log/journal", "/run/log/journal"]
        .iter()
        .any(|d| !host.list_names(d).unwrap_or_default().is_empty());
    if !there {
        return;
    }
    let mut command = vec![
        "journalctl",
        "-q",
        "-o",
        "json",
        "--no-pager",
        "--since=-35d",
        "--output-fields=MESSAGE,SYSLOG_IDENTIFIER",
    ];
    command.extend([
        "-t",
        "sshd",
        "-t",
        "sshd-session",
        "-t",
        "sshd-auth",
        "-t",
        "sudo",
        "-t",
        "su",
        "-t",
        "pkexec",
        "-t",
        "doas",
    ]);
    match host.ask(&ProgramQuestion { label: "journal-auth.json", command: &command, also: &[] }) {
        Ok(text) => {
            // Lines of sudo have the arguments of commands, of which nothing is kept.
            host.forget_raw("journal-auth.json");
            history.sources.insert("journal".into());
            text.lines().filter_map(parse_entry).for_each(|event| history.add_event(event, "journal"));
        }
        Err(unseen) => history.gaps.push(unseen),
    }
}

/// One entry of `journalctl -o json`; a message that is no text is an array there, and none of these.
fn parse_entry(line: &str) -> Option<TimedEvent> {
    let entry: serde_json::Value = serde_json::from_str(line).ok()?;
    let text = |name: &str| entry.get(name)?.as_str();
    let micros: i64 = text("__REALTIME_TIMESTAMP")?.parse().ok()?;
    let event = parse_message(text("SYSLOG_IDENTIFIER")?, text("MESSAGE")?)?;
    Some(TimedEvent { at: Timestamp::from_microsecond(micros).ok(), event })
}

fn read_wtmp_file(host: &HostView, name: &str, now: Timestamp, history: &mut AuthHistory) {
    let path = format!("/var/log/{name}");
    let mut file = match host.open_file(&path) {
        Ok(file) => file,
        Err(unseen) => return history.gaps.push(unseen),
    };
    let mut up = false;
    let read = read_wtmp(&mut file, &mut |record| {
        let crashed = follow_power(&record, &mut up);
        history.unclean.extend(crashed.then(|| Timestamp::from_second(record.seconds).ok()).flatten());
        let at = Timestamp::from_second(record.seconds).ok();
        let plausible = at.is_some_and(|at| record.seconds > 0 && at <= now + AHEAD);
        history.implausible += u64::from(!plausible && (record.kind == USER || record.kind == BOOT));
        if record.kind == USER {
            history.add_login(&record.user, &record.host, at.filter(|_| plausible));
            history.note_source(&record.user, &record.host, "wtmp");
        }
    });
    match read {
        Ok(summary) => {
            history.sources.insert(name.into());
            history.damaged.extend((summary.damaged > 0).then_some((path, summary.damaged)));
        }
        Err(e) => history.gaps.push(Unseen::new(path, e.to_string())),
    }
}

/// Whether this boot came without a shutdown; of the first one in a file nobody knows.
fn follow_power(record: &WtmpRecord, up: &mut bool) -> bool {
    match record.kind {
        BOOT => std::mem::replace(up, true),
        RUN_LEVEL if record.user == "shutdown" => {
            *up = false;
            false
        }
        _ => false,
    }
}

impl AuthHistory {
    /// Whether a log of sshd, sudo and su was there: wtmp and its successors know of logins only.
    pub(crate) fn has_log(&self) -> bool {
        self.sources.iter().any(|s| s == "journal" || LOGS.iter().any(|l| s.starts_with(l)))
    }

    /// Takes one event, in the order of the log.
    pub(crate) fn add_event(&mut self, event: TimedEvent, source: &str) {
        let at = event.at;
        match event.event {
            AuthEvent::Failed { address, .. } => {
                if self.failures.len() < MOST_ADDRESSES || self.failures.contains_key(&address) {
                    *self.failures.entry(address).or_default() += 1;
                }
            }
            AuthEvent::Accepted { user, address, method } => {
                let failures = self.failures.remove(&address).unwrap_or_default();
                if failures > GUESSES && method != "publickey" {
                    self.guessed.push(GuessedLogin {
                        user: user.clone(),
                        address: address.clone(),
                        failures,
                        at,
                    });
                }
                self.add_login(&user, &address, at);
                self.note_source(&user, &address, source);
                let place = LoginPlace { user, network: network_of(&address) };
                self.logins.entry(place).or_default().methods.insert(method);
            }
            AuthEvent::BecameRoot { method, actor, target, program } => {
                let seen = self.uses.entry(RootUse { actor, target, program }).or_default();
                seen.methods.insert(method.into());
                seen.note_time(at);
            }
            AuthEvent::Refused { method, actor, why } => {
                let seen = self.refusals.entry(actor).or_default();
                seen.methods.insert(format!("{method}: {why}"));
                seen.note_time(at);
            }
        }
    }

    /// Takes a login that some source tells.
    pub(crate) fn add_login(&mut self, user: &str, from: &str, at: Option<Timestamp>) {
        let place = LoginPlace { user: user.into(), network: network_of(from) };
        self.logins.entry(place).or_default().note_time(at);
    }

    /// Remembers who says so.
    pub(crate) fn note_source(&mut self, user: &str, from: &str, source: &str) {
        let place = LoginPlace { user: user.into(), network: network_of(from) };
        self.logins.entry(place).or_default().sources.insert(source.into());
    }
}

impl Occurrence {
    fn note_time(&mut self, at: Option<Timestamp>) {
        self.times += 1;
        self.last = self.last.max(at);
    }
}

/// Where somebody came from: the /24 or /48, as providers hand out; a name as it is; a terminal is `local`.
pub(crate) fn network_of(from: &str) -> String {
    let bare = from.split('%').next().unwrap_or(from);
    match bare.parse::<IpAddr>().map(|a| a.to_canonical()) {
        Ok(IpAddr::V4(a)) => {
            let [x, y, z, _] = a.octets();
            format!("{x}.{y}.{z}.0-24")
        }
        Ok(IpAddr::V6(a)) => {
            let [x, y, z, ..] = a.segments();
            format!("{x:x}:{y:x}:{z:x}::-48")
        }
        Err(_) if bare.is_empty() || bare.starts_with(':') || bare.starts_with("tty") => "local".into(),
        Err(_) => bare.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_known_in_every_writing() {
        for (from, network) in [
            ("10.1.2.3", "10.1.2.0-24"),
            ("::ffff:10.1.2.3", "10.1.2.0-24"),
            ("2001:db8:1:2::3", "2001:db8:1::-48"),
            ("fe80::1%eth0", "fe80:0:0::-48"),
            ("", "local"),
            (":0", "local"),
            ("host.example.org", "host.example.org"),
        ] {
            assert_eq!(network_of(from), network, "{from:?}");
        }
    }

    #[test]
    fn a_guessed_password_is_one_of_the_same_address() {
        let event = |event| TimedEvent { at: None, event };
        let failed = |address: &str| event(AuthEvent::Failed { user: "x".into(), address: address.into() });
        let accepted = |address: &str, method: &str| {
            event(AuthEvent::Accepted { user: "anna".into(), address: address.into(), method: method.into() })
        };
        for (address, method, guessed) in
            [("1.1.1.1", "password", 1), ("2.2.2.2", "password", 0), ("1.1.1.1", "publickey", 0)]
        {
            let mut history = AuthHistory::default();
            (0..50).for_each(|_| history.add_event(failed("1.1.1.1"), "log"));
            history.add_event(accepted(address, method), "log");
            assert_eq!(history.guessed.len(), guessed, "{address} {method}");
        }
    }

    #[test]
    fn the_oldest_file_is_read_first() {
        let mut names = ["auth.log", "auth.log.1", "auth.log.2.gz", "auth.log.10.gz"];
        names.sort_by_key(|n| std::cmp::Reverse(rotation_of(n)));
        assert_eq!(names, ["auth.log.10.gz", "auth.log.2.gz", "auth.log.1", "auth.log"]);
        let mut dated = ["secure-20261101", "secure-20261115", "secure"];
        dated.sort_by_key(|n| std::cmp::Reverse(rotation_of(n)));
        assert_eq!(dated, ["secure-20261101", "secure-20261115", "secure"]);
        assert!(!is_log("auth.logger") && !is_log("secureboot"));
    }

    #[test]
    fn a_boot_without_a_shutdown_is_told() {
        let record = |kind, user: &str| WtmpRecord {
            kind,
            line: "~".into(),
            user: user.into(),
            host: String::new(),
            seconds: 1,
        };
        let told = |records: &[WtmpRecord]| {
            let mut up = false;
            records.iter().filter(|r| follow_power(r, &mut up)).count()
        };
        let (boot, down) = (record(BOOT, "reboot"), record(RUN_LEVEL, "shutdown"));
        assert_eq!(told(&[boot.clone(), down.clone(), boot.clone()]), 0);
        assert_eq!(told(&[boot.clone(), boot.clone(), down, boot.clone(), boot]), 2);
    }
}
