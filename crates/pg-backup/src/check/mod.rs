//! `check`: is there a fresh, plausible, verified dump of every database in every repository?

mod lock;
mod wal;

use crate::cli;
use crate::format::backup::BackupManifest;
use crate::format::backup::{BackupCatalog, StoredBackup};
use crate::format::catalog::{Manifest, Stored};
use crate::format::dump::{DumpCatalog, StoredDump};
use crate::format::id::Id;
use crate::format::order::Taken;
use crate::reach::{MissingSegments, RecoveryPaths};
use crate::rulebook;
use jiff::Timestamp;
use std::collections::BTreeSet;
use toban_core::check::{self, AcceptList, Finding, Rule, perf_label};
use toban_core::config::{Config, Span};
use toban_core::repo::drills::{self, Drills};
use toban_core::repo::gap;
use toban_core::repo::{Repo, is_future};
use toban_core::store::Encryption;
use toban_core::{Error, Out, Result, Severity};

/// Stands for the whole cluster where a database's name would.
const CLUSTER: &str = "(cluster)";

/// What one repository holds.
struct Held<'a> {
    repo: &'a Repo,
    dumps: DumpCatalog,
    backups: BackupCatalog,
}

/// Runs the verb.
pub(crate) fn run(args: &cli::Check, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let repos = args.repos.open(config)?;
    let now = args.at.now();
    let accepted = AcceptList::new(config, "pg-backup", &rulebook::ALL_RULES, now)?
        .only(|id| rulebook::RULES.iter().any(|rule| rule.id == id))
        .of_part(args.repos.is_part_of(config) || !args.databases.is_empty());
    let (mut held, mut unreachable) = (Vec::new(), Vec::new());
    for repo in &repos {
        match hold(repo, &args.repos.cluster, now) {
            Ok(one) => held.push(one),
            Err(e) => unreachable.push((repo, e)),
        }
    }
    if held.is_empty() {
        return Err(unreachable.remove(0).1);
    }
    let configured = config.cluster.get(&args.repos.cluster).map(|c| c.databases.clone()).unwrap_or_default();
    let named = if args.databases.is_empty() { configured } else { args.databases.clone() };
    let expected = Expected { named: !named.is_empty(), names: expected(named, &held) };
    let mut findings = Vec::new();
    for one in &held {
        findings.extend(one.dumps.damaged.iter().map(|e| damaged(one.repo, e)));
        let dumps = judge(one.repo, &one.dumps.stored, &expected, now, args);
        findings.extend(beside(dumps, backup_findings(one, &held, now, args)?));
        findings.extend(unreadable(one.repo, &one.backups.stored, |_| CLUSTER));
        findings.extend(unreadable(one.repo, &one.dumps.stored, |dump| &dump.database.name));
        findings.extend(lock::findings(one, now)?);
    }
    // As UNKNOWN and not left out: what lies in a repository that could not be asked is not known, and a
    // check that passes for the others must not look like one that passed for all.
    findings.extend(unreachable.iter().map(|(repo, e)| unknown(repo, e)));
    let accepted = accepted.of_part(!unreachable.is_empty());
    check::conclude(findings, accepted, args.monitoring.monitoring, out)
}

fn hold<'a>(repo: &'a Repo, cluster: &str, now: Timestamp) -> Result<Held<'a>> {
    let dumps = DumpCatalog::read(repo, cluster, now)?;
    let backups = BackupCatalog::read(repo, cluster, now)?;
    Ok(Held { repo, dumps, backups })
}

/// The databases that must have dumps in every repository that has any.
struct Expected {
    names: BTreeSet<String>,
    /// Somebody named them.
    named: bool,
}

