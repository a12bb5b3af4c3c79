//! Reads the machine's facts: files, clock, room, what was run and what was notified.

use super::facts::{Access, DataFacts, JobUser, Learned, MachineFacts, ServerFacts};
use crate::cli::ServerArgs;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use toban_core::config::{Cluster, Config, DEFAULT_PATH};
use toban_core::durable::{folder_of, state_dir};
use toban_core::machine::{self, Account};
use toban_core::notify::{list_channels, list_undelivered};
use toban_core::pg::programs;
use toban_core::run_record::{RunRecord, last_run};

/// The verbs of ours whose last run counts.
const VERBS: [(&str, &str); 6] = [
    ("pg-backup", "run"),
    ("pg-backup", "dump"),
    ("pg-backup", "copy"),
    ("pg-backup", "prune"),
    ("pg-backup", "verify"),
    ("pg-drill", "run"),
];
/// Bytes of the largest file that may be an identity.
const IDENTITY: u64 = 64 << 10;

/// What of a machine is looked at.
pub(super) struct MachineScope<'a> {
    pub(super) config: &'a Config,
    pub(super) args: &'a ServerArgs,
    pub(super) cluster: &'a str,
    pub(super) server: Option<&'a ServerFacts>,
    pub(super) now: Timestamp,
}

impl MachineScope<'_> {
    /// Looks at all of it.
    pub(super) fn read_machine(&self) -> MachineFacts {
        let config = self.config;
        let folder = config.path.as_deref().map_or(folder_of(Path::new(DEFAULT_PATH)), folder_of);
        let section = config.cluster.get(self.cluster);
        let textfile = |dir: &PathBuf| read_access(dir).ok_or_else(|| dir.clone());
        MachineFacts {
            user: find_job_user(self.server.and_then(ServerFacts::data)),
            pg_dump: self.find_pg_dump(section),
            synchronised: read_synchronised(),
            changed_hours: find_changed_hours(&TimeZone::system(), self.now),
            configuration: config.path.as_deref().and_then(read_access),
            password: config.cluster.values().filter_map(|c| c.db.as_deref()).any(has_password),
            open_secrets: list_open_secrets(config, folder),
            identities: list_identities(config, folder),
            state: read_access(&state_dir()),
            textfile: config.textfile_dir.as_ref().map(textfile),
            work: self.read_work_folder(),
            databases: section.map(|s| s.databases.clone()).unwrap_or_default(),
            runs: self.read_runs(),
            channels: read_channels(config),
            undelivered: list_undelivered(),
        }
    }

    fn find_pg_dump(&self, section: Option<&Cluster>) -> Learned<()> {
        let bin_dir = self.args.bin_dir.as_deref().or(section.and_then(|s| s.bin_dir.as_deref()));
        let Some(server) = self.server else { return Ok(()) };
        programs::find_program("pg_dump", server.major, bin_dir).map(drop).map_err(|e| e.chain())
    }

    fn read_work_folder(&self) -> Learned<(PathBuf, u64)> {
        let section: DrillFolder = self.config.section(&["drill", self.cluster]).map_err(|e| e.chain())?;
        let work = section.work_dir.unwrap_or_else(|| state_dir().join("drill").join(self.cluster));
        let free = machine::free_bytes(&machine::nearest_folder(&work)).map_err(|e| e.chain())?;
        Ok((work, free))
    }

    fn read_runs(&self) -> Vec<RunRecord> {
        VERBS.iter().filter_map(|(tool, verb)| last_run(tool, verb, self.cluster)).collect()
    }
}

/// The one key of pg-drill's section that matters here.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct DrillFolder {
    work_dir: Option<PathBuf>,
}

/// Who may do what with it; none where it is not there.
pub(super) fn read_access(path: &Path) -> Option<Access> {
    let meta = std::fs::metadata(path).ok()?;
    Some(Access { path: path.into(), owner: meta.uid(), group: meta.gid(), mode: meta.mode() & 0o777 })
}

/// Jobs run as the owner of the data directory, whom the units name too: no other user may read it.
fn find_job_user(data: Option<&DataFacts>) -> JobUser {
    let owner = data.and_then(|d| std::fs::metadata(&d.path).ok()).map(|meta| meta.uid());
    let uid = owner.unwrap_or_else(|| rustix::process::geteuid().as_raw());
    let name = Account::name_of(uid);
    let mut groups = list_groups(&name);
    groups.extend(Account::by_uid(uid).map(|a| a.gid));
    JobUser { name, uid, groups }
}

/// The user's groups, those of a directory service among them; empty where `id` does not know the user.
fn list_groups(user: &str) -> Vec<u32> {
    let listed = Command::new("id").args(["-G", "--", user]).output();
    let listed = listed.map(|done| String::from_utf8_lossy(&done.stdout).into_owned()).unwrap_or_default();
    listed.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}

/// What systemd knows of the kernel's clock, whatever program keeps it (adjtimex(2), STA_UNSYNC).
fn read_synchronised() -> Learned<bool> {
    let mut show = Command::new("timedatectl");
    let said = show.args(["show", "--property=NTPSynchronized", "--value"]).output();
    let said = said.map_err(|e| format!("timedatectl does not run: {e}"))?;
    match String::from_utf8_lossy(&said.stdout).trim() {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => {
            let why = String::from_utf8_lossy(&said.stderr);
            Err(format!("timedatectl does not tell: {}", why.lines().next().unwrap_or_default()))
        }
    }
}

