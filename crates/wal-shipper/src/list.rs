//! `list`: the WAL of every repository, in stretches without a gap.

use crate::cli;
use serde::Serialize;
use toban_core::config::Config;
use toban_core::repo::Repo;
use toban_core::repo::archive::{Archive, Hole, Line};
use toban_core::repo::cluster;
use toban_core::repo::keys::System;
use toban_core::wal::{Lsn, Segment, Timeline};
use toban_core::{Out, Record, Result};

/// Segments one behind the other, there or missing.
#[derive(Debug, Serialize)]
struct Stretch {
    repo: String,
    system: u64,
    timeline: Timeline,
    /// `there` or `missing`.
    state: &'static str,
    first: String,
    last: String,
    from: Lsn,
    to: Lsn,
    segments: u64,
}

impl Record for Stretch {
    const SCHEMA: &'static str = "wal-shipper.list/1";
    const HEAD: &'static [&'static str] =
        &["repo", "system", "timeline", "state", "first", "last", "from", "to", "segments"];
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
        ]
    }
}

/// Runs the verb.
pub(crate) fn run(args: &cli::List, config: &Config, out: &mut Out<'_>) -> Result<()> {
    for repo in args.repos.open(config)? {
        for system in System::all(&*repo.store, &args.repos.cluster)? {
            one(&repo, &system)?.iter().try_for_each(|s| out.emit(s))?;
        }
    }
    Ok(())
}

fn one(repo: &Repo, system: &System) -> Result<Vec<Stretch>> {
    // A folder that holds no cluster.json is none of ours.
    let Some(known) = cluster::of(&*repo.store, system)? else { return Ok(Vec::new()) };
    let size = known.wal_segment_size;
    let inventory = Archive::new(&*repo.store, system.clone()).inventory()?;
    let lines = inventory.lines.iter();
    Ok(lines.flat_map(|(timeline, line)| stretches(line, *timeline, size, &repo.name, system)).collect())
}

fn stretches(line: &Line, timeline: Timeline, size: u64, repo: &str, system: &System) -> Vec<Stretch> {
    let stretch = |state, first: Segment, last: Segment| Stretch {
        repo: repo.into(),
        system: system.identifier,
        timeline,
        state,
        first: first.name(),
        last: last.name(),
        from: first.start(),
        to: last.end(),
        segments: last.number - first.number + 1,
    };
    let there = line.ranges(timeline, size).into_iter().map(|(first, last)| stretch("there", first, last));
    let holes = line.holes(timeline, size).into_iter();
    let missing = holes.map(|Hole { first, last }| stretch("missing", first, last));
    let mut all: Vec<Stretch> = there.chain(missing).collect();
    all.sort_by_key(|s| s.from);
    all
}