/// Those that are named; else those that any of the repositories has: one that never got them must not be content with
/// what it has.
fn expected(named: Vec<String>, held: &[Held<'_>]) -> BTreeSet<String> {
    if !named.is_empty() {
        return named.into_iter().collect();
    }
    let dumps = held.iter().flat_map(|h| &h.dumps.stored).filter(|s| !s.manifest.is_safety());
    dumps.map(|s| s.manifest.database.name.clone()).collect()
}

/// Backups are judged where there are any; where there are, the want of dumps is no finding unless some are expected.
fn beside(mut dumps: Vec<Finding>, backups: Vec<Finding>) -> Vec<Finding> {
    if !backups.is_empty() {
        dumps.retain(|f| !f.object.is_empty());
    }
    backups.into_iter().chain(dumps).collect()
}

/// The physical backups of one repository, and its WAL.
fn backup_findings(
    one: &Held<'_>,
    held: &[Held<'_>],
    now: Timestamp,
    args: &cli::Check,
) -> Result<Vec<Finding>> {
    let (repo, catalog) = (one.repo, &one.backups);
    let mut findings: Vec<Finding> = catalog.damaged.iter().map(|e| damaged(repo, e)).collect();
    let subject = Subject { repo: &repo.name, database: CLUSTER };
    findings.extend(wal::findings(one, held, now, args)?);
    let Some((newest, earlier)) = catalog.stored.split_last() else { return Ok(findings) };
    let verified = catalog.stored.iter().filter(|s| s.is_whole()).filter_map(|s| s.verified).max();
    let verified = verified.map(|at| age(at, now));
    let dated = Newest {
        id: &newest.manifest.id,
        started: newest.manifest.started,
        server: None,
        taken: newest.taken,
    };
    findings.extend(subject.dated(&dated, now, args));
    // The cluster's own size: what a backup added depends on how much changed since the one before it.
    let sizes = earlier.iter().rev().take(10).map(|s| s.manifest.bytes).collect();
    findings.extend(subject.compare(newest.manifest.bytes, sizes, args));
    findings.push(subject.verify(verified, args));
    findings.extend(catalog.stored.iter().filter_map(|s| subject.broken(&s.manifest.id, s.damaged)));
    findings.extend(catalog.stored.iter().filter_map(|s| subject.lacks(&s.manifest.id, s.lacks.as_deref())));
    findings.extend(subject.drill(
        drills::read_drills(&*repo.store, &newest.manifest.system()?, now)?,
        now,
        args,
    ));
    if newest.manifest.damage.pages > 0 {
        let text = format!("the newest holds {} damaged pages of the source", newest.manifest.damage.pages);
        findings.push(subject.finding(&rulebook::PAGES, Severity::Critical, text));
    }
    findings.extend(subject.summaries(&newest.manifest));
    findings.extend(reaches(repo, catalog, &subject)?);
    Ok(findings)
}

/// What none of those can read whom content is encrypted to now: their identities may be thrown away.
fn unreadable<'s, M: Manifest>(
    repo: &'s Repo,
    stored: &'s [Stored<M>],
    database: impl Fn(&'s M) -> &'s str,
) -> Vec<Finding> {
    let Some(recipients) = repo.store.encryption().and_then(Encryption::recipients) else {
        return Vec::new();
    };
    let now = recipients.names();
    let removed = |s: &&Stored<M>| {
        let able = s.manifest.recipients();
        !able.is_empty() && !able.iter().any(|name| now.contains(name))
    };
    let finding = |s: &'s Stored<M>| {
        let (id, able) = (s.manifest.id(), s.manifest.recipients().join(", "));
        let text = format!("only removed recipients can read {id}: {able}");
        let subject = Subject { repo: &repo.name, database: database(&s.manifest) };
        subject.finding(&rulebook::RECIPIENTS, Severity::Warning, text).with_key(id.to_string())
    };
    stored.iter().filter(removed).map(finding).collect()
}

/// Backups that missing WAL keeps from moments after it. A newer backup after it ends the alarm: nothing
/// more can be done about those moments.
fn reaches(repo: &Repo, catalog: &BackupCatalog, subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let ways = RecoveryPaths::read(repo, catalog)?;
    let mut findings = Vec::new();
    for StoredBackup { manifest: backup, .. } in &catalog.stored {
        let Some(reached) = ways.of(backup) else { continue };
        let Some(missing) = &reached.missing else { continue };
        let newer = |s: &&StoredBackup| {
            s.is_whole()
                && s.manifest.system_identifier == backup.system_identifier
                && s.manifest.timeline >= backup.timeline
                && s.manifest.stop_lsn >= reached.to
        };
        let next = catalog.stored.iter().find(newer).map(|s| (&s.manifest.id, s.manifest.stop_lsn));
        let until = next.map_or("on".to_string(), |(_, lsn)| format!("to {lsn}"));
        let text = format!(
            "{} reaches {} only: {} to {} are missing, and no moment from there {until} can be restored",
            backup.id, reached.to, missing.first, missing.last
        );
        let known = acknowledged(repo, backup, missing)?;
        let (severity, text) = match (known, next) {
            (Some(reason), _) => (Severity::Ok, format!("{text}; acknowledged: {reason}")),
            (None, Some((id, _))) => (Severity::Ok, format!("{text}; backup {id} begins after it")),
            (None, None) => (Severity::Critical, text),
        };
        findings.push(subject.finding(&rulebook::REACH, severity, text).with_key(backup.id.to_string()));
    }
    Ok(findings)
}

/// Why nothing need be done about missing WAL, where somebody acknowledged it.
fn acknowledged(repo: &Repo, backup: &BackupManifest, missing: &MissingSegments) -> Result<Option<String>> {
    let (Ok(first), Ok(last)) = (missing.first.parse(), missing.last.parse()) else { return Ok(None) };
    let (known, _) = gap::read_acknowledged(&*repo.store, &backup.system()?)?;
    let covers = |a: &gap::Acknowledged| a.covers_range(first, last, backup.wal_segment_size);
    Ok(known.into_iter().find(|a| covers(a)).map(|a| a.reason))
}

fn damaged(repo: &Repo, e: &Error) -> Finding {
    Subject { repo: &repo.name, database: "" }.finding(&rulebook::MANIFEST, Severity::Critical, e.chain())
}

fn unknown(repo: &Repo, e: &Error) -> Finding {
    Subject { repo: &repo.name, database: "" }.finding(&rulebook::REPOSITORY, Severity::Unknown, e.chain())
}

/// Pure: every finding of one repository. With nothing expected and nothing there, that is the finding.
fn judge(
    repo: &Repo,
    dumps: &[StoredDump],
    expected: &Expected,
    now: Timestamp,
    args: &cli::Check,
) -> Vec<Finding> {
    let repo = &repo.name;
    // A repository of backups alone is none of dumps.
    if expected.names.is_empty() || (dumps.is_empty() && !expected.named) {
        let nothing = Subject { repo, database: "" };
        return vec![nothing.finding(&rulebook::DUMP_MISSING, Severity::Critical, "there is no dump at all")];
    }
    expected.names.iter().flat_map(|database| Subject { repo, database }.judge(dumps, now, args)).collect()
}

/// When the newest of something was taken, and what its clocks said.
struct Newest<'a> {
    id: &'a Id,
    started: Timestamp,
    server: Option<Timestamp>,
    taken: Taken,
}

