//! What the model says of a repository before and after: by its own reading of the objects, not by the planner's.

use super::world::{DAY, MadeBackup, Planned, SIZE, Server, World};
use crate::format::id::Id;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};
use toban_core::config::{Keep, Span};
use toban_core::repo::keys::System;
use toban_core::store::Key;
use toban_core::wal::{Segment, Timeline, WalName};

/// A segment as a moment: of a system, on a timeline.
type Moment = (u64, u32, u64);

/// What lies in the repository, and what it is good for.
pub(super) struct Seen {
    objects: BTreeMap<Key, u64>,
    /// Backups whose manifest is there and reads.
    there: BTreeSet<Id>,
    /// Of these, and of the deleted ones, those whose objects are all there.
    complete: BTreeSet<Id>,
    /// Moments that backups that are there lead to.
    moments: BTreeSet<Moment>,
}

impl Seen {
    pub(super) fn look(world: &World) -> Seen {
        let listed = world.repo.store.list("main/").expect("listed");
        let objects: BTreeMap<Key, u64> = listed.into_iter().map(|o| (o.key, o.size)).collect();
        let whole =
            |made: &&MadeBackup| made.objects.iter().all(|(key, size)| objects.get(key) == Some(size));
        let there = world.made.iter().filter(|m| world.is_there(m)).map(|m| m.id.clone()).collect();
        let complete = world.made.iter().filter(whole).map(|m| m.id.clone()).collect();
        let mut seen = Seen { objects, there, complete, moments: BTreeSet::new() };
        for server in &world.servers {
            let usable = world.made.iter().filter(|m| m.system == server.system && seen.is_usable(m));
            let reached: Vec<Moment> = usable.flat_map(|made| seen.follow(server, made)).collect();
            seen.moments.extend(reached);
        }
        seen
    }

    fn is_usable(&self, made: &MadeBackup) -> bool {
        self.is_whole(made) && made.is_trusted()
    }

    fn is_whole(&self, made: &MadeBackup) -> bool {
        self.there.contains(&made.id) && self.complete.contains(&made.id)
    }

    /// The moments that follow a backup, along every timeline that goes on from it.
    fn follow(&self, server: &Server, made: &MadeBackup) -> Vec<Moment> {
        let mut moments = Vec::new();
        for (timeline, history) in &server.histories {
            let timeline_at =
                |lsn: u64| history.iter().find(|(_, end)| lsn < *end).map_or(*timeline, |(t, _)| *t);
            if timeline_at(made.segment * SIZE + 899) != made.timeline {
                continue;
            }
            let has = |timeline: u32, number: u64| {
                let segment = Segment { timeline: Timeline(timeline), number, size: SIZE };
                self.objects.contains_key(&server.system.key(&WalName::from(segment).path()))
            };
            // A promotion in the backup's own segment goes on in the new timeline's copy of it.
            let own = timeline_at((made.segment + 1) * SIZE - 1);
            let mut number = if own == made.timeline { made.segment + 1 } else { made.segment };
            if own == made.timeline {
                // It brings all of its last segment along.
                moments.push((server.system.identifier, own, made.segment));
            }
            while has(timeline_at((number + 1) * SIZE - 1), number) {
                moments.push((server.system.identifier, timeline_at((number + 1) * SIZE - 1), number));
                number += 1;
            }
        }
        moments
    }
}

impl Planned {
    /// Changes of the store.
    pub(super) fn operations(&self) -> usize {
        let backups = self.0.steps.iter().map(|s| s.keys.len() + usize::from(s.mark.is_some()));
        backups.sum::<usize>() + self.0.wal.iter().map(|s| s.keys.len()).sum::<usize>()
    }

