//! What a repository has, whole segments and tails together.

use super::server::Server;
use jiff::Timestamp;
use std::collections::BTreeSet;
use toban_core::Result;
use toban_core::repo::archive::{Archive, Hole, Inventory, Tail, cover};
use toban_core::wal::{Lsn, Segment, Timeline, WalName};

/// What a repository has.
pub(super) struct Stored {
    pub(super) inventory: Inventory,
    pub(super) tails: Vec<Tail>,
}

impl Stored {
    pub(super) fn ask(archive: &Archive<'_>) -> Result<Stored> {
        // In this order: a segment that becomes whole meanwhile has its tails still, and is no hole.
        let tails = archive.all_tails()?;
        Ok(Stored { inventory: archive.inventory()?, tails })
    }

    pub(super) fn is_whole(&self, segment: WalName) -> bool {
        let WalName::Segment(timeline, log, rest) = segment else { return false };
        self.inventory.lines.get(&timeline).is_some_and(|l| l.segments.contains(&(log, rest)))
    }

    /// What is missing of every timeline.
    pub(super) fn holes(&self, size: u64) -> Vec<Hole> {
        let lines = self.inventory.lines.iter();
        let holes = lines.flat_map(|(timeline, line)| line.holes(*timeline, size));
        let timelines: BTreeSet<Timeline> = self.tails.iter().map(|t| t.segment.timeline()).collect();
        holes.chain(timelines.into_iter().filter_map(|t| self.cut(t, size))).collect()
    }

    /// From the first segment of `timeline` that only has tails to what comes next, where no stretch of whole segments
    /// lies before: the holes between those are told anyway.
    fn cut(&self, timeline: Timeline, size: u64) -> Option<Hole> {
        let ranges =
            self.inventory.lines.get(&timeline).map(|l| l.ranges(timeline, size)).unwrap_or_default();
        let begun =
            self.tails.iter().filter(|t| t.segment.timeline() == timeline && !self.is_whole(t.segment));
        let begun: BTreeSet<u64> = begun.filter_map(|t| Some(t.segment.segment(size)?.number)).collect();
        let first = *begun.first()?;
        let whole = ranges.iter().map(|(from, _)| from.number).find(|n| *n > first);
        let told = whole.is_some() && ranges.first().is_some_and(|(from, _)| from.number < first);
        let next = begun.iter().copied().nth(1).into_iter().chain(whole).min().filter(|_| !told)?;
        let of = |number| Segment { timeline, number, size };
        Some(Hole { first: of(first), last: of(next - 1) })
    }

    /// Up to where the server's timeline is there, and when the newest of it came; `None` when nothing of it is.
    pub(super) fn reach(&self, server: &Server) -> Option<(Lsn, Option<Timestamp>)> {
        let (timeline, size) = (server.timeline, server.segment_size);
        let line = self.inventory.lines.get(&timeline);
        let whole = line.and_then(|l| Some((l.ranges(timeline, size).pop()?.1.end(), l.newest)));
        let of = |t: &&Tail| t.segment.timeline() == timeline && !self.is_whole(t.segment);
        let newest = self.tails.iter().filter(of).map(|t| t.segment).max();
        let tails: Vec<Tail> = self.tails.iter().filter(|t| Some(t.segment) == newest).copied().collect();
        let part = newest.and_then(|n| n.segment(size)).and_then(|segment| {
            let end = cover(&tails).last()?.end();
            Some((Lsn(segment.start().0 + end), tails.iter().map(|t| t.modified).max()))
        });
        whole.max(part)
    }
}
