//! Which positions of the WAL can be reached from a backup: over promotions, up to the first missing
//! segment. Pure but for [`RecoveryPath::from_archives`].

use super::archive::{Archive, Inventory, MissingRange, StoredWal, Tail, cover, covers};
use crate::error::{Context, Error, Result};
use crate::wal::{History, Lsn, Segment, Timeline, WalName};
use std::collections::{BTreeMap, BTreeSet};

/// The WAL of one system in one or several repositories: what there is, and how its timelines hang together.
#[derive(Clone, Debug)]
pub struct RecoveryPath {
    /// Bytes of a segment.
    pub size: u64,
    /// Every segment that one of them has, those that are whole by their tails among them.
    pub inventory: Inventory,
    /// The histories that one of them has, and those of the timelines that these went through.
    pub histories: BTreeMap<Timeline, History>,
    /// Of each segment that has tails, those that reach furthest: recovery takes them from one repository.
    pub partial_segments: BTreeMap<Segment, Vec<Tail>>,
    /// Of these, those whose tails end in a switch: nothing is missing behind.
    switched: BTreeSet<Segment>,
}

/// The beginning of a segment that nobody has whole.
#[derive(Clone, Copy, Debug)]
pub struct PartialSegment<'w> {
    /// The segment.
    pub segment: Segment,
    /// What there is of it, as [`super::archive::cover`] chose.
    pub tails: &'w [Tail],
    /// Up to here it counts: to the end of the tails, or where its timeline was left.
    pub to: Lsn,
}

/// What a backup brings along.
#[derive(Clone, Copy, Debug)]
pub struct BackupRange {
    /// Its timeline.
    pub timeline: Timeline,
    /// Where it ends; before this no moment can be restored from it.
    pub stop: Lsn,
    /// Whether its last segment is whole: a primary switches at the end of a backup, a standby cannot.
    pub whole: bool,
}

/// How far recovery comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Up to here.
    pub to: Lsn,
    /// What is missing there, when there is more after it.
    pub missing: Option<MissingRange>,
}

