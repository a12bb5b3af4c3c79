//! Proofs of drills, by their names: whoever only lists learns when drills were made and how they ended.

use super::keys::System;
use crate::error::Result;
use crate::store::Store;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const FOLDER: &str = "proof/";
const FORM: &str = "%Y%m%dT%H%M%SZ";

/// When drills of a system last ended so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drills {
    /// The last that passed.
    pub passed: Option<Timestamp>,
    /// The last that failed.
    pub failed: Option<Timestamp>,
}

/// `drill.20261122T040000Z-passed.json`, for the drill that began at `at`; `ending` is `json` or `html`.
pub fn name(at: Timestamp, passed: bool, ending: &str) -> String {
    let verdict = if passed { "passed" } else { "failed" };
    format!("drill.{}-{verdict}.{ending}", at.strftime(FORM))
}

/// The path of a proof below its system's root.
pub fn path(at: Timestamp, passed: bool) -> String {
    format!("{FOLDER}{}", name(at, passed, "json"))
}

/// What the store holds of `system`'s drills.
///
/// # Errors
/// When it could not be asked.
pub fn read(store: &dyn Store, system: &System) -> Result<Drills> {
    let mut drills = Drills::default();
    for object in store.list(&format!("{}{FOLDER}drill.", system.root()))? {
        let Some((at, passed)) = object.key.as_str().rsplit('/').next().and_then(parse) else { continue };
        let last = if passed { &mut drills.passed } else { &mut drills.failed };
        *last = Some(at).max(*last);
    }
    Ok(drills)
}

fn parse(name: &str) -> Option<(Timestamp, bool)> {
    let (stamp, verdict) = name.strip_prefix("drill.")?.strip_suffix(".json")?.split_once('-')?;
    let at = DateTime::strptime(FORM, stamp).ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
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
            let key = system.key(&path(at(time), passed)).expect("a key");
            store.put(&key, &mut &b"{}"[..], &Attrs::new()).expect("stored");
        }
        let key = system.key("proof/20261121T030000Z-120034.20261121T040000Z.json").expect("a key");
        store.put(&key, &mut &b"{}"[..], &Attrs::new()).expect("a verify's proof");
        let read = read(&store, &system).expect("read");
        let expected =
            Drills { passed: Some(at("2026-11-02T09:00:01Z")), failed: Some(at("2026-11-03T09:00:00Z")) };
        assert_eq!(read, expected);
        assert_eq!(parse("drill.20261103T090000Z-maybe.json"), None);
    }
}
