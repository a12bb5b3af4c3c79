//! Proofs of drills, by their names: whoever only lists learns when drills were made and how they ended.

use super::is_future;
use super::keys::System;
use crate::error::Result;
use crate::stamp::{parse_stamp, stamp};
use crate::store::{Key, Object, Store};
use jiff::Timestamp;

const FOLDER: &str = "proof/";

/// When drills of a system last ended so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drills {
    /// The last that passed.
    pub passed: Option<Timestamp>,
    /// The last that failed.
    pub failed: Option<Timestamp>,
}

/// `drill.20261122T040000Z-passed.json`, for the drill that began at `at`; `ending` is `json` or `html`.
pub fn proof_name(at: Timestamp, passed: bool, ending: &str) -> String {
    let verdict = if passed { "passed" } else { "failed" };
    format!("drill.{}-{verdict}.{ending}", stamp(at))
}

/// The path of a proof below its system's root.
pub fn proof_path(at: Timestamp, passed: bool) -> String {
    format!("{FOLDER}{}", proof_name(at, passed, "json"))
}

/// One drill, by the name of its proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// When it began.
    pub at: Timestamp,
    /// Whether it passed.
    pub passed: bool,
    /// Its proof (docs/FORMATS.md, "Proofs of drills").
    pub key: Key,
}

/// Every drill of `system` that the store has a proof of, oldest first.
///
/// # Errors
/// When it could not be asked.
pub fn list_drills(store: &dyn Store, system: &System) -> Result<Vec<Ended>> {
    let objects = store.list(&format!("{}{FOLDER}drill.", system.root()))?;
    let ended = |o: Object| {
        let (at, passed) = parse_proof_name(o.key.as_str().rsplit('/').next()?)?;
        Some(Ended { at, passed, key: o.key })
    };
    let mut all: Vec<Ended> = objects.into_iter().filter_map(ended).collect();
    all.sort_by_key(|d| d.at);
    Ok(all)
}

/// When drills of `system` last ended so, as of `now`. A pass that is dated in the future proves nothing, and would
/// hide every failure until then; a failure counts whatever its date.
///
/// # Errors
/// When the store could not be asked.
pub fn read_drills(store: &dyn Store, system: &System, now: Timestamp) -> Result<Drills> {
    let mut drills = Drills::default();
    for Ended { at, passed, .. } in list_drills(store, system)? {
        match passed {
            true if is_future(at, now) => {}
            true => drills.passed = drills.passed.max(Some(at)),
            false => drills.failed = drills.failed.max(Some(at.min(now))),
        }
    }
    Ok(drills)
}

fn parse_proof_name(name: &str) -> Option<(Timestamp, bool)> {
    let (stamp, verdict) = name.strip_prefix("drill.")?.strip_suffix(".json")?.split_once('-')?;
    let at = parse_stamp(stamp)?;
    match verdict {
        "passed" => Some((at, true)),
        "failed" => Some((at, false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Attrs, Dir};

    #[test]
    fn names_tell_when_and_how() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Dir::open(&dir.path().display().to_string()).expect("a store");
        let system = System { cluster: "main".into(), identifier: 7 };
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let drills =
            [("2026-11-02T09:00:01Z", true), ("2026-10-02T09:00:00Z", true), ("2026-11-03T09:00:00Z", false)];
        for (time, passed) in drills {
            let key = system.key(&proof_path(at(time), passed));
            store.put(&key, &mut &b"{}"[..], &Attrs::new()).expect("stored");
        }
        let key = system.key("proof/20261121T030000Z-120034.20261121T040000Z.json");
        store.put(&key, &mut &b"{}"[..], &Attrs::new()).expect("a verify's proof");
        let as_of = |now: &str| read_drills(&store, &system, at(now)).expect("read");
        let expected =
            Drills { passed: Some(at("2026-11-02T09:00:01Z")), failed: Some(at("2026-11-03T09:00:00Z")) };
        assert_eq!(as_of("2026-11-04T00:00:00Z"), expected);
        assert_eq!(as_of("2026-10-01T00:00:00Z").passed, None, "a pass of a day to come");
        assert!(as_of("2026-10-01T00:00:00Z").failed.is_some(), "a failure counts whatever its date");
        assert_eq!(parse_proof_name("drill.20261103T090000Z-maybe.json"), None);
    }
}