impl RecoveryPath {
    /// What `archives`, of one system with segments of `size` bytes, have together.
    ///
    /// # Errors
    /// When a store could not be asked; Corrupt for a history that does not parse, and for tails that do not read.
    pub fn from_archives(size: u64, archives: &[Archive<'_>]) -> Result<RecoveryPath> {
        let mut path = RecoveryPath::new(size);
        archives.iter().try_for_each(|archive| path.add_archive(archive))?;
        path.derive_histories();
        path.add_switched_segments(archives)?;
        Ok(path)
    }

    /// Nothing yet, of segments of `size` bytes.
    pub fn new(size: u64) -> RecoveryPath {
        RecoveryPath {
            size,
            inventory: Inventory::default(),
            histories: BTreeMap::new(),
            partial_segments: BTreeMap::new(),
            switched: BTreeSet::new(),
        }
    }

    /// Timelines alone, without any WAL: these histories and those that they went through.
    pub fn from_histories(size: u64, histories: impl IntoIterator<Item = History>) -> RecoveryPath {
        let mut path = RecoveryPath::new(size);
        path.histories.extend(histories.into_iter().map(|h| (h.timeline, h)));
        path.derive_histories();
        path
    }

    /// Leaves out all WAL before the segment of this number, on whatever timeline.
    pub fn forget_before(&mut self, number: u64) {
        let size = self.size;
        for (timeline, stored) in &mut self.inventory.timelines {
            let stays = |segment: Segment| segment.number >= number;
            stored.segments.retain(|no| WalName::Segment(*timeline, *no).segment(size).is_none_or(stays));
        }
        self.partial_segments.retain(|segment, _| segment.number >= number);
        self.switched.retain(|segment| segment.number >= number);
    }

    fn add_archive(&mut self, archive: &Archive<'_>) -> Result<()> {
        let StoredWal { inventory, tails } = archive.stored_wal()?;
        self.add_tails(&tails);
        for timeline in &inventory.histories {
            let Some(text) = archive.history(*timeline)? else { continue };
            let history = History::parse_history(*timeline, &text);
            self.histories
                // Repositories have the same history under one name, since none is ever rewritten; whose is read last
                // does not matter.
                .insert(*timeline, history.doing(|| format!("read {}", WalName::History(*timeline)))?);
        }
        for (timeline, stored) in inventory.timelines {
            self.inventory.timelines.entry(timeline).or_default().segments.extend(stored.segments);
        }
        self.inventory.histories.extend(inventory.histories);
        Ok(())
    }

    /// A timeline whose history nobody stored is known by those that went through it.
    fn derive_histories(&mut self) {
        let ancestors =
            self.histories.values().flat_map(|h| h.switches.iter().filter_map(|s| h.ancestor(s.timeline)));
        for ancestor in ancestors.filter(|h| !h.switches.is_empty()).collect::<Vec<_>>() {
            self.histories.entry(ancestor.timeline).or_insert(ancestor);
        }
    }

    /// Counts the segments whose tails end in a switch among those that are there. Only those with WAL after them are
    /// read: of the others nothing is missing anyway.
    fn add_switched_segments(&mut self, archives: &[Archive<'_>]) -> Result<()> {
        let open = self.partial_segments.keys().copied();
        let open = open.filter(|s| !self.inventory.has(s) && self.has_wal_after(s));
        for segment in open.collect::<Vec<_>>() {
            for archive in archives {
                let cover = cover(&archive.tails(WalName::from(segment))?);
                // Out of one archive alone, as recovery takes them: `fetch` does not mix the tails of two
                // repositories.
                if archive.are_whole(&cover, &segment)? {
                    self.add_switched(segment, cover);
                    break;
                }
            }
        }
        Ok(())
    }

    fn add_switched(&mut self, segment: Segment, cover: Vec<Tail>) {
        self.partial_segments.insert(segment, cover);
        self.inventory.add_segment(segment);
        self.switched.insert(segment);
    }

    /// Whether anything was written after `segment`, on its timeline or on one that left it there.
    fn has_wal_after(&self, segment: &Segment) -> bool {
        let left =
            |h: &History| h.switches.iter().any(|s| s.timeline == segment.timeline && s.end >= segment.end());
        let later = |s: &Segment| s.number > segment.number;
        let whole = self.inventory.timelines.iter().any(|(timeline, stored)| {
            stored.ranges(*timeline, self.size).last().is_some_and(|(_, last)| later(last))
        });
        whole || self.partial_segments.keys().any(later) || self.histories.values().any(left)
    }

    /// Adds the segments that `tails` are of: of each those that reach furthest.
    pub fn add_tails(&mut self, tails: &[Tail]) {
        let end = |tails: &[Tail]| tails.last().map_or(0, Tail::end);
        for (name, cover) in covers(tails) {
            let Some(segment) = name.segment(self.size) else { continue };
            let known = self.partial_segments.entry(segment).or_default();
            if end(&cover) > end(known) {
                *known = cover;
            }
        }
    }

    /// The history of `timeline`; one that is stored nowhere begins with the timeline itself.
    pub fn history_of(&self, timeline: Timeline) -> History {
        self.histories.get(&timeline).cloned().unwrap_or_else(|| History::without_switches(timeline))
    }

    /// The newest timeline that goes on from `backup`.
    ///
    /// # Errors
    /// Failed when there is WAL of a newer timeline whose history is stored nowhere: where it came from is not known.
    pub fn newest_timeline(&self, backup: &BackupRange) -> Result<Timeline> {
        let descends = |h: &&History| h.timeline >= backup.timeline && leads_through(h, backup);
        let newest =
            self.histories.values().filter(descends).map(|h| h.timeline).max().unwrap_or(backup.timeline);
        let unknown = |t: &&Timeline| **t > newest.max(Timeline(1)) && !self.histories.contains_key(t);
        match self.inventory.timelines.keys().find(unknown) {
            None => Ok(newest),
            Some(lost) => {
                let e = Error::failed(format!("the history of timeline {lost} is missing from the archive"));
                Err(e.hint(
                    "bring it back (pg_wal of a server of that timeline has it), or name the --target-timeline that is meant",
                ))
            }
        }
    }

    /// How far recovery from `backup` comes along `history`; `None` when `history` does not lead through the backup.
    pub fn reach(&self, history: &History, backup: &BackupRange) -> Option<Reach> {
        if !leads_through(history, backup) {
            return None;
        }
        let last = Segment::holding_lsn(backup.stop.before(), backup.timeline, self.size);
        // A promotion inside its last segment goes on in the new timeline's copy of it.
        let whole = backup.whole && history.segment_timeline(&last) == backup.timeline;
        let (from, at_least) = if whole { (last.end(), last.end()) } else { (last.start(), backup.stop) };
        let to = self.inventory.reach_from(history, from, self.size).unwrap_or(at_least).max(at_least);
        let missing = self.missing_at(history, to).or_else(|| self.never_stored_at(history, to));
        // Before a missing range recovery stops: the rest of the segment would be filled with zeros.
        let partial = self.partial_segment_at(history, to).filter(|_| missing.is_none());
        Some(Reach { to: partial.map_or(to, |p| p.to.max(to)), missing })
    }

    /// What is missing from `from` on, when there is WAL after it on the path.
    fn missing_at(&self, history: &History, from: Lsn) -> Option<MissingRange> {
        let first = Segment::holding_lsn(from, history.timeline_at(from), self.size);
        let on_path = self.segments_on_path(history);
        let next = on_path.filter(|s| s.number > first.number).min_by_key(|s| s.number)?;
        let last = Segment { number: next.number - 1, ..next };
        Some(MissingRange { first, last: Segment { timeline: history.timeline_at(last.start()), ..last } })
    }

    /// What is missing from `from` on by the history alone: the timeline began segments later, so there was WAL in
    /// between, even if nothing after it was stored.
    fn never_stored_at(&self, history: &History, from: Lsn) -> Option<MissingRange> {
        let last = history.switches.last().filter(|s| s.end > from)?;
        let first = Segment::holding_lsn(from, history.timeline_at(from), self.size);
        let last = Segment::holding_lsn(last.end.before(), last.timeline, self.size);
        (last.number > first.number).then_some(MissingRange { first, last })
    }

    /// Segments that count on the path of `history`, in no order.
    fn segments_on_path<'a>(&'a self, history: &'a History) -> impl Iterator<Item = Segment> + 'a {
        let size = self.size;
        self.inventory.timelines.iter().flat_map(move |(timeline, stored)| {
            let segments = stored.ranges(*timeline, size).into_iter();
            let all =
                segments.flat_map(|(a, b)| (a.number..=b.number).map(move |number| Segment { number, ..a }));
            let timeline = *timeline;
            // The copy that a new timeline begins with, or what the old one wrote before it was left.
            all.filter(move |s| {
                history.segment_timeline(s) == timeline || history.timeline_at(s.start()) == timeline
            })
        })
    }

    /// The segment that recovery along `history` reads at `lsn`, where one is stored whole: of the newest timeline that
    /// has it.
    pub fn segment_at(&self, history: &History, lsn: Lsn) -> Option<Segment> {
        self.copies(history, lsn).into_iter().find(|s| self.is_stored(s))
    }

    fn is_stored(&self, segment: &Segment) -> bool {
        self.inventory.has(segment) && !self.switched.contains(segment)
    }

    /// The segment that holds `lsn` as the newest timeline that writes in it has it, and as the one at `lsn` has it.
    fn copies(&self, history: &History, lsn: Lsn) -> [Segment; 2] {
        let old = Segment::holding_lsn(lsn, history.timeline_at(lsn), self.size);
        [Segment { timeline: history.segment_timeline(&old), ..old }, old]
    }

    /// What recovery along `history` reads at `lsn` where the newest timeline's segment is whole nowhere.
    pub fn partial_segment_at(&self, history: &History, lsn: Lsn) -> Option<PartialSegment<'_>> {
        let [new, old] = self.copies(history, lsn);
        let of = |segment: Segment| {
            let tails = self.partial_segments.get(&segment).filter(|_| !self.is_stored(&segment))?;
            let end = Lsn(segment.start().0 + tails.last()?.end());
            let left = history.end_of(segment.timeline).ok().flatten();
            Some(PartialSegment { segment, tails, to: left.map_or(end, |left| left.min(end)) })
        };
        let both = [new, old].into_iter().filter(|_| !self.is_stored(&new));
        both.filter_map(of).max_by_key(|b| (b.to, b.segment))
    }
}

/// Whether recovery along `history` goes through the end of the backup.
pub fn leads_through(history: &History, backup: &BackupRange) -> bool {
    history.timeline_at(backup.stop.before()) == backup.timeline
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::Switch;
    use jiff::Timestamp;

    const SIZE: u64 = 16 << 20;

    fn path_of(names: &[&str]) -> RecoveryPath {
        let mut path = RecoveryPath::new(SIZE);
        path.inventory = Inventory::from_listing(
            names.iter().map(|n| (n.parse().expect("a name"), 10, Timestamp::UNIX_EPOCH)),
        );
        // Timeline 2 left timeline 1 inside segment 3.
        let switches = vec![Switch { timeline: Timeline(1), end: Lsn(3 * SIZE + 500) }];
        path.histories.insert(Timeline(2), History { timeline: Timeline(2), switches });
        path
    }

    fn backup(timeline: u32, stop: u64, whole: bool) -> BackupRange {
        BackupRange { timeline: Timeline(timeline), stop: Lsn(stop), whole }
    }

    fn reached(
        path: &RecoveryPath,
        timeline: u32,
        backup: &BackupRange,
    ) -> Option<(u64, Option<(String, String)>)> {
        let reach = path.reach(&path.history_of(Timeline(timeline)), backup)?;
        Some((reach.to.0, reach.missing.map(|h| (h.first.name(), h.last.name()))))
    }

    #[test]
    fn a_backup_reaches_the_first_missing_segment_on_its_path() {
        let all = [
            "000000010000000000000002",
            "000000010000000000000003",
            "000000010000000000000004",
            "000000020000000000000003",
            "000000020000000000000004",
        ];
        let (early, whole) = (backup(1, SIZE + 900, true), path_of(&all));
        assert_eq!(reached(&whole, 2, &early), Some((5 * SIZE, None)));
        assert_eq!(reached(&whole, 1, &early), Some((5 * SIZE, None)), "what the old primary wrote");
        assert_eq!(whole.newest_timeline(&early).expect("known"), Timeline(2));
        // A backup of the old timeline, taken after it was left, is on no path to the new one.
        let late = backup(1, 3 * SIZE + 900, true);
        assert_eq!(
            (reached(&whole, 2, &late), whole.newest_timeline(&late).expect("known")),
            (None, Timeline(1))
        );
        assert_eq!(reached(&whole, 1, &late), Some((5 * SIZE, None)));

        let broken = path_of(&[all[0], all[4]]);
        let third = || String::from("000000010000000000000003");
        assert_eq!(reached(&broken, 2, &early), Some((3 * SIZE, Some((third(), third())))));
        assert_eq!(reached(&broken, 1, &early), Some((3 * SIZE, None)), "nothing of its own comes after");
        let brim = path_of(&[all[3], all[4]]);
        let second = || String::from("000000010000000000000002");
        assert_eq!(reached(&brim, 2, &early), Some((2 * SIZE, Some((second(), second())))));
    }

    #[test]
    fn what_a_backup_brings_counts_as_far_as_it_is_whole() {
        let nothing = path_of(&[]);
        assert_eq!(reached(&nothing, 1, &backup(1, SIZE + 900, true)), Some((2 * SIZE, None)));
        assert_eq!(reached(&nothing, 1, &backup(1, SIZE + 900, false)), Some((SIZE + 900, None)));
        // The promotion came inside the backup's last segment: its copy on the new timeline is needed.
        let within = backup(1, 3 * SIZE + 100, true);
        assert_eq!(reached(&path_of(&["000000020000000000000003"]), 2, &within), Some((4 * SIZE, None)));
        assert_eq!(reached(&nothing, 2, &within), Some((3 * SIZE + 100, None)));
    }

    #[test]
    fn tails_count_where_nothing_comes_behind() {
        let tail = |name: &str, from: u64, to: u64| Tail::new(name.parse().expect("a name"), from, to - from);
        let (second, third) = ("000000010000000000000002", "000000010000000000000003");
        let copy = "000000020000000000000003";
        let with = |names: &[&str], tails: &[Tail]| {
            let mut path = path_of(names);
            path.add_tails(tails);
            path
        };
        let early = backup(1, SIZE + 900, true);
        let begun = [tail(third, 0, 300), tail(third, 300, 700)];
        let open = with(&[second], &begun);
        assert_eq!(reached(&open, 1, &early), Some((3 * SIZE + 700, None)));
        assert_eq!(
            reached(&open, 2, &early),
            Some((3 * SIZE + 500, None)),
            "what the new timeline has left behind"
        );
        let both = with(&[second], &[begun[0], begun[1], tail(copy, 0, 600)]);
        assert_eq!(reached(&both, 2, &early), Some((3 * SIZE + 600, None)));
        let cut = with(&[second], &[tail(third, 300, 700)]);
        assert_eq!(reached(&cut, 1, &early), Some((3 * SIZE, None)), "the first bytes are missing");
        // Two repositories: the tails of one, not of both together.
        let mut two = with(&[second], &begun[..1]);
        two.add_tails(&begun[1..]);
        assert_eq!(reached(&two, 1, &early), Some((3 * SIZE + 300, None)));

        let fourth = "000000010000000000000004";
        let broken = with(&[second, fourth], &begun);
        assert_eq!(reached(&broken, 1, &early), Some((3 * SIZE, Some((third.into(), third.into())))));
        let whole = with(&[second, third], &begun);
        assert_eq!(reached(&whole, 1, &early), Some((4 * SIZE, None)));
        let from_standby = with(&[], &[tail(second, 0, 1000)]);
        assert_eq!(
            reached(&from_standby, 1, &backup(1, 2 * SIZE + 900, false)),
            Some((2 * SIZE + 1000, None))
        );
    }

    #[test]
    fn a_timeline_that_began_later_than_the_wal_reaches_is_a_hole() {
        let early = backup(1, SIZE + 900, true);
        let third = || String::from("000000010000000000000003");
        let mut path = path_of(&["000000010000000000000002"]);
        assert_eq!(
            reached(&path, 2, &early),
            Some((3 * SIZE, None)),
            "it began in the segment that is missing"
        );
        let switches = vec![Switch { timeline: Timeline(1), end: Lsn(5 * SIZE + 500) }];
        path.histories.insert(Timeline(2), History { timeline: Timeline(2), switches });
        let fifth = || String::from("000000010000000000000005");
        assert_eq!(reached(&path, 2, &early), Some((3 * SIZE, Some((third(), fifth())))));
        assert_eq!(reached(&path, 1, &early), Some((3 * SIZE, None)));
    }

    #[test]
    fn tails_that_end_in_a_switch_make_a_whole_segment() {
        let mut path = path_of(&["000000010000000000000002", "000000010000000000000004"]);
        let third = "000000010000000000000003";
        let tails = [Tail::new(third.parse().expect("a name"), 0, 700)];
        path.add_tails(&tails);
        let early = backup(1, SIZE + 900, true);
        assert_eq!(reached(&path, 1, &early), Some((3 * SIZE, Some((third.into(), third.into())))));
        let segment = Segment { timeline: Timeline(1), number: 3, size: SIZE };
        assert!(path.has_wal_after(&segment));
        path.add_switched(segment, tails.to_vec());
        assert_eq!(reached(&path, 1, &early), Some((5 * SIZE, None)));
        let root = History::without_switches(Timeline(1));
        // Its content is that of the tails: there is no object of its name.
        assert_eq!(path.segment_at(&root, segment.start()), None);
        assert_eq!(path.partial_segment_at(&root, segment.start()).map(|b| b.to), Some(Lsn(3 * SIZE + 700)));
    }

    #[test]
    fn a_history_that_nobody_stored_is_in_those_of_later_timelines() {
        let mut path = path_of(&["000000040000000000000005"]);
        let switch = |timeline, end| Switch { timeline: Timeline(timeline), end: Lsn(end) };
        let switches = vec![switch(1, 3 * SIZE + 500), switch(2, 4 * SIZE), switch(4, 6 * SIZE)];
        path.histories = [(Timeline(7), History { timeline: Timeline(7), switches })].into();
        path.derive_histories();
        assert_eq!(path.histories.keys().map(|t| t.0).collect::<Vec<_>>(), [2, 4, 7]);
        assert_eq!(path.newest_timeline(&backup(1, SIZE, true)).expect("known"), Timeline(7));
        assert_eq!(
            path.history_of(Timeline(4)).end_of(Timeline(2)).expect("an ancestor"),
            Some(Lsn(4 * SIZE))
        );
    }

    #[test]
    fn a_timeline_of_unknown_origin_is_told() {
        let lost = path_of(&["000000030000000000000005"]);
        let e = lost.newest_timeline(&backup(1, SIZE + 900, true)).expect_err("nobody knows");
        assert!(e.chain().contains("timeline 3"), "{e:?}");
    }
}