/// One database in one repository.
struct Subject<'a> {
    repo: &'a str,
    database: &'a str,
}

impl Subject<'_> {
    fn finding(&self, rule: &'static Rule, severity: Severity, text: impl Into<String>) -> Finding {
        Finding::new(rule, severity).in_source(self.repo).about(self.database).says(text)
    }

    /// The label of a number in perfdata.
    fn label(&self, what: &str) -> String {
        format!("'{} in {} {what}'", perf_label(self.database), perf_label(self.repo))
    }

    fn judge(&self, dumps: &[StoredDump], now: Timestamp, args: &cli::Check) -> Vec<Finding> {
        // A safety dump taken by a restore says nothing about the nightly ones.
        let nightly = |s: &&StoredDump| s.manifest.database.name == self.database && !s.manifest.is_safety();
        let own: Vec<&StoredDump> = dumps.iter().filter(nightly).collect();
        let Some((newest, earlier)) = own.split_last() else {
            return vec![self.finding(&rulebook::DUMP_MISSING, Severity::Critical, "there is no dump")];
        };
        let verified = own.iter().filter(|s| s.is_whole()).filter_map(|s| s.verified).max();
        let verified = verified.map(|at| age(at, now));
        let (id, started) = (&newest.manifest.id, newest.manifest.started);
        let server = newest.manifest.source.as_ref().map(|s| s.server_time);
        let mut findings = self.dated(&Newest { id, started, server, taken: newest.taken }, now, args);
        findings.extend(self.size(newest, earlier, args));
        findings.push(self.verify(verified, args));
        findings.extend(own.iter().filter_map(|s| self.broken(&s.manifest.id, s.damaged)));
        findings.extend(own.iter().filter_map(|s| self.lacks(&s.manifest.id, s.lacks.as_deref())));
        let unknown = earlier.iter().filter(|s| s.taken == Taken::Unknown);
        findings.extend(unknown.map(|s| self.dated_in_the_future(&s.manifest.id)));
        findings
    }

    /// The age of the newest, and what its dates say of the clocks.
    fn dated(&self, newest: &Newest<'_>, now: Timestamp, args: &cli::Check) -> Vec<Finding> {
        let Taken::At(taken) = newest.taken else { return vec![self.dated_in_the_future(newest.id)] };
        let ours = is_future(newest.started, now);
        if ours && newest.server.is_none_or(|at| is_future(at, now)) {
            let text = format!(
                "the newest, {}, is dated in the future, so its age is not known: a clock was wrong when it was taken, or \
                 is wrong here",
                newest.id
            );
            return vec![self.finding(&rulebook::AGE_UNKNOWN, Severity::Critical, text)];
        }
        let mut findings = vec![self.age(age(taken, now), args)];
        let apart = |at: Timestamp| is_future(at, newest.started) || is_future(newest.started, at);
        if let Some(server) = newest.server.filter(|at| apart(*at)) {
            let text = format!(
                "when {} was taken, the clock of the server said {server} and that of the machine that stored it {}",
                newest.id, newest.started
            );
            findings.push(self.finding(&rulebook::CLOCKS_APART, Severity::Warning, text));
        }
        findings
    }

    fn dated_in_the_future(&self, id: &Id) -> Finding {
        let text = format!(
            "{id} is dated in the future, and when it was taken is not known: it is never `latest`, and `prune` keeps it"
        );
        self.finding(&rulebook::TIME_UNKNOWN, Severity::Critical, text).with_key(id.to_string())
    }

    /// Where runs read all of a cluster though its server could say what changed. It is advice: nothing is wrong.
    fn summaries(&self, newest: &BackupManifest) -> Option<Finding> {
        let helps = newest.built_on.is_some() && newest.summarize_wal == Some(false);
        let needs = if newest.checksums { "" } else { " and wal_log_hints = on" };
        let text = format!(
            "every run reads all {} of the cluster: with summarize_wal = on{needs} the server says which blocks changed",
            toban_core::out::bytes(newest.bytes)
        );
        helps.then(|| self.finding(&rulebook::SUMMARIES, Severity::Ok, text))
    }

    fn lacks(&self, id: &Id, what: Option<&str>) -> Option<Finding> {
        let text = format!("{id} is not whole: {}", what?);
        Some(self.finding(&rulebook::OBJECTS, Severity::Critical, text).with_key(id.to_string()))
    }

    fn broken(&self, id: &Id, damaged: Option<Timestamp>) -> Option<Finding> {
        let at = damaged?.strftime("%Y-%m-%dT%H:%MZ").to_string();
        let text = format!("{id} was found damaged on {at}");
        Some(self.finding(&rulebook::DAMAGED, Severity::Critical, text).with_key(id.to_string()))
    }

    fn age(&self, age: u64, args: &cli::Check) -> Finding {
        let (severity, mut text) = judge_age(age, args.warn_age, args.critical_age);
        if severity != Severity::Ok && args.databases.is_empty() && self.database != CLUSTER {
            text.push_str(
                "; was the database dropped? name those that must have dumps in [cluster.NAME] databases",
            );
        }
        let (warn, critical) = (args.warn_age.0.as_secs(), args.critical_age.0.as_secs());
        self.finding(&rulebook::AGE, severity, format!("the newest is {text}"))
            .with_perf(format!("{}={age}s;{warn};{critical}", self.label("age")))
    }

    fn verify(&self, age: Option<u64>, args: &cli::Check) -> Finding {
        let Some(age) = age else {
            return self.finding(&rulebook::VERIFY, Severity::Warning, "it was never verified");
        };
        let (severity, text) = judge_age(age, args.warn_verify, args.critical_verify);
        self.finding(&rulebook::VERIFY, severity, format!("the last verify is {text}"))
    }

    /// Drills are judged where they are made: the first one made them expected. A failed one counts until one passes.
    fn drill(&self, drills: Drills, now: Timestamp, args: &cli::Check) -> Option<Finding> {
        let Drills { passed, failed } = drills;
        if failed > passed {
            let at = failed?.strftime("%Y-%m-%d").to_string();
            let text = format!("the restore drill of {at} failed");
            return Some(self.finding(&rulebook::DRILL_FAILED, Severity::Critical, text));
        }
        let age = age(passed?, now);
        let (severity, text) = judge_age(age, args.warn_drill, args.warn_drill);
        // Late is a warning, however late: the backups are judged by their own checks.
        let severity = if severity == Severity::Ok { Severity::Ok } else { Severity::Warning };
        let warn = args.warn_drill.0.as_secs();
        let text = format!("the last restore drill that passed is {text}");
        let drill = self.finding(&rulebook::DRILL, severity, text);
        Some(drill.with_perf(format!("{}={age}s;{warn};", self.label("drill"))))
    }

    /// Compares the newest with the median of up to ten before it, of the same form.
    fn size(&self, newest: &StoredDump, earlier: &[&StoredDump], args: &cli::Check) -> Option<Finding> {
        let same = earlier.iter().rev().filter(|s| s.manifest.form == newest.manifest.form).take(10);
        let sizes = same.map(|s| s.manifest.stored_bytes()).collect();
        self.compare(newest.manifest.stored_bytes(), sizes, args)
    }

    fn compare(&self, bytes: u64, mut sizes: Vec<u64>, args: &cli::Check) -> Option<Finding> {
        sizes.sort_unstable();
        // Of the median and not of the one before: after a single unusual one, say of a table that was empty for
        // a day, the next normal one would raise the alarm.
        let median = *sizes.get(sizes.len() / 2)?;
        let change = bytes.abs_diff(median).saturating_mul(100).checked_div(median).unwrap_or(0);
        let severity = match change {
            c if c > u64::from(args.critical_size) => Severity::Critical,
            c if c > u64::from(args.warn_size) => Severity::Warning,
            _ => Severity::Ok,
        };
        let sign = if bytes < median { '-' } else { '+' };
        let text = match change {
            0 => "its size is that of the median".to_string(),
            _ => format!("its size differs from the median by {sign}{change} %"),
        };
        let size = self.finding(&rulebook::SIZE, severity, text);
        Some(size.with_perf(format!("{}={bytes}B", self.label("size"))))
    }
}

/// Seconds from `at` to `now`; none for a clock that was set back.
fn age(at: Timestamp, now: Timestamp) -> u64 {
    now.as_second().saturating_sub(at.as_second()).max(0).unsigned_abs()
}

fn judge_age(age: u64, warn: Span, critical: Span) -> (Severity, String) {
    // Minutes are enough for people.
    let rounded = if age < 60 { age } else { age / 60 * 60 };
    let shown = Span(std::time::Duration::from_secs(rounded));
    match age {
        a if a > critical.0.as_secs() => (Severity::Critical, format!("{shown} old, more than {critical}")),
        a if a > warn.0.as_secs() => (Severity::Warning, format!("{shown} old, more than {warn}")),
        _ => (Severity::Ok, format!("{shown} old")),
    }
}
