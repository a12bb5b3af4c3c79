//! The last segment of a timeline, which never became whole: from its tails, or as the `.partial` of a promotion.
//!
//! The rest is zeros, at which PostgreSQL's recovery ends. A standby gets none of it: it would take the zeros for the end
//! of what there is and ask its primary, which has more. Tails that end in a switch are another thing: the server itself
//! wrote zeros after it, so that they are the whole segment, whatever follows, also for a standby.

use super::FetchJob;
use super::destination::Destination;
use std::path::Path;
use toban_core::Result;
use toban_core::repo::Repo;
use toban_core::repo::archive::{Archive, Tail, cover};
use toban_core::repo::cluster;
use toban_core::wal::{Lsn, Segment, WalName};

/// What one repository has of the segment.
struct Unfinished {
    repo: Repo,
    cover: Vec<Tail>,
    partial: bool,
    /// The branch to a later timeline, if it lies in this segment.
    branch: Option<Branch>,
    size: u64,
}

/// Where a later timeline branched off.
struct Branch {
    /// The first byte of the segment that the later timeline does not count.
    at: u64,
    /// The repository has the later timeline's copy of the segment.
    replaced: bool,
}

impl FetchJob {
    /// Puts what there is of an unfinished segment in its place; false when there is nothing, or when there is WAL after
    /// it: then bytes are missing in the middle, which must not be filled with zeros.
    pub(super) fn fetch_unfinished(&self, to: &Destination) -> Result<bool> {
        let WalName::Segment(timeline, no) = to.name else { return Ok(false) };
        let found = match self.repos.ask_each(|repo| self.find_unfinished(repo, to.name)).all() {
            Err(_) if to.is_whole_in_pg_wal() => return Ok(false),
            found => found?,
        };
        let best = found.into_iter().flatten().max_by_key(Unfinished::reach).filter(|f| f.reach() > 0);
        let Some(best) = best else { return Ok(false) };
        let archive = self.archive(&best.repo);
        if self.find_later_wal(to.name)?.is_some() {
            let whole = to.name.segment(best.size).map(|s| archive.are_whole(&best.cover, &s));
            if !whole.transpose()?.unwrap_or_default() {
                return Ok(false);
            }
            return to.fill(|w| archive.assemble(&best.cover, best.size, best.size, w).map(|()| true));
        }
        if Path::new("standby.signal").exists() {
            return Ok(false);
        }
        if best.has_longer_partial() {
            if to.is_in_pg_wal() {
                return Ok(false);
            }
            let partial = WalName::Partial(timeline, no);
            return to.fill(|w| archive.get(partial, w).map(|sum| sum.is_some()));
        }
        // A backup of a standby ends in the middle of a segment, and brings that along: what was streamed of it since comes
        // from the tails. A server that crashed has all of that in pg_wal, and may have more.
        let bytes = best.counted_bytes();
        to.fill_beyond_pg_wal(bytes, |w| archive.assemble(&best.cover, bytes, best.size, w).map(|()| true))
    }

    fn find_unfinished(&self, repo: &Repo, name: WalName) -> Result<Option<Unfinished>> {
        let Some(known) = cluster::of(&*repo.store, &self.system)? else { return Ok(None) };
        let WalName::Segment(timeline, no) = name else { return Ok(None) };
        let size = known.wal_segment_size;
        let archive = self.archive(repo);
        let cover = cover(&archive.tails(name)?);
        let partial = archive.has(WalName::Partial(timeline, no))?;
        let branch = match name.segment(size) {
            Some(segment) if partial || !cover.is_empty() => self.find_branch_in(&archive, &segment)?,
            _ => None,
        };
        Ok(Some(Unfinished { repo: repo.clone(), cover, partial, branch, size }))
    }

    /// Where a later timeline branched off inside of `segment`, by the first whose history says so.
    fn find_branch_in(&self, archive: &Archive<'_>, segment: &Segment) -> Result<Option<Branch>> {
        let inside = |end: &Lsn| Segment::holding_lsn(*end, segment.timeline, segment.size) == *segment;
        for history in self.later_histories(archive, segment.timeline)? {
            let Some(end) = history.end_of(segment.timeline).ok().flatten().filter(inside) else { continue };
            let heir = WalName::from(Segment { timeline: history.timeline_at(end), ..*segment });
            let replaced = archive.has(heir)? || !archive.tails(heir)?.is_empty();
            return Ok(Some(Branch { at: end.0 - segment.start().0, replaced }));
        }
        Ok(None)
    }
}

impl Unfinished {
    fn covered_bytes(&self) -> u64 {
        self.cover.last().map_or(0, Tail::end)
    }

    /// How much of the tails counts. Recovery that asks for the old timeline's segment although the new one has its own
    /// follows the old timeline; otherwise recovery is on its way to the new one, and would replay what that never saw.
    fn counted_bytes(&self) -> u64 {
        match &self.branch {
            Some(branch) if !branch.replaced => branch.at.min(self.covered_bytes()),
            _ => self.covered_bytes(),
        }
    }

    /// A promotion's `.partial` reaches up to the branch; after that it may hold anything.
    fn has_longer_partial(&self) -> bool {
        self.partial && self.branch.as_ref().is_none_or(|branch| self.covered_bytes() < branch.at)
    }

    fn reach(&self) -> u64 {
        let partial = self.branch.as_ref().map_or(self.size, |branch| branch.at);
        if self.partial { self.counted_bytes().max(partial) } else { self.counted_bytes() }
    }
}