/// The hours of the day that a change of the zone within a year takes or doubles.
fn find_changed_hours(zone: &TimeZone, now: Timestamp) -> BTreeSet<i8> {
    let year = SignedDuration::from_hours(366 * 24);
    let mut hours = BTreeSet::new();
    for change in zone.following(now).take_while(|change| change.timestamp().duration_since(now) < year) {
        let before = zone.to_offset(change.timestamp() - SignedDuration::from_secs(1));
        let (a, b) =
            (before.to_datetime(change.timestamp()), change.offset().to_datetime(change.timestamp()));
        let (mut hour, end) = (a.min(b), a.max(b));
        while hour < end {
            hours.insert(hour.hour());
            hour += SignedDuration::from_hours(1);
        }
    }
    hours
}

/// Whether a connection string, a URI or keywords, holds a password.
fn has_password(conninfo: &str) -> bool {
    let words = conninfo.to_lowercase();
    let user = conninfo.split_once("://").and_then(|(_, rest)| rest.split_once('@')).map(|(user, _)| user);
    words.contains("password=") || user.is_some_and(|user| user.contains(':') && !user.contains('/'))
}

/// Files with secrets that others may read: those that the configuration and the environment name, and those beside it.
fn list_open_secrets(config: &Config, folder: &Path) -> Vec<PathBuf> {
    let repos = config.repo.values();
    let named = repos.flat_map(|r| [&r.azure_key_file, &r.azure_sas_file, &r.gcs_credentials_file]);
    let notify = &config.notify;
    let told = [
        notify.mail.as_ref().and_then(|m| m.smtp_pass_file.as_ref()),
        notify.slack.as_ref().and_then(|s| s.webhook_file.as_ref()),
        notify.ping.as_ref().and_then(|p| p.url_file.as_ref()),
        config.sign_key.as_ref(),
    ];
    let variables = ["PGPASSFILE", "AWS_SHARED_CREDENTIALS_FILE", "GOOGLE_APPLICATION_CREDENTIALS"];
    let set = variables.iter().filter_map(std::env::var_os).map(PathBuf::from);
    let beside = list_files(folder).into_iter().filter(|p| p.extension().is_some_and(|e| e == "env"));
    let files = named.flatten().chain(told.into_iter().flatten()).cloned().chain(set).chain(beside);
    let files: BTreeSet<PathBuf> = files.chain(list_files(&folder.join("secrets"))).collect();
    files.into_iter().filter(|p| read_access(p).is_some_and(|a| a.mode & 0o007 != 0)).collect()
}

fn list_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|e| e.path()).filter(|p| p.is_file()).collect()
}

/// Files with an identity of age, where repositories are encrypted: beside the configuration, beside the recipients, and
/// what the environment names.
fn list_identities(config: &Config, folder: &Path) -> Vec<PathBuf> {
    let recipients: Vec<&PathBuf> = config.repo.values().filter_map(|r| r.recipients_file.as_ref()).collect();
    if recipients.is_empty() {
        return Vec::new();
    }
    let folders = recipients.iter().map(|p| folder_of(p).to_path_buf());
    let folders: BTreeSet<PathBuf> = folders.chain([folder.into(), folder.join("secrets")]).collect();
    let named = std::env::var_os("TOBAN_IDENTITY").map(PathBuf::from);
    let files = folders.iter().flat_map(|f| list_files(f)).chain(named);
    let small = |p: &PathBuf| std::fs::metadata(p).is_ok_and(|m| m.len() <= IDENTITY);
    let opens =
        |p: &PathBuf| std::fs::read(p).is_ok_and(|b| memchr::memmem::find(&b, b"AGE-SECRET-KEY-1").is_some());
    files.filter(small).filter(opens).collect::<BTreeSet<_>>().into_iter().collect()
}

fn read_channels(config: &Config) -> Vec<(String, Option<String>)> {
    let channels = list_channels(&config.notify, "pg-backup").into_iter();
    channels.map(|(name, broken)| (name.to_string(), broken.map(|e| e.chain()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_those_that_the_machine_knows() {
        assert!(list_groups("root").contains(&0));
        assert!(list_groups("no-such-user").is_empty());
    }

    #[test]
    fn hours_that_daylight_saving_takes_or_doubles() {
        let now = "2026-11-30T12:00:00Z".parse().expect("a time");
        let hours = |zone: &str| find_changed_hours(&TimeZone::get(zone).expect("a zone"), now);
        assert_eq!(hours("Europe/Berlin"), BTreeSet::from([2]));
        assert_eq!(hours("Europe/London"), BTreeSet::from([1]));
        assert_eq!(hours("America/New_York"), BTreeSet::from([1, 2]));
        assert_eq!(hours("Asia/Tokyo"), BTreeSet::new());
        assert_eq!(hours("UTC"), BTreeSet::new());
    }

    #[test]
    fn passwords_in_connection_strings() {
        for with in ["host=/run password=x", "postgresql://a:b@db/app", "PASSWORD='x y'"] {
            assert!(has_password(with), "{with}");
        }
        for without in ["host=/run dbname=a", "postgresql://a@db/app", "postgresql:///app?host=/a:b@c"] {
            assert!(!has_password(without), "{without}");
        }
    }
}
