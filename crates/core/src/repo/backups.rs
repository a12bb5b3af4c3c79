//! What the WAL is kept for: the base backups of a system, as far as other tools than the one that makes them need
//! their manifests (docs/FORMATS.md, "backup.json").

use super::is_future;
use super::keys::System;
use super::recovery_path::BackupRange;
use crate::error::Result;
use crate::stamp::parse_stamp;
use crate::store::{Store, read_small};
use crate::wal::{Lsn, Timeline};
use jiff::Timestamp;
use serde::Deserialize;

const MANIFEST: &str = "/backup.json";
const LARGEST: u64 = 64 << 10;

/// A base backup that was not found damaged.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct BaseBackup {
    /// Its name.
    pub id: String,
    /// The timeline it was taken on.
    pub timeline: Timeline,
    /// Recovery from it begins here.
    pub start_lsn: Lsn,
    /// Where it ends.
    pub stop_lsn: Lsn,
    /// Whether it was copied from a standby.
    #[serde(default)]
    pub standby: bool,
}

impl BaseBackup {
    /// What it brings along to recovery.
    pub fn own(&self) -> BackupRange {
        BackupRange { timeline: self.timeline, stop: self.stop_lsn, whole: !self.standby }
    }
}

/// Every base backup of `system` that reads and that `verify` did not find damaged, as of `now`: oldest first, by
/// timeline and position.
///
/// # Errors
/// When the store could not be asked.
pub fn whole(store: &dyn Store, system: &System, now: Timestamp) -> Result<Vec<BaseBackup>> {
    let folder = format!("{}backup/", system.root());
    let mut backups = Vec::new();
    for id in store.folders(&folder)? {
        let Ok(key) = format!("{folder}{id}{MANIFEST}").parse() else { continue };
        let json = match read_small(store, &key, LARGEST) {
            Ok(Some(json)) => json,
            Ok(None) => continue,
            Err(e) if e.kind() == crate::Kind::Corrupt => continue,
            Err(e) => return Err(e),
        };
        match serde_json::from_slice::<BaseBackup>(&json) {
            Ok(backup) if !is_damaged(store, system, &id, now)? => backups.push(backup),
            Ok(_) => {}
            Err(e) => log::warn!("{key} does not read: {e}"),
        }
    }
    backups.sort_by_key(|b| (b.timeline, b.start_lsn));
    Ok(backups)
}

/// The newest verdict counts, by the times in the names of the proofs; damage where both are of one second. A proof
/// that is dated in the future proves nothing.
fn is_damaged(store: &dyn Store, system: &System, id: &str, now: Timestamp) -> Result<bool> {
    let times = |folder: &str| -> Result<Vec<Timestamp>> {
        let prefix = format!("{}{folder}/{id}.", system.root());
        let names = store.list(&prefix)?;
        Ok(names.iter().filter_map(|o| time(o.key.as_str().strip_prefix(&prefix)?)).collect())
    };
    let Some(damaged) = times("damage")?.into_iter().max() else { return Ok(false) };
    let whole = times("proof")?.into_iter().filter(|at| !is_future(*at, now)).max();
    Ok(whole.is_none_or(|whole| whole <= damaged.min(now)))
}

fn time(suffix: &str) -> Option<Timestamp> {
    parse_stamp(suffix.strip_suffix(".json")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Attrs, Dir};

    #[test]
    fn only_those_that_are_whole() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Dir::open(&dir.path().display().to_string()).expect("a store");
        let system = System { cluster: "main".into(), identifier: 7 };
        let put = |name: &str, text: &str| {
            let key = system.key(name).expect("a key");
            store.put(&key, &mut text.as_bytes(), &Attrs::new()).expect("stored");
        };
        let manifest = |id: &str, start: &str| {
            let text = format!(
                r#"{{"id":"{id}","timeline":1,"start_lsn":"{start}","stop_lsn":"0/9000000","standby":false,"x":1}}"#
            );
            put(&format!("backup/{id}/backup.json"), &text);
        };
        manifest("b", "0/2000000");
        manifest("a", "0/3000000");
        manifest("c", "0/4000000");
        put("backup/d/backup.json", "{");
        put("backup/e/pack/00000.tar.zst", "a run that did not finish");
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().expect("a time");
        let ids = || whole(&store, &system, now).expect("read").into_iter().map(|b| b.id).collect::<Vec<_>>();
        assert_eq!(ids(), ["b", "a", "c"]);
        put("damage/c.20261120T000000Z.json", "{}");
        assert_eq!(ids(), ["b", "a"]);
        put("proof/c.20991120T000000Z.json", "{}");
        assert_eq!(ids(), ["b", "a"], "a proof of a day to come proves nothing");
        put("proof/c.20261121T000000Z.json", "{}");
        assert_eq!(ids(), ["b", "a", "c"]);
    }
}
