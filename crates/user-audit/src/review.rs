//! The last accepted review, and what changed since.

use crate::finding::{Access, AuditFinding};
use crate::rulebook::{self, review};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use toban_core::{Context, Error, Kind, Result, Severity};

/// The version of the file.
pub(crate) const SCHEMA: &str = "user-audit.review/1";

/// What somebody looked at and answered for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Review {
    pub(crate) schema: String,
    pub(crate) verb: String,
    pub(crate) source: String,
    /// Which database it was, whatever it is called.
    pub(crate) identity: String,
    pub(crate) reviewer: String,
    pub(crate) decision: String,
    pub(crate) date: Timestamp,
    pub(crate) ticket: String,
    /// The pack's folder, and the SHA-256 of its manifest.
    pub(crate) pack: String,
    pub(crate) pack_sha256: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) access: Vec<Access>,
    /// How many accounts the list beside it holds; None in reviews that had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) accounts: Option<u64>,
}

impl Review {
    /// Said when the file is of another database than the audited one.
    pub(crate) fn of_another(&self) -> String {
        format!(
            "the review of {} is of another database ({}): was this one restored or made anew?",
            self.date, self.identity
        )
    }

    fn has_access(&self, held: &Access) -> bool {
        self.access.iter().any(|a| a == held)
    }

    fn describe_review(&self) -> String {
        format!("the review of {} by {} ({})", self.date.strftime("%Y-%m-%d"), self.reviewer, self.ticket)
    }
}

/// Where the review of one database lies.
pub(crate) fn review_path(dir: &Path, verb: &str, source: &str) -> PathBuf {
    // Escaped so that no two names give one file: the review of one database must never be taken for another's.
    // A database's name may hold a slash or begin with a dot; `%` keeps two names two files.
    let safe = |c: char| match c {
        c if c.is_ascii_alphanumeric() || "._-".contains(c) => c.to_string(),
        c => format!("%{:X}", u32::from(c)),
    };
    dir.join(format!("{verb}.{}.json", source.chars().map(safe).collect::<String>()))
}

/// Where the accounts of that review lie.
pub(crate) fn population_path(dir: &Path, verb: &str, source: &str) -> PathBuf {
    review_path(dir, verb, source).with_extension("population.csv")
}

/// The last accepted review; None before the first.
///
/// # Errors
/// When it is there and cannot be used: damaged, or of another version of this tool.
pub(crate) fn load_review(dir: &Path, verb: &str, source: &str) -> Result<Option<Review>> {
    let path = review_path(dir, verb, source);
    let doing = || format!("read the review {}", path.display());
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e).doing(doing),
    };
    let value: serde_json::Value = serde_json::from_slice(&text).doing(doing)?;
    let schema = value.get("schema").and_then(|s| s.as_str()).unwrap_or_default();
    // Not read as far as it goes: a review in another form compared with nothing would find nothing new.
    if schema != SCHEMA {
        return Err(Error::new(Kind::Failed, format!("{}: its schema is {schema:?}, not {SCHEMA}", doing())));
    }
    serde_json::from_value(value).doing(doing).map(Some)
}

/// Everything that is not as it was, the gravest first. Pure.
pub(crate) fn compare_access(before: &[Access], now: &[Access]) -> Vec<AuditFinding> {
    let old: BTreeSet<&Access> = before.iter().collect();
    let new: BTreeSet<&Access> = now.iter().collect();
    let mut found: Vec<AuditFinding> = new.difference(&old).map(|a| new_access(a, before)).collect();
    found.extend(old.difference(&new).filter_map(|a| removed_access(a, now)));
    // By urgency, then by names: two runs over the same rights tell them in the same order, and can be compared.
    found.sort_by_cached_key(|f| (f.base.severity.rank(), f.id(), f.base.key.clone()));
    found
}

fn new_access(a: &Access, before: &[Access]) -> AuditFinding {
    let finding = |rule, severity| AuditFinding::new(rule, &access_key(a), &a.name, severity);
    let same = |f: &dyn Fn(&Access) -> bool| before.iter().find(|b| b.right == a.right && f(b));
    // The id first, the name second: a role that was renamed keeps its oid, and one that was dropped and made anew has
    // another under the old name, which is how access that was taken away comes back unseen.
    if let Some(b) = same(&|b| b.subject == a.subject) {
        let (was, is) = if b.name != a.name { (&b.name, &a.name) } else { (&b.path, &a.path) };
        let what = if b.name != a.name { "name" } else { "path" };
        return finding(&review::CHANGED_ACCESS, Severity::Warning)
            .says(format!("{}: its {what} was {was}, and is {is}", a.right));
    }
    if let Some(b) = same(&|b| b.name == a.name) {
        let said =
            format!("{} by {}: made anew as {}; the review knew {}", a.right, a.path, a.subject, b.subject);
        return finding(&review::RECREATED_ACCESS, Severity::Critical).says(said);
    }
    finding(&review::NEW_ACCESS, Severity::Critical)
        .says(format!("new since the review: {} by {}", a.right, a.path))
}

