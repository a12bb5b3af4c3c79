//! Where a session begins: at the first segment that a repository lacks, so that no hole is left. Pure but for
//! [`There::of`].

use toban_core::repo::archive::{Archive, Inventory, Tail, covers};
use toban_core::wal::{History, Lsn, Segment};
use toban_core::{Kind, Result};

/// What a repository has.
#[derive(Clone, Debug, Default)]
pub(super) struct There {
    pub(super) inventory: Inventory,
    pub(super) tails: Vec<Tail>,
}

impl There {
    /// What `archive` has, after it got whole what lies before `held` and has tails that end in a switch: its server died
    /// before it had sent the zeros behind, and no other sends them.
    ///
    /// # Errors
    /// When the store could not be asked.
    pub(super) fn of(archive: &Archive<'_>, history: &History, held: &Segment) -> Result<There> {
        // In this order: a segment that becomes whole meanwhile is there twice, and never not at all.
        let tails = archive.all_tails()?;
        let mut there = There { inventory: archive.inventory()?, tails };
        for (name, cover) in covers(&there.tails) {
            let Some(segment) = name.segment(held.size).filter(|s| there.lacks(s, history, held)) else {
                continue;
            };
            match archive.complete(&cover, &segment) {
                Ok(true) => {
                    log::info!("{name} is whole: it ends by a switch");
                    there.inventory.add(segment);
                }
                Ok(false) => {}
                Err(e) if e.kind() == Kind::Retry => return Err(e),
                // Damage of old tails is nothing that new WAL should wait for.
                Err(e) => log::warn!("{}", e.chain()),
            }
        }
        Ok(there)
    }

    /// Whether the whole of `segment` counts on the way, is not there, and lies before what the server will send.
    fn lacks(&self, segment: &Segment, history: &History, held: &Segment) -> bool {
        let counts = counting(segment, history) == *segment;
        counts && segment.number < held.number && !self.inventory.has(segment)
    }
}

/// Where to begin, and from where on the repositories would be without a gap if the server still had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Begin {
    pub(super) at: Lsn,
    /// Behind what the repositories have; before `at` only where the slot holds too little.
    pub(super) wanted: Lsn,
}

impl Begin {
    /// Of a slot that holds WAL from `restart` on, on the way of `history`.
    pub(super) fn of(history: &History, restart: Lsn, size: u64, there: &[There]) -> Begin {
        let held = Segment::holding(restart, history.at(restart), size);
        let all_have = |s: &Segment| there.iter().all(|t| t.inventory.has(&counting(s, history)));
        let first =
            std::iter::successors(Some(held), |s| Some(s.next())).find(|s| there.is_empty() || !all_have(s));
        let at = first.unwrap_or(held).start();
        let wanted = there.iter().filter_map(|i| end_before(i, &held, history)).min();
        Begin { at, wanted: wanted.map_or(at, |w| if w < held.start() { w } else { at }) }
    }
}

/// `segment` on the timeline whose WAL counts at its end: after a switch inside, the new one has it whole.
fn counting(segment: &Segment, history: &History) -> Segment {
    Segment { timeline: history.at(Lsn(segment.end().0 - 1)), ..*segment }
}

/// Where what counts ends before `held`: behind its last segment, or at the begin of one that has only tails. `None`
/// when nothing is there.
fn end_before(there: &There, held: &Segment, history: &History) -> Option<Lsn> {
    let ends = there.inventory.lines.iter().flat_map(|(timeline, line)| {
        // Of a timeline that was left, what ends before counts; of one that is not on the way, nothing.
        let left = history.end_of(*timeline).map_or(0, |end| end.map_or(u64::MAX, |end| end.0 / held.size));
        let below = held.number.min(left);
        let ranges = line.ranges(*timeline, held.size).into_iter();
        ranges.filter(move |(first, _)| first.number < below).map(move |(_, last)| below.min(last.number + 1))
    });
    let begun = there.tails.iter().filter_map(|t| t.segment.segment(held.size));
    let begun = begun.filter(|s| s.number < held.number && history.at(s.start()) == s.timeline);
    ends.chain(begun.map(|s| s.number)).max().map(|number| Lsn(number * held.size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use toban_core::wal::{Switch, Timeline};

    const SIZE: u64 = 16 << 20;

    fn inventory(names: &[&str]) -> There {
        let named = names.iter().map(|n| (n.parse().expect("a name"), 1, Timestamp::UNIX_EPOCH));
        There { inventory: Inventory::of(named), tails: Vec::new() }
    }

    fn begin(history: &History, restart: u64, there: &[There]) -> (u64, u64) {
        let begin = Begin::of(history, Lsn(restart), SIZE, there);
        (begin.at.0 / SIZE, begin.wanted.0 / SIZE)
    }

    #[test]
    fn the_first_segment_that_a_repository_lacks() {
        let root = History::root(Timeline(1));
        let some =
            inventory(&["000000010000000000000002", "000000010000000000000003", "000000010000000000000005"]);
        let less = inventory(&["000000010000000000000002"]);
        let restart = 3 * SIZE + 77;
        assert_eq!(begin(&root, restart, &[]), (3, 3), "no repository must have it");
        assert_eq!(begin(&root, restart, &[inventory(&[])]), (3, 3), "a new repository");
        assert_eq!(begin(&root, restart, std::slice::from_ref(&some)), (4, 4), "3 is there");
        assert_eq!(begin(&root, restart, &[some.clone(), less.clone()]), (3, 3), "one lacks it");
        assert_eq!(begin(&root, 5 * SIZE, &[some, less.clone()]), (5, 3), "more than the slot holds");
        assert_eq!(begin(&root, 9 * SIZE, std::slice::from_ref(&less)), (9, 3));
        let tails = vec![Tail::new("000000010000000000000003".parse().expect("a name"), 0, 100)];
        assert_eq!(
            begin(&root, 9 * SIZE, &[There { tails: tails.clone(), ..less }]),
            (9, 3),
            "3 is not whole"
        );
        assert_eq!(
            begin(&root, 9 * SIZE, &[There { tails, ..There::default() }]),
            (9, 3),
            "nothing else is there"
        );
    }

    #[test]
    fn what_a_dead_timeline_wrote_does_not_count() {
        let switches = vec![Switch { timeline: Timeline(1), end: Lsn(4 * SIZE + 500) }];
        let history = History { timeline: Timeline(2), switches };
        let dead = ["000000010000000000000003", "000000010000000000000004", "000000010000000000000005"];
        assert_eq!(
            begin(&history, 3 * SIZE, &[inventory(&dead)]),
            (4, 4),
            "the new timeline's copy is missing"
        );
        assert_eq!(begin(&history, 7 * SIZE, &[inventory(&dead)]), (7, 4));
        let both = [&dead[..], &["000000020000000000000004"]].concat();
        assert_eq!(begin(&history, 3 * SIZE, &[inventory(&both)]), (5, 5));
    }
}
