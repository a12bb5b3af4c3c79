//! `list`: the WAL of every repository in stretches, whole, begun, missing, or recorded as a gap.

use crate::cli;
use serde::Serialize;
use std::collections::BTreeSet;
use toban_core::config::Config;
use toban_core::repo::Repo;
use toban_core::repo::archive::{Archive, Hole, Inventory, Tail, covers};
use toban_core::repo::cluster;
use toban_core::repo::gap::{self, Gap};
use toban_core::repo::keys::System;
use toban_core::wal::{Lsn, Segment, Timeline, WalName};
use toban_core::{Out, Record, Result};

/// Segments one behind the other.
#[derive(Debug, Serialize)]
struct Stretch {
    repo: String,
    system: u64,
    timeline: Timeline,
    /// `there`, `begun` (by tails), `missing` between others, or `gap`: recorded by whoever could not store it.
    state: &'static str,
    first: String,
    last: String,
    from: Lsn,
    to: Lsn,
    segments: u64,
    /// Of a gap: when and why.
    why: Option<String>,
}

impl Record for Stretch {
    const SCHEMA: &'static str = "wal-shipper.list/1";
    const HEAD: &'static [&'static str] =
        &["repo", "system", "timeline", "state", "first", "last", "from", "to", "segments", "why"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.repo.clone(),
            self.system.to_string(),
            self.timeline.to_string(),
            self.state.into(),
            self.first.clone(),
            self.last.clone(),
            self.from.to_string(),
            self.to.to_string(),
            self.segments.to_string(),
            self.why.clone().unwrap_or_default(),
        ]
    }
}

/// What one repository has of one system.
struct Found {
    repo: String,
    system: u64,
    size: u64,
    inventory: Inventory,
    tails: Vec<Tail>,
    /// What it knows of itself and of others.
    gaps: Vec<Gap>,
}

/// Runs the verb.
pub(crate) fn run(args: &cli::List, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let mut found = Vec::new();
    let repos = args.repos.open(config)?;
    for repo in &repos {
        for system in System::all(&*repo.store, &args.repos.cluster)? {
            found.extend(look(repo, &system)?);
        }
    }
    found.iter().flat_map(Found::stretches).chain(gaps(&found)).try_for_each(|s| out.emit(&s))?;
    repos.iter().try_for_each(|repo| repo.check_holds(&args.repos.cluster))
}

/// None for a folder that holds no cluster.json: it is none of ours.
fn look(repo: &Repo, system: &System) -> Result<Option<Found>> {
    let Some(known) = cluster::of(&*repo.store, system)? else { return Ok(None) };
    let archive = Archive::new(&*repo.store, system.clone());
    // In this order: a segment that becomes whole meanwhile has its tails still, and is not missing.
    let tails = archive.all_tails()?;
    let (gaps, damaged) = gap::all(&*repo.store, system)?;
    damaged.iter().for_each(|e| log::warn!("repository {}: {}", repo.name, e.chain()));
    Ok(Some(Found {
        repo: repo.name.clone(),
        system: system.identifier,
        size: known.wal_segment_size,
        inventory: archive.inventory()?,
        tails,
        gaps,
    }))
}

/// Those that are open still, each once: it is recorded in several repositories, and by every try.
fn gaps(found: &[Found]) -> Vec<Stretch> {
    let (mut gaps, mut told) = (Vec::new(), BTreeSet::new());
    for (teller, gap) in found.iter().flat_map(|f| f.gaps.iter().map(move |g| (f, g))) {
        let lacks = gap.repo.as_ref().unwrap_or(&teller.repo);
        let asked = found.iter().find(|f| f.repo == *lacks && f.system == teller.system);
        let open = asked.is_none_or(|f| gap.is_open(&f.inventory, f.size));
        if open && told.insert((lacks, teller.system, &gap.first, &gap.last)) {
            gaps.extend(teller.gap(lacks, gap));
        }
    }
    gaps
}

impl Found {
    fn stretches(&self) -> Vec<Stretch> {
        let mut all = self.begun();
        for (timeline, line) in &self.inventory.lines {
            let there = line.ranges(*timeline, self.size).into_iter();
            all.extend(there.map(|(first, last)| self.stretch("there", first, last)));
            let holes = line.holes(*timeline, self.size).into_iter();
            all.extend(holes.map(|Hole { first, last }| self.stretch("missing", first, last)));
        }
        all.sort_by_key(|s| (s.timeline, s.from));
        all
    }

    /// Segments of which there are only tails, as far as those reach.
    fn begun(&self) -> Vec<Stretch> {
        let begun = |(name, cover): (WalName, Vec<Tail>)| {
            let segment = name.segment(self.size).filter(|s| !self.inventory.has(s))?;
            let to = Lsn(segment.start().0 + cover.last()?.end());
            Some(Stretch { to, segments: 0, ..self.stretch("begun", segment, segment) })
        };
        covers(&self.tails).into_iter().filter_map(begun).collect()
    }

    fn gap(&self, lacks: &str, gap: &Gap) -> Option<Stretch> {
        let segment = |name: &str| name.parse::<WalName>().ok()?.segment(self.size);
        let stretch = self.stretch("gap", segment(&gap.first)?, segment(&gap.last)?);
        let why = Some(format!("{}: {}", gap.at, gap.why));
        Some(Stretch { repo: lacks.into(), why, ..stretch })
    }

    fn stretch(&self, state: &'static str, first: Segment, last: Segment) -> Stretch {
        Stretch {
            repo: self.repo.clone(),
            system: self.system,
            timeline: first.timeline,
            state,
            first: first.name(),
            last: last.name(),
            from: first.start(),
            to: last.end(),
            segments: last.number - first.number + 1,
            why: None,
        }
    }
}
