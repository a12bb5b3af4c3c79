//! `fetch`: a file of the WAL for recovery, or the proof that there is none.

mod ahead;
mod destination;
mod unfinished;

use crate::{cli, data_dir};
pub(crate) use ahead::get_ahead;

use destination::Destination;
use std::io::Write;
use std::path::Path;
use std::time::Duration;
use toban_core::config::Config;
use toban_core::repo::archive::{Archive, TailGone};
use toban_core::repo::cluster;
use toban_core::repo::keys::System;
use toban_core::repo::{Repo, RepoOpening, Repos};
use toban_core::store::Backoff;
use toban_core::wal::{History, Timeline, WalName, apply_changes, read_changes};
use toban_core::{Context, Error, Kind, Result};

/// How long recovery waits for a store that does not answer where it has another place to look.
const WAIT_WITH_ALTERNATIVE: Duration = Duration::from_secs(5);

/// How often tails are looked for that go while they are read: each time another one is there.
const TRIES: usize = 5;

/// What one call works with.
struct FetchJob {
    repos: Repos,
    system: System,
    /// The timeline that recovery follows, where that was given.
    target: Option<Timeline>,
}

/// Puts the file in its place. An error of kind Findings is the proof that no repository has it; see `exit_status.rs`.
pub(crate) fn fetch_file(args: &cli::Fetch, config: &Config) -> Result<()> {
    let name: WalName = args.name.parse()?;
    let identifier = system_identifier(args)?;
    let to = Destination::new(&args.path, name, identifier);
    let job = FetchJob::open(args, config, identifier, to.is_in_pg_wal())?;
    if ahead::take_kept(&to)? || job.fetch_stored(&to)? {
        change_content(args, &to)?;
        ahead::ensure_started(args, name)?;
        return Ok(());
    }
    job.prove_absence(&to)
}

/// Makes the changes of `--changes` in what was put in its place. On an error recovery stops, and reads none of it.
fn change_content(args: &cli::Fetch, to: &Destination) -> Result<()> {
    let Some(path) = &args.changes else { return Ok(()) };
    let text = std::fs::read_to_string(path).doing(|| format!("read {}", path.display()))?;
    let changes = read_changes(&text).doing(|| format!("read {}", path.display()))?;
    let WalName::Segment(..) = to.name else { return Ok(()) };
    let size = data_dir::check_segment_file(&to.path, to.name, None)?.segment_size;
    let Some(segment) = to.name.segment(size) else { return Ok(()) };
    apply_changes(&changes, &segment, &to.path).map(drop)
}

/// The one that is named, else that of the data directory that PostgreSQL runs us in.
fn system_identifier(args: &cli::Fetch) -> Result<u64> {
    args.system.map_or_else(|| data_dir::read_system_identifier(Path::new(".")), Ok)
}

impl FetchJob {
    /// Puts what is stored of it in its place, in this order: what is whole goes before what is put together, and zeros are
    /// filled in last of all. Where a stream replaces the tails that are being read it begins again: there is more then.
    fn fetch_stored(&self, to: &Destination) -> Result<bool> {
        for _ in 1..TRIES {
            match self.fetch_stored_once(to) {
                Err(e) if TailGone::caused(&e) => log::debug!("{}: again", e.chain()),
                fetched => return fetched,
            }
        }
        self.fetch_stored_once(to)
    }

    fn fetch_stored_once(&self, to: &Destination) -> Result<bool> {
        Ok(self.fetch_whole(to)? || self.derive_history(to)? || self.fetch_unfinished(to)?)
    }

    /// `in_pg_wal`: recovery has the file in pg_wal, too.
    fn open(args: &cli::Fetch, config: &Config, identifier: u64, in_pg_wal: bool) -> Result<FetchJob> {
        let system = System { cluster: args.repos.cluster.clone(), identifier };
        // A standby asks again by itself, and cannot be promoted while it waits for us. The last that its promotion asks
        // for, when standby.signal is gone already, is the history of its own timeline, which it has.
        let alternative = in_pg_wal || Path::new("standby.signal").exists();
        let backoff = alternative.then(|| Backoff::of(WAIT_WITH_ALTERNATIVE));
        Ok(FetchJob {
            repos: args.repos.open_with(config, &RepoOpening { backoff, identity: Some(&args.identity) })?,
            system,
            target: args.timeline.map(Timeline),
        })
    }

