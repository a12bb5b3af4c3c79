//! `check`: is there a fresh, plausible, verified dump of every database in every repository?

use crate::catalog::{self, Stored};
use crate::manifest::Id;
use crate::physical::catalog::{Contents, Stored as StoredBackup};
use crate::physical::reach::Ways;
use crate::{cli, physical};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;
use toban_core::config::{Config, Span};
use toban_core::repo::Repo;
use toban_core::repo::drills::{self, Drills};
use toban_core::{Error, Out, Record, Result, Severity};

/// Stands for the whole cluster where a database's name would.
const CLUSTER: &str = "(cluster)";

/// What was judged of one database in one repository.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Finding {
    repo: String,
    database: String,
    /// `age`, `size`, `verify`, `drill`, `reach`, or `repository` when it could not be asked.
    check: &'static str,
    severity: Severity,
    text: String,
    #[serde(skip)]
    perf: Option<String>,
}

impl Record for Finding {
    const SCHEMA: &'static str = "pg-backup.check/1";
    const HEAD: &'static [&'static str] = &["repo", "database", "check", "severity", "finding"];
    fn cells(&self) -> Vec<String> {
        let severity = self.severity.to_string();
        vec![self.repo.clone(), self.database.clone(), self.check.into(), severity, self.text.clone()]
    }
}

/// Runs the verb.
pub(crate) fn run(args: &cli::Check, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let repos = args.repos.open(config)?;
    let now = args.at.now();
    let configured = config.cluster.get(&args.repos.cluster).map(|c| c.databases.clone()).unwrap_or_default();
    let expected = if args.databases.is_empty() { configured } else { args.databases.clone() };
    let mut findings = Vec::new();
    let mut unreachable = Vec::new();
    for repo in &repos {
        match catalog::read(repo, &args.repos.cluster) {
            Ok(contents) => {
                findings.extend(contents.damaged.iter().map(|e| damaged(repo, e)));
                let dumps = judge(&repo.name, &contents.dumps, &expected, now, args);
                findings.extend(beside(dumps, physical_findings(repo, now, args)?));
            }
            Err(e) => unreachable.push((repo, e)),
        }
    }
    if unreachable.len() == repos.len() {
        return Err(unreachable.remove(0).1);
    }
    findings.extend(unreachable.iter().map(|(repo, e)| unknown(repo, e)));
    toban_core::finding::tell(&findings, args.monitoring.monitoring, out)
}

/// Backups are judged where there are any; where there are, the want of dumps is no finding unless some are expected.
fn beside(mut dumps: Vec<Finding>, backups: Vec<Finding>) -> Vec<Finding> {
    if !backups.is_empty() {
        dumps.retain(|f| f.database != "-");
    }
    backups.into_iter().chain(dumps).collect()
}

/// The physical backups of one repository.
fn physical_findings(repo: &Repo, now: Timestamp, args: &cli::Check) -> Result<Vec<Finding>> {
    let contents = physical::catalog::read(repo, &args.repos.cluster)?;
    let mut findings: Vec<Finding> = contents.damaged.iter().map(|e| damaged(repo, e)).collect();
    let subject = Subject { repo: &repo.name, database: CLUSTER };
    let Some((newest, earlier)) = contents.backups.split_last() else { return Ok(findings) };
    let verified = contents.backups.iter().filter_map(|s| s.verified).max().map(|at| age(at, now));
    findings.push(subject.age(age(newest.backup.started, now), args));
    let sizes = earlier.iter().rev().take(10).map(|s| s.backup.stored_bytes()).collect();
    findings.extend(subject.compare(newest.backup.stored_bytes(), sizes, args));
    findings.push(subject.verify(verified, args));
    findings.extend(contents.backups.iter().filter_map(|s| subject.broken(&s.backup.id, s.damaged)));
    findings.extend(subject.drill(drills::read(&*repo.store, &newest.backup.system()?)?, now, args));
    if newest.backup.damage.pages > 0 {
        let text = format!("the newest holds {} damaged pages of the source", newest.backup.damage.pages);
        findings.push(subject.finding("pages", Severity::Critical, text));
    }
    findings.extend(reaches(repo, &contents, &subject)?);
    Ok(findings)
}

/// Backups that a hole in the WAL keeps from moments behind it. One that a newer backup makes up for is a warning.
fn reaches(repo: &Repo, contents: &Contents, subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let ways = Ways::read(repo, contents)?;
    let short = contents.backups.iter().filter_map(|StoredBackup { backup, .. }| {
        let reached = ways.of(backup)?;
        let hole = reached.hole.as_ref()?;
        let next = contents.backups.iter().map(|s| s.backup.stop_lsn).find(|stop| *stop >= reached.to);
        let severity = if next.is_some() { Severity::Warning } else { Severity::Critical };
        let until = next.map_or("on".to_string(), |lsn| format!("to {lsn}"));
        let text = format!(
            "{} reaches {} only: {} to {} are missing, and no moment from there {until} can be restored",
            backup.id, reached.to, hole.first, hole.last
        );
        Some(subject.finding("reach", severity, text))
    });
    Ok(short.collect())
}

fn damaged(repo: &Repo, e: &Error) -> Finding {
    Subject { repo: &repo.name, database: "-" }.finding("manifest", Severity::Critical, e.chain())
}

fn unknown(repo: &Repo, e: &Error) -> Finding {
    Subject { repo: &repo.name, database: "-" }.finding("repository", Severity::Unknown, e.chain())
}

