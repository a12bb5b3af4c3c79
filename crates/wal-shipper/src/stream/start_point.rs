//! Where a session begins: at the first segment that a repository lacks, so that nothing is missing. Pure but for
//! [`complete_switched_segments`].

use toban_core::repo::archive::{Archive, StoredWal, covers};
use toban_core::wal::{History, Lsn, Segment};
use toban_core::{Kind, Result};

/// What `archive` has, after it got whole what lies before `held` and has tails that end in a switch: its server died
/// before it had sent the zeros that follow a switch, and no other sends them.
///
/// # Errors
/// When the store could not be asked.
pub(super) fn complete_switched_segments(
    archive: &Archive<'_>,
    history: &History,
    held: &Segment,
) -> Result<StoredWal> {
    let mut wal = archive.stored_wal()?;
    // Of those on the recovery path, the ones that the server will not send again.
    let lacks = |wal: &StoredWal, s: &Segment| {
        counting(s, history) == *s && s.number < held.number && !wal.inventory.has(s)
    };
    for (name, cover) in covers(&wal.tails) {
        let Some(segment) = name.segment(held.size).filter(|s| lacks(&wal, s)) else { continue };
        match archive.complete(&cover, &segment) {
            Ok(true) => {
                log::info!("{name} is whole: it ends by a switch");
                wal.inventory.add_segment(segment);
            }
            Ok(false) => {}
            Err(e) if e.kind() == Kind::Retry => return Err(e),
            // New WAL should not wait for the repair of old tails.
            Err(e) => log::warn!("{}", e.chain()),
        }
    }
    Ok(wal)
}

/// Where to begin, and from where on the repositories would be without a gap if the server still had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StartPoint {
    pub(super) at: Lsn,
    /// The end of what the repositories have; before `at` only where the slot holds too little.
    pub(super) wanted: Lsn,
}

impl StartPoint {
    /// Of a slot that holds WAL from `restart` on, on the recovery path of `history`.
    pub(super) fn new(history: &History, restart: Lsn, size: u64, stored: &[StoredWal]) -> StartPoint {
        let held = Segment::holding_lsn(restart, history.timeline_at(restart), size);
        let all_have = |s: &Segment| stored.iter().all(|w| w.inventory.has(&counting(s, history)));
        let first =
            std::iter::successors(Some(held), |s| Some(s.next())).find(|s| stored.is_empty() || !all_have(s));
        let at = first.unwrap_or(held).start();
        let wanted = stored.iter().filter_map(|w| end_before(w, &held, history)).min();
        StartPoint { at, wanted: wanted.map_or(at, |w| if w < held.start() { w } else { at }) }
    }
}

/// `segment` on the timeline whose WAL counts at its end: after a switch inside, the new one has it whole.
fn counting(segment: &Segment, history: &History) -> Segment {
    Segment { timeline: history.segment_timeline(segment), ..*segment }
}

/// Where what counts ends before `held`: at the end of its last segment, or at the start of one that has only tails.
/// `None` when nothing is there.
fn end_before(wal: &StoredWal, held: &Segment, history: &History) -> Option<Lsn> {
    let ends = wal.inventory.timelines.iter().flat_map(|(timeline, line)| {
        // Of a timeline that was left, what ends before counts; of one that is not on the path, nothing.
        let left = history.end_of(*timeline).map_or(0, |end| end.map_or(u64::MAX, |end| end.0 / held.size));
        let below = held.number.min(left);
        let ranges = line.ranges(*timeline, held.size).into_iter();
        ranges.filter(move |(first, _)| first.number < below).map(move |(_, last)| below.min(last.number + 1))
    });
    let begun = wal.tails.iter().filter_map(|t| t.segment.segment(held.size));
    let begun = begun.filter(|s| s.number < held.number && history.timeline_at(s.start()) == s.timeline);
    ends.chain(begun.map(|s| s.number)).max().map(|number| Lsn(number * held.size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use toban_core::repo::archive::{Inventory, Tail};
    use toban_core::wal::{Switch, Timeline};

    const SIZE: u64 = 16 << 20;

    fn inventory(names: &[&str]) -> StoredWal {
        let named = names.iter().map(|n| (n.parse().expect("a name"), 1, Timestamp::UNIX_EPOCH));
        StoredWal { inventory: Inventory::from_listing(named), tails: Vec::new() }
    }

    fn begin(history: &History, restart: u64, stored: &[StoredWal]) -> (u64, u64) {
        let start = StartPoint::new(history, Lsn(restart), SIZE, stored);
        (start.at.0 / SIZE, start.wanted.0 / SIZE)
    }

    #[test]
    fn the_first_segment_that_a_repository_lacks() {
        let root = History::without_switches(Timeline(1));
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
            begin(&root, 9 * SIZE, &[StoredWal { tails: tails.clone(), ..less }]),
            (9, 3),
            "3 is not whole"
        );
        assert_eq!(
            begin(&root, 9 * SIZE, &[StoredWal { tails, ..StoredWal::default() }]),
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
