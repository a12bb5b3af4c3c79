//! `fetch`: a file of the WAL for recovery, or the proof that there is none.

mod ahead;
mod place;
mod unfinished;

use crate::{cli, local, places};
pub(crate) use ahead::run as get_ahead;

use place::Place;
use std::path::Path;
use std::time::Duration;
use toban_core::config::Config;
use toban_core::repo::Repo;
use toban_core::repo::archive::Archive;
use toban_core::repo::cluster;
use toban_core::repo::keys::System;
use toban_core::store::Backoff;
use toban_core::wal::{History, Timeline, WalName, apply_changes, read_changes};
use toban_core::{Context, Error, Kind, Result};

/// How long recovery waits for a store that is away where it has another place to look.
const ELSEWHERE: Duration = Duration::from_secs(5);

/// What one call works with.
struct Job {
    repos: Vec<Repo>,
    system: System,
    /// The timeline that recovery follows, where that was said.
    target: Option<Timeline>,
}

/// Runs the verb. An error of kind Findings is the proof that nobody has the file; see `contract.rs`.
pub(crate) fn run(args: &cli::Fetch, config: &Config) -> Result<()> {
    let name: WalName = args.name.parse()?;
    let identifier = system(args)?;
    let place = Place::of(&args.path, name, identifier);
    let job = Job::open(args, config, identifier, place.is_at_hand())?;
    if ahead::take(&place)? || job.get(&place)? || job.derive(&place)? || job.finish(&place)? {
        change(args, &place)?;
        ahead::start(args, name)?;
        return Ok(());
    }
    job.prove(&place)
}

/// Makes the changes of `--changes` in what was put in its place. On an error recovery stops, and reads none of it.
fn change(args: &cli::Fetch, place: &Place) -> Result<()> {
    let Some(path) = &args.changes else { return Ok(()) };
    let text = std::fs::read_to_string(path).doing(|| format!("read {}", path.display()))?;
    let changes = read_changes(&text).doing(|| format!("read {}", path.display()))?;
    let WalName::Segment(..) = place.name else { return Ok(()) };
    let size = local::segment(&place.path, place.name, None)?.segment_size;
    let Some(segment) = place.name.segment(size) else { return Ok(()) };
    apply_changes(&changes, &segment, &place.path).map(drop)
}

/// As it was told, else of the data directory that PostgreSQL runs us in.
fn system(args: &cli::Fetch) -> Result<u64> {
    args.system.map_or_else(|| local::system(Path::new(".")), Ok)
}

impl Job {
    /// `at_hand`: recovery has the file in pg_wal, too.
    fn open(args: &cli::Fetch, config: &Config, identifier: u64, at_hand: bool) -> Result<Job> {
        let system = System { cluster: args.repos.cluster.clone(), identifier };
        // A standby asks again by itself, and cannot be promoted while it waits for us. The last that its promotion asks
        // for, when standby.signal is gone already, is the history of its own timeline, which it has.
        let elsewhere = at_hand || Path::new("standby.signal").exists();
        let backoff = elsewhere.then(|| Backoff::of(ELSEWHERE));
        Ok(Job {
            repos: args.repos.open_within(config, backoff)?,
            system,
            target: args.timeline.map(Timeline),
        })
    }

