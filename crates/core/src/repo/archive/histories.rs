//! The histories of timelines: where they are, and where those that nobody stored come from.

use super::{Archive, Compressed};
use crate::error::{Error, Result};
use crate::store::Stored;
use crate::wal::{History, Timeline, WalName};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// So many numbers one behind the other that the archive does not know end the search for more.
const UNKNOWN: u32 = 4;

impl Archive<'_> {
    /// The content of the history of `timeline`.
    ///
    /// # Errors
    /// When the store could not be asked; Corrupt for a damaged one.
    pub fn history(&self, timeline: Timeline) -> Result<Option<String>> {
        let mut text = Vec::new();
        let found = self.get(WalName::History(timeline), &mut text)?;
        Ok(found.map(|_| String::from_utf8_lossy(&text).into_owned()))
    }

    /// Stores the history of `timeline`, whose content is `text`, and before it those of the timelines that it went
    /// through, where they are missing: recovery asks for every number until one is absent, and whoever finds the newest
    /// must be able to rely on the others.
    ///
    /// # Errors
    /// Those of [`Archive::put`]; Corrupt for a text that is no history.
    pub fn put_histories(&self, timeline: Timeline, text: &str) -> Result<()> {
        // Oldest first: whoever finds the newest history must find those before it, also when we are killed in between.
        let parsed = History::parse_history(timeline, text)?;
        for switch in parsed.switches.iter().filter(|s| s.timeline.0 > 1) {
            let own = History::text_of(switch.timeline, text).unwrap_or_default();
            match self.put_history(switch.timeline, &own) {
                // Of another branch. What is stored of this timeline's own WAL is right all the same.
                Err(e) if super::Conflict::caused(&e) => log::error!("{}", e.chain()),
                other => drop(other?),
            }
        }
        self.put_history(timeline, text).map(drop)
    }

    /// Whether the history of `timeline` is there, with `text` as its content.
    ///
    /// # Errors
    /// When the store could not be asked.
    pub fn has_history(&self, timeline: Timeline, text: &str) -> Result<bool> {
        let compressed = Compressed::small(text.as_bytes(), 1)?;
        Ok(self
            .recorded(&self.key(WalName::History(timeline)))?
            .is_some_and(|sha256| sha256 == compressed.sum().sha256))
    }

    fn put_history(&self, timeline: Timeline, text: &str) -> Result<Stored> {
        // Asked first: it is there nearly always, and asking is cheaper than storing.
        if self.has_history(timeline, text)? {
            return Ok(Stored::Exists);
        }
        self.put(WalName::History(timeline), &Compressed::small(text.as_bytes(), 1)?)
    }

    /// The timelines above `than` that the archive knows, by a history of their own, by that of a timeline that went
    /// through them, or by WAL; with the content of their history, which is missing where there is only WAL.
    ///
    /// # Errors
    /// When the store could not be asked; Corrupt for a history that does not parse.
    pub fn timelines_above(&self, than: Timeline) -> Result<BTreeMap<Timeline, Option<String>>> {
        let mut known = BTreeMap::new();
        let (mut number, mut unknown) = (than.0, 0);
        while unknown < UNKNOWN {
            let Some(next) = number.checked_add(1) else { break };
            number = next;
            let text = self.history(Timeline(number))?;
            // A promotion takes the next free number (`findNewestTimeLine`), so numbers are dense but for histories
            // that nobody stored; listing would find them too, and costs as much as the archive is large.
            unknown = if text.is_some() { 0 } else { unknown + 1 };
            known.extend(text.map(|text| (Timeline(number), Some(text))));
        }
        for timeline in self.with_wal()?.into_iter().filter(|t| *t > than) {
            if let Entry::Vacant(unknown) = known.entry(timeline) {
                unknown.insert(self.history(timeline)?);
            }
        }
        derive(&mut known, than)?;
        Ok(known)
    }

    /// Timelines of which there is WAL.
    fn with_wal(&self) -> Result<BTreeSet<Timeline>> {
        let mut all = BTreeSet::new();
        for folder in ["wal", "wal-tail"] {
            let names = self.store.folders(&format!("{}{folder}/", self.system.root()))?;
            all.extend(names.iter().filter_map(|n| u32::from_str_radix(n, 16).ok()).map(Timeline));
        }
        Ok(all)
    }

    /// The histories of timelines above `than`.
    ///
    /// # Errors
    /// When the store could not be asked; Corrupt for one that does not parse.
    pub fn newer(&self, than: Timeline) -> Result<Vec<History>> {
        let known = self.timelines_above(than)?.into_iter();
        known.filter_map(|(timeline, text)| Some(History::parse_history(timeline, &text?))).collect()
    }

    /// The content of the history of `timeline` as its own says it, or else that of a later one.
    ///
    /// # Errors
    /// When the store could not be asked; Corrupt when there is WAL of it and its history is nowhere: where it came from
    /// is not known, which is not the same as that there is none.
    pub fn history_or_derived(&self, timeline: Timeline) -> Result<Option<String>> {
        let own = self.history(timeline)?;
        // The first one has none.
        if own.is_some() || timeline.0 <= 1 {
            return Ok(own);
        }
        match self.timelines_above(Timeline(timeline.0.saturating_sub(1)))?.remove(&timeline) {
            None => Ok(None),
            Some(Some(text)) => Ok(Some(text)),
            Some(None) => {
                let e = Error::corrupt(format!(
                    "there is WAL of timeline {timeline}, and its history {} is missing",
                    WalName::History(timeline)
                ));
                Err(e.hint(
                    "push the file from pg_wal of a server that was on this timeline, or of a backup of one; or name the timeline that recovery shall follow by `fetch --timeline`",
                ))
            }
        }
    }
}

