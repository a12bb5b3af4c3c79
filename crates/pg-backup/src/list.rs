//! `list`: what the repositories hold.

use crate::cli;
use crate::format::backup::{BackupCatalog, StoredBackup};
use crate::format::catalog::Manifest;
use crate::format::dump::{DumpCatalog, DumpForm, StoredDump};
use crate::format::id::Id;
use crate::reach::{MissingSegments, Reached, RecoveryPaths};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use toban_core::config::Config;
use toban_core::repo::{Repo, RepoResults};
use toban_core::store::Key;
use toban_core::sum::Sum;
use toban_core::wal::{Lsn, Timeline};
use toban_core::{Error, Out, Record, Result, out};

/// One dump in one repository.
#[derive(Serialize)]
struct ListedDump {
    repo: String,
    database: String,
    id: Id,
    label: Option<String>,
    started: Timestamp,
    age_seconds: i64,
    seconds: f64,
    form: DumpForm,
    database_bytes: u64,
    stored_bytes: u64,
    tables: u64,
    rows: u64,
    major: u32,
    /// Names of those whom it is encrypted to.
    recipients: Vec<String>,
    verified: Option<Timestamp>,
    damaged: Option<Timestamp>,
    /// Why it is kept whatever the rules of retention say.
    pinned: Option<String>,
}

impl Record for ListedDump {
    const SCHEMA: &'static str = "pg-backup.list/1";
    const HEAD: &'static [&'static str] = &[
        "repo",
        "database",
        "id",
        "taken",
        "age",
        "label",
        "as",
        "size",
        "stored",
        "seconds",
        "rows",
        "pg",
        "encrypted to",
        "verified",
    ];
    fn cells(&self) -> Vec<String> {
        vec![
            self.repo.clone(),
            self.database.clone(),
            self.id.to_string(),
            format_local(self.started),
            format_age(self.age_seconds),
            describe_label(self.label.as_deref(), self.pinned.as_deref()),
            self.form.suffix().into(),
            out::bytes(self.database_bytes),
            out::bytes(self.stored_bytes),
            format!("{:.1}", self.seconds),
            self.rows.to_string(),
            self.major.to_string(),
            describe_recipients(&self.recipients),
            describe_verdict(self.damaged, self.verified),
        ]
    }
}

fn list_dump(stored: &StoredDump, now: Timestamp) -> ListedDump {
    let m = &stored.manifest;
    ListedDump {
        repo: stored.repo.name.clone(),
        database: m.database.name.clone(),
        id: m.id.clone(),
        label: m.label.clone(),
        started: m.started,
        age_seconds: now.as_second() - m.started.as_second(),
        seconds: m.seconds(),
        form: m.form,
        database_bytes: m.database_bytes,
        stored_bytes: m.stored_bytes(),
        tables: m.tables,
        rows: m.rows,
        major: m.major,
        recipients: m.recipients.clone(),
        verified: stored.verified,
        damaged: stored.damaged,
        pinned: stored.pin.as_ref().and_then(|pin| pin.describe(now)),
    }
}

/// Characters of a recipient's name in a table.
const SHORT_NAME: usize = 24;

/// One backup in one repository.
#[derive(Serialize)]
struct ListedBackup {
    repo: String,
    id: Id,
    label: Option<String>,
    system_identifier: String,
    started: Timestamp,
    age_seconds: i64,
    seconds: f64,
    /// Of the cluster's files.
    bytes: u64,
    /// What its run added to the repository.
    stored_bytes: u64,
    /// What the repository would be smaller by without it.
    freed_bytes: u64,
    /// The backup that it shares unchanged blocks with; none where it stored everything.
    built_on: Option<Id>,
    /// Names of those whom it is encrypted to.
    recipients: Vec<String>,
    timeline: Timeline,
    start_lsn: Lsn,
    stop_lsn: Lsn,
    major: u32,
    standby: bool,
    damaged_pages: u64,
    verified: Option<Timestamp>,
    damaged: Option<Timestamp>,
    /// Why it is kept whatever the rules of retention say.
    pinned: Option<String>,
    /// How far recovery comes with the WAL in this repository.
    reaches: Option<Lsn>,
    /// When the server wrote the last of that WAL.
    reaches_at: Option<Timestamp>,
    /// What is missing there, though there is more after it.
    missing: Option<MissingSegments>,
}