    /// The explanation is the deed.
    pub(super) fn assert_done(&self, done: &str, before: &Seen, after: &Seen) {
        let backups = self.0.steps.iter().flat_map(|s| &s.keys);
        let keys: BTreeSet<&Key> = backups.chain(self.0.wal.iter().flat_map(|s| &s.keys)).collect();
        let went: BTreeSet<&Key> = before.objects.keys().filter(|k| !after.objects.contains_key(k)).collect();
        assert_eq!(went, keys, "what went is what was said");
        let came = after.objects.keys().filter(|k| !before.objects.contains_key(k)).count();
        let marks = self.0.steps.iter().filter(|s| s.mark.is_some()).count();
        assert_eq!(came, marks, "nothing but marks came");
        let mut told = String::new();
        for step in &self.0.steps {
            told += &super::world::emit(|out| out.emit(&step.record).expect("written"));
        }
        for step in &self.0.wal {
            told += &super::world::emit(|out| out.emit(&step.record).expect("written"));
        }
        assert_eq!(done, told, "what it tells is what it planned");
        let explained = self.0.steps.iter().filter(|s| !s.record.why.is_empty()).count();
        assert_eq!(explained, self.0.steps.len(), "everything has a reason");
        for id in &before.there {
            assert!(self.0.steps.iter().any(|s| s.record.id == *id), "{id} is not explained");
        }
    }
}

fn seconds(span: Option<Span>) -> Option<i64> {
    span.map(|s| i64::try_from(s.0.as_secs()).expect("small"))
}

impl World {
    pub(super) fn assert_promises(&self, keep: &Keep, as_of: i64, before: &Seen, after: &Seen) {
        self.assert_objects(keep, as_of, before, after);
        self.assert_moments(keep, as_of, before, after);
        self.assert_rules(keep, as_of, before, after);
        for run in &self.runs {
            // Of a run of another machine nobody knows after a week whether it is there still.
            if run.alive || self.now - run.begun < 7 * DAY {
                for (key, size) in run.made.objects.iter().filter(|(k, s)| before.objects.get(k) == Some(s)) {
                    assert_eq!(after.objects.get(key), Some(size), "run {} builds on {key}", run.made.id);
                }
            }
        }
    }

    /// What is there restores as it did, and so does what can be put back.
    fn assert_objects(&self, keep: &Keep, as_of: i64, before: &Seen, after: &Seen) {
        let undelete = seconds(keep.undelete).unwrap_or(3 * DAY);
        for made in &self.made {
            let now = as_of.min(self.now);
            let undoable = made.deleted.is_some_and(|at| now - at <= undelete && undelete > 0);
            if (after.there.contains(&made.id) || undoable) && before.complete.contains(&made.id) {
                assert!(after.complete.contains(&made.id), "{} does not restore any more", made.id);
            }
            if let Some(until) = made.pinned
                && until.is_none_or(|until| until > now)
                && before.there.contains(&made.id)
            {
                assert!(after.there.contains(&made.id), "{} is pinned", made.id);
            }
        }
    }

    /// Every moment of the window that could be reached can be reached.
    fn assert_moments(&self, keep: &Keep, as_of: i64, before: &Seen, after: &Seen) {
        let Some(window) = seconds(keep.wal) else { return };
        for moment in &before.moments {
            let (system, timeline, number) = *moment;
            let server = self.servers.iter().find(|s| s.system.identifier == system).expect("known");
            let written = server.moments.get(&(timeline, number)).copied().unwrap_or(0);
            if written >= as_of - window {
                assert!(after.moments.contains(moment), "{moment:?} of {written} is in the window");
            }
        }
    }