/// Adds the timelines that the histories name and that have none of their own.
fn derive(known: &mut BTreeMap<Timeline, Option<String>>, than: Timeline) -> Result<()> {
    let texts: Vec<(Timeline, String)> = known.iter().filter_map(|(t, s)| Some((*t, s.clone()?))).collect();
    for (timeline, text) in texts {
        for switch in History::parse_history(timeline, &text)?.switches.iter().filter(|s| s.timeline > than) {
            let own = known.entry(switch.timeline).or_default();
            if own.is_none() {
                *own = History::text_of(switch.timeline, &text);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use crate::repo::keys::System;
    use crate::store::Dir;

    const FOURTH: &str =
        "1\t0/5000000\tno recovery target specified\n\n2\t0/700A000\tno recovery target specified\n";

    fn store(dir: &tempfile::TempDir) -> Dir {
        Dir::open(&dir.path().display().to_string()).expect("a store")
    }

    fn archive(store: &Dir) -> Archive<'_> {
        Archive::new(store, System { cluster: "main".into(), identifier: 7 })
    }

    #[test]
    fn a_history_comes_with_those_of_its_ancestors() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = store(&dir);
        let archive = archive(&store);
        archive.put_histories(Timeline(4), FOURTH).expect("stored");
        archive.put_histories(Timeline(4), FOURTH).expect("the same again");
        let second = archive.history(Timeline(2)).expect("asked").expect("there");
        assert_eq!(second, "1\t0/5000000\tno recovery target specified\n");
        assert_eq!(archive.history(Timeline(4)).expect("asked").as_deref(), Some(FOURTH));
        let e = archive.put_histories(Timeline(4), "1\t0/6000000\t\n").expect_err("another branch");
        assert!(super::super::Conflict::caused(&e), "{e:?}");
        // A branch beside timeline 2 is told, and what comes behind it is stored.
        archive.put_histories(Timeline(5), "1\t0/4000000\t\n\n2\t0/4100000\t\n").expect("stored");
        assert_eq!(archive.history(Timeline(2)).expect("asked").as_deref(), Some(second.as_str()));
    }

    #[test]
    fn a_timeline_is_known_by_whatever_names_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = store(&dir);
        let archive = archive(&store);
        archive.put_history(Timeline(4), FOURTH).expect("stored");
        let segment = "000000090000000000000007".parse().expect("a name");
        archive.put(segment, &Compressed::small(b"wal", 1).expect("compressed")).expect("stored");
        let known = archive.timelines_above(Timeline(1)).expect("asked");
        let of = |n: u32| known.get(&Timeline(n)).cloned();
        assert_eq!(known.len(), 3, "{known:?}");
        assert_eq!(of(2), Some(Some("1\t0/5000000\tno recovery target specified\n".into())));
        assert_eq!((of(4), of(9)), (Some(Some(FOURTH.into())), Some(None)));
        let derived = |n: u32| archive.history_or_derived(Timeline(n));
        assert_eq!(derived(2).expect("asked"), of(2).flatten());
        assert_eq!((derived(3).expect("asked"), derived(5).expect("asked")), (None, None));
        assert_eq!(derived(1).expect("asked"), None, "the first timeline came from nowhere");
        assert_eq!(derived(9).expect_err("its origin is not known").kind(), Kind::Corrupt);
        let newer: Vec<u32> =
            archive.newer(Timeline(2)).expect("asked").iter().map(|h| h.timeline.0).collect();
        assert_eq!(newer, [4]);
    }
}