fn removed_access(a: &Access, now: &[Access]) -> Option<AuditFinding> {
    let still = now.iter().any(|n| n.right == a.right && (n.subject == a.subject || n.name == a.name));
    let said = format!("no longer {} by {}", a.right, a.path);
    (!still)
        .then(|| AuditFinding::new(&review::REMOVED_ACCESS, &access_key(a), &a.name, Severity::Ok).says(said))
}

fn access_key(a: &Access) -> String {
    format!("{}/{}", a.subject, a.right)
}

/// What this run is compared with.
pub(crate) fn review_finding(
    review: Option<&Review>,
    trouble: Option<String>,
    now: Timestamp,
    every: SignedDuration,
) -> AuditFinding {
    let finding =
        |severity| AuditFinding::new(&review::LAST_REVIEW, "last", "the last accepted review", severity);
    match (trouble, review) {
        (Some(why), _) => finding(Severity::Unknown).says(format!("{why}; what changed is not known")),
        (None, None) => finding(Severity::Ok)
            .says("no review was accepted yet: nothing is compared")
            .advise(review::LAST_REVIEW.action),
        (None, Some(r)) if now.duration_since(r.date) > every => {
            let days = |d: SignedDuration| d.as_hours() / 24;
            let said = format!(
                "overdue: compared with {}, {} days ago; one every {} days is asked for",
                r.describe_review(),
                days(now.duration_since(r.date)),
                days(every)
            );
            finding(Severity::Warning).since(Some(r.date)).says(said)
        }
        (None, Some(r)) => {
            finding(Severity::Ok).since(Some(r.date)).says(format!("compared with {}", r.describe_review()))
        }
    }
}

/// One right that is held: OK when the review has it just so, as `shown`.
pub(crate) fn holding_finding(held: &Access, shown: &Access, review: Option<&Review>) -> AuditFinding {
    let right = rulebook::find_right(&held.right);
    let (accepted, severity) = match review {
        None => ("no review has accepted it".into(), right.severity),
        Some(r) if r.has_access(shown) => (format!("accepted in {}", r.describe_review()), Severity::Ok),
        // It is told as a change already: once is enough.
        Some(_) => ("changed since the review".into(), Severity::Ok),
    };
    let finding =
        AuditFinding::new(right.rule, &held.subject, &held.name, severity).of_person().cis(right.cis);
    let finding = finding.since(review.filter(|r| r.has_access(shown)).map(|r| r.date)).says(format!(
        "{} by: {}{}; {accepted}",
        right.rule.meaning,
        held.path,
        path_legend(&held.path)
    ));
    match review.is_none() && !held.advice.is_empty() {
        true => finding.advise(&held.advice),
        false => finding,
    }
}

/// What the arrows of a path mean, of those that are in it.
fn path_legend(path: &str) -> String {
    let arrows = [('→', "is SET ROLE"), ('⇒', "is granting itself"), ('⊃', "is by inherited privileges")];
    let used = arrows.iter().filter(|(arrow, _)| path.contains(*arrow));
    let said: Vec<String> = used.map(|(arrow, what)| format!("{arrow} {what}")).collect();
    if said.is_empty() { String::new() } else { format!("; {}", said.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(subject: &str, name: &str, path: &str) -> Access {
        Access {
            subject: subject.into(),
            name: name.into(),
            right: "admin".into(),
            path: path.into(),
            advice: String::new(),
        }
    }

    fn said(before: &[Access], now: &[Access]) -> Vec<&'static str> {
        compare_access(before, now).iter().map(AuditFinding::id).collect()
    }

    #[test]
    fn each_kind_of_change_is_one_finding() {
        let anna = access("user/1", "anna", "admin");
        let bert = access("user/2", "bert", "admin");
        assert_eq!(said(std::slice::from_ref(&anna), std::slice::from_ref(&anna)), [""; 0]);
        assert_eq!(said(std::slice::from_ref(&anna), &[anna.clone(), bert.clone()]), ["new-access"]);
        assert_eq!(said(&[anna.clone(), bert.clone()], std::slice::from_ref(&anna)), ["removed-access"]);
        assert_eq!(
            said(std::slice::from_ref(&anna), std::slice::from_ref(&bert)),
            ["new-access", "removed-access"]
        );
        assert_eq!(
            said(std::slice::from_ref(&anna), &[access("user/9", "anna", "admin")]),
            ["recreated-access"]
        );
        assert_eq!(
            said(std::slice::from_ref(&anna), &[access("user/1", "anne", "admin")]),
            ["changed-access"]
        );
        assert_eq!(said(&[anna], &[access("user/1", "anna", "admin, system_admin")]), ["changed-access"]);
    }

    #[test]
    fn two_databases_have_two_files() {
        let file = |source| review_path(Path::new("/r"), "app", source);
        assert_ne!(file("main/a/b"), file("main/a%2Fb"));
        assert_eq!(file("main/app"), Path::new("/r/app.main%2Fapp.json"));
    }
}