impl toban_core::finding::Finding for Finding {
    fn severity(&self) -> Severity {
        self.severity
    }

    fn sentence(&self) -> String {
        format!("{} in {}: {}", self.database, self.repo, self.text)
    }

    fn perf(&self) -> Option<&str> {
        self.perf.as_deref()
    }
}

/// Pure: every finding of one repository. With nothing expected and nothing there, that is the finding.
fn judge(
    repo: &str,
    dumps: &[Stored],
    expected: &[String],
    now: Timestamp,
    args: &cli::Check,
) -> Vec<Finding> {
    let there = || dumps.iter().map(|s| s.manifest.database.name.clone());
    let names: BTreeSet<String> =
        if expected.is_empty() { there().collect() } else { expected.iter().cloned().collect() };
    if names.is_empty() {
        let nothing = Subject { repo, database: "-" };
        return vec![nothing.finding("age", Severity::Critical, "there is no dump at all".into())];
    }
    names.iter().flat_map(|database| Subject { repo, database }.judge(dumps, now, args)).collect()
}

/// One database in one repository.
struct Subject<'a> {
    repo: &'a str,
    database: &'a str,
}

impl Subject<'_> {
    fn finding(&self, check: &'static str, severity: Severity, text: String) -> Finding {
        Finding { repo: self.repo.into(), database: self.database.into(), check, severity, text, perf: None }
    }

    fn judge(&self, dumps: &[Stored], now: Timestamp, args: &cli::Check) -> Vec<Finding> {
        // A safety dump taken by a restore says nothing about the nightly ones.
        let nightly = |s: &&Stored| s.manifest.database.name == self.database && !s.manifest.is_safety();
        let own: Vec<&Stored> = dumps.iter().filter(nightly).collect();
        let Some((newest, earlier)) = own.split_last() else {
            return vec![self.finding("age", Severity::Critical, "there is no dump".into())];
        };
        let age = age(newest.manifest.started, now);
        let verified = own.iter().filter_map(|s| s.verified).max().map(|at| self::age(at, now));
        let mut findings = vec![self.age(age, args)];
        findings.extend(self.size(newest, earlier, args));
        findings.push(self.verify(verified, args));
        findings.extend(own.iter().filter_map(|s| self.broken(&s.manifest.id, s.damaged)));
        findings
    }

    fn broken(&self, id: &Id, damaged: Option<Timestamp>) -> Option<Finding> {
        let at = damaged?.strftime("%Y-%m-%dT%H:%MZ").to_string();
        Some(self.finding("verify", Severity::Critical, format!("{id} was found damaged on {at}")))
    }

    fn age(&self, age: u64, args: &cli::Check) -> Finding {
        let (severity, text) = judge_age(age, args.warn_age, args.critical_age);
        let (warn, critical) = (args.warn_age.0.as_secs(), args.critical_age.0.as_secs());
        let perf =
            Some(format!("'{} in {} age'={age}s;{warn};{critical}", label(self.database), label(self.repo)));
        Finding { perf, ..self.finding("age", severity, format!("the newest is {text}")) }
    }

    fn verify(&self, age: Option<u64>, args: &cli::Check) -> Finding {
        let Some(age) = age else {
            return self.finding("verify", Severity::Warning, "it was never verified".into());
        };
        let (severity, text) = judge_age(age, args.warn_verify, args.critical_verify);
        self.finding("verify", severity, format!("the last verify is {text}"))
    }

    /// Drills are judged where they are made: the first one made them expected. A failed one counts until one passes.
    fn drill(&self, drills: Drills, now: Timestamp, args: &cli::Check) -> Option<Finding> {
        let Drills { passed, failed } = drills;
        if failed > passed {
            let at = failed?.strftime("%Y-%m-%d").to_string();
            return Some(self.finding(
                "drill",
                Severity::Critical,
                format!("the restore drill of {at} failed"),
            ));
        }
        let age = age(passed?, now);
        let (severity, text) = judge_age(age, args.warn_drill, args.warn_drill);
        // Late is a warning, however late: the backups are judged by their own checks.
        let severity = if severity == Severity::Ok { Severity::Ok } else { Severity::Warning };
        let warn = args.warn_drill.0.as_secs();
        let perf = Some(format!("'{} in {} drill'={age}s;{warn};", label(self.database), label(self.repo)));
        let text = format!("the last restore drill that passed is {text}");
        Some(Finding { perf, ..self.finding("drill", severity, text) })
    }

    /// Compares the newest with the median of up to ten before it, of the same form.
    fn size(&self, newest: &Stored, earlier: &[&Stored], args: &cli::Check) -> Option<Finding> {
        let same = earlier.iter().rev().filter(|s| s.manifest.form == newest.manifest.form).take(10);
        let sizes = same.map(|s| s.manifest.stored_bytes()).collect();
        self.compare(newest.manifest.stored_bytes(), sizes, args)
    }

    fn compare(&self, bytes: u64, mut sizes: Vec<u64>, args: &cli::Check) -> Option<Finding> {
        sizes.sort_unstable();
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
        let perf = Some(format!("'{} in {} size'={bytes}B", label(self.database), label(self.repo)));
        Some(Finding { perf, ..self.finding("size", severity, text) })
    }
}

/// A perfdata label may hold neither `=` nor `'`.
fn label(text: &str) -> String {
    text.replace(['=', '\'', '|'], "_")
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