impl ListedBackup {
    fn from_stored(
        stored: &StoredBackup,
        reached: Option<Reached>,
        at: Option<Timestamp>,
        now: Timestamp,
    ) -> ListedBackup {
        let b = &stored.manifest;
        ListedBackup {
            repo: stored.repo.name.clone(),
            id: b.id.clone(),
            label: b.label.clone(),
            system_identifier: b.system_identifier.clone(),
            started: b.started,
            age_seconds: now.as_second() - b.started.as_second(),
            seconds: b.seconds(),
            bytes: b.bytes,
            stored_bytes: b.stored_bytes(),
            freed_bytes: 0,
            built_on: b.built_on.as_ref().map(|b| b.id.clone()),
            recipients: b.recipients.clone(),
            timeline: b.timeline,
            start_lsn: b.start_lsn,
            stop_lsn: b.stop_lsn,
            major: b.major,
            standby: b.standby,
            damaged_pages: b.damage.pages,
            verified: stored.verified,
            damaged: stored.damaged,
            pinned: stored.pin.as_ref().and_then(|pin| pin.describe(now)),
            reaches: reached.as_ref().map(|r| r.to),
            reaches_at: at,
            missing: reached.and_then(|r| r.missing),
        }
    }

    /// `2026-11-21 04:00 +01:00 (0/5000000)`, and whether that is the end of a stretch only.
    fn describe_reach(&self) -> String {
        let Some(to) = self.reaches else { return "-".into() };
        let lsn = self.reaches_at.map_or(to.to_string(), |at| format!("{} ({to})", format_local(at)));
        if self.missing.is_some() { format!("{lsn}, then WAL is missing") } else { lsn }
    }
}

impl Record for ListedBackup {
    const SCHEMA: &'static str = "pg-backup.list-backup/1";
    const HEAD: &'static [&'static str] = &[
        "repo",
        "backup",
        "id",
        "taken",
        "age",
        "label",
        "size",
        "added",
        "frees",
        "seconds",
        "timeline",
        "from",
        "until",
        "reaches",
        "pg",
        "bad pages",
        "encrypted to",
        "verified",
    ];
    fn cells(&self) -> Vec<String> {
        vec![
            self.repo.clone(),
            "cluster".into(),
            self.id.to_string(),
            format_local(self.started),
            format_age(self.age_seconds),
            describe_label(self.label.as_deref(), self.pinned.as_deref()),
            out::bytes(self.bytes),
            out::bytes(self.stored_bytes),
            out::bytes(self.freed_bytes),
            format!("{:.1}", self.seconds),
            self.timeline.to_string(),
            self.start_lsn.to_string(),
            self.stop_lsn.to_string(),
            self.describe_reach(),
            self.major.to_string(),
            self.damaged_pages.to_string(),
            describe_recipients(&self.recipients),
            describe_verdict(self.damaged, self.verified),
        ]
    }
}

/// The beginnings of names are enough to tell a few recipients apart; all of them are in the JSON.
fn describe_recipients(names: &[String]) -> String {
    let short = |name: &String| name.chars().take(SHORT_NAME).collect::<String>();
    match names.is_empty() {
        true => "-".into(),
        false => names.iter().map(short).collect::<Vec<_>>().join(" "),
    }
}

/// Runs the verb. A repository that cannot be asked does not hide the others.
pub(crate) fn run(args: &cli::List, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let repos = args.repos.open(config)?;
    let mut results = RepoResults::default();
    for repo in &repos {
        let listed = list_repo(args, repo, out);
        let listed = listed.map_err(|e| Error::new(e.kind(), format!("list {}", repo.name)).because(e));
        let Some(damaged) = results.start_item(listed) else { continue };
        results.add_item(Ok(()));
        damaged.into_iter().for_each(|e| _ = results.add_item::<()>(Err(e)));
    }
    results.verdict("lists")
}

