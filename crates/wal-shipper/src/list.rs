//! `list`: the WAL of every repository in ranges of segments, whole, begun, missing, or recorded as a gap.

use crate::cli;
use serde::Serialize;
use std::collections::BTreeSet;
use toban_core::config::Config;
use toban_core::repo::Repo;
use toban_core::repo::archive::{Archive, MissingRange, StoredWal};
use toban_core::repo::cluster;
use toban_core::repo::gap::{self, Gap};
use toban_core::repo::keys::System;
use toban_core::wal::{Lsn, Segment, Timeline, WalName};
use toban_core::{Out, Record, Result};

/// Segments one after the other.
#[derive(Debug, Serialize)]
struct ListedRange {
    repo: String,
    system: u64,
    timeline: Timeline,
    /// `there`, `begun` (by tails), `missing` between others, or `gap`: recorded when it could not be stored.
    state: &'static str,
    first: String,
    last: String,
    from: Lsn,
    to: Lsn,
    segments: u64,
    /// Of a gap: when and why.
    why: Option<String>,
}

impl Record for ListedRange {
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
struct SystemWal {
    repo: String,
    system: u64,
    size: u64,
    wal: StoredWal,
    /// What it knows of itself and of others.
    gaps: Vec<Gap>,
}

/// Lists what each repository has.
pub(crate) fn list_wal(args: &cli::List, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let mut found = Vec::new();
    let repos = args.repos.open(config)?;
    for repo in &repos {
        for system in System::all(&*repo.store, &args.repos.cluster)? {
            found.extend(read_system(repo, &system)?);
        }
    }
    found.iter().flat_map(SystemWal::ranges).chain(open_gaps(&found)).try_for_each(|s| out.emit(&s))?;
    repos.iter().try_for_each(|repo| repo.check_holds(&args.repos.cluster))
}

/// None for a folder that holds no cluster.json: it is none of ours.
fn read_system(repo: &Repo, system: &System) -> Result<Option<SystemWal>> {
    let Some(known) = cluster::of(&*repo.store, system)? else { return Ok(None) };
    let (gaps, damaged) = gap::read_gaps(&*repo.store, system)?;
    damaged.iter().for_each(|e| log::warn!("repository {}: {}", repo.name, e.chain()));
    Ok(Some(SystemWal {
        repo: repo.name.clone(),
        system: system.identifier,
        size: known.wal_segment_size,
        wal: Archive::new(&*repo.store, system.clone()).stored_wal()?,
        gaps,
    }))
}

/// Those that are open still, each once: it is recorded in several repositories, and by every try.
fn open_gaps(found: &[SystemWal]) -> Vec<ListedRange> {
    let (mut gaps, mut listed) = (Vec::new(), BTreeSet::new());
    for (holder, gap) in found.iter().flat_map(|f| f.gaps.iter().map(move |g| (f, g))) {
        let lacks = gap.repo.as_ref().unwrap_or(&holder.repo);
        let asked = found.iter().find(|f| f.repo == *lacks && f.system == holder.system);
        let open = asked.is_none_or(|f| gap.is_open(&f.wal.inventory, f.size));
        if open && listed.insert((lacks, holder.system, &gap.first, &gap.last)) {
            gaps.extend(holder.gap_range(lacks, gap));
        }
    }
    gaps
}

impl SystemWal {
    fn ranges(&self) -> Vec<ListedRange> {
        let begun = self.wal.begun_segments(self.size).into_iter();
        // None of them is whole: what there is ends at `to`.
        let begun = begun.map(|(s, to)| ListedRange { to, segments: 0, ..self.range("begun", s, s) });
        let mut all: Vec<ListedRange> = begun.collect();
        for (timeline, line) in &self.wal.inventory.timelines {
            let there = line.ranges(*timeline, self.size).into_iter();
            all.extend(there.map(|(first, last)| self.range("there", first, last)));
            let missing = line.missing_ranges(*timeline, self.size).into_iter();
            all.extend(missing.map(|MissingRange { first, last }| self.range("missing", first, last)));
        }
        all.sort_by_key(|s| (s.timeline, s.from));
        all
    }

    fn gap_range(&self, lacks: &str, gap: &Gap) -> Option<ListedRange> {
        let segment = |name: &str| name.parse::<WalName>().ok()?.segment(self.size);
        let range = self.range("gap", segment(&gap.first)?, segment(&gap.last)?);
        let why = Some(format!("{}: {}", gap.at, gap.why));
        Some(ListedRange { repo: lacks.into(), why, ..range })
    }

    fn range(&self, state: &'static str, first: Segment, last: Segment) -> ListedRange {
        ListedRange {
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
