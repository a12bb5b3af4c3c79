//! `check`: is there a fresh, plausible, verified dump of every database in every repository?

use crate::catalog::{self, Stored};
use crate::cli;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;
use toban_core::config::{Config, Span};
use toban_core::repo::Repo;
use toban_core::{Error, Kind, Out, Record, Result, Severity};

/// What was judged of one database in one repository.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Finding {
    repo: String,
    database: String,
    /// `age`, `size`, `verify`, or `repository` when it could not be asked.
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
                findings.extend(judge(&repo.name, &contents.dumps, &expected, now, args));
            }
            Err(e) => unreachable.push((repo, e)),
        }
    }
    if unreachable.len() == repos.len() {
        return Err(unreachable.remove(0).1);
    }
    findings.extend(unreachable.iter().map(|(repo, e)| unknown(repo, e)));
    if args.monitoring.monitoring { plugin(&findings, out) } else { records(&findings, out) }
}

fn damaged(repo: &Repo, e: &Error) -> Finding {
    finding(&repo.name, "-", "manifest", Severity::Critical, e.chain())
}

fn unknown(repo: &Repo, e: &Error) -> Finding {
    finding(&repo.name, "-", "repository", Severity::Unknown, e.chain())
}

fn finding(repo: &str, database: &str, check: &'static str, severity: Severity, text: String) -> Finding {
    Finding { repo: repo.into(), database: database.into(), check, severity, text, perf: None }
}

fn records(findings: &[Finding], out: &mut Out<'_>) -> Result<()> {
    findings.iter().try_for_each(|f| out.emit(f))?;
    match findings.iter().filter(|f| f.severity != Severity::Ok).count() {
        0 => Ok(()),
        n => Err(Error::new(Kind::Findings, format!("{n} of {} checks need attention", findings.len()))),
    }
}

fn plugin(findings: &[Finding], out: &mut Out<'_>) -> Result<()> {
    // The contract's order of urgency: CRITICAL before UNKNOWN before WARNING.
    let urgency = |s: Severity| match s {
        Severity::Critical => 3,
        Severity::Unknown => 2,
        Severity::Warning => 1,
        Severity::Ok => 0,
    };
    let worst = findings.iter().map(|f| f.severity).max_by_key(|s| urgency(*s)).unwrap_or(Severity::Unknown);
    let wrong: Vec<String> =
        findings.iter().filter(|f| f.severity != Severity::Ok).map(Finding::sentence).collect();
    let well = || format!("{} checks passed", findings.len());
    let text = if wrong.is_empty() { well() } else { wrong.join("; ") };
    let perf: Vec<String> = findings.iter().filter_map(|f| f.perf.clone()).collect();
    out.plugin(worst, &text, &perf)
}

impl Finding {
    fn sentence(&self) -> String {
        format!("{} in {}: {}", self.database, self.repo, self.text)
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
    let there = dumps.iter().map(|s| s.manifest.database.name.clone());
    let names: BTreeSet<String> =
        if expected.is_empty() { there.collect() } else { expected.iter().cloned().collect() };
    if names.is_empty() {
        return vec![finding(repo, "-", "age", Severity::Critical, "there is no dump at all".into())];
    }
    names.iter().flat_map(|name| judge_one(repo, name, dumps, now, args)).collect()
}

fn judge_one(repo: &str, name: &str, dumps: &[Stored], now: Timestamp, args: &cli::Check) -> Vec<Finding> {
    // A safety dump taken by a restore says nothing about the nightly ones.
    let own: Vec<&Stored> = dumps
        .iter()
        .filter(|s| s.manifest.database.name == name && s.manifest.label.as_deref() != Some("before-replace"))
        .collect();
    let Some((newest, earlier)) = own.split_last() else {
        return vec![finding(repo, name, "age", Severity::Critical, "there is no dump".into())];
    };
    let age = age(newest.manifest.started, now);
    let mut of_age = span("age", "the newest dump is", Some(age), args.warn_age, args.critical_age);
    (of_age.repo, of_age.database) = (repo.into(), name.into());
    let labelled =
        |unit, value, warn, critical| Some(format!("'{name} in {repo} {unit}'={value};{warn};{critical}"));
    of_age.perf =
        labelled("age", format!("{age}s"), args.warn_age.0.as_secs(), args.critical_age.0.as_secs());

    let verified = own.iter().filter_map(|s| s.verified).max().map(|at| self::age(at, now));
    let mut of_verify =
        span("verify", "the last verify was", verified, args.warn_verify, args.critical_verify);
    (of_verify.repo, of_verify.database) = (repo.into(), name.into());
    let mut findings = vec![of_age];
    findings.extend(size(repo, name, newest, earlier, args));
    findings.push(of_verify);
    findings
}

fn age(at: Timestamp, now: Timestamp) -> u64 {
    now.as_second().saturating_sub(at.as_second()).max(0).unsigned_abs()
}

fn span(check: &'static str, what: &str, age: Option<u64>, warn: Span, critical: Span) -> Finding {
    let Some(age) = age else {
        return finding("", "", check, Severity::Warning, "it was never verified".into());
    };
    let severity = match age {
        a if a > critical.0.as_secs() => Severity::Critical,
        a if a > warn.0.as_secs() => Severity::Warning,
        _ => Severity::Ok,
    };
    // Minutes are enough for people.
    let shown = Span(std::time::Duration::from_secs(age / 60 * 60));
    let limit = match severity {
        Severity::Critical => format!(", more than {critical}"),
        Severity::Warning => format!(", more than {warn}"),
        _ => String::new(),
    };
    finding("", "", check, severity, format!("{what} {shown} old{limit}"))
}

/// Compares the newest with the median of up to ten before it, of the same form.
fn size(repo: &str, name: &str, newest: &Stored, earlier: &[&Stored], args: &cli::Check) -> Option<Finding> {
    let same = earlier.iter().rev().filter(|s| s.manifest.form == newest.manifest.form).take(10);
    let mut sizes: Vec<u64> = same.map(|s| s.manifest.stored_bytes()).collect();
    sizes.sort_unstable();
    let median = *sizes.get(sizes.len() / 2)?;
    let bytes = newest.manifest.stored_bytes();
    let change = if median == 0 { 0 } else { bytes.abs_diff(median).saturating_mul(100) / median };
    let severity = match change {
        c if c > u64::from(args.critical_size) => Severity::Critical,
        c if c > u64::from(args.warn_size) => Severity::Warning,
        _ => Severity::Ok,
    };
    let sign = if bytes < median { '-' } else { '+' };
    let text = format!("its size differs from the median by {sign}{change} %");
    let perf = Some(format!("'{name} in {repo} size'={bytes}B"));
    Some(Finding { perf, ..finding(repo, name, "size", severity, text) })
}
