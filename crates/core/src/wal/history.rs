//! A timeline's history: where each timeline before it was left (`timeline.c`).

use super::{Lsn, Segment, Timeline};
use crate::error::{Error, Result};

/// One promotion: the WAL of `timeline` counts up to `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    /// The timeline that was left.
    pub timeline: Timeline,
    /// The first position that is not its own any more.
    pub end: Lsn,
}

/// The way to a timeline, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The timeline whose history it is.
    pub timeline: Timeline,
    /// The promotions that led to it.
    pub switches: Vec<Switch>,
}

impl History {
    /// Timeline 1, or one whose history nobody has: no promotions.
    pub fn without_switches(timeline: Timeline) -> History {
        History { timeline, switches: Vec::new() }
    }

    /// Reads the content of `timeline`'s history file: lines of parent, position, reason; `#` begins a comment.
    ///
    /// # Errors
    /// Corrupt, with the line, when it does not parse or its timelines do not go forward.
    pub fn parse_history(timeline: Timeline, text: &str) -> Result<History> {
        let mut switches: Vec<Switch> = Vec::new();
        let lines = text.lines().enumerate().map(|(n, l)| (n + 1, l.trim()));
        for (number, line) in lines.filter(|(_, l)| !l.is_empty() && !l.starts_with('#')) {
            let bad =
                || Error::corrupt(format!("the history of timeline {timeline}, line {number}: {line:?}"));
            let mut fields = line.split_whitespace();
            let parent = fields.next().and_then(|f| f.parse().ok()).map(Timeline).ok_or_else(bad)?;
            let end = fields.next().and_then(|f| f.parse().ok()).ok_or_else(bad)?;
            let forward = switches.last().is_none_or(|s| s.timeline < parent);
            if !forward || parent >= timeline {
                return Err(bad());
            }
            switches.push(Switch { timeline: parent, end });
        }
        // A server that stopped before the timeline that it was to follow began names that timeline as its parent all
        // the same, with an end before its begin. What it went through ends there.
        let mut end = Lsn(u64::MAX);
        for switch in switches.iter_mut().rev() {
            end = end.min(switch.end);
            switch.end = end;
        }
        Ok(History { timeline, switches })
    }

    /// The way to `timeline`, which this one went through; `None` when it did not.
    pub fn ancestor(&self, timeline: Timeline) -> Option<History> {
        let before = self.switches.iter().position(|s| s.timeline == timeline)?;
        Some(History { timeline, switches: self.switches[..before].to_vec() })
    }

    /// The content of `ancestor`'s history file, out of `text`, that of a later timeline; `None` where it does not name
    /// the ancestor. A server copies its parent's file, ends a line, and adds its own (`writeTimeLineHistory`).
    pub fn text_of(ancestor: Timeline, text: &str) -> Option<String> {
        let mut end = 0;
        for line in text.split_inclusive('\n') {
            let parent = line.split_whitespace().next().and_then(|f| f.parse().ok()).map(Timeline);
            if parent == Some(ancestor) {
                let before = &text[..end];
                return Some(before.strip_suffix("\n\n").map_or(before.into(), |lines| format!("{lines}\n")));
            }
            end += line.len();
        }
        None
    }

    /// The timeline whose WAL counts at `lsn` on the way to this one.
    pub fn timeline_at(&self, lsn: Lsn) -> Timeline {
        self.switches.iter().find(|s| lsn < s.end).map_or(self.timeline, |s| s.timeline)
    }

    /// The timeline whose copy of the segment recovery reads on the way to this one: the newest that writes in it. A
    /// promotion goes on in the middle of a segment, with a copy of what the old timeline wrote before
    /// (`xlog.c`, XLogInitNewTimeline).
    pub fn segment_timeline(&self, segment: &Segment) -> Timeline {
        self.timeline_at(segment.end().before())
    }

    /// Where `timeline` was left on the way to this one: `None` when it is this one, and nothing is left of it.
    ///
    /// # Errors
    /// Failed when `timeline` is not on the way at all.
    pub fn end_of(&self, timeline: Timeline) -> Result<Option<Lsn>> {
        if timeline == self.timeline {
            return Ok(None);
        }
        let switch = self.switches.iter().find(|s| s.timeline == timeline);
        let foreign =
            || Error::failed(format!("timeline {timeline} is no ancestor of timeline {}", self.timeline));
        switch.map(|s| Some(s.end)).ok_or_else(foreign)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "1\t0/5000000\tno recovery target specified\n\n# a comment\n3\t1/A000\tbefore 2026\n";

    #[test]
    fn a_history_tells_whose_wal_counts() {
        let history = History::parse_history(Timeline(4), TEXT).expect("a history");
        let at = |lsn: &str| history.timeline_at(lsn.parse().expect("a position")).0;
        assert_eq!([at("0/4FFFFFF"), at("0/5000000"), at("1/9FFF"), at("1/A000")], [1, 3, 3, 4]);
        assert_eq!(history.end_of(Timeline(3)).expect("an ancestor"), Some("1/A000".parse().expect("one")));
        assert_eq!(history.end_of(Timeline(4)).expect("itself"), None);
        assert!(history.end_of(Timeline(2)).is_err());
        assert_eq!(History::without_switches(Timeline(1)).timeline_at(Lsn(77)), Timeline(1));
    }

    #[test]
    fn a_history_holds_those_of_its_ancestors() {
        // As the server writes them: each is its parent's, an end of line, and one line more.
        let second = "1\t0/5000000\tno recovery target specified\n";
        let fourth = format!("{second}\n2\t0/700A000\tbefore 2026\n");
        let seventh = format!("{fourth}\n4\t0/700A000\tno recovery target specified\n");
        assert_eq!(History::text_of(Timeline(4), &seventh).as_deref(), Some(fourth.as_str()));
        assert_eq!(History::text_of(Timeline(2), &seventh).as_deref(), Some(second));
        assert_eq!(History::text_of(Timeline(1), &seventh).as_deref(), Some(""));
        assert_eq!(History::text_of(Timeline(3), &seventh), None);
        let whole = History::parse_history(Timeline(7), &seventh).expect("a history");
        let parsed = History::parse_history(Timeline(4), &fourth).expect("a history");
        assert_eq!(whole.ancestor(Timeline(4)), Some(parsed));
        assert_eq!((whole.ancestor(Timeline(7)), whole.ancestor(Timeline(3))), (None, None));
    }

    #[test]
    fn a_server_that_stopped_before_its_timeline_began_came_from_an_older_one() {
        let history = History::parse_history(Timeline(4), "1\t0/5000\t\n2\t0/9000\t\n3\t0/4000\t\n")
            .expect("a history");
        let at = |lsn: u64| history.timeline_at(Lsn(lsn)).0;
        assert_eq!([at(0x3FFF), at(0x4000), at(0x9000)], [1, 4, 4]);
    }

    #[test]
    fn damage_is_named_with_its_line() {
        for bad in ["x\t0/1\t", "1\t", "1 zz", "4\t0/1\tits own parent", "2\t0/9\t\n1\t0/10\t"] {
            let e = History::parse_history(Timeline(4), bad).expect_err(bad);
            assert_eq!(e.kind(), crate::Kind::Corrupt, "{bad}");
        }
    }
}
