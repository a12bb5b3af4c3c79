//! The last segment of a timeline, which never became whole: from its tails, or as the `.partial` of a promotion.
//!
//! The rest is zeros, at which PostgreSQL's recovery ends. A standby gets none of it: it would take the zeros for the end
//! of what there is and ask its primary, which has more. Tails that end in a switch are another thing: the server itself
//! wrote zeros behind it, so that they are the whole segment, whatever follows and whoever asks.

use super::Job;
use super::place::Place;
use crate::places;
use std::path::Path;
use toban_core::Result;
use toban_core::repo::Repo;
use toban_core::repo::archive::{Archive, Tail, cover};
use toban_core::repo::cluster;
use toban_core::wal::{Lsn, Segment, WalName};

/// What one repository has of it.
struct Found {
    repo: Repo,
    cover: Vec<Tail>,
    partial: bool,
    /// The first byte that a later timeline does not count, if it was left in this segment.
    left: Option<Left>,
    size: u64,
}

/// Where a timeline was left for another.
struct Left {
    at: u64,
    /// The repository has the other's copy of the segment.
    replaced: bool,
}

impl Job {
    /// Puts what there is of an unfinished segment in its place; false when there is nothing, or when the WAL goes on
    /// behind it: then it is a hole, which must not be filled with zeros.
    pub(super) fn finish(&self, place: &Place) -> Result<bool> {
        let WalName::Segment(timeline, log, rest) = place.name else { return Ok(false) };
        if place.is_at_hand() {
            return Ok(false);
        }
        let found = places::all(&self.repos, |repo| self.look(repo, place.name)).into_iter();
        let found = found.collect::<Result<Vec<_>>>()?.into_iter().flatten();
        let Some(best) = found.max_by_key(Found::reach).filter(|f| f.reach() > 0) else { return Ok(false) };
        let archive = self.archive(&best.repo);
        if self.behind(place.name)?.is_some() {
            let whole = place.name.segment(best.size).map(|s| archive.are_whole(&best.cover, &s));
            if !whole.transpose()?.unwrap_or_default() {
                return Ok(false);
            }
            return place.fill(|to| archive.assemble(&best.cover, best.size, best.size, to).map(|()| true));
        }
        if Path::new("standby.signal").exists() {
            return Ok(false);
        }
        if best.partial_is_more() {
            let partial = WalName::Partial(timeline, log, rest);
            return place.fill(|to| archive.get(partial, to).map(|sum| sum.is_some()));
        }
        let bytes = best.counts();
        place.fill(|to| archive.assemble(&best.cover, bytes, best.size, to).map(|()| true))
    }

    fn look(&self, repo: &Repo, name: WalName) -> Result<Option<Found>> {
        let Some(known) = cluster::of(&*repo.store, &self.system)? else { return Ok(None) };
        let WalName::Segment(timeline, log, rest) = name else { return Ok(None) };
        let size = known.wal_segment_size;
        let archive = self.archive(repo);
        let cover = cover(&archive.tails(name)?);
        let partial = archive.has(WalName::Partial(timeline, log, rest))?;
        let left = match name.segment(size) {
            Some(segment) if partial || !cover.is_empty() => self.left(&archive, &segment)?,
            _ => None,
        };
        Ok(Some(Found { repo: repo.clone(), cover, partial, left, size }))
    }

    /// Where `segment`'s timeline was left inside of it, by the first later timeline that tells.
    fn left(&self, archive: &Archive<'_>, segment: &Segment) -> Result<Option<Left>> {
        let inside = |end: &Lsn| Segment::holding(*end, segment.timeline, segment.size) == *segment;
        for history in self.newer(archive, segment.timeline)? {
            let Some(end) = history.end_of(segment.timeline).ok().flatten().filter(inside) else { continue };
            let heir = WalName::from(Segment { timeline: history.at(end), ..*segment });
            let replaced = archive.has(heir)? || !archive.tails(heir)?.is_empty();
            return Ok(Some(Left { at: end.0 - segment.start().0, replaced }));
        }
        Ok(None)
    }
}

impl Found {
    fn covered(&self) -> u64 {
        self.cover.last().map_or(0, Tail::end)
    }

    /// How much of the tails counts. Whoever asks for the old timeline's segment although the new one has its own wants
    /// the old timeline; otherwise recovery is on its way to the new one, and would replay what that never saw.
    fn counts(&self) -> u64 {
        match &self.left {
            Some(left) if !left.replaced => left.at.min(self.covered()),
            _ => self.covered(),
        }
    }

    /// A promotion's `.partial` reaches up to where the timeline was left; behind that it may hold anything.
    fn partial_is_more(&self) -> bool {
        self.partial && self.left.as_ref().is_none_or(|left| self.covered() < left.at)
    }

    fn reach(&self) -> u64 {
        let partial = self.left.as_ref().map_or(self.size, |left| left.at);
        if self.partial { self.counts().max(partial) } else { self.counts() }
    }
}