    fn archive<'r>(&self, repo: &'r Repo) -> Archive<'r> {
        Archive::new(&*repo.store, self.system.clone())
    }

    /// Puts the file in its place from the first repository that has it whole; false when all say that they have not.
    fn get(&self, place: &Place) -> Result<bool> {
        let mut trouble = None;
        for repo in &self.repos {
            match place.fill(|to| self.archive(repo).get(place.name, to).map(|sum| sum.is_some())) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(e) => {
                    log::warn!("repository {}: {}", repo.name, e.chain());
                    trouble = trouble.or(Some(e));
                }
            }
        }
        match trouble {
            // What recovery has at hand already is as good: a backup carries the WAL that makes it whole.
            Some(e) if !place.is_at_hand() => Err(e),
            _ => Ok(false),
        }
    }

    /// Puts a history that nobody stored in its place, out of that of a later timeline; false when no repository knows the
    /// timeline.
    ///
    /// # Errors
    /// Corrupt when there is WAL of it: recovery that took it for absent would follow an older timeline and say nothing.
    fn derive(&self, place: &Place) -> Result<bool> {
        let WalName::History(timeline) = place.name else { return Ok(false) };
        // What only keeps a number from being taken tells nothing to recovery that looks for the newest timeline.
        let tells = self.target.is_some() || !place.is_reservation();
        if place.is_at_hand() && tells {
            return Ok(false);
        }
        let known = places::all(&self.repos, |repo| self.archive(repo).history_or_derived(timeline));
        let (known, trouble): (Vec<_>, Vec<_>) = known.into_iter().partition(Result::is_ok);
        match (known.into_iter().flatten().flatten().next(), trouble.into_iter().next()) {
            (Some(text), _) => place.fill(|to| {
                to.write_all(text.as_bytes()).doing(|| format!("write {}", place.name)).map(|()| true)
            }),
            (None, Some(e)) => e.map(|_| false),
            (None, None) => Ok(false),
        }
    }

    /// Nobody has it. That is the end of the archive only when nothing comes behind it.
    fn prove(&self, place: &Place) -> Result<()> {
        let absent = Err(Error::new(Kind::Findings, format!("{} is in no repository", place.name)));
        if !matches!(place.name, WalName::Segment(..)) || place.is_at_hand() {
            return absent;
        }
        let Some(behind) = self.behind(place.name)? else { return absent };
        let e = Error::failed(format!("{} is missing: {behind}", place.name));
        Err(e.hint("a hole in the archive: restore to a moment before it, or bring the segment back"))
    }

    /// What was written behind `name`, here or by nobody else; `None` when it may be the end.
    fn behind(&self, name: WalName) -> Result<Option<String>> {
        for first in places::all(&self.repos, |repo| self.goes_on_behind(repo, name)) {
            if let Some(first) = first? {
                return Ok(Some(format!("there is WAL behind it, from {first} on")));
            }
        }
        for newer in places::all(&self.repos, |repo| self.left_behind(repo, name)) {
            if let Some(newer) = newer? {
                return Ok(Some(format!("timeline {newer} goes on behind it")));
            }
        }
        Ok(None)
    }

    /// The histories that tell where `timeline` ends: that of the timeline which recovery follows, or all later ones.
    fn newer(&self, archive: &Archive<'_>, timeline: Timeline) -> Result<Vec<History>> {
        match self.target {
            Some(target) if target == timeline => Ok(Vec::new()),
            // An older target was that of another recovery: the setting was left from then.
            Some(target) if target > timeline => match archive.history_or_derived(target)? {
                Some(text) => History::parse(target, &text).map(|history| vec![history]),
                None => Ok(Vec::new()),
            },
            _ => archive.newer(timeline),
        }
    }

    /// A timeline that left this one behind the whole of `name`: so far the WAL was written.
    fn left_behind(&self, repo: &Repo, name: WalName) -> Result<Option<Timeline>> {
        let Some(known) = cluster::of(&*repo.store, &self.system)? else { return Ok(None) };
        let Some(segment) = name.segment(known.wal_segment_size) else { return Ok(None) };
        let behind =
            |h: &History| h.switches.iter().any(|s| s.timeline == segment.timeline && s.end >= segment.end());
        let newer = self.newer(&self.archive(repo), segment.timeline)?;
        Ok(newer.into_iter().find(behind).map(|h| h.timeline))
    }

    /// The first segment of the same timeline behind `name`.
    fn goes_on_behind(&self, repo: &Repo, name: WalName) -> Result<Option<String>> {
        let inventory = self.archive(repo).timeline(name.timeline())?;
        let line = inventory.lines.get(&name.timeline());
        let WalName::Segment(timeline, log, rest) = name else { return Ok(None) };
        let behind = line.and_then(|l| l.segments.iter().find(|s| **s > (log, rest)).copied());
        Ok(behind.map(|(log, rest)| WalName::Segment(timeline, log, rest).to_string()))
    }
}
