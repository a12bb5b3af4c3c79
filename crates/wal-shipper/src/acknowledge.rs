//! `acknowledge`: WAL that is lost for good, and known to be.

use crate::cli;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;
use toban_core::config::Config;
use toban_core::repo::archive::{Archive, Inventory};
use toban_core::repo::cluster;
use toban_core::repo::gap::Acknowledged;
use toban_core::repo::keys::System;
use toban_core::repo::{Repo, Repos};
use toban_core::wal::{Segment, WalName};
use toban_core::{Error, Out, Record, Result};

/// What was acknowledged in one repository.
#[derive(Serialize)]
struct AcknowledgedRange {
    repo: String,
    first: String,
    last: String,
    reason: String,
}

impl Record for AcknowledgedRange {
    const SCHEMA: &'static str = "wal-shipper.acknowledge/1";
    const HEAD: &'static [&'static str] = &["acknowledged in", "first", "last", "reason"];
    fn cells(&self) -> Vec<String> {
        vec![self.repo.clone(), self.first.clone(), self.last.clone(), self.reason.clone()]
    }
}

/// Records that the files are lost.
pub(crate) fn acknowledge_wal(args: &cli::Acknowledge, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let repos = args.repos.open(config)?;
    let system = choose_system(args, &repos)?;
    let (first, last) = (args.first, args.last.unwrap_or(args.first));
    if !repos.ask_each(|repo| lacks_any(repo, &system, first, last)).all()?.contains(&true) {
        let e = Error::usage(format!("nothing of {first} to {last} is missing"));
        return Err(e.hint("`wal-shipper check` and `wal-shipper list` name what is"));
    }
    let record = Acknowledged::new(first, last, Timestamp::now(), args.reason.clone());
    for repo in &repos {
        if !args.dry.dry_run {
            record.store_record(&*repo.store, &system)?;
        }
        let (first, last, reason) = (record.first.clone(), record.last.clone(), record.reason.clone());
        out.emit(&AcknowledgedRange { repo: repo.name.clone(), first, last, reason })?;
    }
    Ok(())
}

/// The system that is named, else the only one there is.
fn choose_system(args: &cli::Acknowledge, repos: &Repos) -> Result<System> {
    let known = repos.ask_each(|repo| System::all(&*repo.store, &args.repos.cluster)).all()?;
    let known: BTreeSet<System> = known.into_iter().flatten().collect();
    let fits = |s: &System| args.system.is_none_or(|id| id == s.identifier);
    let fit: Vec<System> = known.into_iter().filter(fits).collect();
    match &fit[..] {
        [one] => Ok(one.clone()),
        [] => Err(Error::usage(format!(
            "the repositories hold no such system of cluster {}",
            args.repos.cluster
        ))),
        several => {
            let all: Vec<String> = several.iter().map(|s| s.identifier.to_string()).collect();
            let e = Error::usage(format!("the repositories hold several systems: {}", all.join(", ")));
            Err(e.hint("say which with --system"))
        }
    }
}

/// Whether the repository lacks one of the files at least.
fn lacks_any(repo: &Repo, system: &System, first: WalName, last: WalName) -> Result<bool> {
    let inventory = Archive::new(&*repo.store, system.clone()).inventory()?;
    if let (WalName::History(from), WalName::History(to)) = (first, last) {
        return Ok((from.0..=to.0).any(|t| !inventory.histories.contains(&toban_core::wal::Timeline(t))));
    }
    // Without a cluster.json nothing was ever stored there.
    let Some(known) = cluster::of(&*repo.store, system)? else { return Ok(true) };
    let segment = |name: WalName| name.segment(known.wal_segment_size);
    match (segment(first), segment(last)) {
        (Some(first), Some(last)) if first.number <= last.number => {
            Ok(lacks_segment(&inventory, first, last))
        }
        _ => Err(Error::usage(format!("{first} to {last} is no range of segments"))),
    }
}

fn lacks_segment(inventory: &Inventory, first: Segment, last: Segment) -> bool {
    let here = |s: &Segment| inventory.has(s) || inventory.has(&Segment { timeline: last.timeline, ..*s });
    (first.number..=last.number).any(|number| !here(&Segment { number, ..first }))
}