/// Lists one repository; the errors are its damaged manifests.
fn list_repo(args: &cli::List, repo: &Repo, out: &mut Out<'_>) -> Result<Vec<Error>> {
    let wanted =
        |s: &&StoredDump| args.databases.is_empty() || args.databases.contains(&s.manifest.database.name);
    let now = Timestamp::now();
    let (mut damaged, mut backups) = (Vec::new(), 0);
    if args.databases.is_empty() {
        let catalog = BackupCatalog::read(repo, &args.repos.cluster, now)?;
        emit_backups(&catalog, &RecoveryPaths::read(repo, &catalog)?, now, out)?;
        backups = catalog.stored.len();
        damaged.extend(catalog.damaged);
    }
    let catalog = DumpCatalog::read(repo, &args.repos.cluster, now)?;
    catalog.stored.iter().filter(wanted).try_for_each(|stored| out.emit(&list_dump(stored, now)))?;
    damaged.extend(catalog.damaged);
    if damaged.is_empty() && backups == 0 && catalog.stored.iter().filter(wanted).count() == 0 {
        return Err(explain_nothing(args, repo, &catalog.stored));
    }
    Ok(damaged)
}

/// Lists a repository's backups.
fn emit_backups(
    catalog: &BackupCatalog,
    paths: &RecoveryPaths,
    now: Timestamp,
    out: &mut Out<'_>,
) -> Result<()> {
    let users = count_users(catalog)?;
    // Most backups reach the same end.
    let mut times = BTreeMap::new();
    for stored in &catalog.stored {
        let reached = paths.of(&stored.manifest);
        let at = match reached.as_ref().map(|r| (stored.manifest.system_identifier.clone(), r.to)) {
            None => None,
            Some(end) => match times.get(&end) {
                Some(at) => *at,
                None => {
                    let at = paths.last_written(&stored.repo, &stored.manifest, end.1)?;
                    times.insert(end, at);
                    at
                }
            },
        };
        let alone = |(key, sum): (Key, Sum)| if users.get(&key) == Some(&1) { sum.bytes } else { 0 };
        let freed_bytes = stored.manifest.objects()?.into_iter().map(alone).sum();
        let listed = ListedBackup::from_stored(stored, reached, at, now);
        out.emit(&ListedBackup { freed_bytes, ..listed })?;
    }
    Ok(())
}

/// How many backups name each object.
fn count_users(catalog: &BackupCatalog) -> Result<BTreeMap<Key, u32>> {
    let mut users = BTreeMap::new();
    for stored in &catalog.stored {
        stored.manifest.objects()?.into_iter().for_each(|(key, _)| *users.entry(key).or_default() += 1);
    }
    Ok(users)
}

/// An empty list says why: a mistyped name must not pass for a repository without backups.
fn explain_nothing(args: &cli::List, repo: &Repo, dumps: &[StoredDump]) -> Error {
    let there: BTreeSet<&str> = dumps.iter().map(|s| s.manifest.database.name.as_str()).collect();
    if there.is_empty() {
        return repo.lacks("no backup or dump", &args.repos.cluster);
    }
    let there: Vec<&str> = there.into_iter().collect();
    let e = Error::usage(format!("repository {} holds no dump of {}", repo.name, args.databases.join(", ")));
    e.hint(format!("it holds dumps of {}", there.join(", ")))
}

/// The label and the pin, for a table.
fn describe_label(label: Option<&str>, pinned: Option<&str>) -> String {
    match (label, pinned) {
        (None, None) => "-".into(),
        (label, pinned) => [label, pinned].into_iter().flatten().collect::<Vec<_>>().join("; "),
    }
}

/// The last verdict of verify, for a table.
fn describe_verdict(damaged: Option<Timestamp>, verified: Option<Timestamp>) -> String {
    match (damaged, verified) {
        (Some(_), _) => "DAMAGED".into(),
        (None, Some(at)) => format_local(at),
        (None, None) => "never".into(),
    }
}

/// A time by this machine's clock, with its distance from UTC: `2026-11-21 04:00 +01:00`.
pub(crate) fn format_local(at: Timestamp) -> String {
    at.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M %:z").to_string()
}

/// Seconds since then, for people: `45 min`, `30 h`, `12 d`.
fn format_age(seconds: i64) -> String {
    const HOUR: i64 = 3600;
    match seconds {
        ..0 => "in the future".into(),
        0..=7199 => format!("{} min", seconds / 60),
        7200..=259_199 => format!("{} h", seconds / HOUR),
        _ => format!("{} d", seconds / (24 * HOUR)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_for_people() {
        let ages: Vec<String> = [-1, 0, 7199, 7200, 259_199, 259_200, 40 * 86_400].map(format_age).to_vec();
        assert_eq!(ages, ["in the future", "0 min", "119 min", "2 h", "71 h", "3 d", "40 d"]);
    }
}
