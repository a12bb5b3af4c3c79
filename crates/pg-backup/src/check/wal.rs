//! The WAL of a repository, as far as it restores something: there is a backup to it, and it was read back.

use super::{CLUSTER, Held, Subject, age};
use crate::cli;
use crate::rulebook;
use jiff::Timestamp;
use std::collections::BTreeSet;
use toban_core::check::Finding;
use toban_core::repo::archive::Archive;
use toban_core::repo::keys::System;
use toban_core::repo::{Repo, verified};
use toban_core::wal::WalName;
use toban_core::{Kind, Result, Severity};

/// What is wrong with the WAL of one repository; nothing where it has none, unless all else is gone too.
pub(super) fn findings(
    one: &Held<'_>,
    held: &[Held<'_>],
    now: Timestamp,
    args: &cli::Check,
) -> Result<Vec<Finding>> {
    let repo = one.repo;
    // Identifiers begin with the time of initdb: the largest is that of the server that is in service.
    let Some(system) = System::all(&*repo.store, &args.repos.cluster)?.into_iter().max() else {
        return Ok(Vec::new());
    };
    let names = names(repo, &system)?;
    let subject = Subject { repo: &repo.name, database: CLUSTER };
    let missing = |text| Ok(vec![subject.finding(&rulebook::BACKUP_MISSING, Severity::Critical, text)]);
    let own = |h: &Held<'_>| {
        let whole = h.backups.stored.iter().filter(|s| s.is_whole());
        whole.filter(|s| s.manifest.is_of(&system)).count()
    };
    let identifier = system.identifier;
    if names.is_empty() {
        // `run` or `push` claimed it for the system, and somebody took away what they stored.
        return match own(one) {
            0 => missing(format!("it is a repository of system {identifier}, of which it holds nothing")),
            _ => Ok(Vec::new()),
        };
    }
    if held.iter().map(own).sum::<usize>() == 0 {
        return missing(format!(
            "there is WAL of system {identifier} and no whole backup of it: nothing can be restored from it"
        ));
    }
    Ok(vec![verdict(repo, &system, &names, Judged { subject, now, args })])
}

struct Judged<'a> {
    subject: Subject<'a>,
    now: Timestamp,
    args: &'a cli::Check,
}

/// What `verify` last said of it, as far as that is there still.
fn verdict(repo: &Repo, system: &System, names: &BTreeSet<String>, judged: Judged<'_>) -> Finding {
    let Judged { subject, now, args } = judged;
    let last = match verified::newest(&*repo.store, system, now) {
        Ok(Some(last)) => last,
        Ok(None) => {
            return subject.finding(&rulebook::WAL_VERIFY, Severity::Warning, "the WAL was never verified");
        }
        Err(e) => {
            let severity = if e.kind() == Kind::Corrupt { Severity::Critical } else { Severity::Unknown };
            return subject.finding(&rulebook::WAL_VERIFY, severity, e.chain());
        }
    };
    let damaged: Vec<&String> = last.damaged.iter().filter(|name| names.contains(*name)).collect();
    if let Some(first) = damaged.first() {
        let text = format!(
            "{} files of the WAL were found damaged on {}, the first is {first}: no later position can be restored from an \
             older backup",
            damaged.len(),
            last.at.strftime("%Y-%m-%dT%H:%MZ")
        );
        return subject.finding(&rulebook::WAL_DAMAGED, Severity::Critical, text);
    }
    let Finding { severity, text, .. } = subject.verify(Some(age(last.at, now)), args);
    subject.finding(&rulebook::WAL_VERIFY, severity, format!("{text}, of the WAL"))
}

/// Every file and tail of the WAL, as a verdict names them.
fn names(repo: &Repo, system: &System) -> Result<BTreeSet<String>> {
    let archive = Archive::new(&*repo.store, system.clone());
    let tails = archive.all_tails()?;
    let tails = tails.iter().map(|t| format!("{}/{:08X}-{:08X}", t.segment, t.offset, t.length));
    let files = archive.files()?.into_iter().map(|(name, _)| name);
    // A history alone restores nothing.
    let files: Vec<WalName> = files.collect();
    let some = files.iter().any(|n| !matches!(n, WalName::History(_)));
    let names: BTreeSet<String> = files.iter().map(WalName::to_string).chain(tails).collect();
    Ok(if some || names.iter().any(|n| n.contains('/')) { names } else { BTreeSet::new() })
}
