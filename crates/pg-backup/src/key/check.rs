//! `key check`: who can read what the repositories hold.

use crate::cli::KeyCheck;
use crate::format::backup::BackupCatalog;
use crate::format::dump::DumpCatalog;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use toban_core::age::Recipients;
use toban_core::config::Config;
use toban_core::repo::Repo;
use toban_core::store::Encryption;
use toban_core::{Error, Kind, Out, Record, Result};

/// What one recipient can read in one repository.
#[derive(Serialize)]
struct Readable {
    repo: String,
    /// None: everybody, as it is not encrypted.
    recipient: Option<String>,
    /// Whether new content is encrypted to it.
    configured: bool,
    backups: usize,
    dumps: usize,
    newest: Option<Timestamp>,
}

impl Record for Readable {
    const SCHEMA: &'static str = "pg-backup.key-check/1";
    const HEAD: &'static [&'static str] = &["repo", "recipient", "configured", "backups", "dumps", "newest"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.repo.clone(),
            self.recipient.clone().unwrap_or_else(|| "everybody".into()),
            if self.configured { "yes" } else { "no" }.into(),
            self.backups.to_string(),
            self.dumps.to_string(),
            self.newest.map_or_else(|| "-".into(), crate::list::format_local),
        ]
    }
}

/// What of one kind is encrypted to whom.
struct Held {
    recipients: Vec<String>,
    is_dump: bool,
    at: Timestamp,
}

/// Lists who can read what.
pub(super) fn check_recipients(args: &KeyCheck, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let mut unreadable = 0;
    for repo in &args.repos.open(config)? {
        let configured = repo.store.encryption().and_then(Encryption::recipients);
        let configured = configured.map(Recipients::names).unwrap_or_default();
        let held = list_held(repo, &args.repos.cluster)?;
        unreadable += held.iter().filter(|held| !fits(held, &configured)).count();
        for readable in count_readable(repo, &held, &configured) {
            out.emit(&readable)?;
        }
    }
    match unreadable {
        0 => Ok(()),
        n => Err(Error::new(
            Kind::Findings,
            format!("{n} backups and dumps are not encrypted to the recipients of recipients_file"),
        )
        .hint("keep the identities of removed recipients until `prune` has deleted what only they can read")),
    }
}

/// Whether somebody who is configured can read it.
fn fits(held: &Held, configured: &[String]) -> bool {
    configured.is_empty() || held.recipients.iter().any(|name| configured.contains(name))
}

fn list_held(repo: &Repo, cluster: &str) -> Result<Vec<Held>> {
    let now = Timestamp::now();
    let backups = BackupCatalog::read(repo, cluster, now)?.stored.into_iter().map(|s| s.manifest);
    let dumps = DumpCatalog::read(repo, cluster, now)?.stored.into_iter().map(|s| s.manifest);
    let backups = backups.map(|m| (false, m.recipients, m.started));
    let all = backups.chain(dumps.map(|m| (true, m.recipients, m.started)));
    Ok(all.map(|(is_dump, recipients, at)| Held { recipients, is_dump, at }).collect())
}

/// A line for each recipient that can read something or is configured.
fn count_readable(repo: &Repo, held: &[Held], configured: &[String]) -> Vec<Readable> {
    let line = |recipient: Option<&String>| Readable {
        repo: repo.name.clone(),
        recipient: recipient.cloned(),
        configured: recipient.map_or(configured.is_empty(), |name| configured.contains(name)),
        backups: 0,
        dumps: 0,
        newest: None,
    };
    let mut lines: BTreeMap<Option<&String>, Readable> =
        configured.iter().map(|name| (Some(name), line(Some(name)))).collect();
    for one in held {
        let plain = one.recipients.is_empty().then_some(None);
        for reader in one.recipients.iter().map(Some).chain(plain) {
            let readable = lines.entry(reader).or_insert_with(|| line(reader));
            if one.is_dump {
                readable.dumps += 1;
            } else {
                readable.backups += 1;
            }
            readable.newest = readable.newest.max(Some(one.at));
        }
    }
    lines.into_values().collect()
}