    fn archive<'r>(&self, repo: &'r Repo) -> Archive<'r> {
        Archive::new(&*repo.store, self.system.clone())
    }

    /// Puts the file in its place from the first repository that has it whole; false when all answer that they have not.
    fn fetch_whole(&self, to: &Destination) -> Result<bool> {
        let fetch =
            |repo: &Repo, w: &mut dyn Write| self.archive(repo).get(to.name, w).map(|sum| sum.is_some());
        match self.repos.find_first(|repo| Ok(to.fill(|w| fetch(repo, w))?.then_some(()))) {
            // What recovery has whole in pg_wal is as good: a backup carries the WAL that makes it whole.
            Err(_) if to.is_whole_in_pg_wal() => Ok(false),
            found => found.map(|found| found.is_some()),
        }
    }

    /// Puts a history that is stored nowhere in its place, out of that of a later timeline; false when no repository
    /// knows the timeline.
    ///
    /// # Errors
    /// Corrupt when there is WAL of it: recovery that took it for absent would follow an older timeline without a word.
    fn derive_history(&self, to: &Destination) -> Result<bool> {
        let WalName::History(timeline) = to.name else { return Ok(false) };
        // A reservation only keeps a number from being taken: it must not stop recovery that looks for the newest
        // timeline, which it does by asking for one history after the other (timeline.c, findNewestTimeLine).
        let is_history = self.target.is_some() || !to.is_reservation();
        if to.is_in_pg_wal() && is_history {
            return Ok(false);
        }
        let known = self.repos.find_first(|repo| self.archive(repo).history_or_derived(timeline))?;
        let Some(text) = known else { return Ok(false) };
        to.fill(|w| w.write_all(text.as_bytes()).doing(|| format!("write {}", to.name)).map(|()| true))
    }

    /// No repository has it. That is the end of the archive only when nothing comes after it: PostgreSQL takes our 1 for
    /// the end of the WAL, so 1 in front of a missing range would promote a server that lacks all that follows.
    fn prove_absence(&self, to: &Destination) -> Result<()> {
        let absent = Err(Error::new(Kind::Findings, format!("{} is in no repository", to.name)));
        if !matches!(to.name, WalName::Segment(..)) || to.is_in_pg_wal() {
            return absent;
        }
        let Some(later) = self.find_later_wal(to.name)? else { return absent };
        let e = Error::failed(format!("{} is missing: {later}", to.name));
        Err(e.hint("WAL is missing in the archive: restore to a target before it, or bring the segment back"))
    }

    /// What was written after `name`, on its timeline or on one that branched off later; `None` when it may be the end.
    fn find_later_wal(&self, name: WalName) -> Result<Option<String>> {
        if let Some(first) = self.repos.find_first(|repo| self.find_later_segment(repo, name))? {
            return Ok(Some(format!("there is WAL after it, from {first} on")));
        }
        let newer = self.repos.find_first(|repo| self.find_later_branch(repo, name))?;
        Ok(newer.map(|newer| format!("timeline {newer} goes on after it")))
    }

    /// The histories that say where `timeline` ends: that of the timeline which recovery follows, or all later ones.
    fn later_histories(&self, archive: &Archive<'_>, timeline: Timeline) -> Result<Vec<History>> {
        match self.target {
            Some(target) if target == timeline => Ok(Vec::new()),
            // An older target was that of another recovery: the setting was left from then.
            Some(target) if target > timeline => match archive.history_or_derived(target)? {
                Some(text) => History::parse_history(target, &text).map(|history| vec![history]),
                None => Ok(Vec::new()),
            },
            _ => archive.newer(timeline),
        }
    }

    /// A timeline that branched off this one after the whole of `name`: so far the WAL was written.
    fn find_later_branch(&self, repo: &Repo, name: WalName) -> Result<Option<Timeline>> {
        let Some(known) = cluster::of(&*repo.store, &self.system)? else { return Ok(None) };
        let Some(segment) = name.segment(known.wal_segment_size) else { return Ok(None) };
        let is_later =
            |h: &History| h.switches.iter().any(|s| s.timeline == segment.timeline && s.end >= segment.end());
        let histories = self.later_histories(&self.archive(repo), segment.timeline)?;
        Ok(histories.into_iter().find(is_later).map(|h| h.timeline))
    }

    /// The first segment of the same timeline after `name`.
    fn find_later_segment(&self, repo: &Repo, name: WalName) -> Result<Option<String>> {
        let inventory = self.archive(repo).timeline(name.timeline())?;
        let line = inventory.timelines.get(&name.timeline());
        let WalName::Segment(timeline, no) = name else { return Ok(None) };
        let later = line.and_then(|l| l.segments.iter().find(|s| **s > no).copied());
        Ok(later.map(|no| WalName::Segment(timeline, no).to_string()))
    }
}
