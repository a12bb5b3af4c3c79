//! Object Lock: every object is locked for as long as the backup or dump that needs it.

use super::{CLUSTER, Held, Subject};
use crate::format::catalog::{Manifest, Stored};
use crate::lock::LockSurvey;
use crate::rulebook;
use jiff::Timestamp;
use toban_core::check::Finding;
use toban_core::repo::Repo;
use toban_core::repo::archive::Archive;
use toban_core::repo::keys::System;
use toban_core::stamp::iso_seconds;
use toban_core::wal::WalName;
use toban_core::{Result, Severity};

/// What is wrong with the locks of one repository; nothing where it locks none.
pub(super) fn findings(one: &Held<'_>, now: Timestamp) -> Result<Vec<Finding>> {
    if one.repo.store.lock().is_none() {
        return Ok(Vec::new());
    }
    let backups = judge_locks(one.repo, &one.backups.stored, now, |_| CLUSTER.into())?;
    let dumps = judge_locks(one.repo, &one.dumps.stored, now, |dump| dump.database.name.clone())?;
    let newest = one.backups.stored.last();
    let wal = newest.map(|s| judge_wal(one.repo, &s.manifest.system()?, now)).transpose()?;
    Ok(backups.into_iter().chain(dumps).chain(wal.flatten()).collect())
}

fn judge_locks<M: Manifest + Sync>(
    repo: &Repo,
    stored: &[Stored<M>],
    now: Timestamp,
    name: impl Fn(&M) -> String,
) -> Result<Vec<Finding>> {
    let survey = LockSurvey::read(repo, stored, now)?;
    let mut findings = Vec::new();
    for (number, text) in survey.list_short() {
        let manifest = &stored[number].manifest;
        let subject = Subject { repo: &repo.name, database: &name(manifest) };
        let finding = subject.finding(&rulebook::LOCK, Severity::Critical, text);
        findings.push(finding.with_key(manifest.id().to_string()));
    }
    if let (Some(newest), Some(until)) = (stored.last(), survey.list_ends().last()) {
        let subject = Subject { repo: &repo.name, database: &name(&newest.manifest) };
        findings.push(judge_newest(&subject, *until));
    }
    Ok(findings)
}

fn judge_newest(subject: &Subject<'_>, until: Option<Timestamp>) -> Finding {
    match until {
        Some(until) => {
            let text = format!("the newest is locked until {}", iso_seconds(until));
            subject.finding(&rulebook::LOCK, Severity::Ok, text)
        }
        None => subject.finding(&rulebook::LOCK, Severity::Warning, "the newest is not locked"),
    }
}

/// Whether the newest segment is locked: wal-shipper has a configuration of its own machine.
fn judge_wal(repo: &Repo, system: &System, now: Timestamp) -> Result<Option<Finding>> {
    let files = Archive::new(&*repo.store, system.clone()).files()?.into_iter();
    let segments = files.filter(|(name, _)| matches!(name, WalName::Segment(..)));
    let Some((name, object)) = segments.max_by_key(|(_, object)| object.modified) else { return Ok(None) };
    let until = repo.store.locked_until(&object.key)?.filter(|until| *until > now);
    let text = format!("the newest segment of the WAL, {name}, is not locked");
    let subject = Subject { repo: &repo.name, database: CLUSTER };
    Ok(until.is_none().then(|| subject.finding(&rulebook::LOCK, Severity::Warning, text)))
}
