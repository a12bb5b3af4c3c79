//! Which segments an archive has, and which it lacks. Pure.

use crate::wal::{History, Lsn, Segment, SegmentNo, Timeline, WalName};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Everything of an archive's listing that belongs to the WAL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Each timeline that has a segment.
    pub timelines: BTreeMap<Timeline, TimelineSegments>,
    /// Timelines whose history is there.
    pub histories: BTreeSet<Timeline>,
}

/// One timeline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimelineSegments {
    /// Its whole segments.
    pub segments: BTreeSet<SegmentNo>,
    /// Its last segment, broken off by a promotion.
    pub partial: Option<SegmentNo>,
    /// Bytes of all that, as stored.
    pub bytes: u64,
    /// When the newest of it came, by the store's clock.
    pub newest: Option<Timestamp>,
}

/// Segments that are missing between two that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingRange {
    /// The first that is missing.
    pub first: Segment,
    /// The last that is missing.
    pub last: Segment,
}

impl Inventory {
    /// Sorts names, stored bytes and times. An object without a byte is none: a file system that lost power leaves
    /// such, and nothing can be restored from it.
    pub fn from_listing(objects: impl Iterator<Item = (WalName, u64, Timestamp)>) -> Inventory {
        let mut inventory = Inventory::default();
        for (name, bytes, modified) in objects.filter(|(_, bytes, _)| *bytes > 0) {
            if let WalName::History(timeline) = name {
                inventory.histories.insert(timeline);
                continue;
            }
            let timeline = inventory.timelines.entry(name.timeline()).or_default();
            match name {
                WalName::Segment(_, no) => {
                    timeline.segments.insert(no);
                    timeline.newest = timeline.newest.max(Some(modified));
                }
                WalName::Partial(_, no) => timeline.partial = Some(no),
                WalName::Backup(..) | WalName::History(_) => {}
            }
            timeline.bytes += bytes;
        }
        inventory
    }

    /// Whether the archive has anything after `segment` on its own timeline.
    pub fn has_later(&self, segment: &Segment) -> bool {
        self.timelines.get(&segment.timeline).is_some_and(|t| t.last(segment) > Some(segment.number))
    }

    /// The position up to which the way of `history` can be followed from `start` without a gap, timelines included.
    /// `None` when even the segment of `start` is missing.
    pub fn reach_from(&self, history: &History, start: Lsn, size: u64) -> Option<Lsn> {
        let mut segment = Segment::holding_lsn(start, history.timeline_at(start), size);
        let mut reached = None;
        loop {
            let newest = Segment { timeline: history.segment_timeline(&segment), ..segment };
            if self.has(&newest) {
                reached = Some(segment.end());
            // Only the old timeline's copy of a segment in which the timeline changes: its WAL counts up to the
            // promotion.
            } else if self.has(&segment) {
                return history.end_of(segment.timeline).ok().flatten();
            } else {
                return reached;
            }
            segment = Segment::holding_lsn(segment.end(), history.timeline_at(segment.end()), size);
        }
    }

    /// Counts `segment` among those that are there.
    pub fn add_segment(&mut self, segment: Segment) {
        self.timelines.entry(segment.timeline).or_default().segments.insert(segment.into());
    }

    /// Whether the segment is there, whole.
    pub fn has(&self, segment: &Segment) -> bool {
        self.timelines.get(&segment.timeline).is_some_and(|t| t.has(segment))
    }
}

impl TimelineSegments {
    /// Whether `segment`, of this timeline, is there.
    pub fn has(&self, segment: &Segment) -> bool {
        self.segments.contains(&SegmentNo::from(*segment))
    }

    fn last(&self, like: &Segment) -> Option<u64> {
        self.numbers(like.timeline, like.size).next_back()
    }

    fn numbers(&self, timeline: Timeline, size: u64) -> impl DoubleEndedIterator<Item = u64> {
        let number = move |no: &SegmentNo| WalName::Segment(timeline, *no).segment(size).map(|s| s.number);
        self.segments.iter().filter_map(number)
    }

    /// Stretches of segments without a gap, oldest first.
    pub fn ranges(&self, timeline: Timeline, size: u64) -> Vec<(Segment, Segment)> {
        let of = |number| Segment { timeline, number, size };
        let mut ranges: Vec<(Segment, Segment)> = Vec::new();
        for number in self.numbers(timeline, size) {
            match ranges.last_mut() {
                Some((_, last)) if last.number + 1 == number => *last = of(number),
                _ => ranges.push((of(number), of(number))),
            }
        }
        ranges
    }

    /// What is missing between them.
    pub fn missing_ranges(&self, timeline: Timeline, size: u64) -> Vec<MissingRange> {
        let ranges = self.ranges(timeline, size);
        let missing = |pair: &[(Segment, Segment)]| MissingRange {
            first: pair[0].1.next(),
            last: Segment { number: pair[1].0.number - 1, ..pair[1].0 },
        };
        ranges.windows(2).map(missing).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::Switch;

    const SIZE: u64 = 16 << 20;

    fn inventory(names: &[&str]) -> Inventory {
        Inventory::from_listing(names.iter().map(|n| (n.parse().expect("a name"), 10, Timestamp::UNIX_EPOCH)))
    }

    fn segment(timeline: u32, number: u64) -> Segment {
        Segment { timeline: Timeline(timeline), number, size: SIZE }
    }

    #[test]
    fn missing_ranges_lie_between_segments_also_across_a_unit_of_4_gib() {
        let all = inventory(&[
            "0000000100000000000000FE",
            "0000000100000000000000FF",
            "000000010000000100000000",
            "000000010000000100000003",
            "000000010000000100000003.00000028.backup",
            "000000010000000100000004.partial",
            "00000002.history",
        ]);
        let line = &all.timelines[&Timeline(1)];
        assert_eq!(
            line.missing_ranges(Timeline(1), SIZE),
            [MissingRange { first: segment(1, 257), last: segment(1, 258) }]
        );
        assert_eq!(line.ranges(Timeline(1), SIZE)[0], (segment(1, 254), segment(1, 256)));
        assert_eq!((line.bytes, line.partial), (60, Some(SegmentNo { unit: 1, segment: 4 })));
        assert!(all.has_later(&segment(1, 257)) && !all.has_later(&segment(1, 259)));
        assert!(all.histories.contains(&Timeline(2)));
        let empty = Inventory::from_listing(
            [("000000010000000000000002".parse().expect("a name"), 0, Timestamp::UNIX_EPOCH)].into_iter(),
        );
        assert_eq!(empty, Inventory::default(), "an empty object is no segment");
    }

    #[test]
    fn the_way_leads_over_promotions() {
        // Timeline 1 was left inside segment 3; timeline 2 has its own copy of 3.
        let end = Lsn(3 * SIZE + 500);
        let history =
            History { timeline: Timeline(2), switches: vec![Switch { timeline: Timeline(1), end }] };
        let names = [
            "000000010000000000000002",
            "000000020000000000000003",
            "000000020000000000000004",
            "000000010000000000000005",
        ];
        let reach = |names: &[&str], from: u64| inventory(names).reach_from(&history, Lsn(from * SIZE), SIZE);
        assert_eq!(reach(&names, 2), Some(Lsn(5 * SIZE)));
        assert_eq!(reach(&names[..1], 2), Some(Lsn(3 * SIZE)), "the copy is missing");
        assert_eq!(reach(&names, 1), None);
        // Before the first segment of a new timeline is archived, that of the old one may be all there is.
        let early = ["000000010000000000000002", "000000010000000000000003"];
        assert_eq!(reach(&early, 2), Some(end));
    }
}