    /// What the rules promise of one server's backups, counted anew.
    fn assert_rules(&self, keep: &Keep, as_of: i64, before: &Seen, after: &Seen) {
        let [server] = &self.servers[..] else { return };
        let own = || self.in_order(&server.system).into_iter().filter(|m| before.there.contains(&m.id)).rev();
        let kept = |made: &MadeBackup, rule: &str| {
            assert!(after.there.contains(&made.id), "{} is kept by {rule}: {keep:?}", made.id);
        };
        own().take(keep.last.unwrap_or(0) as usize).for_each(|m| kept(m, "last"));
        let usable = || own().filter(|m| before.is_usable(m));
        assert!(usable().next().is_none() || usable().any(|m| after.there.contains(&m.id)), "none is left");
        if let Some(within) = seconds(keep.within) {
            let young = |m: &&MadeBackup| m.dated && as_of - m.ended <= within;
            own().filter(young).for_each(|m| kept(m, "within"));
        }
        let verified = |m: &&MadeBackup| m.verified.is_some() && m.verified > m.damaged;
        usable().find(verified).into_iter().for_each(|m| kept(m, "its verification"));
        let proven = |m: &&MadeBackup| m.passed.is_some() && m.passed > m.failed;
        usable().find(proven).into_iter().for_each(|m| kept(m, "its drill"));
        // With wrong clocks or sizes in between it is for the tables to tell which ones count.
        if own().all(|m| m.dated && !m.small) {
            let day = |m: &MadeBackup| {
                let at = Timestamp::from_second(m.ended).expect("in range");
                at.to_zoned(TimeZone::UTC).strftime("%Y%m%d").to_string()
            };
            let mut days: Vec<String> = Vec::new();
            for made in usable() {
                if days.last() != Some(&day(made)) {
                    days.push(day(made));
                    if days.len() <= keep.daily.unwrap_or(0) as usize {
                        kept(made, "daily");
                    }
                }
            }
            usable().take(keep.last.unwrap_or(0) as usize).for_each(|m| kept(m, "last of the whole ones"));
        }
        let sizes: Vec<&MadeBackup> = own().collect();
        if let [newest, earlier @ ..] = &sizes[..]
            && newest.small
            && earlier.len() > 3
            && earlier.iter().all(|m| !m.small && m.dated && before.is_usable(m))
        {
            earlier
                .iter()
                .take(keep.last.unwrap_or(0) as usize)
                .for_each(|m| kept(m, "last, the small one aside"));
        }
    }

    /// By timeline and position, the oldest first.
    fn in_order(&self, system: &System) -> Vec<&MadeBackup> {
        let mut own: Vec<&MadeBackup> = self.made.iter().filter(|m| m.system == *system).collect();
        own.sort_by_key(|m| (m.timeline, m.segment, m.id.clone()));
        own
    }

    pub(super) fn note_deletions(&mut self, before: &Seen, after: &Seen) {
        for made in &mut self.made {
            if after.there.contains(&made.id) {
                made.deleted = None;
            } else if before.there.contains(&made.id) {
                made.deleted = after.complete.contains(&made.id).then_some(self.now);
            }
        }
    }

    /// All that can be put back is there again, byte for byte, and restores; nothing else changed.
    pub(super) fn assert_undone(&mut self, undelete: Option<Span>, before: &Seen, after: &Seen) {
        let undelete = seconds(undelete).unwrap_or(3 * DAY);
        for made in &mut self.made {
            let undoable = made.deleted.is_some_and(|at| self.now - at <= undelete && undelete > 0);
            if undoable && before.complete.contains(&made.id) {
                assert!(after.there.contains(&made.id), "{} can be put back", made.id);
            }
            if after.there.contains(&made.id) {
                made.deleted = None;
            }
        }
        assert!(before.there.is_subset(&after.there));
        for id in after.there.difference(&before.there) {
            assert!(after.complete.contains(id), "{id} was put back and does not restore");
        }
        assert!(before.objects.iter().all(|(key, size)| after.objects.get(key) == Some(size)));
    }

    pub(super) fn assert_nothing_left_over(&self) {
        let seen = Seen::look(self);
        let there = || self.made.iter().filter(|m| seen.there.contains(&m.id));
        let needed: BTreeSet<Key> =
            there().flat_map(|m| m.objects.iter().map(|(k, _)| k.clone()).chain([m.key()])).collect();
        for key in seen.objects.keys() {
            let name = key.as_str().splitn(3, '/').nth(2).unwrap_or_default();
            let fine = match name.split('/').next() {
                Some("backup") => needed.contains(key),
                Some("intent") => false,
                // Of a folder in which packs of others lie the mark stays.
                Some("mark") => {
                    let id = name.split(['/', '.']).nth(1).unwrap_or_default();
                    seen.objects.keys().any(|k| k.as_str().contains(&format!("/backup/{id}/")))
                }
                _ => true,
            };
            assert!(fine, "{key} is left over");
        }
    }
}
